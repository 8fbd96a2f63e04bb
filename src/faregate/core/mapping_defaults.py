"""The rules of each source until somebody sets others: they work out of the box for what the source
usually sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from faregate.core.mapping import Condition, MappingRules
from faregate.core.observed import Source

GENAI_OPERATIONS: Final = ("chat", "text_completion", "generate_content", "embeddings")
"""Spans that call a model. Those around them (agents, tools) add the same tokens up again."""

OTLP: Final = MappingRules(
    customer=("faregate.customer", "enduser.id", "user.id"),
    event_type=("faregate.event_type",),
    default_event_type="model_call",
    subject=("faregate.subject",),
    data={
        "model": ("gen_ai.response.model", "gen_ai.request.model"),
        "provider": ("gen_ai.provider.name", "gen_ai.system"),
        "operation": ("gen_ai.operation.name",),
        "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens",),
        "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens",),
    },
    only=(Condition("gen_ai.operation.name", GENAI_OPERATIONS),),
)

CLOUDEVENTS: Final = MappingRules(
    customer=("customer", "subject"),
    event_type=("type",),
    data_below="data.",
)
_USAGE: Final = "metadata.usage_object"
_IN: Final = f"{_USAGE}.prompt_tokens_details"
_OUT: Final = f"{_USAGE}.completion_tokens_details"

LITELLM: Final = MappingRules(
    customer=(
        "end_user",
        "metadata.user_api_key_end_user_id",
        "model_parameters.user",
        "metadata.user_api_key_user_id",
    ),
    default_event_type="model_call",
    data={
        "model": ("model",),
        "provider": ("custom_llm_provider",),
        "operation": ("call_type",),
        "input_tokens": ("prompt_tokens", f"{_USAGE}.prompt_tokens"),
        "output_tokens": ("completion_tokens", f"{_USAGE}.completion_tokens"),
        "cache_read_tokens": (f"{_IN}.cached_tokens", f"{_USAGE}.cache_read_input_tokens"),
        "cache_write_tokens": (
            f"{_IN}.cache_creation_tokens",
            f"{_USAGE}.cache_creation_input_tokens",
        ),
        "reasoning_tokens": (f"{_OUT}.reasoning_tokens",),
        "input_audio_tokens": (f"{_IN}.audio_tokens",),
        "output_audio_tokens": (f"{_OUT}.audio_tokens",),
        "answered_from_cache": ("cache_hit",),
    },
    only=(Condition("status", ("success",)),),
)

IMPORT: Final = MappingRules(
    customer=("customer_id", "customer_external_id", "customer"),
    event_type=("event_type",),
    subject=("subject",),
    description=("description",),
    data_below="data.",
    read_numbers=True,
)

DEFAULT_RULES: Final[Mapping[Source, MappingRules]] = {
    "otlp": OTLP,
    "cloudevents": CLOUDEVENTS,
    "litellm": LITELLM,
    "import": IMPORT,
}
