"""The process is killed after each commit of a subscription that the card pays, and of one for
which it is declined. In the end the card was charged once, what it paid has paid the one period
that was due, and the customer has no credit of it left."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.collecting import GOOD, choose
from tests.faults.paying import kill_and_come_back, watched
from tests.faults.subscribing import POINTS, PRICE, live, make_customer
from tests.faults.test_killed_while_collecting import charges, later
from tests.ledger.shop import Clock, assert_clean, available

from faregate import Engine


def test_the_points_are_all_the_commits_of_the_story(database_url: str) -> None:
    async def story() -> None:
        commits = []
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id = await make_customer(engine)
            watched(engine, lambda: commits.append(1))
            await live(engine, customer_id)
            assert await charges(engine) == [PRICE]
            await assert_clean(engine)
        assert len(commits) == len(POINTS)

    asyncio.run(story())


async def end(engine: Engine, clock: Clock, customer_id: str) -> None:
    """Let time go by, and whoever asked ask again: it ends as it would have without any fault."""
    for _ in range(3):
        await later(engine, clock, minutes=30)
    await live(engine, customer_id)
    for _ in range(3):
        await later(engine, clock, minutes=30)
    first, second = await engine.list_subscriptions(customer_id)
    assert (first.status, second.status) == ("active", "action_required")
    assert second.collection is not None
    assert (second.collection.in_flight, second.collection.failures) == (None, 1)
    assert await charges(engine) == [PRICE]
    assert await available(engine, customer_id) == 0
    top_ups = (await engine.list_top_ups(customer_id)).items
    assert sorted([(one.kind, one.status) for one in top_ups]) == [
        ("subscription", "failed"),
        ("subscription", "succeeded"),
    ]
    # With the good card the second begins as well, and is charged once.
    await choose(engine, customer_id, GOOD)
    await later(engine, clock, minutes=1)
    shown = await engine.list_subscriptions(customer_id)
    assert [one.status for one in shown] == ["active", "active"]
    assert await charges(engine) == [PRICE, PRICE]
    assert await available(engine, customer_id) == 0
    await assert_clean(engine)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_is_killed_when(database_url: str, point: str) -> None:
    kill_and_come_back(database_url, make_customer, POINTS.index(point) + 1, live, end)
