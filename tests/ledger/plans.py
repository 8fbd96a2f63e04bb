"""A shop that sells a plan: so much a month, with credit that comes with it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from tests.ledger.shop import give

from faregate import Engine
from faregate.catalog.types import CreateAsset, CreateProduct
from faregate.core.codec import decode, encode
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

POINTS = "default:POINTS"


def monthly(amount: int | str, **more: Any) -> dict[str, Any]:
    """A price of so many USD a month."""
    value: dict[str, Any] = {"unit_price": Decimal(str(amount))}
    if "seats" in more:
        value["quantity"] = more.pop("seats")
    return {
        "type": "fixed",
        "name": "Monthly",
        "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
        "pricing": [{"asset": "USD", "values": [value]}],
        **more,
    }


def per_call(points: int = 1) -> dict[str, Any]:
    """A price of so many POINTS a call."""
    return {
        "type": "usage_based",
        "name": "Calls",
        "usage_calculation": {"event_type": "call", "usage_type": "unit"},
        "billing_model": {"type": "real_time"},
        "pricing": [{"asset": "POINTS", "values": [{"unit_price": points}]}],
    }


def included(points: int, **more: Any) -> dict[str, Any]:
    """So many POINTS a month, replaced by new ones."""
    return {
        "name": "Included",
        "asset": "POINTS",
        "amount": points,
        "purpose": "bundled",
        "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
        **more,
    }


async def sell_plan(engine: Engine, code: str = "pro", *prices: Any, points: int = 100) -> None:
    """Publish a plan; by default of 10 USD a month with 100 POINTS."""
    assets = await engine.list_assets()
    if "POINTS" not in [asset.code for asset in assets.items]:
        await engine.create_asset(CreateAsset("POINTS", "Points"))
    product = {
        "name": code.title(),
        "code": code,
        "publish": True,
        "prices": prices or [monthly(10), per_call()],
        "entitlements": [included(points)] if points else [],
    }
    await engine.create_product(decode(CreateProduct, encode(product)))


async def member(
    engine: Engine, credit: str | None = "1000", code: str = "pro", **subscription: Any
) -> str:
    """Make a customer with this much credit who has the plan; returns the id."""
    customer_id = (await engine.create_customer(CreateCustomer(name="Ada"))).id
    if credit is not None:
        await give(engine, customer_id, credit, "first credit")
    request = CreateSubscription([SubscribedProduct(code=code)], **subscription)
    await engine.create_subscription(customer_id, request)
    return customer_id


def day(text: str) -> datetime:
    """Read an instant: `2026-03-02T12:00:00Z`."""
    return datetime.fromisoformat(text)
