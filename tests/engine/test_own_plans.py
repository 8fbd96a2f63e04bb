"""Customers choose among the plans that the account offers them, and get no other."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

from tests.engine.test_previews import everything, monthly, sell_plans
from tests.ledger.shop import NOON, USD, Clock, give, refusal, tell

from faregate import CreateCustomer, Engine, FaregateError
from faregate.catalog.types import CreateProduct
from faregate.core.codec import from_dict
from faregate.core.portal import PortalSettings
from faregate.customers.types import CreateSubscription


async def sell(engine: Engine, code: str, amount: int, credit: int = 0) -> None:
    """Publish a product for so many USD a month, with so many EUR of credit included."""
    included = {
        "name": "Included",
        "asset": "EUR",
        "amount": credit,
        "purpose": "bundled",
        "lifecycle": {"duration": "month"},
    }
    product = {"name": code.title(), "code": code, "publish": True, "prices": [monthly(amount)]}
    product["entitlements"] = [included] if credit else []
    await engine.create_product(from_dict(CreateProduct, product))


async def offer(engine: Engine, *codes: str, may_cancel: bool = True) -> None:
    await engine.set_portal_settings(PortalSettings(plans=list(codes), may_cancel=may_cancel))


async def ada(engine: Engine, credit: str, code: str | None = None) -> tuple[str, str]:
    """A customer with this much credit, subscribed to a product or to none."""
    customer_id = (await engine.create_customer(CreateCustomer("Ada"))).id
    await give(engine, customer_id, credit, "first")
    if code is None:
        return customer_id, ""
    request = from_dict(CreateSubscription, {"products": [{"code": code}]})
    return customer_id, (await engine.create_subscription(customer_id, request)).id


async def has(engine: Engine, customer_id: str) -> tuple[Decimal, Decimal]:
    """What a customer has in USD and in EUR."""
    dollars = await engine.get_account(customer_id, USD)
    return dollars.available, (await engine.get_account(customer_id, "default:EUR")).available


def test_only_what_is_offered_can_be_taken(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, "basic", 10)
            await sell(engine, "secret", 0)
            customer_id, _ = await ada(engine, "100")
            for product in ("basic", "secret", "nothing"):
                for act in (engine.preview_own_plan, engine.take_own_plan):
                    refused = await refusal(act(customer_id, product))
                    assert refused.problem.kind.status == 403
            await offer(engine, "basic")
            (plan,) = await engine.list_own_plans(customer_id)
            assert (plan.code, plan.subscription_id) == ("basic", None)
            seen = await engine.preview_own_plan(customer_id, "basic")
            assert [due.amount for due in seen.due] == [10]
            taken = (await engine.take_own_plan(customer_id, "basic")).subscription
            assert (await engine.get_account(customer_id, USD)).available == 90
            (plan,) = await engine.list_own_plans(customer_id)
            assert (plan.subscription_id, plan.subscribed_version) == (taken.id, None)
            assert "already" in str(await refusal(engine.take_own_plan(customer_id, "basic")))
            move = (customer_id, taken.id, "secret", 5)
            assert (await refusal(engine.move_own_plan(*move))).problem.kind.status == 403
            await offer(engine, "basic", may_cancel=False)
            refused = await refusal(engine.cancel_own_plan(customer_id, taken.id))
            assert refused.problem.kind.status == 403
            await offer(engine, "basic")
            ended = (await engine.cancel_own_plan(customer_id, taken.id)).subscription
            assert ended.ends_at == NOON + timedelta(days=31)

    tell(story())


def test_a_plan_takes_the_place_of_another_at_the_price_that_was_shown(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, "basic", 31)
            await sell(engine, "pro", 62)
            await offer(engine, "basic", "pro")
            customer_id, basic = await ada(engine, "100", "basic")
            clock.move(days=15, hours=12)
            before = await everything(engine, customer_id)
            seen = await engine.preview_own_plan(customer_id, "pro", replaces=basic)
            assert [(d.amount, d.lacking) for d in seen.due] == [(Decimal("46.5"), 0)]
            assert sorted(fee.amount for fee in seen.fees) == [Decimal("-15.5"), 62]
            assert await everything(engine, customer_id) == before
            done = await engine.take_own_plan(customer_id, "pro", replaces=basic)
            assert done.subscription.status == "active"
            assert (await engine.get_account(customer_id, USD)).available == Decimal("22.5")
            had = {s.id: s.status for s in await engine.list_subscriptions(customer_id)}
            assert had == {basic: "inactive", done.subscription.id: "active"}
            assert (await engine.verify()).is_clean

            # Who cannot pay it keeps what they have.
            poor_id, theirs = await ada(engine, "40", "basic")
            before = await everything(engine, poor_id)
            seen = await engine.preview_own_plan(poor_id, "pro", replaces=theirs)
            assert [(d.amount, d.available, d.lacking) for d in seen.due] == [(31, 9, 22)]
            assert seen.refusal is not None
            refused = await refusal(engine.take_own_plan(poor_id, "pro", replaces=theirs))
            assert refused.problem.kind.status == 402
            assert await everything(engine, poor_id) == before
            # Another customer's subscription is not theirs to replace.
            for act in (engine.preview_own_plan, engine.take_own_plan):
                refused = await refusal(act(poor_id, "pro", replaces=done.subscription.id))
                assert refused.problem.kind.status == 404

    tell(story())


def test_what_is_sent_several_times_at_once_is_taken_and_paid_once(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, "basic", 10)
            await sell(engine, "pro", 30)
            await sell(engine, "free", 0, credit=5)
            await offer(engine, "basic", "pro", "free")
            customer_id, _ = await ada(engine, "100")

            async def at_once(product: str, *replaces: str | None) -> None:
                sent = [engine.take_own_plan(customer_id, product, replaces=r) for r in replaces]
                answers = await asyncio.gather(*sent, return_exceptions=True)
                refused = [one for one in answers if isinstance(one, FaregateError)]
                assert len(refused) == len(answers) - 1
                assert "already" in str(refused[0]) or "not active" in str(refused[0])

            await at_once("basic", None, None, None)
            await at_once("free", None, None, None)
            assert await has(engine, customer_id) == (90, 5)
            basic, free = [s.id for s in await engine.list_subscriptions(customer_id)]
            await at_once("pro", basic, free, basic, None)
            active = [s for s in await engine.list_subscriptions(customer_id) if s.products]
            pro = [s for s in active if s.products[0].code == "pro"]
            assert [s.status for s in pro] == ["active"]
            # Of the plan that it took the place of 10 came back, or nothing.
            assert (await has(engine, customer_id))[0] in (60, 70)
            assert (await engine.verify()).is_clean

    tell(story())


def test_nobody_has_included_credit_twice_by_going_to_and_fro(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, "free", 0, credit=5)
            await sell(engine, "basic", 31, credit=50)
            await sell(engine, "plain", 0)
            await offer(engine, "free", "basic", "plain")
            customer_id, first = await ada(engine, "31", "basic")
            assert await has(engine, customer_id) == (0, 50)
            now = await engine.take_own_plan(customer_id, "free", replaces=first)
            # Nothing is given back beside credit that may be used, and what is left of it is gone.
            assert await has(engine, customer_id) == (0, 5)
            now = await engine.take_own_plan(customer_id, "plain", replaces=now.subscription.id)
            assert await has(engine, customer_id) == (0, 0)
            again = {"replaces": now.subscription.id}
            refused = await refusal(engine.take_own_plan(customer_id, "free", **again))
            assert "from 2026-04-02 on" in str(refused)
            clock.move(days=31)
            await engine.take_own_plan(customer_id, "free", **again)
            assert await has(engine, customer_id) == (0, 5)
            assert (await engine.verify()).is_clean

    tell(story())


def test_a_move_to_the_offered_version_costs_what_was_shown(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_plans(engine)
            await offer(engine, "plan")
            customer_id, subscription_id = await ada(engine, "100", None)
            request = from_dict(CreateSubscription, {"products": [{"code": "plan"}]})
            subscription_id = (await engine.create_subscription(customer_id, request)).id
            move = (customer_id, subscription_id, "plan")
            seen = await engine.preview_own_move(*move)
            done = await engine.move_own_plan(*move)
            assert [fee.amount for fee in seen.fees] == [fee.amount for fee in done.fees]
            seats = await refusal(engine.preview_own_move(*move, 5))
            assert list(seats.problem.errors) == ["quantity"]

    tell(story())
