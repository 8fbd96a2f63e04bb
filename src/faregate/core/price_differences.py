"""How two prices differ, in words: how they measure, what they count, and what they ask in each
asset, for each of their dimensions and tiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from faregate.core.prices import (
    WILDCARD,
    AssetPricing,
    BalanceCollection,
    CostFilter,
    FixedAssetPricing,
    FixedPrice,
    OneTimeBilling,
    Price,
    PriceValue,
    RecurringBilling,
    UsageBasedPrice,
)
from faregate.core.wording import Amount, digits, every, listed

Entries = dict[str, tuple[PriceValue, ...]]
"""What applies for which dimensions, which are written as people read them (empty: always)."""


def describe_price(price: Price) -> str:
    """Say what a price asks, and for what."""
    asked = listed([_asked_in(price, pricing) for pricing in price.pricing], "; ")
    paid = "" if price.funding_destination is None else f", paid from {_payer(price)}"
    if isinstance(price, FixedPrice):
        return asked + paid
    return f"{asked} (events {_events(price)}){paid}"


def compare_prices(before: Price, after: Price) -> Iterator[str]:
    """Say how two prices of the same type differ; each sentence is about the later one."""
    if before.name != after.name:
        yield f'was called "{before.name}"'
    was, now = _facts(before), _facts(after)
    for what in {**was, **now}:
        one, other = was.get(what, "nothing"), now.get(what, "nothing")
        if one != other:
            yield f"{what} {one} → {other}"
    old = {pricing.asset: pricing for pricing in before.pricing}
    new = {pricing.asset: pricing for pricing in after.pricing}
    common = [code for code in old if code in new]
    if common != [code for code in new if code in old]:
        yield f"looks for an account in the order {listed(list(old))} → {listed(list(new))}"
    for code in {**old, **new}:
        if code not in new:
            yield f"is not priced in {code} any more"
        elif code not in old:
            yield f"is priced in {code} too: {_asked_in(after, new[code])}"
        elif isinstance(before, FixedPrice) and isinstance(after, FixedPrice):
            yield from _compare_fixed(before, after, code)
        elif isinstance(before, UsageBasedPrice) and isinstance(after, UsageBasedPrice):
            yield from _compare_usage(before, after, code)


def _asked_in(price: Price, pricing: AssetPricing | FixedAssetPricing) -> str:
    """Say what a price asks in one asset."""
    if isinstance(price, FixedPrice) and isinstance(pricing, FixedAssetPricing):
        return listed([str(amount) for amount in _fixed_amounts(price, pricing)])
    if isinstance(price, UsageBasedPrice) and isinstance(pricing, AssetPricing):
        found = _entries(pricing).items()
        return listed([_join(p, _asked(price, tiers, pricing.asset)) for p, tiers in found], "; ")
    raise AssertionError("a price and its pricing are of one type")


def _asked(price: UsageBasedPrice, tiers: tuple[PriceValue, ...], code: str) -> str:
    return listed([_join(_reach(tier), _asks(price, tier, code)) for tier in tiers], "; ")


def _join(place: str, text: str) -> str:
    return f"{place}: {text}" if place else text


def _facts(price: Price) -> Mapping[str, str]:
    """Return everything about a price but what it asks, by what it is."""
    facts: dict[str, str] = {"pricing model": price.pricing_model or "flat"}
    collection = price.collection
    kind = (
        "balance" if collection is None or isinstance(collection, BalanceCollection) else "invoice"
    )
    facts["collected by"] = kind
    facts["is paid from"] = _payer(price)
    if price.tiering is not None:
        facts["tiers count by"] = price.tiering.basis or "default"
        facts["tiers begin anew"] = price.tiering.period or "lifetime"
    if isinstance(price, FixedPrice):
        timing = None if collection is None else collection.timing
        facts["asked"] = (timing or "in_advance").replace("_", " ")
        seats = _seats(price)
        facts["included seats"] = "none" if seats is None else digits(seats)
        facts["earned"] = _earned(price.billing_model)
        return facts
    calculation = price.usage_calculation
    facts["event type"] = calculation.event_type
    facts["measured by"] = calculation.usage_type
    facts["measures"] = (
        f"data.{calculation.volume_field}" if calculation.volume_field else "nothing"
    )
    facts["counts"] = calculation.volume_aggregation or "sum"
    facts["refers to"] = calculation.source_reference_field or "nothing"
    facts["dimensions"] = listed(sorted(calculation.billable_dimensions or ())) or "none"
    if calculation.usage_type == "cost":
        facts["is on costs of"] = _costs(calculation.costs)
    return facts


def _payer(price: Price) -> str:
    """Say which account pays, and at which rate where it is in another asset."""
    funding, collection = price.funding_destination, price.collection
    if funding is None:
        address = collection.address if isinstance(collection, BalanceCollection) else None
        return address or "the default account"
    paying, asked = funding.address.rpartition(":")[2], price.pricing[0].asset
    if paying == asked:
        return funding.address
    if funding.exchange_rate is None:
        return f"{funding.address} at the rate of the moment"
    return f"{funding.address} at {digits(funding.exchange_rate)} {paying} for one {asked}"


def _earned(billing: RecurringBilling | OneTimeBilling) -> str:
    if isinstance(billing, RecurringBilling):
        return "over its period"
    period = billing.one_time.service_period
    return "at once" if period is None else f"over {period}"


def _costs(wanted: CostFilter | None) -> str:
    if wanted is None:
        return "anything"
    vendor = wanted.vendor_external_id or wanted.vendor_id
    parts = [f"vendor {vendor}"] if vendor else []
    return (
        listed(parts + ([f"category {wanted.category}"] if wanted.category else [])) or "anything"
    )


def _events(price: UsageBasedPrice) -> str:
    calculation = price.usage_calculation
    field = f" of data.{calculation.volume_field}" if calculation.volume_field else ""
    return f"{calculation.event_type}, by {calculation.usage_type}{field}"


# Fixed prices.


def _seats(price: FixedPrice) -> Decimal | None:
    found = [value.quantity for value in price.pricing[0].values if value.quantity is not None]
    return found[0] if found else None


def _fixed_amounts(price: FixedPrice, pricing: FixedAssetPricing) -> list[Amount]:
    """Return what is asked at once, and per seat; what is asked for nothing is left out."""
    billing = price.billing_model
    when = "once"
    if isinstance(billing, RecurringBilling):
        every_ = billing.recurring
        when = f"every {every(every_.interval, every_.interval_count)}"
    found = []
    for per, is_by_seat in ((when, False), (f"per seat {when}", True)):
        values = [v.unit_price for v in pricing.values if (v.quantity is not None) == is_by_seat]
        if values:
            found.append(Amount(sum(values, Decimal(0)), pricing.asset, per))
    return found


def _compare_fixed(before: FixedPrice, after: FixedPrice, code: str) -> Iterator[str]:
    (one,) = [pricing for pricing in before.pricing if pricing.asset == code]
    (other,) = [pricing for pricing in after.pricing if pricing.asset == code]
    old, new = _fixed_amounts(before, one), _fixed_amounts(after, other)
    if len(old) == len(new):
        changes = [was.became(now) for was, now in zip(old, new, strict=True) if was != now]
    elif old != new:
        changes = [f"{listed([str(a) for a in old])} → {listed([str(a) for a in new])}"]
    else:
        changes = []
    yield from changes
    if not changes and [(v.name, v.unit_price) for v in one.values] != [
        (v.name, v.unit_price) for v in other.values
    ]:
        parts = [
            listed([f"{v.name or 'part'} {digits(v.unit_price, code)}" for v in p.values])
            for p in (one, other)
        ]
        yield f"comes to the same in {code}, made of {parts[0]} → {parts[1]}"


# Usage prices.

_PER_USE: Final = "unit_price"
_PER_VOLUME: Final = "volume_rate"
_LEAST: Final = "min_amount"
_MOST: Final = "max_amount"
_SAID: Final = {_LEAST: "at least ", _MOST: "at most "}


def _entries(pricing: AssetPricing) -> Entries:
    found: Entries = {}
    for entry in pricing.values:
        if entry.dimensions is None or entry.values is None:
            return {"": pricing.values}
        wanted = sorted(item for item in entry.dimensions.items() if item[1] != WILDCARD)
        place = ", ".join(f"{name}={text}" for name, text in wanted)
        found[place or "any other"] = entry.values
    return found


def _compare_usage(before: UsageBasedPrice, after: UsageBasedPrice, code: str) -> Iterator[str]:
    (old,) = [_entries(p) for p in before.pricing if p.asset == code]
    (new,) = [_entries(p) for p in after.pricing if p.asset == code]
    for place in {**old, **new}:
        if place not in new:
            yield _join(place, f"removed {_asked(before, old[place], code)}")
        elif place not in old:
            yield _join(place, f"added {_asked(after, new[place], code)}")
        else:
            for change in _compare_tiers(before, after, old[place], new[place], code):
                yield _join(place, change)
    common = [place for place in old if place in new]
    if common != [place for place in new if place in old]:
        yield f"tries its values in the order {listed(list(old), '; ')} → {listed(list(new), '; ')}"


def _reach(tier: PriceValue) -> str:
    return "" if tier.up_to is None else f"up to {digits(tier.up_to)}"


def _compare_tiers(
    before: UsageBasedPrice,
    after: UsageBasedPrice,
    old: tuple[PriceValue, ...],
    new: tuple[PriceValue, ...],
    code: str,
) -> Iterator[str]:
    """Compare tiers one by one where there are as many; else those that end at the same number."""
    is_tiered = len(old) > 1 or len(new) > 1
    if len(old) == len(new):
        for number, (was, now) in enumerate(zip(old, new, strict=True), 1):
            if was.up_to != now.up_to and was.up_to is not None and now.up_to is not None:
                moved = Amount(was.up_to, "").became(Amount(now.up_to, ""))
                yield f"tier {number} ends at {moved}"
            place = (_reach(now) or "beyond") if is_tiered else ""
            for change in _compare_values(before, after, was, now, code):
                yield _join(place, change)
        return
    by_end = {tier.up_to: tier for tier in new}
    ends = {tier.up_to for tier in old}
    for tier in old:
        place, same = _reach(tier) or "beyond", by_end.get(tier.up_to)
        if same is None:
            yield f"tier {place} removed: {_asks(before, tier, code)}"
        else:
            for change in _compare_values(before, after, tier, same, code):
                yield _join(place, change)
    for tier in new:
        if tier.up_to not in ends:
            yield f"tier {_reach(tier) or 'beyond'} added: {_asks(after, tier, code)}"


def _amounts(price: UsageBasedPrice, value: PriceValue, code: str) -> dict[str, Amount]:
    """Return what a value asks, by what it is."""
    found: dict[str, Amount] = {}
    if value.unit_price is not None:
        found[_PER_USE] = Amount(value.unit_price, code, "per event", Fraction(1))
    if value.volume_rate is not None:
        size = value.package_size or Decimal(1)
        # What a part of a package costs depends on how much it is of: it cannot be compared.
        is_whole = price.pricing_model == "package"
        per = f"per {'started ' if is_whole else ''}{digits(size)}"
        if price.usage_calculation.usage_type == "cost":
            per = f"per {digits(size)} of cost"
        found[_PER_VOLUME] = Amount(
            value.volume_rate, code, per, None if is_whole else Fraction(size)
        )
    if value.min_amount is not None:
        found[_LEAST] = Amount(value.min_amount, code, "per event", Fraction(1))
    if value.max_amount is not None:
        found[_MOST] = Amount(value.max_amount, code, "per event", Fraction(1))
    return found


def _asks(price: UsageBasedPrice, value: PriceValue, code: str) -> str:
    amounts = _amounts(price, value, code).items()
    return listed([f"{_SAID.get(what, '')}{amount}" for what, amount in amounts])


def _compare_values(
    before: UsageBasedPrice, after: UsageBasedPrice, was: PriceValue, now: PriceValue, code: str
) -> Iterator[str]:
    old, new = _amounts(before, was, code), _amounts(after, now, code)
    for what in {**old, **new}:
        shown = _SAID.get(what, "")
        one, other = old.get(what), new.get(what)
        if one is None:
            yield f"added {shown}{other}"
        elif other is None:
            yield f"removed {shown}{one}"
        elif one != other:
            yield f"{shown}{one.became(other)}"
    if was.name != now.name:
        yield f'called "{was.name or ""}" → "{now.name or ""}"'
