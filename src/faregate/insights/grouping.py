"""Sums by group: what the ledger added up, lane by lane, is converted into one currency and put
where it belongs. Money without an event (charges, captures by amount) belongs to no product and no
event type; a cost belongs to its event, and to the event's prices in proportion to their fees.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any, Final

import msgspec

from faregate.core.amounts import FIAT_SCALE, to_units
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.events import BookedEvent
from faregate.core.instants import EPOCH, from_us, is_in_range, to_us
from faregate.core.margins import Exchange, Sums
from faregate.core.problems import FaregateError, invalid
from faregate.core.subscriptions import CatalogView
from faregate.insights.types import DIMENSIONS, MAX_DIMENSIONS, Dimension
from faregate.ledger import profits
from faregate.ledger.profits import Asked, Facts
from faregate.store.protocol import Queries, Store

DEFAULT_DAYS: Final = 30
_DAY: Final = timedelta(days=1)

Key = tuple[Any, ...]
"""A group's values, one for each dimension: an id, a name, a day; of a product its id, code and
version; of a vendor its id and the seller's own; None for none."""


class Period(msgspec.Struct, frozen=True):
    """Days, both included, in UTC."""

    from_day: date
    to_day: date

    @property
    def from_us(self) -> int:
        """When it begins, in microseconds since 1970."""
        return to_us(datetime.combine(self.from_day, time(), UTC))

    @property
    def to_us(self) -> int:
        """When it is over, in microseconds since 1970."""
        return to_us(datetime.combine(self.to_day, time(), UTC) + _DAY)


def read_period(from_day: date | None, to_day: date | None, today: date) -> Period:
    """Return the days that are meant: up to today, and `DEFAULT_DAYS` of them, unless told
    otherwise. Raises `FaregateError` (422)."""
    for field, day in (("period_from", from_day), ("period_to", to_day)):
        if day is not None and not is_in_range(datetime.combine(day, time(), UTC)):
            raise FaregateError(invalid(field, f"is {day}: send a day from 1970 to 8999"))
    last = to_day or max(today, from_day or today)
    first = from_day or max(last - (DEFAULT_DAYS - 1) * _DAY, EPOCH.date())
    if last < first:
        detail = f"is {last}, before period_from, which is {first}: send that day or a later one"
        raise FaregateError(invalid("period_to", detail))
    return Period(first, last)


def read_dimensions(text: str) -> tuple[Dimension, ...]:
    """Return the dimensions that are named, with commas. Raises `FaregateError` (422)."""
    found: list[Dimension] = []
    for name in text.split(","):
        known = next((dimension for dimension in DIMENSIONS if dimension == name), None)
        if known is None:
            shown = ", ".join(DIMENSIONS)
            raise FaregateError(invalid("group_by", f"{name[:100]!r} is none of: {shown}"))
        if known in found:
            raise FaregateError(invalid("group_by", f"names {name!r} twice: name it once"))
        found.append(known)
    if len(found) > MAX_DIMENSIONS:
        raise FaregateError(invalid("group_by", f"names {len(found)}: name one or two"))
    if {"vendor", "category"} & set(found) and {"product", "price"} & set(found):
        detail = "splits costs by what events have fees for: name vendor or category, or product"
        raise FaregateError(invalid("group_by", f"{detail} or price"))
    return tuple(found)


