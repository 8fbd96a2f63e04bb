"""What a change of a subscription would cost is what it costs then, and looking changes nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.shop import NOON, USD, Clock, give, refusal, tell

from faregate import CreateCustomer, Engine
from faregate.catalog.types import CreateProduct, CreateVersion
from faregate.core.codec import encode, from_dict
from faregate.core.plan_fees import BookedPlanFee
from faregate.customers.types import (
    CancelSubscription,
    CreateSubscription,
    UpdateSubscribedProduct,
)


def monthly(amount: int, **value: Any) -> dict[str, Any]:
    return {
        "type": "fixed",
        "name": "Base fee",
        "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
        "pricing": [{"asset": "USD", "values": [{"unit_price": amount, **value}]}],
    }


async def sell_plans(engine: Engine) -> None:
    """Publish `plan` for 31 a month, and a version 2 of it for 62 that includes 5 USD."""
    product = {"name": "Plan", "code": "plan", "publish": True, "prices": [monthly(31)]}
    await engine.create_product(from_dict(CreateProduct, product))
    included = {
        "name": "Included",
        "asset": "USD",
        "amount": 5,
        "purpose": "bundled",
        "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
    }
    version = {"publish": True, "prices": [monthly(62)], "entitlements": [included]}
    await engine.create_version("plan", from_dict(CreateVersion, version))


async def subscribed(engine: Engine, credit: str) -> tuple[str, str]:
    request = from_dict(CreateSubscription, {"products": [{"code": "plan", "version": 1}]})
    customer_id = (await engine.create_customer(CreateCustomer("Ada"))).id
    await give(engine, customer_id, credit, "first")
    return customer_id, (await engine.create_subscription(customer_id, request)).id


async def everything(engine: Engine, customer_id: str) -> bytes:
    """All that a customer has, to see whether it has changed."""
    return b"\n".join(
        [
            encode(await engine.get_customer(customer_id)),
            encode(await engine.get_wallet(customer_id)),
            encode((await engine.list_grants(customer_id, USD)).items),
        ]
    )


UPGRADE = UpdateSubscribedProduct(version=2)
LATER = UpdateSubscribedProduct(version=2, effective="renewal")


@pytest.mark.parametrize("request_", [UPGRADE, LATER], ids=["now", "later"])
def test_a_move_costs_what_its_preview_said(
    database_url: str, request_: UpdateSubscribedProduct
) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plans(engine)
            customer_id, subscription_id = await subscribed(engine, "500")
            clock.move(days=10)
            before = await everything(engine, customer_id)
            move = (customer_id, subscription_id, "plan", request_)
            seen = await engine.preview_move(*move)
            assert await everything(engine, customer_id) == before
            done = await engine.move_subscription(*move)
            assert (seen.effective_at, seen.credits) == (done.effective_at, done.credits)
            assert [(f.account_id, f.amount, len(f.lines)) for f in seen.fees] == [
                (f.account_id, f.amount, len(f.lines)) for f in done.fees
            ]
            assert sum(due.amount for due in seen.due) == sum(f.amount for f in done.fees)
            assert (not seen.fees) == (request_ is LATER)
            assert (seen.next_at, [f.amount for f in seen.next_fees]) == (
                NOON + timedelta(days=31),
                [Decimal(62)],
            )
            # What time brings has one name for ever, so the fee itself can be looked up.
            clock.now = NOON + timedelta(days=31)
            await engine.work()
            booked = await engine.get_transaction(customer_id, seen.next_fees[0].id)
            assert isinstance(booked, BookedPlanFee)
            assert (booked.units, booked.created_at) == (-62 * 10**9, seen.next_at)

    tell(story())


def test_who_cannot_pay_a_move_learns_the_price_and_what_is_missing(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plans(engine)
            customer_id, subscription_id = await subscribed(engine, "32")
            before = await everything(engine, customer_id)
            move = (customer_id, subscription_id, "plan", UPGRADE)
            seen = await engine.preview_move(*move)
            (due,) = seen.due
            assert (due.amount, due.available, due.lacking) == (31, 1, 30)
            assert seen.refusal == str(await refusal(engine.move_subscription(*move)))
            assert await everything(engine, customer_id) == before
            assert (await engine.verify()).is_clean

    tell(story())


def test_a_new_subscription_and_an_end_are_previewed_as_well(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plans(engine)
            customer_id, subscription_id = await subscribed(engine, "40")
            request = from_dict(CreateSubscription, {"products": [{"code": "plan"}]})
            seen = await engine.preview_subscription(customer_id, request)
            assert seen.subscription.status == "action_required"
            assert [(due.amount, due.lacking) for due in seen.due] == [(31, 22)]
            clock.move(days=15, hours=12)
            now = CancelSubscription("now", "prorate")
            end = await engine.preview_cancellation(customer_id, subscription_id, now)
            assert [due.amount for due in end.due] == [Decimal("-15.5")]
            assert (end.next_at, end.next_fees) == (None, [])
            later = await engine.preview_cancellation(
                customer_id, subscription_id, CancelSubscription()
            )
            assert (later.due, later.next_fees) == ([], [])
            assert later.subscription.ends_at == NOON + timedelta(days=31)
            for wrong in ("sub_nothing", ""):
                await refusal(engine.preview_cancellation(customer_id, wrong, now))
            (kept,) = await engine.list_subscriptions(customer_id)
            assert (kept.status, kept.ends_at) == ("active", None)

    tell(story())
