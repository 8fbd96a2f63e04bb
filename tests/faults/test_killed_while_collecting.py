"""The process is killed after each commit of an auto top-up that the card pays, and of one for
which it is declined; or it lives on, and does not hear that the commit was made. In the end what
the card has paid is what was granted, no collection was charged twice, and the month's cap has
counted each once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from tests.faults.collecting import AMOUNT, CAP, CREDIT, GOOD, POINTS, TERMS, agree, choose, live
from tests.faults.paying import kill_and_come_back, watched
from tests.ledger.shop import (
    USD,
    Clock,
    assert_clean,
    available,
    book,
    make_customer,
    refusal,
    sell_tokens,
    use,
)

from faregate import Engine
from faregate.core.problems import FaregateError
from faregate.store.protocol import StoreUnavailable


async def make_customer_here(engine: Engine) -> str:
    await sell_tokens(engine)
    customer_id = await make_customer(engine, str(CREDIT))
    await agree(engine, customer_id)
    return customer_id


async def charges(engine: Engine) -> list[int]:
    """What the cards have paid, in USD, by the provider's own books."""
    rows = await engine._store.fetch("SELECT id FROM sandbox_payments ORDER BY id")
    found: list[Any] = [await engine.sandbox.find(row[0]) for row in rows]
    paid = [payment for _, payment in found if payment.stage == "succeeded"]
    return [payment.money.minor // 100 for payment in paid if payment.money is not None]


async def later(engine: Engine, clock: Clock, **by: float) -> None:
    clock.move(**by)
    await engine.work()
    await engine.take_up_collections()
    await engine.reconcile_payments()


def test_the_points_are_all_the_commits_of_the_story(database_url: str) -> None:
    async def story() -> None:
        commits = []
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id = await make_customer_here(engine)
            watched(engine, lambda: commits.append(1))
            await live(engine, customer_id)
            assert await charges(engine) == [AMOUNT]
            await assert_clean(engine)
        assert len(commits) == len(POINTS)

    asyncio.run(story())


async def is_exact(engine: Engine, customer_id: str) -> None:
    """What was paid is what was granted and what the month has counted; nothing is in flight."""
    paid = await charges(engine)
    used = {"first": 95, "second": 50, "third": 50}
    spent = [used[event.id] for event in (await engine.list_events()).items]
    assert await available(engine, customer_id) == CREDIT + sum(paid) - sum(spent)
    standing = await engine.get_auto_top_up(customer_id, USD)
    assert (standing.in_flight, standing.month_amount) == (None, sum(paid))
    shown = (await engine.list_top_ups(customer_id)).items
    assert [one.status for one in shown].count("succeeded") == len(paid)
    assert {one.status for one in shown} <= {"succeeded", "failed"}
    await assert_clean(engine)


async def end(engine: Engine, clock: Clock, customer_id: str) -> None:
    """Let time go by, and whoever asked ask again: it ends as it would have without any fault."""
    for _ in range(8):
        await later(engine, clock, minutes=30)
    await is_exact(engine, customer_id)
    await live(engine, customer_id)
    for _ in range(8):
        await later(engine, clock, minutes=30)
    assert await charges(engine) == [AMOUNT]
    assert await available(engine, customer_id) == CREDIT + AMOUNT - 95 - 50
    await is_exact(engine, customer_id)
    # With the good card there is room for one more under the month's cap, and for no other.
    await choose(engine, customer_id, GOOD)
    standing = await engine.get_auto_top_up(customer_id, USD)
    assert standing.disabled_because == "The card was declined."
    await engine.set_auto_top_up(customer_id, USD, TERMS)
    await later(engine, clock, hours=2)
    assert await charges(engine) == [AMOUNT, AMOUNT]
    await book(engine, customer_id, use("third", 50))
    await later(engine, clock, hours=2)
    assert sum(await charges(engine)) == CAP
    await is_exact(engine, customer_id)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_is_killed_when(database_url: str, point: str) -> None:
    kill_and_come_back(database_url, make_customer_here, POINTS.index(point) + 1, live, end)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_lives_on_but_is_not_told_that(database_url: str, point: str) -> None:
    """The commit is durable, and its answer lost: also the sandbox's own, which has charged."""

    async def story() -> None:
        clock, commits, number = Clock(), 0, POINTS.index(point) + 1

        def after() -> None:
            nonlocal commits
            commits += 1
            if commits == number:
                raise StoreUnavailable("the answer was lost")

        async with Engine.open(database_url, clock=clock) as engine:
            customer_id = await make_customer_here(engine)
            watched(engine, after)
            with suppress(FaregateError, StoreUnavailable):
                await live(engine, customer_id)
            assert commits >= number
            # Whoever calls next lets the lane be taken again.
            await refusal(engine.void_hold(customer_id, "hold_of_nobody"))
            await end(engine, clock, customer_id)

    asyncio.run(story())
