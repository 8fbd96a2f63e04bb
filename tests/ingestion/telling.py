"""Spans as the official OpenTelemetry SDK makes and encodes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans as encode_json
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as encode_bytes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from faregate.core.observed import Observed, Told
from faregate.ingestion.otlp import JSON, PROTOBUF, read
from faregate.ingestion.way import Sent

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
FORMS = (PROTOBUF, JSON)
CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 80,
}


def nanoseconds(at: datetime) -> int:
    """Nanoseconds since 1970, exactly."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def made(
    *spans: Mapping[str, Any],
    resource: Mapping[str, Any] | None = None,
    at: datetime = NOW,
    name: str = "chat gpt-4o-mini",
    has_failed: bool = False,
) -> Sequence[ReadableSpan]:
    """Spans with these attributes, each in a trace of its own; they took 1.5 s, until `at`."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource(dict(resource or {"service.name": "assistant"})))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("tests.telling", "1.0")
    for attributes in spans:
        end = nanoseconds(at)
        span = tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=dict(attributes), start_time=end - 1_500_000_000
        )
        if has_failed:
            span.set_status(Status(StatusCode.ERROR, "no answer"))
        span.end(end)
    return memory.get_finished_spans()


def encoded(form: str, spans: Sequence[ReadableSpan]) -> bytes:
    """Spans as exporters send them."""
    if form == PROTOBUF:
        return encode_bytes(spans).SerializeToString()
    return json.dumps(encode_json(spans).to_dict()).encode()


def told(form: str, body: bytes) -> Sequence[Told]:
    """What the reader makes of a body."""
    return read(Sent({"content-type": form}, body, NOW))


def only(told: Sequence[Told]) -> Observed:
    """The only thing that was told, which can be read."""
    assert len(told) == 1
    assert isinstance(told[0], Observed), told
    return told[0]
