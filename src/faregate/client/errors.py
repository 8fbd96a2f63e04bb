"""What the client raises. Every error has a `problem` that says what was wrong, and a message that
says what to do about it. None holds the request that failed, in which the API key is.
"""

from __future__ import annotations

from typing import Final

import msgspec

from faregate.core.amounts import plain
from faregate.core.problems import KINDS, FaregateError
from faregate.customers.types import Hold
from faregate.customers.wire import ProblemDetails

MAX_SHOWN: Final = 300
_REMEDIES: Final = {kind.urn: kind.meaning for kind in KINDS}


class FaregateClientError(Exception):
    """A request failed. `problem` says why: `type`, `status`, `detail`, `errors`, `request_id`."""

    def __init__(self, problem: ProblemDetails) -> None:
        super().__init__(_message(problem))
        self.problem = problem


class PaymentRequired(FaregateClientError):
    """The account cannot pay and its overdraft policy forbids going below zero, or a limit forbids
    it (402; `problem.type` says which). Nothing was booked: once the customer has topped up, or the
    limit begins anew, the same request may be sent again."""


class Unreachable(FaregateClientError):
    """No server answered, however often it was asked. Whether the request was applied is unknown:
    send it again with the same ids, and it is applied once."""


class Declined(FaregateClientError):
    """A hold was not granted. `hold` says why: `decline_code`, `detail`, `top_up_needed`, and
    `limit` with its `resets_at`."""

    def __init__(self, hold: Hold) -> None:
        detail = f"{hold.decline_code}: {hold.detail}"
        if hold.top_up_needed is not None:
            needed = f"{plain(hold.top_up_needed)} {hold.asset}"
            detail = f"{detail} (a top-up of {needed} would make it pass)"
        super().__init__(_problem("declined", "The hold was declined", 200, detail))
        self.hold = hold


def refused_here(error: FaregateError) -> FaregateClientError:
    """Return the error of a request that was never sent: the API would refuse it."""
    kind, problem = error.problem.kind, error.problem
    return FaregateClientError(
        ProblemDetails(kind.urn, kind.title, kind.status, problem.detail, "", "", problem.errors)
    )


def unreachable(where: str, tries: int, reason: str) -> Unreachable:
    """Return the error of a request to which no answer came."""
    detail = (
        f"no answer from {where} after {tries} {'try' if tries == 1 else 'tries'} ({reason}): "
        "check the address and that the server runs. Whether the request was applied is unknown: "
        "send it again with the same ids and it is applied once"
    )
    return Unreachable(_problem("unreachable", "No server answered", 0, detail))


def unknown(error: Exception) -> FaregateClientError:
    """Return the error of a batch that failed in a way nobody foresaw."""
    detail = f"{type(error).__name__}: {error}"
    return FaregateClientError(_problem("unknown", "A fault of the client's", 0, detail))


def unreadable(status: int, reason: str, request_id: str) -> FaregateClientError:
    """Return the error of an answer that is not Faregate's, or not what was promised."""
    detail = f"the answer cannot be read ({reason}): check that the address is Faregate's, and "
    detail += "what stands between here and there"
    title = "An answer of something else"
    return FaregateClientError(_problem("unreadable", title, status, detail, request_id))


def error_of(status: int, body: bytes, request_id: str) -> FaregateClientError:
    """Return the error that an answer is."""
    try:
        problem = msgspec.json.decode(body, type=ProblemDetails)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        shown = body[:MAX_SHOWN].decode("utf-8", "replace").strip()
        return unreadable(status, repr(shown), request_id)
    return PaymentRequired(problem) if status == 402 else FaregateClientError(problem)


def _problem(
    name: str, title: str, status: int, detail: str, request_id: str = ""
) -> ProblemDetails:
    """Make a problem that the client has found. `status` is 0 where no server has answered."""
    return ProblemDetails(f"urn:faregate:client:{name}", title, status, detail, "", request_id)


def _message(problem: ProblemDetails) -> str:
    text = f"{problem.title}: {problem.detail}"
    if problem.status >= 400:
        text = f"{problem.status} {text}"
    remedy = _REMEDIES.get(problem.type)
    if remedy and remedy not in text:
        text = f"{text.rstrip('.')}. {remedy}"
    return f"{text} (request {problem.request_id})" if problem.request_id else text
