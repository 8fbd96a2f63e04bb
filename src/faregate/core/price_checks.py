"""What is wrong with a product's prices, before any of it is stored: each finding names the field,
the value and the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from math import lcm
from typing import Final

from faregate.core.amounts import AmountError, Number, scaled, shown
from faregate.core.assets import Asset
from faregate.core.checks import NOT_YET, Finding, check_address, check_common, check_number
from faregate.core.expressions import ExpressionError, parse_expression
from faregate.core.plan_checks import check_fixed_price
from faregate.core.prices import (
    MAX_PACKAGE_LCM,
    MAX_PACKAGE_SIZE,
    MAX_PRICES,
    MAX_TIERS,
    MAX_UP_TO,
    WILDCARD,
    BalanceCollection,
    Price,
    PriceValue,
    RealTimeBilling,
    UsageBasedPrice,
    UsageCalculation,
)
from faregate.core.volumes import VOLUME_DECIMALS


def validate_prices(prices: tuple[Price, ...], assets: dict[str, Asset]) -> dict[str, list[str]]:
    """Return what is wrong with a product's prices, by field path; empty if nothing is."""
    errors: dict[str, list[str]] = {}
    if len(prices) > MAX_PRICES:
        errors["prices"] = [f"has {len(prices)} entries: send at most {MAX_PRICES}"]
        return errors
    for index, price in enumerate(prices):
        if isinstance(price, UsageBasedPrice):
            findings = _check_usage_price(price, assets)
        else:
            findings = chain(check_common(price, assets), check_fixed_price(price, assets))
        for path, message in findings:
            errors.setdefault(f"prices[{index}].{path}", []).append(message)
    return errors


def _check_usage_price(price: UsageBasedPrice, assets: dict[str, Asset]) -> Iterator[Finding]:
    yield from check_common(price, assets)
    calculation = price.usage_calculation
    if not isinstance(price.billing_model, RealTimeBilling):
        yield "billing_model.type", NOT_YET.format(remedy='use "real_time" for usage prices')
    yield from _check_tiering(price)
    yield from _check_measures(calculation)
    if isinstance(price.collection, BalanceCollection):
        if price.collection.address is not None:
            yield from check_address(price.collection.address, price)
        if price.collection.timing == "in_arrears":
            yield "collection.timing", "does not fit a price that is charged at once: leave it out"
    for p, pricing in enumerate(price.pricing):
        for path, message in _check_values(price, pricing.values):
            yield f"pricing[{p}].{path}", message


def _check_tiering(price: UsageBasedPrice) -> Iterator[Finding]:
    tiering, usage_type = price.tiering, price.usage_calculation.usage_type
    if price.pricing_model not in _TIERED:
        if tiering is not None:
            model = price.pricing_model or "flat"
            yield "tiering", f"has no use in a {model} price: use tiered or bulk, or leave it out"
        return
    if tiering is None or tiering.basis is None:
        yield (
            "tiering.basis",
            f"is missing: say what the tiers count: {' or '.join(_BASES[usage_type])}",
        )
    elif tiering.basis not in _BASES[usage_type]:
        fitting = " or ".join(_BASES[usage_type])
        yield "tiering.basis", f"{tiering.basis!r} does not fit a {usage_type} price: use {fitting}"


def _check_measures(calculation: UsageCalculation) -> Iterator[Finding]:
    if calculation.costs is not None and calculation.usage_type != "cost":
        remedy = "leave it out, or use usage_type cost"
        yield "usage_calculation.costs", f"has no use in a {calculation.usage_type} price: {remedy}"
    if calculation.usage_type == "cost" and calculation.volume_field is not None:
        yield "usage_calculation.volume_field", "has no use in a cost price: leave it out"
    needs_volume = calculation.usage_type in ("volume", "unit_and_volume")
    if needs_volume and calculation.volume_field is None:
        yield "usage_calculation.volume_field", "is missing: name the key of data that counts"
    if calculation.unit_aggregation not in (None, "count"):
        yield "usage_calculation.unit_aggregation", NOT_YET.format(remedy='use "count"')
    if calculation.usage_type == "custom":
        yield from _check_expression(calculation)
    elif calculation.volume_aggregation not in (None, "sum"):
        yield (
            "usage_calculation.volume_aggregation",
            'is an expression: use "sum", or usage_type custom',
        )
    names = calculation.billable_dimensions or ()
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        yield "usage_calculation.billable_dimensions", f"names {twice!r} twice: list it once"


