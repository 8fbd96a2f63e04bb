"""Sending events over REST: preferences, batches, repeats, conflicts, order, and being refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tests.api.caller import (
    USD,
    Answer,
    Caller,
    ago,
    calling,
    event,
    is_problem,
    product,
    read,
    usage,
)
from tests.api.conftest import TEST_KEY, RunningServer

SHOW = {"prefer": "return=representation"}
LENIENT = {"prefer": "handling=lenient"}


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


@pytest.fixture
def ada(me: Caller) -> str:
    """A new customer with 100 USD."""
    customer = me.customer()
    me.give(customer, "100")
    return customer


def _ids(me: Caller, customer_id: str) -> list[str]:
    """The customer's events, the oldest first."""
    items = me.get(f"events?customer_id={customer_id}&limit=100").body["items"]
    return [item["id"] for item in reversed(items)]


def _outcomes(answer: Answer) -> list[tuple[str, str]]:
    assert answer.status == 200, answer.body
    return [(result["id"], result["status"]) for result in answer.body["events"]]


def test_without_a_preference_the_answer_has_no_body(me: Caller, ada: str) -> None:
    answer = me.post("events", usage(ada, event("e1", 2)))
    assert (answer.status, answer.body) == (204, "")
    assert "preference-applied" not in answer.headers
    assert me.available(ada) == 98


@pytest.mark.parametrize(
    "prefer", ["return=representation", "Return=Representation", "return=representation; q=1"]
)
def test_a_representation_has_fees_and_the_balance_after_each_event(
    me: Caller, ada: str, prefer: str
) -> None:
    batch = usage(ada, event("e1", 2), event("e2", 3), event("e3", event_type="free"))
    answer = me.post("events", batch, {"prefer": prefer})
    assert answer.headers["preference-applied"] == "return=representation"
    assert _outcomes(answer) == [("e1", "booked"), ("e2", "booked"), ("e3", "booked")]
    first, second, third = answer.body["events"]
    assert [fee["amount"] for fee in first["fees"]] == [2]
    assert first["fees"] == me.get(f"events/e1?customer_id={ada}").body["fees"]
    assert [r["balances"] for r in (first, second, third)] == [{USD: 98}, {USD: 95}, {USD: 95}]
    assert (third["fees"], third["warnings"]) == ([], ["no price for event_type=free: no fee"])


def test_one_bad_event_refuses_a_batch_by_its_place(me: Caller, ada: str) -> None:
    batch = usage(
        ada, event("e1"), event("e2"), event("e3", -1), event("e4", occurred_at=ago(days=40))
    )
    for headers in ({}, SHOW):
        answer = me.post("events", batch, headers)
        assert is_problem(answer, 422)
        assert answer.fields == ["events[2].data.tokens"]
        assert answer.body["detail"].startswith("events[2]")
    assert (_ids(me, ada), me.available(ada)) == ([], 100)


def test_a_lenient_batch_gives_each_event_its_own_status(me: Caller, ada: str) -> None:
    first = event("e1")
    assert me.post("events", usage(ada, first)).status == 204
    batch = usage(
        ada, first, event("e2", -1), event("e3", 3), {**first, "subject": "x"}, event("e3", 4)
    )
    answer = me.post("events", batch, LENIENT)
    assert answer.headers["preference-applied"] == "handling=lenient"
    assert _outcomes(answer) == [
        ("e1", "repeat"),
        ("e2", "refused"),
        ("e3", "booked"),
        ("e1", "refused"),
        ("e3", "refused"),
    ]
    problems = [r["problem"] for r in answer.body["events"] if r["status"] == "refused"]
    assert [(p["status"], list(p["errors"])) for p in problems] == [
        (422, ["events[1].data.tokens"]),
        (409, ["events[3].subject"]),
        (409, ["events[4].occurred_at", "events[4].data"]),
    ]
    assert (_ids(me, ada), me.available(ada)) == (["e1", "e3"], 96)


def test_a_repeat_gets_the_first_answer_whatever_happened_since(me: Caller, ada: str) -> None:
    batch = usage(ada, event("e1", 2), event("e2", 3))
    first = me.post("events", batch, SHOW)
    me.give(ada, "7")
    assert me.post("events", usage(ada, event("e3", 1))).status == 204
    again = me.post("events", batch, SHOW)
    assert _outcomes(again) == [("e1", "repeat"), ("e2", "repeat")]
    assert [{**r, "status": "booked"} for r in again.body["events"]] == first.body["events"]
    assert me.available(ada) == 101


def test_a_repeat_may_write_the_same_values_in_another_way(me: Caller, ada: str) -> None:
    sent = event("e1", 100, occurred_at="2026-11-25T12:00:00Z", data={"tokens": 100, "model": "m"})
    sent["occurred_at"] = ago(hours=1)
    body = json.dumps(usage(ada, sent))
    assert me.post("events", body).status == 204
    other = body.replace('"tokens": 100', '"tokens": 1.00e2').replace("+00:00", "Z")
    assert other != body
    assert _outcomes(me.post("events", other, SHOW)) == [("e1", "repeat")]


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"data": {"tokens": 2}}, ["data"]),
        ({"data": {"tokens": True}}, ["data"]),
        ({"event_type": "other", "subject": "x"}, ["event_type", "subject"]),
        ({"description": "", "costs": []}, ["description", "costs"]),
        ({"occurred_at": ago(hours=2)}, ["occurred_at"]),
    ],
)
def test_a_repeat_that_differs_is_a_conflict_naming_the_fields(
    me: Caller, ada: str, change: Mapping[str, Any], differs: list[str]
) -> None:
    sent = event("e1", 1)
    assert me.post("events", usage(ada, sent)).status == 204
    answer = me.post("events", usage(ada, event("e0"), {**sent, **change}))
    assert is_problem(answer, 409)
    assert answer.fields == [f"events[1].{field}" for field in differs]
    assert (_ids(me, ada), me.available(ada)) == (["e1"], 99)


