"""What the gate refuses by name, with nothing changed: tables of one wrong thing each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.caller import Caller, assert_refused, calling, event, is_problem, product
from tests.api.conftest import RunningServer
from tests.api.holding import amounting, asked, balance, books, held, holds, rich


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture(scope="module")
def ada(me: Caller) -> str:
    """A customer with a little credit: nothing that is asked for her here is right."""
    return rich(me)


@pytest.fixture(scope="module")
def hold(me: Caller, ada: str) -> str:
    """The one thing that she has: a hold that stays open."""
    return str(held(me, ada, asked("open"))["id"])


@pytest.fixture(autouse=True)
def _nothing_changes(me: Caller, ada: str, hold: str) -> Iterator[None]:
    before = books(me, ada)
    yield
    assert books(me, ada) == before


LARGE = {str(number): "x" * 400 for number in range(50)}
MANY = {str(number): "x" for number in range(51)}
WRONG_HOLDS = [
    ({"transaction_id": "x"}, "event_type"),
    ({"transaction_id": "x", "data": {"tokens": 1}}, "event_type"),
    ({"max_amount": 1, "asset": "USD"}, "transaction_id"),
    (amounting(""), "transaction_id"),
    (amounting("x" * 201), "transaction_id"),
    (asked("x", max_amount=1), "max_amount"),
    (asked("x", asset="USD"), "asset"),
    (asked("x", account_name="other"), "account_name"),
    (amounting("x", data={}), "data"),
    (asked("x", "many"), "data.tokens"),
    (asked("x", "3"), "data.tokens"),
    (asked("x", -1), "data.tokens"),
    (asked("x", True), "data.tokens"),
    (asked("x", 1e30), "data.tokens"),
    ({**asked("x"), "data": []}, "data"),
    ({**asked("x"), "data": {"tokens": 1, "x": "x" * 20_000}}, "data"),
    ({**asked("x"), "event_type": ""}, "event_type"),
    ({**asked("x"), "event_type": 1}, "event_type"),
    ({**asked("x"), "data": {}, "estimate": "upper_bound"}, "data.max_tokens"),
    (asked("x", estimate="guess"), "estimate"),
    (amounting("x", None), "event_type"),
    (amounting("x", "1"), "max_amount"),
    (amounting("x", True), "max_amount"),
    (amounting("x", -1), "max_amount"),
    (amounting("x", 1e-10), "max_amount"),
    (amounting("x", 1e30), "max_amount"),
    ({"transaction_id": "x", "max_amount": 1}, "asset"),
    (amounting("x", asset="NOPE"), "asset"),
    (amounting("x", asset="usd"), "asset"),
    (amounting("x", account_name="a:b"), "account_name"),
    (asked("x", min_amount=1), "min_amount"),
    (asked("x", min_amount=-1, allow_partial=True), "min_amount"),
    (asked("x", min_amount=1e-10, allow_partial=True), "min_amount"),
    (asked("x", min_amount="1", allow_partial=True), "min_amount"),
    (asked("x", allow_partial="yes"), "allow_partial"),
    *[(asked("x", expires_in_seconds=s), "expires_in_seconds") for s in (0, -1, 86_401, 1.5, "5")],
    (asked("x", parent_id="hld_nobody"), "parent_id"),
    (asked("x", parent_id=7), "parent_id"),
    (asked("x", subject="x" * 201), "subject"),
    (asked("x", late_capture="maybe"), "late_capture"),
    (asked("x", final_action="shout"), "final_action"),
    (asked("x", metadata={"a": 1}), "metadata.a"),
    (asked("x", metadata=LARGE), "metadata"),
    (asked("x", metadata=MANY), "metadata"),
    (asked("x", color="red"), "color"),
    (asked("x\x00"), "transaction_id"),
    ([], "body"),
]


@pytest.mark.parametrize(("body", "field"), WRONG_HOLDS)
def test_a_hold_that_cannot_be_names_its_field(me: Caller, ada: str, body: Any, field: str) -> None:
    assert_refused(me.post(holds(ada), body), field)


@pytest.mark.parametrize(("body", "field"), WRONG_HOLDS)
def test_one_wrong_hold_of_a_batch_is_named_by_its_place_and_none_is_made(
    me: Caller, ada: str, body: Any, field: str
) -> None:
    place = "holds[1]" if field == "body" else f"holds[1].{field}"
    batch = {"holds": [amounting("good", 1), body, amounting("good too", 1)]}
    assert_refused(me.post(holds(ada, "batch"), batch), place)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "holds"),
        ({"holds": []}, "holds"),
        ({"holds": [amounting(f"x{n}", 0) for n in range(101)]}, "holds"),
        ({"holds": amounting("x")}, "holds"),
        ({"holds": [amounting("x", 1)], "color": 1}, "color"),
        ([amounting("x", 1)], "body"),
    ],
)
def test_a_batch_has_one_to_a_hundred_holds(me: Caller, ada: str, body: Any, field: str) -> None:
    assert_refused(me.post(holds(ada, "batch"), body), field)


NOTHING = {"transaction_id": "s"}
WANT = {"amount": 1}


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("capture", NOTHING, "amount"),
        ("capture", {**NOTHING, "amount": 1, "events": [event("e")]}, "amount"),
        ("capture", {**NOTHING, "amount": None}, "amount"),
        ("capture", {**NOTHING, "amount": -1}, "amount"),
        ("capture", {**NOTHING, "amount": "1"}, "amount"),
        ("capture", {**NOTHING, "amount": 1e-10}, "amount"),
        ("capture", {**NOTHING, "amount": 1e30}, "amount"),
        ("capture", {**NOTHING, "events": []}, "events"),
        ("capture", {**NOTHING, "events": [event(f"e{n}") for n in range(1001)]}, "events"),
        ("capture", {**NOTHING, "events": [event("e", -1)]}, "events[0].data.tokens"),
        ("capture", {**NOTHING, "events": [event("e"), event("f", "1")]}, "events[1].data.tokens"),
        ("capture", {**NOTHING, "events": [event("e", color=1)]}, "events[0].color"),
        (
            "capture",
            {**NOTHING, "events": [event("e", occurred_at="2026-01-01T00:00:00")]},
            "events[0].occurred_at",
        ),
        ("capture", {**NOTHING, "amount": 1, "final": "yes"}, "final"),
        ("capture", {**NOTHING, "amount": 1, "color": 1}, "color"),
        ("capture", {"amount": 1}, "transaction_id"),
        ("capture", {"transaction_id": "", "amount": 1}, "transaction_id"),
        ("update", NOTHING, "want"),
        ("update", {**NOTHING, "want": {}}, "want.amount"),
        ("update", {**NOTHING, "want": {"amount": 1, "data": {"tokens": 1}}}, "want.amount"),
        ("update", {**NOTHING, "want": {"amount": -1}}, "want.amount"),
        ("update", {**NOTHING, "want": {"amount": "1"}}, "want.amount"),
        ("update", {**NOTHING, "want": {"amount": 1e-10}}, "want.amount"),
        ("update", {**NOTHING, "want": {"data": {"tokens": -1}}}, "want.data.tokens"),
        ("update", {**NOTHING, "want": {"data": {"tokens": "1"}}}, "want.data.tokens"),
        (
            "update",
            {**NOTHING, "want": {"data": {"tokens": 1, "x": "x" * 20_000}}},
            "want.data",
        ),
        ("update", {**NOTHING, "want": {"amount": 1, "color": 1}}, "want.color"),
        ("update", {**NOTHING, "want": WANT, "used": {"amount": -1}}, "used.amount"),
        ("update", {**NOTHING, "want": WANT, "used": {"amount": 1e-10}}, "used.amount"),
        ("update", {**NOTHING, "want": WANT, "used": {"color": 1}}, "used.color"),
        ("update", {**NOTHING, "want": WANT, "used": {"events": []}}, "used.events"),
        (
            "update",
            {**NOTHING, "want": WANT, "used": {"amount": 1, "events": [event("e")]}},
            "used.events",
        ),
        (
            "update",
            {**NOTHING, "want": WANT, "used": {"events": [event("e", -1)]}},
            "used.events[0].data.tokens",
        ),
        ("update", {"want": WANT}, "transaction_id"),
        ("extend", {}, "expires_in_seconds"),
        *[
            ("extend", {"expires_in_seconds": seconds}, "expires_in_seconds")
            for seconds in (0, 86_401, "60", None)
        ],
        ("extend", {"expires_in_seconds": 60, "color": 1}, "color"),
        ("void", {"color": 1}, "color"),
        ("void", [], "body"),
    ],
)
def test_what_is_wrong_with_a_settlement_names_its_field(
    me: Caller, ada: str, hold: str, what: str, body: Any, field: str
) -> None:
    assert_refused(me.post(holds(ada, hold, what), body), field)


def test_a_slice_of_an_amount_has_no_data(me: Caller) -> None:
    customer = rich(me)
    hold = held(me, customer, amounting("h"))["id"]
    body = {"transaction_id": "u", "want": {"data": {"tokens": 1}}}
    assert_refused(me.post(holds(customer, hold, "update"), body), "want.data")
    assert balance(me, customer) == (7, 3)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1.", "01"])
def test_what_is_no_json_is_malformed(me: Caller, ada: str, hold: str, number: str) -> None:
    for path, body in (
        (holds(ada), '{"transaction_id": "x", "asset": "USD", "max_amount": %s}'),
        (holds(ada), '{"transaction_id": "x", "event_type": "llm", "data": {"tokens": %s}}'),
        (holds(ada, hold, "capture"), '{"transaction_id": "x", "amount": %s}'),
        (holds(ada, hold, "update"), '{"transaction_id": "x", "want": {"amount": %s}}'),
        (holds(ada, hold, "extend"), '{"expires_in_seconds": %s}'),
    ):
        assert is_problem(me.post(path, body % number), 400), (path, body)


def test_a_body_is_needed_and_must_be_json(me: Caller, ada: str, hold: str) -> None:
    for rest in ([], ["batch"], *([hold, w] for w in ("capture", "update", "extend", "void"))):
        path = holds(ada, *rest)
        assert is_problem(me.post(path, ""), 400)
        assert is_problem(me.post(path, "{}", {"content-type": "text/plain"}), 415)
        assert is_problem(me.post(path, " " * (8 * 1024 * 1024 + 1)), 413)
        assert is_problem(me.send("DELETE", path), 405)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("status=open", "status"),
        ("status=voided&status=expired", "status"),
        ("subject=" + "x" * 201, "subject"),
        ("subject=%00", "subject"),
        ("color=1", "color"),
    ],
)
def test_a_wrong_filter_is_named(me: Caller, ada: str, query: str, field: str) -> None:
    assert_refused(me.get(f"{holds(ada)}?{query}"), field)


def test_a_parent_must_be_an_open_hold_of_the_same_customer_and_account(
    me: Caller, ada: str
) -> None:
    other = rich(me)
    theirs = held(me, other, amounting("theirs", 1))["id"]
    assert_refused(me.post(holds(ada), amounting("x", 1, parent_id=theirs)), "parent_id")
    assert me.post(holds(other, theirs, "void"), {}).status == 200
    assert_refused(me.post(holds(other), amounting("x", 1, parent_id=theirs)), "parent_id")
    declined = held(me, other, amounting("declined", 99))["id"]
    assert_refused(me.post(holds(other), amounting("x", 1, parent_id=declined)), "parent_id")
    run = held(me, other, amounting("run", 1))["id"]
    elsewhere = amounting("x", 1, parent_id=run, account_name="other")
    assert_refused(me.post(holds(other), elsewhere), "parent_id")
    names = [run]
    for depth in range(1, 5):
        body = amounting(f"depth {depth}", 1, parent_id=names[-1])
        names.append(held(me, other, body)["id"])
    assert_refused(me.post(holds(other), amounting("x", 1, parent_id=names[-1])), "parent_id")
    assert balance(me, other) == (9, 1)


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


@pytest.mark.parametrize("more", [{}, {"allow_partial": True, "min_amount": -1}])
def test_a_wrong_minimum_is_refused_also_where_there_is_no_price(me: Caller, more: Any) -> None:
    body = {"transaction_id": "h", "event_type": "unknown", "min_amount": 1, **more}
    assert_refused(me.post(holds(rich(me)), body), "min_amount")
