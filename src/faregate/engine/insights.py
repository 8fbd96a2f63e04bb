"""Operations on what is earned and what it costs. They read, and change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from msgspec import structs

from faregate.catalog import rates, vendors
from faregate.core.assets import CURRENCIES
from faregate.core.events import BookedEvent
from faregate.core.margins import Exchange, Sums, shown_amount
from faregate.core.problems import FaregateError, invalid
from faregate.core.subscriptions import CatalogView
from faregate.customers import directory
from faregate.engine.base import EngineBase
from faregate.insights.grouping import (
    Groups,
    Key,
    Period,
    read_dimensions,
    read_period,
    sorted_groups,
    sums_of_event,
)
from faregate.insights.types import (
    DEFAULT_CURRENCY,
    CategoryCosts,
    CustomerStats,
    CustomerStatsPage,
    Dimension,
    Group,
    GroupPage,
    Order,
    Profitability,
    Summary,
    VendorStats,
    amounts,
    show,
    show_unconverted,
)
from faregate.ledger import reading
from faregate.ledger.questions import Asked
from faregate.ledger.reading import ListedEvent
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Queries


class InsightOperations(EngineBase):
    """Revenue, costs, margins."""

    async def customer_stats(
        self,
        customer_id: str,
        *,
        period_from: date | None = None,
        period_to: date | None = None,
        currency: str = DEFAULT_CURRENCY,
        context: AccountContext | None = None,
    ) -> Profitability:
        """Return what a customer brings, ever or in a period. Raises 404, 422."""
        environment = await self._look(context)
        await self._lane_of(environment, customer_id)
        from_us, to_us = self._bounds(period_from, period_to)
        asked = Asked(
            environment, currency, (), from_us=from_us, to_us=to_us, customer_id=customer_id
        )
        groups = await self._add_up(asked)
        return show(groups.total, currency, self._catalog.view(environment).assets)

    async def list_customer_stats(
        self,
        limit: int = 20,
        offset: int = 0,
        *,
        period_from: date | None = None,
        period_to: date | None = None,
        currency: str = DEFAULT_CURRENCY,
        context: AccountContext | None = None,
    ) -> CustomerStatsPage:
        """List customers, the newest first, with what each brings in a period (default: the last 30
        days), and all of them together. Raises 422."""
        environment = await self._look(context)
        period = self._period(period_from, period_to)
        asked = Asked(
            environment, currency, ("customer",), from_us=period.from_us, to_us=period.to_us
        )
        groups = await self._add_up(asked)
        customers, total_count = await directory.list_customers(
            self._store, environment, {}, limit, offset, self._clock()
        )
        assets = self._catalog.view(environment).assets
        items = []
        for customer in customers:
            sums = groups.by_key.get((customer.id,)) or Sums()
            shown = show(sums, currency, assets)
            items.append(CustomerStats(customer.id, customer.name, shown, customer.external_id))
        return CustomerStatsPage(
            show(groups.total, currency, assets),
            period.from_day,
            period.to_day,
            items,
            total_count,
            limit,
            offset,
        )

    async def vendor_stats(
        self,
        vendor_id: str,
        *,
        period_from: date | None = None,
        period_to: date | None = None,
        category: str | None = None,
        currency: str = DEFAULT_CURRENCY,
        context: AccountContext | None = None,
    ) -> VendorStats:
        """Return what a vendor charges by category, ever or in a period. Costs that name the vendor
        by the seller's own id are included. Raises 404, 422."""
        environment = await self._look(context)
        vendor = await vendors.get_vendor(self._store, environment, vendor_id)
        from_us, to_us = self._bounds(period_from, period_to)
        asked = Asked(
            environment,
            currency,
            ("category",),
            from_us=from_us,
            to_us=to_us,
            vendor=(vendor.id, vendor.external_id),
            category=category,
        )
        groups = await self._add_up(asked)
        return VendorStats(
            shown_amount(groups.total.costs),
            [
                CategoryCosts(key[0], shown_amount(sums.costs))
                for key, sums in sorted_groups(groups.by_key, "-total_costs")
            ],
            currency,
            show_unconverted(groups.total, self._catalog.view(environment).assets),
        )

    async def stats(
        self,
        group_by: str = "customer",
        limit: int = 20,
        offset: int = 0,
        *,
        period_from: date | None = None,
        period_to: date | None = None,
        customer_id: str | None = None,
        currency: str = DEFAULT_CURRENCY,
        sort: Order = "net_revenue",
        context: AccountContext | None = None,
    ) -> GroupPage:
        """Return what is earned and what it costs in a period (default: the last 30 days), by one
        or two dimensions (`"customer,month"`), and all of it together. Raises 404, 422."""
        environment = await self._look(context)
        by = read_dimensions(group_by, of_one_customer=customer_id is not None)
        period = self._period(period_from, period_to)
        if customer_id is not None:
            await self._lane_of(environment, customer_id)
        asked = Asked(
            environment,
            currency,
            by,
            from_us=period.from_us,
            to_us=period.to_us,
            customer_id=customer_id,
        )
        groups = await self._add_up(asked)
        total = groups.total
        if asked.is_of_costs:
            # What is earned has no vendor: it is added up without.
            whole = Asked(
                environment,
                currency,
                from_us=period.from_us,
                to_us=period.to_us,
                customer_id=customer_id,
            )
            total = (await self._add_up(whole)).total
        view = self._catalog.view(environment)
        found = sorted_groups(groups.by_key, sort)
        names = _Names(view)
        await names.read(self._store, environment, by, found[offset : offset + limit])
        items = []
        for key, sums in found[offset : offset + limit]:
            shown = amounts(sums, view.assets)
            if asked.is_of_costs:
                shown |= dict.fromkeys(("gross_revenue", "net_revenue", "margin"))
            items.append(Group(events=sums.events, **shown, **names.of(by, key)))
        return GroupPage(
            list(by),
            period.from_day,
            period.to_day,
            currency,
            Summary(events=total.events, currency=currency, **amounts(total, view.assets)),
            items,
            len(found),
            limit,
            offset,
        )

    async def event_stats(
        self, events: Sequence[BookedEvent], *, context: AccountContext | None = None
    ) -> list[Profitability | None]:
        """Return what each event brings in US dollars; None for those that have neither fees nor
        costs, or have something that cannot be converted."""
        environment = self._environment(context)
        view = self._catalog.view(environment)
        exchange = await self._exchange(self._store, environment, DEFAULT_CURRENCY)
        found: list[Profitability | None] = []
        for booked in events:
            sums = sums_of_event(booked, exchange)
            is_told = (booked.result.fees or booked.event.costs) and not sums.unconverted
            found.append(show(sums, DEFAULT_CURRENCY, view.assets) if is_told else None)
        return found

    async def listed_event_stats(
        self, listed: Sequence[ListedEvent], *, context: AccountContext | None = None
    ) -> list[Profitability | None]:
        """Return what each event of a page brings, as `event_stats` does."""
        keys = [(event.id, event.customer_id) for event in listed]
        booked: dict[tuple[str, str], BookedEvent] = {}
        for lane in self._lanes:
            booked |= await reading.read_events(self._store, lane.number, keys)
        return await self.event_stats([booked[key] for key in keys], context=context)

    async def _add_up(self, asked: Asked) -> Groups:
        """Add up in one snapshot, at the rates that are in it."""
        if asked.currency not in CURRENCIES:
            detail = f"{asked.currency[:100]!r} is not an ISO 4217 currency: send one, e.g. USD"
            raise FaregateError(invalid("currency", detail))
        if self._catalog.view(asked.environment_id).clocks:
            # What customers on a test clock did is not in the lane's order.
            asked = structs.replace(asked, is_in_order=False)
        async with self._store.snapshot() as snapshot:
            environment = asked.environment_id
            exchange = await self._exchange(snapshot, environment, asked.currency)
            asked = structs.replace(asked, converts=exchange.has_rates)
            groups = Groups(asked, self._catalog.view(environment), exchange)
            await groups.read(self._store, snapshot)
        return groups

    async def _exchange(self, queries: Queries, environment: int, currency: str) -> Exchange:
        known = await rates.rates_of_currency(queries, environment, currency)
        return Exchange(currency, self._catalog.view(environment).assets, known)

    def _period(self, period_from: date | None, period_to: date | None) -> Period:
        return read_period(period_from, period_to, self._clock().date())

    def _bounds(
        self, period_from: date | None, period_to: date | None
    ) -> tuple[int | None, int | None]:
        """Return microseconds since 1970; None where a side of the period is open."""
        period = self._period(period_from, period_to)
        return (
            None if period_from is None else period.from_us,
            None if period_to is None else period.to_us,
        )


