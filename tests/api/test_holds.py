"""Holds over HTTP: asked for, granted or declined, captured, used in slices, let go of."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller, calling, event, is_problem, product, world
from tests.api.conftest import RunningServer

USD = "default:USD"


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def holds(customer: str, *rest: str) -> str:
    return "/".join([f"customers/{customer}/wallet/holds", *rest])


def asked(transaction_id: str, tokens: Any = 3, **more: Any) -> dict[str, Any]:
    """A hold for this many tokens, at 1 USD each."""
    return {
        "transaction_id": transaction_id,
        "event_type": "llm",
        "data": {"tokens": tokens},
        **more,
    }


def rich(me: Caller, credit: str = "10") -> str:
    """A customer with so much credit."""
    customer = me.customer()
    me.give(customer, credit)
    return customer


def held(me: Caller, customer: str, body: Any) -> Any:
    answer = me.post(holds(customer), body)
    assert answer.status == 200, answer.body
    return answer.body


def balance(me: Caller, customer: str) -> tuple[Decimal, Decimal]:
    account = me.get(f"customers/{customer}/wallet/{USD}").body
    return Decimal(account["available"]), Decimal(account["pending_out"])


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


def test_a_repeat_gets_the_first_answer_to_the_byte(me: Caller) -> None:
    customer = rich(me)
    body = json.dumps(asked("same"))
    raw = me.http.post(f"/v1/{holds(customer)}", content=body)
    hold = raw.json()
    capture = json.dumps({"transaction_id": "c", "amount": 1})
    path = f"/v1/{holds(customer, hold['id'], 'capture')}"
    first = me.http.post(path, content=capture)
    me.give(customer, "100")
    assert me.http.post(path, content=capture).content == first.content
    assert me.http.post(f"/v1/{holds(customer)}", content=body).content == raw.content
    differs = me.post(holds(customer), asked("same", 4, subject="x"))
    assert is_problem(differs, 409)
    assert sorted(differs.fields) == ["data", "subject"]
    differs = me.post(holds(customer, hold["id"], "capture"), {"transaction_id": "c", "amount": 2})
    assert is_problem(differs, 409)
    assert differs.fields == ["amount"]


def test_ten_connections_that_ask_at_once_hold_once(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = rich(me)
    body = asked("once")
    answers: list[Any] = []

    def ask() -> None:
        with calling(shared_server) as caller:
            hold = held(caller, customer, body)
            path = holds(customer, hold["id"], "capture")
            done = caller.post(path, {"transaction_id": "c", "events": [event_once]})
            answers.append((hold, done.body))

    event_once = event("once", 2)
    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 10
    assert all(answer == answers[0] for answer in answers)
    assert balance(me, customer) == (8, 0)


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
    before = world(me, customer)
    wrong = {"holds": [asked("c1", 1), asked("c2", -1)]}
    refused = me.post(holds(customer, "batch"), wrong)
    assert is_problem(refused, 422)
    assert refused.fields == ["holds[1].data.tokens"]
    too_many = {"holds": [asked(f"d{n}") for n in range(101)]}
    assert me.post(holds(customer, "batch"), too_many).fields == ["holds"]
    assert world(me, customer) == before
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


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"transaction_id": "x"}, "event_type"),
        (asked("x", max_amount=1), "max_amount"),
        (asked("x", "many"), "data.tokens"),
        (asked("x", expires_in_seconds=0), "expires_in_seconds"),
        (asked("x", expires_in_seconds=86_401), "expires_in_seconds"),
        (asked("x", min_amount=1), "min_amount"),
        (asked("x", parent_id="hld_nobody"), "parent_id"),
        (asked("x", late_capture="maybe"), "late_capture"),
        (asked("x", color="red"), "color"),
        (asked("x", metadata={"a": 1}), "metadata[...]"),
        ({"transaction_id": "x", "max_amount": "1", "asset": "USD"}, "max_amount"),
        ({"transaction_id": "x", "max_amount": 1e-10, "asset": "USD"}, "max_amount"),
        ({"transaction_id": "x", "max_amount": -1, "asset": "USD"}, "max_amount"),
        ({"transaction_id": "x", "max_amount": 1e30, "asset": "USD"}, "max_amount"),
        ({"transaction_id": "x", "max_amount": 1}, "asset"),
        ({"transaction_id": "x", "max_amount": 1, "asset": "NOPE"}, "asset"),
        ({"max_amount": 1, "asset": "USD"}, "transaction_id"),
    ],
)
def test_a_request_that_cannot_be_names_its_field_and_changes_nothing(
    me: Caller, body: Any, field: str
) -> None:
    customer = rich(me)
    before = world(me, customer)
    refused = me.post(holds(customer), body)
    assert is_problem(refused, 422), refused.body
    assert refused.fields == [field]
    assert world(me, customer) == before
    assert me.get(holds(customer)).body["total_count"] == 0


@pytest.mark.parametrize(
    ("what", "body", "status", "field"),
    [
        ("capture", {"transaction_id": "c"}, 422, "amount"),
        ("capture", {"transaction_id": "c", "amount": 1, "events": [event("e")]}, 422, "amount"),
        ("capture", {"transaction_id": "c", "amount": -1}, 422, "amount"),
        (
            "capture",
            {"transaction_id": "c", "events": [event("e", -1)]},
            422,
            "events[0].data.tokens",
        ),
        ("update", {"transaction_id": "c", "want": {}}, 422, "want.amount"),
        ("update", {"transaction_id": "c", "want": {"amount": -1}}, 422, "want.amount"),
        (
            "update",
            {"transaction_id": "c", "used": {"amount": -1}, "want": {"amount": 1}},
            422,
            "used.amount",
        ),
        (
            "update",
            {"transaction_id": "c", "used": {"events": [event("e", -1)]}, "want": {"amount": 1}},
            422,
            "used.events[0].data.tokens",
        ),
        ("extend", {}, 422, "expires_in_seconds"),
        ("void", {"x": 1}, 422, "x"),
    ],
)
def test_what_is_wrong_with_a_settlement_names_its_field_and_changes_nothing(
    me: Caller, what: str, body: Any, status: int, field: str
) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h"))
    before = world(me, customer)
    refused = me.post(holds(customer, hold["id"], what), body)
    assert is_problem(refused, status), refused.body
    assert refused.fields == [field]
    assert world(me, customer) == before


def test_a_hold_of_nobody_or_of_somebody_else_is_not_found(me: Caller) -> None:
    mine, other = rich(me), rich(me)
    hold = held(me, mine, asked("h"))
    for customer, name in ((other, hold["id"]), (mine, "hld_unknown"), ("cust_x", hold["id"])):
        for what, body in (
            ("capture", {"transaction_id": "c", "amount": 1}),
            ("update", {"transaction_id": "c", "want": {"amount": 1}}),
            ("extend", {"expires_in_seconds": 5}),
            ("void", {}),
        ):
            assert is_problem(me.post(holds(customer, name, what), body), 404), (what, customer)
        assert is_problem(me.get(holds(customer, name)), 404)
    assert is_problem(me.post(holds("cust_x"), asked("h")), 404)
    assert balance(me, mine) == (7, 3)
