"""What is sent again, how long that waits, and that it is charged once."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from tests.api.caller import Caller
from tests.api.conftest import TEST_KEY
from tests.client.shop import Delays, balance, run, tokens
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, UnreliableWay, answered

from faregate.client import (
    AsyncClient,
    Client,
    FaregateClientError,
    PaymentRequired,
    RetryPolicy,
    Unreachable,
)
from faregate.client.retrying import seconds_asked_for

FAULTS = [LOST_BEFORE, LOST_AFTER, answered(503), answered(429, "retry-after: 1")]


@pytest.mark.parametrize("fault", FAULTS)
def test_events_are_charged_once_whatever_becomes_of_the_answer(
    me: Caller, way: UnreliableWay, patient: Client, customer: str, fault: bytes | str
) -> None:
    way.fails(fault, fault)
    booked = patient.record_events(customer, [tokens(2), tokens(1)])
    assert {b.status for b in booked} == {"repeat" if fault == LOST_AFTER else "booked"}
    assert [b.fees[0].amount for b in booked] == [2, 1]
    assert (len(way.passed), len(way.bodies)) == (3, 1)
    assert balance(me, customer) == (7, 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_asynchronous_client_sends_again_too(
    me: Caller, way: UnreliableWay, customer: str, fault: bytes | str
) -> None:
    async def story(client: AsyncClient) -> None:
        way.fails(fault, fault)
        await client.record_events(customer, [tokens(2)])
        assert (len(way.passed), len(way.bodies)) == (3, 1)
        way.fails(*[answered(503)] * 9)
        with pytest.raises(FaregateClientError):
            await client.get_wallet(customer)
        way.fails(*[LOST_BEFORE] * 9)
        with pytest.raises(Unreachable):
            await client.get_wallet(customer)

    run(way.url, story)
    assert balance(me, customer) == (8, 0)


def test_everything_that_changes_something_is_applied_once(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    def lost(call: Any) -> Any:
        way.fails(LOST_AFTER)
        answer = call()
        assert (len(way.passed), len(way.bodies)) == (2, 1)
        return answer

    first = lost(lambda: patient.create_customer("Twice", external_id="twice"))
    assert me.get(f"customers/{first.id}").body["external_id"] == "twice"
    lost(lambda: patient.adjust(customer, 5, "USD", "gift"))
    lost(lambda: patient.charge(customer, 1, "USD"))
    assert balance(me, customer) == (14, 0)
    case = tokens(3)
    patient.record_events(customer, [case])
    lost(lambda: patient.settle_outcome(case.id, "changed", data={"tokens": 2}))
    assert balance(me, customer) == (12, 0)
    lost(lambda: patient.settle_outcome(case.id, "withdrawn"))
    assert balance(me, customer) == (14, 0)
    hold = lost(lambda: patient.authorize(customer, event_type="llm", data={"tokens": 4}))
    assert balance(me, customer) == (10, 4)
    lost(lambda: patient.update_hold(customer, hold.id, used={"amount": 1}, want={"amount": 2}))
    assert balance(me, customer) == (11, 2)
    lost(lambda: patient.extend(customer, hold.id, 1_000))
    lost(lambda: patient.capture(customer, hold.id, events=[tokens(1)]))
    assert balance(me, customer) == (12, 0)
    holds = [{"max_amount": 2, "asset": "USD"}, {"max_amount": 3, "asset": "USD"}]
    for made in lost(lambda: patient.authorize_batch(customer, holds)):
        assert lost(lambda made=made: patient.void(customer, made.id)).status == "voided"
    assert balance(me, customer) == (12, 0)


def test_delays_double_up_to_a_bound_and_are_random_below_it(
    way: UnreliableWay, patient: Client, delays: Delays, customer: str
) -> None:
    way.fails(*[answered(503)] * 5)
    patient.get_wallet(customer)
    assert delays.seconds == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    with Client(
        way.url,
        TEST_KEY,
        retry=RetryPolicy(tries=4, first_delay_seconds=4, max_delay_seconds=6),
        sleep=delays.sleep,
        random=iter([0.0, 1.0, 0.25]).__next__,
    ) as client:
        delays.seconds.clear()
        way.fails(*[answered(503)] * 3)
        client.get_wallet(customer)
    assert delays.seconds == [0, 6, 1.5]


def test_what_the_server_asks_to_wait_is_waited_besides(
    way: UnreliableWay, patient: Client, delays: Delays, customer: str
) -> None:
    way.fails(answered(429, "Retry-After: 7"), answered(503, "Retry-After: soon"))
    patient.get_wallet(customer)
    assert delays.seconds == pytest.approx([7.1, 0.2])


def test_a_wait_that_is_too_long_is_not_begun(
    way: UnreliableWay, patient: Client, delays: Delays, customer: str
) -> None:
    way.fails(answered(429, "retry-after: 3600"))
    with pytest.raises(FaregateClientError, match="try again") as failed:
        patient.get_wallet(customer)
    assert (failed.value.problem.status, failed.value.problem.request_id) == (429, "req_double")
    assert delays.seconds == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        (" 0 ", 0),
        ("Thu, 05 Mar 2026 12:00:30 GMT", 30),
        ("Thu, 05 Mar 2026 11:00:00 GMT", 0),
        ("-1", 0),
        ("1.5", 0),
        ("", 0),
    ],
)
def test_retry_after_has_seconds_or_a_date(text: str, seconds: float) -> None:
    now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    assert seconds_asked_for({"retry-after": text}, lambda: now) == seconds


def test_other_errors_are_not_sent_again(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    for fault in (400, 401, 404, 409, 500, 502, 504):
        way.fails(answered(fault))
        with pytest.raises(FaregateClientError) as failed:
            patient.get_wallet(customer)
        assert (failed.value.problem.status, len(way.passed)) == (fault, 1)
    way.fails()
    me.patch(f"customers/{customer}/wallet/default:USD", {"overdraft": {"policy": "reject"}})
    with pytest.raises(PaymentRequired, match="Nothing was booked") as unpaid:
        patient.record_events(customer, [tokens(11)])
    assert (unpaid.value.problem.status, len(way.passed)) == (402, 1)
    assert unpaid.value.problem.request_id in str(unpaid.value)


def test_tries_end_and_say_that_nobody_knows(
    way: UnreliableWay, patient: Client, delays: Delays, customer: str
) -> None:
    way.fails(*[LOST_AFTER] * 6)
    with pytest.raises(Unreachable, match=f"no answer from {way.url} after 6 tries") as lost:
        patient.record_events(customer, [tokens(1)])
    assert lost.value.problem.status == 0
    assert len(delays.seconds) == 5
    assert patient.get_account(customer, "default:USD").available == Decimal(9)
    closed = way.url.rpartition(":")[0] + ":9"
    with (
        Client(closed, TEST_KEY, sleep=delays.sleep, retry=RetryPolicy(tries=1)) as nobody,
        pytest.raises(Unreachable, match="after 1 try"),
    ):
        nobody.get_wallet(customer)


def test_connections_are_kept(way: UnreliableWay, patient: Client, customer: str) -> None:
    for _ in range(5):
        patient.get_wallet(customer)
    assert way.connections == 1


def test_an_answer_that_is_not_faregates_says_so(
    way: UnreliableWay, patient: Client, customer: str
) -> None:
    page = b"<html>Bad gateway</html>"
    head = b"HTTP/1.1 %d Oh\r\ncontent-length: %d\r\n\r\n"
    for status in (200, 502):
        way.fails(head % (status, len(page)) + page)
        with pytest.raises(FaregateClientError, match="check") as strange:
            patient.get_wallet(customer)
        assert strange.value.problem.status == status
        assert strange.value.problem.type == "urn:faregate:client:unreadable"


@pytest.mark.parametrize("seconds", [0, -1, 601, float("inf"), float("nan")])
def test_a_timeout_has_bounds(seconds: float) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=r"timeout_seconds is .*: give more than 0"):
            kind("http://x", TEST_KEY, timeout_seconds=seconds)


@pytest.mark.parametrize(
    "wrong",
    [{"tries": 0}, {"tries": 101}, {"max_total_seconds": 3_601}, {"first_delay_seconds": -1}],
)
def test_a_policy_has_bounds(wrong: Any) -> None:
    (field,) = wrong
    with pytest.raises(ValueError, match=rf"{field} is .*: give \d+ to \d+"):
        RetryPolicy(**wrong)


def test_a_server_that_accepts_and_says_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        retry = RetryPolicy(tries=2, first_delay_seconds=0)
        with (
            Client(url, TEST_KEY, timeout_seconds=0.02, retry=retry) as client,
            pytest.raises(Unreachable, match=r"after 2 tries \(ReadTimeout"),
        ):
            client.get_wallet("cust_x")
