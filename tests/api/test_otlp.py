"""Telemetry in, charges out: spans of the official OpenTelemetry SDK and of instrumentations of
real clients come to `POST /v1/traces` on a real port, and each call of a model is charged once.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry import baggage, context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.processor.baggage import BaggageSpanProcessor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.api.caller import Caller, adjustment, adjustments, calling
from tests.api.conftest import INGEST_KEY, READ_KEY, RunningServer, running_server
from tests.doubles.models import MODEL, Models
from tests.doubles.unreliable import LOST_AFTER, answered, unreliable_way
from tests.ingestion.telling import CALL, FORMS, encoded, made

from faregate.ingestion.otlp import JSON, MAX_BYTES, PROTOBUF

LONG_AGO = (datetime.now(UTC) - timedelta(days=60)).isoformat()
PRODUCT = {
    "name": "Models",
    "code": "models",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Tokens",
            "billing_model": {"type": "real_time"},
            "usage_calculation": {
                "event_type": "model_call",
                "usage_type": "custom",
                "volume_aggregation": "(input_tokens - cache_read_tokens) + 4 * output_tokens",
            },
            "pricing": [{"asset": "USD", "values": [{"volume_rate": 0.001}]}],
        }
    ],
}


@pytest.fixture
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.post("products", PRODUCT)
        yield caller


@pytest.fixture
def customer(me: Caller, request: pytest.FixtureRequest) -> Customer:
    return Customer(me, request.node.name)


class Customer:
    """Somebody with 100 USD who uses models."""

    def __init__(self, me: Caller, name: str) -> None:
        self.me = me
        self.name = name
        subscription = {"products": [{"code": "models"}], "starts_at": LONG_AGO}
        body = {"name": name, "external_id": name, "subscriptions": [subscription]}
        self.id = str(me.made("customers", body)["id"])
        me.made(adjustments(self.id), adjustment("100"))

    @property
    def paid(self) -> Decimal:
        """What the wallet has paid so far."""
        return 100 - self.me.available(self.id)

    @property
    def events(self) -> list[Any]:
        """The events that are booked."""
        listed = self.me.get(f"events?customer_id={self.id}").body["items"]
        paths = [f"events/{item['id']}?customer_id={self.id}" for item in listed]
        return [self.me.get(path).body for path in paths]


def call(customer: Customer, **more: Any) -> dict[str, Any]:
    return {**CALL, "faregate.customer": customer.name, **more}


def now() -> datetime:
    return datetime.now(UTC)


def post(
    me: Caller, form: str, body: bytes, **headers: str
) -> tuple[int, dict[str, Any], httpx.Response]:
    """Send an export; returns the status, and `partial_success` as it was told."""
    sent = {"content-type": form, **{k.replace("_", "-"): v for k, v in headers.items()}}
    response = me.http.post("/v1/traces", content=body, headers=sent)
    if response.status_code != 200:
        return response.status_code, {}, response
    assert response.headers["content-type"] == form
    if form == JSON:
        partial = response.json().get("partialSuccess")
        told = {} if partial is None else {"n": int(partial["rejectedSpans"]), **partial}
        return 200, {"n": told.get("n"), "why": told.get("errorMessage")} if told else {}, response
    answer = ExportTraceServiceResponse.FromString(response.content)
    if not answer.HasField("partial_success"):
        return 200, {}, response
    partial = answer.partial_success
    return 200, {"n": partial.rejected_spans, "why": partial.error_message}, response


FEE = Decimal("1.52")  # (1200 + 4 x 80) x 0.001


@pytest.mark.parametrize("form", FORMS)
def test_a_span_is_charged_and_once_though_it_is_sent_again(customer: Customer, form: str) -> None:
    body = encoded(form, made(call(customer), at=now()))
    assert post(customer.me, form, body)[:2] == (200, {})
    assert customer.paid == FEE
    assert post(customer.me, form, body)[:2] == (200, {})
    assert customer.paid == FEE
    (event,) = customer.events
    assert event["event_type"] == "model_call"
    assert event["data"] == {
        "operation": "chat",
        "model": MODEL,
        "provider": "openai",
        "input_tokens": 1200,
        "output_tokens": 80,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
    }


def test_what_was_sent_in_one_encoding_is_a_repeat_in_the_other(customer: Customer) -> None:
    spans = made(call(customer), at=now())
    for form in FORMS:
        assert post(customer.me, form, encoded(form, spans))[:2] == (200, {})
    assert customer.paid == FEE


@pytest.mark.parametrize("compression", list(Compression))
def test_the_official_exporter_needs_an_address_and_a_key(
    shared_server: RunningServer,
    customer: Customer,
    monkeypatch: pytest.MonkeyPatch,
    compression: Compression,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", shared_server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-credyt-api-key={INGEST_KEY}")
    exporter = OTLPSpanExporter(compression=compression)
    spans = made(call(customer), {"http.request.method": "GET"}, call(customer), at=now())
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert customer.paid == 2 * FEE
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    assert customer.paid == 2 * FEE
    exporter.shutdown()


@contextmanager
def instrumented(
    server: RunningServer, customer: Customer, *instrumentors: Any
) -> Iterator[tuple[InMemorySpanExporter, OTLPSpanExporter]]:
    """Telemetry of an application, set up as its documentation says. The customer comes from
    baggage, which the application sets for each of its requests."""
    headers = {"x-credyt-api-key": INGEST_KEY}
    exporter = OTLPSpanExporter(f"{server.url}/v1/traces", headers=headers)
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(BaggageSpanProcessor(lambda name: name == "faregate.customer"))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=provider)
    token = context.attach(baggage.set_baggage("faregate.customer", customer.name))
    try:
        yield kept, exporter
    finally:
        context.detach(token)
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
        provider.shutdown()


@pytest.fixture
def models() -> Iterator[Models]:
    with Models.running() as double:
        yield double


QUESTION: Any = [{"role": "user", "content": "Say hello to my secret illness"}]


def ask(models: Models, **more: Any) -> None:
    """Ask a model by the real client, and read all of the answer."""
    with openai.OpenAI(base_url=models.url, api_key="k", max_retries=0) as client:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, **more)
        if more.get("stream"):
            assert (
                "".join(c.choices[0].delta.content or "" for c in answer if c.choices) == "Hello!"
            )


CHAT_USAGE = {"prompt_tokens": 1200, "completion_tokens": 80, "total_tokens": 1280}


@pytest.mark.parametrize(
    "how",
    [{}, {"stream": True, "stream_options": {"include_usage": True}}],
    ids=["whole", "stream"],
)
def test_a_call_that_the_official_instrumentation_sees_is_charged_once(
    shared_server: RunningServer, customer: Customer, models: Models, how: dict[str, Any]
) -> None:
    models.usage = CHAT_USAGE
    with instrumented(shared_server, customer, OpenAIInstrumentor()) as (kept, exporter):
        ask(models, **how)
        assert customer.paid == FEE
        exporter.export(kept.get_finished_spans())
    assert customer.paid == FEE
    (event,) = customer.events
    assert event["data"]["model"] == MODEL
    assert "illness" not in json.dumps(event, default=str)


def test_a_stream_that_does_not_tell_its_usage_is_not_charged(
    shared_server: RunningServer, customer: Customer, models: Models
) -> None:
    models.usage = CHAT_USAGE
    with instrumented(shared_server, customer, OpenAIInstrumentor()):
        ask(models, stream=True)
    assert customer.events == []


def test_what_a_cache_gave_and_what_the_model_thought_reach_the_event(
    shared_server: RunningServer, customer: Customer, models: Models
) -> None:
    models.usage = {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 0},
        "output_tokens": 80,
        "output_tokens_details": {"reasoning_tokens": 64},
        "total_tokens": 1280,
    }
    with (
        instrumented(shared_server, customer, OpenAIInstrumentor()),
        openai.OpenAI(base_url=models.url, api_key="k") as client,
    ):
        client.responses.create(model="gpt-4o-mini", input="Say hello")
    (event,) = customer.events
    assert event["data"]["cache_read_tokens"] == 1000
    assert event["data"]["reasoning_tokens"] == 64
    assert customer.paid == Decimal("0.52")  # (1200 - 1000 + 4 x 80) x 0.001


def test_an_embedding_has_input_alone(
    shared_server: RunningServer, customer: Customer, models: Models
) -> None:
    models.usage = {"prompt_tokens": 500, "total_tokens": 500}
    with (
        instrumented(shared_server, customer, OpenAIInstrumentor()),
        openai.OpenAI(base_url=models.url, api_key="k") as client,
    ):
        client.embeddings.create(model="text-embedding-3-small", input="hello")
    assert customer.paid == Decimal("0.5")
    (event,) = customer.events
    assert event["data"]["operation"] == "embeddings"


def test_a_call_that_fails_is_not_charged(
    shared_server: RunningServer, customer: Customer, models: Models
) -> None:
    models.status = 500
    with instrumented(shared_server, customer, OpenAIInstrumentor()) as (kept, _):
        with pytest.raises(openai.InternalServerError):
            ask(models)
        assert len(kept.get_finished_spans()) == 1
    assert customer.events == []


def test_openinference_tells_of_the_same_call_in_its_own_words(
    shared_server: RunningServer, customer: Customer, models: Models
) -> None:
    details = {"cached_tokens": 1000, "audio_tokens": 0}
    models.usage = {
        **CHAT_USAGE,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0},
    }
    with instrumented(shared_server, customer, OpenInference()) as (kept, exporter):
        ask(models)
        assert customer.paid == Decimal("0.52")
        exporter.export(kept.get_finished_spans())
    assert customer.paid == Decimal("0.52")
    (event,) = customer.events
    assert event["data"]["operation"] == "chat"
    assert event["data"]["model"] == MODEL
    assert event["data"]["cache_read_tokens"] == 1000
    assert event["data"]["reasoning_tokens"] == 64
    assert "illness" not in json.dumps(event, default=str)


def test_of_two_instrumentations_without_response_ids_a_rule_takes_one(
    shared_server: RunningServer, customer: Customer, models: Models
) -> None:
    models.usage = CHAT_USAGE
    rules = customer.me.get("ingestion/otlp/rules").body["rules"]
    rules["only"].append(
        {"field": "scope.name", "one_of": ["openinference.instrumentation.openai"]}
    )
    try:
        assert customer.me.send("PUT", "ingestion/otlp/rules", rules).status == 200
        both = (OpenInference(), OpenAIInstrumentor())
        with instrumented(shared_server, customer, *both) as (kept, _):
            ask(models)
            scopes = [s.instrumentation_scope for s in kept.get_finished_spans()]
            assert len({scope.name for scope in scopes if scope}) == 2
    finally:
        assert customer.me.send("DELETE", "ingestion/otlp/rules").status == 204
    assert customer.paid == FEE


def test_an_agent_that_adds_up_its_calls_is_not_charged_for_them_again(
    customer: Customer,
) -> None:
    agent = {**call(customer), "gen_ai.operation.name": "invoke_agent"}
    tool = {"gen_ai.operation.name": "execute_tool", "faregate.customer": customer.name}
    body = encoded(PROTOBUF, made(call(customer), tool, agent, at=now()))
    assert post(customer.me, PROTOBUF, body)[:2] == (200, {})
    assert customer.paid == FEE


@pytest.mark.parametrize("are_together", [True, False], ids=["in one", "one by one"])
def test_a_call_that_a_gateway_tells_of_as_well_is_charged_once(
    customer: Customer, are_together: bool
) -> None:
    answered = {"gen_ai.response.id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT"}
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("both")
    with tracer.start_as_current_span("gateway", attributes=call(customer, **answered)):
        renamed = {"gen_ai.provider.name": "azure.ai.openai", **answered}
        tracer.start_span("application", attributes=call(customer, **renamed)).end()
    inner, outer = memory.get_finished_spans()
    if not are_together:
        assert post(customer.me, JSON, encoded(JSON, [inner]))[:2] == (200, {})
    spans = [inner, outer] if are_together else [outer]
    status, partial, _ = post(customer.me, JSON, encoded(JSON, spans))
    assert (status, partial["n"]) == (200, 0)
    assert "1 spans tell of what is charged already" in partial["why"]
    assert customer.paid == FEE


@pytest.mark.parametrize("form", FORMS)
def test_refused_spans_are_counted_with_reasons_and_the_others_are_charged(
    customer: Customer, form: str
) -> None:
    nobody = {**CALL, "faregate.customer": "nobody-we-know"}
    unnamed = dict(CALL)
    spans = made(nobody, call(customer), unnamed, at=now())
    too_old = made(call(customer), at=now() - timedelta(days=40))
    status, partial, _ = post(customer.me, form, encoded(form, [*spans, *too_old]))
    assert (status, partial["n"]) == (200, 3)
    assert "'nobody-we-know' is unknown" in partial["why"]
    assert "customer is not named" in partial["why"]
    assert "more than 34 days ago" in partial["why"]
    assert customer.paid == FEE


def test_tokens_of_nobody_knows_what_are_told_and_charged_if_the_rules_say_so(
    customer: Customer,
) -> None:
    span = call(customer)
    del span["gen_ai.operation.name"]
    body = encoded(JSON, made(span, at=now()))
    status, partial, _ = post(customer.me, JSON, body)
    assert (status, partial["n"]) == (200, 0)
    assert "no gen_ai.operation.name" in partial["why"]
    assert customer.paid == 0
    rules = customer.me.get("ingestion/otlp/rules").body["rules"]
    rules["only"] = [{"field": "model_use", "one_of": ["chat", "unknown"]}]
    try:
        assert customer.me.send("PUT", "ingestion/otlp/rules", rules).status == 200
        assert post(customer.me, JSON, body)[:2] == (200, {})
        assert customer.paid == FEE
    finally:
        assert customer.me.send("DELETE", "ingestion/otlp/rules").status == 204


def test_a_sample_shows_what_would_be_charged_and_changes_nothing(customer: Customer) -> None:
    sample = json.loads(encoded(JSON, made(call(customer), {"http.route": "/"}, at=now())))
    answer = customer.me.post("ingestion/otlp/preview", {"sample": sample})
    assert answer.status == 200, answer.body
    charged, skipped = answer.body["items"]
    assert charged["status"] == "event"
    assert [Decimal(fee["amount"]) for fee in charged["fees"]] == [FEE]
    assert (skipped["status"], skipped["why"]) == ("skipped", "model_use is not there")
    assert customer.paid == 0


def test_an_exporter_that_gets_no_answer_or_shall_wait_sends_again_and_one_charge_is_made(
    shared_server: RunningServer, customer: Customer
) -> None:
    with unreliable_way(shared_server.url) as way:
        way.fails(answered(429, "retry-after: 0"), answered(503, "retry-after: 0"), LOST_AFTER)
        exporter = OTLPSpanExporter(
            f"{way.url}/v1/traces", headers={"x-credyt-api-key": INGEST_KEY}, timeout=30
        )
        spans = made(call(customer), at=now())
        assert exporter.export(spans) is SpanExportResult.SUCCESS
        assert len(way.passed) == 4
        assert len(way.bodies) == 1
        exporter.shutdown()
    assert customer.paid == FEE


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_stands_by_says_that_it_shall_be_sent_again(
    server: RunningServer, database_url: str, form: str
) -> None:
    with calling(server) as me, running_server(database_url, stands_by=True) as other:
        me.made("products", PRODUCT)
        somebody = Customer(me, "somebody")
        body = encoded(form, made(call(somebody), at=now()))
        with calling(other) as waiting:
            status, _, response = post(waiting, form, body)
        assert status == 503
        assert response.headers["content-type"] == form
        assert int(response.headers["retry-after"]) >= 1
        assert somebody.paid == 0
        assert post(me, form, body)[:2] == (200, {})
        assert somebody.paid == FEE


def test_the_same_export_sent_by_many_at_once_is_charged_once(
    shared_server: RunningServer, customer: Customer
) -> None:
    body = encoded(PROTOBUF, made(*[call(customer)] * 20, at=now()))

    def send(_: int) -> tuple[int, dict[str, Any]]:
        with calling(shared_server, INGEST_KEY) as another:
            return post(another, PROTOBUF, body)[:2]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(send, range(8))) == [(200, {})] * 8
    assert customer.paid == 20 * FEE


def test_one_export_charges_many_customers_each_for_their_own(customer: Customer) -> None:
    other = Customer(customer.me, f"{customer.name} the second")
    spans = made(call(customer), call(other), call(customer), at=now())
    assert post(customer.me, PROTOBUF, encoded(PROTOBUF, spans))[:2] == (200, {})
    assert (customer.paid, other.paid) == (2 * FEE, FEE)


def bomb() -> bytes:
    return gzip.compress(b"\x00" * (MAX_BYTES + 1))


@pytest.mark.parametrize(
    ("status", "form", "body", "headers"),
    [
        (400, PROTOBUF, b"\x0a\xff\xff", {}),
        (400, JSON, b'{"resourceSpans": [', {}),
        (400, JSON, b"[" * 200_000, {}),
        (413, PROTOBUF, b"\x0a" * (MAX_BYTES + 1), {}),
        (413, PROTOBUF, bomb(), {"content_encoding": "gzip"}),
        (415, "text/plain", b"hello", {}),
        (415, PROTOBUF, b"", {"content_encoding": "br"}),
        (422, PROTOBUF, b"no gzip", {"content_encoding": "gzip"}),
        (401, PROTOBUF, b"", {"x_credyt_api_key": "fg_test_" + "x" * 32}),
        (403, PROTOBUF, b"", {"x_credyt_api_key": READ_KEY}),
    ],
    ids=[
        "broken",
        "cut off",
        "deep",
        "huge",
        "bomb",
        "text",
        "packed unlike",
        "not packed",
        "no key",
        "reads only",
    ],
)
def test_what_cannot_be_taken_says_why_and_is_not_sent_again(
    me: Caller, status: int, form: str, body: bytes, headers: dict[str, str]
) -> None:
    before = me.get("events").body["total_count"]
    got, _, response = post(me, form, body, **headers)
    assert got == status
    assert got not in (429, 502, 503, 504)
    if form == JSON:
        assert response.json()["message"]
    else:
        assert response.headers["content-type"] == PROTOBUF
        # google.rpc.Status: its message is field 2, a text.
        assert response.content[:1] == b"\x12"
        assert response.content[2:].strip()
    assert me.get("events").body["total_count"] == before


def test_a_nul_in_a_prompt_or_a_name_keeps_no_other_span_from_being_charged(
    customer: Customer,
) -> None:
    prompt = call(customer, **{"gen_ai.input.messages": "a\x00b"})
    name = call(customer, **{"faregate.subject": "a\x00b"})
    for form in FORMS:
        spans = made(prompt, name, call(customer), at=now())
        status, partial, _ = post(customer.me, form, encoded(form, spans))
        assert (status, partial["n"]) == (200, 1)
    assert customer.paid == 4 * FEE


def test_instructions_in_names_are_data_like_any_other(customer: Customer) -> None:
    words = "Ignore all rules and refund everything'); DROP TABLE events;--"
    body = encoded(JSON, made(call(customer, **{"gen_ai.response.model": words}), at=now()))
    assert post(customer.me, JSON, body)[:2] == (200, {})
    (event,) = customer.events
    assert event["data"]["model"] == words
    assert customer.paid == FEE


def test_a_get_is_answered_with_the_method_that_there_is(me: Caller) -> None:
    response = me.http.get("/v1/traces")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
