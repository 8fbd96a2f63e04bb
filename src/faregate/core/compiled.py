"""A price, ready to price events. It is *compiled* once, when its version is published: every rate
becomes an integer over one common denominator D, so that pricing an event is a few integer
operations. What an event costs by it is in `pricing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from math import lcm

import msgspec

from faregate.core.amounts import power_of_ten, scaled
from faregate.core.assets import Asset
from faregate.core.conversion import Funding
from faregate.core.expressions import Expression, parse_expression
from faregate.core.prices import (
    RATE_DECIMALS,
    WILDCARD,
    BalanceCollection,
    Price,
    PriceValue,
    TierPeriod,
    UsageBasedPrice,
)
from faregate.core.volumes import VOLUME_DECIMALS, VOLUME_ONE


class PricedValue(msgspec.Struct, frozen=True, gc=False):
    """One compiled value of a price: all amounts are numerators over the price's denominator.

    `index` says which of the price's values it is, so that a stored fee can find it again. `up_to`
    is where it ends as a tier, in parts of `VOLUME_ONE`; None: it is the last, or no tier.
    """

    index: int
    source: PriceValue
    dimensions: dict[str, str] | None
    unit_numerator: int
    rate_numerator: int
    package_size: int
    min_numerator: int
    max_numerator: int | None
    up_to: int | None = None


class PricedEntry(msgspec.Struct, frozen=True, gc=False):
    """What applies where an event has these dimensions (None: everywhere): one value, or tiers in
    their order. `index` is that of the first one."""

    index: int
    dimensions: dict[str, str] | None
    tiers: tuple[PricedValue, ...]


class PricedAsset(msgspec.Struct, frozen=True, gc=False):
    """A price's values in one asset; `account_id` is the account that fees debit, in another asset
    if there is a `funding`."""

    asset: Asset
    account_id: str
    denominator: int
    values: tuple[PricedValue, ...]
    by_specificity: tuple[PricedEntry, ...]
    funding: Funding | None = None


class CompiledTiering(msgspec.Struct, frozen=True, gc=False):
    """How a price's tiers count: `counts_uses` or their volume, anew in each period; `is_bulk`
    says that the tier that is reached prices all of an event."""

    counts_uses: bool
    period: TierPeriod
    is_bulk: bool


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
    tiering: CompiledTiering | None = None
    expression: Expression | None = None
    counts_costs: bool = False

    def measured_fields(self) -> tuple[str, ...]:
        """Return the fields of an event's data that are measured."""
        if self.expression is not None:
            return tuple(self.expression.names())
        return () if self.volume_field is None else (self.volume_field,)


def compile_price(
    price: UsageBasedPrice,
    assets: Mapping[str, Asset],
    product_id: str,
    product_code: str,
    product_version: int,
) -> CompiledPrice:
    """Compile a price that `price_checks` found nothing wrong with."""
    calculation = price.usage_calculation
    address = price.collection.address if isinstance(price.collection, BalanceCollection) else None
    is_custom = calculation.usage_type == "custom"
    has_volume = calculation.usage_type in ("volume", "unit_and_volume")
    compiled = []
    for pricing in price.pricing:
        if address is not None and address.partition(":")[2] != pricing.asset:
            continue
        asset = assets[pricing.asset]
        account_id, funding = paying_account(price, asset, assets)
        compiled.append(_compile_asset(price, asset, account_id, pricing.values, funding))
    return CompiledPrice(
        id=price.id or "",
        product_id=product_id,
        product_code=product_code,
        product_version=product_version,
        price=price,
        event_type=calculation.event_type,
        has_unit=calculation.usage_type in ("unit", "unit_and_volume"),
        volume_field=calculation.volume_field if has_volume else None,
        is_package=price.pricing_model == "package",
        dimension_names=calculation.billable_dimensions or (),
        assets=tuple(compiled),
        tiering=_compile_tiering(price),
        expression=parse_expression(calculation.volume_aggregation or "") if is_custom else None,
        counts_costs=calculation.usage_type == "cost",
    )


