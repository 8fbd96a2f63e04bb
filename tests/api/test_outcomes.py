"""Outcomes over HTTP: a use is recorded as pending and paid when it is known what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.api.caller import (
    USD,
    Answer,
    Caller,
    adjustment,
    adjustments,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
    usage,
)
from tests.api.conftest import INGEST_KEY, READ_KEY, RunningServer


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        if caller.get("products/tokens").status == 404:
            caller.made("products", product())
        yield caller


@pytest.fixture
def ada(me: Caller) -> str:
    """A customer with 10 USD."""
    customer_id = me.customer()
    me.give(customer_id, "10")
    return customer_id


def settle(me: Caller, name: str, outcome: str, tid: str = "t", **more: object) -> Answer:
    return me.post(f"events/{name}/outcome", {"transaction_id": tid, "outcome": outcome, **more})


def pending(me: Caller, customer_id: str, name: str, tokens: int = 4) -> None:
    sent = usage(customer_id, event(name, tokens, outcome="pending"))
    assert me.post("events", sent).status == 204


def test_a_pending_event_says_so_and_costs_when_it_is_confirmed(me: Caller, ada: str) -> None:
    first = event("case/1", 4, outcome="pending")
    answer = me.post("events", usage(ada, first), {"Prefer": "return=representation"})
    (booked,) = answer.body["events"]
    assert (booked["status"], booked["fees"]) == ("booked", [])
    assert booked["warnings"] == ["pending: no fee until its outcome is known"]
    shown = me.get("events/case/1").body
    assert (shown["outcome"], shown["fees"]) == ("pending", [])
    assert me.available(ada) == 10

    answer = settle(me, "case/1", "confirmed", description="solved")
    assert answer.status == 200, answer.body
    (fee,) = answer.body.pop("fees")
    assert (fee["amount"], fee["product_code"], fee["input_volume"]) == (4, "tokens", 4)
    assert answer.body == {
        "event_id": "case/1",
        "customer_id": ada,
        "outcome": "confirmed",
        "reversed": [],
        "net_amounts": {"USD": 4},
        "balances": {USD: 6},
        "warnings": [],
    }
    assert me.available(ada) == 6
    found = me.get(f"customers/{ada}/wallet/transactions/t").body
    assert (found["type"], found["amount"], found["description"]) == ("fee", 4, "solved")

    changed = settle(me, "case/1", "changed", "u", data={"tokens": 1.5}).body
    assert [(r["id"], r["amount"], r["currency"]) for r in changed["reversed"]] == [
        (fee["id"], 4, "USD")
    ]
    assert changed["net_amounts"] == {"USD": Decimal("-2.5")}
    shown = me.get("events/case/1").body
    assert (shown["outcome"], shown["data"]) == ("changed", {"tokens": Decimal("1.5")})
    assert [f["amount"] for f in shown["fees"]] == [Decimal("1.5")]
    (listed,) = me.get(f"events?customer_id={ada}").body["items"]
    assert (listed["outcome"], listed["total_fees"]) == ("changed", Decimal("1.5"))
    # A repeat gets the first answer.
    again = settle(me, "case/1", "confirmed", description="solved")
    assert (again.body["fees"], again.body["balances"]) == ([fee], {USD: 6})


def test_what_was_charged_is_given_back(me: Caller, ada: str) -> None:
    assert me.post("events", usage(ada, event("plain", 4))).status == 204
    assert "outcome" not in me.get("events/plain").body
    answer = settle(me, "plain", "withdrawn")
    assert (answer.body["net_amounts"], answer.body["balances"]) == ({"USD": -4}, {USD: 10})
    shown = me.get("events/plain").body
    assert (shown["outcome"], shown["fees"]) == ("withdrawn", [])
    assert is_problem(settle(me, "plain", "confirmed", "u"), 409)
    (listed,) = me.get(f"events?customer_id={ada}&has_fees=false").body["items"]
    assert (listed["outcome"], listed["has_fees"]) == ("withdrawn", False)
    assert me.get(f"events?customer_id={ada}&has_fees=true").body["total_count"] == 0


def test_what_is_wrong_is_named(me: Caller, ada: str) -> None:
    for wrong in ("confirmed", "", 1):
        body = usage(ada, event("x", outcome=wrong))
        assert_refused(me.post("events", body), "events[0].outcome")
    pending(me, ada, "wrong")
    assert_refused(settle(me, "wrong", "pending"), "outcome")
    assert_refused(settle(me, "wrong", "confirmed", unknown=1), "unknown")
    assert_refused(settle(me, "wrong", "changed"), "data")
    assert_refused(settle(me, "wrong", "confirmed", data={"tokens": -1}), "data.tokens")
    both = {"customer_id": ada, "customer_external_id": "ada"}
    assert_refused(settle(me, "wrong", "confirmed", **both), "customer_id")
    assert_refused(me.post("events/wrong/outcome", {"outcome": "confirmed"}), "transaction_id")
    assert is_problem(settle(me, "nobody's", "confirmed"), 404)
    assert is_problem(settle(me, "wrong", "confirmed", customer_id="cust_nobody"), 404)
    me.made(adjustments(ada), adjustment("1", transaction_id="taken"))
    taken = settle(me, "wrong", "confirmed", "taken")
    assert (taken.status, taken.fields) == (409, ["transaction_id"])
    assert settle(me, "wrong", "confirmed").status == 200
    other = settle(me, "wrong", "changed", data={"tokens": 1})
    assert (other.status, other.fields) == (409, ["outcome", "data"])


def test_an_id_that_several_have_used_needs_its_customer(me: Caller, ada: str) -> None:
    bob = me.customer(external_id="bob of outcomes")
    for customer_id in (ada, bob):
        pending(me, customer_id, "shared")
    answer = settle(me, "shared", "confirmed")
    assert (answer.status, answer.fields) == (409, ["customer_id"])
    assert settle(me, "shared", "confirmed", customer_id=ada).body["customer_id"] == ada
    named = settle(me, "shared", "withdrawn", customer_external_id="bob of outcomes")
    assert named.body["customer_id"] == bob
    assert (me.available(ada), me.available(bob)) == (6, 0)


def test_a_capture_has_no_pending_events(me: Caller, ada: str) -> None:
    holds = f"customers/{ada}/wallet/holds"
    hold = me.post(holds, {"transaction_id": "h", "max_amount": 5, "asset": "USD"}).body["id"]
    body = {"transaction_id": "c", "events": [event("held", outcome="pending")]}
    answer = me.post(f"{holds}/{hold}/capture", body)
    assert_refused(answer, "events[0].outcome")
    assert "POST /events" in answer.body["detail"]


def test_who_sends_events_says_what_became_of_them(
    shared_server: RunningServer, me: Caller, ada: str
) -> None:
    pending(me, ada, "by role")
    with calling(shared_server, READ_KEY) as reader:
        assert is_problem(settle(reader, "by role", "confirmed"), 403)
    with calling(shared_server, INGEST_KEY) as sender:
        assert settle(sender, "by role", "confirmed").status == 200
