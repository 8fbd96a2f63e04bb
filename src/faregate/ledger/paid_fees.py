"""Fees that were paid in another asset than their own, for `verify`: what was taken must be what
the fee is worth at the rate that it says."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

import msgspec

from faregate.core.amounts import FIAT_SCALE, power_of_ten
from faregate.core.assets import CURRENCIES
from faregate.core.codec import decode
from faregate.core.conversion import CARRY_PARTS, RATE_SHOWN_DECIMALS
from faregate.core.reducing import Reduced
from faregate.store.protocol import Queries

Scales = dict[tuple[int, str], int]
"""Ledger scales of custom assets, by environment and code."""


class PaidFee(NamedTuple):
    """A fee, what it took in another asset, how much of that one of its own is worth, and what it
    carried on to later fees (None: it does not say)."""

    id: str
    asset: str
    units: int
    paid_asset: str
    paid_units: int
    rate: Fraction
    carried: Fraction | None = None

    def expected_units(self, scales: Scales, environment_id: int) -> int | None:
        """Return what should have been taken, if what was is not it.

        A fee that does not say what it carries has carried no more than a unit from or to others. A
        rate is written with so many decimals that the rest makes a difference only to very large
        fees, and so is what is carried.
        """
        asset, paid_asset = [
            FIAT_SCALE if code in CURRENCIES else scales.get((environment_id, code), 0)
            for code in (self.asset, self.paid_asset)
        ]
        at_one = self.units * Fraction(10) ** (paid_asset - asset)
        unwritten = at_one / power_of_ten(RATE_SHOWN_DECIMALS)
        exact = at_one * self.rate
        if self.carried is None:
            return None if abs(self.paid_units - exact) <= 1 + unwritten else round(exact)
        is_right = abs(self.paid_units + self.carried - exact) <= unwritten + _UNWRITTEN_CARRY
        return None if is_right else round(exact - self.carried)


_UNWRITTEN_CARRY: Final = Fraction(1, CARRY_PARTS)


def read_carried(text: str | None) -> Fraction | None:
    """Read what a fee has carried on, in units of the asset that paid it."""
    try:
        reduced = None if text is None else decode(Reduced, text)
        return None if reduced is None else Fraction(int(reduced.left_over[1]), CARRY_PARTS)
    except (msgspec.DecodeError, ValueError):
        return None


async def read_scales(queries: Queries) -> Scales:
    """Read the scales of all custom assets."""
    rows = await queries.fetch("SELECT environment_id, code, decimals FROM assets")
    return {(environment_id, code): decimals for environment_id, code, decimals in rows}


def read_rate(text: str | None) -> Fraction | None:
    """Read the rate of a fee; None: there is none, or somebody wrote what is none."""
    try:
        return None if text is None else Fraction(text)
    except ValueError:
        return None
