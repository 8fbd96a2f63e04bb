"""A use that is paid slice by slice is priced as one use. What a slice costs is what the use costs
with it less what it cost before, so a stream of 100,000 tokens in slices of 1,000 costs exactly
what one event of 100,000 costs: its price per use counts once, packages are started once, and its
least and greatest amounts are those of the whole.

Under graduated tiers a slice costs what the tiers say where it comes, after all that was counted by
then, whoever used it: so also many streams side by side cost together what the tiers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import structs

from faregate.core.amounts import scaled, to_decimal
from faregate.core.compiled import CompiledPrice, CompiledTiering, PricedAsset, PricedEntry
from faregate.core.costs import Cost
from faregate.core.holds import Meter
from faregate.core.pricing import (
    Match,
    bounded,
    find_entry,
    measure,
    no_entry,
    price_volume,
    shown_volume,
)
from faregate.core.problems import Problem
from faregate.core.tiers import Counted, quantity_of, tiered_cost
from faregate.core.volumes import VOLUME_DECIMALS

MeterKey = tuple[str, str, int]
"""A price's id, an asset's code, the number of an entry's first value."""


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
        self,
        compiled: CompiledPrice,
        priced: PricedAsset,
        data: Mapping[str, Any],
        costs: Sequence[Cost],
        counted: Counted,
        *,
        keeps: bool,
    ) -> Match | str | Problem:
        """Price a slice; a match has what it adds to the use. Count it in if it `keeps`."""
        entry = find_entry(compiled, priced, data)
        if entry is None:
            return no_entry(compiled, data)
        key = (compiled.id, priced.asset.code, entry.index)
        meter = self._meters.get(key)
        measured = measure(compiled, priced, data, costs)
        if isinstance(measured, Problem):
            return measured
        earlier = None if meter is None else meter.volume
        volume: int | Decimal | None = None
        if isinstance(measured, int):
            volume = shown_volume(compiled, data, measured)
        elif earlier is None:
            return measured
        else:
            measured = 0
        whole = measured + _parts(earlier)
        shown = volume if earlier is None else to_decimal(whole, VOLUME_DECIMALS)
        tiers = 0
        if compiled.tiering is None:
            match = price_volume(compiled, priced, entry, whole, shown)
        else:
            now = counted.get((priced.asset.code, entry.index), 0)
            match, tiers = _tiered(compiled, compiled.tiering, entry, meter, whole, shown, now)
        before, units = (0, 0) if meter is None else (meter.numerator, meter.units)
        if keeps:
            self._meters[key] = Meter(*key, match.volume, match.numerator, units, tiers)
        return structs.replace(
            match, volume=volume, numerator=match.numerator - before, before_units=units
        )

    def charged(self, compiled: CompiledPrice, asset: str, match: Match, units: int) -> None:
        """Count in what a slice that was priced so has been charged."""
        key = (compiled.id, asset, match.entry)
        meter = self._meters.get(key)
        if meter is not None:
            self._meters[key] = structs.replace(meter, units=match.before_units + units)


def _tiered(
    compiled: CompiledPrice,
    tiering: CompiledTiering,
    entry: PricedEntry,
    meter: Meter | None,
    whole: int,
    shown: int | Decimal | None,
    now: int,
) -> tuple[Match, int]:
    """Price a use with its newest slice, of this volume in all, by tiers that have counted so much;
    returns also its cost without bounds."""
    earlier = 0 if meter is None else _parts(meter.volume)
    earlier_quantity = 0 if meter is None else quantity_of(tiering, earlier)
    quantity = quantity_of(tiering, whole) - earlier_quantity
    if tiering.is_bulk or tiering.counts_uses:
        # As if all of it came now.
        before = max(0, now - earlier_quantity)
        tier, cost = tiered_cost(tiering, entry, whole, before, has_unit=compiled.has_unit)
    else:
        has_unit = compiled.has_unit and meter is None
        tier, cost = tiered_cost(tiering, entry, whole - earlier, now, has_unit=has_unit)
        cost += 0 if meter is None else meter.tiers
    return Match(tier, shown, bounded(tier, cost), 0, entry.index, quantity, now), cost


def _parts(volume: int | Decimal | None) -> int:
    return 0 if volume is None else scaled(volume, VOLUME_DECIMALS) or 0
