"""What the clock alone changes: prices of late events, grants that begin and end, new versions."""

import asyncio
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.shop import (
    NOON,
    USD,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    make_customer,
    make_version,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.instants import to_us
from faregate.core.problems import FaregateError


def test_a_late_event_is_priced_by_the_version_that_was_the_default_then(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "1")
            customer_id = await make_customer(engine)
            changed_at = clock.move(hours=1)
            await make_version(engine, "10")
            clock.move(hours=1)
        # Also by a process that has just read the catalog.
        async with Engine.open(database_url, clock=clock) as engine:
            just_before = changed_at - timedelta(microseconds=1)
            for event_id, at, units in (
                ("late", NOON + timedelta(minutes=30), 10**9),
                ("just before", just_before, 10**9),
                ("just after", changed_at, 10 * 10**9),
                ("now", clock.now, 10 * 10**9),
            ):
                fees = (await book(engine, customer_id, use(event_id, 1, at))).fees
                assert [fee.units for fee in fees] == [units], event_id
            assert await available(engine, customer_id) == 78
            await assert_clean(engine)

    tell(story())


def test_a_new_default_version_counts_for_the_next_event(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "1")
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("cheap"))
            clock.move(seconds=1)
            version = await make_version(engine, "10", is_default=False)
            await book(engine, customer_id, use("still cheap", 1, clock.now))
            assert await available(engine, customer_id) == 98
            subscription = (await engine.get_customer(customer_id)).subscriptions[0]
            clock.move(seconds=1)
            await engine.set_subscription_version(customer_id, subscription.id, "tokens", version)
            await book(engine, customer_id, use("dear", 1, clock.now))
            assert await available(engine, customer_id) == 88
            clock.move(seconds=1)
            await engine.set_subscription_version(customer_id, subscription.id, "tokens", "default")
            await make_version(engine, "20")
            await book(engine, customer_id, use("dearer", 1, clock.now))
            assert await available(engine, customer_id) == 68
            await assert_clean(engine)

    tell(story())


def test_a_repeat_after_a_price_change_gets_the_first_price(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "1")
            customer_id = await make_customer(engine)
            first = await book(engine, customer_id, use("once"))
            clock.move(seconds=1)
            await make_version(engine, "10")
            assert (await book(engine, customer_id, use("once"))).fees == first.fees
            assert await available(engine, customer_id) == 99

    tell(story())


def test_a_grant_expires_by_the_clock_with_nobody_doing_anything(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            ends_at = NOON + timedelta(days=1)
            await give(engine, customer_id, "20", "welcome", "gift", expires_at=ends_at)
            await book(engine, customer_id, use("first", 5))
            clock.now = ends_at - timedelta(microseconds=1)
            assert await available(engine, customer_id) == 115
            await assert_clean(engine)
            clock.now = ends_at
            assert await available(engine, customer_id) == 100
            grants = (await engine.list_grants(customer_id, USD)).items
            assert sorted(grant.available for grant in grants) == [0, 100]
            await assert_clean(engine)
            await book(engine, customer_id, use("second", 1, clock.now))
            assert await available(engine, customer_id) == 99
            await assert_clean(engine)
        async with by_hand(database_url) as database:
            broken = await database.fetch(
                "SELECT units, at FROM transfers WHERE to_account = 'breakage'"
            )
            # It broke when it ended, not when somebody looked.
            assert [tuple(row) for row in broken] == [(15 * 10**9, to_us(ends_at))]

    tell(story())


def test_a_grant_that_begins_later_counts_from_its_beginning_and_repays_the_overdraft(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        begins_at = NOON + timedelta(days=1)
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            await give(engine, customer_id, "20", "bundle", effective_at=begins_at)
            await book(engine, customer_id, use("early", 5))
            assert await available(engine, customer_id) == -5
            await assert_clean(engine)
        async with Engine.open(database_url, clock=clock) as engine:
            clock.now = begins_at
            assert await available(engine, customer_id) == 15
            await assert_clean(engine)
            await book(engine, customer_id, use("later", 1, clock.now))
            assert await available(engine, customer_id) == 14
            await assert_clean(engine)
        async with Engine.open(database_url, clock=clock) as engine:
            assert await available(engine, customer_id) == 14

    tell(story())


def test_a_clock_that_is_set_back_does_not_bring_an_expired_grant_back(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            ends_at = NOON + timedelta(days=1)
            await give(engine, customer_id, "20", "welcome", "gift", expires_at=ends_at)
            clock.now = ends_at
            await book(engine, customer_id, use("after", 1, clock.now))
            clock.now = NOON
            await book(engine, customer_id, use("set back", 1, NOON))
            assert await available(engine, customer_id) == -2
        async with Engine.open(database_url, clock=clock) as engine:
            await book(engine, customer_id, use("after a restart", 1, NOON))
            assert await available(engine, customer_id) == -3
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize(
    "instants",
    [
        {"expires_at": datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=5)))},
        {"effective_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
    ],
    ids=["end", "begin"],
)
def test_a_grant_at_the_end_of_the_calendar_does_not_lock_the_wallet(
    database_url: str, instants: dict[str, Any]
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id, neighbour = await make_customer(engine), await make_customer(engine)
            answers = await asyncio.gather(
                give(engine, customer_id, "5", "far", **instants),
                book(engine, neighbour, use("good")),
                return_exceptions=True,
            )
            # Whether it is taken or refused, it must not be half of each.
            is_taken = not isinstance(answers[0], FaregateError)
            assert is_taken or answers[0].problem.kind.status == 422
            assert answers[1].status == "booked"
        async with Engine.open(database_url, clock=Clock()) as engine:
            assert await available(engine, customer_id) == 100 + 5 * is_taken
            assert (await book(engine, customer_id, use("after"))).status == "booked"
            await assert_clean(engine)

    tell(story())


def test_events_before_the_grace_period_and_in_the_future_are_refused(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            for event_id, age in (("old", timedelta(days=34, seconds=1)), ("new", -timedelta(1))):
                error = await refusal(book(engine, customer_id, use(event_id, 1, NOON - age)))
                assert error.problem.kind.status == 422
                assert list(error.problem.errors) == ["events[0].occurred_at"]
            assert await available(engine, customer_id) == Decimal(100)

    tell(story())
