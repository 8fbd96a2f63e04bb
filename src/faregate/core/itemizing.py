"""What a booked fee is made of: the price per use, the volume (tier by tier), a least or greatest
amount, rounding, and what discounts and commitments took off; then who paid it.

Nothing is priced anew. What is stored decides: the fee's units and what rounding left over say to
the last digit what its price came to, and the parts are taken from the price that it names. If they
do not come to the same, the fee says so (`untold`) rather than that they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.compiled import CompiledPrice, PricedAsset, PricedEntry, PricedValue
from faregate.core.discounts import PERCENT_DECIMALS
from faregate.core.events import Fee
from faregate.core.grants import Grant
from faregate.core.pricing import bounded
from faregate.core.refunds import Payment
from faregate.core.tiers import tier_at
from faregate.core.volumes import VOLUME_DECIMALS, read_parts

SHOWN_DECIMALS: Final = 18
"""Decimals of a part: where more would be needed, it is rounded half-even."""

PartKind = Literal["use", "volume", "minimum", "maximum", "rounding", "discount", "commitment"]


class FeePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a fee: what it adds (below 0: takes off), in whole assets. A price per use has
    its `rate`; a volume its `quantity` at a `rate` per `package_size`, and the `tier` in which it
    lies, counted from 1; a bound its `rate`. A discount has the `code` of its coupon, and its
    `percent` if it has one."""

    kind: PartKind
    amount: Decimal
    quantity: Decimal | None = None
    rate: Decimal | None = None
    package_size: Decimal | None = None
    tier: int | None = None
    code: str | None = None
    percent: Decimal | None = None


class Payer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who paid how much of a fee, in whole assets of the account that it was taken from: a grant of
    a `purpose`, the `overdraft`, or a `hold` of which it is not known who filled it."""

    kind: Literal["grant", "overdraft", "hold"]
    name: str
    amount: Decimal
    purpose: str | None = None


class Itemized(msgspec.Struct, frozen=True):
    """A fee's parts, which come to its amount unless something is `untold`."""

    parts: tuple[FeePart, ...]
    untold: tuple[str, ...] = ()
    is_free: bool = False


def itemize(fee: Fee, compiled: CompiledPrice, priced: PricedAsset) -> Itemized:
    """Return what a fee is made of, by the price and asset that it names."""
    value = priced.values[fee.value_index]
    entry = next(
        e for e in priced.by_specificity if e.index <= value.index < e.index + len(e.tiers)
    )
    left_over = 0 if fee.reduced is None else int(fee.reduced.left_over[0])
    exact = fee.gross_units * priced.denominator + left_over
    scale = priced.asset.scale
    if fee.reduced is not None and fee.reduced.is_slice:
        said = "it is a slice of a longer use, of which the whole was priced"
        return Itemized(tuple(_taken_off(fee, scale)), (said,))
    found, cost = _measured(fee, compiled, priced, entry, value)
    at_least = bounded(value, cost)
    if at_least != cost:
        kind: PartKind = "minimum" if at_least > cost else "maximum"
        limit = value.source.min_amount if kind == "minimum" else value.source.max_amount
        found.append(FeePart(kind, _amount(at_least - cost, priced), rate=limit))
    untold: tuple[str, ...] = ()
    is_free = False
    if abs(exact - at_least) >= priced.denominator:
        found, is_free = [], not exact
        if not is_free:
            untold = ("what was booked differs from what its price says of this quantity",)
    # As a difference of what is shown, so that the parts come to the fee to the last digit.
    rounded = to_decimal(fee.gross_units, scale) - sum([part.amount for part in found])
    if rounded and not (is_free or untold):
        found.append(FeePart("rounding", rounded))
    return Itemized((*found, *_taken_off(fee, scale)), untold, is_free)


