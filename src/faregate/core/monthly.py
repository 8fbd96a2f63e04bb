"""What a subscription to one version asks in a normal month: its fixed prices, each divided or
multiplied to a month, and what use of a month costs by the rules that price it as it happens. To
compare versions with; nothing is charged by it.

A year is twelve months, a week 12/52 of one, a day 12/365. Sums are exact and are rounded half-even
only where they are shown: 100.00 a year are 8.333333333 a month.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeVar

import msgspec

from faregate.core.amounts import half_even, to_decimal
from faregate.core.compiled import CompiledPrice, PricedAsset
from faregate.core.cycles import quantity_of
from faregate.core.events import UsageEvent
from faregate.core.periods import Interval
from faregate.core.plans import FixedAmount
from faregate.core.problems import Problem
from faregate.core.simulating import simulate
from faregate.core.subscriptions import CompiledVersion, Terms

Asked = TypeVar("Asked", FixedAmount, PricedAsset)
SHOWN_DECIMALS: Final = 9
MONTHLY: Final[dict[Interval, Fraction]] = {
    "day": Fraction(365, 12),
    "week": Fraction(52, 12),
    "month": Fraction(1),
    "year": Fraction(1, 12),
}
"""How often an interval comes in a month."""

NOTHING: Final = Fraction(0)
Sums = dict[str, Fraction]
"""Exact amounts by asset, in whole assets."""


class Payer(msgspec.Struct, frozen=True):
    """Who pays: on what terms, since when, with which accounts, by the clocks of which timezone."""

    terms: Terms
    accounts: Collection[str]
    begins_at: datetime | None
    timezone: str


class Bill(msgspec.Struct, frozen=True):
    """A normal month under one version; `warnings` say what of the use has no price."""

    fixed: Sums
    usage: Sums
    warnings: tuple[str, ...] = ()


def monthly_bill(version: CompiledVersion, payer: Payer, events: Sequence[UsageEvent]) -> Bill:
    """Return what a version asks of somebody in a month with these events, which are in the order
    in which they occurred. What is asked once is no part of it; tiers begin at 0."""
    fixed: Sums = {}
    for plan in version.plan_prices:
        if plan.interval is None:
            continue
        amount = _in_asset(plan.amounts, payer)
        units = amount.units(quantity_of(plan, payer.terms))
        monthly = _whole(units, amount.asset.scale) * MONTHLY[plan.interval] / plan.count
        _add(fixed, amount.asset.code, monthly)
    prices = tuple(price for of_type in version.prices.values() for price in of_type)

    def choose(compiled: CompiledPrice) -> PricedAsset:
        return _in_asset(compiled.assets, payer)

    outcome = simulate(
        prices,
        events,
        payer.timezone,
        begins_at=payer.begins_at,
        choose=choose,
        is_lenient=True,
    )
    if isinstance(outcome, Problem):
        raise AssertionError("what is lenient refuses nothing")
    fees, said = outcome
    usage: Sums = {}
    units_of: dict[tuple[str, int], int] = {}
    for fee in fees:
        key = (fee.priced.asset.code, fee.priced.asset.scale)
        units_of[key] = units_of.get(key, 0) + fee.units
    for (code, scale), units in units_of.items():
        _add(usage, code, _whole(units, scale))
    # Which of the events it was, helps nobody: each warning once.
    warnings = dict.fromkeys(text.partition("]: ")[2] for text in said)
    return Bill(fixed, usage, tuple(warnings))


def added(sums: Iterable[Sums]) -> Sums:
    """Add amounts up, by asset."""
    found: Sums = {}
    for one in sums:
        for code, amount in one.items():
            _add(found, code, amount)
    return found


def shown(amount: Fraction) -> Decimal:
    """Return an exact amount with at most `SHOWN_DECIMALS` decimals, rounded half-even."""
    rounded, _ = half_even(amount.numerator * 10**SHOWN_DECIMALS, amount.denominator)
    return to_decimal(rounded, SHOWN_DECIMALS)


def _whole(units: int, scale: int) -> Fraction:
    return Fraction(units, 10**scale)


def _add(sums: Sums, code: str, amount: Fraction) -> None:
    sums[code] = sums.get(code, NOTHING) + amount


def _in_asset(asked: Sequence[Asked], payer: Payer) -> Asked:
    """Choose the asset that the subscription names, else the first in which there is an account,
    else the first: as what is really charged."""
    named = [one for one in asked if one.asset.code == payer.terms.asset]
    present = [one for one in asked if one.account_id in payer.accounts]
    return (named or present or list(asked))[0]
