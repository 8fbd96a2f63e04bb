"""Lives that turn more than once, through the ledger: what happens at one instant of a test clock
is all there afterwards, each thing under its own name, and restarts on the way change nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from tests.databases import new_sqlite
from tests.ledger.plans import POINTS, included, monthly, per_call, sell_plan
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    give,
    other_connection,
    rows_of,
    tell,
)

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import (
    CancelSubscription,
    CreateCustomer,
    CreateSubscription,
    PauseSubscription,
    ReactivateSubscription,
    SubscribedProduct,
    UpdateSubscribedProduct,
)
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock

START = NOON - timedelta(days=3)


def yearly(amount: int) -> dict[str, object]:
    billing = {"type": "recurring", "recurring": {"interval": "year"}}
    return {**monthly(amount), "name": "Yearly", "billing_model": billing}


def in_euros(price: dict[str, object]) -> dict[str, object]:
    value = {"unit_price": Decimal(3), "quantity": 1}
    return {**price, "name": "Extra", "pricing": [{"asset": "EUR", "values": [value]}]}


async def open_shop(engine: Engine) -> tuple[str, str, str]:
    """Sell a plan in two versions; returns a customer's id, their subscription and their clock."""
    await sell_plan(engine, "pro", monthly(31, seats=1), in_euros(monthly(3)), per_call())
    second = {
        "name": "Pro",
        "code": "pro",
        "publish": True,
        "prices": [yearly(365), in_euros(yearly(3)), per_call()],
        "entitlements": [included(50, lifecycle={"duration": "year", "refresh": REPLACE})],
    }
    await engine.create_version("pro", decode(CreateProduct, encode(second)))
    clock = await engine.create_test_clock(CreateTestClock(START, "by hand"))
    customer = await engine.create_customer(CreateCustomer(name="Ada", test_clock_id=clock.id))
    await give(engine, customer.id, "10000", "first credit")
    euros = AdjustmentRequest("euros", "EUR", Decimal(1000), "external_topup")  # type: ignore[arg-type]
    await engine.adjust(customer.id, euros)
    request = CreateSubscription([SubscribedProduct(code="pro", version=1)])
    made = await engine.create_subscription(customer.id, request)
    return customer.id, made.id, clock.id


REPLACE = {"strategy": "expire_and_replace"}


def test_what_happens_at_one_instant_is_all_there(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            customer_id, sub, clock_id = await open_shop(engine)
            renewal = START + timedelta(days=28)
            await engine.advance_test_clock(clock_id, AdvanceTestClock(renewal))
            fees = []
            for version in (2, 1, 2):
                # Both accounts pay, at the instant of the renewal and of each other.
                move = UpdateSubscribedProduct(version, effective="now")
                fees += (await engine.move_subscription(customer_id, sub, "pro", move)).fees
            end = CancelSubscription("now", "prorate", "keep")
            fees += (await engine.cancel_subscription(customer_id, sub, end)).fees
            await engine.reactivate_subscription(customer_id, sub, ReactivateSubscription())
            names = [fee.id for fee in fees]
            assert len(set(names)) == len(names) > 6
            for fee in fees:
                found = await engine.get_transaction(customer_id, fee.id)
                assert (found.id, found.account_id) == (fee.id, fee.account_id)  # type: ignore[union-attr]
                assert Decimal(-found.units).scaleb(-9) == fee.amount  # type: ignore[union-attr]
            before = [await available(engine, customer_id, a) for a in ("default:USD", POINTS)]
            await assert_clean(engine)
        async with Engine.open(database_url, clock=Clock()) as engine:
            after = [await available(engine, customer_id, a) for a in ("default:USD", POINTS)]
            assert before == after
            await assert_clean(engine)

    tell(story())


Deed = Callable[[Engine, str, str], Awaitable[object]]


def deeds(random: Random) -> list[tuple[int, str, Deed]]:
    """Return what a customer does, each so many hours after the one before."""

    def move(**options: object) -> Deed:
        request = UpdateSubscribedProduct(**options)  # type: ignore[arg-type]
        return lambda engine, customer_id, sub: engine.move_subscription(
            customer_id, sub, "pro", request
        )

    def call(name: str) -> Deed:
        async def book_now(engine: Engine, customer_id: str, _sub: str) -> None:
            now = (await engine.list_test_clocks()).items[0].now
            await book(engine, customer_id, UsageEvent(name, "call", now))

        return book_now

    kinds: list[Callable[[], Deed]] = [
        lambda: move(version=random.choice([1, 2]), effective=random.choice([None, "now"])),
        lambda: move(quantity=random.choice([1, 3]), proration=random.choice([None, "none"])),
        lambda: lambda e, c, s: e.pause_subscription(c, s, PauseSubscription()),
        lambda: lambda e, c, s: e.resume_subscription(c, s),
        lambda: lambda e, c, s: e.cancel_subscription(c, s, CancelSubscription()),
        lambda: (
            lambda e, c, s: e.cancel_subscription(
                c, s, CancelSubscription("now", "prorate", "lapse")
            )
        ),
        lambda: lambda e, c, s: e.reactivate_subscription(c, s, ReactivateSubscription()),
        lambda: call(f"use {random.random()}"),
    ]
    return [
        (random.choice([0, 0, 5, 24, 24 * 9, 24 * 31]), f"{n}", random.choice(kinds)())
        for n in range(12)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_life_is_the_same_in_one_go_and_in_steps_with_restarts(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, seed: int
):
    async def live(url: str, *, often: bool) -> object:
        random = Random(seed)
        async with Engine.open(url, clock=Clock()) as engine:
            customer_id, sub, clock_id = await open_shop(engine)
        now = START

        @asynccontextmanager
        async def opened(kept: list[Engine]) -> AsyncIterator[Engine]:
            if kept:
                yield kept[0]
                return
            async with Engine.open(url, clock=Clock()) as engine:
                yield engine

        async def all_of_it(kept: list[Engine]) -> object:
            nonlocal now
            for hours, _, deed in deeds(random):
                steps = [hours / 3, hours / 3, hours / 3] if often else [hours]
                for step in steps:
                    now += timedelta(hours=step)
                    async with opened(kept) as engine:
                        await engine.advance_test_clock(clock_id, AdvanceTestClock(now))
                async with opened(kept) as engine:
                    try:
                        await deed(engine, customer_id, sub)
                    except FaregateError as error:
                        if error.problem.kind.status not in (402, 409, 422):
                            raise
            async with opened(kept) as engine:
                await assert_clean(engine)
                shown = await engine.get_subscription(customer_id, sub)
                async with other_connection(url) as store:
                    entries = await rows_of(store, "kind, units", "transactions", customer_id)
                    transfers = await rows_of(store, "asset, units, at", "transfers", customer_id)
                return (
                    shown.status,
                    shown.renews_at,
                    sorted(entries),
                    sorted(transfers),
                    [await available(engine, customer_id, a) for a in ACCOUNTS],
                    await engine.credit_revenue(customer_id),
                )

        if often:
            return await all_of_it([])
        async with Engine.open(url, clock=Clock()) as engine:
            return await all_of_it([engine])

    async def story() -> None:
        other = new_sqlite(tmp_path_factory.mktemp("other") / "often.db")
        seldom = await live(database_url, often=False)
        assert await live(other, often=True) == seldom

    tell(story())


ACCOUNTS = ("default:USD", "default:EUR", POINTS)
