"""When a request is sent again, and how long that waits. Only what is safe is sent again: a full
queue (429), a database that is gone for a while (503), and a connection that broke or timed out, of
which nobody knows whether the request was applied. Each try is the same request to the byte, its
ids included, so that the server applies it once.

The delay before try n is random between 0 and `first_delay_seconds` x 2^(n-2), at most
`max_delay_seconds` (full jitter), and comes on top of what a `Retry-After` header asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
)

from faregate.client.errors import FaregateClientError

SENT_AGAIN: Final = frozenset((429, 503))
"""Statuses that say: nothing was decided, send it again."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how long a request is tried. `tries=1` sends everything once.

    No try begins later than `max_total_seconds` after the first one did.
    """

    tries: int = 6
    first_delay_seconds: float = 0.2
    max_delay_seconds: float = 10
    max_total_seconds: float = 60


class Again(Exception):
    """A try that failed and may be sent again. Without an `error`, no answer came at all."""

    def __init__(
        self, reason: str, error: FaregateClientError | None = None, after_seconds: float = 0
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.after_seconds = after_seconds


class Backoff:
    """How long to wait before the next try."""

    def __init__(self, policy: RetryPolicy, random: Callable[[], float]) -> None:
        self._policy = policy
        self._random = random

    def __call__(self, state: RetryCallState) -> float:
        """Return the seconds before the next try."""
        policy = self._policy
        ceiling: float = policy.first_delay_seconds * 2 ** min(state.attempt_number - 1, 30)
        delay = self._random() * min(ceiling, policy.max_delay_seconds)
        failure = state.outcome.exception() if state.outcome is not None else None
        return delay + (failure.after_seconds if isinstance(failure, Again) else 0)


def retrying(
    policy: RetryPolicy, sleep: Callable[[float], None], random: Callable[[], float]
) -> Retrying:
    """Return what runs one request's tries."""
    return Retrying(
        sleep=sleep,
        stop=stop_after_attempt(policy.tries) | stop_before_delay(policy.max_total_seconds),
        wait=Backoff(policy, random),
        retry=retry_if_exception_type(Again),
        reraise=True,
    )


def async_retrying(
    policy: RetryPolicy, sleep: Callable[[float], Awaitable[None]], random: Callable[[], float]
) -> AsyncRetrying:
    """Return what runs one request's tries, without blocking the loop."""
    return AsyncRetrying(
        sleep=sleep,
        stop=stop_after_attempt(policy.tries) | stop_before_delay(policy.max_total_seconds),
        wait=Backoff(policy, random),
        retry=retry_if_exception_type(Again),
        reraise=True,
    )


def seconds_asked_for(
    headers: Mapping[str, str], now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float:
    """Return what a `Retry-After` header asks for, in seconds; 0 without a readable one.

    It has seconds or a date (RFC 9110, section 10.2.3).
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now()).total_seconds(), 0)
