"""An auto top-up of a customer who lives by a test clock: the month of its cap, its waits after a
failure and its hours are those of that clock, whatever the time is outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from tests.doubles.cards import Bank
from tests.engine.card_shop import Shop, leave_card
from tests.ledger.shop import Clock, assert_clean, book, give, sell_tokens, tell, use

from faregate import Engine
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock

LATE = datetime(2027, 1, 31, 22, tzinfo=UTC)
"""Another year than outside, two hours before a month ends."""


class ClockShop(Shop):
    """A shop whose customer lives by a test clock."""

    now = LATE
    test_clock_id = ""

    async def spend(self, tokens: int) -> None:
        self.events += 1
        event = use(f"spent {self.events}", tokens, self.now)
        await book(self.engine, self.customer_id, event)

    async def advance(self, **by: float) -> int:
        """Move the test clock, and let cards be charged; returns how often the bank was asked."""
        self.now += timedelta(**by)
        await self.engine.advance_test_clock(self.test_clock_id, AdvanceTestClock(self.now))
        await self.engine.take_up_collections()
        return len(self.bank.asked)


@asynccontextmanager
async def clock_shop(url: str) -> AsyncIterator[ClockShop]:
    clock, bank = Clock(), Bank()
    async with Engine.open(url, clock=clock, payments=[bank]) as engine:
        await sell_tokens(engine)
        test_clock = await engine.create_test_clock(CreateTestClock(LATE))
        request = CreateCustomer(
            name="Ada",
            subscriptions=[CreateSubscription([SubscribedProduct(code="tokens")])],
            test_clock_id=test_clock.id,
        )
        customer_id = (await engine.create_customer(request)).id
        await give(engine, customer_id, "100", "first credit")
        await leave_card(engine, customer_id)
        my = ClockShop(engine, bank, clock, customer_id)
        my.test_clock_id = test_clock.id
        yield my
        await assert_clean(engine)


def test_it_waits_by_the_customers_clock_and_by_no_other(database_url: str):
    async def story() -> None:
        async with clock_shop(database_url) as my:
            my.bank.next = ["declined", "declined"]
            await my.agree()
            await my.spend(95)
            await my.charges()
            assert (await my.standing()).next_try_at == LATE + timedelta(minutes=5)
            await my.later(days=3)
            assert len(my.bank.asked) == 1
            assert await my.advance(minutes=4, seconds=59) == 1
            assert await my.advance(seconds=1) == 2
            assert (await my.standing()).next_try_at == my.now + timedelta(hours=1)
            await my.later(days=3)
            assert await my.advance(minutes=59) == 2
            assert await my.advance(minutes=1) == 3
            assert await my.available() == 55
            assert (await my.standing()).failures == 0

    tell(story())


def test_the_caps_month_is_the_one_of_the_customers_clock(database_url: str):
    async def story() -> None:
        async with clock_shop(database_url) as my:
            await my.agree(monthly_cap=100)
            for _ in range(3):
                await my.spend(int(await my.available()))
                await my.charges()
            assert await my.charges() == [5_000, 5_000]
            standing = await my.standing()
            assert standing.month_from == datetime(2027, 1, 1, tzinfo=UTC)
            assert standing.next_try_at == datetime(2027, 2, 1, tzinfo=UTC)
            # Outside a month ends, and it means nothing.
            await my.later(days=40)
            assert await my.advance(hours=1, minutes=59) == 2
            assert await my.advance(minutes=1) == 3
            standing = await my.standing()
            assert (standing.month_from, standing.month_amount) == (my.now, 50)

    tell(story())


def test_a_new_month_is_shown_as_one_in_which_nothing_was_asked(database_url: str):
    async def story() -> None:
        async with clock_shop(database_url) as my:
            await my.agree(monthly_cap=100)
            await my.spend(95)
            await my.charges()
            assert (await my.standing()).month_amount == 50
            await my.advance(hours=2)
            standing = await my.standing()
            assert (standing.month_from, standing.month_amount) == (my.now, 0)

    tell(story())


def test_how_often_in_an_hour_is_counted_by_the_customers_clock(database_url: str):
    async def story() -> None:
        async with clock_shop(database_url) as my:
            await my.agree(threshold=1_000, per_hour=2)
            await my.charges()
            assert len(my.bank.asked) == 2
            assert (await my.standing()).next_try_at == LATE + timedelta(hours=1)
            await my.later(hours=5)
            assert await my.advance(minutes=59) == 2
            assert await my.advance(minutes=1) == 4
            # A jump over many hours is one look: nothing is made up for what was not asked in them.
            assert await my.advance(hours=30) == 6

    tell(story())
