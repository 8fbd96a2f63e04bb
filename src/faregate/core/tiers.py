"""What a use costs where the price depends on how much was used before: tiers.

    graduated (`tiered`)  each part of what is counted costs what its own tier says
    bulk                  all of an event costs what the tier says that it reaches, itself included

Uses are counted, or their volume, per customer, price and entry (the values for some dimensions),
in the period in which they *occurred*: a late event lands where it belongs, and what it costs
depends on what was counted there before it. Fees that were charged stay as they were.

A tier holds what is counted up to and with its `up_to`. What is not counted (the price per use
where volume is counted; the volume where uses are counted) costs what the tier says in which the
event begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Protocol

import msgspec

from faregate.core.compiled import CompiledTiering, PricedEntry, PricedValue
from faregate.core.instants import to_us
from faregate.core.periods import Cadence
from faregate.core.prices import TierPeriod
from faregate.core.volumes import VOLUME_ONE

TierKey = tuple[str, int]
"""A price's id, and when the period began, in microseconds since 1970 (0: it never begins anew)."""
Counted = Mapping[tuple[str, int], int]
"""What was counted in one period, by asset and entry, in parts of `VOLUME_ONE`."""

NOTHING_COUNTED: Counted = {}


class TierCount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a fee's use counted in tiers: in which period and entry, after how many uses or what
    volume, and how much. As JSON an array: new fields come last."""

    from_us: int
    entry: int
    before: Decimal
    quantity: Decimal


class TierCounts(Protocol):
    """What was counted, by price and period: a dictionary, or whatever looks it up."""

    def __getitem__(self, key: TierKey, /) -> Counted:
        """Return what was counted; `NOTHING_COUNTED` if nothing was."""
        ...


def period_from_us(period: TierPeriod, at: datetime, anchor_at: datetime, timezone: str) -> int:
    """Return when the period of an instant began, in microseconds since 1970; 0 for `lifetime`.

    `anchor_at` is when the subscription began: `custom` periods are months from then on, by the
    clocks of `timezone`.
    """
    if period == "lifetime":
        return 0
    if period == "custom":
        return to_us(Cadence("month", anchor_at, 1, timezone).period_at(at)[0])
    at = at.astimezone(UTC)
    month = {"monthly": at.month, "quarterly": (at.month - 1) // 3 * 3 + 1, "yearly": 1}[period]
    return _month_us(at.year, month)


@lru_cache(maxsize=1024)
def _month_us(year: int, month: int) -> int:
    return to_us(datetime(year, month, 1, tzinfo=UTC))


def quantity_of(tiering: CompiledTiering, volume: int) -> int:
    """Return what an event of this volume (in parts) counts."""
    return VOLUME_ONE if tiering.counts_uses else volume


def tier_at(entry: PricedEntry, before: int) -> PricedValue:
    """Return the tier of what comes after so much."""
    return next(tier for tier in entry.tiers if tier.up_to is None or before < tier.up_to)


def tier_reached(entry: PricedEntry, counted: int) -> PricedValue:
    """Return the tier in which so much lies."""
    return next(tier for tier in entry.tiers if tier.up_to is None or counted <= tier.up_to)


def tiered_cost(
    tiering: CompiledTiering, entry: PricedEntry, volume: int, before: int, *, has_unit: bool
) -> tuple[PricedValue, int]:
    """Return what an event of this volume costs after so much was counted, as a numerator, and the
    tier in which it ends. Up to 10 at 2 and then at 1, a volume of 8 after 6 costs 4 x 2 + 4 x 1.
    """
    if tiering.is_bulk:
        tier = tier_reached(entry, before + quantity_of(tiering, volume))
        return tier, (tier.unit_numerator if has_unit else 0) + volume * tier.rate_numerator
    first = tier = tier_at(entry, before)
    cost = first.unit_numerator if has_unit else 0
    if tiering.counts_uses:
        return first, cost + volume * first.rate_numerator
    for tier in entry.tiers[first.index - entry.index :]:
        part = volume if tier.up_to is None else min(volume, tier.up_to - before)
        cost += part * tier.rate_numerator
        before += part
        volume -= part
        if not volume:
            break
    return tier, cost