def _measured(
    fee: Fee,
    compiled: CompiledPrice,
    priced: PricedAsset,
    entry: PricedEntry,
    value: PricedValue,
) -> tuple[list[FeePart], int]:
    """Return the parts for the use and its volume, and what they come to as a numerator."""
    found: list[FeePart] = []
    cost = 0
    volume = 0 if fee.volume is None else read_parts("", fee.volume, "a volume")
    if not isinstance(volume, int):
        volume = 0
    tiers = list(_slices(fee, compiled, entry, value, volume))
    if compiled.has_unit:
        # Of graduated tiers, what is not counted costs what the first one says.
        first = tiers[0][0] if tiers else value
        cost += first.unit_numerator
        found.append(
            FeePart(
                "use",
                _amount(first.unit_numerator, priced),
                Decimal(1),
                first.source.unit_price,
                tier=_tier(compiled, entry, first),
            )
        )
    for tier, part in tiers:
        if fee.volume is None or tier.source.volume_rate is None:
            continue
        if compiled.is_package:
            packages = -(-part // tier.package_size)
            numerator = packages * tier.rate_numerator
        else:
            numerator = part * tier.rate_numerator
        cost += numerator
        found.append(
            FeePart(
                "volume",
                _amount(numerator, priced),
                to_decimal(part, VOLUME_DECIMALS),
                tier.source.volume_rate,
                tier.source.package_size,
                _tier(compiled, entry, tier),
            )
        )
    return found, cost


def _slices(
    fee: Fee, compiled: CompiledPrice, entry: PricedEntry, value: PricedValue, volume: int
) -> Iterator[tuple[PricedValue, int]]:
    """Cut a volume into what lies in each tier; in one where a single value prices all of it."""
    tiering = compiled.tiering
    if fee.volume is None:
        yield value, 0
        return
    if tiering is None or tiering.is_bulk or tiering.counts_uses or fee.counted is None:
        yield value, volume
        return
    before = read_parts("", fee.counted.before, "a volume")
    at = before if isinstance(before, int) else 0
    first = tier_at(entry, at)
    for tier in entry.tiers[first.index - entry.index :]:
        part = volume if tier.up_to is None else min(volume, tier.up_to - at)
        yield tier, part
        at += part
        volume -= part
        if not volume:
            return


def _tier(compiled: CompiledPrice, entry: PricedEntry, value: PricedValue) -> int | None:
    is_tiered = compiled.tiering is not None and len(entry.tiers) > 1
    return value.index - entry.index + 1 if is_tiered else None


def _amount(numerator: int, priced: PricedAsset) -> Decimal:
    exact = Fraction(numerator, priced.denominator) / 10**priced.asset.scale
    return to_decimal(round(exact * 10**SHOWN_DECIMALS), SHOWN_DECIMALS)


def _taken_off(fee: Fee, scale: int) -> Iterator[FeePart]:
    """Return what discounts and commitments took off, in the order in which they did."""
    reduced = fee.reduced
    if reduced is None:
        return
    counted = () if reduced.counted is None else reduced.counted.discounts
    percents = {one.code: one.percent for one in counted if one.percent}
    for code, units in reduced.discounts:
        percent = percents.get(code)
        yield FeePart(
            "discount",
            to_decimal(-units, scale),
            code=code,
            percent=None if percent is None else to_decimal(percent, PERCENT_DECIMALS),
        )
    if reduced.capped_units:
        yield FeePart("commitment", to_decimal(-reduced.capped_units, scale))


def payers_of(
    fee: Fee, payments: Sequence[Payment], grants: Mapping[str, Grant], asset: Asset
) -> tuple[tuple[Payer, ...], tuple[str, ...]]:
    """Return who paid a fee, in order, and what is no longer known of it. `asset` is the paying
    account's; `payments` are units of its scale."""
    found: list[Payer] = []
    for payment in payments:
        amount = to_decimal(payment.units, asset.scale)
        if payment.account.startswith("grt_"):
            grant = grants.get(payment.account)
            purpose = None if grant is None else grant.purpose
            found.append(Payer("grant", payment.account, amount, purpose))
        elif payment.account.startswith("hld_"):
            found.append(Payer("hold", payment.account, amount))
        else:
            found.append(Payer("overdraft", payment.account, amount))
    missing = fee.debited_units - sum([payment.units for payment in payments])
    if not missing:
        return tuple(found), ()
    return (), ("who paid it can no longer be told to the last unit",)
