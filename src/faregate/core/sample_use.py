"""What a use of a product may look like, made up from its prices: an event for each type that they
price, with every key of data that is measured or that a price depends on. To try a price with, and
to show callers what they have to send.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.expressions import ExpressionError, parse_expression
from faregate.core.prices import WILDCARD, CostFilter, Price, PriceValue, UsageBasedPrice

_USUAL: Final = 1_000
"""How many of something that is cheap one use has."""
_ONE_BY_ONE: Final = Decimal("0.001")
"""Where one of something costs so much, a use has one of it."""


class SampleUse(msgspec.Struct, frozen=True):
    """A use, and how often it comes in a normal month. `cost` is what it costs the seller."""

    event_type: str
    data: dict[str, Any]
    times: int = 1_000
    cost: Cost | None = None

    def event(self, number: int, at: datetime) -> UsageEvent:
        """Make an event of it, the `number`th."""
        costs = None if self.cost is None else [self.cost]
        return UsageEvent(f"use-{number}", self.event_type, at, data=self.data, costs=costs)


def sample_uses(prices: Sequence[Price]) -> list[SampleUse]:
    """Make up a use for each type of event that is priced, in the order of the prices."""
    found: dict[str, SampleUse] = {}
    for price in prices:
        if not isinstance(price, UsageBasedPrice):
            continue
        calculation = price.usage_calculation
        before = found.get(calculation.event_type, SampleUse(calculation.event_type, {}))
        data = {**_dimensions(price), **_volumes(price), **before.data}
        cost = _cost(price) if calculation.usage_type == "cost" else before.cost
        found[calculation.event_type] = SampleUse(calculation.event_type, data, cost=cost)
    return list(found.values())


def _cost(price: UsageBasedPrice) -> Cost:
    """Return a cost that a price on costs is about, in the currency that it asks."""
    wanted = price.usage_calculation.costs or CostFilter()
    code = price.pricing[0].asset
    named = None if wanted.vendor_id else wanted.vendor_external_id or "vendor"
    return Cost(
        "cost",
        Number("0.01"),
        vendor_id=wanted.vendor_id,
        vendor_external_id=named,
        category=wanted.category,
        currency=code if code in CURRENCIES else None,
    )


def _leaves(price: UsageBasedPrice) -> list[PriceValue]:
    """Return the values of the first asset that are no entries by dimension."""
    return [leaf for value in price.pricing[0].values for leaf in value.values or (value,)]


def _dimensions(price: UsageBasedPrice) -> dict[str, Any]:
    """Return the first value that each dimension is priced for."""
    found: dict[str, Any] = {}
    for value in price.pricing[0].values:
        for name, text in (value.dimensions or {}).items():
            if text != WILDCARD:
                found.setdefault(name, text)
    return found


def _volumes(price: UsageBasedPrice) -> dict[str, Any]:
    calculation = price.usage_calculation
    names: list[str] = []
    if calculation.volume_field is not None:
        names = [calculation.volume_field]
    elif calculation.usage_type == "custom":
        try:
            names = list(parse_expression(calculation.volume_aggregation or "").names())
        except ExpressionError:
            names = []
    return dict.fromkeys(names, _size(price))


def _size(price: UsageBasedPrice) -> int:
    rates = [leaf.volume_rate for leaf in _leaves(price) if leaf.volume_rate]
    size = _leaves(price)[0].package_size or Decimal(1)
    if price.pricing_model == "package":
        return int(size)
    if rates and max(rates) / size >= _ONE_BY_ONE:
        return 1
    return _USUAL
