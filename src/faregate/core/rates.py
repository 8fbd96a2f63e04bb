"""What one asset costs in another, over time. A rate is the price of one unit in the source, or the
units that one of the source buys (`inverse_rate`); whichever was given is kept, and the other is
never used to compute. Each is valid from an instant on, up to another or until the next begins.

What is bought is rounded down to the decimals that people see, so it is never worth more than what
was paid for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.problems import Problem, conflict, invalid


class Rate(msgspec.Struct, frozen=True):
    """A rate from a source: one of the two numbers, from `valid_from` on, before `valid_to`."""

    source: str
    valid_from: datetime
    valid_to: datetime | None = None
    rate: Decimal | None = None
    inverse_rate: Decimal | None = None

    def units_for(self, amount: Decimal) -> Fraction:
        """Return how much an amount of the source buys, exactly."""
        if self.inverse_rate is not None:
            return Fraction(amount) * Fraction(self.inverse_rate)
        return Fraction(amount) / Fraction(self.rate or 1)


class Conversion(msgspec.Struct, frozen=True):
    """What an amount buys, and whether that was rounded down."""

    amount: Decimal
    is_rounded: bool


def rate_at(rates: Iterable[Rate], source: str, at: datetime) -> Rate | None:
    """Return the rate from a source that is valid at an instant."""
    for rate in rates:
        is_valid = rate.valid_from <= at and (rate.valid_to is None or at < rate.valid_to)
        if rate.source == source and is_valid:
            return rate
    return None


def convert(rate: Rate, amount: Decimal, precision: int) -> Conversion:
    """Convert an amount of the source, rounded down to so many decimals."""
    units = rate.units_for(amount) * 10**precision
    whole = units.numerator // units.denominator
    return Conversion(to_decimal(whole, precision), whole != units)


def schedule(rates: Sequence[Rate], new: Rate) -> tuple[Rate, Rate | None] | Problem:
    """Put a rate into a schedule. Returns it as it is then, and the rate that it closes, as that is
    then; or the problem of one that begins with another or reaches into the next."""
    if new.valid_to is not None and new.valid_to <= new.valid_from:
        return invalid("valid_to", "is not after valid_from: send a later instant")
    before: Rate | None = None
    for rate in sorted(rates, key=lambda rate: rate.valid_from):
        if rate.source != new.source:
            continue
        if rate.valid_from == new.valid_from:
            shown = rate.valid_from.isoformat()
            detail = f"there is a rate from {new.source} that begins at {shown}: begin later"
            return conflict("valid_from", detail)
        if rate.valid_from < new.valid_from:
            before = rate
            continue
        if new.valid_to is not None and new.valid_to > rate.valid_from:
            shown = rate.valid_from.isoformat()
            return invalid(
                "valid_to",
                f"reaches beyond {shown}, where the next rate begins: end by then",
            )
        new = msgspec.structs.replace(new, valid_to=new.valid_to or rate.valid_from)
        break
    if before is None or (before.valid_to is not None and before.valid_to <= new.valid_from):
        return new, None
    return new, msgspec.structs.replace(before, valid_to=new.valid_from)
