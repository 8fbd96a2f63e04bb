"""Fees that were paid in another asset than their own, for `verify`: what was taken must be what
the fee is worth at the rate that it says."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from faregate.core.amounts import FIAT_SCALE, power_of_ten
from faregate.core.assets import CURRENCIES
from faregate.core.conversion import RATE_SHOWN_DECIMALS
from faregate.store.protocol import Queries

Scales = dict[tuple[int, str], int]
"""Ledger scales of custom assets, by environment and code."""


class PaidFee(NamedTuple):
    """A fee, what it took in another asset, and how much of that one of its own is worth."""

    id: str
    asset: str
    units: int
    paid_asset: str
    paid_units: int
    rate: Fraction

    def expected_units(self, scales: Scales, environment_id: int) -> int | None:
        """Return what should have been taken, if what was is not it.

        No more than a unit is carried from or to other fees, and a rate is written with so many
        decimals that the rest makes a difference only to very large fees.
        """
        asset, paid_asset = [
            FIAT_SCALE if code in CURRENCIES else scales.get((environment_id, code), 0)
            for code in (self.asset, self.paid_asset)
        ]
        at_one = self.units * Fraction(10) ** (paid_asset - asset)
        unwritten = at_one / power_of_ten(RATE_SHOWN_DECIMALS)
        exact = at_one * self.rate
        return None if abs(self.paid_units - exact) <= 1 + unwritten else round(exact)


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
