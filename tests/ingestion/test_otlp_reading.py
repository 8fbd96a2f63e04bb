"""Spans are read from both encodings of OTLP: the same, exactly, and whatever else is in them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.ingestion.telling import CALL, FORMS, NOW, encoded, made, nanoseconds, only, told

from faregate.core.observed import Observed, Unreadable
from faregate.core.problems import FaregateError
from faregate.ingestion.otlp import JSON, PROTOBUF
from faregate.ingestion.span_bytes import MAX_SPANS

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def json_span(**changes: Any) -> dict[str, Any]:
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(nanoseconds(NOW) - 2_000_000),
        "endTimeUnixNano": str(nanoseconds(NOW)),
        "attributes": [],
    }
    return {**span, **changes}


def export(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(FaregateError) as caught:
        call()
    return caught.value.problem.kind.status


@pytest.mark.parametrize("form", FORMS)
def test_a_span_of_the_official_sdk_is_read_with_what_is_around_it(form: str) -> None:
    spans = made({**CALL, "faregate.customer": "acme", "share": 0.1, "is_trial": False})
    seen = only(told(form, encoded(form, spans)))
    context = spans[0].context
    assert context is not None
    assert seen.id == f"{context.trace_id:032x} {context.span_id:016x}"
    assert seen.occurred_at == NOW
    assert seen.kind == "chat"
    assert seen.place == "resourceSpans[0].scopeSpans[0].spans[0]"
    assert dict(seen.fields) == {
        **CALL,
        "faregate.customer": "acme",
        "share": Decimal("0.1"),
        "is_trial": False,
        "resource.service.name": "assistant",
        "scope.name": "tests.telling",
        "scope.version": "1.0",
        "span.trace_id": f"{context.trace_id:032x}",
        "span.id": f"{context.span_id:016x}",
        "span.name": "chat gpt-4o-mini",
        "span.kind": "client",
        "span.status": "unset",
        "span.duration_ms": Decimal(1500),
        "model_use": "chat",
        "model_use.model": "gpt-4o-mini-2024-07-18",
        "model_use.provider": "openai",
        "model_use.input_tokens": 1200,
        "model_use.output_tokens": 80,
        "model_use.cache_read_tokens": 0,
        "model_use.cache_write_tokens": 0,
        "model_use.reasoning_tokens": 0,
    }


def test_both_encodings_say_the_same() -> None:
    spans = made(
        {**CALL, "a": -(2**63), "b": 2**63 - 1, "c": 1e300, "d": ["x", "y"], "e": "é\n"},
        CALL,
        {"http.request.method": "GET"},
        has_failed=True,
    )
    one, other = (told(form, encoded(form, spans)) for form in FORMS)
    assert one == other
    assert [seen.fields["span.status"] for seen in one if isinstance(seen, Observed)] == [
        "error"
    ] * 3


def test_a_failed_call_without_tokens_is_no_use_of_a_model() -> None:
    spans = made({"gen_ai.operation.name": "chat", "error.type": "timeout"}, has_failed=True)
    seen = only(told(PROTOBUF, encoded(PROTOBUF, spans)))
    assert "model_use" not in seen.fields
    assert seen.kind == "chat"


@pytest.mark.parametrize("form", FORMS)
def test_two_spans_of_one_trace_with_one_response_are_one_call(form: str) -> None:
    call = {**CALL, "gen_ai.response.id": "chatcmpl-" + "A1b2" * 8}
    seen = only(told(form, encoded(form, made(call))))
    trace_id = seen.fields["span.trace_id"]
    assert seen.id == f"{trace_id} {call['gen_ai.response.id']}"


@pytest.mark.parametrize(
    "changes",
    [{"gen_ai.response.id": "chatcmpl-123"}, {"gen_ai.operation.name": "invoke_agent"}],
)
def test_a_response_that_may_come_again_does_not_name_a_call(changes: dict[str, str]) -> None:
    call = {**CALL, "gen_ai.response.id": "resp_" + "f" * 40, **changes}
    seen = only(told(JSON, encoded(JSON, made(call))))
    assert seen.id == f"{seen.fields['span.trace_id']} {seen.fields['span.id']}"


SECRET = "my secret illness"
MESSAGES = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.content",
    "input.value",
    "output.value",
    "traceloop.entity.input",
    "ai.prompt.messages",
    "ai.response.text",
]


@pytest.mark.parametrize("form", FORMS)
def test_what_people_write_to_models_is_not_among_the_fields(form: str) -> None:
    spans = made({**CALL, **dict.fromkeys(MESSAGES, SECRET), "note": SECRET * 100})
    assert SECRET not in str(only(told(form, encoded(form, spans))))


@pytest.mark.parametrize("name", ["model_use", "span.status", "scope.name", "span.trace_id"])
def test_no_attribute_takes_the_place_of_what_the_reader_says(name: str) -> None:
    spans = made({**CALL, name: "made up"})
    fields = only(told(JSON, encoded(JSON, spans))).fields
    assert fields[name] != "made up"


def test_named_values_within_an_attribute_become_dotted_names() -> None:
    inner = {"kvlistValue": {"values": [{"key": "id", "value": {"stringValue": "acme"}}]}}
    span = json_span(attributes=[{"key": "customer", "value": inner}])
    assert only(told(JSON, export(span))).fields["customer.id"] == "acme"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"intValue": "9007199254740993"}, 9007199254740993),
        ({"intValue": 7}, 7),
        ({"doubleValue": 0.1}, Decimal("0.1")),
        ({"doubleValue": 3}, 3),
        ({"doubleValue": "0.25"}, Decimal("0.25")),
        ({"doubleValue": "NaN"}, None),
        ({"doubleValue": "-Infinity"}, None),
        ({"boolValue": True}, True),
        ({"arrayValue": {"values": [{"stringValue": "x"}]}}, None),
        ({"bytesValue": "aGk="}, None),
        ({"someNewValue": 1}, None),
        ({}, None),
    ],
)
def test_json_values_are_read_exactly_or_left_out(value: dict[str, Any], read: Any) -> None:
    span = json_span(attributes=[{"key": "x", "value": value}], newField={"a": [1, 2]})
    assert only(told(JSON, export(span))).fields.get("x") == read


def test_a_huge_exponent_is_left_out() -> None:
    body = export(json_span(attributes=[{"key": "x", "value": {"doubleValue": 1.5}}]))
    assert "x" not in only(told(JSON, body.replace(b"1.5", b"1.5e999999999"))).fields


BAD_SPANS: dict[str, Any] = {
    "no trace id": json_span(traceId=""),
    "a trace id of zeros": json_span(traceId="0" * 32),
    "a trace id in base64": json_span(traceId="W47/95gDgQPSabYzgT/GDA=="),
    "a short span id": json_span(spanId="abc"),
    "no end": json_span(endTimeUnixNano=None),
    "an end that is no number": json_span(endTimeUnixNano="yesterday"),
    "an end in the year 10000": json_span(endTimeUnixNano=str(253_402_300_800 * 10**9)),
    "a name that is a number": json_span(name=7),
    "attributes that are none": json_span(attributes="x"),
    "no object": 7,
    "tokens that are none": json_span(
        attributes=[{"key": "gen_ai.usage.input_tokens", "value": {"stringValue": "lots"}}]
    ),
    "too many attributes": json_span(
        attributes=[{"key": f"k{n}", "value": {"intValue": n}} for n in range(501)]
    ),
}


@pytest.mark.parametrize("name", BAD_SPANS)
def test_a_span_that_cannot_be_read_takes_no_other_with_it(name: str) -> None:
    first, bad, last = told(JSON, export(json_span(), BAD_SPANS[name], json_span()))
    assert isinstance(first, Observed)
    assert isinstance(last, Observed)
    assert isinstance(bad, Unreadable)
    assert bad.place == "resourceSpans[0].scopeSpans[0].spans[1]"


def test_a_span_in_broken_protobuf_takes_no_other_with_it() -> None:
    request = ExportTraceServiceRequest.FromString(encoded(PROTOBUF, made(CALL)))
    good = request.resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    bad = b"\x2a\x02\xff\xfe"  # A name that is no UTF-8.
    scope_spans = _delimited(2, good) + _delimited(2, bad) + _delimited(2, good)
    body = _delimited(1, _delimited(2, scope_spans))
    one, broken, other = told(PROTOBUF, body)
    assert isinstance(broken, Unreadable)
    assert isinstance(one, Observed)
    assert isinstance(other, Observed)
    assert one.id == other.id


def _delimited(number: int, data: bytes) -> bytes:
    length, size = len(data), b""
    while length > 127:
        size, length = size + bytes([length & 127 | 128]), length >> 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + data


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b'{"resourceSpans": 3}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{]}]}]}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + b"[" * 100_000),
        (JSON, b"\xff\xfe"),
        (PROTOBUF, b"\x00"),
        (PROTOBUF, b"\x0a\xff"),
        (PROTOBUF, b"\x0a" + b"\xff" * 20),
        (PROTOBUF, b"\x0b\x0c"),
        (PROTOBUF, b'{"resourceSpans": []}'),
    ],
)
def test_what_is_no_export_at_all_is_400(form: str, body: bytes) -> None:
    assert status_of(lambda: told(form, body)) == 400


@pytest.mark.parametrize("form", ["text/plain", "", "application/grpc"])
def test_another_form_is_415(form: str) -> None:
    assert status_of(lambda: told(form, b"")) == 415


def test_an_export_of_nothing_is_nothing() -> None:
    assert told(PROTOBUF, b"") == []
    assert told(JSON, b"{}") == []
    assert told("application/json; charset=utf-8", b'{"resourceSpans": null}') == []


def test_a_body_of_empty_spans_is_refused_before_it_takes_memory() -> None:
    spans = b"\x12\x00" * (MAX_SPANS + 1)
    assert status_of(lambda: told(PROTOBUF, _delimited(1, _delimited(2, spans)))) == 413
    assert status_of(lambda: told(JSON, export(*[{}] * (MAX_SPANS + 1)))) == 413
    assert status_of(lambda: told(JSON, b"[" + b"0," * 3_000_000)) == 413


@pytest.mark.parametrize("levels", [3, 50, 200, 5_000, 100_000])
def test_values_in_values_in_values_are_looked_at_to_a_depth(levels: int) -> None:
    deep = b'{"kvlistValue":{"values":[{"key":"a","value":' * levels
    value = deep + b'{"intValue":1}' + b"}]}}" * levels
    body = export(json_span(attributes=[{"key": "x", "value": 0}]))
    body = body.replace(b'"value": 0', b'"value": ' + value)
    if levels > 1_000:
        assert is_read_or_refused(JSON, body)
    else:
        found = only(told(JSON, body)).fields.get("x" + ".a" * levels)
        assert found == (1 if levels == 3 else None)


def is_read_or_refused(form: str, body: bytes) -> bool:
    try:
        seen = told(form, body)
    except FaregateError as error:
        return error.problem.kind.status in (400, 413)
    return all(isinstance(one, Observed | Unreadable) for one in seen)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_export_is_read_or_refused_and_nothing_else(form: str, seed: int) -> None:
    chance = random.Random(seed)
    body = bytearray(encoded(form, made({**CALL, "faregate.customer": "acme"}, CALL)))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(body))
        damage = chance.randrange(3)
        if damage == 0:
            body[at] = chance.randrange(256)
        elif damage == 1:
            del body[at : at + chance.randint(1, 20)]
        else:
            body[at:at] = chance.randbytes(chance.randint(1, 8))
        if not body:
            break
    assert is_read_or_refused(form, bytes(body))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert is_read_or_refused(PROTOBUF, body)
    assert is_read_or_refused(JSON, body)


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["attributes", "key", "value", "intValue", "doubleValue", "kvlistValue"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(sorted(json_span())), _anything))
def test_a_span_of_any_json_is_observed_or_unreadable(changes: dict[str, Any]) -> None:
    body = export(json_span(**changes)).replace(b"NaN", b"0").replace(b"Infinity", b"1")
    (seen,) = told(JSON, body)
    assert isinstance(seen, Observed | Unreadable)
