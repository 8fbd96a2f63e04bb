"""A *commitment* says how much a customer uses a product for in each period: at least `minimum`
(what is missing is charged when the period is over), at most `maximum` (more is free). It counts
the net fees for the product's use in one asset that were booked in the period. Here a version's
commitments are compiled to units; they come in cycles, like all that comes again (`cycles`), and
what they make of fees is in `reducing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from faregate.core.amounts import (
    MAX_UNITS,
    AmountError,
    Number,
    plain,
    scaled,
    shown,
    to_decimal,
    to_units,
)
from faregate.core.assets import Asset
from faregate.core.checks import Finding
from faregate.core.periods import Interval
from faregate.core.prices import Commitment, Price, UsageBasedPrice


class PlanCommitment(msgspec.Struct, frozen=True, gc=False):
    """A commitment with the product version that it belongs to. `minimum_units` 0: none,
    `maximum_units` None: none. `event_types` None: all."""

    id: str
    name: str
    product_id: str
    product_code: str
    product_version: int
    asset: Asset
    account_id: str
    minimum_units: int
    maximum_units: int | None
    event_types: tuple[str, ...] | None
    interval: Interval
    count: int

    def counts(self, asset: str, event_type: str) -> bool:
        """Tell whether fees in an asset for events of a type count."""
        if self.asset.code != asset:
            return False
        return self.event_types is None or event_type in self.event_types

    def is_like(self, other: PlanCommitment) -> bool:
        """Tell whether it counts the same fees in the same periods."""
        mine, others = [
            (c.asset.code, set(c.event_types or ()), c.interval, c.count) for c in (self, other)
        ]
        return mine == others

    def reached(self, until: datetime) -> str:
        """Say that no more is asked in this period."""
        amount = plain(to_decimal(self.maximum_units or 0, self.asset.scale))
        what = f"cap of {amount} {self.asset.code} reached under {self.name!r}"
        return f"{what}: the rest is free until {until.isoformat()}"


def compile_commitment(
    commitment: Commitment, assets: Mapping[str, Asset], product_id: str, code: str, version: int
) -> PlanCommitment:
    """Compile a commitment that `validate_commitments` found nothing wrong with."""
    asset = assets[commitment.asset]
    greatest, recurring = commitment.maximum, commitment.recurring
    return PlanCommitment(
        commitment.id or "",
        commitment.name,
        product_id,
        code,
        version,
        asset,
        f"default:{asset.code}",
        scaled(commitment.minimum or 0, asset.scale) or 0,
        None if greatest is None else scaled(greatest, asset.scale),
        commitment.event_types,
        recurring.interval,
        recurring.interval_count or 1,
    )


def validate_commitments(
    commitments: tuple[Commitment, ...] | None, prices: tuple[Price, ...], assets: dict[str, Asset]
) -> dict[str, list[str]]:
    """Return what is wrong with a product's commitments, by field path; empty if nothing is."""
    errors: dict[str, list[str]] = {}
    for index, commitment in enumerate(commitments or ()):
        for path, message in _check(commitment, prices, assets):
            errors.setdefault(f"commitments[{index}].{path}", []).append(message)
    return errors


def _check(
    commitment: Commitment, prices: tuple[Price, ...], assets: dict[str, Asset]
) -> Iterator[Finding]:
    if commitment.id is not None:
        yield "id", "is chosen by Faregate: leave it out"
    asset = assets.get(commitment.asset)
    if asset is None:
        yield "asset", f"{commitment.asset!r} is unknown: create the asset first"
        return
    least, most = commitment.minimum, commitment.maximum
    if least is None and most is None:
        yield "minimum", "or maximum is missing: say at least one of them"
    is_sound = True
    for field, amount in (("minimum", least), ("maximum", most)):
        if amount is not None:
            for message in _check_amount(amount, asset):
                is_sound = False
                yield field, message
    if is_sound and least is not None and most is not None and most < least:
        yield "maximum", f"is {most}, less than the minimum of {least}: send no less than that"
    priced = {
        price.usage_calculation.event_type for price in prices if isinstance(price, UsageBasedPrice)
    }
    if not priced:
        yield "name", "has nothing to count: add a usage price, or leave the commitment out"
    for place, event_type in enumerate(commitment.event_types or ()):
        if priced and event_type not in priced:
            remedy = f"send one of {', '.join(sorted(priced))}"
            yield f"event_types[{place}]", f"{event_type!r} has no usage price here: {remedy}"


def _check_amount(amount: Number, asset: Asset) -> Iterator[str]:
    try:
        units = to_units(amount, asset.scale)
    except AmountError as error:
        yield f"{shown(amount)} {error}"
        return
    if not 0 < units <= MAX_UNITS:
        yield f"is {shown(amount)}: send more than 0"
