"""What a subscription to one version takes from a customer's accounts in a normal month: its fixed
prices, each divided or multiplied to a month, and what use of a month costs by the rules that price
it as it happens, less what discounts take off, at least and at most what commitments say, and in
the assets that really pay. To compare versions with; nothing is charged by it.

A year is twelve months, a week 12/52 of one, a day 12/365; what is said for another period (the
amount of a coupon, a minimum, a cap) is brought to a month in the same way. Sums are exact and are
rounded half-even only where they are shown: 100.00 a year are 8.333333333 a month.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeVar

import msgspec
from msgspec import structs

from faregate.core.amounts import half_even, to_decimal
from faregate.core.compiled import CompiledPrice, PricedAsset
from faregate.core.conversion import NO_RATES, Rates, exact_units, funding_rate, no_rate
from faregate.core.cycles import quantity_of
from faregate.core.discounts import Discount
from faregate.core.events import UsageEvent
from faregate.core.imagined import Imagined
from faregate.core.instants import EPOCH
from faregate.core.periods import Interval
from faregate.core.plans import FixedAmount, PlanPrice
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
    """Who pays: on what terms, since when, with which accounts, by the clocks of which timezone;
    for which product, now, at which rates."""

    terms: Terms
    accounts: Collection[str]
    begins_at: datetime | None
    timezone: str
    product_id: str
    now: datetime
    rates: Rates = NO_RATES


class Bill(msgspec.Struct, frozen=True):
    """A normal month under one version: what is taken for fixed prices, and for use (with what is
    missing of a minimum); `warnings` say what of it has no price, or no rate."""

    fixed: Sums
    usage: Sums
    warnings: tuple[str, ...] = ()


def monthly_bill(version: CompiledVersion, payer: Payer, events: Sequence[UsageEvent]) -> Bill:
    """Return what a version takes from somebody in a month with these events, which are in the
    order in which they occurred. What is asked once is no part of it; tiers begin at 0. It is
    converted at the rates of now. The discounts of now count: what is asked in advance has them
    first, then use, then what is asked in arrears."""
    imagined = Imagined(
        payer.product_id,
        _monthly_version(version),
        EPOCH,
        payer.timezone,
        _monthly_discounts(payer),
        stands_still=True,
    )
    warnings: list[str] = []
    fixed = _Fixed(imagined, payer, warnings)
    plans = [plan for plan in version.plan_prices if plan.interval is not None]
    for plan in plans:
        if not plan.is_in_arrears:
            fixed.ask(plan)
    prices = tuple(price for of_type in version.prices.values() for price in of_type)

    def choose(compiled: CompiledPrice) -> PricedAsset:
        return _in_asset(compiled.assets, payer)

    outcome = simulate(
        prices,
        events,
        payer.timezone,
        payer.rates,
        begins_at=payer.begins_at,
        choose=choose,
        imagined=imagined,
        rates_at=payer.now,
        is_lenient=True,
    )
    if isinstance(outcome, Problem):
        raise AssertionError("what is lenient refuses nothing")
    fees, said = outcome
    for plan in plans:
        if plan.is_in_arrears:
            fixed.ask(plan)
    usage: Sums = {}
    units_of: dict[tuple[str, int], int] = {}
    for fee in fees:
        funding = fee.priced.funding
        asset = fee.priced.asset if funding is None else funding.asset
        units = fee.units if fee.paid_units is None else fee.paid_units
        key = (asset.code, asset.scale)
        units_of[key] = units_of.get(key, 0) + units
    for commitment, missing, _ in imagined.missing():
        key = (commitment.asset.code, commitment.asset.scale)
        units_of[key] = units_of.get(key, 0) + missing
    for (code, scale), units in units_of.items():
        _add(usage, code, _whole(units, scale))
    # Which of the events it was, helps nobody: each warning once.
    warnings += [text.partition("]: ")[2] for text in said]
    return Bill(fixed.sums(), usage, tuple(dict.fromkeys(warnings)))


class _Fixed:
    """What fixed prices take in a month, after discounts, in the assets that pay."""

    def __init__(self, imagined: Imagined, payer: Payer, warnings: list[str]) -> None:
        self._imagined = imagined
        self._payer = payer
        self._warnings = warnings
        self._sums: Sums = {}
        self._rounded: dict[tuple[str, str, int], Fraction] = {}

    def ask(self, plan: PlanPrice) -> None:
        """Ask a price that comes again."""
        payer = self._payer
        amount = _in_asset(plan.amounts, payer)
        asset, funding = amount.asset, amount.funding
        often = MONTHLY[plan.interval or "month"] / plan.count
        units = amount.units(quantity_of(plan, payer.terms))
        left = self._imagined.less(plan.product_id, asset.code, units, often)
        if funding is None:
            _add(self._sums, asset.code, left / 10**asset.scale)
            return
        rate = funding_rate(funding, asset.code, payer.rates, payer.now)
        if rate is None:
            missing = no_rate(asset.code, funding.asset.code, payer.now)
            self._warnings.append(f"{plan.name!r} cannot be charged: {missing}")
            return
        paying = funding.asset
        exact = left * exact_units(1, asset, paying, rate)
        if often == 1:
            # What is charged at one instant is rounded as a whole.
            key = (amount.account_id, paying.code, paying.scale)
            self._rounded[key] = self._rounded.get(key, NOTHING) + exact
        else:
            _add(self._sums, paying.code, exact / 10**paying.scale)

    def sums(self) -> Sums:
        """Return what was asked."""
        found = dict(self._sums)
        for (_, code, scale), exact in self._rounded.items():
            # `round` is half-even.
            _add(found, code, _whole(round(exact), scale))
        return found


def _monthly_version(version: CompiledVersion) -> CompiledVersion:
    """Return a version whose commitments are for a month."""
    monthly = []
    for plan in version.commitments:
        often, most = MONTHLY[plan.interval] / plan.count, plan.maximum_units
        monthly.append(
            structs.replace(
                plan,
                minimum_units=round(plan.minimum_units * often),
                maximum_units=None if most is None else round(most * often),
            )
        )
    return structs.replace(version, commitments=tuple(monthly))


def _monthly_discounts(payer: Payer) -> tuple[Discount, ...]:
    """Return the discounts of now, of which nothing is used yet, with amounts for a month."""
    found = []
    for discount in payer.terms.discounts:
        if not discount.counts_at(payer.now):
            continue
        cadence, coupon = discount.cadence, discount.coupon
        if cadence is not None and coupon.units:
            often = MONTHLY[cadence.interval] / cadence.count
            coupon = structs.replace(coupon, units=round(coupon.units * often))
        found.append(Discount(coupon, EPOCH))
    return tuple(found)


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
