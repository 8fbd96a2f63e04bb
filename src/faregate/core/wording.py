"""How numbers of prices are written for people: exact, with thousands apart and as many decimals as
a currency has at least. What is compared, and why, is not said here (`differences`).

    >>> change("tokens", Priced(Number("0.60"), "USD per 1,000,000", 2),
    ...                  Priced(Number("0.50"), "USD per 1,000,000", 2))
    'tokens: 0.60 → 0.50 USD per 1,000,000 (−16.7%)'
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar

import msgspec

from faregate.core.amounts import half_even, plain, to_decimal
from faregate.core.assets import Asset
from faregate.core.codec import encode

T = TypeVar("T")


class Priced(msgspec.Struct, frozen=True):
    """An amount with what it is of and for (`unit`: "USD per event"), shown with at least so many
    `decimals`. Amounts of the same `measure` compare as rates: `per` is how much each one buys.
    """

    amount: Decimal
    unit: str
    decimals: int = 0
    measure: str | None = None
    per: Decimal = Decimal(1)

    def __str__(self) -> str:
        return f"{self.number} {self.unit}"

    @property
    def number(self) -> str:
        """The amount alone, in digits."""
        return digits(self.amount, self.decimals)

    @property
    def rate(self) -> Fraction:
        """What one of the measure costs."""
        return Fraction(self.amount) / Fraction(self.per)


def digits(number: Decimal | int, decimals: int = 0) -> str:
    """Write a number in full with thousands apart: `digits(Decimal("1234.5"), 2)` is 1,234.50."""
    whole, _, part = plain(Decimal(number)).partition(".")
    part = part.ljust(decimals, "0")
    return f"{int(whole):,}.{part}" if part else f"{int(whole):,}"


def money(amount: Decimal, code: str, assets: Mapping[str, Asset], per: str = "") -> Priced:
    """Return an amount of an asset, for what `per` says."""
    asset = assets.get(code)
    decimals = asset.precision if asset is not None and asset.is_currency else 0
    return Priced(amount, f"{code} {per}" if per else code, decimals, f"{code} {per}")


def percentage(before: Fraction, after: Fraction) -> Decimal | None:
    """Return by how much a number has changed in percent, rounded half-even to one decimal; None
    if it was 0."""
    if not before:
        return None
    share = (after - before) / before * 1000
    return to_decimal(half_even(share.numerator, share.denominator)[0], 1)


def _in_percent(before: Priced, after: Priced) -> str:
    if before.measure is None or before.measure != after.measure:
        return ""
    if before.rate == after.rate:
        return " (the same rate)"
    percent = percentage(before.rate, after.rate)
    if percent is None:
        return ""
    sign = "+" if after.rate > before.rate else "−"
    return f" ({sign}{digits(percent.copy_abs(), 1)}%)"


def change(label: str, before: Priced | None, after: Priced | None, word: str = "") -> str | None:
    """Say how a number has changed, or None if it has not. `word` comes before it ("at least")."""
    word = f"{word} " if word else ""
    if before is None:
        return None if after is None else f"{label}: now {word}{after}"
    if after is None:
        return f"{label}: no longer {word}{before}"
    if (before.amount, before.unit) == (after.amount, after.unit):
        return None
    percent = _in_percent(before, after)
    shown = before.number if before.unit == after.unit else str(before)
    return f"{label}: {word}{shown} → {after}{percent}"


def instead(label: str, verb: str, before: str, after: str) -> list[str]:
    """Say what is so now instead of what was, if that differs."""
    return [] if before == after else [f"{label}: {verb} {after} instead of {before}"]


def said(*sentences: str | None) -> list[str]:
    """Return those sentences that there are."""
    return [sentence for sentence in sentences if sentence is not None]


def others(label: str, before: Any, after: Any, known: Iterable[str]) -> list[str]:
    """Say in the fields' own names how two objects of a kind differ beside what is `known`."""
    found: list[str] = []
    for field in type(after).__struct_fields__:
        was, is_now = getattr(before, field), getattr(after, field)
        if field not in known and was != is_now:
            shown = [encode(value).decode() for value in (is_now, was)]
            found.append(f"{label}: {field} is {shown[0]} instead of {shown[1]}")
    return found


def matched(
    before: Sequence[T], after: Sequence[T], *keys: Callable[[T], Hashable]
) -> tuple[list[tuple[T | None, T]], list[T]]:
    """Find what each of `after` was before (None: it is new), and what is no more. The first key
    that is equal decides, and of several that have it their order."""
    partners: dict[int, T] = {}
    left = list(before)
    for key in keys:
        for index, item in enumerate(after):
            if index in partners:
                continue
            place = next((n for n, other in enumerate(left) if key(other) == key(item)), None)
            if place is not None:
                partners[index] = left.pop(place)
    return [(partners.get(index), item) for index, item in enumerate(after)], left


def several(count: int, noun: str) -> str:
    """Write a number of things: 1 month, 3 months."""
    return f"{digits(count)} {noun}{'' if count == 1 else 's'}"


def every(interval: str, count: int | None) -> str:
    """Write how often something comes: each month, every 3 months."""
    return f"each {interval}" if count in (None, 1) else f"every {several(count or 1, interval)}"
