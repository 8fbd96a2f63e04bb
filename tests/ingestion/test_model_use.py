"""What spans say of the use of a model, by every convention that is known."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.observed import Scalar
from faregate.core.problems import Problem
from faregate.ingestion.model_use import model_use


def use(fields: Mapping[str, Scalar]) -> dict[str, Scalar]:
    said = model_use(fields)
    assert not isinstance(said, Problem), said
    return {name.removeprefix("model_use").removeprefix("."): v for name, v in said.items()}


NONE = dict.fromkeys(
    (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
    ),
    0,
)
"""What every use of a model has, at the least."""


CONVENTIONS: dict[str, tuple[dict[str, Scalar], dict[str, Scalar]]] = {
    "OpenTelemetry's of today": (
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.response.model": "claude-sonnet-4-5-20250929",
            "gen_ai.response.id": "msg_01ABC",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 200,
            "gen_ai.usage.cache_read.input_tokens": 700,
            "gen_ai.usage.cache_write.input_tokens": 100,
            "gen_ai.usage.reasoning.output_tokens": 50,
            "gen_ai.usage.audio.input_tokens": 30,
            "gen_ai.usage.audio.output_tokens": 20,
            "gen_ai.usage.audio.cache_read.input_tokens": 10,
        },
        {
            "": "chat",
            "provider": "anthropic",
            "model": "claude-sonnet-4-5-20250929",
            "response_id": "msg_01ABC",
            "input_tokens": 1000,
            "output_tokens": 200,
            "cache_read_tokens": 700,
            "cache_write_tokens": 100,
            "reasoning_tokens": 50,
            "input_audio_tokens": 30,
            "output_audio_tokens": 20,
            "cache_audio_read_tokens": 10,
        },
    ),
    "OpenTelemetry's before the renames": (
        {
            "gen_ai.operation.name": "text_completion",
            "gen_ai.system": "openai",
            "gen_ai.request.model": "gpt-3.5-turbo-instruct",
            "gen_ai.usage.prompt_tokens": 12,
            "gen_ai.usage.completion_tokens": 3,
            "gen_ai.usage.cache_creation.input_tokens": 2,
        },
        {
            "": "text_completion",
            "provider": "openai",
            "model": "gpt-3.5-turbo-instruct",
            "input_tokens": 12,
            "output_tokens": 3,
            "cache_write_tokens": 2,
        },
    ),
    "OpenInference's": (
        {
            "openinference.span.kind": "LLM",
            "llm.model_name": "gpt-4o",
            "llm.provider": "azure",
            "llm.system": "openai",
            "llm.token_count.prompt": 80,
            "llm.token_count.completion": 15,
            "llm.token_count.total": 95,
            "llm.token_count.prompt_details.cache_read": 40,
            "llm.token_count.prompt_details.cache_write": 20,
            "llm.token_count.completion_details.reasoning": 5,
        },
        {
            "": "chat",
            "provider": "azure",
            "model": "gpt-4o",
            "input_tokens": 80,
            "output_tokens": 15,
            "cache_read_tokens": 40,
            "cache_write_tokens": 20,
            "reasoning_tokens": 5,
        },
    ),
    "OpenInference's of an embedding": (
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.model_name": "text-embedding-3-small",
            "llm.token_count.prompt": 9,
        },
        {"": "embeddings", "model": "text-embedding-3-small", "input_tokens": 9},
    ),
    "OpenLLMetry's of before": (
        {
            "llm.request.type": "completion",
            "gen_ai.system": "Anthropic",
            "gen_ai.request.model": "claude-3-5-haiku",
            "llm.usage.prompt_tokens": 7,
            "llm.usage.completion_tokens": 2,
            "llm.usage.total_tokens": 9,
            "gen_ai.usage.cache_read_input_tokens": 3,
            "gen_ai.usage.cache_creation_input_tokens": 1,
        },
        {
            "": "text_completion",
            "provider": "Anthropic",
            "model": "claude-3-5-haiku",
            "input_tokens": 7,
            "output_tokens": 2,
            "cache_read_tokens": 3,
            "cache_write_tokens": 1,
        },
    ),
    "the AI SDK's, of the step that calls the model": (
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.id": "gpt-4o",
            "ai.model.provider": "openai.chat",
            "ai.response.id": "chatcmpl-000000000000000000000001",
            "ai.response.model": "gpt-4o-2024-08-06",
            "ai.usage.inputTokens": 31,
            "ai.usage.inputTokenDetails.noCacheTokens": 1,
            "ai.usage.inputTokenDetails.cacheReadTokens": 30,
            "ai.usage.outputTokens": 4,
            "ai.usage.outputTokenDetails.reasoningTokens": 3,
            "ai.usage.cachedInputTokens": 30,
            "gen_ai.system": "openai.chat",
            "gen_ai.usage.input_tokens": 31,
            "gen_ai.usage.output_tokens": 4,
        },
        {
            "": "chat",
            "model": "gpt-4o-2024-08-06",
            "provider": "openai.chat",
            "response_id": "chatcmpl-000000000000000000000001",
            "input_tokens": 31,
            "output_tokens": 4,
            "cache_read_tokens": 30,
            "reasoning_tokens": 3,
        },
    ),
    "the AI SDK's of before": (
        {
            "ai.operationId": "ai.embed.doEmbed",
            "ai.model.id": "text-embedding-3-small",
            "ai.usage.tokens": 5,
        },
        {"": "embeddings", "model": "text-embedding-3-small", "input_tokens": 5},
    ),
    "the AI SDK's, of what is around that step": (
        {"ai.operationId": "ai.streamText", "ai.usage.promptTokens": 31},
        {"": "ai.streamText", "input_tokens": 31},
    ),
    "an agent's, which adds up its calls": (
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 5},
        {"": "invoke_agent", "input_tokens": 5},
    ),
    "tokens of nobody knows what": (
        {"gen_ai.usage.input_tokens": 5},
        {"": "unknown", "input_tokens": 5},
    ),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_convention_comes_out_under_the_same_names(name: str) -> None:
    sent, expected = CONVENTIONS[name]
    assert use(sent) == {**NONE, **expected}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"},
        {"llm.usage.total_tokens": 9},
        {"http.request.method": "POST", "model": "gpt-4o"},
    ],
)
def test_a_span_that_tells_of_no_tokens_is_no_use_of_a_model(fields: Mapping[str, Scalar]) -> None:
    assert use(fields) == {}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (0, 0),
        ("811", 811),
        (Decimal("12.0"), 12),
        (Decimal("1E+3"), 1000),
        (10**12, 10**12),
    ],
)
def test_a_number_of_tokens_may_be_text_or_decimal_but_is_whole(sent: Scalar, read: int) -> None:
    assert use({"gen_ai.usage.input_tokens": sent})["input_tokens"] == read


@pytest.mark.parametrize(
    "sent",
    [
        -1,
        True,
        "many",
        "-3",
        "١٢",
        "9" * 5_000,
        Decimal("1.5"),
        Decimal("NaN"),
        Decimal("1E+999999999"),
        10**12 + 1,
    ],
)
def test_what_is_no_number_of_tokens_is_refused_and_not_guessed(sent: Scalar) -> None:
    problem = model_use({"gen_ai.usage.output_tokens": sent})
    assert isinstance(problem, Problem)
    assert "send a whole number of tokens" in problem.detail
    assert list(problem.errors) == ["gen_ai.usage.output_tokens"]


def test_the_newest_name_counts_where_a_span_has_several() -> None:
    said = use(
        {
            "gen_ai.usage.prompt_tokens": 1,
            "llm.usage.prompt_tokens": 2,
            "gen_ai.usage.input_tokens": 3,
            "gen_ai.system": "old",
            "gen_ai.provider.name": "new",
        }
    )
    assert said["input_tokens"] == 3
    assert said["provider"] == "new"


def test_what_a_cache_gave_is_added_where_the_input_leaves_it_out() -> None:
    said = use(
        {
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.cache_read.input_tokens": 11_579,
            "gen_ai.usage.cache_write.input_tokens": 100,
            "gen_ai.usage.output_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 40,
        }
    )
    assert said["input_tokens"] == 10 + 11_579 + 100
    assert said["output_tokens"] == 5 + 40


def test_empty_texts_are_as_if_they_were_not_there() -> None:
    said = use(
        {
            "gen_ai.usage.input_tokens": "",
            "gen_ai.usage.prompt_tokens": 4,
            "gen_ai.provider.name": "",
            "gen_ai.system": "openai",
        }
    )
    assert (said["input_tokens"], said["provider"]) == (4, "openai")


_names = sorted({name for sent, _ in CONVENTIONS.values() for name in sent})


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(_names),
        st.one_of(
            st.text(max_size=20),
            st.integers(-(2**63), 2**63),
            st.booleans(),
            st.decimals(allow_nan=True, allow_infinity=True),
        ),
    )
)
def test_whatever_a_span_says_its_parts_are_never_more_than_the_whole(
    fields: dict[str, Any],
) -> None:
    said = model_use(fields)
    if isinstance(said, Problem) or not said:
        return
    counts = {name: value for name, value in said.items() if name.endswith("_tokens")}
    assert all(type(count) is int and count >= 0 for count in counts.values())
    cached = [counts.get(f"model_use.cache_{way}_tokens", 0) for way in ("read", "write")]
    assert sum(cached) <= counts.get("model_use.input_tokens", 0)
    assert counts.get("model_use.reasoning_tokens", 0) <= counts.get("model_use.output_tokens", 0)


@pytest.mark.parametrize("provider", ["openai", "openai.chat", "anthropic", "aws.bedrock"])
def test_the_table_of_prices_knows_providers_by_the_names_of_the_conventions(provider: str) -> None:
    assert get_snapshot().find_provider("a-model", provider, None) is not None
