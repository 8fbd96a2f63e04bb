"""OpenTelemetry's traces over HTTP (OTLP 1.x), in protobuf and in JSON: what is read, and answers
that exporters understand. 200 with the number of spans that were refused, and why: they are not
sent again. 429 and 503 are, everything else that is not 200 is not.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from faregate.core.codec import encode
from faregate.core.observed import Ingested, Outcome, Told
from faregate.core.problems import CONFLICT, UNSUPPORTED_MEDIA_TYPE, FaregateError, Problem
from faregate.ingestion.model_use import MODEL_USE, UNKNOWN
from faregate.ingestion.span_bytes import read_bytes
from faregate.ingestion.span_json import read_json
from faregate.ingestion.way import Reply, Sent, Way

PATH: Final = "/v1/traces"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_BYTES: Final = (PROTOBUF, "application/protobuf")
MAX_BYTES: Final = 16 * 1024 * 1024
_SHOWN: Final = 3
_MAX_REASON: Final = 300
_UNNAMED: Final = f"{MODEL_USE} is {UNKNOWN!r}"


def read(sent: Sent) -> Sequence[Told]:
    """Read the spans of an export. Raises `FaregateError`: 400, 413, 415."""
    form = _form_of(sent)
    if form == PROTOBUF:
        return read_bytes(sent.body)
    if form == JSON:
        return read_json(sent.body)
    detail = f"the body is {form[:100]!r}: send Content-Type: {PROTOBUF} or {JSON}"
    raise FaregateError(Problem(UNSUPPORTED_MEDIA_TYPE, detail))


def answer(sent: Sent, became: Ingested) -> Reply:
    """Say how many spans were refused, and of the first ones why, in the form of the request."""
    rejected, message = _verdict(became)
    if _form_of(sent) == JSON:
        partial = {"rejectedSpans": str(rejected), "errorMessage": message}
        return Reply(200, encode({"partialSuccess": partial} if message else {}), JSON)
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service

    response = service.ExportTraceServiceResponse()
    if message:
        response.partial_success.rejected_spans = rejected
        response.partial_success.error_message = message
    return Reply(200, response.SerializeToString(), PROTOBUF)


def refuse(headers: Mapping[str, str], problem: Problem) -> Reply:
    """Say why nothing of a request was taken, as a google.rpc.Status in the form of the request.

    A fault of ours is 503, not 500: exporters send again what came to 503, and drop the rest.
    """
    status = 503 if problem.kind.status == 500 else problem.kind.status
    if _form(headers) == JSON:
        return Reply(status, encode({"message": problem.detail}), JSON)
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess

    # A Status has its message under the number that this one has its own under: 2.
    body = ExportTracePartialSuccess(error_message=problem.detail).SerializeToString()
    return Reply(status, body, PROTOBUF)


def _form_of(sent: Sent) -> str:
    """Return the form of a body; of one that does not say it, what it looks like."""
    if "content-type" not in sent.headers and sent.body[:1] == b"{":
        return JSON
    return _form(sent.headers)


def _form(headers: Mapping[str, str]) -> str:
    sent = headers.get("content-type", PROTOBUF).partition(";")[0].strip().lower()
    return PROTOBUF if sent in _BYTES else sent


def _verdict(became: Ingested) -> tuple[int, str]:
    """Count what was refused, and put it in words. What was charged already, as told by another
    span or under other rules, is not refused: it stands."""
    refused: list[Outcome] = []
    told_anew = unnamed = 0
    for outcome in became.outcomes:
        if outcome.status == "refused":
            problem = outcome.problem
            if outcome.customer_id is not None and problem and problem.kind is CONFLICT:
                told_anew += 1
            else:
                refused.append(outcome)
        elif outcome.status == "skipped" and outcome.why == _UNNAMED:
            unnamed += 1
    parts: list[str] = []
    if refused:
        reasons = [f"{one.place}: {_reason(one)}" for one in refused[:_SHOWN]]
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        parts.append("not charged: " + "; ".join(reasons) + more)
    if told_anew:
        parts.append(
            f"{told_anew} spans tell of what is charged already, with other data: "
            "what was told first stands"
        )
    if unnamed:
        parts.append(
            f"{unnamed} spans have tokens but no gen_ai.operation.name and were left out: "
            f"the rules may take {MODEL_USE}={UNKNOWN}"
        )
    return len(refused), ". ".join(parts)


def _reason(outcome: Outcome) -> str:
    return outcome.problem.detail[:_MAX_REASON] if outcome.problem else ""


OTLP: Final = Way("otlp", PATH, read, answer, refuse, max_bytes=MAX_BYTES)
"""`POST /v1/traces`: where exporters send when they are given an address without a path."""
