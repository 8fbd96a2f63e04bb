"""Paying in another asset than the one that a price is in. The price and its fee stay as they are;
what is debited is what the fee is worth in the paying asset, at the rate of the moment that counts
(when a use happened, when a fixed price was due). Only rates between the two count, in either
direction, never through a third asset.

Rounding is half-even to the paying asset's ledger scale, and what it leaves over is carried to the
customer's next fee under the same price, in parts of 10^-18 of a unit: a million small fees come to
what one large one comes to. What a subscription is charged at one instant is rounded as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec
from msgspec import structs

from faregate.core.amounts import Number, half_even, power_of_ten, to_decimal
from faregate.core.assets import Asset
from faregate.core.costs import DEFAULT_COST_CURRENCY, Cost
from faregate.core.rates import Rate, rate_at
from faregate.core.volumes import VOLUME_DECIMALS

Rates = Mapping[str, tuple[Rate, ...]]
"""Rates by the asset that they are of."""
NO_RATES: Final[Rates] = {}
CARRY_PARTS: Final = 10**18
RATE_SHOWN_DECIMALS: Final = 18


class Funding(msgspec.Struct, frozen=True, gc=False):
    """Which asset a price is paid in. `rate` is how much of it one of the price's asset costs, if
    the price says so; None: as the rates of the two say."""

    asset: Asset
    rate: Fraction | None = None


def worth(rates: Rates, source: str, target: str, at: datetime) -> Fraction | None:
    """Return how many of the target one of the source is worth at an instant; None: no rate says.

    A rate is the price of one unit of an asset in a currency: of (CREDITS from USD, 0.10) one USD
    is worth 10 CREDITS, and one CREDIT a tenth of a USD.
    """
    if source == target:
        return Fraction(1)
    bought = rate_at(rates.get(target, ()), source, at)
    if bought is not None:
        return bought.units_for(Decimal(1))
    sold = rate_at(rates.get(source, ()), target, at)
    return None if sold is None else 1 / sold.units_for(Decimal(1))


def funding_rate(funding: Funding, source: str, rates: Rates, at: datetime) -> Fraction | None:
    """Return how much of the paying asset one of the price's asset costs, in whole assets."""
    if funding.rate is not None:
        return funding.rate
    return worth(rates, source, funding.asset.code, at)


def no_rate(source: str, target: str, at: datetime) -> str:
    """Say that nothing tells what one asset is worth in another."""
    return f"there is no rate between {source} and {target} at {at.isoformat()}: add one"


def exact_units(units: int, source: Asset, target: Asset, rate: Fraction) -> Fraction:
    """Return what units of the source are worth in units of the target, exactly."""
    shift = target.scale - source.scale
    numerator, denominator = units * rate.numerator, rate.denominator
    if shift >= 0:
        return Fraction(numerator * power_of_ten(shift), denominator)
    return Fraction(numerator, denominator * power_of_ten(-shift))


def paid_units(
    units: int, source: Asset, target: Asset, rate: Fraction, carried: int = 0
) -> tuple[int, int]:
    """Return what units of the source cost in units of the target, and the new carry, in parts of
    10^-18 of such a unit.

    >>> from faregate.core.assets import CURRENCIES, custom_asset
    >>> credits = custom_asset("CREDITS", "Credits", 0)
    >>> paid_units(250_000_000, CURRENCIES["USD"], credits, Fraction(10))
    (2, 500000000000000000)
    """
    if not units:
        return 0, carried
    exact = exact_units(units, source, target, rate) + Fraction(carried, CARRY_PARTS)
    paid, rest = half_even(exact.numerator, exact.denominator)
    left = half_even(rest * CARRY_PARTS, exact.denominator)[0]
    return (paid, left) if paid >= 0 else (0, left + paid * CARRY_PARTS)


def rounded_up(units: int, source: Asset, target: Asset, rate: Fraction, carried: int = 0) -> int:
    """Return at most how many units of the target so many of the source cost, after what was
    carried."""
    exact = exact_units(units, source, target, rate) + Fraction(carried, CARRY_PARTS)
    return max(0, -(-exact.numerator // exact.denominator))


def carry_key(price_id: str, funding: Funding) -> tuple[str, str]:
    """Return under which key a customer's carries have what paying a price left over."""
    return paid_carry_key(price_id, funding.asset.code)


def paid_carry_key(price_id: str, code: str) -> tuple[str, str]:
    """Return that key for the code of the asset that pays."""
    return price_id, f"paid {code}"


def shown_rate(rate: Fraction) -> Decimal:
    """Return a rate as it is shown, with at most 18 decimals."""
    return to_decimal(round(rate * 10**RATE_SHOWN_DECIMALS), RATE_SHOWN_DECIMALS)


def in_currency(costs: Sequence[Cost], currency: str, rates: Rates, at: datetime) -> Sequence[Cost]:
    """Return costs in one currency, at the rates of an instant, rounded half-even to 12 decimals;
    those that no rate is for stay as they are."""
    found: list[Cost] = []
    for cost in costs:
        code = cost.currency or DEFAULT_COST_CURRENCY
        rate = None if code == currency else worth(rates, code, currency, at)
        if rate is not None:
            parts = round(Fraction(cost.amount) * rate * 10**VOLUME_DECIMALS)
            amount = Number(to_decimal(parts, VOLUME_DECIMALS))
            cost = structs.replace(cost, amount=amount, currency=currency)
        found.append(cost)
    return found
