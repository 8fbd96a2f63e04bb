"""The providers' prices, out of the `genai-prices` package: found by provider, model and instant,
and read into the rules' own price lists. The package has the prices and knows which names mean
which model; nothing is asked over the network, so the table is as new as the package that is
installed, and its version says which one it was.

Calls in a batch cost what the table says where it knows. Where it does not, two providers say in
public documents what all batches cost: OpenAI half (its guide to the Batch API; prices of cached
input stay as they are, as in its table), Anthropic half of everything, cache reads and writes too
(its guide to batch processing). Of others it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from faregate.core.model_prices import KINDS, PriceList, Rate, as_rate, at_percent

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, Provider

MAX_REMEMBERED: Final = 10_000
"""Names are what callers send: so many are remembered before all are forgotten."""
BATCH: Final = {"processing": "batch"}
BATCH_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": KINDS,
    "openai": ("input", "input_audio", "output", "reasoning", "output_audio"),
}
"""Which kinds cost half in a batch, by what a provider says of all its models."""
HALF: Final = 50
_ALIASES: Final = {"x_ai": "x-ai"}
"""Names of providers in the conventions of OpenTelemetry that the package does not know."""
_FIELDS: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_audio_read",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
}
_OUTPUT_APART: Final = ("output_image_mtok", "output_video_mtok")


class Listed(msgspec.Struct, frozen=True):
    """A model as the table knows it: what it costs, or why that is not known. `rule` says that the
    price of a batch is a provider's rule, and not in the table."""

    provider: str
    model: str
    prices: PriceList | str
    rule: str | None = None


class _Known(msgspec.Struct, frozen=True):
    provider: Any
    model: Any
    is_timed: bool


class PriceTable:
    """The table that is installed. `version` names it."""

    def __init__(self) -> None:
        # Takes a quarter of a second, and most servers never need it.
        import genai_prices
        from genai_prices.data_snapshot import get_snapshot

        self.version = f"genai-prices {genai_prices.__version__}"
        self._providers = get_snapshot().providers
        self._forget()

    def _forget(self) -> None:
        from genai_prices.data_snapshot import DataSnapshot

        # A snapshot of its own: the package remembers every name that it was asked about.
        self._snapshot: DataSnapshot = DataSnapshot(self._providers, from_auto_update=False)
        self._models: dict[tuple[str | None, str], _Known | None] = {}
        self._lists: dict[tuple[str | None, str, object, bool], Listed] = {}

    def find(
        self, provider: str | None, model: str, at: datetime, *, is_batch: bool = False
    ) -> Listed | None:
        """Find what a model costs at an instant; None: the table does not know it. Without a
        provider the model's name says whose it is, if any does ('gpt-4o', 'openai/gpt-4o')."""
        try:
            at = at.astimezone(UTC)
        except OverflowError:
            return None
        if len(self._lists) + len(self._models) > MAX_REMEMBERED:
            self._forget()
        known = self._known(provider, model)
        if known is None:
            return None
        when: object = at.replace(second=0, microsecond=0) if known.is_timed else at.date()
        key = (provider, model, when, is_batch)
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = _listed(known, at, is_batch=is_batch)
        return found

    def _known(self, provider: str | None, model: str) -> _Known | None:
        key = (provider, model)
        if key not in self._models:
            named = provider
            if named is None and "/" in model:
                # What LiteLLM calls a model: its provider first.
                named = "litellm"
            elif named is not None:
                named = _ALIASES.get(named.lower(), named)
            try:
                of, info = self._snapshot.find_provider_model(model, None, named, None)
            except LookupError:
                self._models[key] = None
            else:
                # A list of prices that is empty is no price.
                self._models[key] = _Known(of, info, _is_timed(info)) if info.prices else None
        return self._models[key]


def _is_timed(info: ModelInfo) -> bool:
    """Tell whether a price depends on the time of day."""
    prices = info.prices if isinstance(info.prices, list) else []
    constraints = [one.constraint for one in (*prices, *(info.price_variants or ()))]
    return any(hasattr(constraint, "start_time") for constraint in constraints)


def _listed(known: _Known, at: datetime, *, is_batch: bool) -> Listed:
    provider: Provider = known.provider
    info: ModelInfo = known.model
    if not is_batch:
        return Listed(provider.id, info.id, _read(info.get_prices(at)))
    # One that is another provider's model has no variants here.
    is_own = any(info is model for model in provider.models)
    for variant in info.price_variants or () if is_own else ():
        is_active = variant.constraint is None or variant.constraint.active(at)
        if variant.when == BATCH and is_active:
            return Listed(provider.id, info.id, _read(info.get_prices(at, BATCH)))
    kinds = BATCH_RULES.get(provider.id) if is_own else None
    if kinds is None:
        return Listed(provider.id, info.id, "what a batch costs there is not known")
    prices = at_percent(_read(info.get_prices(at)), kinds, HALF)
    return Listed(provider.id, info.id, prices, f"{provider.id} charges half for a batch")


def _read(price: Any) -> PriceList:
    """Read the package's prices into ours."""
    rates: dict[str, Rate] = {}
    for field, value in vars(price).items():
        kind = _FIELDS.get(field)
        if kind is not None and value is not None:
            rate = _rate(value)
            if rate is not None:
                rates[kind] = rate
    per_thousand = getattr(price, "requests_kcount", None)
    if isinstance(per_thousand, Decimal):
        rate = as_rate(per_thousand / 1000)
        if rate is not None:
            rates["request"] = rate
    if any(getattr(price, field, None) is not None for field in _OUTPUT_APART):
        said = (
            "output that is images or video has a price of its own, and output_tokens do not tell"
        )
        return PriceList(rates, {"output": said})
    return PriceList(rates)


def _rate(value: Any) -> Rate | None:
    if isinstance(value, Decimal):
        return as_rate(value)
    base = as_rate(value.base)
    tiers = [(tier.start, as_rate(tier.price)) for tier in value.tiers]
    if base is None or any(rate is None for _, rate in tiers):
        return None
    return Rate(base.price, tuple([(above, rate.price) for above, rate in tiers if rate]))
