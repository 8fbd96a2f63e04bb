"""What events and charges add to the summaries that pages read: by hour, with everything that a use
can be split by; and by day and customer. Plain sums of what was booked, taken from the rows alone,
so whoever adds the same rows up twice has the same twice.

Amounts stay in their own assets. Beside each sum stands when the rates last changed before the uses
that it is of (`rate_at`), and when the first and the last of them were (`FIRST_AT`, `LAST_AT`): as
long as no rate begins or ends between these, one price converts the whole sum, whatever currency is
asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

import msgspec

from faregate.core.margins import divided

HOUR_US: Final = 3_600_000_000
HOURS: Final = 24
MAX_MODEL: Final = 100
"""Letters of a model's name that are kept."""
MIXED: Final = "~"
"""The price of costs that belong to fees in several assets: only with rates they can be divided."""

(
    REVENUE,
    COSTS,
    EVENTS,
    PRICE_EVENTS,
    PRODUCT_EVENTS,
    VENDOR_EVENTS,
    CATEGORY_EVENTS,
    COST_EVENTS,
    FIRST_AT,
    LAST_AT,
) = range(10)
"""What a sum has: units charged and paid; how many events there are, each counted once in all, in
each of its prices, in each of its products; and those with costs, once in each of their vendors, of
their categories, of both; and when the first and the last use was, in microseconds."""

Entry = list[int]
HourKey = tuple[int, int, str, str, str, str, str, str, str, int]
"""Environment, hours since 1970, event type, price, model, vendor, the seller's own id of a vendor,
category, asset, `rate_at`. What there is none of is an empty text, or 0."""
DayKey = tuple[int, int, str, str, int]
"""Environment, days since 1970, customer, asset, `rate_at`."""
PriceAt = Callable[[str, int], Fraction | None]
"""The price of an asset at an instant, in the currency that is asked for."""


class UsedFee(NamedTuple):
    """What was charged under one price."""

    price_id: str
    asset: str
    units: int


_NO_FEE: Final = UsedFee("", "", 0)


class PaidCost(NamedTuple):
    """What a vendor charges; an empty text is none."""

    vendor_id: str
    vendor_external_id: str
    category: str
    currency: str
    units: int


class UsedEvent(NamedTuple):
    """An event, as far as sums need it. Instants in microseconds."""

    environment_id: int
    customer_id: str
    event_type: str
    model: str
    created_us: int
    occurred_us: int
    fees: Sequence[UsedFee]
    costs: Sequence[PaidCost]


class Sale(NamedTuple):
    """What was charged without an event."""

    environment_id: int
    customer_id: str
    asset: str
    units: int
    created_us: int


class _Named(msgspec.Struct):
    model: Any = None


_NAMED: Final = msgspec.json.Decoder(_Named)


def model_of(data: str | None) -> str:
    """Return the model that an event's data names, or an empty text.

    >>> model_of('{"model": "small", "tokens": 3}')
    'small'
    """
    if data is None or '"model"' not in data:
        return ""
    model = _NAMED.decode(data).model
    # PostgreSQL keeps no zero in a text.
    return model[:MAX_MODEL].replace("\0", "") if isinstance(model, str) else ""


class RateChanges:
    """When rates of assets begin or end, by environment and asset."""

    def __init__(self, rates: Iterable[tuple[int, str, str, int, int | None]]) -> None:
        """`rates`: (environment, asset, source, from, to) in microseconds."""
        found: dict[tuple[int, str], set[int]] = {}
        for environment_id, asset, source, begins_us, ends_us in rates:
            for one in (asset, source):
                changes = found.setdefault((environment_id, one), {0})
                changes.add(max(begins_us, 0))
                if ends_us is not None:
                    changes.add(max(ends_us, 0))
        self._changes = {key: sorted(changes) for key, changes in found.items()}

    def last_before(self, environment_id: int, asset: str, at_us: int) -> int:
        """Return when a rate of the asset last changed, at an instant; 0: never."""
        changes = self._changes.get((environment_id, asset))
        return 0 if changes is None else changes[bisect_right(changes, max(at_us, 0)) - 1]

    def is_one(self, environment_id: int, asset: str, first_us: int, last_us: int) -> bool:
        """Tell whether the rates of the first instant are those of the last one too."""
        first = self.last_before(environment_id, asset, first_us)
        return first == self.last_before(environment_id, asset, last_us)


class Terms(NamedTuple):
    """What must be known to add up: when rates change; the product version of an environment's
    price; vendors by environment and the seller's own id. `price_at` divides costs among fees in
    several assets (None: they stay `MIXED`)."""

    changes: RateChanges
    products: Callable[[int, str], Hashable]
    vendors: Mapping[tuple[int, str], str]
    price_at: PriceAt | None = None


