"""Spans in the binary encoding of OTLP. The envelope (resources, scopes) is walked here, and each
span is decoded alone by the library: what cannot be read takes no other span with it, and a body of
nothing but empty spans needs no more memory than it has bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Final

from faregate.core.observed import Told, Unreadable
from faregate.core.problems import MALFORMED, TOO_LARGE, FaregateError, Problem
from faregate.ingestion.spans import Around, Branch, Span, around, observe, within

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

MAX_SPANS: Final = 10_000
MAX_GROUPS: Final = 2 * MAX_SPANS
"""How many resources and scopes may be around them: one with no span in it takes time, too."""
MAX_PAIRS: Final = 1_000_000
"""How many attributes one request may have in all: more of them say nothing in its bytes."""
_MAX_DEPTH: Final = 5
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_RESOURCE, _SCOPE, _INSIDE = 1, 1, 2


class _Left:
    """How many attributes of a request may still be looked at."""

    def __init__(self) -> None:
        self._pairs = MAX_PAIRS

    def take(self, pairs: int) -> None:
        """Look at so many. Raises `FaregateError` (413) if they are too many."""
        self._pairs -= pairs
        if self._pairs < 0:
            detail = f"more than {MAX_PAIRS} attributes in one request: send fewer at once"
            raise FaregateError(Problem(TOO_LARGE, detail))


def read_bytes(body: bytes) -> Sequence[Told]:
    """Read an ExportTraceServiceRequest. Raises `FaregateError`: 400 if it is none, 413."""
    told: list[Told] = []
    left = _Left()
    groups = 0
    for i, resource_spans in enumerate(_messages(body, 1)):
        refuse_many_groups(i + groups)
        outer = _resource(b"".join(_messages(resource_spans, _RESOURCE)), left)
        for j, scope_spans in enumerate(_messages(resource_spans, _INSIDE)):
            groups += 1
            refuse_many_groups(i + groups)
            inner = _scope(outer, b"".join(_messages(scope_spans, _SCOPE)), left)
            for k, span in enumerate(_messages(scope_spans, _INSIDE)):
                if len(told) == MAX_SPANS:
                    detail = f"more than {MAX_SPANS} spans in one request: send fewer at once"
                    raise FaregateError(Problem(TOO_LARGE, detail))
                place = f"resourceSpans[{i}].scopeSpans[{j}].spans[{k}]"
                told.append(_span(span, inner, place, left))
    return told


def refuse_many_groups(count: int) -> None:
    """Refuse to look at so many parts of a request. Raises `FaregateError` (413)."""
    if count > MAX_GROUPS:
        detail = f"more than {MAX_GROUPS} resources, scopes or spans in one request: send fewer"
        raise FaregateError(Problem(TOO_LARGE, detail))


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    """Return what stands under this number in a message; a message in two parts is their sum."""
    at, end, fields = 0, len(data), 0
    while at < end:
        fields += 1
        refuse_many_groups(fields)
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _DELIMITED:
            length, at = _varint(data, at)
            if number == wanted and at + length <= end:
                yield data[at : at + length]
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise _malformed(f"a field of the unknown kind {kind}")
        if number == 0 or at > end:
            raise _malformed("it ends within a field" if number else "a field without a number")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise _malformed("it ends within a number")


def _malformed(what: str) -> FaregateError:
    detail = f"the body is no ExportTraceServiceRequest in protobuf: {what}"
    return FaregateError(Problem(MALFORMED, detail))


def _resource(data: bytes, left: _Left) -> Around:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    try:
        return around(_attributes(Resource.FromString(data).attributes, left))
    except DecodeError:
        return Around(problem=_unreadable("resource"))


def _scope(outer: Around, data: bytes, left: _Left) -> Around:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

    try:
        scope = InstrumentationScope.FromString(data)
    except DecodeError:
        return Around(problem=_unreadable("scope"))
    return within(outer, scope.name, scope.version, _attributes(scope.attributes, left))


def _span(data: bytes, outer: Around, place: str, left: _Left) -> Told:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.trace.v1 import trace_pb2

    try:
        sent = trace_pb2.Span.FromString(data)
    except DecodeError:
        return Unreadable(place, _unreadable("span"))
    span = Span(
        sent.trace_id.hex(),
        sent.span_id.hex(),
        sent.name,
        sent.kind,
        sent.start_time_unix_nano,
        sent.end_time_unix_nano,
        sent.status.code,
        _attributes(sent.attributes, left),
    )
    return observe(span, outer, place)


def _unreadable(what: str) -> Problem:
    return Problem(MALFORMED, f"the {what} cannot be read: send it as OTLP's protobuf has it")


def _attributes(
    pairs: Sequence[KeyValue], left: _Left, depth: int = _MAX_DEPTH
) -> Iterator[tuple[str, Branch]]:
    left.take(len(pairs))
    for pair in pairs:
        yield pair.key, _value(pair.value, left, depth)


def _value(value: AnyValue, left: _Left, depth: int) -> Branch:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "int_value":
        return value.int_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "double_value":
        double = value.double_value
        return Decimal(repr(double)) if isfinite(double) else None
    if kind == "kvlist_value" and depth > 1:
        return dict(_attributes(value.kvlist_value.values, left, depth - 1))
    return None
