"""The process is killed after each commit of payments, refunds and disputes. Once it is back and
has asked the provider, money in = credit out; and whoever repeats what they asked ends where they
would have ended without it."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.paying import POINTS, kill_and_come_back, live, watched
from tests.ledger.shop import Clock, assert_clean, available, make_customer, sell_tokens

from faregate import Engine

IN_THE_END = 20 - 5 + 30


def test_the_points_are_all_the_commits_of_the_story(database_url: str) -> None:
    async def story() -> None:
        commits = []
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id = await make_customer_here(engine)
            watched(engine, lambda: commits.append(1))
            await live(engine, customer_id)
            assert await available(engine, customer_id) == IN_THE_END
            await assert_clean(engine)
        assert len(commits) == len(POINTS)

    asyncio.run(story())


async def make_customer_here(engine: Engine) -> str:
    await sell_tokens(engine)
    return await make_customer(engine, None)


async def end(engine: Engine, clock: Clock, customer_id: str) -> None:
    for _ in range(8):
        clock.move(minutes=30)
        await engine.reconcile_payments()
    assert await available(engine, customer_id) == await money(engine)
    await assert_clean(engine)
    await live(engine, customer_id)
    assert await available(engine, customer_id) == IN_THE_END
    await assert_clean(engine)


async def money(engine: Engine) -> int:
    left = 0
    for top_up in (await engine.list_top_ups()).items:
        found = await engine.sandbox.find(top_up.id)
        if found is not None and found[1].stage == "succeeded":
            left += found[1].money.minor if found[1].money else 0
            left -= sum(r.minor for r in found[1].returns if r.status not in ("failed", "won"))
    return left // 100


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_is_killed_when(database_url: str, point: str) -> None:
    kill_and_come_back(database_url, make_customer_here, POINTS.index(point) + 1, live, end)
