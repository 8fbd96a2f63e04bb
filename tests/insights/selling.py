"""A shop that sells in several assets, with costs in several currencies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.ledger.shop import NOON, Clock

from faregate import AdjustmentRequest, ChargeRequest, CreateCustomer, Engine, from_dict
from faregate.catalog.types import AddAssetRate, CreateAsset, CreateProduct
from faregate.core.amounts import Number
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.customers.types import CreateSubscription, SubscribedProduct
from faregate.platform.environments import AccountContext

EARLY = NOON - timedelta(days=60)
CODES = ("tokens", "images", "chat", "calls")
Four = tuple[Any, Any, Any, Any]


def _price(name: str, event_type: str, asset: str, rate: str, field: str) -> dict[str, Any]:
    return {
        "type": "usage_based",
        "name": name,
        "billing_model": {"type": "real_time"},
        "usage_calculation": {
            "event_type": event_type,
            "usage_type": "volume",
            "volume_field": field,
        },
        "pricing": [{"asset": asset, "values": [{"volume_rate": Decimal(rate)}]}],
    }


PRODUCTS = {
    # 1 USD a token.
    "tokens": [_price("Tokens", "llm", "USD", "1", "n")],
    # 5 GEMS an image.
    "images": [_price("Images", "image", "GEMS", "5", "n")],
    # 1 USD a token in, 3 USD a token out: two fees an event.
    "chat": [_price("In", "chat", "USD", "1", "n"), _price("Out", "chat", "USD", "3", "m")],
    # 2 EUR a call.
    "calls": [_price("Calls", "call", "EUR", "2", "n")],
}


async def sell(engine: Engine, context: AccountContext | None = None) -> None:
    """Publish the products."""
    await engine.create_asset(CreateAsset("GEMS", "Gems", 2), context=context)
    for code, prices in PRODUCTS.items():
        body = {"name": code, "code": code, "publish": True, "prices": prices}
        await engine.create_product(from_dict(CreateProduct, body), context=context)


@asynccontextmanager
async def open_shop(url: str, clock: Clock | None = None) -> AsyncIterator[Engine]:
    """A shop whose products are published, and have been for long."""
    clock = clock or Clock()
    now = clock.now
    clock.now = EARLY
    async with Engine.open(url, clock=clock) as engine:
        await sell(engine)
        clock.now = now
        yield engine


async def customer(
    engine: Engine,
    name: str = "Ada",
    external_id: str | None = None,
    context: AccountContext | None = None,
) -> str:
    """Make a customer who uses everything."""
    subscription = CreateSubscription([SubscribedProduct(code=c) for c in CODES], starts_at=EARLY)
    request = CreateCustomer(name=name, external_id=external_id, subscriptions=[subscription])
    return (await engine.create_customer(request, context=context)).id


def cost(
    amount: str, currency: str | None = None, vendor: str = "acme", category: str | None = None
) -> Cost:
    """A cost of a vendor whom the seller calls so."""
    return Cost(
        "c", Number(amount), vendor_external_id=vendor, category=category, currency=currency
    )


def use(
    event_id: str, event_type: str, n: int, *costs: Cost, at: datetime = NOON, m: int = 0
) -> UsageEvent:
    """An event of so many tokens, images or calls."""
    data = {"n": n, "m": m} if event_type == "chat" else {"n": n}
    return UsageEvent(event_id, event_type, at, data=data, costs=list(costs) or None)


async def book(engine: Engine, customer_id: str, *events: UsageEvent) -> None:
    """Send events, all of which must be booked."""
    await engine.record_events(customer_id, list(events))


async def charge(engine: Engine, customer_id: str, name: str, amount: str, asset: str) -> None:
    """Charge an amount without an event."""
    await engine.charge(customer_id, ChargeRequest(name, asset, Number(amount)))


async def credit(engine: Engine, customer_id: str, amount: str, asset: str = "USD") -> None:
    """Give credit, so that holds are granted."""
    gift = AdjustmentRequest(f"{asset} {amount}", asset, Number(amount), "gift")
    await engine.adjust(customer_id, gift)


async def rate(
    engine: Engine,
    asset: str,
    source: str,
    price: str,
    valid_from: datetime = EARLY,
    valid_to: datetime | None = None,
) -> None:
    """Say what one of an asset costs in a currency, from an instant on."""
    body = AddAssetRate(source, Number(price), valid_from=valid_from, valid_to=valid_to)
    await engine.add_asset_rate(asset, body)


def four(stats: Any) -> Four:
    """Gross revenue, costs, net revenue and margin, as texts."""
    fields = ("gross_revenue", "total_costs", "net_revenue", "margin")
    numbers = [getattr(stats, field) for field in fields]
    found = [None if number is None else f"{number:f}" for number in numbers]
    return found[0], found[1], found[2], found[3]
