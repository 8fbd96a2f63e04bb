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

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.amounts import AmountError, half_even, plain, scaled
from faregate.core.compiled import (
    VOLUME_DECIMALS,
    VOLUME_ONE,
    CompiledPrice,
    PricedAsset,
    PricedEntry,
    PricedValue,
)
from faregate.core.prices import WILDCARD
from faregate.core.problems import Problem, invalid
from faregate.core.tiers import NOTHING_COUNTED, Counted, quantity_of, tiered_cost

MAX_VOLUME: Final = 10**15


def dimension_text(value: object) -> str | None:
    """Write an event's value as the text that dimensions are matched by; None for no match.

    Numbers lose trailing zeros (`1.50` is `1.5`), booleans are `true` and `false`.
    """
    if type(value) is str:
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and abs(value.adjusted()) < 100:
        return plain(value)
    return None


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
) -> Match | str | Problem:
    """Price one event's data: a match with its exact cost, a warning text, or a problem.

    `counted` is what the price's tiers have counted before it, in its period. A warning means: no
    fee, because no value fits or the volume is not there. A problem means: the event says something
    impossible (a volume that is text, or negative) and is refused.
    """
    entry = find_entry(compiled, priced, data)
    if entry is None:
        seen = ", ".join(f"{name}={data.get(name)!s:.60}" for name in compiled.dimension_names)
        return f"no price for {seen} under {compiled.price.name!r}"
    measured = 0
    field = compiled.volume_field
    volume: int | Decimal | None = None
    if field is not None:
        volume = data.get(field)
        if volume is None:
            if not compiled.has_unit:
                return f"no fee under {compiled.price.name!r}: data.{field} is missing"
        else:
            parts = measure_volume(field, volume)
            if isinstance(parts, Problem):
                return parts
            measured = parts
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


def measure_volume(field: str, volume: object) -> int | Problem:
    """Return the volume in `data[field]` in 10^-12 parts, or say why it is none."""
    if type(volume) is int:
        if 0 <= volume <= MAX_VOLUME:
            return volume * VOLUME_ONE
    elif isinstance(volume, Decimal):
        try:
            parts = scaled(volume, VOLUME_DECIMALS)
        except AmountError as error:
            return invalid(f"data.{field}", str(error))
        if parts is None:
            return invalid(f"data.{field}", f"{volume} has more than {VOLUME_DECIMALS} decimals")
        if 0 <= parts <= MAX_VOLUME * VOLUME_ONE:
            return parts
    else:
        shown = "true or false" if isinstance(volume, bool) else f"{volume!r:.60}"
        return invalid(f"data.{field}", f"is {shown}: it is a volume, so send a JSON number")
    return invalid(f"data.{field}", f"is {volume}: send a number from 0 to {MAX_VOLUME}")


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
        return half_even(exact, denominator)
    units, carry = half_even(exact + before_units * denominator, denominator)
    # Half a unit that another fee was rounded up by must not be given back by a slice of nothing.
    return (units - before_units, carry) if units >= before_units else (0, exact)
