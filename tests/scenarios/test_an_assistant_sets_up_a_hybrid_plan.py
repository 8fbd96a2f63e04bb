"""A monthly fee with calls included, and calls beyond them that were bought: an assistant sets it
up by tools alone, a month goes by on a test clock, and what was included and not used is gone while
what was bought is still there."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tests.api.conftest import RunningServer, running_server
from tests.ledger.shop import Clock
from tests.scenarios.scripted import Assistant, assistant
from tests.scenarios.verifying import Sold, verify

BACK = {
    "return_url": "https://app.example.com/thanks",
    "failure_url": "https://app.example.com/sorry",
}
FEE = {
    "type": "fixed",
    "name": "Month",
    "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
    "pricing": [{"asset": "USD", "values": [{"unit_price": 20}]}],
}
CALL = {
    "type": "usage_based",
    "name": "Call",
    "billing_model": {"type": "real_time"},
    "usage_calculation": {"event_type": "call", "usage_type": "unit"},
    "pricing": [{"asset": "CALLS", "values": [{"unit_price": 1}]}],
}
INCLUDED = {
    "name": "Included",
    "asset": "CALLS",
    "amount": 100,
    "purpose": "bundled",
    "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
}
PRO = Sold("pro", "call", {}, "CALLS", Decimal(1), 10, fee=("USD", 20))


@pytest.fixture
def server(database_url: str) -> Iterator[RunningServer]:
    with running_server(database_url, Clock(), has_pages=True) as server:
        yield server


@pytest.fixture
def me(server: RunningServer) -> Iterator[Assistant]:
    with assistant(server.url) as me:
        rates = [{"source": "USD", "rate": 0.25}]
        me.call("create_asset", code="CALLS", name="Calls", precision=0, rates=rates)
        me.call(
            "create_product",
            name="Pro",
            code="pro",
            publish=True,
            prices=[FEE, CALL],
            entitlements=[INCLUDED],
        )
        yield me


def pay(me: Assistant, customer: str, amount: int, **more: Any) -> None:
    """The customer pays by card, on the page that the assistant has made for them."""
    top_up = me.call(
        "create_top_up", customer_id=customer, amount=amount, currency="USD", **more, **BACK
    )
    card = {"number": "4242424242424242", "expiry": "11/39", "code": "123"}
    assert BACK["return_url"] in httpx.post(top_up["redirect_url"], data=card).text


def call(me: Assistant, customer: str, name: str, now: str, number: int) -> None:
    """Calls that are told of afterwards."""
    events = [
        {"id": f"{name}-{each}", "event_type": "call", "occurred_at": now, "data": {}}
        for each in range(number)
    ]
    me.call("send_events", customer_id=customer, events=events)


def test_included_calls_go_first_bought_ones_stay_and_a_month_brings_new_ones(
    server: RunningServer, me: Assistant
) -> None:
    clock = me.call("manage_test_clocks", action="create", now="2026-03-02T12:00:00Z")["id"]
    subscription = {"products": [{"code": "pro"}]}
    made = me.call(
        "create_customer", name="Grace", test_clock_id=clock, subscriptions=[subscription]
    )
    grace = made["id"]
    assert made["subscriptions"][0]["status"] == "action_required"
    pay(me, grace, 50)
    seen = me.call("look_up_customer", action="subscriptions", customer_id=grace)
    assert [one["status"] for one in seen["items"]] == ["active"]
    assert me.available(grace, "default:USD") == 30
    assert me.available(grace, "default:CALLS") == 100

    pay(me, grace, 10, destination={"asset": "CALLS"})
    assert me.available(grace, "default:CALLS") == 140
    call(me, grace, "march", "2026-03-02T12:00:00Z", 60)
    me.call("manage_test_clocks", action="advance", clock_id=clock, to="2026-03-20T12:00:00Z")
    call(me, grace, "more", "2026-03-20T12:00:00Z", 45)
    assert me.available(grace, "default:CALLS") == 35
    grants = me.call(
        "look_up_customer", action="grants", customer_id=grace, account_id="default:CALLS"
    )
    left = {grant["purpose"]: grant["available"] for grant in grants["items"]}
    assert left == {"bundled": 0, "paid": 35}

    me.call("manage_test_clocks", action="advance", clock_id=clock, to="2026-04-02T12:00:00Z")
    assert me.available(grace, "default:USD") == 10
    assert me.available(grace, "default:CALLS") == 135
    call(me, grace, "april", "2026-04-02T12:00:00Z", 1)
    why = me.call("explain_event", event_id="april-0")
    assert why["sentence"] == "1 use × 1 CALLS = 1 CALLS, from bundled grant."

    # What April included and was not used is gone with it; the fee is not covered and asks.
    me.call("manage_test_clocks", action="advance", clock_id=clock, to="2026-05-02T12:00:00Z")
    assert me.available(grace, "default:USD") == 10
    assert me.available(grace, "default:CALLS") == 35
    pay(me, grace, 10)
    assert me.available(grace, "default:USD") == 0
    assert me.available(grace, "default:CALLS") == 135
    assert server.wait(server.engine.verify()).is_clean


def test_the_plan_passes_verification(server: RunningServer, me: Assistant) -> None:
    rows = verify(me, PRO, "plan", server.engine.now().isoformat())
    assert [row.number for row in rows if row.has_passed] == list(range(1, 13))
    assert rows[8].seen == "108 CALLS = 110 - 2 × 1"
