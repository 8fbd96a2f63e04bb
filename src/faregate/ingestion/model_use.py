"""What a span says of one use of a model, whatever convention it was written by: OpenTelemetry's
own names, old and new, and those of OpenInference, OpenLLMetry and the AI SDK. It comes out under
one set of names, `model_use` and what is below it. A number of tokens that is none is a problem,
because a guess would be charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from faregate.core.observed import Scalar
from faregate.core.problems import Problem, invalid

MODEL_USE: Final = "model_use"
"""The field that has the operation (`chat`, `embeddings`), where a span tells of tokens."""
UNKNOWN: Final = "unknown"
"""The operation of a span that tells of tokens but not of what it did."""
MAX_TOKENS: Final = 10**12

NAMED: Final[Mapping[str, tuple[str, ...]]] = {
    "model": (
        "gen_ai.response.model",
        "gen_ai.request.model",
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
        "llm.response.model",
        "llm.request.model",
        "ai.response.model",
        "ai.model.id",
    ),
    "provider": (
        "gen_ai.provider.name",
        "gen_ai.system",
        "llm.provider",
        "llm.system",
        "ai.model.provider",
    ),
    "response_id": ("gen_ai.response.id", "ai.response.id"),
}
COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "ai.usage.tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cached_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "llm.token_count.prompt_details.cache_write",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
        "ai.usage.reasoningTokens",
    ),
    "input_audio_tokens": (
        "gen_ai.usage.audio.input_tokens",
        "llm.token_count.prompt_details.audio",
    ),
    "output_audio_tokens": (
        "gen_ai.usage.audio.output_tokens",
        "llm.token_count.completion_details.audio",
    ),
    "cache_audio_read_tokens": ("gen_ai.usage.audio.cache_read.input_tokens",),
}
ALWAYS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
"""What a price may reckon with whatever the use was: 0 where a span says nothing of it."""
_TELLING: Final = frozenset((*COUNTED["input_tokens"], *COUNTED["output_tokens"]))
_KINDS: Final = {"LLM": "chat", "EMBEDDING": "embeddings"}
_TYPES: Final = {"completion": "text_completion", "embedding": "embeddings"}
_STEPS: Final = {"doGenerate": "chat", "doStream": "chat", "doEmbed": "embeddings"}
_WHOLES: Final = (
    ("input_tokens", ("cache_read_tokens", "cache_write_tokens")),
    ("output_tokens", ("reasoning_tokens",)),
)


def model_use(fields: Mapping[str, Scalar]) -> Mapping[str, Scalar] | Problem:
    """Return what a span's attributes say of a use of a model, under `model_use` and below it;
    nothing if they tell of no tokens.

    Input counts what was read from and written to a cache, output what the model thought: so the
    conventions have it. Where the part is larger than the whole, it was left out, and is added.

        >>> told = model_use({"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": "12"})
        >>> dict(told)["model_use.input_tokens"], dict(told)["model_use"]
        (12, 'unknown')
    """
    if _TELLING.isdisjoint(fields):
        return {}
    counts: dict[str, int] = {}
    for key, names in COUNTED.items():
        for name in names:
            value = fields.get(name)
            if value is not None and value != "":
                count = _count(value)
                if count is None:
                    return invalid(name, f"is {value!r:.40}: send a whole number of tokens")
                counts[key] = count
                break
    if "input_tokens" not in counts and "output_tokens" not in counts:
        return {}
    for key in ALWAYS:
        counts.setdefault(key, 0)
    for whole, parts in _WHOLES:
        within = sum(counts[part] for part in parts)
        if within > counts[whole]:
            counts[whole] += within
    told: dict[str, Scalar] = {MODEL_USE: _operation(fields)}
    for key, names in NAMED.items():
        for name in names:
            value = fields.get(name)
            if isinstance(value, str) and value:
                told[f"{MODEL_USE}.{key}"] = value
                break
    for key, count in counts.items():
        told[f"{MODEL_USE}.{key}"] = count
    return told


def _count(value: Scalar) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            return None
        value = int(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() > 15 or value != value.to_integral_value():
            return None
        value = int(value)
    return value if 0 <= value <= MAX_TOKENS else None


def _operation(fields: Mapping[str, Scalar]) -> str:
    """Return what was done, in OpenTelemetry's words where there is one."""
    said = _text(fields, "gen_ai.operation.name")
    if said:
        return said
    kind = _text(fields, "openinference.span.kind")
    if kind:
        return _KINDS.get(kind.upper(), kind.lower())
    asked = _text(fields, "llm.request.type")
    if asked:
        return _TYPES.get(asked, asked)
    step = _text(fields, "ai.operationId")
    return _STEPS.get(step.rpartition(".")[2], step) or UNKNOWN


def _text(fields: Mapping[str, Scalar], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
