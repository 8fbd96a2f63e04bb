"""The call of a model that an event's `data` tells of: which model, and how many tokens of which
kind. Counts that contradict each other are said, and never put right in silence.

All input is in `input_tokens` and all output in `output_tokens`; the other counts say how much of
them was of a kind that may have a price of its own:

    input_tokens    = text + cache_read_tokens + cache_write_tokens + audio that no cache had
    output_tokens   = text (reasoning_tokens among it) + output_audio_tokens
    cache_audio_read_tokens are among cache_read_tokens, and among input_audio_tokens

What a kind costs is in `model_prices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.amounts import shown

COUNTS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_audio_read_tokens",
    "images",
)
"""The keys of an event's data that count what a model has used."""
MAX_COUNT: Final = 10**12
MAX_NAME: Final = 200
FROM_CACHE: Final = "answered_from_cache"
"""Says of a call that the seller's own cache knew the answer: its counts are those of the first."""
NO_COST: Final = "no cost attached"


class ModelUse(msgspec.Struct, frozen=True, gc=False):
    """One call of a model. `is_counted` says that the event had any count at all; `provider` is as
    it was sent (None: not named)."""

    model: str
    provider: str | None = None
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cache_audio_read_tokens: int = 0
    images: int = 0
    is_batch: bool = False
    is_counted: bool = True

    @property
    def text_input(self) -> int:
        """Input that no cache had, and that is no audio."""
        audio = self.input_audio_tokens - self.cache_audio_read_tokens
        return self.input_tokens - self.cache_read_tokens - self.cache_write_tokens - audio


def read_use(data: Mapping[str, Any]) -> ModelUse | str | None:
    """Read the call that an event's data tells of; None: of none. In words, why it has no cost:
    what contradicts, or that no model was called."""
    model = data.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_NAME:
        return None
    if data.get(FROM_CACHE) is True:
        return f"{NO_COST}: it was {FROM_CACHE}, so no provider was paid"
    found: dict[str, int] = {}
    for word in COUNTS:
        value = data.get(word)
        if value is None:
            continue
        count = _whole(value)
        if count is None:
            return f"{NO_COST}: {word} is {_said(value)}: send a whole number, 0 to {MAX_COUNT}"
        found[word] = count
    provider = data.get("provider")
    batch = data.get("batch")
    if found:
        if provider is not None and not (isinstance(provider, str) and len(provider) <= MAX_NAME):
            return f"{NO_COST}: provider is no text: send a name such as 'openai', or leave it out"
        if batch is not None and not isinstance(batch, bool):
            return f"{NO_COST}: batch is {_said(batch)}: send true or false"
    named = provider if isinstance(provider, str) and provider else None
    use = ModelUse(model, named, **found, is_batch=batch is True, is_counted=bool(found))
    wrong = _contradiction(use)
    return use if wrong is None else f"{NO_COST}: {wrong}"


def _whole(value: Any) -> int | None:
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, float):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value <= MAX_COUNT:
        return None
    return int(value) if value == int(value) else None


def _said(value: Any) -> str:
    """Write a value for a message; callers may have sent anything, of any size."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, int):
        return str(value) if abs(value) <= MAX_COUNT * 1000 else "too large"
    return shown(value) if isinstance(value, Decimal) else "no number"


def _contradiction(use: ModelUse) -> str | None:
    """Say which counts cannot be true together."""
    for part, whole in (
        ("reasoning_tokens", "output_tokens"),
        ("output_audio_tokens", "output_tokens"),
        ("cache_audio_read_tokens", "cache_read_tokens"),
        ("cache_audio_read_tokens", "input_audio_tokens"),
        ("cache_read_tokens", "input_tokens"),
        ("cache_write_tokens", "input_tokens"),
        ("input_audio_tokens", "input_tokens"),
    ):
        some, all_of = getattr(use, part), getattr(use, whole)
        if some > all_of:
            return f"{part} ({some}) are more than {whole} ({all_of}), which count them too"
    if use.reasoning_tokens + use.output_audio_tokens > use.output_tokens:
        return (
            f"output_tokens ({use.output_tokens}) are fewer than reasoning_tokens and "
            "output_audio_tokens together, which they count too"
        )
    if use.text_input < 0:
        return (
            f"input_tokens ({use.input_tokens}) are fewer than the cached, the cache's new and the "
            "audio tokens together, which they count too"
        )
    return None
