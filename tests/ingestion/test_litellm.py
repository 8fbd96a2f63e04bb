"""LiteLLM's payloads are read without what people wrote and what models answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from faregate.core.mapping import MappedEvent, MappingRules, Skipped, map_observed
from faregate.core.mapping_defaults import LITELLM as RULES
from faregate.core.observed import Observed, Unreadable
from faregate.core.problems import OVERLOADED, FaregateError, Problem, invalid
from faregate.ingestion.litellm import read_litellm, told_to_wait
from faregate.ingestion.way import Sent

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "my secret illness"
PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "litellm_call_id": "uuid-1",
    "call_type": "acompletion",
    "status": "success",
    "custom_llm_provider": "openai",
    "model": "gpt-4o-mini",
    "endTime": 1795821785.812499,
    "prompt_tokens": 10,
    "completion_tokens": 20,
    "response_cost": 1.35e-05,
    "cache_hit": False,
    "end_user": None,
    "metadata": {
        "user_api_key_user_id": "employee",
        "usage_object": {
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 7},
            "cache_creation_input_tokens": 2,
        },
    },
    "model_parameters": {
        "user": "ada",
        "stream": True,
        "tools": [{"description": SECRET}],
        "response_format": {"title": SECRET},
    },
    "messages": [{"role": "user", "content": SECRET}],
    "response": {"choices": [{"message": {"content": SECRET}}]},
    "model_map_information": {"model_map_value": {str(n): n for n in range(2_000)}},
    "error_str": SECRET,
    "error_information": {"error_message": SECRET},
    "guardrail_information": [{"guardrail_request": SECRET}],
}


def read(body: Any) -> list[Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(read_litellm(Sent({}, raw, NOW)))


def one(**changes: Any) -> Observed:
    (found,) = read([{**PAYLOAD, **changes}])
    assert isinstance(found, Observed), found
    return found


def test_a_call_becomes_an_event_with_the_shared_words() -> None:
    made = map_observed(RULES, one())
    assert isinstance(made, MappedEvent)
    assert made.customer == "ada"
    assert made.event.id == "chatcmpl-1 uuid-1"
    assert made.event.occurred_at == datetime(2026, 11, 27, 23, 23, 5, 812499, tzinfo=UTC)
    assert made.event.event_type == "model_call"
    assert made.event.costs is None
    assert made.event.data == {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "operation": "acompletion",
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_read_tokens": 4,
        "cache_write_tokens": 2,
        "reasoning_tokens": 7,
        "input_audio_tokens": 1,
        "answered_from_cache": False,
    }


def test_nothing_that_people_wrote_can_be_taken_over_by_any_rule() -> None:
    found = one()
    assert SECRET not in repr(found)
    assert not any(name.startswith(("messages", "response.", "error_")) for name in found.fields)
    greedy = MappingRules(
        ("model_parameters.user",), default_event_type="x", data_below="model_parameters."
    )
    made = map_observed(greedy, found)
    assert isinstance(made, MappedEvent)
    assert made.event.data == {"user": "ada", "stream": True}


def test_whoever_the_proxy_says_is_the_end_user_pays_first() -> None:
    def customer(**changes: Any) -> str:
        made = map_observed(RULES, one(**changes))
        assert isinstance(made, MappedEvent)
        return made.customer

    assert customer(end_user="eve") == "eve"
    assert customer(metadata={"user_api_key_end_user_id": "bob"}) == "bob"
    assert customer(model_parameters={}) == "employee"


def test_a_call_that_failed_is_skipped_and_it_is_said_why() -> None:
    assert map_observed(RULES, one(status="failure")) == Skipped("status is 'failure'")


def test_two_calls_to_which_a_model_gave_the_same_id_are_two() -> None:
    assert one().id != one(litellm_call_id="uuid-2").id
    assert one(litellm_call_id=None).id == "chatcmpl-1"


def test_the_cost_is_exact() -> None:
    assert one().fields["response_cost"] == Decimal("0.0000135")


def test_an_array_lines_and_a_single_call_are_read() -> None:
    line = json.dumps(PAYLOAD).encode()
    assert [found.place for found in read(b"[" + line + b"," + line + b"]")] == ["[0]", "[1]"]
    assert [found.place for found in read(line + b"\n\n" + line + b"\n")] == ["line 1", "line 3"]
    assert [found.place for found in read(json.dumps(PAYLOAD, indent=1).encode())] == ["call"]


def test_a_broken_line_harms_no_other() -> None:
    line = json.dumps(PAYLOAD).encode()
    for body in (line + b"\n{oops\n" + line, b"{oops\n" + line):
        found = read(body)
        assert [type(item) for item in found].count(Unreadable) == 1
        assert any(isinstance(item, Observed) for item in found)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None, "litellm_call_id": None}, "id"),
        ({"endTime": None}, "endTime"),
        ({"endTime": "soon"}, "endTime"),
        ({"endTime": True}, "endTime"),
        ({"endTime": -5}, "endTime"),
        ({"endTime": 10**30}, "endTime"),
    ],
)
def test_what_is_missing_is_named(changes: dict[str, Any], field: str) -> None:
    (found,) = read([{**PAYLOAD, **changes}])
    assert isinstance(found, Unreadable)
    assert list(found.problem.errors) == [field]


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"\xff\xfe", b"null", b"7"])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(FaregateError) as refused:
        read(body)
    assert refused.value.problem.kind.status == 400


def test_an_old_payload_of_texts_is_refused_by_name() -> None:
    (found,) = read([{"id": "1", "endTime": "2026-03-01 12:00:00", "usage": "{}"}])
    assert list(found.problem.errors) == ["endTime"]


def test_overload_is_told_so_that_it_is_sent_again() -> None:
    problem = told_to_wait(Problem(OVERLOADED, "full", retry_after_seconds=1))
    assert (problem.kind.status, problem.retry_after_seconds) == (503, 1)
    other = invalid("a", "is b")
    assert told_to_wait(other) is other