class _Names:
    """What the groups of a page are called."""

    def __init__(self, view: CatalogView) -> None:
        self._view = view
        self._customers: dict[str, tuple[str, str | None]] = {}
        self._vendors: dict[str, tuple[str, str | None]] = {}

    async def read(
        self,
        queries: Queries,
        environment: int,
        by: Sequence[Dimension],
        page: Sequence[tuple[Key, Sums]],
    ) -> None:
        """Read the names of customers and vendors."""
        for place, name in enumerate(by):
            if name == "customer":
                ids = list({key[place] for key, _ in page})
                self._customers = await directory.names(queries, environment, ids)
            elif name == "vendor":
                ids = list({key[place][0] for key, _ in page if key[place][0] is not None})
                self._vendors = await vendors.names(queries, environment, ids)

    def of(self, by: Sequence[Dimension], key: Key) -> dict[str, Any]:
        """Return the fields that a group has in common."""
        found: dict[str, Any] = {}
        for name, value in zip(by, key, strict=True):
            if name == "customer":
                called, own = self._customers.get(value, ("", None))
                found |= {"customer_id": value, "customer_external_id": own}
                found["customer_name"] = called
            elif name == "vendor":
                known = self._vendors.get(value[0])
                found |= {"vendor_id": value[0], "vendor_name": known and known[0]}
                found["vendor_external_id"] = known[1] if known else value[1]
            elif name == "product":
                fields = ("product_id", "product_code", "product_version")
                found |= dict(zip(fields, value or (None, None, None), strict=True))
            elif name == "price":
                price = None if value is None else self._view.prices.get(value)
                found |= {"price_id": value, "price_name": price and price.price.name}
            else:
                found[name] = value
        return found
