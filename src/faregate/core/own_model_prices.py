"""The seller's own prices of models, which go before those of any table: for an exact name or for
all that begin alike, of one provider or of any, from an instant on. The most specific one counts:

    an exact name before a beginning, a longer beginning before a shorter one,
    then one that names the provider before one that does not,
    then the one that is valid from later on (of two alike, the newer).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import AmountError, Number, scaled, shown
from faregate.core.given import Instant
from faregate.core.instants import is_in_range, out_of_range
from faregate.core.model_prices import KINDS, PriceList, as_rate, at_percent
from faregate.core.model_uses import MAX_NAME, ModelUse

OWN_DECIMALS: Final = 9
MAX_PRICE: Final = 10**9
FIELDS: Final = {
    "input": "input_per_million",
    "cache_read": "cache_read_per_million",
    "cache_write": "cache_write_per_million",
    "output": "output_per_million",
    "input_audio": "input_audio_per_million",
    "output_audio": "output_audio_per_million",
    "image": "per_image",
    "request": "per_request",
}
"""By which field of a price a kind is priced."""

ModelName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_NAME,
        description="A model's name, or how names begin, then '*': 'my-model', 'llama-3*'",
    ),
]
ProviderName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class CreateModelPrice(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a model costs you, in US dollars: per million tokens of each kind, per image, per
    request; kinds that are left out have no price. Cached tokens without a price cost as input. A
    call in a batch costs `batch_percent` of it all (default 100). Valid from `valid_from` on, an
    instant of the past too (default: now)."""

    model: ModelName
    provider: ProviderName | None = None
    input_per_million: Number | None = None
    cache_read_per_million: Number | None = None
    cache_write_per_million: Number | None = None
    output_per_million: Number | None = None
    input_audio_per_million: Number | None = None
    output_audio_per_million: Number | None = None
    per_image: Number | None = None
    per_request: Number | None = None
    batch_percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    valid_from: Instant | None = None


class ModelPrice(msgspec.Struct, omit_defaults=True, frozen=True):
    """A model price of the seller's own. One with `deleted_at` prices nothing any more."""

    id: str
    model: str
    valid_from: datetime
    created_at: datetime
    provider: str | None = None
    input_per_million: Decimal | None = None
    cache_read_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    input_audio_per_million: Decimal | None = None
    output_audio_per_million: Decimal | None = None
    per_image: Decimal | None = None
    per_request: Decimal | None = None
    batch_percent: int | None = None
    deleted_at: datetime | None = None

    def prices(self, *, is_batch: bool) -> PriceList:
        """Return what kinds cost in a call."""
        rates = {}
        for kind, field in FIELDS.items():
            price = getattr(self, field)
            rate = None if price is None else as_rate(price)
            if rate is not None:
                rates[kind] = rate
        found = PriceList(rates)
        if not is_batch or self.batch_percent is None:
            return found
        return at_percent(found, KINDS, self.batch_percent)

    def is_for(self, use: ModelUse) -> bool:
        """Tell whether it prices this model, of this provider."""
        if self.provider is not None and (use.provider or "").lower() != self.provider.lower():
            return False
        model, wanted = use.model.lower(), self.model.lower()
        if wanted.endswith("*"):
            return model.startswith(wanted[:-1])
        return model == wanted

    @property
    def rank(self) -> tuple[bool, int, bool, datetime, str]:
        """How specific it is: the greatest counts."""
        is_exact = not self.model.endswith("*")
        named = self.provider is not None
        return (is_exact, len(self.model), named, self.valid_from, self.id)


def matching(prices: Sequence[ModelPrice], use: ModelUse) -> tuple[ModelPrice, ...]:
    """Return the prices that are for this model of this provider, the most specific first."""
    found = [price for price in prices if price.is_for(use)]
    return tuple(sorted(found, key=lambda price: price.rank, reverse=True))


def choose(prices: Sequence[ModelPrice], at: datetime) -> ModelPrice | None:
    """Return which of those that match counts at an instant; None: none does yet."""
    return next((price for price in prices if price.valid_from <= at), None)


def check_model_price(request: CreateModelPrice) -> dict[str, list[str]]:
    """Say what is wrong with a price, by field."""
    errors: dict[str, list[str]] = {}
    if "*" in request.model[:-1]:
        errors["model"] = [f"is {request.model!r}: a '*' goes at the end only"]
    given = [field for field in FIELDS.values() if getattr(request, field) is not None]
    if not given:
        errors["input_per_million"] = [
            f"is missing, and so is every other price: send one of {', '.join(FIELDS.values())}"
        ]
    for field in given:
        number = getattr(request, field)
        try:
            whole = scaled(number, OWN_DECIMALS)
        except AmountError as error:
            errors[field] = [f"{shown(number)} {error}"]
            continue
        if whole is None:
            errors[field] = [f"{shown(number)} has too many decimals: send at most {OWN_DECIMALS}"]
        elif not 0 <= whole <= MAX_PRICE * 10**OWN_DECIMALS:
            errors[field] = [f"is {shown(number)}: send 0 to {MAX_PRICE}"]
    if request.valid_from is not None and not is_in_range(request.valid_from):
        errors["valid_from"] = [out_of_range(request.valid_from)]
    return errors
