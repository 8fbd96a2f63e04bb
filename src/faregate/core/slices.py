"""A use that is paid slice by slice is priced as one use. What a slice costs is what the use costs
with it less what it cost before, so a stream of 100,000 tokens in slices of 1,000 costs exactly
what one event of 100,000 costs: its price per use counts once, packages are started once, and its
least and greatest amounts are those of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import structs

from faregate.core.amounts import scaled, to_decimal
from faregate.core.holds import Meter
from faregate.core.pricing import (
    VOLUME_DECIMALS,
    CompiledPrice,
    Match,
    PricedAsset,
    match_value,
    price_event,
)
from faregate.core.problems import Problem

MeterKey = tuple[str, str, int]
"""A price's id, an asset's code, the number of a value."""


class Slices:
    """The slices of one use, of events of this type, so far."""

    __slots__ = ("_meters", "event_type")

    def __init__(self, event_type: str, meters: tuple[Meter, ...]) -> None:
        self.event_type = event_type
        self._meters: dict[MeterKey, Meter] = {
            (m.price_id, m.asset, m.value_index): m for m in meters
        }

    @property
    def meters(self) -> tuple[Meter, ...]:
        """What the slices have come to."""
        return tuple(self._meters.values())

    def price(
        self, compiled: CompiledPrice, priced: PricedAsset, data: Mapping[str, Any], *, keeps: bool
    ) -> Match | str | Problem:
        """Price a slice; a match has what it adds to the use. Count it in if it `keeps`."""
        value = match_value(compiled, priced, data)
        meter: Meter | None = None
        if value is not None:
            meter = self._meters.get((compiled.id, priced.asset.code, value.index))
        field = compiled.volume_field
        whole = data
        if meter is not None and field is not None and meter.volume is not None:
            # A slice is checked by itself first: what is wrong with it must not hide in the sum.
            alone = price_event(compiled, priced, data)
            if isinstance(alone, Problem):
                return alone
            whole = {**data, field: _added(meter.volume, data.get(field))}
        match = price_event(compiled, priced, whole)
        if not isinstance(match, Match):
            return match
        before, units = (0, 0) if meter is None else (meter.numerator, meter.units)
        if keeps:
            key = (compiled.id, priced.asset.code, match.value.index)
            self._meters[key] = Meter(*key, match.volume, match.numerator, units)
        volume = data.get(field) if field is not None else None
        return Match(match.value, volume, match.numerator - before, units)

    def charged(self, compiled: CompiledPrice, asset: str, match: Match, units: int) -> None:
        """Count in what a slice that was priced so has been charged."""
        key = (compiled.id, asset, match.value.index)
        meter = self._meters.get(key)
        if meter is not None:
            self._meters[key] = structs.replace(meter, units=match.before_units + units)


def _added(before: int | Decimal, slice_volume: int | Decimal | None) -> int | Decimal:
    if slice_volume is None:
        return before
    parts = (scaled(before, VOLUME_DECIMALS) or 0) + (scaled(slice_volume, VOLUME_DECIMALS) or 0)
    return to_decimal(parts, VOLUME_DECIMALS)
