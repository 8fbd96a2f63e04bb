"""A process whose commit was on its way when another took its lane over: the commit arrives when it
is too late, and writes nothing. (Two engines that commit side by side are scenario 21, stolen
leases are in `tests/ledger/test_fence.py`.)
"""

from __future__ import annotations

import asyncio

import pytest
from tests.doubles.wire import Wire
from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    make_customer,
    other_connection,
    refusal,
    row_counts,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.problems import FaregateError

CALLERS = 16


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_commit_that_hung_in_the_wire_while_another_took_over_writes_nothing(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        async with Wire.to(database_url) as wire, Engine.open(wire.url, clock=clock) as first:
            await sell_tokens(first)
            customer_id = await make_customer(first)
            await book(first, customer_id, use("before", 1))
            wire.plug()
            hanging = [
                asyncio.create_task(book(first, customer_id, use(f"event {number}", 2)))
                for number in range(CALLERS)
            ]
            hanging.append(asyncio.create_task(give(first, customer_id, "7", "top-up")))
            await wire.is_stuck()
            # Its lease runs out while it hangs.
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE lanes SET lease_until_us = 0")
            async with (
                Engine.open(database_url, clock=clock, wait_seconds=0) as second,
                other_connection(database_url) as store,
            ):
                # Half of the callers have turned to the other one, which also has its own.
                for number in range(CALLERS // 2):
                    await book(second, customer_id, use(f"event {number}", 2))
                await book(second, customer_id, use("of the second", 3))
                before = await row_counts(store)
                wire.unplug()
                told = await asyncio.gather(*hanging, return_exceptions=True)
                assert all(isinstance(error, FaregateError) for error in told), told
                assert {error.problem.kind.status for error in told} == {503}
                assert await row_counts(store) == before
                assert not await first.is_ready()
                # All ask again where it is served.
                again = [
                    await book(second, customer_id, use(f"event {number}", 2))
                    for number in range(CALLERS)
                ]
                half = CALLERS // 2
                assert [a.status for a in again] == ["repeat"] * half + ["booked"] * half
                await give(second, customer_id, "7", "top-up")
                assert await available(second, customer_id) == 100 - 1 - 2 * CALLERS - 3 + 7
                await assert_clean(second)
            # When the second has ended the first serves again, and knows what it missed.
            assert (await book(first, customer_id, use("of the second", 3))).status == "repeat"
            assert (await book(first, customer_id, use("after", 1))).status == "booked"
            assert await available(first, customer_id) == 100 - 2 - 2 * CALLERS - 3 + 7
            await assert_clean(first)

    tell(story())


def test_an_engine_that_has_its_lane_back_answers_a_repeat_and_goes_on(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as first:
            await sell_tokens(first)
            customer_id = await make_customer(first)
            await book(first, customer_id, use("mine", 1))
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE lanes SET lease_until_us = 0")
            async with Engine.open(database_url, clock=clock, wait_seconds=0) as second:
                await book(second, customer_id, use("theirs", 2))
                error = await refusal(book(first, customer_id, use("theirs", 2)))
                assert error.problem.kind.status == 503
            # A repeat writes nothing: it must not move the lane back to where the first left it.
            assert (await book(first, customer_id, use("theirs", 2))).status == "repeat"
            assert (await book(first, customer_id, use("next", 3))).status == "booked"
        async with Engine.open(database_url, clock=clock) as third:
            assert (await book(third, customer_id, use("after a restart", 4))).status == "booked"
            assert await available(third, customer_id) == 90
            await assert_clean(third)

    tell(story())
