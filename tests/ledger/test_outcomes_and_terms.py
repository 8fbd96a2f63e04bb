"""What discounts and commitments make of outcomes: what they have counted of a fee that is given
back counts no longer, in the period in which it counted; and a fee in its place is reduced as of
when its event occurred. A token costs 1 USD; all numbers are in USD, worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.ledger.plans import included, member, monthly, per_call
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    tell,
    usage_price,
    use,
)
from tests.ledger.test_discounts import offer, sell
from tests.ledger.test_outcomes import pending, settle

from faregate import Engine
from faregate.catalog.types import CreateAsset, CreateProduct, CreateVersion, UpdateVersion
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.core.outcomes import OutcomeSettled
from faregate.customers.types import AddDiscount, PauseSubscription

UNIT = 10**9
MONTH = {"interval": "month"}


async def spent(engine: Engine, customer_id: str) -> Decimal:
    (shown,) = await engine.list_subscriptions(customer_id)
    assert shown.commitments is not None
    return shown.commitments[0].spent


async def used(engine: Engine, customer_id: str) -> Decimal | None:
    (shown,) = await engine.list_subscriptions(customer_id)
    assert shown.discounts is not None
    return shown.discounts[0].used


def fee(answer: OutcomeSettled) -> tuple[Decimal, dict[str, Decimal], Decimal]:
    """What an event costs now, what discounts took off, and what a maximum did."""
    (one,) = answer.fees
    assert one.reduced is not None
    off = {code: Decimal(units) / UNIT for code, units in one.reduced.discounts}
    return Decimal(one.units) / UNIT, off, Decimal(one.reduced.capped_units) / UNIT


def test_an_amount_has_left_again_what_it_had_taken(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, minimum=50, maximum=100)
            customer_id = await member(engine)
            (subscription,) = await engine.list_subscriptions(customer_id)
            await offer(engine, "FIVE", amount=Number(5), asset="USD")
            await engine.add_discount(customer_id, subscription.id, AddDiscount("FIVE"))
            await book(engine, customer_id, use("a", 3))
            await book(engine, customer_id, use("b", 9))
            # 3 of the 5 were taken off the first, 2 off the second.
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (5, 7)
            await settle(engine, customer_id, "a", "withdrawn")
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (2, 7)
        async with Engine.open(database_url, clock=clock) as engine:
            # 5 are left for it, with its own 2.
            answer = await settle(engine, customer_id, "b", "changed", 4)
            assert fee(answer) == (0, {"FIVE": 4}, 0)
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (4, 0)
            # 110 - 5 are 105, of which 100 are asked.
            answer = await settle(engine, customer_id, "b", "changed", 110)
            assert fee(answer) == (100, {"FIVE": 5}, 5)
            assert "cap of 100 USD reached" in answer.warnings[0]
            await settle(engine, customer_id, "b", "withdrawn")
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (0, 0)
            await assert_clean(engine)

    tell(story())


def test_a_minimum_asks_for_what_was_withdrawn_in_its_period(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, minimum=50)
            customer_id = await member(engine)
            await book(engine, customer_id, use("a", 30))
            await book(engine, customer_id, use("b", 30))
            await settle(engine, customer_id, "a", "withdrawn")
            assert await spent(engine, customer_id) == 30
            clock.move(days=31)
            # 10 a month, 30 for b, and 20 that are missing of 50.
            assert await available(engine, customer_id) == 1000 - 2 * 10 - 50
            # It is over and settled: nothing is counted back, and the money is.
            await settle(engine, customer_id, "b", "withdrawn")
            assert await spent(engine, customer_id) == 0
            assert await available(engine, customer_id) == 1000 - 2 * 10 - 20
            await assert_clean(engine)

    tell(story())


def test_a_change_after_the_period_has_the_terms_of_then(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, maximum=100)
            await offer(engine, "FIVE", amount=Number(5), asset="USD")
            await offer(engine, "HALF", percent=Number(50), periods=1)
            customer_id = await member(engine, coupon="HALF")
            (subscription,) = await engine.list_subscriptions(customer_id)
            await engine.add_discount(customer_id, subscription.id, AddDiscount("FIVE"))
            # Half of 6 is 3, all of which the amount takes. Then half of 200, less the other 2.
            await book(engine, customer_id, use("a", 6))
            await book(engine, customer_id, use("b", 200))
            assert await spent(engine, customer_id) == 98
            clock.move(days=31)
        async with Engine.open(database_url, clock=clock) as engine:
            # Half of 20, as then; the amount takes the 3 that it had taken of it, and none of the
            # 5 of this month; and it costs no more than it did, because it is not known how much
            # of the maximum was left.
            answer = await settle(engine, customer_id, "a", "changed", 20)
            assert fee(answer) == (0, {"HALF": 10, "FIVE": 3}, 7)
            answer = await settle(engine, customer_id, "a", "changed", 2)
            assert fee(answer) == (0, {"HALF": 1, "FIVE": 1}, 0)
            # What was between does not count: 3 were its share.
            answer = await settle(engine, customer_id, "a", "changed", 6)
            assert fee(answer) == (0, {"HALF": 3, "FIVE": 3}, 0)
            answer = await settle(engine, customer_id, "b", "changed", 100)
            assert fee(answer) == (48, {"HALF": 50, "FIVE": 2}, 0)
            answer = await settle(engine, customer_id, "b", "changed", 500)
            assert fee(answer) == (98, {"HALF": 250, "FIVE": 2}, 150)
            # Nothing of it counts in this month.
            assert await spent(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_a_late_confirmation_counts_when_it_comes(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, maximum=100)
            await offer(engine, "HALF", percent=Number(50), periods=1)
            customer_id = await member(engine, coupon="HALF")
            await book(engine, customer_id, pending("a", 20))
            clock.move(days=31)
            # The discount counts, because it occurred then; like a use that is reported late, it
            # counts towards the maximum of now.
            answer = await settle(engine, customer_id, "a", "confirmed")
            assert fee(answer) == (10, {"HALF": 10}, 0)
            assert await spent(engine, customer_id) == 10
            await settle(engine, customer_id, "a", "changed", 30)
            assert await spent(engine, customer_id) == 15
            await settle(engine, customer_id, "a", "withdrawn")
            assert await spent(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_a_discount_that_was_taken_away_since_still_counts_for_what_had_it(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine)
            await offer(engine, "HALF", percent=Number(50))
            customer_id = await member(engine, coupon="HALF")
            await book(engine, customer_id, use("a", 20))
            (subscription,) = await engine.list_subscriptions(customer_id)
            await engine.remove_discount(customer_id, subscription.id, "HALF")
            answer = await settle(engine, customer_id, "a", "changed", 30)
            assert fee(answer) == (15, {"HALF": 15}, 0)
            # Given anew, it is another one, which the first has not counted for.
            await engine.add_discount(customer_id, subscription.id, AddDiscount("HALF"))
            answer = await settle(engine, customer_id, "a", "changed", 10)
            assert fee(answer) == (5, {"HALF": 5}, 0)
            await book(engine, customer_id, use("b", 10))
            await settle(engine, customer_id, "b", "withdrawn")
            await settle(engine, customer_id, "a", "withdrawn")
            # 10 a month, of which half was off.
            assert await available(engine, customer_id) == 995
            await assert_clean(engine)

    tell(story())


def test_a_discount_that_was_given_since_does_not_count(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine)
            customer_id = await member(engine)
            await book(engine, customer_id, use("a", 20))
            await book(engine, customer_id, pending("b", 20))
            # A clock that is a little slow is forgiven: a use that comes now, of before, has it.
            clock.move(minutes=1)
            (subscription,) = await engine.list_subscriptions(customer_id)
            await offer(engine, "HALF", percent=Number(50))
            await engine.add_discount(customer_id, subscription.id, AddDiscount("HALF"))
            answer = await settle(engine, customer_id, "a", "changed", 30)
            assert [one.units for one in answer.fees] == [30 * UNIT]
            assert fee(await settle(engine, customer_id, "b", "confirmed"))[0] == 10
            await assert_clean(engine)

    tell(story())


def test_a_pause_does_not_close_a_period(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, minimum=50)
            await offer(engine, "FIVE", amount=Number(5), asset="USD")
            customer_id = await member(engine)
            (subscription,) = await engine.list_subscriptions(customer_id)
            await engine.add_discount(customer_id, subscription.id, AddDiscount("FIVE"))
            await book(engine, customer_id, use("a", 30))
            clock.move(days=5)
            await engine.pause_subscription(customer_id, subscription.id, PauseSubscription())
            clock.move(days=40)
            await engine.resume_subscription(customer_id, subscription.id)
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (5, 25)
            await settle(engine, customer_id, "a", "changed", 20)
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (5, 15)
            await settle(engine, customer_id, "a", "withdrawn")
            assert (await used(engine, customer_id), await spent(engine, customer_id)) == (0, 0)
            await assert_clean(engine)

    tell(story())


async def next_version(engine: Engine, **commitment: Any) -> int:
    body = {
        "publish": True,
        "prices": [monthly(10), usage_price("1")],
        "commitments": [{"name": "Use", "asset": "USD", "recurring": MONTH, **commitment}],
    }
    made = await engine.create_version("pro", decode(CreateVersion, encode(body)))
    await engine.update_version("pro", made.version, UpdateVersion(make_default=True))
    return made.version


def test_another_version_goes_on_with_what_was_counted(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, minimum=50)
            customer_id = await member(engine)
            (subscription,) = await engine.list_subscriptions(customer_id)
            await book(engine, customer_id, use("a", 30))
            clock.move(days=1)
            version = await next_version(engine, minimum=80)
            await engine.set_subscription_version(customer_id, subscription.id, "pro", version)
            assert await spent(engine, customer_id) == 30
            await settle(engine, customer_id, "a", "changed", 10)
            assert await spent(engine, customer_id) == 10
            await settle(engine, customer_id, "a", "withdrawn")
            assert await spent(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())


def test_what_counted_since_a_period_was_over_is_given_back_where_it_counts(
    database_url: str,
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, minimum=50)
            customer_id = await member(engine, credit="60")
            await book(engine, customer_id, use("a", 30))
            clock.move(days=31)
            # 20 are there, and 10 + 20 are due: the renewal waits.
            await book(engine, customer_id, use("late", 7, clock.now))
            await book(engine, customer_id, use("gone", 5, clock.now))
            await settle(engine, customer_id, "gone", "withdrawn")
            await settle(engine, customer_id, "late", "changed", 4)
            # The minimum is not settled yet: 40 are missing of it now, and 50 are there.
            await settle(engine, customer_id, "a", "changed", 10)
            assert await available(engine, customer_id) == 60 - 10 - 10 - 4
            await settle(engine, customer_id, "late", "withdrawn")
            assert await available(engine, customer_id) == 60 - 10 - 10
            await settle(engine, customer_id, "a", "changed", 20)
            # Now it is: 10 are left, and 30 + 10 are due.
            assert await available(engine, customer_id) == 60 - 10 - 20
            await assert_clean(engine)

    tell(story())


def test_earned_deferred_and_broken_add_up_after_outcomes(database_url: str) -> None:
    async def credit(engine: Engine) -> tuple[Decimal, Decimal, Decimal]:
        (row,) = await engine.credit_revenue()
        assert row.used + row.left + row.broken == row.granted
        return row.earned_revenue, row.deferred_revenue, row.broken_revenue

    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            # 100 POINTS a month, each of which was sold for 0.1 USD.
            entitlement = included(100, accounting={"revenue_basis": Decimal("0.1")})
            await engine.create_asset(CreateAsset("POINTS", "Points"))
            product = {
                "name": "pro",
                "code": "pro",
                "publish": True,
                "prices": [monthly(10), {**per_call(), "name": "Call"}],
                "entitlements": [entitlement],
            }
            await engine.create_product(decode(CreateProduct, encode(product)))
            ada = await member(engine)
            calls = [UsageEvent(f"{n}", "call", NOON) for n in range(40)]
            await engine.record_events(ada, calls)
            assert await credit(engine) == (4, 6, 0)
            for name in range(10):
                await settle(engine, ada, f"{name}", "withdrawn")
            assert await credit(engine) == (3, 7, 0)
            clock.move(days=31)
            await engine.work()
            # 70 have broken, 100 more are there.
            assert await credit(engine) == (3, 10, 7)
            # What had expired is there anew: it is not earned, and not broken.
            for name in range(10, 15):
                await settle(engine, ada, f"{name}", "withdrawn")
            assert await credit(engine) == (Decimal("2.5"), Decimal("10.5"), 7)
            await engine.record_events(ada, [UsageEvent("e", "call", clock.now)])
            await settle(engine, ada, "e", "withdrawn")
            assert await credit(engine) == (Decimal("2.5"), Decimal("10.5"), 7)
            await assert_clean(engine)

    tell(story())
