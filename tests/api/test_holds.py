"""Holds over HTTP: asked for, granted or declined, captured, used in slices, let go of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import USD, Caller, calling, event, is_problem, product, usage
from tests.api.conftest import RunningServer
from tests.api.holding import amounting, asked, balance, books, held, holds, rich


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def test_a_hold_from_asking_to_capture(me: Caller) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h1", subject="ada"))
    assert {k: hold[k] for k in ("status", "asset", "account_id", "amount", "held_amount")} == {
        "status": "authorized",
        "asset": "USD",
        "account_id": USD,
        "amount": 3,
        "held_amount": 3,
    }
    assert (hold["available"], hold["pending_out"], hold["subject"]) == (7, 3, "ada")
    assert balance(me, customer) == (7, 3)
    body = {"transaction_id": "c1", "events": [event("e1", 2)]}
    done = me.post(holds(customer, hold["id"], "capture"), body)
    assert done.status == 200
    assert (done.body["captured_amount"], done.body["released_amount"]) == (2, 1)
    assert [fee["amount"] for fee in done.body["fees"]] == [2]
    assert done.body["hold"]["status"] == "captured"
    assert balance(me, customer) == (8, 0)
    assert me.get(holds(customer, hold["id"])).body["captured_amount"] == 2
    assert me.get(f"events/e1?customer_id={customer}").body["fees"][0]["amount"] == 2


@pytest.mark.parametrize(
    ("body", "code", "top_up"),
    [
        (asked("d", 11), "insufficient_funds", 1),
        ({"transaction_id": "d", "max_amount": 10.5, "asset": "USD"}, "insufficient_funds", 0.5),
        ({"transaction_id": "d", "event_type": "unknown"}, "no_price", None),
    ],
)
def test_a_decline_is_an_answer_that_says_what_would_help(
    me: Caller, body: Any, code: str, top_up: float | None
) -> None:
    customer = rich(me)
    hold = held(me, customer, body)
    assert (hold["status"], hold["decline_code"], hold["amount"]) == ("declined", code, 0)
    assert hold.get("top_up_needed") == (None if top_up is None else Decimal(str(top_up)))
    assert hold["detail"]
    assert balance(me, customer) == (10, 0)
    assert is_problem(
        me.post(holds(customer, hold["id"], "capture"), {"transaction_id": "c", "amount": 1}), 409
    )


def test_an_inactive_subscription_is_said_to_be_the_reason(me: Caller) -> None:
    customer = rich(me)
    subscription = me.get(f"customers/{customer}").body["subscriptions"][0]["id"]
    path = f"customers/{customer}/subscriptions/{subscription}"
    assert me.patch(path, {"status": "inactive"}).status == 204
    assert held(me, customer, asked("h"))["decline_code"] == "subscription_inactive"


def test_a_use_in_slices_until_there_is_no_more(me: Caller) -> None:
    customer = rich(me, "4")
    hold = held(me, customer, asked("s", 2, final_action="redirect"))
    path = holds(customer, hold["id"], "update")
    granted = []
    for number in range(3):
        body = {
            "transaction_id": f"u{number}",
            "used": {"events": [event(f"slice {number}", 2)]} if number < 2 else {},
            "want": {"data": {"tokens": 2}},
        }
        answer = me.post(path, body)
        assert answer.status == 200, answer.body
        granted.append((answer.body["granted"], answer.body["final"]))
    assert granted == [(2, False), (0, True), (0, True)]
    assert answer.body["final_action"] == "redirect"
    assert answer.body["top_up_needed"] == 2
    assert balance(me, customer) == (0, 0)


def test_captures_in_parts_extending_and_voiding(me: Caller) -> None:
    customer = rich(me)
    hold = held(me, customer, {"transaction_id": "h", "max_amount": 6, "asset": "USD"})
    part = me.post(
        holds(customer, hold["id"], "capture"),
        {"transaction_id": "c1", "amount": 1.5, "final": False},
    )
    assert (part.body["hold"]["status"], part.body["hold"]["held_amount"]) == (
        "authorized",
        Decimal("4.5"),
    )
    later = me.post(holds(customer, hold["id"], "extend"), {"expires_in_seconds": 86_400})
    assert later.body["expires_at"] > hold["expires_at"]
    for _ in range(2):
        voided = me.post(holds(customer, hold["id"], "void"), {})
        assert (voided.status, voided.body["status"]) == (200, "voided")
    assert balance(me, customer) == (Decimal("8.5"), 0)
    assert is_problem(
        me.post(holds(customer, hold["id"], "extend"), {"expires_in_seconds": 9}), 409
    )


def test_a_run_has_a_budget_from_which_its_calls_draw(me: Caller) -> None:
    customer = rich(me)
    run = held(me, customer, {"transaction_id": "run", "max_amount": 5, "asset": "USD"})
    calls = [held(me, customer, asked(f"call {n}", 2, parent_id=run["id"])) for n in range(3)]
    assert [c["status"] for c in calls] == ["authorized", "authorized", "declined"]
    assert balance(me, customer) == (5, 5)
    me.post(holds(customer, calls[0]["id"], "capture"), {"transaction_id": "c", "amount": 1})
    done = me.post(holds(customer, run["id"], "capture"), {"transaction_id": "e", "amount": 0})
    assert (done.body["hold"]["captured_amount"], done.body["released_amount"]) == (1, 4)
    assert me.get(holds(customer, calls[1]["id"])).body["status"] == "voided"
    assert balance(me, customer) == (9, 0)


def test_a_batch_is_decided_in_order_and_refused_whole(me: Caller) -> None:
    customer = rich(me)
    batch = {"holds": [asked(f"b{n}", 1) for n in range(100)]}
    answer = me.post(holds(customer, "batch"), batch)
    counted = Counter(hold["status"] for hold in answer.body["holds"])
    assert counted == {"authorized": 10, "declined": 90}
    before = books(me, customer)
    wrong = {"holds": [asked("c1", 1), asked("c2", -1)]}
    refused = me.post(holds(customer, "batch"), wrong)
    assert is_problem(refused, 422)
    assert refused.fields == ["holds[1].data.tokens"]
    too_many = {"holds": [asked(f"d{n}") for n in range(101)]}
    assert me.post(holds(customer, "batch"), too_many).fields == ["holds"]
    assert books(me, customer) == before
    assert me.get(holds(customer)).body["total_count"] == 100


def test_holds_are_listed_by_status_and_subject_the_newest_first(me: Caller) -> None:
    customer = rich(me)
    made = [held(me, customer, asked(f"l{n}", 1, subject=f"s{n % 2}")) for n in range(5)]
    me.post(holds(customer, made[0]["id"], "void"), {})
    listed = me.get(holds(customer) + "?limit=2&offset=1").body
    assert [h["id"] for h in listed["items"]] == [made[3]["id"], made[2]["id"]]
    assert (listed["total_count"], listed["limit"], listed["offset"]) == (5, 2, 1)
    for query, places in (
        ("status=voided", [0]),
        ("status=authorized&subject=s0", [4, 2]),
        ("subject=s1", [3, 1]),
        ("status=expired", []),
    ):
        found = me.get(f"{holds(customer)}?{query}").body["items"]
        assert [h["id"] for h in found] == [made[n]["id"] for n in places], query


def test_a_decline_leaves_no_trace_in_the_wallet_and_is_listed(me: Caller) -> None:
    customer = me.customer()
    wallet = me.get(f"customers/{customer}/wallet").body
    declined = held(me, customer, amounting("d", account_name="other"))
    assert (declined["account_id"], declined["decline_code"]) == ("other:USD", "insufficient_funds")
    assert me.get(f"customers/{customer}/wallet").body == wallet
    listed = me.get(holds(customer) + "?status=declined").body
    assert [hold["id"] for hold in listed["items"]] == [declined["id"]]
    assert me.get(holds(customer, declined["id"])).body == declined


def test_a_decline_passes_once_what_it_needs_is_there(me: Caller) -> None:
    customer = rich(me, "2.5")
    declined = held(me, customer, asked("first"))
    assert declined["top_up_needed"] == Decimal("0.5")
    assert "top up at least 0.5 USD" in declined["detail"]
    me.give(customer, str(declined["top_up_needed"]))
    # The decline is kept under its id; a new one is asked for anew.
    assert held(me, customer, asked("first")) == declined
    assert held(me, customer, asked("second"))["status"] == "authorized"
    assert balance(me, customer) == (0, 3)


def test_a_hold_takes_what_there_is_from_its_minimum_on(me: Caller) -> None:
    customer = rich(me, "4")
    partial = {"allow_partial": True, "min_amount": 3}
    first = held(me, customer, asked("first", 10, **partial))
    assert (first["status"], first["amount"], balance(me, customer)) == ("authorized", 4, (0, 4))
    me.give(customer, "2.999999999")
    second = held(me, customer, asked("second", 10, **partial))
    assert (second["decline_code"], second["top_up_needed"]) == (
        "insufficient_funds",
        Decimal("7.000000001"),
    )


def test_an_upper_bound_is_held_and_what_was_used_is_charged(me: Caller) -> None:
    customer = rich(me)
    bound = {**asked("b"), "data": {"max_tokens": 8}, "estimate": "upper_bound"}
    hold = held(me, customer, bound)
    assert (hold["amount"], hold["available"]) == (8, 2)
    body = {"transaction_id": "c", "events": [event("e", 5)]}
    done = me.post(holds(customer, hold["id"], "capture"), body).body
    assert (done["captured_amount"], done["released_amount"], done["available"]) == (5, 3, 5)


def test_a_hold_on_a_custom_asset_counts_in_its_own_decimals(me: Caller) -> None:
    me.made("assets", {"code": "GEMS", "name": "Gems", "precision": 2})
    customer = me.customer()
    me.give(customer, "1", "GEMS")
    refused = me.post(holds(customer), amounting("h", 0.125, asset="GEMS"))
    assert (refused.status, refused.fields) == (422, ["max_amount"])
    hold = held(me, customer, amounting("h", 0.25, asset="GEMS"))
    assert (hold["account_id"], hold["available"]) == ("default:GEMS", Decimal("0.75"))
    assert balance(me, customer) == (0, 0)


def test_more_than_was_held_comes_from_the_balance_and_then_from_the_overdraft(me: Caller) -> None:
    customer = rich(me, "5")
    hold = held(me, customer, amounting("h", 2))
    body = {"transaction_id": "c", "amount": 6.5}
    done = me.post(holds(customer, hold["id"], "capture"), body).body
    assert (done["captured_amount"], done["released_amount"]) == (Decimal("6.5"), 0)
    assert done["hold"]["amount"] == 2
    assert balance(me, customer) == (Decimal("-1.5"), 0)


def test_more_than_an_account_without_overdraft_has_is_refused_and_the_hold_stays(
    me: Caller,
) -> None:
    customer = rich(me, "5")
    overdraft = {"overdraft": {"policy": "reject"}}
    assert me.patch(f"customers/{customer}/wallet/{USD}", overdraft).status == 200
    hold = held(me, customer, amounting("h", 2))
    before = books(me, customer)
    for what in (
        {"amount": 6},
        {"events": [event("e", 6)]},
    ):
        path = holds(customer, hold["id"], "capture")
        assert is_problem(me.post(path, {"transaction_id": "c", **what}), 402)
        path = holds(customer, hold["id"], "update")
        body = {"transaction_id": "c", "used": what, "want": {"amount": 1}}
        assert is_problem(me.post(path, body), 402)
    assert books(me, customer) == before
    # The id stays free.
    path = holds(customer, hold["id"], "capture")
    assert me.post(path, {"transaction_id": "c", "amount": 5}).status == 200
    assert balance(me, customer) == (0, 0)


def test_what_was_captured_is_a_transaction_and_its_events_are_listed(me: Caller) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h", 6))
    path = holds(customer, hold["id"], "capture")
    assert me.post(path, {"transaction_id": "c1", "amount": 1, "final": False}).status == 200
    events = [event("e1", 2), event("e2", 1)]
    done = me.post(path, {"transaction_id": "c2", "events": events}).body
    found = me.get(f"customers/{customer}/wallet/transactions/c1").body
    assert (found["type"], found["amount"], found["account_id"]) == ("fee", 1, USD)
    listed = me.get(f"events?customer_id={customer}").body
    assert [item["id"] for item in listed["items"]] == ["e2", "e1"]
    assert [fee["amount"] for fee in done["fees"]] == [2, 1]
    for fee in done["fees"]:
        shown = me.get(f"customers/{customer}/wallet/transactions/{fee['id']}").body
        assert shown["amount"] == fee["amount"]
    # Events that are captured are booked once, whichever way they come again.
    assert me.post("events", {"customer_id": customer, "events": events}).status == 204
    assert balance(me, customer) == (6, 0)


@pytest.mark.parametrize("what", ["capture", "update"])
def test_an_event_that_was_booked_before_is_no_fee_of_the_settlement(me: Caller, what: str) -> None:
    customer = rich(me)
    before, twice = event("before", 2), event("twice", 1)
    assert me.post("events", {"customer_id": customer, "events": [before]}).status == 204
    hold = held(me, customer, asked("h"))
    body: dict[str, Any] = {"events": [before, twice, twice]}
    if what == "update":
        body = {"used": body, "want": {"amount": 0}}
    done = me.post(holds(customer, hold["id"], what), {"transaction_id": "c", **body}).body
    assert [fee["amount"] for fee in done["fees"]] == [1]
    assert (done["captured_amount"], done["available"]) == (1, 7)


def test_an_ended_hold_is_neither_captured_nor_updated_nor_extended(me: Caller) -> None:
    customer = rich(me)
    names = {
        status: held(me, customer, asked(status, 2))["id"] for status in ("captured", "voided")
    }
    names["declined"] = held(me, customer, asked("declined", 99))["id"]
    body = {"transaction_id": "c", "amount": 1}
    assert me.post(holds(customer, names["captured"], "capture"), body).status == 200
    assert me.post(holds(customer, names["voided"], "void"), {}).status == 200
    before = books(me, customer)
    for status, name in names.items():
        assert me.get(holds(customer, name)).body["status"] == status
        for what, body in (
            ("capture", {"transaction_id": "c2", "amount": 1}),
            ("update", {"transaction_id": "c2", "want": {"amount": 1}}),
            ("extend", {"expires_in_seconds": 60}),
        ):
            answer = me.post(holds(customer, name, what), body)
            assert is_problem(answer, 409), (status, what)
            assert status in answer.body["detail"]
            assert name in answer.body["detail"]
    assert is_problem(me.post(holds(customer, names["captured"], "void"), {}), 409)
    for status in ("voided", "declined"):
        answer = me.post(holds(customer, names[status], "void"), {})
        assert (answer.status, answer.body["status"]) == (200, status)
    assert books(me, customer) == before


def test_pages_of_holds_have_each_hold_once(me: Caller) -> None:
    customer = rich(me)
    batch = {"holds": [asked(f"h{n}", 1) for n in range(25)]}
    made = [hold["id"] for hold in me.post(holds(customer, "batch"), batch).body["holds"]]
    seen: list[str] = []
    for offset in range(0, 30, 10):
        page = me.get(f"{holds(customer)}?limit=10&offset={offset}").body
        assert page["total_count"] == 25
        seen += [hold["id"] for hold in page["items"]]
    assert seen == made[::-1]


def test_what_a_decline_needs_is_enough_on_an_account_below_zero(me: Caller) -> None:
    customer = me.customer()
    assert me.post("events", usage(customer, event("owed", 10))).status == 204
    declined = held(me, customer, amounting("first", 1))
    me.give(customer, str(declined["top_up_needed"]))
    assert held(me, customer, amounting("second", 1))["status"] == "authorized"


def test_what_the_last_slice_needs_is_enough_on_an_account_below_zero(me: Caller) -> None:
    customer = rich(me, "3")
    path = holds(customer, held(me, customer, asked("h"))["id"], "update")
    want = {"data": {"tokens": 2}}
    used = {"events": [event("more than held", 10)]}
    last = me.post(path, {"transaction_id": "u1", "used": used, "want": want}).body
    assert last["final"]
    me.give(customer, str(last["top_up_needed"]))
    assert not me.post(path, {"transaction_id": "u2", "want": want}).body["final"]
