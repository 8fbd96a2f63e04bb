"""Reads CloudEvents 1.0 from HTTP: one in a body of its own format (structured), one with its
attributes as headers (binary), or many (batch). Attributes are fields under their names, what the
data says under `data.…`. An event is unique by its source and id together, as the standard has it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from faregate.core.instants import is_in_range
from faregate.core.observed import MAX_ID, Observed, Scalar, Told, Unreadable, told_id
from faregate.core.problems import (
    UNSUPPORTED_MEDIA_TYPE,
    FaregateError,
    Problem,
    invalid,
)
from faregate.ingestion.answering import answer_json
from faregate.ingestion.flattening import flatten, read_items, read_json
from faregate.ingestion.way import Sent, Way

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
PATH: Final = "/v1/cloudevents"
_REQUIRED: Final = ("id", "source", "type")
_MAX_ATTRIBUTES: Final = 100


def read_cloudevents(sent: Sent) -> list[Told]:
    """Read what was sent in any of the three modes. Raises `FaregateError` (400, 415)."""
    media_type = _media_type(sent.headers.get("content-type", ""))
    if media_type == BATCH:
        return _read_batch(sent)
    if media_type == STRUCTURED:
        return [_read_structured(sent.body, "event", sent)]
    if "ce-specversion" in sent.headers:
        return [_read_binary(sent)]
    if media_type in ("", "application/json"):
        # Not what the standard says, but there is only one thing that it can be.
        if sent.body.lstrip()[:1] == b"[":
            return _read_batch(sent)
        return [_read_structured(sent.body, "event", sent)]
    detail = (
        f"the body is {media_type[:100]!r}: send {STRUCTURED}, {BATCH}, or the attributes as "
        "ce-… headers"
    )
    raise FaregateError(Problem(UNSUPPORTED_MEDIA_TYPE, detail))


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type in ("application/json", "text/json") or media_type.endswith("+json")


def _read_batch(sent: Sent) -> list[Told]:
    items = read_items(sent.body)
    return [_read_structured(item, f"[{n}]", sent) for n, item in enumerate(items)]


def _read_structured(body: bytes, place: str, sent: Sent) -> Told:
    try:
        attributes: dict[str, Any] = read_json(body, dict[str, Any])
        data = attributes.pop("data", None)
        media_type = _media_type(str(attributes.get("datacontenttype") or "application/json"))
        packed = attributes.pop("data_base64", None)
        if packed is not None:
            data = _unpacked(packed) if _is_json(media_type) else None
        elif not _is_json(media_type):
            data = None
        return _observed(attributes, data, place, sent)
    except FaregateError as error:
        return Unreadable(place, error.problem)


def _unpacked(packed: object) -> Any:
    try:
        raw = base64.b64decode(str(packed), validate=True)
    except (binascii.Error, ValueError):
        raise FaregateError(invalid("data_base64", "is no base64: encode the data anew")) from None
    return read_json(raw)


def _read_binary(sent: Sent) -> Told:
    attributes: dict[str, Any] = {
        name[3:]: unquote(value.strip('"'))
        for name, value in sent.headers.items()
        if name.startswith("ce-")
    }
    content_type = sent.headers.get("content-type", "")
    if content_type:
        attributes["datacontenttype"] = content_type
    try:
        is_json = _is_json(_media_type(content_type or "application/json"))
        data = read_json(sent.body) if sent.body and is_json else None
        return _observed(attributes, data, "event", sent)
    except FaregateError as error:
        return Unreadable("event", error.problem)


def _observed(attributes: Mapping[str, Any], data: Any, place: str, sent: Sent) -> Told:
    version = attributes.get("specversion")
    if version != "1.0":
        shown = "is missing" if version is None else f"is {version!r:.40}"
        raise FaregateError(invalid("specversion", f"{shown}: send CloudEvents of version 1.0"))
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise FaregateError(invalid(name, "is missing: every CloudEvent has one"))
    if len(attributes) > _MAX_ATTRIBUTES:
        detail = f"are {len(attributes)}: send at most {_MAX_ATTRIBUTES}"
        raise FaregateError(invalid("attributes", detail))
    event_id = told_id(attributes["source"], attributes["id"])
    fields: dict[str, Scalar] = {
        name: value for name, value in attributes.items() if isinstance(value, (str, bool, int))
    }
    time = attributes.get("time")
    try:
        occurred_at = sent.received_at if time is None else _instant(time)
        flatten(fields, "data", data)
    except FaregateError as error:
        return Unreadable(place, error.problem, event_id[:MAX_ID])
    return Observed(
        event_id, occurred_at, attributes["type"], fields, place, has_own_time=time is not None
    )


def _instant(time: object) -> datetime:
    try:
        moment = msgspec.convert(time, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None or not is_in_range(moment):
        raise FaregateError(invalid("time", f"is {time!r:.60}: write it as 2026-03-01T12:00:00Z"))
    return moment.astimezone(UTC)


CLOUDEVENTS: Final = Way("cloudevents", PATH, read_cloudevents, answer_json)
