"""Telemetry as a way in: exports of spans, each the call of a model of one of the shop's customers,
beside the same uses as plain events over REST, in requests of the same size.

    python -m benchmarks.spans
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter, time_ns
from typing import Any, Final

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from benchmarks.databases import KINDS, fresh_database
from benchmarks.http import KEY, _running, prepare
from benchmarks.shop import EVENT_TYPE

PATH: Final = "/v1/traces"
SIZE: Final = 512
"""Spans of a request: what the SDKs send at once."""
CALLERS: Final = 8
FORMS: Final = ("protobuf", "protobuf, gzip", "json")
_ATTRIBUTES: Final[dict[str, str | int]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 80,
    "gen_ai.request.temperature": "0.7",
    "server.address": "api.openai.com",
    "server.port": 443,
    "faregate.event_type": EVENT_TYPE,
}


@dataclass(frozen=True)
class Export:
    """A request that is ready to be sent, and how many uses it tells of."""

    path: str
    headers: dict[str, str]
    body: bytes
    size: int


def span_export(form: str, customers: Sequence[str], first: int, size: int = SIZE) -> Export:
    """Make an export of `size` spans of these customers in turn. Spans that are numbered from
    another `first` are other ones."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    attribute = resource_spans.resource.attributes.add(key="service.name")
    attribute.value.string_value = "benchmark"
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "benchmark"
    now = time_ns()
    for number in range(first, first + size):
        span = scope_spans.spans.add(name="chat gpt-4o-mini", kind=3)
        span.trace_id = (now + number).to_bytes(16)
        span.span_id = (number + 1).to_bytes(8)
        span.start_time_unix_nano = now - 1_000_000_000
        span.end_time_unix_nano = now
        told = {**_ATTRIBUTES, "faregate.customer": customers[number % len(customers)]}
        for key, value in told.items():
            attribute = span.attributes.add(key=key)
            if isinstance(value, int):
                attribute.value.int_value = value
            else:
                attribute.value.string_value = value
    headers = {"content-type": "application/x-protobuf"}
    if form == "json":
        return Export(PATH, {"content-type": "application/json"}, _as_json(request), size)
    body = request.SerializeToString()
    if form.endswith("gzip"):
        return Export(PATH, {**headers, "content-encoding": "gzip"}, gzip.compress(body), size)
    return Export(PATH, headers, body, size)


def _as_json(request: ExportTraceServiceRequest) -> bytes:
    resource_spans = request.resource_spans[0]

    def pairs(attributes: Any) -> list[Any]:
        return [
            {"key": pair.key, "value": {"stringValue": pair.value.string_value}}
            if pair.value.WhichOneof("value") == "string_value"
            else {"key": pair.key, "value": {"intValue": str(pair.value.int_value)}}
            for pair in attributes
        ]

    spans = [
        {
            "traceId": span.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "name": span.name,
            "kind": span.kind,
            "startTimeUnixNano": str(span.start_time_unix_nano),
            "endTimeUnixNano": str(span.end_time_unix_nano),
            "attributes": pairs(span.attributes),
        }
        for span in resource_spans.scope_spans[0].spans
    ]
    scope_spans = [{"scope": {"name": "benchmark"}, "spans": spans}]
    resource = {"attributes": pairs(resource_spans.resource.attributes)}
    told = {"resourceSpans": [{"resource": resource, "scopeSpans": scope_spans}]}
    return json.dumps(told).encode()


def rest_export(customers: Sequence[str], first: int, size: int = SIZE) -> Export:
    """Make a request that reports as many uses, all of one customer, as plain events."""
    now = datetime.now(UTC).isoformat()
    data = {"model": "gpt-4o-mini-2024-07-18", "provider": "openai", "operation": "chat"}
    data |= {"input_tokens": 1200, "output_tokens": 80}
    events = [
        {"id": f"{now} {n}", "event_type": EVENT_TYPE, "occurred_at": now, "data": data}
        for n in range(first, first + size)
    ]
    body = {"customer_id": customers[first // size % len(customers)], "events": events}
    headers = {"content-type": "application/json"}
    return Export("/v1/events", headers, json.dumps(body).encode(), size)


async def rate_of(address: str, key: str, exports: Sequence[Export]) -> float:
    """Send requests over a few connections; returns how many uses were charged a second. Raises
    `SystemExit` if any of them was not."""
    left = iter(exports)
    headers = {"x-credyt-api-key": key}
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as http:

        async def send() -> None:
            for export in left:
                answer = await http.post(export.path, content=export.body, headers=export.headers)
                if not _is_taken(export, answer):
                    raise SystemExit(f"{export.path}: {answer.status_code} {answer.text[:300]}")

        begun = perf_counter()
        await asyncio.gather(*(send() for _ in range(CALLERS)))
        return sum(export.size for export in exports) / (perf_counter() - begun)


def _is_taken(export: Export, answer: httpx.Response) -> bool:
    if not answer.is_success or export.path != PATH:
        return answer.is_success
    if export.headers["content-type"] == "application/json":
        return answer.json() == {}
    said = ExportTraceServiceResponse.FromString(answer.content)
    return not said.HasField("partial_success")


def measure_spans(
    url: str, customers: Sequence[str], requests: int, say: Callable[[str], None]
) -> dict[str, float]:
    """Measure each form, and plain REST beside them, on a server of their own; returns uses charged
    per second."""
    makers: dict[str, Callable[[int], Export]] = {
        "REST": lambda first: rest_export(customers, first),
        **{form: lambda first, form=form: span_export(form, customers, first) for form in FORMS},  # type: ignore[misc]
    }
    found: dict[str, float] = {}
    serve = ["-m", "faregate.cli", "serve", "--database", url, "--port", "0"]
    with _running([*serve, "--bootstrap-key", KEY]) as address:
        for form, make in makers.items():
            say(form)
            warm = [make(number * SIZE) for number in range(2)]
            asyncio.run(rate_of(address, KEY, warm))
            exports = [make(number * SIZE) for number in range(2, 2 + requests)]
            found[form] = asyncio.run(rate_of(address, KEY, exports))
    return found


def main() -> None:
    """Print the rates of every database that is there."""
    for kind in sys.argv[1:] or list(KINDS):
        with fresh_database(kind) as url:
            customers = asyncio.run(prepare(url, 100))
            rates = measure_spans(url, customers, 40, lambda _: None)
        for form, rate in rates.items():
            print(f"{kind}: {form}: {rate:,.0f}/s, {rate / rates['REST']:.2f} of REST")


if __name__ == "__main__":
    main()