def _check_expression(calculation: UsageCalculation) -> Iterator[Finding]:
    path = "usage_calculation.volume_aggregation"
    if calculation.volume_field is not None:
        remedy = "name fields in volume_aggregation, and leave it out"
        yield "usage_calculation.volume_field", f"has no use in a custom price: {remedy}"
    if calculation.volume_aggregation in (None, "sum"):
        yield path, "is missing: write what counts, such as input_tokens + 4 * output_tokens"
        return
    try:
        expression = parse_expression(calculation.volume_aggregation or "")
    except ExpressionError as error:
        yield path, str(error)
        return
    if expression.divides_by_zero():
        yield path, "divides by 0: divide by another number"


def _check_values(price: UsageBasedPrice, values: tuple[PriceValue, ...]) -> Iterator[Finding]:
    names = price.usage_calculation.billable_dimensions or ()
    is_dimensional = any(value.dimensions is not None for value in values)
    if not is_dimensional:
        yield from _check_entry(price, values, "values")
        yield from _check_packages([(f"values[{v}]", value) for v, value in enumerate(values)])
        return
    leaves: list[tuple[str, PriceValue]] = []
    seen: list[dict[str, str]] = []
    for v, entry in enumerate(values):
        path = f"values[{v}]"
        if entry.dimensions is None or entry.values is None:
            yield path, "has no dimensions or values: give both in every entry, or in none"
            continue
        if any(getattr(entry, field) is not None for field in (*_NUMBERS, "package_size", "up_to")):
            yield path, "has dimensions: put its numbers into its values"
        wanted = {key: text for key, text in entry.dimensions.items() if text != WILDCARD}
        if wanted in seen:
            yield f"{path}.dimensions", "are listed before: merge the two entries"
        seen.append(wanted)
        for key in entry.dimensions:
            if key not in names:
                yield (
                    f"{path}.dimensions.{key}",
                    "is not among usage_calculation.billable_dimensions: add it there",
                )
        yield from _check_entry(price, entry.values, f"{path}.values")
        leaves += [(f"{path}.values[{n}]", value) for n, value in enumerate(entry.values)]
    yield from _check_packages(leaves)


_TIERED: Final = ("tiered", "bulk")
_BASES: Final[dict[str, tuple[str, ...]]] = {
    "unit": ("unit",),
    "volume": ("unit", "volume", "package"),
    "unit_and_volume": ("unit", "volume", "package"),
    "custom": ("unit", "custom"),
    "cost": ("unit", "volume"),
}
"""What tiers may count, by how an event is measured."""
_NUMBERS: Final = ("unit_price", "volume_rate", "min_amount", "max_amount")


def _check_entry(
    price: UsageBasedPrice, values: tuple[PriceValue, ...], path: str
) -> Iterator[Finding]:
    """Check what applies for some dimensions: one value, or tiers."""
    model = price.pricing_model or "flat"
    if model in _TIERED:
        yield from _check_tiers(price, values, path)
    elif len(values) != 1:
        yield path, f"has {len(values)} entries: a {model} price has one"
        return
    elif values[0].up_to is not None:
        yield f"{path}[0].up_to", f"has no meaning in a {model} price: use tiered, or leave it out"
    for number, value in enumerate(values):
        yield from _check_value(price, value, f"{path}[{number}]")


