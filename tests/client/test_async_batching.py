"""Events that nobody waits for, on asyncio: the same promises."""

from __future__ import annotations

import asyncio

import pytest
from tests.api.caller import Caller
from tests.client.shop import balance, charged, run, tokens
from tests.doubles.unreliable import LOST_BEFORE, UnreliableWay, answered

from faregate.client import (
    AsyncBatcher,
    AsyncClient,
    EventsUndelivered,
    QueueFull,
    Undelivered,
    new_event,
)

NEVER = 86_400.0


def test_events_are_sent_when_the_block_ends_and_when_the_client_closes(
    me: Caller, way: UnreliableWay, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        async with client.events(flush_every_seconds=NEVER) as events:
            await events.add(customer, tokens(1))
            await events.add(customer, tokens(2))
            assert way.passed == []
        assert balance(me, customer) == (7, 0)
        with pytest.raises(RuntimeError, match="closed"):
            await events.add(customer, tokens(1))
        await client.events(flush_every_seconds=NEVER).add(customer, tokens(3))

    way.fails()
    run(way.url, story)
    assert balance(me, customer) == (4, 0)


def test_so_many_events_are_sent_at_once_and_a_full_queue_blocks_or_refuses(
    me: Caller, way: UnreliableWay, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        async with client.events(flush_at=2, flush_every_seconds=NEVER, max_queued=2) as events:
            for _ in range(9):
                await events.add(customer, tokens(1))
        strict = client.events(flush_every_seconds=NEVER, max_queued=1, when_full="raise")
        await strict.add(customer, tokens(1))
        with pytest.raises(QueueFull):
            await strict.add(customer, tokens(1))

    run(way.url, story)
    assert balance(me, customer) == (0, 0)


def test_what_is_refused_is_raised_or_handed_over_and_the_rest_is_booked(
    me: Caller, way: UnreliableWay, customer: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(client: AsyncClient) -> None:
        bad = new_event("llm", {"tokens": "many"}, id="bad")
        events = client.events(flush_every_seconds=NEVER)
        for event in (tokens(1), bad, tokens(2)):
            await events.add(customer, event)
        with pytest.raises(EventsUndelivered, match="bad"):
            await events.flush()
        told: list[Undelivered] = []
        async with client.events(on_undelivered=told.extend) as events:
            await events.add("cust_nobody", tokens(1, "astray"))
            await events.add(customer, bad)
        assert [(u.event.id, u.problem.status) for u in told] == [("astray", 404), ("bad", 422)]

        def fail(events: list[Undelivered]) -> None:
            raise ZeroDivisionError

        failing = client.events(flush_at=1, on_undelivered=fail)
        await failing.add(customer, bad)
        while "on_undelivered failed" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0)
        full = client.events(flush_at=1, max_queued=1)
        await full.add(customer, bad)
        with pytest.raises(EventsUndelivered):
            await full.add(customer, tokens(1))

    run(way.url, story)
    assert charged(me, customer) == [2, 1]


def test_a_server_that_is_away_is_tried_again_and_at_last_it_is_said(
    me: Caller, way: UnreliableWay, customer: str
) -> None:
    async def failing(events: AsyncBatcher, error: Exception) -> None:
        async with events:
            await events.add(customer, tokens(3))
            raise error

    async def story(client: AsyncClient) -> None:
        way.fails(*[answered(503)] * 6)
        events = client.events(flush_at=1, flush_every_seconds=0)
        await events.add(customer, tokens(1))
        while not charged(me, customer):  # noqa: ASYNC110 - the batcher's task does it
            await asyncio.sleep(0)
        assert (len(way.passed), len(way.bodies)) == (7, 1)
        error = KeyError("mine")
        way.fails(*[LOST_BEFORE] * 6)
        with pytest.raises(KeyError, match="mine"):
            await failing(client.events(flush_every_seconds=NEVER), error)
        assert "could not be delivered" in error.__notes__[0]
        way.fails()

    run(way.url, story)
    assert balance(me, customer) == (9, 0)


def test_closing_the_client_says_what_every_batcher_could_not_deliver(
    me: Caller, way: UnreliableWay, customer: str
) -> None:
    async def leave(client: AsyncClient) -> None:
        for name in ("a", "b"):
            bad = new_event("llm", {"tokens": "many"}, id=name)
            await client.events(flush_every_seconds=NEVER).add(customer, bad)

    async def fail(client: AsyncClient) -> None:
        await leave(client)
        raise error

    error = KeyError("mine")
    with pytest.raises(EventsUndelivered) as told:
        run(way.url, leave)
    assert [lost.event.id for lost in told.value.events] == ["a", "b"]
    with pytest.raises(KeyError):
        run(way.url, fail)
    assert "2 events could not be delivered: 'a', 'b'" in error.__notes__[0]


def test_a_cancelled_flush_puts_its_batch_back(
    me: Caller, way: UnreliableWay, customer: str
) -> None:
    async def story(client: AsyncClient) -> None:
        events = client.events(flush_every_seconds=NEVER)
        await events.add(customer, tokens(1))
        flushing = asyncio.create_task(events.flush())
        while not way.passed:  # noqa: ASYNC110 - the way's thread sees it
            await asyncio.sleep(0)
        flushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flushing
        await events.close()

    way.fails()
    run(way.url, story)
    assert (balance(me, customer), charged(me, customer)) == ((9, 0), [1])
