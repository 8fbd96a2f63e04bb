"""When a request is sent again, and how long that waits. Only what is safe is sent again: a full
queue (429), a database that is gone for a while (503), and a connection that broke or timed out, of
which nobody knows whether the request was applied. Each try is the same request to the byte, its
ids included, so that the server applies it once.

The delay before try n is random between 0 and `first_delay_seconds` x 2^(n-2), at most
`max_delay_seconds` (full jitter), and comes on top of what a `Retry-After` header asks for. No I/O
here: whoever sends is told how long to wait, and tells what came of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import httpx
import msgspec

from faregate.client.calls import Request
from faregate.client.errors import error_of, unreachable, unreadable

T = TypeVar("T")

SENT_AGAIN: Final = frozenset((429, 503))
"""Statuses that say: nothing was decided, send it again."""
LOST: Final = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""What may have happened before or after the server applied the request."""
MAX_TRIES: Final = 100
MAX_TOTAL_SECONDS: Final = 3_600

log = logging.getLogger("faregate.client")


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and how long a request is tried. `tries=1` sends everything once.

    No try begins later than `max_total_seconds` after the first one did. Raises `ValueError`.
    """

    tries: int = 6
    first_delay_seconds: float = 0.2
    max_delay_seconds: float = 10
    max_total_seconds: float = 60

    def __post_init__(self) -> None:
        bounds = {"tries": (1, MAX_TRIES)}
        for field in ("first_delay_seconds", "max_delay_seconds", "max_total_seconds"):
            bounds[field] = (0, MAX_TOTAL_SECONDS)
        for field, (least, most) in bounds.items():
            value = getattr(self, field)
            if not least <= value <= most:
                raise ValueError(f"{field} is {value}: give {least} to {most}")

    def delay_seconds(self, tries: int, chance: float) -> float:
        """Return how long to wait after so many tries; `chance` is from 0 to 1."""
        ceiling: float = self.first_delay_seconds * 2 ** (tries - 1)
        return chance * min(ceiling, self.max_delay_seconds)


def tries_of(
    request: Request[T],
    where: str,
    policy: RetryPolicy,
    random: Callable[[], float],
    clock: Callable[[], float] = time.monotonic,
) -> Generator[float, httpx.Response | httpx.RequestError, T]:
    """Be told what came of each try; yield the seconds to wait before the next one, and return the
    answer. (The first value yielded says nothing.) Raises `FaregateClientError`.
    """
    began = clock()
    delay = 0.0
    tries = 0
    while True:
        came = yield delay
        tries += 1
        if isinstance(came, httpx.Response):
            request_id = came.headers.get("x-request-id", "")
            if came.is_success:
                return _read(request, came, request_id)
            failure = error_of(came.status_code, came.content, request_id)
            is_final = came.status_code not in SENT_AGAIN
            asked_for = seconds_asked_for(came.headers)
            reason = str(came.status_code)
        else:
            reason = f"{type(came).__name__}: {came}".rstrip(": ")
            failure = unreachable(where, tries, reason)
            is_final = not isinstance(came, LOST)
            asked_for = 0
        log.info("try %d of %s %s: %s", tries, request.method, request.path, reason)
        if is_final or tries == policy.tries:
            raise failure
        delay = policy.delay_seconds(tries, random()) + asked_for
        if clock() - began + delay > policy.max_total_seconds:
            raise failure


def _read(request: Request[T], response: httpx.Response, request_id: str) -> T:
    try:
        return request.read(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = str(error)
    raise unreadable(response.status_code, reason, request_id)


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
