"""What a product asks and brings, in sentences for whoever sets a price or pays it.

    $0.60 per 1,000,000 output_tokens of each llm_call.
    $20.00 every month, in advance.

Numbers are shown exactly. A currency with a sign of its own is written with it, everything else by
its code. How two versions differ is in `differences`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from faregate.core.assets import CURRENCIES, Asset
from faregate.core.differences import Offer
from faregate.core.prices import (
    WILDCARD,
    AssetPricing,
    Commitment,
    CostFilter,
    Entitlement,
    FixedAssetPricing,
    FixedPrice,
    InvoiceCollection,
    Price,
    PriceValue,
    RecurringBilling,
    UsageBasedPrice,
)
from faregate.core.wording import digits, every, listed

Assets = Mapping[str, Asset]
_PERIODS: Final = {
    "lifetime": "in all",
    "monthly": "in a calendar month",
    "quarterly": "in a calendar quarter",
    "yearly": "in a calendar year",
    "custom": "in a month of the subscription",
}


def money(value: Decimal, code: str, assets: Assets = CURRENCIES) -> str:
    """Write an amount of an asset: `$1,234.50`, `0.60 CHF`, `3 CREDITS`."""
    asset = assets.get(code)
    if asset is not None and asset.is_currency and asset.symbol:
        shown = digits(value, code)
        return f"−{asset.symbol}{shown[1:]}" if shown.startswith("−") else asset.symbol + shown
    return f"{digits(value, code)} {code}"


def offer_in_words(offer: Offer, assets: Assets = CURRENCIES) -> list[str]:
    """Say what a version asks and brings: one entry for each price, entitlement and commitment, in
    this order."""
    said = [price_in_words(price, assets) for price in offer.prices]
    said += [entitlement_in_words(item, assets) for item in offer.entitlements]
    return said + [commitment_in_words(item, assets) for item in offer.commitments]


def price_in_words(price: Price, assets: Assets = CURRENCIES) -> str:
    """Say what a price asks, for what, and who pays it, in a sentence or two."""
    if isinstance(price, FixedPrice):
        said = [_fixed(price, pricing, assets) for pricing in price.pricing]
    else:
        said = [_usage(price, pricing, assets) for pricing in price.pricing]
    return " ".join([f"{'; or '.join(said)}.", *_tiers_count(price), *_paid(price)])


def entitlement_in_words(entitlement: Entitlement, assets: Assets = CURRENCIES) -> str:
    """Say what credit comes with a product: `1,000 CREDITS come with each month; what is left
    expires.`"""
    lifecycle, scope = entitlement.lifecycle, entitlement.limited_to
    amount = money(entitlement.amount, entitlement.asset, assets)
    time = every(lifecycle.duration, lifecycle.duration_count)
    refresh = lifecycle.refresh
    if refresh is None:
        said = f"{amount} come with it once, for {_a(time)}"
    elif refresh.strategy == "expire_and_replace":
        said = f"{amount} come with {_each(time)}; what is left expires"
    else:
        said = f"{amount} come with {_each(time)}; what is left rolls over"
        if refresh.max_amount is not None:
            said += f", at most {money(refresh.max_amount, entitlement.asset, assets)}"
        if refresh.max_periods is not None:
            said += f", for at most {refresh.max_periods} periods"
    if scope is not None:
        wanted = [*(scope.products or ()), *(scope.event_types or ())]
        wanted += [f"{name} {text}" for name, text in sorted((scope.dimensions or {}).items())]
        said += f" (only for {listed(wanted)})"
    return said + "."


def commitment_in_words(commitment: Commitment, assets: Assets = CURRENCIES) -> str:
    """Say how much is used at least and at most in each period."""
    time = every(commitment.recurring.interval, commitment.recurring.interval_count)
    use = "use" if not commitment.event_types else f"use of {listed(commitment.event_types)}"
    parts = []
    if commitment.minimum is not None:
        least = money(commitment.minimum, commitment.asset, assets)
        parts.append(f"At least {least} for {use} {_every(time)}: what is missing is charged.")
    if commitment.maximum is not None:
        most = money(commitment.maximum, commitment.asset, assets)
        parts.append(f"At most {most} for {use} {_every(time)}: more is free.")
    return " ".join(parts)


def _a(time: str) -> str:
    return time if time[0].isdigit() else f"a {time}"


def _each(time: str) -> str:
    return f"every {time}" if time[0].isdigit() else f"each {time}"


def _every(time: str) -> str:
    return f"every {time}"


def _fixed(price: FixedPrice, pricing: FixedAssetPricing, assets: Assets) -> str:
    billing, code = price.billing_model, pricing.asset
    when = "once, when it begins"
    if isinstance(billing, RecurringBilling):
        when = _every(every(billing.recurring.interval, billing.recurring.interval_count))
    parts = []
    once = [value.unit_price for value in pricing.values if value.quantity is None]
    if once:
        parts.append(money(sum(once, Decimal(0)), code, assets))
    seats = [value for value in pricing.values if value.quantity is not None]
    if seats:
        total = sum([value.unit_price for value in seats], Decimal(0))
        parts.append(f"{money(total, code, assets)} for each seat")
    said = f"{' and '.join(parts)} {when}"
    if isinstance(billing, RecurringBilling):
        timing = None if price.collection is None else price.collection.timing
        said += ", in arrears" if timing == "in_arrears" else ", in advance"
    if seats and (count := seats[0].quantity or Decimal(0)):
        noun = "seat comes" if count == 1 else "seats come"
        said += f" ({digits(count)} {noun} with it unless a subscription says how many)"
    return said


def _usage(price: UsageBasedPrice, pricing: AssetPricing, assets: Assets) -> str:
    calculation, said = price.usage_calculation, []
    of = calculation.event_type
    for entry in pricing.values:
        if entry.dimensions is None or entry.values is None:
            whole = _tiers(price, pricing.values, of, pricing.asset, assets)
            is_word = whole.startswith(("each ", "free "))
            return whole[:1].upper() + whole[1:] if is_word else whole
        wanted = [f"{name} {text}" for name, text in entry.dimensions.items() if text != WILDCARD]
        place = listed(wanted) or "anything else"
        asked = _tiers(price, entry.values, of, pricing.asset, assets)
        said.append(f"{place}: {asked}")
    return "For " + "; for ".join(said)


def _tiers(
    price: UsageBasedPrice, tiers: tuple[PriceValue, ...], of: str, code: str, assets: Assets
) -> str:
    if len(tiers) == 1:
        return _value(price, tiers[0], code, assets, f"each {of}")
    counted, period = _counted(price), "lifetime"
    if price.tiering is not None and price.tiering.period is not None:
        period = price.tiering.period
    within, beyond, parts = _PERIODS[period], "", []
    for place, tier in enumerate(tiers):
        asked = _value(price, tier, code, assets, "")
        if tier.up_to is None:
            reach = f"beyond {beyond}"
        elif place == 0:
            reach = f"the first {digits(tier.up_to)} {counted} {within}"
        else:
            reach = f"up to {digits(tier.up_to)}"
        beyond = "" if tier.up_to is None else digits(tier.up_to)
        parts.append(f"{reach}: {asked}")
    return f"each {of} by tiers: {'; '.join(parts)}"


def _tiers_count(price: Price) -> Iterator[str]:
    if price.pricing_model == "bulk":
        yield "All of a use has the price of the tier that it reaches."


def _counted(price: UsageBasedPrice) -> str:
    calculation = price.usage_calculation
    basis = None if price.tiering is None else price.tiering.basis
    if basis == "unit":
        return f"{calculation.event_type} uses"
    if basis == "package":
        return f"packages of {calculation.volume_field}"
    if calculation.usage_type == "cost":
        return "of your costs"
    return calculation.volume_field or f"({calculation.volume_aggregation or 'units'})"


def _value(price: UsageBasedPrice, value: PriceValue, code: str, assets: Assets, of: str) -> str:
    """Say what one value asks of `of` (empty: that has been said)."""
    calculation, parts = price.usage_calculation, []
    if value.unit_price or (value.unit_price is not None and value.volume_rate is None):
        asked = money(value.unit_price, code, assets) if value.unit_price else "free"
        parts.append(f"{asked} for {of}" if of else f"{asked} each")
    of_it = f" of {of}" if of and not parts else ""
    if value.volume_rate is not None and calculation.usage_type == "cost":
        times = f"{digits(value.volume_rate * 100)}% of what {of or 'it'} costs you"
        parts.append(f"{times}{_costs(calculation.costs)}, in {code}")
    elif value.volume_rate is not None:
        measured = calculation.volume_field or f"({calculation.volume_aggregation})"
        started = "started " if price.pricing_model == "package" else ""
        size = "" if value.package_size in (None, 1) else f"{digits(value.package_size)} "
        asked = money(value.volume_rate, code, assets)
        whole = f"{asked} per {started}{size}{measured}"
        parts.append((whole if value.volume_rate else f"{measured} free") + of_it)
    said = " and ".join(parts)
    bounds = (("at least", value.min_amount), ("at most", value.max_amount))
    limits = [f"{word} {money(v, code, assets)}" for word, v in bounds if v is not None]
    return f"{said}, {' and '.join(limits)} per use" if limits else said


def _costs(wanted: CostFilter | None) -> str:
    if wanted is None:
        return ""
    vendor = wanted.vendor_external_id or wanted.vendor_id
    parts = [f"vendor {vendor}"] if vendor else []
    parts += [f"category {wanted.category}"] if wanted.category else []
    return f" ({listed(parts)})" if parts else ""


def _paid(price: Price) -> Iterator[str]:
    """Say who pays, where it is not the account that one would expect."""
    if isinstance(price.collection, InvoiceCollection):
        yield "It is put on the invoice."
    funding = price.funding_destination
    if funding is not None:
        rate = "the rate of the moment" if funding.exchange_rate is None else "a rate of its own"
        yield f"The account {funding.address} pays it, at {rate}."
    address = getattr(price.collection, "address", None)
    if address is not None and address not in {f"default:{p.asset}" for p in price.pricing}:
        yield f"The account {address} pays it."
