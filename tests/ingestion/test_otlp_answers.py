"""What exporters are told: in the form of their request, and whether to send again."""

from __future__ import annotations

import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.ingestion.telling import FORMS, NOW

from faregate.core.observed import Ingested, Outcome
from faregate.core.problems import (
    INTERNAL,
    KINDS,
    OVERLOADED,
    UNAVAILABLE,
    Problem,
    conflict,
    invalid,
)
from faregate.ingestion.otlp import JSON, PROTOBUF, answer, refuse
from faregate.ingestion.way import Sent

UNKNOWN = invalid("customer", "'acme' is unknown")


def outcome(number: int, **more: object) -> Outcome:
    fields = {"place": f"spans[{number}]", "id": str(number), "status": "refused", **more}
    return Outcome(**fields)  # type: ignore[arg-type]


def said(form: str, *outcomes: Outcome) -> tuple[int, str] | None:
    """The partial success that an answer tells of, if it tells of one."""
    reply = answer(Sent({"content-type": form}, b"", NOW), Ingested(outcomes))
    assert (reply.status, reply.content_type) == (200, form)
    if form == JSON:
        told = json.loads(reply.body)
        partial = told.get("partialSuccess")
        return partial and (int(partial["rejectedSpans"]), partial["errorMessage"])
    answered = ExportTraceServiceResponse.FromString(reply.body)
    if not answered.HasField("partial_success"):
        return None
    return answered.partial_success.rejected_spans, answered.partial_success.error_message


@pytest.mark.parametrize("form", FORMS)
def test_what_is_charged_charged_before_or_left_out_is_a_full_success(form: str) -> None:
    statuses = ("booked", "repeat", "skipped")
    assert said(form, *(outcome(n, status=s) for n, s in enumerate(statuses))) is None
    assert said(form) is None


@pytest.mark.parametrize("form", FORMS)
def test_the_first_reasons_are_told_and_how_many_more_there_are(form: str) -> None:
    told = said(form, *(outcome(n, problem=UNKNOWN) for n in range(5)))
    assert told is not None
    rejected, message = told
    assert rejected == 5
    assert message.count("'acme' is unknown") == 3
    assert message.endswith("and 2 more")


def test_a_reason_that_is_long_is_cut() -> None:
    told = said(JSON, outcome(0, problem=invalid("customer", "x" * 10_000)))
    assert told is not None
    assert len(told[1]) < 400


def test_what_is_charged_already_with_other_data_is_a_warning_and_no_refusal() -> None:
    known = outcome(0, customer_id="cus_1", problem=conflict("data", "it differs"))
    told = said(PROTOBUF, known, outcome(1, status="booked"))
    assert told is not None
    assert told[0] == 0
    assert "what was told first stands" in told[1]


def test_a_conflict_about_a_customer_is_a_refusal() -> None:
    told = said(PROTOBUF, outcome(0, problem=conflict("external_id", "it is taken")))
    assert told is not None
    assert told[0] == 1


@pytest.mark.parametrize("form", FORMS)
def test_only_what_may_succeed_later_is_to_be_sent_again(form: str) -> None:
    again = []
    for kind in KINDS:
        reply = refuse({"content-type": form}, Problem(kind, "why"))
        assert reply.content_type == form
        assert reply.body == (b'{"message":"why"}' if form == JSON else b"\x12\x03why")
        if reply.status in (429, 502, 503, 504):
            again.append(kind)
    assert again == [OVERLOADED, INTERNAL, UNAVAILABLE]