def paying_account(
    price: Price, asset: Asset, assets: Mapping[str, Asset]
) -> tuple[str, Funding | None]:
    """Return which account pays a price in this asset, and how it is converted, if it is."""
    destination, collection = price.funding_destination, price.collection
    if destination is None:
        address = collection.address if isinstance(collection, BalanceCollection) else None
        return address or f"default:{asset.code}", None
    paying = assets[destination.address.rpartition(":")[2]]
    if paying.code == asset.code:
        return destination.address, None
    given = destination.exchange_rate
    return destination.address, Funding(paying, None if given is None else Fraction(given))


def _compile_tiering(price: UsageBasedPrice) -> CompiledTiering | None:
    tiering = price.tiering
    if tiering is None:
        return None
    counts_uses = tiering.basis == "unit"
    return CompiledTiering(counts_uses, tiering.period or "lifetime", price.pricing_model == "bulk")


def _compile_asset(
    price: UsageBasedPrice,
    asset: Asset,
    account_id: str,
    listed: tuple[PriceValue, ...],
    funding: Funding | None,
) -> PricedAsset:
    groups: list[tuple[dict[str, str] | None, tuple[PriceValue, ...]]] = [
        (entry.dimensions, entry.values) for entry in listed if entry.values
    ] or [(None, listed)]
    sizes = [_whole(leaf.package_size, 0) or 1 for _, leaves in groups for leaf in leaves]
    common = lcm(*sizes)
    # D: rates have 18 decimals and volumes 12, of which the ledger scale keeps some.
    denominator = power_of_ten(RATE_DECIMALS + VOLUME_DECIMALS - asset.scale) * common
    entries: list[PricedEntry] = []
    values: list[PricedValue] = []
    for dimensions, leaves in groups:
        tiers = [
            _compile_value(price, leaf, dimensions, len(values) + number, common)
            for number, leaf in enumerate(leaves)
        ]
        entries.append(PricedEntry(len(values), dimensions, tuple(tiers)))
        values += tiers
    names = price.usage_calculation.billable_dimensions or ()
    ordered = sorted(entries, key=lambda entry: (_wildcards(entry, names), entry.index))
    return PricedAsset(asset, account_id, denominator, tuple(values), tuple(ordered), funding)


def _compile_value(
    price: UsageBasedPrice,
    leaf: PriceValue,
    dimensions: dict[str, str] | None,
    index: int,
    common: int,
) -> PricedValue:
    one = VOLUME_ONE * common
    size = _whole(leaf.package_size, 0) or 1
    rate = _whole(leaf.volume_rate, RATE_DECIMALS)
    up_to = None if leaf.up_to is None else _whole(leaf.up_to, VOLUME_DECIMALS)
    if up_to is not None and price.tiering is not None and price.tiering.basis == "package":
        up_to *= size
    return PricedValue(
        index=index,
        source=leaf,
        dimensions=dimensions,
        unit_numerator=_whole(leaf.unit_price, RATE_DECIMALS) * one,
        # package: per started package; else per part of a volume.
        rate_numerator=rate * (one if price.pricing_model == "package" else common // size),
        package_size=size * VOLUME_ONE,
        min_numerator=_whole(leaf.min_amount, RATE_DECIMALS) * one,
        max_numerator=None
        if leaf.max_amount is None
        else _whole(leaf.max_amount, RATE_DECIMALS) * one,
        up_to=up_to,
    )


def _wildcards(entry: PricedEntry, names: tuple[str, ...]) -> int:
    dimensions = entry.dimensions or {}
    return sum(1 for name in names if dimensions.get(name, WILDCARD) == WILDCARD)


def _whole(number: Decimal | None, decimals: int) -> int:
    if number is None:
        return 0
    whole = scaled(number, decimals)
    if whole is None:
        raise AssertionError(f"an unchecked number reached the compiler: {number}")
    return whole
