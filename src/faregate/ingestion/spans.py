"""A span as something that was observed: its attributes, those of its resource and of its scope as
flat fields, and what they say of a use of a model. What people wrote to models and what models
answered is left out here already, so that no rule can keep it by accident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from faregate.core.mapping_defaults import GENAI_OPERATIONS
from faregate.core.observed import Observed, Scalar, Told, Unreadable, told_id
from faregate.core.problems import Problem, invalid
from faregate.ingestion.model_use import MODEL_USE, model_use

MAX_ATTRIBUTES: Final = 500
"""How many attributes of a span, a resource or a scope are looked at, without messages."""
MAX_TEXT: Final = 1_000
"""Longer texts are no names of anything; they are left out."""
MAX_NAME: Final = 200
_MAX_DEPTH: Final = 5
_MIN_UNIQUE: Final = 20
"""Shorter ids of responses are counters in some servers of models, and come again."""

_MESSAGES: Final = (
    "ai.embedding",
    "ai.prompt",
    "ai.response.files",
    "ai.response.object",
    "ai.response.reasoning",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall",
    "ai.value",
    "embedding.embeddings",
    "embedding.text",
    "exception.",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.prompt",
    "gen_ai.retrieval",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "input.value",
    "llm.choices",
    "llm.completions",
    "llm.function_call",
    "llm.input_messages",
    "llm.invocation_parameters",
    "llm.output_messages",
    "llm.prompt",
    "llm.tools",
    "message.content",
    "output.value",
    "reranker.input",
    "reranker.output",
    "reranker.query",
    "retrieval.documents",
    "tool.parameters",
    "traceloop.entity.input",
    "traceloop.entity.output",
)
"""How the names begin of attributes that have messages in them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS: Final = 253_402_300_799 * 10**9
_HEX: Final = frozenset("0123456789abcdef")
_KIND_NAMES: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUS_NAMES: Final = ("unset", "ok", "error")

Branch: TypeAlias = "Scalar | dict[str, Branch] | None"
"""An attribute's value: a scalar, named values, or nothing that is looked at (lists, bytes)."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """A span as it was sent. Ids are hexadecimal, times nanoseconds since 1970 UTC."""

    trace_id: str
    span_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: Iterable[tuple[str, Branch]]


class Around(msgspec.Struct, frozen=True, gc=False):
    """What spans of one resource and scope have in common: the fields that say where they are
    from, or what is wrong with them."""

    fields: Mapping[str, Scalar] = {}
    problem: Problem | None = None


def flat(attributes: Iterable[tuple[str, Branch]], prefix: str = "") -> dict[str, Scalar] | Problem:
    """Return attributes as flat fields, without messages and long texts."""
    fields: dict[str, Scalar] = {}
    _flatten(attributes, prefix, "", fields, _MAX_DEPTH)
    if len(fields) > MAX_ATTRIBUTES:
        return invalid("attributes", f"are more than {MAX_ATTRIBUTES}: send fewer")
    return fields


def _flatten(
    attributes: Iterable[tuple[str, Branch]],
    prefix: str,
    path: str,
    fields: dict[str, Scalar],
    depth: int,
) -> None:
    for key, value in attributes:
        name = path + key
        if value is None or len(name) > MAX_NAME or name.startswith(_MESSAGES):
            continue
        if isinstance(value, dict):
            if depth > 1:
                _flatten(value.items(), prefix, name + ".", fields, depth - 1)
        elif type(value) is not str or len(value) <= MAX_TEXT:
            fields[prefix + name] = value
            if len(fields) > MAX_ATTRIBUTES:
                return


def around(resource: Iterable[tuple[str, Branch]]) -> Around:
    """Return what spans of a resource have in common."""
    fields = flat(resource, "resource.")
    if isinstance(fields, Problem):
        return Around(problem=fields.under("resource"))
    return Around(fields)


def within(
    outer: Around, name: str, version: str, attributes: Iterable[tuple[str, Branch]]
) -> Around:
    """Return what spans of a scope have in common, of what is `outer`."""
    if outer.problem is not None:
        return outer
    fields = flat(attributes, "scope.")
    if isinstance(fields, Problem):
        return Around(problem=fields.under("scope"))
    if name and len(name) <= MAX_TEXT:
        fields["scope.name"] = name
    if version and len(version) <= MAX_TEXT:
        fields["scope.version"] = version
    return Around({**outer.fields, **fields})


def observe(span: Span, outer: Around, place: str) -> Told:
    """Make of a span what was observed. It occurred when the span ended.

    Its id is that of its trace and the span; or, of a call of a model, that of its trace and the
    model's response: a call that two instrumentations tell of is one.
    """
    trace_id, span_id = span.trace_id.lower(), span.span_id.lower()
    for field, text, digits in (("trace_id", trace_id, 32), ("span_id", span_id, 16)):
        if len(text) != digits or not _HEX.issuperset(text) or not text.strip("0"):
            problem = invalid(
                field, f"is {text[:40]!r}: send {digits} hexadecimal digits, not all 0"
            )
            return Unreadable(place, problem)
    told = told_id(trace_id, span_id)
    if not 0 < span.end_ns <= _LAST_NS:
        problem = invalid("end_time", f"is {span.end_ns}: send nanoseconds since 1970")
        return Unreadable(place, problem, told)
    if outer.problem is not None:
        return Unreadable(place, outer.problem, told)
    fields = flat(span.attributes)
    if isinstance(fields, Problem):
        return Unreadable(place, fields, told)
    use = model_use(fields)
    if isinstance(use, Problem):
        return Unreadable(place, use, told)
    operation = use.get(MODEL_USE)
    response_id = use.get(f"{MODEL_USE}.response_id")
    if (
        operation in GENAI_OPERATIONS
        and isinstance(response_id, str)
        and len(response_id) >= _MIN_UNIQUE
    ):
        told = told_id(trace_id, response_id)
    kind = str(operation or fields.get("gen_ai.operation.name") or span.name)
    return Observed(
        told,
        _EPOCH + timedelta(microseconds=span.end_ns // 1000),
        kind[:MAX_TEXT],
        {**fields, **outer.fields, **_own(span, trace_id, span_id), **use},
        place,
    )


def _own(span: Span, trace_id: str, span_id: str) -> Mapping[str, Scalar]:
    """Return a span's own fields, of which no attribute can take the place."""
    own: dict[str, Scalar] = {
        "span.trace_id": trace_id,
        "span.id": span_id,
        "span.name": span.name[:MAX_TEXT],
        "span.kind": _word(_KIND_NAMES, span.kind),
        "span.status": _word(_STATUS_NAMES, span.status),
    }
    if 0 < span.start_ns <= span.end_ns:
        own["span.duration_ms"] = Decimal(span.end_ns - span.start_ns) / 1_000_000
    return own


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if 0 <= number < len(words) else words[0]
