"""What is told is kept with what it tells of: once, whoever or whatever has brought it about, also
after a restart, and where nobody calls."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.ledger.shop import (
    NOON,
    USD,
    Clock,
    assert_clean,
    book,
    give,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.alerts import Alerts
from faregate.core.amounts import Number
from faregate.core.codec import decode
from faregate.core.hold_requests import HoldRequest
from faregate.core.instants import to_us
from faregate.core.topics import BY_NAME
from faregate.core.transactions import ChargeRequest
from faregate.customers.types import CreateCustomer
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock


async def told(url: str, customer_id: str, *topics: str) -> list[tuple[str, Any]]:
    """A customer's notices of these topics (none: of all), in their order, read as their shapes."""
    async with other_connection(url) as store:
        rows = await store.fetch(
            "SELECT topic, data FROM outbox WHERE customer_id = $1 ORDER BY seq", customer_id
        )
    read = [(topic, decode(BY_NAME[topic].shape, data)) for topic, data in rows]
    return [one for one in read if not topics or one[0].startswith(topics)]


def names(notices: list[tuple[str, Any]]) -> list[str]:
    return [topic for topic, _ in notices]


async def due_at(url: str, customer_id: str) -> list[int]:
    async with other_connection(url) as store:
        sql = "SELECT due_at FROM due_work WHERE customer_id = $1"
        return [row[0] for row in await store.fetch(sql, customer_id)]


def test_levels_survive_restarts_and_are_told_once(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await engine.change_settings(alerts=Alerts({"USD": Number(10)}))
            customer_id = await make_customer(engine)
        for number in range(3):
            async with Engine.open(database_url, clock=Clock()) as engine:
                await book(engine, customer_id, use(f"much {number}", 45))
                await book(engine, customer_id, use(f"much {number}", 45))
        heard = await told(database_url, customer_id, "wallet")
        assert names(heard) == ["wallet.balance_low", "wallet.depleted"]
        assert [data.available for _, data in heard] == [-35, -35]
        async with Engine.open(database_url, clock=Clock()) as engine:
            await give(engine, customer_id, "100", "more")
            await give(engine, customer_id, "100", "more")
            await assert_clean(engine)
        assert names(await told(database_url, customer_id, "wallet"))[2:] == ["wallet.recovered"]

    tell(story())


def test_an_account_has_a_threshold_of_its_own(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            shown = await engine.update_account(
                customer_id, USD, low_balance_threshold=Number("99.5")
            )
            assert shown.low_balance_threshold == Number("99.5")
        async with Engine.open(database_url, clock=Clock()) as engine:
            assert (await engine.get_account(customer_id, USD)) == shown
            await book(engine, customer_id, use("one"))
            (heard,) = await told(database_url, customer_id, "wallet")
            assert (heard[0], heard[1].threshold) == ("wallet.balance_low", Number("99.5"))
            cleared = await engine.update_account(customer_id, USD, low_balance_threshold=None)
            assert cleared.low_balance_threshold is None

    tell(story())


def test_credit_is_announced_and_expires_although_nobody_calls(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            end = NOON + timedelta(days=30)
            await give(engine, customer_id, "10", "a", expires_at=end)
            assert await due_at(database_url, customer_id) == [to_us(end - timedelta(days=7))]
            await book(engine, customer_id, use("one"))
            assert await engine.work() == 0
            clock.now = end - timedelta(days=6)
            assert await engine.work() == 1
            assert await engine.work() == 0
        # Somebody who has never seen the customer.
        clock.now = end + timedelta(days=1)
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.work() == 1
            assert await engine.work() == 0
            assert not await engine.has_due_work()
            await assert_clean(engine)
        heard = await told(database_url, customer_id, "grant", "wallet")
        assert names(heard) == [
            "grant.created",
            "grant.expiring",
            "grant.expired",
            "wallet.depleted",
        ]
        assert [heard[1][1].remaining, heard[2][1].amount] == [9, 9]
        assert heard[2][1].at == end

    tell(story())


def test_a_note_that_came_to_nothing_is_moved_on(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            end = NOON + timedelta(days=30)
            await give(engine, customer_id, "10", "a", expires_at=end)
            await book(engine, customer_id, use("all", 10))
        clock.now = end + timedelta(days=1)
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.work() == 1
            assert await engine.work() == 0
            assert not await engine.has_due_work()
        assert not await told(database_url, customer_id, "grant.exp")

    tell(story())


def test_plain_charges_and_holds_write_no_due_work(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = (await engine.create_customer(CreateCustomer(name="Ada"))).id
            await give(engine, customer_id, "5", "a")
            await engine.charge(customer_id, ChargeRequest("b", "USD", Number(1)))
            request = HoldRequest("h", max_amount=Number(1), asset="USD")
            hold = await engine.authorize(customer_id, request)
            await engine.void_hold(customer_id, hold.id)
            assert await due_at(database_url, customer_id) == []
            heard = await told(database_url, customer_id)
            assert names(heard) == ["grant.created"]

    tell(story())


def test_holds_expire_although_nobody_calls_each_told_once(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(2)]
            for customer_id in customers:
                for number in range(3):
                    request = HoldRequest(
                        f"h{number}",
                        max_amount=Number(1),
                        asset="USD",
                        expires_in_seconds=60 * (number + 1),
                    )
                    await engine.authorize(customer_id, request)
            clock.move(seconds=120)
            assert await engine.work() == 2
            assert await engine.work() == 0
        clock.move(seconds=61)
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.work() == 2
            assert await engine.work() == 0
            await assert_clean(engine)
        for customer_id in customers:
            heard = await told(database_url, customer_id, "hold")
            assert [data.transaction_id for _, data in heard] == ["h0", "h1", "h2"]
            assert [data.at for _, data in heard] == [
                NOON + timedelta(minutes=minutes) for minutes in (1, 2, 3)
            ]

    tell(story())


def test_a_test_clock_brings_all_of_it_before_it_answers(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            clock = await engine.create_test_clock(CreateTestClock(NOON))
            request = CreateCustomer(name="Ada", test_clock_id=clock.id)
            customer_id = (await engine.create_customer(request)).id
            await give(engine, customer_id, "5", "a", expires_at=NOON + timedelta(days=20))
            asked = HoldRequest("h", max_amount=Number(1), asset="USD", expires_in_seconds=60)
            await engine.authorize(customer_id, asked)
            for days in (14, 21):
                to = AdvanceTestClock(NOON + timedelta(days=days))
                await engine.advance_test_clock(clock.id, to)
            assert await engine.work() == 0
        heard = await told(database_url, customer_id)
        assert names(heard) == [
            "grant.created",
            "hold.expired",
            "grant.expiring",
            "grant.expired",
            "wallet.depleted",
        ]

    tell(story())


def test_repeats_from_many_at_once_tell_once(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            await asyncio.gather(*[give(engine, customer_id, "3", "a") for _ in range(10)])
            await asyncio.gather(*[book(engine, customer_id, use("all", 3)) for _ in range(10)])
        heard = await told(database_url, customer_id, "grant", "wallet")
        assert names(heard) == ["grant.created", "wallet.depleted"]

    tell(story())
