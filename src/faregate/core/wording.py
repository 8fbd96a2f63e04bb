"""Prices in words: amounts, percentages and intervals as people read them. Numbers are shown
exactly; a currency's amounts have at least the decimals of its coins.

    >>> was = Amount(Decimal("0.60"), "USD", "per 1,000,000", Fraction(1_000_000))
    >>> was.became(Amount(Decimal("0.5"), "USD", "per 1,000,000", Fraction(1_000_000)))
    '0.60 → 0.50 USD per 1,000,000 (−16.7%)'
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from faregate.core.amounts import half_even, plain
from faregate.core.assets import CURRENCIES

MAX_SHOWN: Final = 5
"""Parts of something that a sentence lists; the rest it counts."""


class Amount(msgspec.Struct, frozen=True):
    """An amount of an asset and what it is asked for (`per seat`). `size` is of how much (tokens,
    say) it is the price, where that can be compared with the price of another quantity."""

    value: Decimal
    asset: str
    per: str = ""
    size: Fraction | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (digits(self.value, self.asset), self.asset, self.per)))

    def became(self, after: Amount) -> str:
        """Say how it became another amount, and by how many percent it rose or fell."""
        if (self.asset, self.per) == (after.asset, after.per):
            shown = f"{digits(self.value, self.asset)} → {after}"
            return shown + percent(Fraction(self.value), Fraction(after.value))
        shown = f"{self} → {after}"
        if self.asset != after.asset or self.size is None or after.size is None:
            return shown
        before, then = Fraction(self.value) / self.size, Fraction(after.value) / after.size
        return shown + percent(before, then)


def digits(value: Decimal, asset: str = "") -> str:
    """Write a number with commas between thousands: `digits(Decimal("1234.5"), "USD")` is
    `1,234.50`."""
    currency = CURRENCIES.get(asset)
    whole, _, part = plain(value).partition(".")
    sign, whole = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    part = part.ljust(0 if currency is None else currency.precision, "0")
    return f"{sign}{int(whole):,}{'.' if part else ''}{part}"


def percent(before: Fraction, after: Fraction) -> str:
    """Write by how much of a hundred something rose or fell, rounded half-even to one digit, in
    brackets; nothing where it was 0 before, or is the same."""
    if not before or before == after:
        return ""
    change = (after - before) / before * 1000
    tenths, _ = half_even(abs(change.numerator), change.denominator)
    return f" ({'+' if change > 0 else '−'}{Decimal(tenths).scaleb(-1):,.1f}%)"


def every(interval: str, count: int | None) -> str:
    """Write how long an interval is: `month`, `3 months`."""
    return interval if count in (None, 1) else f"{count} {interval}s"


def listed(parts: Sequence[str], between: str = ", ") -> str:
    """List parts, at most `MAX_SHOWN` of them."""
    more = len(parts) - MAX_SHOWN
    shown = list(parts[:MAX_SHOWN]) + ([f"and {more} more"] if more > 0 else [])
    return between.join(shown)
