"""Renewals through the ledger: each once, however often the work is done, whoever does it, and
whatever is lost on the way."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.ledger.plans import POINTS, member, sell_plan
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    other_connection,
    rows_of,
    tell,
)

from faregate import Engine
from faregate.core.events import UsageEvent
from faregate.core.instants import to_us
from faregate.core.problems import FaregateError
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.ledger.due import MAX_ATTEMPTS
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock
from faregate.store.protocol import LaneCommit, StoreUnavailable

LEDGER = {
    "transfers": "asset, from_account, to_account, units, reference, at",
    "grants": "grant_id, account_id, purpose, amount_units, remaining_units, expires_at, terms",
    "transactions": "transaction_id, id, kind, account_id, units",
    "subscriptions": "subscription_id, stretches, terms, cycles",
}


HIDE = "UPDATE product_versions SET status = $2 WHERE product_id = $1"


async def ledger_of(url: str, customer_id: str) -> dict[str, object]:
    async with other_connection(url) as store:
        return {t: await rows_of(store, columns, t, customer_id) for t, columns in LEDGER.items()}


def call(name: str, at: object) -> UsageEvent:
    return UsageEvent(name, "call", at)  # type: ignore[arg-type]


def test_a_year_is_lived_in_one_look_and_the_books_balance(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
            assert await available(engine, customer_id) == 990
            assert await available(engine, customer_id, POINTS) == 100
            await book(engine, customer_id, call("first", NOON))
            clock.now = NOON + timedelta(days=365)
            # Nobody has written anything down, and it is so already.
            assert await available(engine, customer_id) == 870
            assert await available(engine, customer_id, POINTS) == 100
            assert await engine.work() == 1
            assert await available(engine, customer_id) == 870
            grants = await engine.list_grants(customer_id, POINTS, 100)
            assert grants.total_count == 13
            assert sum(g.available for g in grants.items) == 100
            await assert_clean(engine)
            assert await engine.work() == 0

    tell(story())


def test_what_is_read_before_the_work_is_done_is_what_it_writes(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
            clock.now = NOON + timedelta(days=70)
            before = await engine.list_grants(customer_id, POINTS, 100)
            shown = await engine.get_customer(customer_id)
            await engine.work()
            after = await engine.list_grants(customer_id, POINTS, 100)
            assert before == after
            assert await engine.get_customer(customer_id) == shown

    tell(story())


@pytest.mark.slow
def test_the_same_rows_come_of_it_with_a_restart_after_each_step(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
):
    """How the wallet was used does not depend on restarts, or on how often somebody worked."""

    async def live(url: str, *, often: bool) -> tuple[str, dict[str, object]]:
        clock = Clock()
        async with Engine.open(url, clock=clock) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
        for step in range(40):
            clock.move(days=9)
            async with Engine.open(url, clock=clock) as engine:
                if often:
                    await engine.work()
                if step % 3 == 0:
                    await book(engine, customer_id, call(f"use {step}", clock.now))
        async with Engine.open(url, clock=clock) as engine:
            await engine.work()
            await assert_clean(engine)
        return customer_id, await ledger_of(url, customer_id)

    def shape(ledger: dict[str, object]) -> object:
        # Ids of fees and of what was made by hand differ from one run to the other.
        return (
            [
                [row[0], row[3], row[5]] if row[1][:4] in ("grt_", "over") else row[0:1]
                for row in ledger["transfers"]  # type: ignore[attr-defined]
            ],
            [row[1:6] for row in ledger["grants"]],
        )  # type: ignore[attr-defined]

    async def story() -> None:
        seldom = await live(database_url, often=False)
        other = f"sqlite:///{tmp_path_factory.mktemp('other') / 'often.db'}"
        often = await live(other, often=True)
        assert sorted(map(str, shape(seldom[1])[1])) == sorted(map(str, shape(often[1])[1]))
        assert len(seldom[1]["transfers"]) == len(often[1]["transfers"])  # type: ignore[arg-type]

    tell(story())


class LostAnswers:
    """A store whose commits are lost, before or after they happened, one after the other."""

    def __init__(self, store: object) -> None:
        self._store = store
        self.faults: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, commit: LaneCommit) -> None:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise StoreUnavailable("lost before", is_unknown=True)
        await self._store.commit(commit)  # type: ignore[attr-defined]
        if fault == "after":
            raise StoreUnavailable("lost after", is_unknown=True)


@pytest.mark.parametrize("faults", [["before"], ["after"], ["before", "before", "after"]])
def test_a_renewal_whose_commit_is_lost_happens_once(database_url: str, faults: list[str]):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
            way = LostAnswers(engine._store)
            for lane in engine.lanes:
                lane._store = way  # type: ignore[assignment]
            clock.now = NOON + timedelta(days=40)
            way.faults = list(faults)
            await engine.work()
            while way.faults:
                # Whoever comes lets the lane find its lease again.
                with suppress(FaregateError):
                    await engine.block_customer(customer_id, None)
                await engine.work()
            await engine.block_customer(customer_id, None)
            await engine.work()
            assert await available(engine, customer_id) == 980
            await assert_clean(engine)
            page = await engine.list_due_work(is_set_aside=True)
            assert page.total_count == 0

    tell(story())


def test_two_who_work_at_once_do_each_thing_once(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            customers = [await member(engine) for _ in range(20)]
            clock.now = NOON + timedelta(days=40)
            done = await asyncio.gather(*[engine.work() for _ in range(4)])
            assert sum(done) >= 20
            for customer_id in customers:
                assert await available(engine, customer_id) == 980
            await assert_clean(engine)

    tell(story())


def test_work_that_fails_too_often_is_set_aside_and_shown_and_holds_up_nobody(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            await sell_plan(engine, "other")
            customer_id = await member(engine)
            neighbour = await member(engine, code="other")
            product = next(p for p in (await engine.list_products()).items if p.code == "pro")
        # Somebody has edited the database: the plan is not published any more.
        async with by_hand(database_url) as database:
            await database.fetch(HIDE, product.id, "draft")
            await database.fetch("UPDATE catalog_epoch SET epoch = epoch + 1")
        async with Engine.open(database_url, clock=clock) as engine:
            clock.now = NOON + timedelta(days=40)
            for _ in range(MAX_ATTEMPTS + 3):
                await engine.work()
                clock.move(hours=1)
            assert await available(engine, neighbour) == 980
            waiting = await engine.list_due_work()
            aside = await engine.list_due_work(is_set_aside=True)
            assert waiting.total_count == 0
            assert [w.customer_id for w in aside.items] == [customer_id]
            assert "unexpected fault" in aside.items[0].problem
        async with by_hand(database_url) as database:
            await database.fetch(HIDE, product.id, "published")
            await database.fetch("UPDATE catalog_epoch SET epoch = epoch + 1")
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.work() == 0
            assert await engine.retry_due_work() == 1
            assert await engine.work() == 1
            assert await available(engine, customer_id) == 980
            await assert_clean(engine)

    tell(story())


def test_credit_that_comes_lets_a_waiting_subscription_begin(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_plan(engine)
            customer_id = await member(engine, None)
            (shown,) = await engine.list_subscriptions(customer_id)
            assert shown.status == "action_required"
            assert shown.required_actions[0].type == "payment"
            await give(engine, customer_id, "12", "pay")
            (shown,) = await engine.list_subscriptions(customer_id)
            assert (shown.status, await available(engine, customer_id)) == ("active", 2)
            # A repeat of the payment begins nothing again.
            await give(engine, customer_id, "12", "pay")
            assert await available(engine, customer_id) == 2
            await assert_clean(engine)

    tell(story())


def test_the_fee_of_a_period_is_found_by_its_id_with_its_lines(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
            async with other_connection(database_url) as store:
                rows = await rows_of(store, "id, kind, units", "transactions", customer_id)
            (fee,) = [row for row in rows if row[1] == "fee"]
            assert fee[2] == -10 * 10**9
            found = await engine.get_transaction(customer_id, fee[0])
            (line,) = found.request.lines
            assert (line.from_at, line.units) == (NOON, 10 * 10**9)

    tell(story())


def test_a_hundred_customers_live_a_year_by_a_test_clock(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            start = NOON - timedelta(days=100)
            made = await engine.create_test_clock(CreateTestClock(start, "a year"))
            customers = []
            for number in range(100):
                request = CreateCustomer(
                    name=f"Customer {number}",
                    test_clock_id=made.id,
                    subscriptions=[CreateSubscription([SubscribedProduct(code="pro")])],
                )
                customer_id = (await engine.create_customer(request)).id
                await give(engine, customer_id, "1000", "first credit")
                customers.append(customer_id)
            await book(engine, customers[0], call("early", start))
            assert await available(engine, customers[0], POINTS) == 99
            seen: list[tuple[int, int]] = []
            moved = await engine.advance_test_clock(
                made.id,
                AdvanceTestClock(start + timedelta(days=365)),
                progress=lambda done, total: seen.append((done, total)),
            )
            assert (moved.now, moved.customers) == (start + timedelta(days=365), 100)
            assert seen[0] == (0, 100)
            assert seen[-1] == (100, 100)
            for customer_id in customers:
                assert await available(engine, customer_id) == Decimal(870)
            # A repeat is harmless; back it does not go.
            await engine.advance_test_clock(made.id, AdvanceTestClock(moved.now))
            with pytest.raises(FaregateError, match="only goes forward"):
                await engine.advance_test_clock(made.id, AdvanceTestClock(start))
            # What is used then, is used by the clock: the server's own lies 365 days elsewhere.
            await book(engine, customers[0], call("late", moved.now))
            with pytest.raises(FaregateError, match="days ago"):
                await book(engine, customers[0], call("too late", start))
            # The worker has nothing to do with them.
            clock.now = NOON + timedelta(days=4000)
            assert await engine.work() == 0
            await assert_clean(engine)

    tell(story())


def test_a_database_that_goes_away_makes_no_work_poison(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
            way = LostAnswers(engine._store)
            for lane in engine.lanes:
                lane._store = way  # type: ignore[assignment]
            clock.now = NOON + timedelta(days=40)
            for _ in range(MAX_ATTEMPTS + 3):
                way.faults = ["before"]
                await engine.work()
            way.faults = []
            await engine.work()
            assert await available(engine, customer_id) == 980

    tell(story())


def test_due_work_says_when_it_is_due(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            customer_id = await member(engine)
            async with other_connection(database_url) as store:
                rows = await rows_of(store, "due_at, attempts", "due_work", customer_id)
            # Its credit expires with the period, which is announced.
            assert rows == [(to_us(NOON.replace(month=4) - timedelta(days=7)), 0)]

    tell(story())
