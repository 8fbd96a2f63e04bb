"""What a balance is still good for, in uses: "about 3,900 more images". It is told from what the
customer's own use has come to lately, or, where there was none, from what their prices ask for one;
where neither says it (prices that depend on what is used, or on how much), nothing is told.

The numbers are estimates: they are rounded down to two digits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, Literal

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.compiled import CompiledPrice
from faregate.core.events import BookedEvent

MAX_KINDS: Final = 3
"""Kinds of use that are told of one account, those on which most was spent."""


class UsesLeft(msgspec.Struct, frozen=True):
    """So many more uses, in full if all that is left goes into this kind. What is counted is a
    `volume` (`noun` is its name in events, without underscores), or `events` (`noun` is their
    price's name, or that of their type). `is_recent`: told from recent use, else from the price."""

    count: int
    kind: Literal["volume", "events"]
    noun: str
    event_type: str
    is_recent: bool


def rounded_down(count: int) -> int:
    """Return a number with all but its first two digits 0.

    >>> rounded_down(3947), rounded_down(87), rounded_down(5)
    (3900, 87, 5)
    """
    zeros = max(len(str(count)) - 2, 0)
    return int(count // 10**zeros * 10**zeros)


def from_recent_use(
    account_id: str,
    available_units: int,
    events: Iterable[BookedEvent],
    prices: dict[str, CompiledPrice],
) -> list[UsesLeft]:
    """Return what an account's balance is good for by what events have taken from it; the kind on
    which most was spent comes first. None: nothing was taken, or nothing is left."""
    if available_units <= 0:
        return []
    spent: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    volume: dict[str, Fraction] = defaultdict(Fraction)
    # What all uses of a type have in common: None as soon as two differ.
    fields: dict[str, str | None] = {}
    names: dict[str, str | None] = {}
    for booked in events:
        kind = booked.event.event_type
        fees = [fee for fee in booked.result.fees if fee.account_id == account_id]
        if not fees:
            continue
        count[kind] += 1
        spent[kind] += sum([fee.debited_units for fee in fees])
        price = prices.get(fees[0].price_id) if len(fees) == 1 else None
        field = None if price is None or price.has_unit else price.volume_field
        name = None if price is None else price.price.name
        if field is not None and fees[0].volume is not None:
            volume[kind] += Fraction(fees[0].volume)
        else:
            field = None
        fields[kind] = field if fields.get(kind, field) == field else None
        names[kind] = name if names.get(kind, name) == name else None
    found = []
    for kind in sorted(spent, key=lambda k: (-spent[k], k)):
        if spent[kind] <= 0:
            continue
        field = fields[kind]
        if field is not None and volume[kind]:
            left = int(available_units * volume[kind] / spent[kind])
            found.append(UsesLeft(rounded_down(left), "volume", _words(field), kind, True))
        else:
            left = available_units * count[kind] // spent[kind]
            noun = names[kind] or _words(kind)
            found.append(UsesLeft(rounded_down(left), "events", noun, kind, True))
    return found[:MAX_KINDS]


def from_prices(
    account_id: str, available_units: int, prices: Sequence[CompiledPrice]
) -> list[UsesLeft]:
    """Return what an account's balance is good for by prices that ask the same for each use,
    whatever it is. None: there is no such price, or nothing is left."""
    if available_units <= 0:
        return []
    found = []
    for price in prices:
        if sum(other.event_type == price.event_type for other in prices) > 1:
            # Such an event costs what all of its prices ask together.
            continue
        each = _asked_for_one(price, account_id)
        if each is None:
            continue
        amount, kind, noun = each
        asset = next(a.asset for a in price.assets if a.account_id == account_id)
        left = int(Fraction(to_decimal(available_units, asset.scale)) / amount)
        found.append(UsesLeft(rounded_down(left), kind, noun, price.event_type, False))
    return found[:MAX_KINDS]


def _asked_for_one(
    price: CompiledPrice, account_id: str
) -> tuple[Fraction, Literal["volume", "events"], str] | None:
    """Return what one use costs, what is counted, and its name; None where that depends."""
    priced = next((a for a in price.assets if a.account_id == account_id), None)
    if priced is None or priced.funding is not None or len(priced.values) != 1:
        return None
    value = priced.values[0].source
    is_bounded = value.min_amount is not None or value.max_amount is not None
    if priced.values[0].dimensions or is_bounded or price.counts_costs or price.expression:
        return None
    if price.volume_field is None:
        unit = Fraction(value.unit_price or 0)
        return (unit, "events", price.price.name) if unit > 0 else None
    rate = Fraction(value.volume_rate or 0) / Fraction(value.package_size or 1)
    if price.has_unit or rate <= 0:
        return None
    return rate, "volume", _words(price.volume_field)


def _words(name: str) -> str:
    """Write a name as it stands in events as words: `output_tokens` is "output tokens"."""
    return name.replace("_", " ").replace(".", " ").strip()
