"""What limits have counted is neither lost nor counted twice, whatever becomes of the lane between
two commands, on both databases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from tests.ledger.shop import (
    Clock,
    assert_clean,
    book,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.decision import Command
from faregate.core.events import EventsBooked, RecordEvents
from faregate.core.limits import NOTHING_COUNTED, Limit, LimitChange, LimitRequest
from faregate.core.problems import NOT_FOUND
from faregate.core.rules import DescribeCustomer
from faregate.customers.types import UpdateCustomer
from faregate.ledger.memory import MAX_COUNTERS, Memory

VERIFIED = {"verified": "yes"}
FREE_FOR_VERIFIED = LimitRequest(
    Number(10), "lifetime", "free", "volume", volume_field="n", customer_metadata=VERIFIED
)


async def at_once(engine: Engine, *commands: Command) -> list[Any]:
    """Queue commands so that one batch has all of them, in this order; returns their answers."""
    lane = await engine._lane_of(engine.context.environment_id, commands[0].customer_id)
    environment = engine.context.environment_id
    futures = [lane.submit(command, environment) for command in commands]
    return await asyncio.gather(*cast("list[Awaitable[Any]]", futures))


def test_changes_by_two_servers_of_one_limit_are_both_kept(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            Engine.open(database_url, clock=Clock(), serves=False) as other,
        ):
            limit = await engine.create_limit(LimitRequest(Number(5), "day", asset="USD"))
            await other.get_limit(limit.id)
            await engine.change_limit(limit.id, LimitChange(amount=Number(7)))
            changed = await other.change_limit(limit.id, LimitChange(name="a day"))
            assert (changed.amount_units, changed.name) == (7 * 10**9, "a day")
            await other.delete_limit(limit.id)
            for sent in (
                engine.delete_limit(limit.id),
                engine.change_limit(limit.id, LimitChange(amount=Number(9))),
            ):
                assert (await refusal(sent)).problem.kind is NOT_FOUND

    tell(story())


def test_a_limit_that_was_deleted_does_not_come_back_by_a_repeat_of_its_making(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            cap = LimitRequest(Number(5), "day", asset="USD")

            async def make() -> Limit:
                return await engine.create_customer_limit(customer_id, cap, idempotency_key="once")

            first = await make()
            change = LimitChange(amount=Number(6))
            await engine.change_customer_limit(customer_id, first.id, change)
            assert await make() == first
            (state,) = await engine.customer_limits(customer_id)
            assert state.limit.amount_units == 6 * 10**9
            await engine.delete_customer_limit(customer_id, first.id)
            assert await make() == first
            assert await engine.customer_limits(customer_id) == []

    tell(story())


def test_a_lane_remembers_a_bounded_number_of_counters_whatever_one_batch_has_loaded():
    memory = Memory()
    names = [("customer", "limit", f"subject {n}") for n in range(3 * MAX_COUNTERS)]
    memory.counters.update(dict.fromkeys(names, NOTHING_COUNTED))
    periods = [("customer", "price", n) for n in range(3 * MAX_COUNTERS)]
    memory.tiers.update({period: {} for period in periods})
    newest = ("customer", "limit", "newest")
    memory.learn({}, {}, [], {newest: NOTHING_COUNTED}, {("customer", "price", -1): {}})
    for kept in (memory.counters, memory.tiers):
        assert 0 < len(kept) <= MAX_COUNTERS
    assert newest in memory.counters
    assert ("customer", "price", -1) in memory.tiers


def test_who_leaves_a_cohort_and_comes_back_is_given_no_free_tier_twice(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await engine.create_limit(FREE_FOR_VERIFIED)
            await engine.update_customer(customer_id, UpdateCustomer(metadata=VERIFIED))
            assert (await book(engine, customer_id, use("first", 10))).fees[0].units == 0
            await engine.update_customer(customer_id, UpdateCustomer(metadata={}))
        async with Engine.open(database_url, clock=clock) as engine:
            # The lane has forgotten what was counted, and comes to need it within one batch.
            _, booked = await at_once(
                engine,
                DescribeCustomer(customer_id, VERIFIED),
                RecordEvents(customer_id, (use("second", 10),)),
            )
            assert isinstance(booked, EventsBooked)
            assert booked.results[0].fees[0].units == 10 * 10**9
            (state,) = await engine.customer_limits(customer_id)
            assert state.used_units == 10 * 10**12
            await assert_clean(engine)

    tell(story())
