"""Holds over HTTP while time goes by: what the clock ends is over at once, for whoever looks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.api.caller import Caller, calling, event, is_problem, product
from tests.api.conftest import running_server
from tests.api.holding import amounting, asked, balance, books, held, holds, rich
from tests.ledger.shop import Clock


@pytest.fixture(scope="module")
def clock() -> Clock:
    """The server's time, a whole second so that instants are easy to compare."""
    return Clock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture(scope="module")
def me(module_database_url: str, clock: Clock) -> Iterator[Caller]:
    with running_server(module_database_url, clock) as server, calling(server) as caller:
        caller.made("products", product())
        yield caller


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_hold_is_released_at_its_expiry_for_whoever_looks(me: Caller, clock: Clock) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", subject="ada", expires_in_seconds=1))
    assert instant(hold["expires_at"]) == clock.now + timedelta(seconds=1)
    assert balance(me, customer) == (7, 3)
    clock.move(seconds=0.999)
    assert me.get(holds(customer, hold["id"])).body["status"] == "authorized"
    clock.move(seconds=0.001)
    shown = me.get(holds(customer, hold["id"])).body
    assert shown == {
        **hold,
        "status": "expired",
        "held_amount": 0,
        "available": 10,
        "pending_out": 0,
    }
    assert balance(me, customer) == (10, 0)
    accounts = me.get(f"customers/{customer}/wallet").body["accounts"]
    assert [(a["available"], a["pending_out"]) for a in accounts] == [(10, 0)]
    for query, found in (
        ("", [shown]),
        ("?status=expired", [shown]),
        ("?status=expired&subject=ada", [shown]),
        ("?status=authorized", []),
    ):
        page = me.get(holds(customer) + query).body
        assert (page["items"], page["total_count"]) == (found, len(found)), query
    # What it set aside can be held again, and the repeat is told what was told first.
    assert held(me, customer, asked("all", 10))["status"] == "authorized"
    assert held(me, customer, asked("h", subject="ada", expires_in_seconds=1)) == hold


@pytest.mark.parametrize("what", [{"amount": 2}, {"events": [event("late", 2)]}])
def test_a_late_capture_is_charged_as_any_use(me: Caller, clock: Clock, what: Any) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", expires_in_seconds=5))
    clock.move(seconds=5)
    path = holds(customer, hold["id"], "capture")
    done = me.post(path, {"transaction_id": "c", **what})
    assert (done.status, done.body["captured_amount"], done.body["released_amount"]) == (200, 2, 0)
    assert (done.body["hold"]["status"], done.body["hold"]["captured_amount"]) == ("expired", 2)
    assert me.post(path, {"transaction_id": "c", **what}).body == done.body
    assert balance(me, customer) == (8, 0)


def test_a_late_capture_is_refused_where_it_was_said_so(me: Caller, clock: Clock) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", expires_in_seconds=5, late_capture="reject"))
    clock.move(seconds=5)
    before = books(me, customer)
    for what, body in (
        ("capture", {"transaction_id": "c", "amount": 2}),
        ("capture", {"transaction_id": "c", "events": [event("late", 2)]}),
        ("update", {"transaction_id": "c", "used": {"amount": 2}, "want": {"amount": 1}}),
    ):
        answer = me.post(holds(customer, hold["id"], what), body)
        assert is_problem(answer, 409)
        assert "expired" in answer.body["detail"]
    assert books(me, customer) == before


def test_a_late_update_settles_what_was_used_and_grants_nothing(me: Caller, clock: Clock) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", 2, expires_in_seconds=5, final_action="restrict"))
    clock.move(seconds=5)
    body = {
        "transaction_id": "u",
        "used": {"events": [event("late slice", 2)]},
        "want": {"data": {"tokens": 2}},
    }
    answer = me.post(holds(customer, hold["id"], "update"), body).body
    assert (answer["captured_amount"], answer["granted"]) == (2, 0)
    assert (answer["final"], answer["final_action"]) == (True, "restrict")
    assert answer["hold"]["status"] == "expired"
    assert balance(me, customer) == (8, 0)


def test_a_hold_lives_longer_when_it_is_extended_and_never_shorter(
    me: Caller, clock: Clock
) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", expires_in_seconds=60))
    path = holds(customer, hold["id"], "extend")
    clock.move(seconds=30)
    assert me.post(path, {"expires_in_seconds": 1}).body["expires_at"] == hold["expires_at"]
    longer = me.post(path, {"expires_in_seconds": 60}).body
    assert instant(longer["expires_at"]) == clock.now + timedelta(seconds=60)
    clock.move(seconds=59)
    assert me.get(holds(customer, hold["id"])).body == longer
    clock.move(seconds=1)
    assert me.get(holds(customer, hold["id"])).body["status"] == "expired"
    answer = me.post(path, {"expires_in_seconds": 60})
    assert is_problem(answer, 409)
    assert "expired" in answer.body["detail"]


def test_an_update_gives_a_hold_its_life_anew(me: Caller, clock: Clock) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", 1, expires_in_seconds=60))
    for number in range(3):
        clock.move(seconds=59)
        body = {
            "transaction_id": f"u{number}",
            "used": {"events": [event(f"e{number}")]},
            "want": {"data": {"tokens": 1}},
        }
        answer = me.post(holds(customer, hold["id"], "update"), body).body
        assert (answer["granted"], answer["final"]) == (1, False)
        assert instant(answer["hold"]["expires_at"]) == clock.now + timedelta(seconds=60)
    assert balance(me, customer) == (6, 1)


def test_a_call_never_outlives_its_run(me: Caller, clock: Clock) -> None:
    customer = rich(me)
    run = held(me, customer, amounting("run", 5, expires_in_seconds=60))
    call = held(me, customer, asked("call", 2, parent_id=run["id"], expires_in_seconds=600))
    assert call["expires_at"] == run["expires_at"]
    extended = me.post(holds(customer, call["id"], "extend"), {"expires_in_seconds": 600}).body
    assert extended["expires_at"] == run["expires_at"]
    clock.move(seconds=60)
    statuses = {hold["id"]: hold["status"] for hold in me.get(holds(customer)).body["items"]}
    assert statuses == {run["id"]: "expired", call["id"]: "expired"}
    assert balance(me, customer) == (10, 0)
    refused = me.post(holds(customer), asked("next", 1, parent_id=run["id"]))
    assert (refused.status, refused.fields) == (422, ["parent_id"])


def test_a_grant_that_expires_while_it_is_held_still_pays(me: Caller, clock: Clock) -> None:
    customer = me.customer()
    gift = {
        "transaction_id": "gift",
        "asset": "USD",
        "reason": "gift",
        "amount": 5,
        "expires_at": (clock.now + timedelta(seconds=30)).isoformat(),
    }
    me.made(f"customers/{customer}/wallet/adjustments", gift)
    hold = held(me, customer, asked("h", 4))
    clock.move(seconds=30)
    assert balance(me, customer) == (0, 4)
    body = {"transaction_id": "c", "events": [event("e", 3)]}
    done = me.post(holds(customer, hold["id"], "capture"), body).body
    # What goes back to it is gone with it.
    assert (done["captured_amount"], done["released_amount"], done["available"]) == (3, 1, 0)
