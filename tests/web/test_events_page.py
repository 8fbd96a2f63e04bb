"""The pages of events and of long work: what a founder looks for is found, explained, given back
and exported; what others have typed in is shown and does nothing."""

from __future__ import annotations

import asyncio
import csv
import html
import io
import re
from datetime import UTC, datetime

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from tests.web.forms import errors_of, send
from tests.web.live import TOKEN, LiveServer

from faregate import Engine, UsageEvent
from faregate.core.amounts import Number
from faregate.core.costs import Cost

ODD = '"><script>alert(1)</script>/../?#'


def event_page(customer_id: str, event_id: str) -> httpx.URL:
    return httpx.URL("/test/events/event", params={"customer_id": customer_id, "id": event_id})


def wait_for(server: LiveServer, where: str) -> None:
    """Wait until the server's worker has done the job that is shown there."""

    async def wait(engine: Engine) -> None:
        name = where.rpartition("/")[2]
        while (await engine.get_job(name)).is_open:  # noqa: ASYNC110 - pages look, too
            await asyncio.sleep(0.01)

    server.run(wait)


def test_an_event_is_found_by_filters_in_the_address_and_explained(
    server: LiveServer, client: httpx.Client
) -> None:
    server.add_product()
    ada, ben = server.add_customer("Ada <b>", "0.02"), server.add_customer("Ben")
    server.use(ada, 3)
    server.use(ben, 2, "unknown")
    odd = UsageEvent(
        ODD,
        "api_call",
        datetime.now(UTC),
        subject=ODD,
        data={"model": "large"},
        costs=[Cost("c", Number("0.5"), vendor_external_id="openai")],
    )
    server.run(lambda engine: engine.record_events(ada, [odd]))

    everything = client.get("/test/events")
    assert everything.status_code == 200
    assert everything.text.count("<tr>") == 7
    assert "<script>alert" not in everything.text
    assert "Ada &lt;b&gt;" in everything.text
    found = client.get("/test/events", params={"data_key": "model", "data_text": "large"}).text
    assert found.count("<tr>") == 2
    link = html.unescape(re.search(r'href="([^"]+)" class="event-id"', found)[1])  # type: ignore[index]
    one = client.get(link)
    assert one.status_code == 200
    assert html.escape(ODD) in one.text.replace("&#34;", "&quot;")
    assert "<script>alert" not in one.text
    # 0.02 paid one event and more than half of the second: the last is beyond the balance.
    assert "1 use × $0.0125 = $0.0125, from beyond the balance (overdraft)" in one.text
    assert "(below zero)" in one.text
    assert "openai" in one.text
    assert client.get("/test/events", params={"shows": "unpriced"}).text.count("<tr>") == 3
    assert "No event fits" in client.get("/test/events", params={"subject": "x"}).text

    wrong = client.get("/test/events", params={"min_fee": "much", "customer": ada})
    assert wrong.status_code == 422
    assert errors_of(wrong) == ["is 'much': write a number, e.g. 12.50"]
    for name, value in (("customer", "nobody"), ("period_from", "soon"), ("shows", "all")):
        wrong = client.get("/test/events", params={name: value})
        assert wrong.status_code == 422
        assert errors_of(wrong)
    assert client.get("/test/events", params={"cursor": "x"}).status_code == 422
    assert client.get(event_page(ben, ODD)).status_code == 404
    assert client.get(event_page(ada, ODD).copy_with(path="/live/events/event")).status_code == 404


def test_an_event_is_given_back_once_and_changed_by_its_data(
    server: LiveServer, client: httpx.Client
) -> None:
    server.add_product()
    ada = server.add_customer("Ada")
    server.use(ada, 2)

    def available() -> str:
        return str(server.run(lambda e: e.get_account(ada, "default:USD")).available)

    page = str(event_page(ada, "event-1"))
    wrong = send(client, page, outcome="changed", data="{not json")
    assert (wrong.status_code, available()) == (400, "9.975")
    changed = send(client, page, outcome="changed", data='{"n": 1.10}', transaction_id="a")
    assert changed.status_code == 303
    assert "<dd>1.1</dd>" in client.get(page).text
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)[1]  # type: ignore[index]
    for _ in range(2):
        form = {"csrf": csrf, "outcome": "withdrawn", "transaction_id": "b"}
        assert client.post(page, data=form).status_code == 303
    assert available() == "9.9875"
    shown = client.get(page).text
    assert "Given back" in shown
    assert "Withdraw and give back" not in shown


