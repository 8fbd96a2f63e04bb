"""A year in the life of a business: a test clock that the story moves, customers who live by it,
and what the ledger says in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tests.ledger.shop import assert_clean, by_hand

from faregate import Engine
from faregate.catalog.types import CreateAsset, CreateProduct
from faregate.core.amounts import Number, to_decimal
from faregate.core.codec import decode, encode
from faregate.core.events import EventResult, UsageEvent
from faregate.core.outcomes import OutcomeRequest, OutcomeSettled
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock
from faregate.platform.environments import AccountContext


def at(text: str) -> datetime:
    """Read an instant in UTC: `2026-03-01`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Year:
    """A shop and its test clock, which begins on 1 January 2026."""

    def __init__(self, engine: Engine, url: str, context: AccountContext) -> None:
        self.engine = engine
        self.url = url
        self.context = context
        self.now = at("2026-01-01")
        self.clock_id = ""
        self._made = 0

    async def sell(self, code: str, *prices: Any, entitlements: Sequence[Any] = ()) -> None:
        """Publish a product."""
        product = {
            "name": code.title(),
            "code": code,
            "publish": True,
            "prices": prices,
            "entitlements": list(entitlements),
        }
        request = decode(CreateProduct, encode(product))
        await self.engine.create_product(request, context=self.context)

    async def credits(self, code: str = "CREDITS", precision: int = 0) -> None:
        """Make a custom credit."""
        request = CreateAsset(code, code.title(), precision)
        await self.engine.create_asset(request, context=self.context)

    async def customer(self, name: str = "Ada") -> str:
        """Make a customer who lives by the clock; returns the id."""
        request = CreateCustomer(name=name, test_clock_id=self.clock_id)
        return (await self.engine.create_customer(request, context=self.context)).id

    async def subscribe(self, customer_id: str, code: str, quantity: int | None = None) -> str:
        """Subscribe a customer to a product; returns the subscription's id."""
        request = CreateSubscription([SubscribedProduct(code=code, quantity=quantity)])
        made = await self.engine.create_subscription(customer_id, request, context=self.context)
        assert made.status == "active", made
        return made.id

    async def pay(self, customer_id: str, amount: str, asset: str = "USD", **more: Any) -> None:
        """Let a customer's payment, or a gift, arrive."""
        self._made += 1
        reason = more.pop("reason", "external_topup")
        request = AdjustmentRequest(f"pay {self._made}", asset, Number(amount), reason, **more)
        await self.engine.adjust(customer_id, request, context=self.context)

    async def use(self, customer_id: str, event_type: str, **data: Any) -> EventResult:
        """Let a customer use something now."""
        self._made += 1
        event = UsageEvent(f"use {self._made}", event_type, self.now, data=data or None)
        booked = await self.engine.record_events(customer_id, [event], context=self.context)
        return booked.results[0]

    async def case(self, customer_id: str, event_type: str, **data: Any) -> str:
        """Let a customer use something now whose outcome is not known; returns the event's id."""
        self._made += 1
        event_id = f"case {self._made}"
        event = UsageEvent(event_id, event_type, self.now, data=data or None, outcome="pending")
        await self.engine.record_events(customer_id, [event], context=self.context)
        return event_id

    async def settle(
        self, customer_id: str, event_id: str, outcome: Any, **data: Any
    ) -> OutcomeSettled:
        """Say what became of a case."""
        self._made += 1
        request = OutcomeRequest(f"outcome {self._made}", outcome, data or None)
        settled = await self.engine.settle_outcome(
            event_id, request, customer_id, context=self.context
        )
        return settled[1]

    async def go(self, to: str) -> None:
        """Let time pass."""
        self.now = at(to)
        request = AdvanceTestClock(self.now)
        await self.engine.advance_test_clock(self.clock_id, request, context=self.context)

    async def balance(self, customer_id: str, asset: str = "USD") -> Decimal:
        """Return what a wallet shows."""
        account = f"default:{asset}"
        found = await self.engine.get_account(customer_id, account, context=self.context)
        return found.available

    async def books(self) -> dict[str, Decimal]:
        """Return what the ledger's accounts have in the end from this shop's customers, by asset
        and kind: `USD revenue`. What customers have is `USD wallets`. All of an asset comes to
        zero."""
        await assert_clean(self.engine)
        assets = self.engine.catalog_view(self.context).assets
        sums: Counter[tuple[str, str]] = Counter()
        async with by_hand(self.url) as queries:
            rows = await queries.fetch(
                "SELECT asset, from_account, to_account, units FROM transfers WHERE customer_id IN "
                "(SELECT id FROM customers WHERE environment_id = $1)",
                self.context.environment_id,
            )
        for asset, source, target, units in rows:
            for account, sign in ((source, -1), (target, 1)):
                is_theirs = account.startswith(("grt_", "hld_", "overdraft:"))
                kind = "wallets" if is_theirs else account.partition(":")[0]
                sums[asset, kind] += sign * units
        for asset in {asset for asset, _ in sums}:
            assert sum(units for (a, _), units in sums.items() if a == asset) == 0
        return {
            f"{asset} {kind}": to_decimal(units, assets[asset].scale)
            for (asset, kind), units in sums.items()
            if units
        }


async def begin_year(engine: Engine, url: str, context: AccountContext) -> Year:
    """Begin a year of one account's shop, with a clock of its own."""
    year = Year(engine, url, context)
    made = await engine.create_test_clock(CreateTestClock(year.now), context=context)
    year.clock_id = made.id
    return year


@asynccontextmanager
async def a_year(url: str) -> AsyncIterator[Year]:
    """Open a shop for a year."""
    async with Engine.open(url) as engine:
        yield await begin_year(engine, url, engine.context)


def usage(
    event_type: str, asset: str, *values: dict[str, Any], field: str | None = None, **more: Any
) -> dict[str, Any]:
    """A price per event, or per what a field of it says."""
    measure: dict[str, Any] = {"event_type": event_type, "usage_type": "unit"}
    if field is not None:
        measure = {"event_type": event_type, "usage_type": "volume", "volume_field": field}
    return {
        "type": "usage_based",
        "name": event_type,
        "usage_calculation": measure,
        "billing_model": {"type": "real_time"},
        "pricing": [{"asset": asset, "values": list(values)}],
        **more,
    }


def fixed(amount: str, interval: str = "month", seats: int | None = None) -> dict[str, Any]:
    """A price that is due each period; with `seats`, per seat."""
    value: dict[str, Any] = {"unit_price": Decimal(amount)}
    if seats is not None:
        value["quantity"] = seats
    return {
        "type": "fixed",
        "name": f"each {interval}",
        "billing_model": {"type": "recurring", "recurring": {"interval": interval}},
        "pricing": [{"asset": "USD", "values": [value]}],
    }


def included(amount: int, asset: str = "CREDITS", **more: Any) -> dict[str, Any]:
    """Credit that comes with a plan each month."""
    return {
        "name": "Included",
        "asset": asset,
        "amount": amount,
        "purpose": "bundled",
        "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
        **more,
    }
