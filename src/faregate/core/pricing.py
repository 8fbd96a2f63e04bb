"""What one event costs under one price, exactly.

A price is *compiled* once, when its version is published: every rate becomes an integer over one
common denominator D, so that pricing an event is a few integer operations. The exact cost is a
numerator over D, in units of the asset's ledger scale; `fee_units` rounds it half-even and
carries what rounding left over to the same customer's next fee under the same price, so that
1,000,000 events of 0.4 units cost 400,000 units, not 0.

    cost = unit_price + volume / package_size x volume_rate     (flat)
    cost = unit_price + ceil(volume / package_size) x volume_rate   (package)

then at least `min_amount`, at most `max_amount`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import lcm
from typing import Any, Final, Protocol

import msgspec

from faregate.core.amounts import AmountError, half_even, plain, power_of_ten, scaled
from faregate.core.assets import Asset
from faregate.core.prices import (
    RATE_DECIMALS,
    WILDCARD,
    BalanceCollection,
    PriceValue,
    UsageBasedPrice,
)
from faregate.core.problems import Problem, invalid

VOLUME_DECIMALS: Final = 12
"""Decimals that a volume in an event's data may have."""
MAX_VOLUME: Final = 10**15
_VOLUME_ONE: Final = 10**VOLUME_DECIMALS


class PricedValue(msgspec.Struct, frozen=True, gc=False):
    """One compiled value of a price: all amounts are numerators over the price's denominator.

    `index` says which entry of the price it is, so that a stored fee can find it again.
    """

    index: int
    source: PriceValue
    dimensions: dict[str, str] | None
    unit_numerator: int
    rate_numerator: int
    package_size: int
    min_numerator: int
    max_numerator: int | None


class PricedAsset(msgspec.Struct, frozen=True, gc=False):
    """A price's values in one asset; `account_id` is the account that fees debit."""

    asset: Asset
    account_id: str
    denominator: int
    values: tuple[PricedValue, ...]
    by_specificity: tuple[PricedValue, ...]


class CompiledPrice(msgspec.Struct, frozen=True, gc=False):
    """A usage price, ready to price events, with the product version that it belongs to."""

    id: str
    product_id: str
    product_code: str
    product_version: int
    price: UsageBasedPrice
    event_type: str
    has_unit: bool
    volume_field: str | None
    is_package: bool
    dimension_names: tuple[str, ...]
    assets: tuple[PricedAsset, ...]


def compile_price(
    price: UsageBasedPrice,
    assets: Mapping[str, Asset],
    product_id: str,
    product_code: str,
    product_version: int,
) -> CompiledPrice:
    """Compile a price that `validate_prices` found nothing wrong with."""
    calculation = price.usage_calculation
    address = price.collection.address if isinstance(price.collection, BalanceCollection) else None
    compiled = []
    for pricing in price.pricing:
        if address is not None and address.partition(":")[2] != pricing.asset:
            continue
        asset = assets[pricing.asset]
        account_id = address or f"default:{asset.code}"
        compiled.append(_compile_asset(price, asset, account_id, pricing.values))
    return CompiledPrice(
        id=price.id or "",
        product_id=product_id,
        product_code=product_code,
        product_version=product_version,
        price=price,
        event_type=calculation.event_type,
        has_unit=calculation.usage_type in ("unit", "unit_and_volume"),
        volume_field=calculation.volume_field if calculation.usage_type != "unit" else None,
        is_package=price.pricing_model == "package",
        dimension_names=calculation.billable_dimensions or (),
        assets=tuple(compiled),
    )


