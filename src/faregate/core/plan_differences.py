"""What has changed in what a version asks by itself, in words: fixed prices (how much, how often,
for how many seats, when it is charged) and commitments (how much at least, and at most). Also what
all prices have in common: their names, their assets, how they are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeVar

from faregate.core.amounts import Number
from faregate.core.assets import Asset
from faregate.core.prices import (
    AssetPricing,
    Commitment,
    Entitlement,
    FixedAssetPricing,
    FixedPrice,
    FixedValue,
    InvoiceCollection,
    Price,
    RecurringBilling,
)
from faregate.core.wording import (
    Priced,
    change,
    digits,
    every,
    instead,
    matched,
    money,
    others,
    said,
)

Assets = Mapping[str, Asset]
PRICE_FIELDS: Final = ("name", "id", "collection", "pricing")
"""Fields of every price that have words of their own, or no meaning for who pays."""
FIXED_FIELDS: Final = (*PRICE_FIELDS, "billing_model", "pricing_model")
COMMITMENT_FIELDS: Final = (
    "name",
    "id",
    "asset",
    "recurring",
    "minimum",
    "maximum",
    "event_types",
)
Named = Price | Entitlement | Commitment
P = TypeVar("P", AssetPricing, FixedAssetPricing)


def renamed(before: Named, after: Named) -> list[str]:
    """Say that something has another name."""
    if before.name == after.name:
        return []
    return [f'"{before.name}" is now called "{after.name}"']


def collected(price: Price) -> str:
    """Say how a price is collected."""
    collection = price.collection
    if isinstance(collection, InvoiceCollection):
        return "on an invoice"
    address = None if collection is None else collection.address
    default = f"default:{price.pricing[0].asset}"
    if address is None or address == default:
        return "from the default account"
    return f"from the account {address}"


def asset_changes(
    name: str,
    before: Sequence[P],
    after: Sequence[P],
    compare: Callable[[P, P], list[str]],
    words: Callable[[Any, P], str],
    prices: tuple[Price, Price],
) -> list[str]:
    """Compare what a price asks, asset by asset. `words` writes all of it for one asset."""
    found: list[str] = []
    pairs, gone = matched(before, after, lambda pricing: pricing.asset)
    for was, now in pairs:
        if was is None:
            found.append(f"{name}: can now be paid in {now.asset}: {words(prices[1], now)}")
        else:
            found += compare(was, now)
    found += [
        f"{name}: can no longer be paid in {was.asset} (was {words(prices[0], was)})"
        for was in gone
    ]
    had, has = [p.asset for p in before], [p.asset for p in after]
    if [code for code in had if code in has] != [code for code in has if code in had]:
        orders = [", ".join(codes) for codes in (had, has)]
        found += instead(name, "is paid in the first that fits of", *orders)
    return found


# -- fixed prices -----------------------------------------------------------------------------


def _when(price: FixedPrice) -> str:
    billing = price.billing_model
    if isinstance(billing, RecurringBilling):
        return every(billing.recurring.interval, billing.recurring.interval_count)
    return "once"


def _timing(price: FixedPrice) -> str:
    is_late = price.collection is not None and price.collection.timing == "in_arrears"
    return "in arrears" if is_late else "in advance"


def _service_period(price: FixedPrice) -> str:
    billing = price.billing_model
    period = None if isinstance(billing, RecurringBilling) else billing.one_time.service_period
    return "at once" if period is None else f"over {period}"


def _fixed_amount(price: FixedPrice, value: FixedValue, code: str, assets: Assets) -> Priced:
    seat = "" if value.quantity is None else "per seat "
    return money(value.unit_price, code, assets, f"{seat}{_when(price)}")


def _fixed_pricing(price: FixedPrice, pricing: FixedAssetPricing, assets: Assets) -> str:
    return " and ".join(
        str(_fixed_amount(price, value, pricing.asset, assets)) for value in pricing.values
    )


def _seats(price: FixedPrice) -> Number | None:
    """Return how many seats a price brings; None if it is not sold by the seat."""
    found = [v.quantity for p in price.pricing for v in p.values if v.quantity is not None]
    return found[0] if found else None


def fixed_words(price: FixedPrice, assets: Assets) -> str:
    """Say all of a fixed price."""
    shown = "; ".join(_fixed_pricing(price, pricing, assets) for pricing in price.pricing)
    seats, timing = _seats(price), _timing(price)
    if seats is not None:
        shown += f", {digits(seats)} unless a subscription says how many"
    return f"{shown}, {timing}" if timing == "in arrears" else shown


def fixed_changes(before: FixedPrice, after: FixedPrice, assets: Assets) -> list[str]:
    """Say how a fixed price has changed."""
    name = after.name
    found = renamed(before, after)
    found += asset_changes(
        name,
        before.pricing,
        after.pricing,
        lambda old, new: _fixed_values(before, old, after, new, assets),
        lambda price, pricing: _fixed_pricing(price, pricing, assets),
        (before, after),
    )
    had, has = _seats(before), _seats(after)
    if had != has:
        if has is None:
            found.append(f"{name}: is no longer sold by the seat")
        elif had is None:
            shown = f"{digits(has)} unless a subscription says how many"
            found.append(f"{name}: is now sold by the seat, {shown}")
        else:
            verb = "a subscription that does not say how many seats has"
            found += instead(name, verb, digits(had), digits(has))
    found += instead(name, "is charged", _timing(before), _timing(after))
    found += instead(name, "is earned", _service_period(before), _service_period(after))
    found += instead(name, "is collected", collected(before), collected(after))
    return found + others(name, before, after, FIXED_FIELDS)


def _fixed_values(
    before: FixedPrice,
    old: FixedAssetPricing,
    after: FixedPrice,
    new: FixedAssetPricing,
    assets: Assets,
) -> list[str]:
    """Compare amounts of one asset, by name, else in their order."""
    pairs, gone = matched(old.values, new.values, lambda value: value.name)
    added = [now for was, now in pairs if was is None]
    found: list[str] = []
    for was, now in [
        *[(was, now) for was, now in pairs if was is not None],
        *zip_longest(gone, added),
    ]:
        title = now.name if now is not None else was.name
        label = f"{after.name}, {title}" if title else after.name
        found += said(
            change(
                label,
                None if was is None else _fixed_amount(before, was, old.asset, assets),
                None if now is None else _fixed_amount(after, now, new.asset, assets),
            )
        )
        if was is not None and now is not None and was.name != now.name:
            found += instead(label, "is called", was.name or "nothing", now.name or "nothing")
    return found


# -- commitments ------------------------------------------------------------------------------


def _committed(commitment: Commitment, amount: Number | None, assets: Assets) -> Priced | None:
    if amount is None:
        return None
    when = every(commitment.recurring.interval, commitment.recurring.interval_count)
    return money(amount, commitment.asset, assets, when)


def _counted(commitment: Commitment) -> str:
    types = commitment.event_types
    return "all use" if types is None else f"events of type {', '.join(sorted(types))}"


def commitment_words(commitment: Commitment, assets: Assets) -> str:
    """Say all of a commitment."""
    bounds = {"at least": commitment.minimum, "at most": commitment.maximum}
    shown = [
        f"{word} {_committed(commitment, amount, assets)}"
        for word, amount in bounds.items()
        if amount is not None
    ]
    return f"{' and '.join(shown)} for {_counted(commitment)}"


def commitment_changes(before: Commitment, after: Commitment, assets: Assets) -> list[str]:
    """Say how a commitment has changed."""
    found = renamed(before, after)
    for word, was, now in (
        ("at least", before.minimum, after.minimum),
        ("at most", before.maximum, after.maximum),
    ):
        old, new = _committed(before, was, assets), _committed(after, now, assets)
        found += said(change(after.name, old, new, word))
    found += instead(after.name, "counts", _counted(before), _counted(after))
    return found + others(after.name, before, after, COMMITMENT_FIELDS)
