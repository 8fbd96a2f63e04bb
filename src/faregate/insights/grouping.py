"""Sums by group: what the ledger added up, lane by lane, is converted into one currency and put
where it belongs. Money without an event (charges, captures by amount) belongs to no product and no
event type; a cost belongs to its event, and to the event's prices in proportion to their fees.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Any, Final

import msgspec

from faregate.core.amounts import FIAT_SCALE, to_units
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.events import BookedEvent
from faregate.core.instants import EPOCH, from_us, is_in_range, to_us
from faregate.core.margins import Exchange, Sums, divided
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.core.subscriptions import CatalogView
from faregate.insights.types import DIMENSIONS, MAX_DIMENSIONS, Dimension
from faregate.ledger import questions
from faregate.ledger.profits import Fact, Facts, read_facts
from faregate.ledger.questions import (
    DAY_US,
    Asked,
    LanePart,
    TooManySums,
    lane_parts,
    lanes_of,
)
from faregate.ledger.split_events import SplitEvent, settled_events, split_events
from faregate.ledger.summarised import Sum, is_kept, read_sums
from faregate.ledger.summing import UsedFee, shares_of_prices
from faregate.store.protocol import Queries, Store

DEFAULT_DAYS: Final = 30
SUMMED_ONLY: Final = ("model", "hour")
"""Dimensions that only the sums by hour have, which know no customers."""
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


def read_dimensions(text: str, *, of_one_customer: bool = False) -> tuple[Dimension, ...]:
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
    summed = next((name for name in found if name in SUMMED_ONLY), None)
    if summed is not None and ("customer" in found or of_one_customer):
        detail = f"{summed} is not kept by customer: leave out the one or the other"
        raise FaregateError(invalid("group_by", detail))
    return tuple(found)


class Groups:
    """Sums by group, of which `total` has all."""

    def __init__(self, asked: Asked, view: CatalogView, exchange: Exchange) -> None:
        self.total = Sums()
        self.by_key: dict[Key, Sums] = defaultdict(Sums)
        self._known: dict[tuple[Any, ...], Sums] = {}
        self._vendors: dict[str, str] = {}
        self._asked = asked
        self._view = view
        self._exchange = exchange

    async def read(self, store: Store, queries: Queries) -> None:
        """Add up all lanes, away from the event loop: from the sums that are kept, if these answer
        the question. Raises `FaregateError` (422)."""
        try:
            if is_kept(self._asked):
                await self._read_sums(store, queries)
            else:
                await self.read_rows(store, queries)
                return
        except TooManySums:
            raise FaregateError(_too_many()) from None
        for sums in self.by_key.values():
            self.total.add(sums)

    async def read_rows(self, store: Store, queries: Queries) -> None:
        """Add up all lanes from the rows of what was booked. Raises `FaregateError` (422)."""
        try:
            for part in await lane_parts(queries, self._asked):
                facts = await read_facts(queries, self._asked, part)
                await asyncio.to_thread(self._add_facts, facts)
                if self._asked.vendor is None and not self._asked.is_of_costs:
                    await self._add_split(store, queries, part)
        except TooManySums:
            raise FaregateError(_too_many()) from None
        for sums in self.by_key.values():
            self.total.add(sums)

    async def _read_sums(self, store: Store, queries: Queries) -> None:
        asked = self._asked
        if "vendor" in asked.by:
            rows = await queries.fetch(
                "SELECT external_id, id FROM vendors "
                "WHERE environment_id = $1 AND external_id IS NOT NULL",
                asked.environment_id,
            )
            self._vendors = {row[0]: row[1] for row in rows}

        def price_at(asset: str, at_us: int) -> Fraction | None:
            return self._exchange.price_at(asset, from_us(at_us))

        for lane, _ in await lanes_of(queries):
            found = await read_sums(
                store, queries, asked, lane, lambda _, price_id: self._product(price_id), price_at
            )
            await asyncio.to_thread(self._add_sums, found)

    def _add_sums(self, found: Iterable[Sum]) -> None:
        is_of_costs = self._asked.is_of_costs or self._asked.vendor is not None
        for one in found:
            _, asset, at_us, revenue, costs, counted, events = one
            if is_of_costs:
                revenue = events = 0
            if not (revenue or costs or counted or events):
                continue
            sums = self._sums_of(tuple(self._as_booked(one.values)))
            price = self._exchange.price_at(asset, from_us(at_us)) if revenue or costs else None
            sums.add_revenue(asset, revenue, price)
            sums.add_costs(asset, costs, price)
            sums.events += counted
            if not is_of_costs:
                # In the total, an event is one, however many groups it is in.
                self.total.events += events - counted

    def _as_booked(self, values: tuple[Any, ...]) -> Iterator[Any]:
        """Walk what rows of what was booked would have for each dimension: of kept sums, an empty
        text is none."""
        place = 0
        for name in self._asked.by:
            value = values[place]
            place += 1
            if name == "vendor":
                own = values[place] or None
                place += 1
                vendor_id = value or (None if own is None else self._vendors.get(own))
                yield vendor_id
                yield own if vendor_id is None else None
            else:
                yield None if value == "" else value

    async def _add_split(self, store: Store, queries: Queries, part: LanePart) -> None:
        if self._asked.is_streamed:
            async for events in split_events(store, queries, self._asked, part):
                await asyncio.to_thread(self._add_events, events)
        async for events in settled_events(queries, self._asked, part):
            await asyncio.to_thread(self._add_events, events)

    def _add_facts(self, facts: Facts) -> None:
        for fact in facts.revenue:
            sums = self._sums_of(fact.key)
            sums.add_revenue(fact.asset, fact.units, self._price(fact))
        for fact in facts.costs:
            sums = self._sums_of(fact.key)
            sums.add_costs(fact.asset, fact.units, self._price(fact))
        for count in facts.counts:
            self._sums_of(count.key).events += count.events

    def _price(self, fact: Fact) -> Fraction | None:
        since = fact.rate_from_us
        return self._exchange.price_since(fact.asset, None if since is None else from_us(since))

    def _add_events(self, events: Iterable[SplitEvent]) -> None:
        for event in events:
            self._add_event(event)

    def _add_event(self, event: SplitEvent) -> None:
        """Add an event's fees, with its costs if events are split by their fees; and count it,
        where only those are counted by the ledger that are not looked at one by one."""
        price_at, at = self._exchange.price_at, event.occurred_at
        prices: dict[str | None, list[UsedFee]] = {}
        groups: dict[Sums, None] = {}
        if not event.fees and self._asked.is_streamed:
            prices[None] = [UsedFee("", "", 0)]
            groups[self._sums_of(self._values(event, None))] = None
        for fee in map(UsedFee._make, event.fees):
            sums = self._sums_of(self._values(event, fee.price_id))
            sums.add_revenue(fee.asset, fee.units, price_at(fee.asset, at))
            prices.setdefault(fee.price_id, []).append(fee)
            groups[sums] = None
        if self._asked.is_streamed:
            for sums in groups:
                sums.events += 1
            # In the total, the event is one.
            self.total.events -= len(groups) - 1
        if self._asked.splits_events and event.costs:
            worth = shares_of_prices(prices, to_us(at), lambda asset, _: price_at(asset, at))
            for currency, units in event.costs:
                price = price_at(currency, at)
                for price_id, part in zip(prices, divided(units, worth or []), strict=True):
                    sums = self._sums_of(self._values(event, price_id))
                    sums.add_costs(currency, part, price)

    def _values(self, event: SplitEvent, price_id: str | None) -> tuple[Any, ...]:
        """Return what the ledger would have for each dimension."""
        found: list[Any] = []
        for name in self._asked.by:
            if name == "customer":
                found.append(event.customer_id)
            elif name == "event_type":
                found.append(event.event_type)
            elif name in ("day", "month"):
                found.append(event.created_us // DAY_US)
            else:
                found.append(price_id)
        return tuple(found)

    def _sums_of(self, values: tuple[Any, ...]) -> Sums:
        """Return the group of a sum, given what the ledger has for each dimension."""
        sums = self._known.get(values)
        if sums is None:
            sums = self._known[values] = self.by_key[self._key(values)]
        return sums

    def _key(self, values: tuple[Any, ...]) -> Key:
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
            elif name == "hour":
                value = EPOCH + timedelta(hours=int(value))
            key.append(value)
        return tuple(key)

    def _product(self, price_id: str | None) -> Key | None:
        price = None if price_id is None else self._view.prices.get(price_id)
        if price is None:
            return None
        return price.product_id, price.product_code, price.product_version


def _too_many() -> Problem:
    detail = f"gives more than {questions.MAX_ROWS} sums: ask about a shorter period"
    return invalid("period_from", detail)


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