def _compile_asset(
    price: UsageBasedPrice, asset: Asset, account_id: str, entries: tuple[PriceValue, ...]
) -> PricedAsset:
    leaves: list[tuple[dict[str, str] | None, PriceValue]] = []
    for entry in entries:
        leaf = entry.values[0] if entry.values else entry
        leaves.append((entry.dimensions, leaf))
    sizes = [_whole(leaf.package_size, 0) or 1 for _, leaf in leaves]
    common = lcm(*sizes)
    # D: rates have 18 decimals and volumes 12, of which the ledger scale keeps some.
    denominator = power_of_ten(RATE_DECIMALS + VOLUME_DECIMALS - asset.scale) * common
    one = _VOLUME_ONE * common
    values = []
    for index, ((dimensions, leaf), size) in enumerate(zip(leaves, sizes, strict=True)):
        rate = _whole(leaf.volume_rate, RATE_DECIMALS)
        has_max = leaf.max_amount is not None
        values.append(
            PricedValue(
                index=index,
                source=leaf,
                dimensions=dimensions,
                unit_numerator=_whole(leaf.unit_price, RATE_DECIMALS) * one,
                # flat: per 10^-12 of a volume; package: per started package.
                rate_numerator=rate * one
                if price.pricing_model == "package"
                else rate * (common // size),
                package_size=size * _VOLUME_ONE,
                min_numerator=_whole(leaf.min_amount, RATE_DECIMALS) * one,
                max_numerator=_whole(leaf.max_amount, RATE_DECIMALS) * one if has_max else None,
            )
        )
    names = price.usage_calculation.billable_dimensions or ()
    ordered = sorted(values, key=lambda value: (_wildcards(value, names), value.index))
    return PricedAsset(asset, account_id, denominator, tuple(values), tuple(ordered))


def _wildcards(value: PricedValue, names: tuple[str, ...]) -> int:
    dimensions = value.dimensions or {}
    return sum(1 for name in names if dimensions.get(name, WILDCARD) == WILDCARD)


def _whole(number: Decimal | None, decimals: int) -> int:
    if number is None:
        return 0
    whole = scaled(number, decimals)
    if whole is None:
        raise AssertionError(f"an unchecked number reached the compiler: {number}")
    return whole


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
    for earlier slices of the same use."""

    value: PricedValue
    volume: int | Decimal | None
    numerator: int
    before_units: int = 0


def match_value(
    compiled: CompiledPrice, priced: PricedAsset, data: Mapping[str, Any]
) -> PricedValue | None:
    """Find the most specific value for this event: fewest wildcards, then order of listing."""
    names = compiled.dimension_names
    if not names:
        return priced.values[0]
    texts = [dimension_text(data[name]) if name in data else None for name in names]
    for value in priced.by_specificity:
        dimensions = value.dimensions
        if dimensions is None:
            return value
        for name, text in zip(names, texts, strict=True):
            wanted = dimensions.get(name, WILDCARD)
            if wanted != WILDCARD and wanted != text:
                break
        else:
            return value
    return None


def price_event(
    compiled: CompiledPrice, priced: PricedAsset, data: Mapping[str, Any]
) -> Match | str | Problem:
    """Price one event's data: a match with its exact cost, a warning text, or a problem.

    A warning means: no fee, because no value fits or the volume is not there. A problem means:
    the event says something impossible (a volume that is text, or negative) and is refused.
    """
    value = match_value(compiled, priced, data)
    if value is None:
        seen = ", ".join(f"{name}={data.get(name)!s:.60}" for name in compiled.dimension_names)
        return f"no price for {seen} under {compiled.price.name!r}"
    numerator = value.unit_numerator if compiled.has_unit else 0
    field = compiled.volume_field
    volume: int | Decimal | None = None
    if field is not None:
        volume = data.get(field)
        if volume is None:
            if not compiled.has_unit:
                return f"no fee under {compiled.price.name!r}: data.{field} is missing"
        else:
            measured = measure_volume(field, volume)
            if isinstance(measured, Problem):
                return measured
            if compiled.is_package:
                numerator += -(-measured // value.package_size) * value.rate_numerator
            else:
                numerator += measured * value.rate_numerator
    if numerator < value.min_numerator:
        numerator = value.min_numerator
    if value.max_numerator is not None and numerator > value.max_numerator:
        numerator = value.max_numerator
    return Match(value, volume, numerator)


def measure_volume(field: str, volume: object) -> int | Problem:
    """Return the volume in `data[field]` in 10^-12 parts, or say why it is none."""
    if type(volume) is int:
        if 0 <= volume <= MAX_VOLUME:
            return volume * _VOLUME_ONE
    elif isinstance(volume, Decimal):
        try:
            parts = scaled(volume, VOLUME_DECIMALS)
        except AmountError as error:
            return invalid(f"data.{field}", str(error))
        if parts is None:
            return invalid(f"data.{field}", f"{volume} has more than {VOLUME_DECIMALS} decimals")
        if 0 <= parts <= MAX_VOLUME * _VOLUME_ONE:
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


class SimulatedFee(msgspec.Struct, frozen=True):
    """What an event would cost: `units` of the scale of `priced.asset`."""

    event_id: str
    compiled: CompiledPrice
    priced: PricedAsset
    match: Match
    units: int


class Priceable(Protocol):
    """What pricing needs of an event."""

    @property
    def id(self) -> str:
        """The sender's id."""
        ...

    @property
    def event_type(self) -> str:
        """What prices match by."""
        ...

    @property
    def data(self) -> dict[str, Any] | None:
        """What is measured."""
        ...


def simulate(
    prices: tuple[CompiledPrice, ...], events: Sequence[Priceable]
) -> tuple[list[SimulatedFee], list[str]] | Problem:
    """Price events under these prices, in each price's first asset, as a new customer's would be.

    Rounding carries over from event to event, as it does when they are booked.
    """
    fees: list[SimulatedFee] = []
    warnings: list[str] = []
    carries: dict[str, int] = {}
    for index, event in enumerate(events):
        matching = [price for price in prices if price.event_type == event.event_type]
        if not matching:
            warnings.append(f"events[{index}]: no price for event_type={event.event_type}")
        for compiled in matching:
            priced = compiled.assets[0]
            match = price_event(compiled, priced, event.data or {})
            if isinstance(match, Problem):
                return match.under(f"events[{index}]")
            if isinstance(match, str):
                warnings.append(f"events[{index}]: {match}")
                continue
            carried = carries.get(compiled.id, 0)
            units, carries[compiled.id] = fee_units(match.numerator, priced.denominator, carried)
            fees.append(SimulatedFee(event.id, compiled, priced, match, units))
    return fees, warnings
