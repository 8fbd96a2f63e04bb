"""Holds over HTTP, sent again: whatever is repeated gets the first answer to the byte, and whatever
differs under the same name is told what.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tests.api.caller import (
    Caller,
    adjustment,
    adjustments,
    ago,
    assert_refused,
    calling,
    event,
    is_problem,
    product,
)
from tests.api.conftest import TEST_KEY, RunningServer
from tests.api.holding import amounting, asked, balance, books, held, holds, rich

NOW = ago()


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def sent(me: Caller, path: str, body: Any) -> bytes:
    """The bytes of an answer to what must succeed."""
    answer = me.http.post(f"/v1/{path}", content=json.dumps(body))
    assert answer.status_code == 200, answer.content
    return answer.content


def test_each_step_repeated_after_all_of_them_gets_its_first_answer(me: Caller) -> None:
    customer = rich(me)
    batch = {"holds": [asked("b1", 1), asked("b2", 99)]}
    steps: list[tuple[str, Any, bytes]] = []

    def step(path: str, body: Any) -> Any:
        steps.append((path, body, sent(me, path, body)))
        return json.loads(steps[-1][2])

    session = step(holds(customer), asked("h", subject="ada", metadata={"a": "b"}))["id"]
    step(holds(customer), asked("declined", 99))
    step(holds(customer, "batch"), batch)
    slice_ = {"events": [event("slice", 2)]}
    want = {"data": {"tokens": 2}}
    step(holds(customer, session, "update"), {"transaction_id": "u1", "used": slice_, "want": want})
    step(holds(customer, session, "update"), {"transaction_id": "u2", "want": {"amount": 50}})
    part = {"transaction_id": "c1", "amount": 0.5, "final": False}
    step(holds(customer, session, "capture"), part)
    last = {"transaction_id": "c2", "events": [event("last", 1)]}
    step(holds(customer, session, "capture"), last)
    me.give(customer, "100")
    before = books(me, customer)
    for path, body, first in steps:
        assert sent(me, path, body) == first, (path, body)
    assert books(me, customer) == before
    assert balance(me, customer) == (Decimal("105.5"), 1)


def test_a_repeat_may_write_its_numbers_and_fields_another_way(me: Caller) -> None:
    customer = rich(me)
    path = f"/v1/{holds(customer)}"
    text = '{"transaction_id": "h", "event_type": "llm", "data": {"tokens": 3}}'
    other = (
        '{"data":{"tokens":3.0},"event_type":"llm","transaction_id":"h","estimate":"exact",'
        '"subject":null}'
    )
    first = me.http.post(path, content=text)
    assert me.http.post(path, content=other).content == first.content
    path = f"/v1/{holds(customer, first.json()['id'], 'capture')}"
    first = me.http.post(path, content='{"transaction_id": "c", "amount": 2}')
    other = '{"final": true, "amount": 2.00, "transaction_id": "c", "events": null}'
    assert me.http.post(path, content=other).content == first.content
    assert balance(me, customer) == (8, 0)


@pytest.mark.parametrize(
    ("first", "again", "fields"),
    [
        (asked("h"), asked("h", 4), ["data"]),
        (asked("h"), asked("h", subject="x"), ["subject"]),
        (asked("h"), asked("h", expires_in_seconds=60), ["expires_in_seconds"]),
        (asked("h"), asked("h", metadata={"a": "b"}), ["metadata"]),
        (asked("h"), asked("h", allow_partial=True), ["allow_partial"]),
        (asked("h"), asked("h", late_capture="reject"), ["late_capture"]),
        (asked("h"), asked("h", final_action="redirect"), ["final_action"]),
        (asked("h", subject="x"), asked("h"), ["subject"]),
        (asked("h"), amounting("h"), ["event_type", "data", "max_amount", "asset"]),
        (amounting("h"), amounting("h", 3.000000001), ["max_amount"]),
        (amounting("h"), amounting("h", account_name="other"), ["account_name"]),
        # A decline is an answer that is kept like any other.
        (asked("h", 99), asked("h", 1), ["data"]),
    ],
)
def test_another_hold_under_the_same_id_is_told_what_differs(
    me: Caller, first: Any, again: Any, fields: list[str]
) -> None:
    customer = rich(me)
    held(me, customer, first)
    before = books(me, customer)
    answer = me.post(holds(customer), again)
    assert is_problem(answer, 409)
    assert sorted(answer.fields) == sorted(fields)
    for body in ({"holds": [again]}, {"holds": [asked("fresh", 1), again]}):
        answer = me.post(holds(customer, "batch"), body)
        assert is_problem(answer, 409)
        place = f"holds[{len(body['holds']) - 1}]"
        assert sorted(answer.fields) == sorted(f"{place}.{field}" for field in fields)
    assert books(me, customer) == before


@pytest.mark.parametrize(
    ("what", "first", "again", "fields"),
    [
        ("capture", {"amount": 1}, {"amount": 2}, ["amount"]),
        ("capture", {"amount": 1}, {"amount": 1, "final": False}, ["final"]),
        (
            "capture",
            {"events": [event("e", 1)]},
            {"events": [event("e", 2)]},
            ["events[0].data", "events[0].occurred_at"],
        ),
    ],
)
def test_another_settlement_under_the_same_id_is_told_what_differs(
    me: Caller, what: str, first: Any, again: Any, fields: list[str]
) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h"))
    path = holds(customer, hold["id"], what)
    sent(me, path, {"transaction_id": "c", **first})
    before = books(me, customer)
    answer = me.post(path, {"transaction_id": "c", **again})
    assert is_problem(answer, 409), answer.body
    assert sorted(answer.fields) == fields
    assert books(me, customer) == before


def test_an_id_that_something_else_has_is_taken(me: Caller) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h"))["id"]
    me.made(adjustments(customer), adjustment("1", transaction_id="gift"))
    update = {"transaction_id": "u", "want": {"amount": 1}}
    sent(me, holds(customer, hold, "update"), update)
    before = books(me, customer)
    for path, body in (
        (holds(customer, hold, "capture"), {"transaction_id": "gift", "amount": 1}),
        (holds(customer, hold, "capture"), {"transaction_id": "u", "amount": 1}),
        (holds(customer, hold, "update"), {**update, "transaction_id": "gift"}),
        (adjustments(customer), adjustment("1", transaction_id="u")),
    ):
        answer = me.post(path, body)
        assert is_problem(answer, 409), (path, answer.body)
        assert answer.fields == ["transaction_id"]
    assert books(me, customer) == before


def test_two_customers_have_their_own_of_the_same_ids(me: Caller) -> None:
    event_ = event("same", 2)
    answers = []
    for customer in (rich(me), rich(me)):
        hold = held(me, customer, asked("same"))
        body = {"transaction_id": "same", "events": [event_]}
        answers.append(json.loads(sent(me, holds(customer, hold["id"], "capture"), body)))
        assert balance(me, customer) == (8, 0)
    assert answers[0]["hold"]["id"] != answers[1]["hold"]["id"]


def test_a_hold_that_is_twice_in_a_batch_is_made_once(me: Caller) -> None:
    customer = rich(me)
    batch = {"holds": [asked("twice"), asked("twice"), asked("other", 1)]}
    first, second, other = me.post(holds(customer, "batch"), batch).body["holds"]
    assert first == second
    assert other["id"] != first["id"]
    assert balance(me, customer) == (6, 4)


@pytest.mark.slow
def test_ten_connections_that_send_the_same_at_once_get_the_same_bytes(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = rich(me)
    headers = {"x-credyt-api-key": TEST_KEY, "content-type": "application/json"}

    async def ten(path: str, body: Any) -> bytes:
        async def send() -> tuple[int, bytes]:
            async with httpx.AsyncClient(base_url=shared_server.url, headers=headers) as http:
                answer = await http.post(f"/v1/{path}", content=json.dumps(body), timeout=30)
                return answer.status_code, answer.content

        answers = set(await asyncio.gather(*[send() for _ in range(10)]))
        assert len(answers) == 1, answers
        status, content = answers.pop()
        assert status == 200, content
        return content

    hold = json.loads(asyncio.run(ten(holds(customer), asked("once"))))["id"]
    assert balance(me, customer) == (7, 3)
    batch = {"holds": [asked("b1", 1), asked("b2", 1)]}
    asyncio.run(ten(holds(customer, "batch"), batch))
    assert balance(me, customer) == (5, 5)
    used = {"events": [event("slice", 1)]}
    update = {"transaction_id": "u", "used": used, "want": {"data": {"tokens": 3}}}
    asyncio.run(ten(holds(customer, hold, "update"), update))
    part = {"transaction_id": "c1", "amount": 1, "final": False}
    asyncio.run(ten(holds(customer, hold, "capture"), part))
    last = {"transaction_id": "c2", "events": [event("last", 1)]}
    asyncio.run(ten(holds(customer, hold, "capture"), last))
    assert balance(me, customer) == (5, 2)
    assert me.get(f"events?customer_id={customer}").body["total_count"] == 2
    assert me.get(holds(customer)).body["total_count"] == 3


def test_ten_connections_that_let_go_at_once_release_once(
    shared_server: RunningServer, me: Caller
) -> None:
    customer = rich(me)
    hold = held(me, customer, asked("h"))["id"]

    async def void() -> Any:
        headers = {"x-credyt-api-key": TEST_KEY}
        async with httpx.AsyncClient(base_url=shared_server.url, headers=headers) as http:
            return await http.post(f"/v1/{holds(customer, hold, 'void')}", json={}, timeout=30)

    async def ten() -> list[Any]:
        return await asyncio.gather(*[void() for _ in range(10)])

    answers = asyncio.run(ten())
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {
        (200, "voided")
    }
    assert balance(me, customer) == (10, 0)


def test_an_idempotency_key_beside_a_transaction_id_changes_nothing(me: Caller) -> None:
    customer = rich(me)
    key = {"idempotency-key": "the same"}
    first = me.post(holds(customer), asked("one", 1), key)
    second = me.post(holds(customer), asked("two", 1), key)
    assert (first.status, second.status) == (200, 200)
    assert first.body["id"] != second.body["id"]
    assert me.post(holds(customer), asked("one", 1)).body == first.body
    before = books(me, customer)
    for path, body in (
        (holds(customer), asked("three", 1)),
        (holds(customer, "batch"), {"holds": [asked("three", 1)]}),
        (holds(customer, first.body["id"], "capture"), {"transaction_id": "c", "amount": 1}),
        (holds(customer, first.body["id"], "void"), {}),
    ):
        for key in ({"idempotency-key": ""}, {"idempotency-key": "k" * 201}):
            assert_refused(me.post(path, body, key), "Idempotency-Key")
    assert books(me, customer) == before


def test_a_repeat_may_write_out_the_expiry_that_it_left_out(me: Caller) -> None:
    customer = rich(me)
    first = held(me, customer, asked("h"))
    again = me.post(holds(customer), asked("h", expires_in_seconds=900))
    assert (again.status, again.body) == (200, first)


@pytest.mark.parametrize(
    ("what", "first", "again", "field"),
    [
        ("capture", {"events": [event("a")]}, {"events": [event("b")]}, "events"),
        ("update", {"used": {"amount": 1}}, {"used": {"amount": 2}}, "used.amount"),
        (
            "update",
            {"used": {"events": [event("a")]}},
            {"used": {"events": [event("b")]}},
            "used.events",
        ),
        (
            "update",
            {"used": {"events": [event("a", occurred_at=NOW)]}},
            {"used": {"events": [event("a", 2, occurred_at=NOW)]}},
            "used.events[0].data",
        ),
        ("update", {"want": {"amount": 1}}, {"want": {"amount": 2}}, "want.amount"),
    ],
)
def test_what_differs_in_a_settlement_is_named_as_the_request_names_it(
    me: Caller, what: str, first: Any, again: Any, field: str
) -> None:
    customer = rich(me)
    path = holds(customer, held(me, customer, asked("h"))["id"], what)
    rest: Any = {"transaction_id": "s"}
    if what == "update":
        rest["want"] = {"amount": 1}
    assert me.post(path, {**rest, **first}).status == 200
    answer = me.post(path, {**rest, **again})
    assert is_problem(answer, 409)
    assert answer.fields == [field]


def test_a_slice_of_true_is_not_the_slice_of_1(me: Caller) -> None:
    customer = rich(me)
    path = holds(customer, held(me, customer, asked("h"))["id"], "update")
    want: Any = {"data": {"tokens": 1}}
    assert me.post(path, {"transaction_id": "u", "want": want}).status == 200
    want = {"data": {"tokens": True}}
    assert is_problem(me.post(path, {"transaction_id": "u", "want": want}), 409)
