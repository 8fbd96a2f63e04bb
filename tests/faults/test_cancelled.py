"""Callers who stop waiting, at any instant and again and again, as timeouts of some frameworks do:
what they began is done whole or not at all, and nobody else notices.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.store.protocol import Store

TURNS = 12
"""Of the event loop, after which a caller is cancelled: up to so many."""
ROUNDS = 15


async def cancel_until_it_ends(task: asyncio.Task[Any]) -> None:
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await task


async def begin_and_never_commit(store: Store, number: int) -> None:
    async with store.transaction() as transaction:
        await transaction.fetch(
            "INSERT INTO idempotency_keys "
            "(environment_id, idempotency_key, operation, request, answer, created_at) "
            "VALUES (1, $1, 'x', '{}', '{}', 0)",
            f"key {number}",
        )
        await asyncio.Event().wait()


def test_a_transaction_that_is_cancelled_leaves_nothing_and_harms_no_charge(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "1000")
            ended = asyncio.Event()
            charged = 0

            async def charge() -> None:
                nonlocal charged
                while not ended.is_set():
                    charged += 1
                    await book(engine, customer_id, use(f"event {charged}"))

            charging = asyncio.create_task(charge())
            # The engine's own store: it is its connections that are shared.
            store = engine._store
            for number in range(ROUNDS * TURNS):
                task = asyncio.create_task(begin_and_never_commit(store, number))
                for _ in range(number % TURNS):
                    await asyncio.sleep(0)
                await cancel_until_it_ends(task)
            ended.set()
            await charging
            assert await store.fetch("SELECT count(*) FROM idempotency_keys") in ([(0,)], [[0]])
            assert await available(engine, customer_id) == 1000 - charged
            await assert_clean(engine)

    tell(story())


def test_callers_who_do_not_wait_are_charged_once_all_the_same(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            tasks = [
                asyncio.create_task(book(engine, customer_id, use(f"event {n}"))) for n in range(40)
            ]
            for number, task in enumerate(tasks):
                if number % 2:
                    await cancel_until_it_ends(task)
            for number in range(40):
                await book(engine, customer_id, use(f"event {number}"))
            assert await available(engine, customer_id) == 60
            await assert_clean(engine)

    tell(story())


def test_an_engine_whose_stopping_is_cancelled_lets_go_of_the_database(database_url: str):
    async def story() -> None:
        opened = Engine.open(database_url, clock=Clock())
        engine = await opened.__aenter__()
        await sell_tokens(engine)
        customer_id = await make_customer(engine)
        sent = asyncio.create_task(book(engine, customer_id, use("event")))
        await asyncio.sleep(0)
        closing = asyncio.create_task(opened.__aexit__(None, None, None))
        await asyncio.sleep(0)
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        await asyncio.wait([sent], timeout=5)
        assert sent.done()
        async with other_connection(database_url) as store:
            await store.fetch("SELECT 1")

    tell(story())
