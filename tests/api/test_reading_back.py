"""Looking at what was booked over REST: lists of events with their filters, single events; and the
pages beside the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.api.caller import Caller, ago, calling, event, is_problem, product, usage
from tests.api.conftest import INGEST_KEY, LIVE_KEY, READ_KEY, RunningServer


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture(scope="module")
def shop(me: Caller) -> tuple[str, str]:
    """Two customers: Ada with seven events of three kinds, Bob with one of the same id."""
    ada, bob = me.customer(external_id="ada"), me.customer(external_id="bob")
    batch = [event(f"e{n}", n, subject="alice" if n % 2 else "carol") for n in range(1, 5)]
    batch.append(event("old", 5, occurred_at=ago(days=10), description="ten days ago"))
    batch.append(event("free", event_type="ping"))
    batch.append(event("other", event_type="pong", subject="alice"))
    assert me.post("events", usage(ada, *batch)).status == 204
    assert me.post("events", usage(bob, event("e1", 9))).status == 204
    return ada, bob


def _found(me: Caller, query: str) -> list[str]:
    """The ids of the events that a query finds, the newest first."""
    answer = me.get(f"events?{query}")
    assert answer.status == 200, answer.body
    assert answer.body["total_count"] == len(answer.body["items"])
    return [item["id"] for item in answer.body["items"]]


ALL = ["other", "free", "old", "e4", "e3", "e2", "e1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ALL),
        ("&event_id=e2", ["e2"]),
        ("&event_id=nope", []),
        ("&subject=alice", ["other", "e3", "e1"]),
        ("&subject=Alice", []),
        ("&event_types=llm", ["old", "e4", "e3", "e2", "e1"]),
        ("&event_types=ping,pong,nope", ["other", "free"]),
        ("&has_fees=true", ["old", "e4", "e3", "e2", "e1"]),
        ("&has_fees=false", ["other", "free"]),
        ("&has_fees=false&subject=alice&event_types=pong", ["other"]),
        ("&has_fees=true&event_types=ping", []),
        ("&period_to=8999-12-31&period_from=1970-01-01", ALL),
        ("&period_from=8999-12-31", []),
        ("&period_to=1970-01-01", []),
    ],
)
def test_a_list_of_events_has_what_every_filter_lets_through(
    me: Caller, shop: tuple[str, str], query: str, found: list[str]
) -> None:
    assert _found(me, f"customer_id={shop[0]}{query}") == found
    assert _found(me, f"customer_external_id=ada{query}") == found


def test_a_period_is_of_whole_days_with_both_ends(me: Caller) -> None:
    customer = me.customer()
    day = (datetime.now(UTC) - timedelta(days=5)).date()
    times = {
        "before": f"{day - timedelta(days=1)}T23:59:59.999999Z",
        "first": f"{day}T00:00:00Z",
        "last": f"{day}T23:59:59.999999Z",
        "elsewhere": f"{day + timedelta(days=1)}T01:00:00+02:00",
        "after": f"{day + timedelta(days=1)}T00:00:00Z",
    }
    batch = [event(name, occurred_at=at) for name, at in times.items()]
    assert me.post("events", usage(customer, *batch)).status == 204
    mine = f"customer_id={customer}"
    whole_day = f"{mine}&period_from={day}&period_to={day}"
    assert _found(me, whole_day) == ["elsewhere", "last", "first"]
    assert _found(me, f"{mine}&period_from={day}") == ["after", "elsewhere", "last", "first"]
    assert _found(me, f"{mine}&period_to={day}") == ["elsewhere", "last", "first", "before"]


def test_pages_have_every_event_once(me: Caller, shop: tuple[str, str]) -> None:
    seen = []
    for offset in range(0, 8, 2):
        page = me.get(f"events?customer_id={shop[0]}&limit=2&offset={offset}").body
        assert (page["total_count"], page["limit"], page["offset"]) == (7, 2, offset)
        seen += [item["id"] for item in page["items"]]
    assert seen == ALL
    assert me.get(f"events?customer_id={shop[0]}").body["limit"] == 20


def test_a_listed_event_tells_whose_it_is_and_what_it_cost(
    me: Caller, shop: tuple[str, str]
) -> None:
    items = me.get(f"events?customer_id={shop[0]}").body["items"]
    old, free = items[2], items[1]
    assert (old["customer_id"], old["external_id"]) == (shop[0], "ada")
    assert (old["has_fees"], old["total_fees"], old["fee_currency"]) == (True, 5, "USD")
    assert old["description"] == "ten days ago"
    assert free["has_fees"] is False
    assert "total_fees" not in free


def test_an_event_id_of_several_customers_needs_the_customer(
    me: Caller, shop: tuple[str, str]
) -> None:
    ada, bob = shop
    answer = me.get("events/e1")
    assert is_problem(answer, 409)
    assert answer.fields == ["customer_id"]
    assert "?customer_id=" in answer.body["detail"]
    for customer, amount in ((ada, 1), (bob, 9)):
        shown = me.get(f"events/e1?customer_id={customer}").body
        assert shown["customer_id"] == customer
        assert [fee["amount"] for fee in shown["fees"]] == [amount]
    assert me.get("events/e2").body["customer_id"] == ada
    assert is_problem(me.get(f"events/e2?customer_id={bob}"), 404)
    assert is_problem(me.get("events/e2?customer_id=cust_nobody"), 404)
    assert is_problem(me.get("events/nope"), 404)


def test_a_name_is_found_by_any_part_of_it_as_it_is_written(me: Caller) -> None:
    for name in ("100% Wool", "a_b", "Plain!"):
        me.customer(name=name)
    for part, found in (
        ("0%25", ["100% Wool"]),
        ("%25", ["100% Wool"]),
        ("_", ["a_b"]),
        ("A_B", ["a_b"]),
        ("n!", ["Plain!"]),
        ("%5C", []),
    ):
        items = me.get(f"customers?name={part}").body["items"]
        assert [item["name"] for item in items] == found, part


def test_a_version_is_named_by_number_or_default(me: Caller) -> None:
    assert me.get("products/tokens/1").body == me.get("products/tokens/default").body
    for version in ("0", "2", "-1", "1.0", "%D9%A1", "latest", "1" * 5000):
        assert is_problem(me.get(f"products/tokens/{version}"), 404)


def test_the_document_describes_every_path_and_the_page_shows_it(me: Caller) -> None:
    document = me.get("/openapi.json")
    assert document.headers["content-type"] == "application/json"
    assert document.body["openapi"].startswith("3.1")
    assert "/v1/events" in document.body["paths"]
    text = json.dumps(document.body)
    for name in text.split('"#/components/schemas/')[1:]:
        assert name.split('"')[0] in document.body["components"]["schemas"]
    page = me.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for asset in ("/docs.css", "/docs.js"):
        assert asset in page.body
        assert me.get(asset).status == 200


def test_health_needs_no_key_and_metrics_need_any(shared_server: RunningServer) -> None:
    with calling(shared_server, None) as caller:
        assert (caller.get("/healthz").status, caller.get("/healthz").body) == (200, "ok\n")
        assert (caller.get("/readyz").status, caller.get("/readyz").body) == (200, "ready\n")
        assert is_problem(caller.get("/metrics"), 401)
    for key in (READ_KEY, INGEST_KEY, LIVE_KEY):
        with calling(shared_server, key) as caller:
            answer = caller.get("/metrics")
            assert answer.headers["content-type"].startswith("text/plain")
            assert "faregate_charges_total" in answer.body


@pytest.mark.parametrize("key", [READ_KEY, LIVE_KEY])
def test_a_key_can_ask_in_whose_name_it_acts(shared_server: RunningServer, key: str) -> None:
    with calling(shared_server, key) as caller:
        shown = caller.get("accounts/self").body
        assert shown["account_id"].startswith("acc_")
        assert shown["environment"] == key[3:7]


def test_an_account_says_in_which_timezone_its_days_begin(me: Caller) -> None:
    first = me.get("accounts/self").body["timezone"]
    assert first == "UTC"
    assert me.send("PATCH", "accounts/self", {"timezone": "Asia/Tokyo"}).status == 204
    limit = me.made("limits", {"amount": 1, "asset": "USD", "period": "day", "mode": "soft"})
    assert (limit["timezone"], me.get("accounts/self").body["timezone"]) == ("Asia/Tokyo",) * 2
    wrong = me.send("PATCH", "accounts/self", {"timezone": "Mars/Olympus"})
    assert (wrong.status, wrong.fields) == (422, ["timezone"])
    assert me.send("PATCH", "accounts/self", {"timezone": first}).status == 204
    # What is set up keeps its own.
    assert me.get(f"limits/{limit['id']}").body["timezone"] == "Asia/Tokyo"
    assert me.send("DELETE", f"limits/{limit['id']}").status == 204
