"""What has changed between two versions of a product, in words: one sentence for each change, for
whoever has to tell customers, or to look twice before publishing.

    output tokens: 0.60 → 0.50 USD per 1,000,000 (−16.7%)

Prices are matched by their name, else by what they are for; one without a match was added or
removed. What is written differently and means the same (a default that is said, another id) is no
change. Each kind has a module of its own (`usage_differences`, `plan_differences`,
`credit_differences`); how numbers are written is `wording`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import msgspec

from faregate.core.assets import Asset
from faregate.core.credit_differences import credit_changes, credit_words
from faregate.core.plan_differences import (
    commitment_changes,
    commitment_words,
    fixed_changes,
    fixed_words,
)
from faregate.core.prices import Commitment, Entitlement, FixedPrice, Price, UsageBasedPrice
from faregate.core.usage_differences import measure_words, usage_changes, usage_words
from faregate.core.wording import matched

Assets = Mapping[str, Asset]
T = TypeVar("T", UsageBasedPrice | FixedPrice, Entitlement, Commitment)


class Offer(msgspec.Struct, frozen=True):
    """What a version of a product has."""

    prices: Sequence[Price] = ()
    entitlements: Sequence[Entitlement] = ()
    commitments: Sequence[Commitment] = ()


def differences(before: Offer, after: Offer, assets: Assets) -> list[str]:
    """Say what has changed, a sentence each: prices, entitlements, commitments; of each kind what
    is new or different in the order of `after`, then what was removed. Empty if nothing has."""
    return [
        *_compare(
            (before.prices, after.prices),
            (_price_changes, _price_words),
            assets,
            _same_name,
            _same_measure,
            _same_purpose,
        ),
        *_compare(
            (before.entitlements, after.entitlements),
            (credit_changes, credit_words),
            assets,
            lambda credit: credit.name,
            lambda credit: (credit.asset, credit.purpose),
        ),
        *_compare(
            (before.commitments, after.commitments),
            (commitment_changes, commitment_words),
            assets,
            lambda commitment: commitment.name,
            lambda commitment: commitment.asset,
        ),
    ]


def _compare(
    listed: tuple[Sequence[T], Sequence[T]],
    in_words: tuple[Callable[[T, T, Assets], list[str]], Callable[[T, Assets], str]],
    assets: Assets,
    *keys: Callable[[T], Hashable],
) -> list[str]:
    """Compare two lists of one kind: `in_words` says how one has changed, and all of one."""
    pairs, gone = matched(*listed, *keys)
    changes, words = in_words
    found: list[str] = []
    for was, now in pairs:
        if was is None:
            found.append(f'Added "{now.name}": {words(now, assets)}')
        else:
            found += changes(was, now, assets)
    return found + [f'Removed "{was.name}": {words(was, assets)}' for was in gone]


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


def _price_changes(before: Price, after: Price, assets: Assets) -> list[str]:
    if isinstance(before, UsageBasedPrice) and isinstance(after, UsageBasedPrice):
        return usage_changes(before, after, assets)
    if isinstance(before, FixedPrice) and isinstance(after, FixedPrice):
        return fixed_changes(before, after, assets)
    raise AssertionError("prices of two kinds were matched")


def _price_words(price: Price, assets: Assets) -> str:
    if isinstance(price, UsageBasedPrice):
        return usage_words(price, assets)
    return fixed_words(price, assets)
