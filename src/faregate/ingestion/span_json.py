"""Spans in the JSON encoding of OTLP, which is protobuf's with rules of its own: ids are
hexadecimal, 64-bit numbers may be texts, enumerations are numbers, and what is not known is
ignored. Each span is decoded alone, so that one that cannot be read takes no other with it. Numbers
are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from faregate.core.observed import Told, Unreadable
from faregate.core.problems import MALFORMED, TOO_LARGE, FaregateError, Problem
from faregate.ingestion.flattening import refuse_many_commas
from faregate.ingestion.span_bytes import MAX_SPANS, refuse_many_groups
from faregate.ingestion.spans import Around, Branch, Span, around, observe, within

_MAX_DIGITS: Final = 20
_MAX_EXPONENT: Final = 308


class _Json(msgspec.Struct, rename="camel", gc=False):
    """Messages whose fields are written in camel case."""


class _KeyValues(_Json):
    values: list[_KeyValue] | None = None


class _AnyValue(_Json):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: Any = None
    kvlist_value: _KeyValues | None = None


class _KeyValue(_Json):
    key: str = ""
    value: _AnyValue | None = None


class _Status(_Json):
    code: int | None = None


class _Span(_Json):
    trace_id: str = ""
    span_id: str = ""
    name: str | None = None
    kind: int | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[_KeyValue] | None = None
    status: _Status | None = None


class _Resource(_Json):
    attributes: list[_KeyValue] | None = None


class _Scope(_Json):
    name: str | None = None
    version: str | None = None
    attributes: list[_KeyValue] | None = None


class _ScopeSpans(_Json):
    scope: _Scope | None = None
    spans: list[msgspec.Raw] | None = None


class _ResourceSpans(_Json):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(_Json):
    resource_spans: list[_ResourceSpans] | None = None


def _exact(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


_requests: Final = msgspec.json.Decoder(_Request, float_hook=_exact)
_spans: Final = msgspec.json.Decoder(_Span, float_hook=_exact)
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


def read_json(body: bytes) -> Sequence[Told]:
    """Read an ExportTraceServiceRequest. Raises `FaregateError`: 400 if it is none, 413."""
    refuse_many_commas(body)
    try:
        request = _requests.decode(body)
    except _FAULTS as error:
        detail = f"the body is no ExportTraceServiceRequest in JSON: {error}"
        raise FaregateError(Problem(MALFORMED, detail)) from None
    told: list[Told] = []
    resources = request.resource_spans or []
    refuse_many_groups(len(resources) + sum(len(one.scope_spans or ()) for one in resources))
    for i, of_resource in enumerate(resources):
        resource = of_resource.resource or _Resource()
        outer = around(_attributes(resource.attributes))
        for j, of_scope in enumerate(of_resource.scope_spans or ()):
            scope = of_scope.scope or _Scope()
            inner = within(
                outer, scope.name or "", scope.version or "", _attributes(scope.attributes)
            )
            for k, raw in enumerate(of_scope.spans or ()):
                if len(told) == MAX_SPANS:
                    detail = f"more than {MAX_SPANS} spans in one request: send fewer at once"
                    raise FaregateError(Problem(TOO_LARGE, detail))
                told.append(_span(raw, inner, f"resourceSpans[{i}].scopeSpans[{j}].spans[{k}]"))
    return told


def _span(raw: msgspec.Raw, outer: Around, place: str) -> Told:
    try:
        sent = _spans.decode(raw)
    except _FAULTS as error:
        return Unreadable(place, Problem(MALFORMED, f"the span cannot be read: {error}"))
    span = Span(
        sent.trace_id,
        sent.span_id,
        sent.name or "",
        sent.kind or 0,
        _whole(sent.start_time_unix_nano) or 0,
        _whole(sent.end_time_unix_nano) or 0,
        0 if sent.status is None else sent.status.code or 0,
        _attributes(sent.attributes),
    )
    return observe(span, outer, place)


def _attributes(pairs: Iterable[_KeyValue] | None) -> Iterator[tuple[str, Branch]]:
    for pair in pairs or ():
        if pair.value is not None:
            yield pair.key, _value(pair.value)


def _value(value: _AnyValue) -> Branch:
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _whole(value.int_value)
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        return _number(value.double_value)
    if value.kvlist_value is not None:
        return dict(_attributes(value.kvlist_value.values))
    return None


def _whole(value: int | str | None) -> int | None:
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS):
            return None
        return int(value)
    return value


def _number(value: object) -> Decimal | int | None:
    """Return a number that was sent as one or as text; None for what is not finite."""
    if isinstance(value, str) and len(value) <= 2 * _MAX_DIGITS:
        value = _exact(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _MAX_EXPONENT:
            return None
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) else None
