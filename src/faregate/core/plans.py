"""What a version of a product brings by itself, without any use: fixed prices and entitlements,
*compiled* once to whole units of the ledger's scale.

A fixed price is asked once, or for each of its periods, in advance (when the period begins) or in
arrears (when it is over). An entitlement is credit that is granted once, or anew in each period. A
part of a period costs its part of the price, by the microsecond:

    share(a, b) = round(price x (b - begin) / (end - begin)) - round(price x (a - begin) / ...)

so that the parts of a period always come to the whole, however it is cut.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from faregate.core.amounts import half_even, power_of_ten, scaled
from faregate.core.assets import Asset
from faregate.core.compiled import paying_account
from faregate.core.conversion import Funding
from faregate.core.grants import DEFAULT_PRIORITY, GrantTerms
from faregate.core.periods import Cadence, Interval
from faregate.core.prices import (
    RATE_DECIMALS,
    BalanceCollection,
    Entitlement,
    FixedAssetPricing,
    FixedPrice,
    RecurringBilling,
)

MAX_QUANTITY: Final = 1_000_000_000
"""Seats of one subscription to one product."""
_MICROSECOND: Final = timedelta(microseconds=1)
MAX_SERVICE_YEARS: Final = 100
_DURATION: Final = re.compile(
    r"P(?=\d)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?"
)


class FixedAmount(msgspec.Struct, frozen=True, gc=False):
    """What a fixed price asks in one asset: once, and per seat, both x 10^18; `account_id` pays it,
    in another asset if there is a `funding`."""

    asset: Asset
    account_id: str
    once: int
    per_seat: int
    funding: Funding | None = None

    def units(self, quantity: int) -> int:
        """Return what a whole period with so many seats costs, in units, rounded half-even."""
        exact = self.once + self.per_seat * quantity
        return half_even(exact, power_of_ten(RATE_DECIMALS - self.asset.scale))[0]


class PlanPrice(msgspec.Struct, frozen=True, gc=False):
    """A fixed price with the product version that it belongs to. `interval` None: asked once.

    `seats` is the quantity that comes with a subscription; None: it is not sold by the seat.
    """

    id: str
    name: str
    product_id: str
    product_code: str
    product_version: int
    amounts: tuple[FixedAmount, ...]
    interval: Interval | None
    count: int
    is_in_arrears: bool
    seats: int | None
    service_period: str | None

    def amount_in(self, asset: str) -> FixedAmount:
        """Return what it asks in an asset; where it has none, in its first one."""
        return next((a for a in self.amounts if a.asset.code == asset), self.amounts[0])


class PlanCredit(msgspec.Struct, frozen=True, gc=False):
    """An entitlement with the product version that it belongs to: `units` for each period.

    `is_refreshed` false: given once. `rolls_over`: what is left lives on beside the new ones, at
    most `max_units` of it (None: all), for at most `max_periods` (None: for ever).
    """

    id: str
    name: str
    product_id: str
    product_code: str
    product_version: int
    asset: Asset
    account_id: str
    units: int
    purpose: str
    priority: int
    interval: Interval
    count: int
    is_refreshed: bool
    rolls_over: bool
    max_units: int | None
    max_periods: int | None
    terms: GrantTerms


def compile_fixed(
    price: FixedPrice, assets: Mapping[str, Asset], product_id: str, code: str, version: int
) -> PlanPrice:
    """Compile a fixed price that `price_checks` found nothing wrong with."""
    collection = price.collection
    address = collection.address if isinstance(collection, BalanceCollection) else None
    is_recurring = isinstance(price.billing_model, RecurringBilling)
    every = price.billing_model.recurring if is_recurring else None  # type: ignore[union-attr]
    wanted = [p for p in price.pricing if address is None or address.endswith(f":{p.asset}")]
    seats = [v.quantity for v in price.pricing[0].values if v.quantity is not None]
    return PlanPrice(
        price.id or "",
        price.name,
        product_id,
        code,
        version,
        tuple([_fixed_amount(price, pricing, assets) for pricing in wanted]),
        None if every is None else every.interval,
        1 if every is None else every.interval_count or 1,
        collection is not None and collection.timing == "in_arrears",
        int(seats[0]) if seats else None,
        None if is_recurring else price.billing_model.one_time.service_period,  # type: ignore[union-attr]
    )


def _fixed_amount(
    price: FixedPrice, pricing: FixedAssetPricing, assets: Mapping[str, Asset]
) -> FixedAmount:
    once = per_seat = 0
    for value in pricing.values:
        amount = scaled(value.unit_price, RATE_DECIMALS) or 0
        if value.quantity is None:
            once += amount
        else:
            per_seat += amount
    asset = assets[pricing.asset]
    account_id, funding = paying_account(price, asset, assets)
    return FixedAmount(asset, account_id, once, per_seat, funding)


def compile_credit(
    entitlement: Entitlement, assets: Mapping[str, Asset], product_id: str, code: str, version: int
) -> PlanCredit:
    """Compile an entitlement that `price_checks` found nothing wrong with."""
    asset, lifecycle = assets[entitlement.asset], entitlement.lifecycle
    refresh, accounting = lifecycle.refresh, entitlement.accounting
    rolls_over = refresh is not None and refresh.strategy == "rollover"
    greatest = None if refresh is None or refresh.max_amount is None else refresh.max_amount
    priority = DEFAULT_PRIORITY if entitlement.priority is None else entitlement.priority
    return PlanCredit(
        entitlement.id or "",
        entitlement.name,
        product_id,
        code,
        version,
        asset,
        f"default:{asset.code}",
        scaled(entitlement.amount, asset.scale) or 0,
        entitlement.purpose,
        priority,
        lifecycle.duration,
        lifecycle.duration_count or 1,
        refresh is not None,
        rolls_over,
        None if greatest is None else scaled(greatest, asset.scale),
        None if refresh is None else refresh.max_periods,
        GrantTerms(
            entitlement.id,
            None,
            None if accounting is None else accounting.revenue_basis,
            None if accounting is None else accounting.currency,
            entitlement.limited_to,
        ),
    )


class Recurring(Protocol):
    """What comes again."""

    @property
    def interval(self) -> Interval | None:
        """By what it is counted when; None: it comes once."""

    @property
    def count(self) -> int:
        """Every so many of them."""


def cadence_of(item: Recurring, anchor_at: datetime, timezone: str) -> Cadence:
    """Return when what comes again is due, from an anchor on."""
    return Cadence(item.interval or "month", anchor_at, item.count, timezone)


def share(units: int, period: tuple[datetime, datetime], from_at: datetime, to_at: datetime) -> int:
    """Return which part of what a period costs belongs to a part of it, in units.

    >>> from datetime import UTC
    >>> day = [datetime(2026, 6, n, tzinfo=UTC) for n in (1, 16, 30)]
    >>> share(2000, (day[0], day[2]), day[1], day[2])
    966
    """
    begin, end = period
    if (from_at, to_at) == period:
        return units
    length = (end - begin) // _MICROSECOND
    upto, before = [
        half_even(units * ((at - begin) // _MICROSECOND), length)[0] for at in (to_at, from_at)
    ]
    return upto - before


def share_down(
    units: int, period: tuple[datetime, datetime], from_at: datetime, to_at: datetime
) -> int:
    """Return the part of a period's credits that belongs to a part of it, rounded down."""
    begin, end = period
    if (from_at, to_at) == period:
        return units
    return units * ((to_at - from_at) // _MICROSECOND) // ((end - begin) // _MICROSECOND)


def check_duration(text: str) -> bool:
    """Tell whether a text is a duration of years, months, weeks or days (ISO 8601), more than none
    and at most `MAX_SERVICE_YEARS`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return False
    years, months, weeks, days = [int(part or 0) for part in found.groups()]
    return 0 < 12 * 31 * years + 31 * months + 7 * weeks + days <= 12 * 31 * MAX_SERVICE_YEARS


def after_duration(at: datetime, text: str) -> datetime:
    """Return the instant that lies so much later, in UTC: one month after 31 January is the last
    day of February."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise AssertionError(f"an unchecked duration: {text}")
    years, months, weeks, days = [int(part or 0) for part in found.groups()]
    months += at.month - 1 + 12 * years
    year, month = at.year + months // 12, months % 12 + 1
    at = at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))
    return at + timedelta(days=days + 7 * weeks)
