"""Money as integers. Inside Faregate an amount is a whole number of *units* of an asset's ledger
scale: for fiat currencies one unit is a billionth (scale 9), for a custom asset 10^-precision.
`Decimal` appears only at the edges, where JSON numbers come in and go out; a float never does.

    >>> to_units(Number("0.1"), 9)
    100000000
    >>> to_decimal(100000000, 9)
    Decimal('0.1')

What does not live here: how a fee is computed from a price (`pricing`).
"""

from __future__ import annotations

from decimal import (
    Clamped,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    Underflow,
)
from functools import lru_cache
from typing import Final

FIAT_SCALE: Final = 9
"""Decimals kept of every ISO 4217 currency: 1 unit = 0.000000001."""

MAX_UNITS: Final = 9_000_000_000_000_000_000
"""Largest amount, balance or overdraft in units, below 2^63 so that both databases keep it in a
64-bit integer. At scale 9 that is 9,000,000,000.000000000."""

MAX_NUMBER_DIGITS: Final = 60
"""Significant digits of a JSON number that takes part in money. Nothing exact needs more."""

_EXACT: Final = Context(
    prec=2 * MAX_NUMBER_DIGITS,
    traps=[Clamped, DivisionByZero, InvalidOperation, Overflow, Underflow],
)


class Number(Decimal):
    """A JSON number, exactly as it was written. Unlike a plain `Decimal` field, which also takes
    JSON strings, a field of this type refuses `"1.5"`, `true` and `NaN` (see `codec`)."""

    __slots__ = ()


class AmountError(ValueError):
    """A number cannot be used as an amount. The message says why and what to send instead."""


def scaled(value: Decimal | int, decimals: int) -> int | None:
    """Return `value` x 10^decimals as an integer, or None if that is not whole.

    Works for numbers of any exponent without ever building a huge integer: a value of 10^40 or
    more, or one with more than `MAX_NUMBER_DIGITS` significant digits, raises `AmountError`.
    """
    if type(value) is int:
        if -(10**40) < value < 10**40:
            return int(value * 10**decimals)
        raise AmountError("is too large: its absolute value must be below 1e40")
    number = Decimal(value)
    if not number.is_finite():
        raise AmountError(f"is {number}: send a finite JSON number")
    if not number:
        return 0
    _, digits, exponent = number.as_tuple()
    if len(digits) > MAX_NUMBER_DIGITS:
        raise AmountError(f"has {len(digits)} digits: at most {MAX_NUMBER_DIGITS} are kept")
    if number.adjusted() >= 40:
        raise AmountError("is too large: its absolute value must be below 1e40")
    if not isinstance(exponent, int) or exponent < -10_000:
        return None
    if exponent + decimals < 0:
        number = number.normalize(_EXACT)
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent + decimals < 0:
            return None
    return int(_EXACT.scaleb(number, decimals))


def to_units(amount: Decimal | int, scale: int) -> int:
    """Return the amount in units of `scale` decimals, exactly; the sign is kept.

    Raises `AmountError` if the amount has more decimals than the scale keeps (an input is never
    rounded in silence) or lies beyond `MAX_UNITS`.
    """
    units = scaled(amount, scale)
    if units is None:
        kept = "no decimals" if scale == 0 else f"at most {scale} decimals"
        raise AmountError(f"has more decimals than this asset keeps: send {kept}")
    if not -MAX_UNITS <= units <= MAX_UNITS:
        limit = plain(to_decimal(MAX_UNITS, scale))
        raise AmountError(f"is out of range: its absolute value must be at most {limit}")
    return units


def to_decimal(units: int, scale: int) -> Decimal:
    """Return units as a `Decimal` without trailing zeros: `to_decimal(1500000000, 9)` is 1.5."""
    if scale == 0:
        return Decimal(units)
    whole, part = divmod(abs(units), 10**scale)
    if not part:
        return Decimal(whole if units > 0 else -whole)
    sign = "-" if units < 0 else ""
    return Decimal(f"{sign}{whole}.{part:0{scale}d}".rstrip("0"))


def plain(amount: Decimal) -> str:
    """Write a number without an exponent: `plain(Decimal("1E-9"))` is `0.000000001`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(number: Decimal) -> str:
    """Write a number of any size in a few characters, for a message: without an exponent if it is
    short, else as it is, cut off."""
    is_short = number.is_finite() and -30 <= number.adjusted() <= 30
    text = plain(number) if is_short else str(number)
    return text if len(text) <= 60 else f"{text[:60]}…"


def half_even(numerator: int, denominator: int) -> tuple[int, int]:
    """Round `numerator / denominator` to the nearest integer, ties to the even one.

    Returns that integer and what rounding left over, as a numerator of the same denominator, so
    that `numerator == rounded * denominator + rest` and `abs(rest) * 2 <= denominator`.

    >>> half_even(5, 2)
    (2, 1)
    >>> half_even(7, 2)
    (4, -1)
    """
    rounded, rest = divmod(numerator, denominator)
    twice = rest * 2
    if twice > denominator or (twice == denominator and rounded & 1):
        return rounded + 1, rest - denominator
    return rounded, rest


@lru_cache(maxsize=64)
def power_of_ten(exponent: int) -> int:
    """Return 10^exponent; small exponents are asked for on every fee."""
    return int(10**exponent)
