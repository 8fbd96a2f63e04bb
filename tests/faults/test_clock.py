"""The engine's clock is wrong for a while: set back an hour, or forward a day, between charges,
with restarts in between. The ledger's own time never runs backwards, nothing is charged twice, and
grants begin and expire once; so do holds.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal

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
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.instants import to_us
from faregate.core.transactions import ChargeRequest

CALLERS = 16
JUMPS = [
    timedelta(hours=-1),
    timedelta(days=1),
    timedelta(hours=-1),
    timedelta(hours=-1),
    timedelta(days=-1),
    timedelta(seconds=1),
    timedelta(days=1),
    timedelta(days=1),
    timedelta(hours=-1),
]


class Shop:
    """An engine whose clock the test sets, and which it may restart."""

    def __init__(self, url: str) -> None:
        self.clock = Clock()
        self._url = url
        self._life = AsyncExitStack()

    async def start(self) -> None:
        engine = Engine.open(self._url, clock=self.clock, wait_seconds=0)
        self.engine = await self._life.enter_async_context(engine)

    async def stop(self) -> None:
        await self._life.aclose()

    async def restart(self) -> None:
        await self.stop()
        await self.start()


@asynccontextmanager
async def a_shop(url: str) -> AsyncIterator[Shop]:
    shop = Shop(url)
    await shop.start()
    try:
        await sell_tokens(shop.engine)
        yield shop
    finally:
        await shop.stop()


async def in_order_of_booking(url: str, table: str) -> list[int]:
    """The instants at which a table's rows were booked, the first row first."""
    async with by_hand(url) as database:
        column = {"transfers": "at"}.get(table, "created_at")
        order = {"transfers": "seq", "events": "seq", "fees": "fee_id", "transactions": "id"}
        rows = await database.fetch(f"SELECT {column} FROM {table} ORDER BY {order[table]}")
    return [row[0] for row in rows]


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_the_time_of_the_ledger_never_runs_backwards(database_url: str, restarts: bool):
    async def story() -> None:
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine)
            latest, seen = shop.clock.now, []
            for number, jump in enumerate(JUMPS):
                shop.clock.now += jump
                if restarts:
                    await shop.restart()
                latest = max(latest, shop.clock.now)
                request = ChargeRequest(f"charge {number}", "USD", Number("1"))
                booked = await shop.engine.charge(customer_id, request)
                assert booked.created_at == latest
                await book(shop.engine, customer_id, use(f"event {number}", 2, NOON))
                seen.append(booked)
            # Nothing is charged twice, whatever the time is said to be.
            for jump in JUMPS:
                shop.clock.now += jump
                if restarts:
                    await shop.restart()
                for number, booked in enumerate(seen):
                    assert await shop.engine.charge(customer_id, booked.request) == booked
                    event = use(f"event {number}", 2, NOON)
                    assert (await book(shop.engine, customer_id, event)).status == "repeat"
            assert await available(shop.engine, customer_id) == 100 - 3 * len(JUMPS)
            await assert_clean(shop.engine)
        for table in ("events", "fees", "transactions", "transfers"):
            instants = await in_order_of_booking(database_url, table)
            assert len(instants) >= len(JUMPS)
            assert instants == sorted(instants), table

    tell(story())


