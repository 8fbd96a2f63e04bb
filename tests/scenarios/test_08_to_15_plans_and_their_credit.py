"""What went wrong elsewhere when credit of a plan was renewed, rolled over, or moved with the plan:
each once, in the words of those who saw it.
"""

from datetime import timedelta
from fractions import Fraction

from tests.ledger.plans import POINTS, included, member, monthly, per_call
from tests.ledger.shop import NOON, Clock, assert_clean, available, tell

from faregate import Engine
from faregate.catalog.types import CreateAsset, CreateProduct, CreateVersion
from faregate.core.amounts import Number, to_decimal
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import UpdateSubscribedProduct

JUNE = NOON.replace(month=6, day=1, hour=0)


async def shop(engine: Engine, *versions: tuple[int, object]) -> None:
    """Sell a plan in versions: each has a price a month, and an entitlement."""
    await engine.create_asset(CreateAsset("POINTS", "Points"))
    for number, (price, entitlement) in enumerate(versions):
        body = {
            "publish": True,
            "prices": [monthly(price), per_call()],
            "entitlements": [entitlement],
        }
        if number == 0:
            product = {"name": "Plan", "code": "pro", **body}
            await engine.create_product(decode(CreateProduct, encode(product)))
        else:
            await engine.create_version("pro", decode(CreateVersion, encode(body)))


async def use(engine: Engine, customer_id: str, calls: int, clock: Clock) -> None:
    names = [f"{clock.now:%m%d%H} {number}" for number in range(calls)]
    events = [UsageEvent(name, "call", clock.now) for name in names]
    for start in range(0, calls, 500):
        await engine.record_events(customer_id, events[start : start + 500])


async def points(engine: Engine, customer_id: str, amount: int, **more: object) -> None:
    request = AdjustmentRequest(f"{amount} {more}", "POINTS", Number(amount), "other", **more)  # type: ignore[arg-type]
    await engine.adjust(customer_id, request)


async def move(engine: Engine, customer_id: str, version: int, **more: object) -> object:
    (subscription,) = await engine.list_subscriptions(customer_id)
    request = UpdateSubscribedProduct(version, **more)  # type: ignore[arg-type]
    product = subscription.products[0].id or ""
    return await engine.move_subscription(customer_id, subscription.id, product, request)


def rollover(amount: int, **more: int) -> dict[str, object]:
    refresh = {"strategy": "rollover", **more}
    return included(amount, lifecycle={"duration": "month", "refresh": refresh})


def test_08_a_grant_that_begins_at_the_reset_is_the_new_periods_one_that_ends_then_is_not_kept(
    database_url: str,
):
    """Seen at openmeterio/openmeter#1071 and #1127."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (10, rollover(100, max_amount=50)))
            ada = await member(engine)
            reset = JUNE.replace(month=7)
            await points(engine, ada, 30, effective_at=reset)
            await points(engine, ada, 40, expires_at=reset)
            clock.now = reset - timedelta(microseconds=1)
            assert await available(engine, ada, POINTS) == 140
            clock.now = reset
            # 50 of the 100 are kept, 100 are new, 30 begin; the 40 have ended.
            assert await available(engine, ada, POINTS) == 180
            await engine.work()
            await assert_clean(engine)

    tell(story())


def test_10_a_monthly_grant_is_issued_twelve_times_in_a_year(database_url: str):
    """Also when other grants begin and end in every period. Seen at openmeter#4252."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (10, included(100)))
            ada = await member(engine)
            for _ in range(12):
                await points(engine, ada, 5, expires_at=clock.now + timedelta(days=9))
                await use(engine, ada, 3, clock)
                clock.move(days=30.4)
            clock.now = JUNE.replace(year=2027) - timedelta(seconds=1)
            await engine.work()
            grants = (await engine.list_grants(ada, POINTS, 100)).items
            assert len([g for g in grants if g.purpose == "bundled"]) == 12
            await assert_clean(engine)

    tell(story())


