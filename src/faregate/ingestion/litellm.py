"""Reads what LiteLLM's generic callback (`generic_api`) posts: its standard logging payload of each
call of a model, in an array (as it comes), one per line, or a single one.

What people wrote, what models answered and LiteLLM's price list stand in it too: they are left out
unread, so no rule can take them over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.instants import EPOCH, is_in_range
from faregate.core.observed import Observed, Scalar, Told, Unreadable, told_id
from faregate.core.problems import OVERLOADED, UNAVAILABLE, FaregateError, Problem, invalid
from faregate.ingestion.answering import answer_json
from faregate.ingestion.flattening import flatten, read_items, read_json, refuse_many
from faregate.ingestion.way import Sent, Way

PATH: Final = "/v1/litellm"
MAX_BYTES: Final = 32 * 1024 * 1024
"""A batch has 512 calls, each with what was written and some 10 KB of LiteLLM's price list."""
UNREAD: Final = frozenset(
    (
        "messages",
        "response",
        "model_map_information",
        "error_str",
        "error_information",
        "guardrail_information",
        "response_cost_failure_debug_info",
    )
)
PARAMETERS: Final = "model_parameters"
_KEPT_PARAMETERS: Final = ("user", "stream", "service_tier", "safety_identifier")
"""Of a call's parameters, those that are no text that people wrote (tools have such)."""
_MAX_SECONDS: Final = 10**11


def read_litellm(sent: Sent) -> list[Told]:
    """Read calls of models. Raises `FaregateError` (400, 413) if nothing of it can be read."""
    body = sent.body.strip()
    if body[:1] == b"[":
        return [_read(item, f"[{n}]") for n, item in enumerate(read_items(body))]
    try:
        return [_read_call(read_json(body, dict[str, msgspec.Raw]), "call")]
    except FaregateError:
        if b"\n" not in body:
            raise
    refuse_many(body.count(b"\n") + 1)
    lines = [(n, line) for n, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    return [_read(line, f"line {n}") for n, line in lines]


def _read(item: bytes, place: str) -> Told:
    try:
        return _read_call(read_json(item, dict[str, msgspec.Raw]), place)
    except FaregateError as error:
        return Unreadable(place, error.problem)


def _read_call(payload: dict[str, msgspec.Raw], place: str) -> Told:
    ids = [read_json(payload.get(name, b"null")) for name in ("id", "litellm_call_id")]
    event_id = told_id(*[one for one in ids if isinstance(one, str) and one])
    try:
        if not any(ids):
            raise FaregateError(invalid("id", "is missing: send LiteLLM's standard payload"))
        occurred_at = _ended_at(read_json(payload.get("endTime", b"null")))
        fields: dict[str, Scalar] = {}
        for name, raw in payload.items():
            if name not in UNREAD:
                flatten(fields, name, _kept(name, read_json(raw)))
    except FaregateError as error:
        return Unreadable(place, error.problem, event_id)
    kind = fields.get("call_type")
    return Observed(event_id, occurred_at, str(kind or "call"), fields, place)


def _kept(name: str, value: Any) -> Any:
    if name != PARAMETERS or not isinstance(value, dict):
        return value
    return {key: value[key] for key in _KEPT_PARAMETERS if key in value}


def _ended_at(seconds: object) -> datetime:
    """Return the instant of so many seconds since 1970, to the microsecond."""
    if type(seconds) is int or isinstance(seconds, Decimal):
        exact = Decimal(seconds)
        moment = EPOCH
        if 0 < exact < _MAX_SECONDS:
            moment += timedelta(microseconds=int(exact * 1_000_000))
        if moment > EPOCH and is_in_range(moment):
            return moment
    shown = "is missing" if seconds is None else f"is {seconds!r:.40}"
    raise FaregateError(invalid("endTime", f"{shown}: send it in seconds since 1970"))


def told_to_wait(problem: Problem) -> Problem:
    """Return what LiteLLM is told instead of 429, after which it does not send again: 503."""
    if problem.kind is not OVERLOADED:
        return problem
    return Problem(UNAVAILABLE, problem.detail, problem.errors, problem.retry_after_seconds)


LITELLM: Final = Way(
    "litellm", PATH, read_litellm, answer_json, retell=told_to_wait, max_bytes=MAX_BYTES
)