def test_an_export_is_asked_for_left_and_fetched(server: LiveServer, client: httpx.Client) -> None:
    server.add_product()
    ada, ben = server.add_customer("Ada"), server.add_customer("Ben")
    server.use(ada, 3)
    server.use(ben, 2)
    asked = send(client, "/test/events", "/test/events/export", customer=ben, format="csv")
    assert asked.status_code == 303
    where = asked.headers["location"]
    wait_for(server, where)
    assert ">Done<" in client.get(where).text
    file = client.get(f"{where}/file")
    assert file.headers["content-type"].startswith("text/csv")
    assert file.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert [row["customer_name"] for row in rows] == ["Ben", "Ben"]
    assert [row["amount"] for row in rows] == ["0.0125", "0.0125"]

    proof = send(client, "/test/jobs", "/test/jobs/verify").headers["location"]
    wait_for(server, proof)
    assert "The books balance." in client.get(proof).text
    listed = client.get("/test/jobs").text
    assert listed.index("Proof of the books") < listed.index("Export of events")
    # Another mode's jobs are not there, and nobody fetches a file who is not signed in.
    assert client.get(where.replace("/test/", "/live/")).status_code == 404
    with httpx.Client(base_url=server.url) as stranger:
        assert stranger.get(f"{where}/file").headers["location"].startswith("/sign-in")
    # Finance may export as well, and ends what is their own.
    cookies = {"faregate_session": server.add_operator("finance")}
    with httpx.Client(base_url=server.url, cookies=cookies) as finance:
        assert finance.get(f"{where}/file").status_code == 200
        own = send(finance, "/test/events", "/test/events/export").headers["location"]
        wait_for(server, own)
        for other in (f"{where}/delete", f"{where}/move"):
            assert send(finance, own, other).status_code == 403
        assert send(finance, own, f"{own}/delete").status_code == 303
    assert send(client, where, f"{where}/delete").headers["location"] == "/test/jobs"
    assert client.get(f"{where}/file").status_code == 404
    assert send(client, "/test/events", "/test/events/export", customer="x").status_code == 422
    assert client.post(f"{proof}/delete", data={"csrf": "wrong"}).status_code == 403


def test_from_the_list_to_a_file_with_a_keyboard_on_a_telephone(
    server: LiveServer, page: Page
) -> None:
    server.add_product()
    ada = server.add_customer("Ada")
    server.use(ada, 3)
    page.goto(f"{server.url}/?token={TOKEN}")
    for path in ("events", str(event_page(ada, "event-1"))[len("/test/") :], "jobs"):
        page.goto(f"{server.url}/test/{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert Axe().run(page).violations_count == 0
    page.goto(f"{server.url}/test/events")
    field = page.get_by_label("Customer")
    field.focus()
    expect(field).to_be_focused()
    page.keyboard.type("Nobody")
    page.keyboard.press("Enter")
    expect(page.locator(".field-error")).to_contain_text("nobody's id")
    field = page.get_by_label("Customer")
    field.fill(ada)
    field.press("Enter")
    expect(page.locator("#events tbody tr")).to_have_count(3)
    export = page.get_by_role("button", name="Export CSV")
    export.focus()
    expect(export).to_be_focused()
    page.keyboard.press("Enter")
    # The page follows the work by itself.
    link = page.get_by_role("link", name="Download")
    expect(link).to_be_visible(timeout=20_000)
    assert Axe().run(page).violations_count == 0
    with page.expect_download() as fetched:
        link.focus()
        page.keyboard.press("Enter")
    assert fetched.value.suggested_filename.endswith(".csv")
