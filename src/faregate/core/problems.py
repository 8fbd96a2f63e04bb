"""How a rule says no. A `Problem` is a value, not an exception: one bad command in a batch must
not disturb its neighbours, so `decide` returns it as that command's answer. Each kind has a
stable URN that callers can switch on (RFC 9457, `type`), an HTTP status, and a title; the detail
says what was wrong, with the value, and what to do about it.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """One sort of problem: its stable name, HTTP status and title."""

    name: str
    status: int
    title: str
    meaning: str

    @property
    def urn(self) -> str:
        """The RFC 9457 `type` of this kind, stable for ever."""
        return f"urn:faregate:problem:{self.name}"


MALFORMED: Final = Kind(
    "malformed", 400, "The body is not valid JSON", "Send one JSON document in UTF-8."
)
UNAUTHENTICATED: Final = Kind(
    "unauthenticated",
    401,
    "No valid API key",
    "Send X-CREDYT-API-KEY: <key>, or Authorization: Bearer <key>.",
)
INSUFFICIENT_FUNDS: Final = Kind(
    "insufficient-funds",
    402,
    "The account cannot pay this",
    "The account's overdraft policy forbids the debit. Nothing was booked and the id stays free.",
)
LIMIT_EXCEEDED: Final = Kind(
    "limit-exceeded",
    402,
    "A limit does not allow this",
    "The detail names the limit and when it resets. Nothing was booked and the id stays free.",
)
FORBIDDEN: Final = Kind(
    "forbidden",
    403,
    "The key does not allow this",
    "Use a key with a wider role, or of the account that may; the detail says which.",
)
NOT_FOUND: Final = Kind(
    "not-found", 404, "There is no such thing", "Check the id, and that the key's mode matches."
)
METHOD_NOT_ALLOWED: Final = Kind(
    "method-not-allowed", 405, "This path has no such method", "See /openapi.json for the methods."
)
CONFLICT: Final = Kind(
    "conflict",
    409,
    "It conflicts with what is there",
    "The detail says what is in the way; a repeat must be equal to the first request.",
)
TOO_LARGE: Final = Kind("too-large", 413, "The body is too large", "Send fewer events per request.")
UNSUPPORTED_MEDIA_TYPE: Final = Kind(
    "unsupported-media-type", 415, "The body is not JSON", "Send Content-Type: application/json."
)
INVALID: Final = Kind(
    "invalid", 422, "The request cannot be accepted", "`errors` names each field and its remedy."
)
OVERLOADED: Final = Kind(
    "overloaded",
    429,
    "Too much at once",
    "The queue is full. Nothing was applied; send again after Retry-After seconds.",
)
INTERNAL: Final = Kind(
    "internal", 500, "A fault of ours", "Report the request id; whether it was applied is unknown."
)
UNAVAILABLE: Final = Kind(
    "unavailable",
    503,
    "It cannot be made durable now",
    "Send the same request again: what was already applied is not applied twice.",
)

KINDS: Final[tuple[Kind, ...]] = (
    MALFORMED,
    UNAUTHENTICATED,
    INSUFFICIENT_FUNDS,
    LIMIT_EXCEEDED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    CONFLICT,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID,
    OVERLOADED,
    INTERNAL,
    UNAVAILABLE,
)


class Problem(msgspec.Struct, frozen=True):
    """A refusal: its kind, a sentence, and messages by field path (`events[2].occurred_at`)."""

    kind: Kind
    detail: str
    errors: dict[str, list[str]] = {}
    retry_after_seconds: int | None = None

    def under(self, prefix: str) -> Problem:
        """Return the same problem seen from one level up: each field path gains a prefix."""
        moved = {f"{prefix}.{path}" if path else prefix: e for path, e in self.errors.items()}
        return Problem(self.kind, f"{prefix}: {self.detail}", moved, self.retry_after_seconds)


def invalid(path: str, message: str) -> Problem:
    """Make the problem of one bad field: `invalid("amount", "is 0: send another amount")`."""
    return Problem(INVALID, f"{path} {message}", {path: [message]})


def conflict(path: str, detail: str, *more: str) -> Problem:
    """Make the problem of something that is in the way, with the fields that it is about."""
    return Problem(CONFLICT, detail, {field: [detail] for field in (path, *more)})


def invalid_fields(errors: dict[str, list[str]]) -> Problem:
    """Make one problem of many bad fields; the detail shows the first."""
    path, messages = next(iter(errors.items()))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(INVALID, f"{path} {messages[0]}{more}", errors)


class FaregateError(Exception):
    """What an operation of the engine raises when it is refused; nothing was changed.

    `problem` has the kind, the sentence and the fields.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