def test_11_what_was_bought_remains_when_the_plans_credit_starts_anew(database_url: str):
    """Seen at openmeter#3293."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (10, included(1000)))
            ada = await member(engine)
            await points(engine, ada, 500)
            await use(engine, ada, 1100, clock)
            assert await available(engine, ada, POINTS) == 400
            clock.now = JUNE.replace(month=7)
            assert await available(engine, ada, POINTS) == 1400
            await engine.work()
            await assert_clean(engine)

    tell(story())


def test_12_a_rollover_with_a_cap_keeps_that_much_and_burns_it_first(database_url: str):
    """Seen at useautumn/autumn#1822."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (10, rollover(1000, max_amount=200, max_periods=1)))
            ada = await member(engine)
            await use(engine, ada, 650, clock)
            clock.now = JUNE.replace(month=7)
            assert await available(engine, ada, POINTS) == 1200
            await use(engine, ada, 150, clock)
            left = {
                g.expires_at: g.available for g in (await engine.list_grants(ada, POINTS)).items
            }
            assert left == {JUNE.replace(month=8): 50, JUNE.replace(month=9): 1000}
            clock.now = JUNE.replace(month=8)
            assert await available(engine, ada, POINTS) == 1200
            await engine.work()
            await assert_clean(engine)

    tell(story())


def test_13_up_use_down_never_yields_credit_below_the_price(database_url: str):
    """Seen at polarsource/polar#5826, #6448 and #6881."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (5, included(100)), (20, included(1000)))
            ada = await member(engine)
            clock.now = JUNE.replace(day=16)
            up = await move(engine, ada, 2)
            assert [fee.amount for fee in up.fees] == [7.5]  # type: ignore[attr-defined]
            await use(engine, ada, 900, clock)
            down = await move(engine, ada, 1)
            assert down.fees == []  # type: ignore[attr-defined]
            assert down.effective_at == JUNE.replace(month=7)  # type: ignore[attr-defined]
            assert await available(engine, ada) == 1000 - 12.5
            clock.now = JUNE.replace(month=7)
            assert await available(engine, ada) == 1000 - 17.5
            # 50 and 500 were included; 350 were used beyond that, and 100 came since.
            assert await available(engine, ada, POINTS) == -250
            await engine.work()
            await assert_clean(engine)

    tell(story())


def test_14_upgrade_and_downgrade_at_the_same_instant_cancel_out(database_url: str):
    """Seen at polar#6568."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (5, included(100)), (20, included(1000)))
            ada = await member(engine)
            clock.now = JUNE.replace(day=9, hour=7, minute=53, second=41)
            before = await available(engine, ada), await available(engine, ada, POINTS)
            up = await move(engine, ada, 2, effective="now", proration="prorate")
            down = await move(engine, ada, 1, effective="now", proration="prorate")
            assert sum(fee.amount for fee in (*up.fees, *down.fees)) == 0  # type: ignore[attr-defined]
            after = await available(engine, ada), await available(engine, ada, POINTS)
            assert after == before
            # Of June's 2,592,000 s 719,621 s are over: 5 x 1,872,379 / 2,592,000 is the old plan's.
            credit = up.fees[0].lines[0].amount  # type: ignore[attr-defined]
            assert credit == -to_decimal(round(Fraction(5 * 10**9 * 1_872_379, 2_592_000)), 9)
            await assert_clean(engine)

    tell(story())


def test_15_after_a_downgrade_included_credit_is_0_and_paid_credit_is_untouched(
    database_url: str,
):
    """Seen at warpdotdev/warp#6970."""

    async def story() -> None:
        clock = Clock(JUNE)
        async with Engine.open(database_url, clock=clock) as engine:
            await shop(engine, (20, included(1000)), (5, included(100)))
            ada = await member(engine)
            await points(engine, ada, 70)
            await use(engine, ada, 900, clock)
            clock.now = JUNE.replace(day=16)
            await move(engine, ada, 2, effective="now", credits="replace")
            left = {g.purpose: g.available for g in (await engine.list_grants(ada, POINTS)).items}
            assert left == {"paid": 70, "bundled": 0}
            assert await available(engine, ada, POINTS) == 70
            await assert_clean(engine)

    tell(story())
