"""What has changed in a usage price, in words: which events it is about, how they are measured,
what tiers count, and what it costs for which dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Final

import msgspec

from faregate.core.amounts import Number
from faregate.core.assets import Asset
from faregate.core.plan_differences import PRICE_FIELDS, asset_changes, collected, renamed
from faregate.core.prices import (
    WILDCARD,
    AssetPricing,
    PriceValue,
    UsageBasedPrice,
    UsageCalculation,
)
from faregate.core.wording import Priced, change, digits, instead, money, others, said

Assets = Mapping[str, Asset]
_MODELS: Final = {
    "flat": "at one rate",
    "package": "by the package, each that is begun",
    "tiered": "in tiers, each part at its own tier's price",
    "bulk": "in tiers, everything at the price of the tier reached",
}
_BASES: Final = {
    "unit": "events",
    "volume": "the volume",
    "package": "packages",
    "custom": "what the expression comes to",
}
_PERIODS: Final = {
    "lifetime": "never",
    "monthly": "each month",
    "quarterly": "each quarter",
    "yearly": "each year",
    "custom": "each month of the subscription",
}
USAGE_FIELDS: Final = (*PRICE_FIELDS, "usage_calculation", "pricing_model", "tiering")
CALCULATION_FIELDS: Final = (
    "event_type",
    "usage_type",
    "unit_aggregation",
    "volume_field",
    "volume_aggregation",
    "billable_dimensions",
    "costs",
)
VALUE_FIELDS: Final = (
    "up_to",
    "unit_price",
    "volume_rate",
    "package_size",
    "max_amount",
    "min_amount",
    "dimensions",
    "values",
)


# -- how events are measured, and how it is counted -------------------------------------------


def usage_words(price: UsageBasedPrice, assets: Assets) -> str:
    """Say all of a usage price."""
    calculation = price.usage_calculation
    shown = "; ".join(_pricing_words(price, pricing, assets) for pricing in price.pricing)
    return f'{measure_words(calculation)} of "{calculation.event_type}" events: {shown}'


def usage_changes(before: UsageBasedPrice, after: UsageBasedPrice, assets: Assets) -> list[str]:
    """Say how a usage price has changed."""
    name = after.name
    was, now = before.usage_calculation, after.usage_calculation
    found = renamed(before, after)
    found += instead(name, "counts events of type", f'"{was.event_type}"', f'"{now.event_type}"')
    found += instead(name, "measures", measure_words(was), measure_words(now))
    had, has = was.billable_dimensions or (), now.billable_dimensions or ()
    if added := [dimension for dimension in has if dimension not in had]:
        found.append(f"{name}: may now differ by {', '.join(added)}")
    if removed := [dimension for dimension in had if dimension not in has]:
        found.append(f"{name}: no longer differs by {', '.join(removed)}")
    found += others(name, was, now, CALCULATION_FIELDS)
    models = [_MODELS[price.pricing_model or "flat"] for price in (before, after)]
    found += instead(name, "is priced", *models)
    found += _tiering_changes(before, after)
    found += instead(name, "is collected", collected(before), collected(after))
    found += others(name, before, after, USAGE_FIELDS)
    return found + asset_changes(
        name,
        before.pricing,
        after.pricing,
        lambda old, new: _value_changes(before, old, after, new, assets),
        lambda price, pricing: _pricing_words(price, pricing, assets),
        (before, after),
    )


def measure_words(calculation: UsageCalculation) -> str:
    """Say what of an event is counted."""
    kind, field = calculation.usage_type, calculation.volume_field
    if kind == "unit":
        return "each one"
    if kind == "custom":
        return f"what {calculation.volume_aggregation} comes to"
    if kind == "cost":
        costs = calculation.costs
        named = [] if costs is None else [costs.vendor_id, costs.vendor_external_id, costs.category]
        words = [
            f"{word} {text}"
            for word, text in zip(("vendor id", "vendor", "category"), named, strict=False)
            if text is not None
        ]
        return f"the costs{' of ' if words else ''}{', '.join(words)}"
    return (
        f'the number in "{field}"' if kind == "volume" else f'each one and the number in "{field}"'
    )


def _tiering_changes(before: UsageBasedPrice, after: UsageBasedPrice) -> list[str]:
    name, was, now = after.name, before.tiering, after.tiering
    if now is None:
        return []
    counts, period = _BASES[now.basis or "unit"], _PERIODS[now.period or "lifetime"]
    if was is None:
        return [f"{name}: tiers count {counts}, and begin anew {period}"]
    return [
        *instead(name, "tiers count", _BASES[was.basis or "unit"], counts),
        *instead(name, "tiers begin anew", _PERIODS[was.period or "lifetime"], period),
    ]


# -- what it costs ----------------------------------------------------------------------------

Dimensions = frozenset[tuple[str, str]]
Entry = tuple[str, tuple[PriceValue, ...], str | None]
"""For which dimensions, what applies for them, and its name."""


def _entries(pricing: AssetPricing) -> dict[Dimensions, Entry]:
    if not any(value.dimensions is not None for value in pricing.values):
        return {frozenset(): ("", pricing.values, None)}
    found: dict[Dimensions, Entry] = {}
    for entry in pricing.values:
        named = {k: text for k, text in (entry.dimensions or {}).items() if text != WILDCARD}
        words = ", ".join(f"{key}={text}" for key, text in named.items()) or "any other"
        found[frozenset(named.items())] = (f" ({words})", entry.values or (), entry.name)
    return found


def _value_changes(
    before: UsageBasedPrice,
    old: AssetPricing,
    after: UsageBasedPrice,
    new: AssetPricing,
    assets: Assets,
) -> list[str]:
    had, has, code = _entries(old), _entries(new), new.asset
    found: list[str] = []
    for key, (words, values, title) in has.items():
        label = f"{after.name}{words}"
        if key not in had:
            found.append(f"{label}: added at {_tier_words(after, values, code, assets)}")
            continue
        _, earlier, was_called = had[key]
        found += instead(label, "is called", was_called or "nothing", title or "nothing")
        found += _entry_changes(label, (before, earlier), (after, values), code, assets)
    for key, (words, values, _) in had.items():
        if key not in has:
            shown = _tier_words(before, values, code, assets)
            found.append(f"{after.name}{words}: removed (was {shown})")
    if _fit_otherwise([key for key in had if key in has], list(has)):
        rule = "where several fit equally well, the first one counts"
        found.append(f"{after.name}: prices in {code} are listed in another order; {rule}")
    return found


def _fit_otherwise(before: list[Dimensions], after: list[Dimensions]) -> bool:
    """Tell whether another order changes what applies somewhere: two entries say as much, do not
    exclude each other, and the other one comes first now."""
    place = {key: number for number, key in enumerate(after)}
    if sorted(before, key=place.__getitem__) == before:
        return False
    return any(
        place[first] > place[second] and len(first) == len(second) and _may_both_fit(first, second)
        for first, second in combinations(before, 2)
    )


def _may_both_fit(one: Dimensions, other: Dimensions) -> bool:
    values = dict(one)
    return all(values.get(key, text) == text for key, text in other)


def _entry_changes(
    label: str,
    before: tuple[UsageBasedPrice, tuple[PriceValue, ...]],
    after: tuple[UsageBasedPrice, tuple[PriceValue, ...]],
    code: str,
    assets: Assets,
) -> list[str]:
    (old_price, old), (new_price, new) = before, after
    if len(old) != len(new):
        counts = ["one price" if len(tiers) == 1 else f"{len(tiers)} tiers" for tiers in (old, new)]
        shown = _tier_words(new_price, new, code, assets)
        return [f"{label}: {counts[1]} instead of {counts[0]}: {shown}"]
    found: list[str] = []
    for number, (was, now) in enumerate(zip(old, new, strict=True), 1):
        if was.up_to is not None and now.up_to is not None:
            ends = [digits(value.up_to) for value in (was, now) if value.up_to is not None]
            found += instead(label, f"tier {number} ends at", ends[0], ends[1])
        place = _place(new, number - 1)
        tier = f"{label}, {place}" if place else label
        was_priced, now_priced = (
            _rates(old_price, was, code, assets),
            _rates(new_price, now, code, assets),
        )
        found += said(
            *[
                change(tier, was_priced.get(kind), now_priced.get(kind), word)
                for kind, word in _KINDS.items()
            ]
        )
        found += others(tier, was, now, VALUE_FIELDS)
    return found


_KINDS: Final = {"unit": "", "volume": "", "least": "at least", "most": "at most"}


def _rates(
    price: UsageBasedPrice, value: PriceValue, code: str, assets: Assets
) -> dict[str, Priced]:
    """Return what a value asks, by kind; what asks nothing at least is left out."""
    found: dict[str, Priced] = {}
    if value.unit_price is not None:
        found["unit"] = money(value.unit_price, code, assets, "per event")
    if value.volume_rate is not None:
        found["volume"] = _volume_rate(price, value.volume_rate, value.package_size, code, assets)
    if value.min_amount:
        found["least"] = money(value.min_amount, code, assets, "per event")
    if value.max_amount is not None:
        found["most"] = money(value.max_amount, code, assets, "per event")
    return found


def _volume_rate(
    price: UsageBasedPrice, rate: Number, size: Number | None, code: str, assets: Assets
) -> Priced:
    if price.usage_calculation.usage_type == "cost":
        return Priced(rate, f"times the cost in {code}", 0, f"times {code}")
    per = Number(1) if size is None else size
    if price.pricing_model == "package":
        # What is begun counts whole: two sizes have no common rate.
        return money(rate, code, assets, f"per {digits(per)} begun")
    shown = money(rate, code, assets, "per unit" if per == 1 else f"per {digits(per)}")
    return msgspec.structs.replace(shown, measure=f"{code} per volume", per=per)


def _place(tiers: tuple[PriceValue, ...], index: int) -> str:
    if len(tiers) == 1:
        return ""
    up_to = tiers[index].up_to
    if up_to is not None:
        return f"up to {digits(up_to)}"
    before = tiers[index - 1].up_to
    return "beyond" if before is None else f"beyond {digits(before)}"


def _value_words(price: UsageBasedPrice, value: PriceValue, code: str, assets: Assets) -> str:
    rates = _rates(price, value, code, assets)
    shown = " and ".join(str(rates[kind]) for kind in ("unit", "volume") if kind in rates)
    bounds = [f", {_KINDS[kind]} {rates[kind]}" for kind in ("least", "most") if kind in rates]
    return shown + "".join(bounds)


def _tier_words(
    price: UsageBasedPrice, values: tuple[PriceValue, ...], code: str, assets: Assets
) -> str:
    parts = []
    for index, value in enumerate(values):
        place, shown = _place(values, index), _value_words(price, value, code, assets)
        parts.append(f"{place} at {shown}" if place else shown)
    return "; ".join(parts)


def _pricing_words(price: UsageBasedPrice, pricing: AssetPricing, assets: Assets) -> str:
    parts = [
        f"{_tier_words(price, values, pricing.asset, assets)}{words}"
        for words, values, _ in _entries(pricing).values()
    ]
    return "; ".join(parts)
