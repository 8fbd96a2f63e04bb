"""What is earned and what it costs, in one currency. Amounts of other assets are converted at the
rate that was valid when the use happened; every sum is exact, and rounded once, where it is shown.

    >>> sums = Sums()
    >>> sums.add_revenue("USD", 2_000_000_000, Fraction(1))
    >>> sums.add_costs("USD", 500_000_000, Fraction(1))
    >>> sums.margin
    Fraction(75, 1)

Gross revenue is what customers were charged, net revenue is what is left of it after costs, and the
margin is net revenue in percent of gross: without revenue there is none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from faregate.core.amounts import FIAT_SCALE, half_even, power_of_ten, to_decimal
from faregate.core.assets import Asset
from faregate.core.rates import Rate

MARGIN_DECIMALS: Final = 2
ONE: Final = Fraction(1)


class Exchange:
    """Prices of assets in one currency, over time: units of the currency for one unit of the asset,
    each at its own ledger scale."""

    def __init__(
        self, currency: str, assets: Mapping[str, Asset], rates: Iterable[tuple[str, Rate]]
    ) -> None:
        """`rates` are those that name the currency: (asset, rate), in either direction."""
        self.currency = currency
        self._spans: dict[str, dict[datetime, tuple[Fraction, datetime | None]]] = {}
        self._begins: dict[str, list[datetime]] = {}
        for asset, rate in rates:
            if rate.source == currency:
                other, price = asset, 1 / rate.units_for(Decimal(1))
            elif asset == currency:
                # What the currency costs in the other one, turned round.
                other, price = rate.source, rate.units_for(Decimal(1))
            else:
                continue
            if other in assets:
                price *= Fraction(10) ** (FIAT_SCALE - assets[other].scale)
                self._spans.setdefault(other, {})[rate.valid_from] = price, rate.valid_to
        for other, spans in self._spans.items():
            self._begins[other] = sorted(spans)

    @property
    def has_rates(self) -> bool:
        """Tell whether anything but the currency itself was ever worth something in it."""
        return bool(self._spans)

    def price_since(self, asset: str, valid_from: datetime | None) -> Fraction | None:
        """Return the price under the rate that begins then; None: there is none."""
        if asset == self.currency:
            return ONE
        if valid_from is None:
            return None
        found = self._spans.get(asset, {}).get(valid_from)
        return None if found is None else found[0]

    def price_at(self, asset: str, at: datetime) -> Fraction | None:
        """Return the price that is valid at an instant; None: there is none."""
        if asset == self.currency:
            return ONE
        begins = self._begins.get(asset, [])
        place = bisect_right(begins, at)
        if not place:
            return None
        price, valid_to = self._spans[asset][begins[place - 1]]
        return price if valid_to is None or at < valid_to else None


class Sums:
    """Revenue and costs that add up, in units of the currency, and how many events they are of.

    `unconverted` has what no rate converts, by asset, in its own units: (revenue, costs).
    """

    __slots__ = ("costs", "events", "revenue", "unconverted")

    def __init__(self) -> None:
        self.revenue: Fraction | int = 0
        self.costs: Fraction | int = 0
        self.events = 0
        self.unconverted: dict[str, tuple[int, int]] = {}

    def add_revenue(self, asset: str, units: int, price: Fraction | None) -> None:
        """Add what was charged, at the price of a unit; None: nothing converts it."""
        if price is not None:
            self.revenue += units if price is ONE else units * price
        elif units:
            revenue, costs = self.unconverted.get(asset, (0, 0))
            self.unconverted[asset] = revenue + units, costs

    def add_costs(self, asset: str, units: int, price: Fraction | None) -> None:
        """Add what was paid, at the price of a unit; None: nothing converts it."""
        if price is not None:
            self.costs += units if price is ONE else units * price
        elif units:
            revenue, costs = self.unconverted.get(asset, (0, 0))
            self.unconverted[asset] = revenue, costs + units

    def add(self, other: Sums) -> None:
        """Add all of another sum."""
        self.revenue += other.revenue
        self.costs += other.costs
        self.events += other.events
        for asset, (revenue, costs) in other.unconverted.items():
            self.add_revenue(asset, revenue, None)
            self.add_costs(asset, costs, None)

    @property
    def net(self) -> Fraction | int:
        """What is left of the revenue, in units; below 0 where it costs more than it earns."""
        return self.revenue - self.costs

    @property
    def margin(self) -> Fraction | None:
        """What is left in percent of the revenue; None without revenue."""
        return Fraction(self.net) / self.revenue * 100 if self.revenue else None


def divided(units: int, shares: Sequence[Fraction | int]) -> list[int]:
    """Divide whole units in proportion to shares, none below 0: each part rounded down, the rest
    for the last one that has a share. Where none has, the first gets all.

    >>> divided(100, [1, 2])
    [33, 67]
    """
    whole = sum(shares)
    if not whole:
        return [units] + [0] * (len(shares) - 1)
    parts = [int(units * share // whole) for share in shares]
    last = max(index for index, share in enumerate(shares) if share)
    parts[last] += units - sum(parts)
    return parts


def shown_amount(units: Fraction | int, scale: int = FIAT_SCALE) -> Decimal:
    """Return units as an amount, rounded half-even to the scale's decimals."""
    return to_decimal(half_even(units.numerator, units.denominator)[0], scale)


def shown_margin(percent: Fraction | None) -> Decimal | None:
    """Return a margin in percent, rounded half-even to two decimals."""
    if percent is None:
        return None
    parts = percent * power_of_ten(MARGIN_DECIMALS)
    return shown_amount(parts, MARGIN_DECIMALS)
