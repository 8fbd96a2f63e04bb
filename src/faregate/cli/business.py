"""One customer of each business model, for the demo: each lives the year before now by a test
clock, and says in a line what they bought and have left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

import msgspec

from faregate.catalog.types import CreateAsset, CreateProduct
from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.core.outcomes import Outcome, OutcomeRequest
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import (
    CreateCustomer,
    CreateSubscription,
    SubscribedProduct,
    UpdateSubscribedProduct,
)
from faregate.engine import Engine
from faregate.platform.accounts import CreateAccount
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock
from faregate.platform.environments import AccountContext

MONTHS: Final = 12
CREDITS: Final = "CREDITS"
Progress = Callable[[int, int], None]


class Lived(msgspec.Struct, frozen=True):
    """A customer after a year: the business model, their name, what they did, and what is left."""

    model: str
    name: str
    story: str
    left: str


def _usage(event_type: str, asset: str, values: Sequence[Any], **more: Any) -> dict[str, Any]:
    measure: dict[str, Any] = {"event_type": event_type, "usage_type": "unit"}
    field = more.pop("field", None)
    if field is not None:
        measure = {"event_type": event_type, "usage_type": "volume", "volume_field": field}
    return {
        "type": "usage_based",
        "name": event_type.capitalize(),
        "usage_calculation": measure,
        "billing_model": {"type": "real_time"},
        "pricing": [{"asset": asset, "values": list(values)}],
        **more,
    }


def _fixed(amount: int, *, seats: int | None = None) -> dict[str, Any]:
    value: dict[str, Any] = {"unit_price": amount}
    if seats is not None:
        value["quantity"] = seats
    return {
        "type": "fixed",
        "name": "Each month",
        "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
        "pricing": [{"asset": "USD", "values": [value]}],
    }


_TIERS: Final = (
    {"up_to": 10_000_000, "volume_rate": 2, "package_size": 1_000_000},
    {"volume_rate": 1, "package_size": 1_000_000},
)
_INCLUDED: Final[dict[str, Any]] = {
    "name": "Included",
    "asset": CREDITS,
    "amount": 1000,
    "purpose": "bundled",
    "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
    "accounting": {"revenue_basis": 0.015},
}
_PRODUCTS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "Tokens as you go",
        "code": "as-you-go",
        "prices": [
            _usage(
                "completion",
                "USD",
                _TIERS,
                field="tokens",
                pricing_model="tiered",
                tiering={"basis": "volume", "period": "monthly"},
            )
        ],
    },
    {"name": "Team", "code": "team", "prices": [_fixed(30, seats=1)]},
    {
        "name": "Studio",
        "code": "studio",
        "prices": [_fixed(20), _usage("picture", CREDITS, [{"unit_price": 10}])],
        "entitlements": [_INCLUDED],
    },
    {
        "name": "Packs",
        "code": "packs",
        "prices": [_usage("answer", CREDITS, [{"unit_price": 1}])],
    },
    {
        "name": "Resolved cases",
        "code": "cases",
        "prices": [_usage("case", "USD", [{"unit_price": 0.99}])],
    },
)
_RESOLD: Final[dict[str, Any]] = {
    "name": "Translations",
    "code": "translations",
    "prices": [_usage("page", "USD", [{"unit_price": 0.12}])],
}


class Year:
    """The year before now in an account, and who lives it."""

    def __init__(self, engine: Engine, context: AccountContext | None = None) -> None:
        self._engine = engine
        self._context = context
        self._now = engine.now() - timedelta(days=365)
        self._clock_id = ""
        self._made = 0

    async def live(self, progress: Progress) -> list[Lived]:
        """Sell, subscribe, and let twelve months pass; returns what became of everybody."""
        engine = self._engine
        await self._begin()
        await engine.create_asset(CreateAsset(CREDITS, "Credits"))
        for product in _PRODUCTS:
            await self._sell(product)
        people = [
            await self._customer("Pia Payg", "as-you-go", "100"),
            await self._customer("Sam Seats", "team", "1500", seats=3),
            await self._customer("Hana Hybrid", "studio", "300"),
            await self._customer("Paul Packs", "packs", None),
            await self._customer("Olga Outcome", "cases", "400"),
        ]
        payg, seats, hybrid, packs, outcome = people
        seller = await engine.create_account(CreateAccount("Rita Resells"))
        context = await engine.acting_for(seller.id, "test")
        resold = Year(engine, context)
        reader = await resold.begin_selling()
        monthly: tuple[Callable[[int], Awaitable[None]], ...] = (
            lambda month: self._pay_as_you_go(payg),
            lambda month: self._seats(seats, month),
            lambda month: self._hybrid(hybrid, month),
            lambda month: self._packs(packs, month),
            lambda month: self._cases(outcome, month),
            lambda month: resold.translate(reader),
        )
        for month in range(MONTHS):
            for part in monthly:
                await part(month)
            await self.pass_a_month()
            await resold.pass_a_month()
            progress(month + 1, MONTHS)
        return [
            Lived(
                "pay as you go",
                "Pia Payg",
                "16 million tokens a month: 10 at 2 USD, the rest at 1",
                await self.left(payg),
            ),
            Lived(
                "seats",
                "Sam Seats",
                "3 seats at 30 USD a month, 5 from the fifth month on",
                await self.left(seats),
            ),
            Lived(
                "hybrid",
                "Hana Hybrid",
                "20 USD a month with 1,000 credits, and packs for what goes beyond",
                await self.left(hybrid),
            ),
            Lived(
                "credit packs",
                "Paul Packs",
                "500 credits a quarter that last 90 days, and 50 as a gift for 30",
                await self.left(packs),
            ),
            Lived(
                "outcome",
                "Olga Outcome",
                "30 cases a month at 0.99 USD: 20 resolved, 8 not, and 2 taken back afterwards",
                await self.left(outcome),
            ),
            Lived(
                "reseller",
                "Rita Resells",
                "a connected account; her own customer reads 150 pages a month at 0.12 USD",
                await resold.left(reader),
            ),
        ]

    async def begin_selling(self) -> str:
        """Let a connected account sell to a customer of its own; returns the customer's id."""
        await self._begin()
        await self._sell(_RESOLD)
        return await self._customer("Rita's reader", "translations", "250")

    async def translate(self, customer_id: str) -> None:
        """Let the connected account's customer read for a month."""
        await self._use(customer_id, "page", 150)

    async def _begin(self) -> None:
        request = CreateTestClock(self._now, "The demo's year")
        clock = await self._engine.create_test_clock(request, context=self._context)
        self._clock_id = clock.id

    async def pass_a_month(self) -> None:
        """Go on by a twelfth of a year."""
        self._now += timedelta(days=365) / MONTHS
        request = AdvanceTestClock(self._now)
        await self._engine.advance_test_clock(self._clock_id, request, context=self._context)

    async def _sell(self, product: dict[str, Any]) -> None:
        request = decode(CreateProduct, encode({**product, "publish": True}))
        await self._engine.create_product(request, context=self._context)

    async def _customer(
        self, name: str, code: str, usd: str | None, *, seats: int | None = None
    ) -> str:
        request = CreateCustomer(name=name, test_clock_id=self._clock_id)
        customer_id = (await self._engine.create_customer(request, context=self._context)).id
        if usd is not None:
            await self._pay(customer_id, usd, "USD")
        wanted = CreateSubscription([SubscribedProduct(code=code, quantity=seats)])
        await self._engine.create_subscription(customer_id, wanted, context=self._context)
        return customer_id

    async def _pay(
        self, customer_id: str, amount: str, asset: str, expires_at: datetime | None = None
    ) -> None:
        self._made += 1
        reason: Any = "gift" if expires_at == self._now + timedelta(days=30) else "external_topup"
        request = AdjustmentRequest(
            f"year-{self._made}", asset, Number(amount), reason, expires_at=expires_at
        )
        await self._engine.adjust(customer_id, request, context=self._context)

    async def _use(self, customer_id: str, event_type: str, times: int, **data: Any) -> None:
        events = []
        for _ in range(times):
            self._made += 1
            name = f"year-{self._made}"
            events.append(UsageEvent(name, event_type, self._now, data=data or None))
        await self._engine.record_events(customer_id, events, context=self._context)

    async def _pay_as_you_go(self, customer_id: str) -> None:
        account = await self._engine.get_account(customer_id, "default:USD")
        if account.available < 30:
            await self._pay(customer_id, "50", "USD")
        await self._use(customer_id, "completion", 4, tokens=4_000_000)

    async def _seats(self, customer_id: str, month: int) -> None:
        if month != 4:
            return
        (subscription,) = await self._engine.list_subscriptions(customer_id)
        product = subscription.products[0].id or ""
        request = UpdateSubscribedProduct(quantity=5)
        await self._engine.move_subscription(customer_id, subscription.id, product, request)

    async def _hybrid(self, customer_id: str, month: int) -> None:
        if month == 6:
            await self._pay(customer_id, "2000", CREDITS)
        await self._use(customer_id, "picture", 60 + 8 * month)

    async def _packs(self, customer_id: str, month: int) -> None:
        if month % 3 == 0:
            await self._pay(customer_id, "500", CREDITS, self._now + timedelta(days=90))
            await self._pay(customer_id, "50", CREDITS, self._now + timedelta(days=30))
        await self._use(customer_id, "answer", 140)

    async def _cases(self, customer_id: str, month: int) -> None:
        names = [f"case-{month}-{number}" for number in range(30)]
        cases = [UsageEvent(name, "case", self._now, outcome="pending") for name in names]
        await self._engine.record_events(customer_id, cases)
        for number, name in enumerate(names):
            await self._say_outcome(customer_id, name, "confirmed" if number < 22 else "withdrawn")
        for name in names[:2]:
            await self._say_outcome(customer_id, name, "withdrawn")

    async def _say_outcome(self, customer_id: str, name: str, outcome: Outcome) -> None:
        request = OutcomeRequest(f"{name}-{outcome}", outcome)
        await self._engine.settle_outcome(name, request, customer_id)

    async def left(self, customer_id: str) -> str:
        """Return what a customer has left, a line for each asset."""
        wallet = await self._engine.get_wallet(customer_id, context=self._context)
        return "\n".join(seen(a.available, a.asset) for a in wallet.accounts)


def seen(amount: Decimal, asset: str) -> str:
    """Write an amount with the decimals that people see of it, rounded down."""
    currency = CURRENCIES.get(asset)
    smallest = Decimal(1).scaleb(-currency.precision) if currency else Decimal(1)
    return f"{amount.quantize(smallest, ROUND_FLOOR):,} {asset}"


async def live_a_year(engine: Engine, progress: Progress) -> list[Lived]:
    """Let one customer of each business model live the year before now."""
    # The page is served meanwhile.
    await asyncio.sleep(0)
    return await Year(engine).live(progress)
