"""What has changed between two versions of a product, in words: one sentence for each change, for
whoever has to tell customers, or to look twice before publishing.

    output tokens: 0.60 → 0.50 USD per 1,000,000 (−16.7%)

Prices are matched by their name, else by what they are for; one without a match was added or
removed. What is written differently and means the same (a default that is said, another id) is no
change. Each kind has a module of its own: `usage_differences`, `plan_differences`; how numbers
are written is `wording`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from faregate.core.assets import Asset
from faregate.core.plan_differences import credit_changes, credit_words, fixed_changes, fixed_words
from faregate.core.prices import Entitlement, FixedPrice, Price, UsageBasedPrice
from faregate.core.usage_differences import measure_words, usage_changes, usage_words
from faregate.core.wording import matched

Assets = Mapping[str, Asset]


class Offer(msgspec.Struct, frozen=True):
    """What a version of a product has."""

    prices: Sequence[Price] = ()
    entitlements: Sequence[Entitlement] = ()


def differences(before: Offer, after: Offer, assets: Assets) -> list[str]:
    """Say what has changed, a sentence each: prices, then entitlements; of each kind what is new or
    different in the order of `after`, then what was removed. Empty if nothing has."""
    found: list[str] = []
    prices, gone = matched(before.prices, after.prices, _same_name, _same_measure, _same_purpose)
    for was, price in prices:
        if was is None:
            found.append(f'Added "{price.name}": {_price_words(price, assets)}')
        elif isinstance(was, UsageBasedPrice) and isinstance(price, UsageBasedPrice):
            found += usage_changes(was, price, assets)
        elif isinstance(was, FixedPrice) and isinstance(price, FixedPrice):
            found += fixed_changes(was, price, assets)
    found += [f'Removed "{price.name}": {_price_words(price, assets)}' for price in gone]
    credits, expired = matched(
        before.entitlements,
        after.entitlements,
        lambda credit: credit.name,
        lambda credit: (credit.asset, credit.purpose),
    )
    for earlier, credit in credits:
        if earlier is None:
            found.append(f'Added "{credit.name}": {credit_words(credit, assets)}')
        else:
            found += credit_changes(earlier, credit, assets)
    found += [f'Removed "{credit.name}": {credit_words(credit, assets)}' for credit in expired]
    return found


def _same_name(price: Price) -> tuple[type, str]:
    return type(price), price.name


def _same_measure(price: Price) -> tuple[object, ...]:
    if isinstance(price, UsageBasedPrice):
        calculation = price.usage_calculation
        return "usage", calculation.event_type, measure_words(calculation)
    return "fixed", price.billing_model


def _same_purpose(price: Price) -> tuple[object, ...]:
    if isinstance(price, UsageBasedPrice):
        return "usage", price.usage_calculation.event_type
    return "fixed", type(price.billing_model)


def _price_words(price: Price, assets: Assets) -> str:
    if isinstance(price, UsageBasedPrice):
        return usage_words(price, assets)
    return fixed_words(price, assets)
