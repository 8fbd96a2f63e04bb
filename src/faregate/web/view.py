"""What the live page shows, gathered from the engine at most once a second however many look."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.assets import Asset
from faregate.core.problems import FaregateError
from faregate.engine import Engine
from faregate.ledger.reading import ListedEvent
from faregate.platform.environments import AccountContext
from faregate.web.money import Money, show_amount, show_units
from faregate.web.rate import Rate
from faregate.web.sparkline import Sparkline, draw
from faregate.web.tally import Tally

MAX_WALLETS: Final = 20
MAX_LATEST: Final = 20
MAX_NAMES: Final = 5_000
FRESH_SECONDS: Final = 0.5


class WalletRow(msgspec.Struct, frozen=True):
    """A customer with what they were charged and have left; `is_short` if an account is at or
    below 0."""

    name: str
    charged: list[Money]
    available: list[Money]
    is_short: bool


class EventRow(msgspec.Struct, frozen=True):
    """One of the newest events; no fee means that nothing priced it."""

    customer: str
    event_type: str
    fee: Money | None
    occurred_at: datetime


class LiveView(msgspec.Struct, frozen=True):
    """Everything on the page."""

    rate: float
    sparkline: Sparkline
    charged: list[Money]
    events: int
    is_whole: bool
    customers: int
    wallets: list[WalletRow]
    latest: list[EventRow]
    now: datetime


class LiveViews:
    """Makes `LiveView`s; everybody who asks within `FRESH_SECONDS` gets the same one."""

    def __init__(
        self, engine: Engine, context: AccountContext, rate: Rate, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._context = context
        self._rate = rate
        self._clock = clock
        self._tally = Tally(engine, context)
        self._names: dict[str, str] = {}
        self._lock = asyncio.Lock()
        self._view: LiveView | None = None
        self._made_at = 0.0

    async def current(self) -> LiveView:
        """Return the page's numbers as of now."""
        async with self._lock:
            if self._view is None or self._clock() - self._made_at >= FRESH_SECONDS:
                self._view = await self._make()
                self._made_at = self._clock()
            return self._view

    async def _make(self) -> LiveView:
        self._rate.sample()
        await self._tally.refresh()
        latest = await self._engine.latest_events(MAX_LATEST, context=self._context)
        assets = self._engine.catalog_view(self._context).assets
        customers = await self._engine.list_customers(MAX_WALLETS, 0, context=self._context)
        tally = self._tally
        return LiveView(
            rate=self._rate.recent,
            sparkline=draw(self._rate.per_second),
            charged=[show_units(units, assets[a]) for a, units in tally.units.most_common()],
            events=tally.events,
            is_whole=tally.is_whole,
            customers=customers.total_count,
            wallets=await self._wallets(customers.items, assets),
            latest=[await self._event(event, assets) for event in latest],
            now=self._engine.now(),
        )

    async def _wallets(self, newest: list[Any], assets: Mapping[str, Asset]) -> list[WalletRow]:
        """Show the heaviest customers, then the newest ones for as long as there is room."""
        shown = dict(self._tally.heaviest(MAX_WALLETS))
        for customer in newest:
            self._names[customer.id] = customer.name
            if len(shown) < MAX_WALLETS:
                shown.setdefault(customer.id, Counter())
        rows = []
        for customer_id, charged in shown.items():
            wallet = await self._engine.get_wallet(customer_id, context=self._context)
            rows.append(
                WalletRow(
                    await self._name(customer_id),
                    [show_units(units, assets[a]) for a, units in charged.most_common()],
                    [show_amount(a.available, assets[a.asset]) for a in wallet.accounts],
                    any(account.available <= 0 for account in wallet.accounts),
                )
            )
        return rows

    async def _event(self, event: ListedEvent, assets: Mapping[str, Asset]) -> EventRow:
        asset = assets[event.fee_asset] if event.fee_asset else None
        fee = show_units(event.fee_units, asset) if asset else None
        return EventRow(
            await self._name(event.customer_id), event.event_type, fee, event.occurred_at
        )

    async def _name(self, customer_id: str) -> str:
        """Return a customer's name; one that has changed is noticed sooner or later."""
        if customer_id not in self._names:
            if len(self._names) >= MAX_NAMES:
                self._names.clear()
            try:
                found = await self._engine.get_customer(customer_id, context=self._context)
                self._names[customer_id] = found.name
            except FaregateError:
                return customer_id
        return self._names[customer_id]