def test_under_load_a_clock_that_jumps_all_the_time_costs_and_doubles_nothing(database_url: str):
    async def story() -> None:
        dice = random.Random(5)
        async with a_shop(database_url) as shop:
            customers = [await make_customer(shop.engine) for _ in range(4)]

            async def call(caller: int, step: int) -> None:
                name = f"event {step}.{caller}"
                event = use(name, 1, NOON)
                for _ in range(2):
                    shop.clock.now += dice.choice(JUMPS)
                    # Events are taken for 34 days: do not wander off.
                    if not NOON <= shop.clock.now <= NOON + timedelta(days=20):
                        shop.clock.now = NOON
                    await book(shop.engine, customers[caller % 4], event)

            for step in range(20):
                await asyncio.gather(*[call(caller, step) for caller in range(CALLERS)])
                if step % 5 == 4:
                    await shop.restart()
            for customer_id in customers:
                assert await available(shop.engine, customer_id) == 100 - 20 * CALLERS // 4
            await assert_clean(shop.engine)
        instants = await in_order_of_booking(database_url, "events")
        assert len(instants) == 20 * CALLERS
        assert instants == sorted(instants)

    tell(story())


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_a_grant_expires_once_and_stays_expired_when_the_clock_is_set_back(
    database_url: str, restarts: bool
):
    async def story() -> None:
        ends_at = NOON + timedelta(hours=6)
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine)
            await give(shop.engine, customer_id, "20", "welcome", "gift", expires_at=ends_at)
            await book(shop.engine, customer_id, use("a", 5))
            for number, hours in enumerate([-1, 24, -1, 5, 24, 0]):
                shop.clock.now = NOON + timedelta(hours=hours)
                if restarts:
                    await shop.restart()
                answer = await book(shop.engine, customer_id, use(f"later {number}", 1, NOON))
                # The first is paid by the gift, which has 14 left when it ends.
                left = 114 if number == 0 else 100 - number
                assert answer.balances == {USD: left * 10**9}, hours
                await assert_clean(shop.engine)
        async with by_hand(database_url) as database:
            broken = await database.fetch(
                "SELECT units, at FROM transfers WHERE to_account = 'breakage'"
            )
        assert [tuple(row) for row in broken] == [(14 * 10**9, to_us(ends_at))]

    tell(story())


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_a_grant_that_has_begun_stays_begun_when_the_clock_is_set_back(
    database_url: str, restarts: bool
):
    async def story() -> None:
        begins_at = NOON + timedelta(hours=6)
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine, None)
            await give(shop.engine, customer_id, "20", "bundle", effective_at=begins_at)
            await book(shop.engine, customer_id, use("early", 5))
            assert await available(shop.engine, customer_id) == -5
            for number, hours in enumerate([6, 5, -1, 24, 0]):
                shop.clock.now = NOON + timedelta(hours=hours)
                if restarts:
                    await shop.restart()
                answer = await book(shop.engine, customer_id, use(f"later {number}", 1, NOON))
                assert answer.balances == {USD: (14 - number) * 10**9}, hours
                await assert_clean(shop.engine)

    tell(story())


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_after_the_clock_was_set_back_the_wallet_shows_what_the_next_charge_would_find(
    database_url: str, restarts: bool
):
    async def story() -> None:
        ends_at = begins_at = NOON + timedelta(hours=6)
        async with a_shop(database_url) as shop:
            customers = [await make_customer(shop.engine) for _ in range(3)]
            topped_up, ended, begun = customers
            await give(shop.engine, ended, "20", "welcome", "gift", expires_at=ends_at)
            await give(shop.engine, begun, "20", "bundle", effective_at=begins_at)
            shop.clock.now = NOON + timedelta(days=1)
            # The ledger's time is a day on: whoever it was that made it move.
            await book(shop.engine, await make_customer(shop.engine), use("moves the time"))
            shop.clock.now = NOON + timedelta(hours=1)
            if restarts:
                await shop.restart()
            await give(shop.engine, topped_up, "5", "top-up")
            shown = [await available(shop.engine, customer_id) for customer_id in customers]
            assert shown == [105, 100, 120]
            for customer_id, before in zip(customers, shown, strict=True):
                answer = await book(shop.engine, customer_id, use("next", 1, NOON))
                assert answer.balances == {USD: (before - 1) * 10**9}
                assert await available(shop.engine, customer_id) == before - 1

    tell(story())


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_a_hold_ends_once_and_does_not_come_back_with_a_clock_that_is_set_back(
    database_url: str, restarts: bool
):
    async def story() -> None:
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine)
            request = HoldRequest("hold", max_amount=Number(30), asset="USD", expires_in_seconds=60)
            first = await shop.engine.authorize(customer_id, request)
            assert await balance(shop, customer_id) == (70, 30)
            for number, seconds in enumerate([59, -3600, 60, 59, -3600, 86400, 0]):
                shop.clock.now = NOON + timedelta(seconds=seconds)
                if restarts:
                    await shop.restart()
                await book(shop.engine, customer_id, use(f"event {number}", 1, NOON))
                has_ended = number >= 2
                status = "expired" if has_ended else "authorized"
                assert (await shop.engine.get_hold(customer_id, first.id)).status == status
                spent = number + 1
                there = (100 - spent, 0) if has_ended else (70 - spent, 30)
                assert await balance(shop, customer_id) == there, seconds
                assert await shop.engine.authorize(customer_id, request) == first
                await assert_clean(shop.engine)
        async with by_hand(database_url) as database:
            released = await database.fetch(
                f"SELECT units, at FROM transfers WHERE from_account = '{first.id}'"
            )
        ended_at = to_us(NOON + timedelta(seconds=60))
        assert [tuple(row) for row in released] == [(30 * 10**9, ended_at)]

    tell(story())