class Summed:
    """Sums that grow. `by_hour` and `by_day` have what has been added so far."""

    def __init__(self, terms: Terms) -> None:
        self.by_hour: dict[HourKey, Entry] = {}
        self.by_day: dict[DayKey, Entry] = {}
        self._changes, self._products, self._vendors, self._price_at = terms

    def add_sale(self, sale: Sale) -> None:
        """Add a charge."""
        environment_id, customer_id, asset, units, at = sale
        rate_at = self._changes.last_before(environment_id, asset, at)
        hour = at // HOUR_US
        key: HourKey = (environment_id, hour, "", "", "", "", "", "", asset, rate_at)
        day: DayKey = (environment_id, hour // HOURS, customer_id, asset, rate_at)
        _entry(self.by_hour, key, at)[REVENUE] += units
        _entry(self.by_day, day, at)[REVENUE] += units

    def add_event(self, event: UsedEvent, sign: int = 1) -> None:
        """Add an event; with -1, take away what the same one has added."""
        environment_id, customer_id, event_type, model, created, at, fees, costs = event
        if len(fees) < 2 and len(costs) < 2:
            self._add_plain_event(event, sign)
            return
        hour = created // HOUR_US
        head = (environment_id, hour, event_type)
        last_before = self._changes.last_before
        prices: dict[str, list[UsedFee]] = {}
        products: set[Hashable] = set()
        for fee in fees or (_NO_FEE,):
            price_id, asset, units = fee
            rate_at = last_before(environment_id, asset, at)
            row = _entry(self.by_hour, (*head, price_id, model, "", "", "", asset, rate_at), at)
            day = (environment_id, hour // HOURS, customer_id, asset, rate_at)
            of_day = _entry(self.by_day, day, at)
            row[REVENUE] += sign * units
            of_day[REVENUE] += sign * units
            if not prices:
                row[EVENTS] += sign
                of_day[EVENTS] += sign
            if price_id not in prices:
                row[PRICE_EVENTS] += sign
                product = self._products(environment_id, price_id)
                if product not in products:
                    products.add(product)
                    row[PRODUCT_EVENTS] += sign
            prices.setdefault(price_id, []).append(fee)
        if not costs:
            return
        vendors: set[str] = set()
        categories: set[str] = set()
        both: set[tuple[str, str]] = set()
        for vendor_id, own, category, currency, units in costs:
            rate_at = last_before(environment_id, currency, at)
            day = (environment_id, hour // HOURS, customer_id, currency, rate_at)
            _entry(self.by_day, day, at)[COSTS] += sign * units
            tail = (model, vendor_id, own, category, currency, rate_at)
            parts = self._divided(units, prices, at)
            for price_id, part in parts:
                row = _entry(self.by_hour, (*head, price_id, *tail), at)
                row[COSTS] += sign * part
            row = self.by_hour[(*head, parts[0][0], *tail)]
            vendor = vendor_id or self._vendors.get((environment_id, own), own)
            if vendor not in vendors:
                vendors.add(vendor)
                row[VENDOR_EVENTS] += sign
            if category not in categories:
                categories.add(category)
                row[CATEGORY_EVENTS] += sign
            if (vendor, category) not in both:
                both.add((vendor, category))
                row[COST_EVENTS] += sign

    def _add_plain_event(self, event: UsedEvent, sign: int) -> None:
        """Add an event that has at most one fee and one cost, as most do: nothing is divided, and
        nothing could be counted twice."""
        environment_id, customer_id, event_type, model, created, at, fees, costs = event
        hour = created // HOUR_US
        day = hour // HOURS
        price_id, asset, units = fees[0] if fees else _NO_FEE
        rate_at = self._changes.last_before(environment_id, asset, at)
        key = (environment_id, hour, event_type, price_id, model, "", "", "", asset, rate_at)
        row = _entry(self.by_hour, key, at)
        row[REVENUE] += sign * units
        row[EVENTS] += sign
        row[PRICE_EVENTS] += sign
        row[PRODUCT_EVENTS] += sign
        row = _entry(self.by_day, (environment_id, day, customer_id, asset, rate_at), at)
        row[REVENUE] += sign * units
        row[EVENTS] += sign
        if not costs:
            return
        vendor_id, own, category, asset, units = costs[0]
        rate_at = self._changes.last_before(environment_id, asset, at)
        tail = (model, vendor_id, own, category, asset, rate_at)
        row = _entry(self.by_hour, (environment_id, hour, event_type, price_id, *tail), at)
        row[COSTS] += sign * units
        row[VENDOR_EVENTS] += sign
        row[CATEGORY_EVENTS] += sign
        row[COST_EVENTS] += sign
        row = _entry(self.by_day, (environment_id, day, customer_id, asset, rate_at), at)
        row[COSTS] += sign * units

    def _divided(
        self, units: int, prices: Mapping[str, Sequence[UsedFee]], at: int
    ) -> list[tuple[str, int]]:
        """Return which price bears how much of a cost."""
        if len(prices) == 1:
            return [(next(iter(prices)), units)]
        shares = shares_of_prices(prices, at, self._price_at)
        if shares is None:
            return [(MIXED, units)]
        return list(zip(prices, divided(units, shares), strict=True))


def shares_of_prices(
    prices: Mapping[Any, Sequence[UsedFee]], at: int, price_at: PriceAt | None
) -> list[Fraction | int] | None:
    """Return in which proportion the costs of an event belong to its prices: that of the fees. If
    these are in several assets, by what each is worth (nothing, if no rate says it); None if there
    is nobody to ask for that."""
    if len({fee.asset for fees in prices.values() for fee in fees}) == 1:
        return [sum([fee.units for fee in fees]) for fees in prices.values()]
    if price_at is None:
        return None
    return [
        sum([fee.units * (price_at(fee.asset, at) or 0) for fee in fees])
        for fees in prices.values()
    ]


def _entry(rows: dict[Any, Entry], key: HourKey | DayKey, at: int) -> Entry:
    """Return the sum under a key, which has a use at this instant too."""
    row = rows.get(key)
    if row is None:
        row = rows[key] = [0] * LAST_AT + [0]
        row[FIRST_AT] = row[LAST_AT] = at
    elif at < row[FIRST_AT]:
        row[FIRST_AT] = at
    elif at > row[LAST_AT]:
        row[LAST_AT] = at
    return row
