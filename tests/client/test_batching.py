"""Events that nobody waits for: sent in batches, and none is lost in silence."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.api.caller import Caller
from tests.api.conftest import TEST_KEY, RunningServer
from tests.client.shop import balance, charged, tokens
from tests.doubles.unreliable import LOST_AFTER, LOST_BEFORE, UnreliableWay, answered

from faregate.client import (
    Client,
    EventsUndelivered,
    FaregateClientError,
    QueueFull,
    RetryPolicy,
    Undelivered,
    new_event,
)
from faregate.client.batcher import Batcher
from faregate.client.outbox import Batching, Outbox
from faregate.client.transport import Transport

NEVER = 86_400.0


class Ticks:
    """The interval of a batcher, which ends when the test says so."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.condition: threading.Condition | None = None
        self.waits = threading.Semaphore(0)

    def __call__(self, condition: threading.Condition, seconds: float) -> None:
        self.seconds.append(seconds)
        self.condition = condition
        self.waits.release()
        condition.wait()

    def begun(self) -> None:
        """Wait until the batcher waits."""
        assert self.waits.acquire(timeout=10)

    def tick(self) -> None:
        """End the interval, once it has begun."""
        self.begun()
        assert self.condition is not None
        with self.condition:
            self.condition.notify_all()


@pytest.fixture
def hasty(way: UnreliableWay) -> Iterator[Client]:
    """A client on the unreliable way, who tries once."""
    with Client(way.url, TEST_KEY, retry=RetryPolicy(tries=1)) as client:
        yield client


def transport(client: Client) -> Transport:
    return client._transport


def sizes(way: UnreliableWay) -> list[int]:
    """How many events each request had."""
    return [len(msgspec.json.decode(passed.body)["events"]) for passed in way.passed]


def bad(id: str = "bad") -> Any:
    """An event that the server refuses."""
    return new_event("llm", {"tokens": "many"}, id=id)