@pytest.mark.parametrize("restarts", [False, True], ids=["running", "restarted"])
def test_a_hold_that_is_asked_for_while_the_clock_is_behind_lives_by_the_time_of_the_ledger(
    database_url: str, restarts: bool
):
    async def story() -> None:
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine)
            await book(shop.engine, customer_id, use("on time"))
            shop.clock.now = NOON - timedelta(hours=1)
            if restarts:
                await shop.restart()
            request = HoldRequest("hold", max_amount=Number(9), asset="USD", expires_in_seconds=60)
            hold = await shop.engine.authorize(customer_id, request)
            assert (hold.created_at, hold.expires_at) == (NOON, NOON + timedelta(seconds=60))
            extended = await shop.engine.extend_hold(customer_id, hold.id, 120)
            assert extended.expires_at == NOON + timedelta(seconds=120)
            captured = await shop.engine.capture(
                customer_id, hold.id, CaptureRequest("capture", Number(4))
            )
            assert (captured.captured_units, captured.released_units) == (4 * 10**9, 5 * 10**9)
            assert await balance(shop, customer_id) == (95, 0)
            await assert_clean(shop.engine)

    tell(story())


def test_under_load_holds_are_settled_once_while_the_clock_jumps_all_the_time(database_url: str):
    async def story() -> None:
        dice = random.Random(9)
        async with a_shop(database_url) as shop:
            customers = [await make_customer(shop.engine) for _ in range(4)]

            async def call(caller: int, step: int) -> None:
                customer_id, name = customers[caller % 4], f"{step}.{caller}"
                asked = HoldRequest(name, max_amount=Number(2), asset="USD", allow_partial=True)
                used = CaptureRequest(name, Number(1))
                holds, captures = [], []
                for _ in range(2):
                    shop.clock.now += dice.choice(JUMPS)
                    # Grants and holds do not mind: do not wander off all the same.
                    if not NOON <= shop.clock.now <= NOON + timedelta(days=20):
                        shop.clock.now = NOON
                    holds.append(await shop.engine.authorize(customer_id, asked))
                for _ in range(2):
                    shop.clock.now += dice.choice(JUMPS)
                    captures.append(await shop.engine.capture(customer_id, holds[0].id, used))
                assert holds[0] == holds[1]
                assert captures[0] == captures[1]

            for step in range(10):
                await asyncio.gather(*[call(caller, step) for caller in range(CALLERS)])
                if step % 5 == 4:
                    await shop.restart()
            for customer_id in customers:
                assert await balance(shop, customer_id) == (100 - 10 * CALLERS // 4, 0)
            await assert_clean(shop.engine)

    tell(story())


async def balance(shop: Shop, customer_id: str) -> tuple[Decimal, Decimal]:
    """What is available, and what is set aside."""
    account = await shop.engine.get_account(customer_id, USD)
    return account.available, account.pending_out


def test_a_version_made_the_default_after_the_clock_was_set_back_is_the_default(database_url: str):
    async def story() -> None:
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine)
            shop.clock.now = NOON + timedelta(days=1)
            await make_version(shop.engine, "10")
            shop.clock.now = NOON + timedelta(hours=1)
            cheap = await make_version(shop.engine, "2")
            assert (await shop.engine.get_version("tokens", "default")).version == cheap
            for number, later in enumerate([timedelta(seconds=1), timedelta(days=2)]):
                shop.clock.now = NOON + timedelta(hours=1) + later
                event = use(f"event {number}", 1, shop.clock.now)
                answer = await book(shop.engine, customer_id, event)
                assert [fee.units for fee in answer.fees] == [2 * 10**9]

    tell(story())


def test_after_a_clock_that_was_months_ahead_charges_go_on(database_url: str):
    async def story() -> None:
        async with a_shop(database_url) as shop:
            customer_id = await make_customer(shop.engine)
            shop.clock.now = NOON + timedelta(days=60)
            await give(shop.engine, customer_id, "5", "in the wrong month")
            for _ in range(2):
                shop.clock.now = NOON + timedelta(minutes=1)
                assert (await book(shop.engine, customer_id, use("now", 1, NOON))).fees
                assert await available(shop.engine, customer_id) == 104
                await shop.restart()
            await assert_clean(shop.engine)

    tell(story())
