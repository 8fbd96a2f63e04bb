"""The first page and the page of margins, as they come over HTTP."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect
from tests.web.live import TOKEN, LiveServer
from tests.web.test_page import text_of

from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.transactions import ChargeRequest


def cost_of(server: LiveServer, customer_id: str, amount: str, model: str = "small") -> None:
    """Report a use of 0.0125 USD that costs so much."""
    cost = Cost("c", Number(amount), vendor_external_id="=acme", category="tokens")
    event = UsageEvent(
        f"{customer_id} {amount}",
        "api_call",
        datetime.now(UTC),
        data={"model": model},
        costs=[cost],
    )
    server.run(lambda engine: engine.record_events(customer_id, [event]))


def charge(server: LiveServer, customer_id: str, asset: str, amount: str) -> None:
    request = ChargeRequest(f"{asset} {amount}", asset, Number(amount))
    server.run(lambda engine: engine.charge(customer_id, request))


def test_what_is_charged_is_there_at_once_to_the_last_digit(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    ada = server.add_customer("Ada", "100")
    server.use(ada, 101)
    server.use(ada, event_type="unknown")
    page = text_of(client.get("/test").text)
    # In large letters rounded, in the table behind the chart exact.
    assert "Revenue $1.26" in page
    assert "$1.2625" in page
    assert "Ada api_call $0.0125" in page
    assert "Ada unknown no price" in page
    assert "1 event has no fee: no price fits, or the outcome is pending." in page
    to = re.search(r'href="(/test/events\?event_types=unknown[^"]*)"', client.get("/test").text)
    assert to
    found = client.get(to[1].replace("&amp;", "&")).text
    assert found.count('class="event-id"') == 1
    assert "/test/events/event?" in client.get("/test").text


def test_what_needs_attention_leads_to_where_it_is_looked_after(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    ada = server.add_customer("Ada", "0.0125")
    server.use(ada)
    cost_of(server, ada, "2")
    server.run(lambda engine: engine.sum_up())
    html = client.get("/test").text
    page = text_of(html)
    assert "1 customer has used more than they had. Ada -$0.0125" in page
    assert "1 customer costs more than they bring, in the last 30 days. Ada -$1.98" in page
    assert f'href="/test/customers/{ada}"' in html
    assert 'href="/test/margins?by=customer"' in html
    empty = text_of(client.get("/live").text)
    assert "Nothing needs you" in empty


def test_a_span_is_chosen_and_one_that_is_none_is_the_usual_one(client: httpx.Client):
    for span, hours in (("24h", 24), ("7d", 7), ("90d", 90), ("<b>", 30)):
        html = client.get("/test", params={"span": span}).text
        assert html.count("data-x=") == hours


def test_margins_begin_with_those_below_zero_and_the_file_has_the_same(
    client: httpx.Client, server: LiveServer
):
    server.add_product()
    good, bad = server.add_customer("Good"), server.add_customer("=cmd|' /C calc'!A0")
    server.use(good, 4)
    cost_of(server, bad, "1", "large")
    charge(server, good, "EUR", "7")
    page = client.get("/test/margins").text
    names = re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', page)
    assert names == ["=cmd|&#39; /C calc&#39;!A0", "Good"]
    assert "below zero" in page
    assert "-$0.99" in text_of(page)
    assert 'data-copy="-0.9875"' in page
    assert "7 EUR of revenue" in text_of(page)
    answer = client.get("/test/margins.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    first, second = csv.DictReader(io.StringIO(answer.text))
    # No spreadsheet takes a name for a formula.
    assert first["customer"] == "'=cmd|' /C calc'!A0"
    assert [first[name] for name in ("id", "events", "costs")] == [bad, "1", "1"]
    assert (Decimal(second["revenue"]), second["currency"]) == (Decimal("0.05"), "USD")
    vendors = list(csv.DictReader(io.StringIO(client.get("/test/margins.csv?by=vendor").text)))
    assert [(one["vendor"], one["revenue"], one["costs"]) for one in vendors] == [
        ("'=acme", "", "1")
    ]


@pytest.mark.parametrize(
    ("by", "says"),
    [
        ("product", "calls, version 1"),
        ("price", "Calls"),
        ("model", "large"),
        ("event_type", "api_call"),
        ("vendor", "=acme"),
        ("category", "tokens"),
        ("day", f"{datetime.now(UTC):%Y}"),
        ("colour", "Ada"),
    ],
)
def test_margins_are_split_by_what_one_chooses(
    client: httpx.Client, server: LiveServer, by: str, says: str
):
    server.add_product()
    cost_of(server, server.add_customer("Ada"), "1", "large")
    answer = client.get("/test/margins", params={"by": by, "days": "7"})
    assert answer.status_code == 200
    rows = re.findall(r'<th scope="row".*?</tr>', answer.text, re.DOTALL)
    assert any(says in text_of(row) for row in rows)
    assert any("$1.00" in text_of(row) for row in rows)


def test_a_period_that_cannot_be_is_told_beside_its_field(client: httpx.Client):
    for query, says in (
        ("from=yesterday", "is no day"),
        ("from=2026-11-27&to=2026-11-01", "before period_from"),
        ("to=9999-12-31", "send a day from 1970"),
        ("currency=GEMS", "is not an ISO 4217 currency"),
    ):
        answer = client.get(f"/test/margins?{query}")
        assert answer.status_code == 422
        assert re.search(rf'class="field-error"[^>]*>[^<]*{says}', answer.text)
        assert client.get(f"/test/margins.csv?{query}").status_code == 422


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_home_and_margins(browser: Browser, server: LiveServer, scheme: str):
    server.add_product()
    ada = server.add_customer("Ada", "0.02")
    server.use(ada, 3)
    cost_of(server, ada, "2")
    faults: list[str] = []
    for width in (390, 1280):
        context = browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 800},
        )
        page = context.new_page()
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{server.url}/?token={TOKEN}")
        for path in ("/test?span=7d", "/test/margins?by=day", "/test/margins?by=customer"):
            page.goto(server.url + path)
            if "customer" not in path:
                expect(page.locator(".chart canvas")).to_be_visible()
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        # A chart that was drawn is drawn anew in another window.
        page.goto(f"{server.url}/test?span=7d")
        canvas = page.locator(".chart canvas")
        before = canvas.evaluate("it => it.clientWidth")
        page.set_viewport_size({"width": width - 50, "height": 800})
        page.wait_for_function(
            "wide => document.querySelector('.chart canvas').clientWidth < wide", arg=before
        )
        context.close()
    assert faults == []