def test_events_travel_by_customer_when_the_block_ends(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    other = me.customer(external_id="other")
    me.give(other, "10")
    way.fails()
    with patient.events(flush_every_seconds=NEVER) as events:
        for _ in range(3):
            events.add(customer, tokens(1))
            events.add(None, tokens(2), external_id="other")
        assert way.passed == []
    assert sizes(way) == [3, 3]
    assert balance(me, customer) == (7, 0)
    assert balance(me, other) == (4, 0)
    events.close()
    with pytest.raises(RuntimeError, match="closed"):
        events.add(customer, tokens(1))
    me.patch(f"customers/{other}", {"external_id": f"not-{other}"})


def test_a_batch_has_at_most_a_thousand_events_and_so_many_bytes(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    way.fails()
    small = [new_event("free") for _ in range(1_001)]
    with patient.events(flush_at=5_000, flush_every_seconds=NEVER) as events:
        for event in small:
            events.add(customer, event)
    assert sizes(way) == [1_000, 1]
    way.fails()
    with patient.events(flush_every_seconds=NEVER, max_batch_bytes=2_500) as events:
        for _ in range(5):
            events.add(customer, new_event("free", {"text": "x" * 1_000}))
    assert sizes(way) == [2, 2, 1]


def test_so_many_events_are_sent_at_once(
    me: Caller, way: UnreliableWay, patient: Client, customer: str
) -> None:
    way.fails()
    events = patient.events(flush_at=2, flush_every_seconds=NEVER, max_queued=2)
    for _ in range(10):
        events.add(customer, tokens(1))
    events.close()
    assert sum(sizes(way)) == 10
    assert balance(me, customer) == (0, 0)


def test_the_first_event_waits_for_no_longer_than_the_interval(
    way: UnreliableWay, patient: Client, customer: str
) -> None:
    way.fails()
    ticks = Ticks()
    batcher = Batcher(Outbox(transport(patient), Batching(flush_every_seconds=1.5), ticks))
    batcher.add(customer, tokens(1))
    ticks.begun()
    batcher.add(customer, tokens(1))
    batcher.flush()
    assert sizes(way) == [2]
    assert way.arrived.acquire(timeout=10)
    batcher.add(customer, tokens(1))
    ticks.tick()
    assert way.arrived.acquire(timeout=10)
    assert (sizes(way), ticks.seconds) == ([2, 1], [1.5, 1.5])
    batcher.close()


def test_what_a_server_that_is_away_does_not_take_is_tried_again_once_only_charged(
    me: Caller, way: UnreliableWay, hasty: Client, customer: str
) -> None:
    way.fails(LOST_BEFORE, answered(503), LOST_AFTER)
    ticks = Ticks()
    batcher = Batcher(Outbox(transport(hasty), Batching(), ticks))
    batcher.add(customer, tokens(1))
    batcher.add(customer, tokens(2))
    for _ in range(3):
        ticks.tick()
    ticks.begun()
    batcher.close()
    assert (len(way.passed), len(way.bodies)) == (4, 1)
    assert (balance(me, customer), charged(me, customer)) == ((7, 0), [2, 1])


def test_a_server_that_is_away_is_not_asked_again_before_the_interval_ends(
    me: Caller, way: UnreliableWay, hasty: Client, customer: str
) -> None:
    way.fails(answered(503))
    ticks = Ticks()
    batcher = Batcher(Outbox(transport(hasty), Batching(flush_at=1), ticks))
    batcher.add(customer, tokens(1))
    ticks.begun()
    assert len(way.passed) == 1
    batcher.close()
    assert charged(me, customer) == [1]


def test_a_poisoned_event_takes_no_other_with_it(me: Caller, client: Client, customer: str) -> None:
    batcher = client.events(flush_every_seconds=NEVER)
    for event in (tokens(1), bad(), tokens(2)):
        batcher.add(customer, event)
    with pytest.raises(EventsUndelivered, match="event could not be delivered: 'bad'") as told:
        batcher.flush()
    (undelivered,) = told.value.events
    assert undelivered.event.data == {"tokens": "many"}
    assert (undelivered.customer_id, undelivered.problem.status) == (customer, 422)
    batcher.flush()
    batcher.close()
    assert charged(me, customer) == [2, 1]


def test_what_could_not_be_delivered_is_handed_to_the_callback(
    way: UnreliableWay, hasty: Client, customer: str
) -> None:
    told: list[Undelivered] = []
    batcher = hasty.events(flush_every_seconds=NEVER, on_undelivered=told.extend)
    batcher.add("cust_nobody", tokens(1, "astray"))
    batcher.add(customer, bad())
    batcher.flush()
    assert [(u.event.id, u.problem.status) for u in told] == [("astray", 404), ("bad", 422)]
    told.clear()
    way.fails(LOST_BEFORE, answered(503))
    for number in range(2):
        batcher.add(customer, tokens(1, f"late {number}"))
        batcher.flush()
    batcher.close()
    assert [(u.event.id, u.problem.status) for u in told] == [("late 0", 0), ("late 1", 503)]


def test_a_callback_that_fails_ends_no_batcher(
    me: Caller, client: Client, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    called = threading.Event()

    def fail(events: list[Undelivered]) -> None:
        called.set()
        raise ZeroDivisionError

    ticks = Ticks()
    batcher = Batcher(Outbox(transport(client), Batching(on_undelivered=fail), ticks))
    batcher.add(customer, bad())
    ticks.tick()
    assert called.wait(10)
    batcher.add(customer, tokens(1))
    ticks.tick()
    batcher.close()
    assert charged(me, customer) == [1]
    assert "on_undelivered failed" in caplog.text


def test_a_full_queue_refuses_or_blocks(
    me: Caller, way: UnreliableWay, hasty: Client, customer: str
) -> None:
    batcher = hasty.events(flush_every_seconds=NEVER, max_queued=2, when_full="raise")
    batcher.add(customer, tokens(1))
    batcher.add(customer, tokens(1))
    with pytest.raises(QueueFull, match="2 events wait"):
        batcher.add(customer, tokens(1))
    batcher.close()
    assert balance(me, customer) == (8, 0)
    batcher = hasty.events(flush_every_seconds=NEVER, max_queued=1, when_full="block")
    for _ in range(3):
        batcher.add(customer, tokens(1))
    batcher.close()
    assert balance(me, customer) == (5, 0)


def test_a_queue_that_is_full_of_what_was_refused_says_so(client: Client, customer: str) -> None:
    batcher = client.events(flush_at=1, max_queued=1)
    batcher.add(customer, bad())
    with pytest.raises(EventsUndelivered):
        batcher.add(customer, tokens(1))
    batcher.add(customer, tokens(1))
    batcher.close()


def test_an_event_that_cannot_be_is_refused_where_it_is_added(
    client: Client, customer: str
) -> None:
    with client.events() as events:
        with pytest.raises(FaregateClientError, match="id"):
            events.add(customer, tokens(1, ""))
        with pytest.raises(FaregateClientError, match="data"):
            events.add(customer, new_event("llm", {"x": object()}))
        with pytest.raises(ValueError, match="give one of the two"):
            events.add(None, tokens(1))
    with pytest.raises(ValueError, match="flush_at is 0"):
        client.events(flush_at=0)


def test_a_block_that_failed_keeps_its_exception_and_notes_what_was_lost(
    way: UnreliableWay, hasty: Client, customer: str
) -> None:
    error = KeyError("mine")

    def work() -> None:
        with hasty.events(flush_every_seconds=NEVER) as events:
            events.add(customer, tokens(1))
            way.fails(LOST_BEFORE)
            raise error

    with pytest.raises(KeyError) as raised:
        work()
    assert raised.value is error
    assert "could not be delivered" in error.__notes__[0]


def test_closing_the_client_sends_what_is_queued(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    with Client(shared_server.url, TEST_KEY) as client:
        client.events(flush_every_seconds=NEVER).add(customer, tokens(1))
    assert balance(me, customer) == (9, 0)


def test_closing_the_client_says_what_every_batcher_could_not_deliver(
    shared_server: RunningServer, customer: str
) -> None:
    error = KeyError("mine")

    def work(customer: str, error: Exception | None) -> None:
        with Client(shared_server.url, TEST_KEY) as client:
            for name in ("a", "b"):
                client.events(flush_every_seconds=NEVER).add(customer, bad(name))
            if error is not None:
                raise error

    with pytest.raises(EventsUndelivered) as told:
        work(customer, None)
    assert [lost.event.id for lost in told.value.events] == ["a", "b"]
    with pytest.raises(KeyError):
        work(customer, error)
    assert "2 events could not be delivered: 'a', 'b'" in error.__notes__[0]


def test_threads_add_at_once_and_every_event_arrives_once(
    me: Caller, client: Client, customer: str
) -> None:
    with client.events(flush_at=7, max_queued=10) as events:

        def add() -> None:
            for _ in range(50):
                events.add(customer, new_event("llm", {"tokens": Decimal("0.01")}))

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert balance(me, customer) == (8, 0)


AT_EXIT = """
import asyncio
from faregate.client import AsyncClient, Client, new_event
{body}
"""
BLOCKING = """
client = Client()
client.events(flush_every_seconds=9999).add({customer!r}, new_event("llm", {{"tokens": 1}}, id="x"))
"""
ASYNCHRONOUS = """
async def main():
    events = AsyncClient().events(flush_every_seconds=9999)
    await events.add({customer!r}, new_event("llm", {{"tokens": 1}}, id="x"))
asyncio.run(main())
"""


@pytest.mark.parametrize("body", [BLOCKING, ASYNCHRONOUS])
def test_a_program_that_ends_sends_what_is_queued_or_says_what_it_could_not(
    me: Caller, shared_server: RunningServer, customer: str, body: str
) -> None:
    def ended(customer: str) -> str:
        code = AT_EXIT.format(body=body.format(customer=customer))
        environment = {"FAREGATE_URL": shared_server.url, "FAREGATE_API_KEY": TEST_KEY}
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), **environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return told.stderr

    assert ended(customer) == ""
    assert charged(me, customer) == [1]
    assert "event 'x' of cust_nobody is undelivered: " in ended("cust_nobody")