class Groups:
    """Sums by group, of which `total` has all."""

    def __init__(self, asked: Asked, view: CatalogView, exchange: Exchange) -> None:
        self.total = Sums()
        self.by_key: dict[Key, Sums] = defaultdict(Sums)
        self._asked = asked
        self._view = view
        self._exchange = exchange

    async def read(self, store: Store, queries: Queries) -> None:
        """Add up all lanes, away from the event loop. Raises `FaregateError` (422)."""
        try:
            for part in await profits.lane_parts(queries, self._asked):
                facts = await profits.read_facts(queries, self._asked, part)
                await asyncio.to_thread(self._add_facts, facts)
                if self._asked.vendor is None and not self._asked.is_of_costs:
                    await self._add_split(store, queries, part)
        except profits.TooManySums:
            detail = f"gives more than {profits.MAX_ROWS} sums: ask about a shorter period"
            raise FaregateError(invalid("period_from", detail)) from None
        for sums in self.by_key.values():
            self.total.add(sums)

    async def _add_split(self, store: Store, queries: Queries, part: profits.LanePart) -> None:
        if profits.is_streamed(self._asked):
            async for events in profits.split_events(store, queries, self._asked, part):
                await asyncio.to_thread(self._add_events, events)

    def _add_facts(self, facts: Facts) -> None:
        for fact in facts.revenue:
            sums = self.by_key[self._key(fact.key)]
            sums.add_revenue(fact.asset, fact.units, self._price(fact))
        for fact in facts.costs:
            sums = self.by_key[self._key(fact.key)]
            sums.add_costs(fact.asset, fact.units, self._price(fact))
        for count in facts.counts:
            self.by_key[self._key(count.key)].events += count.events

    def _price(self, fact: profits.Fact) -> Fraction | None:
        since = fact.rate_from_us
        return self._exchange.price_since(fact.asset, None if since is None else from_us(since))

    def _add_events(self, events: Iterable[tuple[str, BookedEvent]]) -> None:
        for customer_id, booked in events:
            self._add_event(customer_id, booked)

    def _add_event(self, customer_id: str, booked: BookedEvent) -> None:
        """Add an event with several fees."""
        event, at = booked.event, booked.event.occurred_at
        price_at = self._exchange.price_at
        shares: dict[Key, Fraction] = defaultdict(Fraction)
        for fee in booked.result.fees:
            key = self._key_of(customer_id, booked, fee.price_id)
            price = price_at(fee.asset, at)
            self.by_key[key].add_revenue(fee.asset, fee.units, price)
            shares[key] += 0 if price is None else fee.units * price
        for key in shares:
            self.by_key[key].events += 1
        if self._asked.splits_events:
            whole = sum(shares.values())
            for cost in event.costs or ():
                currency = cost.currency or DEFAULT_COST_CURRENCY
                units, price = to_units(cost.amount, FIAT_SCALE), price_at(currency, at)
                for key, share in shares.items():
                    part = share / whole if whole else Fraction(1, len(shares))
                    self.by_key[key].add_costs(currency, units * part, price)
        # In the total, the event is one.
        self.total.events -= len(shares) - 1

    def _key(self, values: tuple[Any, ...]) -> Key:
        """Return the group of a sum, given what the ledger has for each dimension."""
        key: list[Any] = []
        place = 0
        for name in self._asked.by:
            value = values[place]
            place += 1
            if name == "vendor":
                value = value, values[place]
                place += 1
            elif name == "product":
                value = self._product(value)
            elif name in ("day", "month"):
                day = EPOCH.date() + timedelta(days=int(value))
                value = day if name == "day" else f"{day:%Y-%m}"
            key.append(value)
        return tuple(key)

    def _key_of(self, customer_id: str, booked: BookedEvent, price_id: str) -> Key:
        has: Mapping[str, Any] = {
            "customer": customer_id,
            "event_type": booked.event.event_type,
            "product": price_id,
            "price": price_id,
            "day": to_us(booked.created_at) // profits.DAY_US,
            "month": to_us(booked.created_at) // profits.DAY_US,
        }
        return self._key(tuple([has[name] for name in self._asked.by]))

    def _product(self, price_id: str | None) -> Key | None:
        price = None if price_id is None else self._view.prices.get(price_id)
        if price is None:
            return None
        return price.product_id, price.product_code, price.product_version


def sorted_groups(by_key: Mapping[Key, Sums], order: str) -> list[tuple[Key, Sums]]:
    """Return groups in an order (`net_revenue`; with `-` from the highest on); those that have no
    such number come last, those with the same one by their values."""
    name = order.removeprefix("-")
    field = {"gross_revenue": "revenue", "total_costs": "costs", "net_revenue": "net"}.get(
        name, name
    )
    sign = -1 if order.startswith("-") else 1

    def place(item: tuple[Key, Sums]) -> tuple[bool, Fraction, str]:
        number: Fraction | None = getattr(item[1], field)
        return number is None, sign * (number or Fraction(0)), str(item[0])

    return sorted(by_key.items(), key=place)


def sums_of_event(booked: BookedEvent, exchange: Exchange) -> Sums:
    """Return what one event brings."""
    event, at = booked.event, booked.event.occurred_at
    sums = Sums()
    sums.events = 1
    for fee in booked.result.fees:
        sums.add_revenue(fee.asset, fee.units, exchange.price_at(fee.asset, at))
    for cost in event.costs or ():
        currency = cost.currency or DEFAULT_COST_CURRENCY
        units = to_units(cost.amount, FIAT_SCALE)
        sums.add_costs(currency, units, exchange.price_at(currency, at))
    return sums