def test_an_id_twice_in_a_batch_is_one_event(me: Caller, ada: str) -> None:
    sent = event("e1", 5)
    answer = me.post("events", usage(ada, sent, sent), SHOW)
    assert _outcomes(answer) == [("e1", "booked"), ("e1", "repeat")]
    assert (_ids(me, ada), me.available(ada)) == (["e1"], 95)
    assert is_problem(me.post("events", usage(ada, event("e2"), event("e2", 2))), 409)
    assert _ids(me, ada) == ["e1"]


@pytest.mark.parametrize("headers", [{}, SHOW, LENIENT], ids=["none", "representation", "lenient"])
def test_a_batch_from_ten_connections_at_once_is_charged_once(
    shared_server: RunningServer, me: Caller, ada: str, headers: Mapping[str, str]
) -> None:
    body = json.dumps(usage(ada, event("e1", 2), event("e2", 3)))

    async def send() -> Answer:
        async with httpx.AsyncClient(base_url=shared_server.url, timeout=30) as http:
            answer = await http.post(
                "/v1/events",
                content=body,
                headers={
                    "x-credyt-api-key": TEST_KEY,
                    "content-type": "application/json",
                    **headers,
                },
            )
            return read(answer)

    async def send_ten() -> list[Answer]:
        return await asyncio.gather(*[send() for _ in range(10)])

    answers = asyncio.run(send_ten())
    assert (_ids(me, ada), me.available(ada)) == (["e1", "e2"], 95)
    if not headers:
        assert [answer.status for answer in answers] == [204] * 10
        return
    told = sorted(_outcomes(answer)[0][1] for answer in answers)
    assert told == ["booked"] + ["repeat"] * 9
    for answer in answers:
        results = [{**result, "status": ""} for result in answer.body["events"]]
        assert results == [{**r, "status": ""} for r in answers[0].body["events"]]


def test_events_are_booked_in_the_order_of_sending_whenever_they_occurred(
    me: Caller, ada: str
) -> None:
    batch = usage(
        ada,
        event("now"),
        event("late", occurred_at=ago(days=33, hours=23)),
        event("earlier", occurred_at=ago(hours=5)),
        event("ahead", occurred_at=ago(minutes=-4)),
    )
    assert me.post("events", batch).status == 204
    assert me.post("events", usage(ada, event("later", occurred_at=ago(days=3)))).status == 204
    assert _ids(me, ada) == ["now", "late", "earlier", "ahead", "later"]
    assert me.available(ada) == 95


def test_an_event_that_cannot_be_paid_is_not_booked_and_its_id_stays_free(
    me: Caller, ada: str
) -> None:
    account = f"customers/{ada}/wallet/{USD}"
    assert me.patch(account, {"overdraft": {"policy": "reject"}}).status == 200
    sent = event("e2", 80)
    for headers in ({}, SHOW):
        answer = me.post("events", usage(ada, event("e1", 40), sent), headers)
        assert is_problem(answer, 402)
        assert answer.body["type"] == "urn:faregate:problem:insufficient-funds"
        assert answer.body["detail"].startswith("events[1]")
    assert (_ids(me, ada), me.available(ada)) == ([], 100)
    lenient = me.post("events", usage(ada, event("e1", 40), sent, event("e3", 60)), LENIENT)
    assert _outcomes(lenient) == [("e1", "booked"), ("e2", "refused"), ("e3", "booked")]
    assert lenient.body["events"][1]["problem"]["status"] == 402
    assert me.available(ada) == 0
    me.give(ada, "80.5")
    other = event("e2", 79)
    assert _outcomes(me.post("events", usage(ada, other), SHOW)) == [("e2", "booked")]
    assert me.available(ada) == Decimal("1.5")


def test_an_overdraft_goes_down_to_its_limit_and_no_further(me: Caller, ada: str) -> None:
    account = f"customers/{ada}/wallet/{USD}"
    limited = me.patch(account, '{"overdraft": {"policy": "limit", "limit": 0.5}}')
    assert limited.body["overdraft"] == {"policy": "limit", "limit": Decimal("0.5")}
    assert is_problem(me.post("events", usage(ada, event("e1", 101))), 402)
    body = json.dumps(usage(ada, event("e1", 0))).replace('"tokens": 0', '"tokens": 100.5')
    assert me.post("events", body).status == 204
    assert me.available(ada) == Decimal("-0.5")
    assert is_problem(me.post("events", usage(ada, event("e2", 1))), 402)


def test_an_event_says_why_it_costs_what_it_costs(me: Caller, ada: str) -> None:
    me.post("events", usage(ada, event("case/7", 4)))
    said = me.get("events/case/7/explanation").body
    assert said["sentence"] == "4 tokens × $1.00 = $4.00, from promotion grant."
    assert (said["event_id"], said["customer_id"]) == ("case/7", ada)
    (fee,) = said["fees"]
    assert fee["parts"] == [{"kind": "volume", "amount": 4, "quantity": 4, "rate": 1}]
    (payer,) = fee["paid_by"]
    assert (payer["kind"], payer["purpose"], payer["amount"]) == ("grant", "promotion", 4)
    assert is_problem(me.get("events/none/explanation"), 404)
