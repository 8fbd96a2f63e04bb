"""What the kinds of tokens of a model cost, and what a call comes to by them: exact, in US dollars,
each token counted once. A kind that was used and has no price is said in words: never a zero.

    >>> prices = PriceList({"input": Rate(25 * 10**17), "output": Rate(10**19)})
    >>> price_use(ModelUse("m", input_tokens=1000, output_tokens=100), prices).units
    3500000

which are 1,000 at $2.50 a million and 100 at $10 a million: $0.0035 in billionths. Where prices
come from is not said here: a seller's own are in `own_model_prices`, a table's in `costing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import structs

from faregate.core.amounts import FIAT_SCALE, MAX_UNITS, half_even, scaled, to_decimal
from faregate.core.costs import Cost
from faregate.core.model_uses import NO_COST, ModelUse

RATE_DECIMALS: Final = 18
"""Decimals of a price per million tokens (or per image, per request) that are kept."""
MILLION: Final = 10**6

KINDS: Final = (
    "input",
    "cache_read",
    "cache_write",
    "input_audio",
    "cache_audio_read",
    "output",
    "reasoning",
    "output_audio",
    "image",
    "request",
)
"""What may have a price of its own: per million tokens, `image` and `request` each."""
FALLS_BACK: Final = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_audio_read": "input_audio",
    "reasoning": "output",
}
"""At which price tokens go whose kind has none of its own: what has no discount is not cheaper."""
REMEDY: Final = "send the event's costs, or add a model price of your own"
_EACH: Final = frozenset({"image", "request"})
_WORDS: Final = {
    "input": "input tokens",
    "input_audio": "audio input tokens",
    "output": "output tokens",
    "output_audio": "audio output tokens",
    "image": "images",
}


class Rate(msgspec.Struct, frozen=True, gc=False):
    """A price in US dollars x 10^18, per million tokens (of `image` and `request`: each). `tiers`
    are (more input tokens than this, price), rising: the last that applies is that of all."""

    price: int
    tiers: tuple[tuple[int, int], ...] = ()

    def at(self, input_tokens: int) -> int:
        """Return the price of a call with so much input."""
        price = self.price
        for above, of_tier in self.tiers:
            if input_tokens > above:
                price = of_tier
        return price

    def times(self, percent: int) -> Rate:
        """Return so many percent of this price."""
        tiers = tuple([(above, price * percent // 100) for above, price in self.tiers])
        return Rate(self.price * percent // 100, tiers)


class PriceList(msgspec.Struct, frozen=True):
    """What a model's kinds cost. `cannot` says in words what this list cannot price though it has a
    price for it, by the count that would need it."""

    rates: Mapping[str, Rate]
    cannot: Mapping[str, str] = {}


class Part(msgspec.Struct, frozen=True, gc=False):
    """So many of a kind, at this price in US dollars per `per`."""

    kind: str
    count: int
    price: Decimal
    per: int


class PricedUse(msgspec.Struct, frozen=True):
    """What a call comes to, in units of US dollars (scale 9), rounded half to even; and its
    parts."""

    units: int
    parts: tuple[Part, ...]


def price_use(use: ModelUse, prices: PriceList) -> PricedUse | str:
    """Price a call; or say in words what of it has no price."""
    total = 0
    parts: list[Part] = []
    for kind, count in _counted(use, prices):
        if kind in prices.cannot:
            return prices.cannot[kind]
        rate = prices.rates.get(kind) or prices.rates.get(FALLS_BACK.get(kind, ""))
        if rate is None:
            return f"its price has none for {_WORDS[FALLS_BACK.get(kind, kind)]}, and {count} came"
        price, per = rate.at(use.input_tokens), 1 if kind in _EACH else MILLION
        total += count * price * (MILLION // per)
        parts.append(Part(kind, count, _shown(price), per))
    units, _ = half_even(total, MILLION * 10 ** (RATE_DECIMALS - FIAT_SCALE))
    if units > MAX_UNITS:
        return "it comes to more than the ledger can hold: check the counts"
    return PricedUse(units, tuple(parts))


@lru_cache(maxsize=1024)
def _shown(price: int) -> Decimal:
    return to_decimal(price, RATE_DECIMALS)


def _counted(use: ModelUse, prices: PriceList) -> list[tuple[str, int]]:
    """Return how many there are of each kind: every token in one of them."""
    cached_audio, audio = use.cache_audio_read_tokens, use.input_audio_tokens
    reasoning = use.reasoning_tokens if "reasoning" in prices.rates else 0
    found = (
        ("input", use.text_input),
        ("cache_read", use.cache_read_tokens - cached_audio),
        ("cache_write", use.cache_write_tokens),
        ("input_audio", audio - cached_audio),
        ("cache_audio_read", cached_audio),
        ("output", use.output_tokens - use.output_audio_tokens - reasoning),
        ("reasoning", reasoning),
        ("output_audio", use.output_audio_tokens),
        ("image", use.images),
        ("request", 1 if "request" in prices.rates else 0),
    )
    return [(kind, count) for kind, count in found if count]


class Costing(msgspec.Struct, frozen=True):
    """What is attached to an event: costs, from where (`source`: a table with its version, or the
    id of the seller's own price), and what there is to say of it. No costs: the warning says
    why."""

    costs: list[Cost] | None = None
    source: str | None = None
    warning: str | None = None


def missing(use: ModelUse, said: str) -> str:
    """Return the warning of a call that has no cost, with what to do about it."""
    of = f" of provider {use.provider}" if use.provider else ""
    return f"{NO_COST}: model {use.model}{of}: {said}: {REMEDY}"


Attach = Callable[[Mapping[str, Any], datetime], Costing | None]
"""Says what is attached to an event with this data that occurred then; None: it tells of no
call."""


def as_rate(price: Decimal) -> Rate | None:
    """Return a price; None: it has more decimals than are kept, or is below zero, by which tables
    mean that it is not known."""
    whole = scaled(price, RATE_DECIMALS)
    return None if whole is None or whole < 0 else Rate(whole)


def at_percent(prices: PriceList, kinds: Collection[str], percent: int) -> PriceList:
    """Return a list in which these kinds cost so many percent of what they do."""
    rates = {k: r.times(percent) if k in kinds else r for k, r in prices.rates.items()}
    return structs.replace(prices, rates=rates)