def _check_tiers(
    price: UsageBasedPrice, values: tuple[PriceValue, ...], path: str
) -> Iterator[Finding]:
    if len(values) > MAX_TIERS:
        yield path, f"has {len(values)} tiers: send at most {MAX_TIERS}"
        return
    basis = None if price.tiering is None else price.tiering.basis
    decimals = 0 if basis == "unit" else VOLUME_DECIMALS
    before: Number | None = None
    for number, value in enumerate(values):
        place = f"{path}[{number}].up_to"
        if number == len(values) - 1:
            if value.up_to is not None:
                yield place, "ends the last tier: leave it out, or add a tier for what is beyond"
            break
        if value.up_to is None:
            yield place, "is missing: only the last tier is open"
            continue
        try:
            whole = scaled(value.up_to, decimals)
        except AmountError as error:
            yield place, f"{shown(value.up_to)} {error}"
            continue
        if whole is None:
            wanted = f"at most {decimals} decimals" if decimals else "a whole number"
            yield place, f"is {shown(value.up_to)}: send {wanted}"
        elif not 0 < whole <= MAX_UP_TO * 10**decimals:
            yield place, f"is {shown(value.up_to)}: send a number above 0, up to {MAX_UP_TO}"
        elif before is not None and value.up_to <= before:
            rising = f"after a tier up to {shown(before)}: tiers must rise"
            yield place, f"is {shown(value.up_to)}, {rising}"
        before = value.up_to
    if basis == "package" and len({value.package_size for value in values}) > 1:
        yield path, "have different package sizes: tiers that count packages need one size"
    if basis == "package" and any(value.package_size is None for value in values):
        yield f"{path}[0].package_size", "is missing: the tiers count packages"


def _check_value(price: UsageBasedPrice, value: PriceValue, path: str) -> Iterator[Finding]:
    if value.dimensions is not None or value.values is not None:
        yield path, "has dimensions inside dimensions: flatten it"
    for field in _NUMBERS:
        number: Number | None = getattr(value, field)
        if number is not None:
            yield from check_number(f"{path}.{field}", number)
    usage_type = price.usage_calculation.usage_type
    if usage_type in ("unit", "unit_and_volume") and value.unit_price is None:
        yield f"{path}.unit_price", f"is missing: a {usage_type} price needs it (0 is allowed)"
    if usage_type != "unit" and value.volume_rate is None:
        yield f"{path}.volume_rate", f"is missing: a {usage_type} price needs it (0 is allowed)"
    if usage_type == "unit" and value.volume_rate is not None:
        yield f"{path}.volume_rate", "has no use in a unit price: leave it out"
    if usage_type in ("volume", "custom", "cost") and value.unit_price is not None:
        yield f"{path}.unit_price", f"has no use in a {usage_type} price: leave it out"
    if usage_type == "cost" and (value.package_size or price.pricing_model == "package"):
        yield f"{path}.package_size", "has no use in a markup on costs: leave it out"
    if usage_type == "unit" and (value.package_size or price.pricing_model == "package"):
        yield f"{path}.package_size", "has no use in a unit price: packages count volume"
    if price.pricing_model == "package" and value.package_size is None:
        yield f"{path}.package_size", "is missing: a package price needs it"
    if (
        value.min_amount is not None
        and value.max_amount is not None
        and value.min_amount > value.max_amount
    ):
        most = shown(value.max_amount)
        detail = f"is {shown(value.min_amount)}, above max_amount {most}: send no more than that"
        yield f"{path}.min_amount", detail


def _check_packages(values: Sequence[tuple[str, PriceValue]]) -> Iterator[Finding]:
    """Check the package sizes of values, each with its path."""
    sizes: list[int] = []
    for path, value in values:
        if value.package_size is None:
            continue
        try:
            size = scaled(value.package_size, 0)
        except AmountError:
            size = None
        if size is None or not 1 <= size <= MAX_PACKAGE_SIZE:
            remedy = f"send a whole number from 1 to {MAX_PACKAGE_SIZE}"
            yield f"{path}.package_size", f"is {shown(value.package_size)}: {remedy}"
            return
        sizes.append(size)
    if lcm(*sizes) > MAX_PACKAGE_LCM:
        yield "values", "package sizes have no small common multiple: use powers of ten"
