"""What one event costs under one price, exactly.

The exact cost is a numerator over the denominator D of the price (see `compiled`), in units of the
asset's ledger scale; `fee_units` rounds it half-even and carries what rounding left over to the
same customer's next fee under the same price, so that 1,000,000 events of 0.4 units cost 400,000
units, not 0.

    cost = unit_price + volume / package_size x volume_rate     (flat)
    cost = unit_price + ceil(volume / package_size) x volume_rate   (package)

then at least `min_amount`, at most `max_amount`. What tiers make of it is in `tiers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from faregate.core.amounts import half_even, to_decimal
from faregate.core.compiled import CompiledPrice, PricedAsset, PricedEntry, PricedValue
from faregate.core.costs import Cost, measure_costs
from faregate.core.expressions import measure_expression
from faregate.core.prices import WILDCARD
from faregate.core.problems import Problem
from faregate.core.tiers import NOTHING_COUNTED, Counted, quantity_of, tiered_cost
from faregate.core.volumes import VOLUME_DECIMALS, dimension_text, measure_volume


class Match(msgspec.Struct, frozen=True, gc=False):
    """The value that applies to an event, and what was measured. `before_units` is what was charged
    for earlier slices of the same use; `quantity` is what the tiers of this `entry` count of it,
    after `counted`."""

    value: PricedValue
    volume: int | Decimal | None
    numerator: int
    before_units: int = 0
    entry: int = 0
    quantity: int = 0
    counted: int = 0


def find_entry(
    compiled: CompiledPrice, priced: PricedAsset, data: Mapping[str, Any]
) -> PricedEntry | None:
    """Find the most specific entry for this event: fewest wildcards, then order of listing."""
    names = compiled.dimension_names
    if not names:
        return priced.by_specificity[0]
    texts = [dimension_text(data[name]) if name in data else None for name in names]
    for entry in priced.by_specificity:
        dimensions = entry.dimensions
        if dimensions is None:
            return entry
        for name, text in zip(names, texts, strict=True):
            wanted = dimensions.get(name, WILDCARD)
            if wanted != WILDCARD and wanted != text:
                break
        else:
            return entry
    return None


def price_event(
    compiled: CompiledPrice,
    priced: PricedAsset,
    data: Mapping[str, Any],
    counted: Counted = NOTHING_COUNTED,
    costs: Sequence[Cost] = (),
) -> Match | str | Problem:
    """Price one event's data and costs: a match with its exact cost, a warning text, or a problem.

    `counted` is what the price's tiers have counted before it, in its period. A warning means: no
    fee, because no value fits or the volume is not there. A problem means: the event says something
    impossible (a volume that is text, or negative) and is refused.
    """
    entry = find_entry(compiled, priced, data)
    if entry is None:
        return no_entry(compiled, data)
    measured = measure(compiled, priced, data, costs)
    if not isinstance(measured, int):
        return measured
    volume = shown_volume(compiled, data, measured)
    return price_volume(compiled, priced, entry, measured, volume, counted)


def no_entry(compiled: CompiledPrice, data: Mapping[str, Any]) -> str:
    """Say that no entry of a price fits an event."""
    seen = ", ".join(f"{name}={data.get(name)!s:.60}" for name in compiled.dimension_names)
    return f"no price for {seen} under {compiled.price.name!r}"


def measure(
    compiled: CompiledPrice, priced: PricedAsset, data: Mapping[str, Any], costs: Sequence[Cost]
) -> int | str | Problem:
    """Return the volume of an event, in parts of `VOLUME_ONE` (0 where none is measured, or where
    it is missing beside a price per use), a warning, or a problem."""
    field = compiled.volume_field
    if field is not None:
        volume = data.get(field)
        if volume is not None:
            return measure_volume(field, volume)
        if compiled.has_unit:
            return 0
        return f"no fee under {compiled.price.name!r}: data.{field} is missing"
    found: int | str | Problem
    if compiled.expression is not None:
        found = measure_expression(compiled.expression, data)
    elif compiled.counts_costs:
        wanted = compiled.price.usage_calculation.costs
        found = measure_costs(wanted, costs, priced.asset.code)
    else:
        return 0
    return f"no fee under {compiled.price.name!r}: {found}" if isinstance(found, str) else found


def shown_volume(
    compiled: CompiledPrice, data: Mapping[str, Any], measured: int
) -> int | Decimal | None:
    """Return the volume that a fee shows: as it was sent, as it was computed, or None."""
    if compiled.volume_field is not None:
        return data.get(compiled.volume_field)
    is_computed = compiled.expression is not None or compiled.counts_costs
    return to_decimal(measured, VOLUME_DECIMALS) if is_computed else None


def price_volume(
    compiled: CompiledPrice,
    priced: PricedAsset,
    entry: PricedEntry,
    measured: int,
    volume: int | Decimal | None,
    counted: Counted = NOTHING_COUNTED,
) -> Match:
    """Price a volume, in parts and as it is shown, by an entry of a price, after what its tiers
    have counted."""
    tiering = compiled.tiering
    if tiering is not None:
        before = counted.get((priced.asset.code, entry.index), 0)
        value, cost = tiered_cost(tiering, entry, measured, before, has_unit=compiled.has_unit)
        quantity = quantity_of(tiering, measured)
        return Match(value, volume, bounded(value, cost), 0, entry.index, quantity, before)
    value = entry.tiers[0]
    cost = value.unit_numerator if compiled.has_unit else 0
    if compiled.is_package:
        cost += -(-measured // value.package_size) * value.rate_numerator
    else:
        cost += measured * value.rate_numerator
    return Match(value, volume, bounded(value, cost), 0, entry.index)


def bounded(value: PricedValue, numerator: int) -> int:
    """Return a cost that is no less than a value's least amount and no more than its greatest."""
    if numerator < value.min_numerator:
        return value.min_numerator
    if value.max_numerator is not None and numerator > value.max_numerator:
        return value.max_numerator
    return numerator


def fee_units(
    numerator: int, denominator: int, carried: int, before_units: int = 0
) -> tuple[int, int]:
    """Bring an exact cost to the ledger scale.

    `carried` is what rounding left over from the fees before, as a numerator of the same
    denominator. Returns the fee in units (never negative) and the new carry. With the
    `before_units` of earlier slices it is the sum of all slices that is rounded half-even, so that
    they come to what one fee comes to, also where it lies in the middle of two units.

    >>> fee_units(4, 10, 0), fee_units(4, 10, 4)
    ((0, 4), (1, -2))
    >>> fee_units(5, 10, 0), fee_units(5, 10, 0, before_units=1)
    ((0, 5), (1, -5))
    """
    exact = numerator + carried
    if not before_units:
        units, carry = half_even(exact, denominator)
        # After fees were given back more may be carried than half a unit: a use that costs nothing
        # does not pay it, and one that costs less than was paid too much pays nothing.
        return (units, carry) if numerator and units >= 0 else (0, exact)
    units, carry = half_even(exact + before_units * denominator, denominator)
    # Half a unit that another fee was rounded up by must not be given back by a slice of nothing.
    return (units - before_units, carry) if units >= before_units else (0, exact)
