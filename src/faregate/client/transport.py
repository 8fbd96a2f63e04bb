"""How a request travels: over connections that are kept, again where that is safe, and back as an
answer or an error. One shape for both clients; what differs is who waits.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar

import httpx
import msgspec

from faregate.client.errors import FaregateClientError, error_of, unreachable, unreadable
from faregate.client.requests import Request
from faregate.client.retrying import (
    SENT_AGAIN,
    Again,
    RetryPolicy,
    async_retrying,
    retrying,
    seconds_asked_for,
)
from faregate.core.codec import decode

T = TypeVar("T")

LOST: Final = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""What may have happened before or after the server applied the request."""

log = logging.getLogger("faregate.client")


class Exchange(Generic[T]):
    """One request's tries, and what the answers to them mean."""

    def __init__(self, request: Request[T], where: str) -> None:
        self._request = request
        self._where = where
        self._tries = 0

    def begin(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Make the request of the next try: the same bytes each time."""
        self._tries += 1
        request = self._request
        return http.build_request(
            request.method, f"/v1{request.path}", content=request.body, headers=request.headers
        )

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> T:
        """Return the answer. Raises `Again` or `FaregateClientError`."""
        request_id = headers.get("x-request-id", "")
        if status in SENT_AGAIN:
            error = error_of(status, body, request_id)
            self._tell(str(status))
            raise Again(str(status), error, seconds_asked_for(headers))
        if not 200 <= status < 300:
            raise error_of(status, body, request_id)
        try:
            return decode(self._request.answer, body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            reason = str(error)
        raise unreadable(status, reason, request_id)

    def lost(self, error: httpx.RequestError) -> Again | FaregateClientError:
        """Return what a connection's end means. Nothing of the request stays in it."""
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        if isinstance(error, LOST):
            self._tell(reason)
            return Again(reason)
        return unreachable(self._where, self._tries, reason)

    def failed(self, again: Again) -> FaregateClientError:
        """Return the error of a request that was tried often enough."""
        return again.error or unreachable(self._where, self._tries, again.reason)

    def _tell(self, reason: str) -> None:
        request = self._request
        log.info("try %d of %s %s: %s", self._tries, request.method, request.path, reason)


class Transport:
    """Sends requests, one thread at a time or many."""

    def __init__(
        self,
        where: str,
        http: httpx.Client,
        policy: RetryPolicy,
        sleep: Callable[[float], None],
        random: Callable[[], float],
    ) -> None:
        self._where = where
        self._http = http
        self._policy = policy
        self._sleep = sleep
        self._random = random

    def send(self, request: Request[T]) -> T:
        """Send a request until it is answered. Raises `FaregateClientError`."""
        exchange = Exchange(request, self._where)
        tries = retrying(self._policy, self._sleep, self._random)
        try:
            answer: T = tries(self._try, exchange)
            return answer
        except Again as again:
            failure = exchange.failed(again)
        raise failure

    def _try(self, exchange: Exchange[T]) -> T:
        try:
            answer = self._http.send(exchange.begin(self._http))
        except httpx.RequestError as error:
            lost = exchange.lost(error)
        else:
            return exchange.read(answer.status_code, answer.headers, answer.content)
        raise lost

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """The same, without blocking the loop."""

    def __init__(
        self,
        where: str,
        http: httpx.AsyncClient,
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
    ) -> None:
        self._where = where
        self._http = http
        self._policy = policy
        self._sleep = sleep
        self._random = random

    async def send(self, request: Request[T]) -> T:
        """Send a request until it is answered. Raises `FaregateClientError`."""
        exchange = Exchange(request, self._where)
        tries = async_retrying(self._policy, self._sleep, self._random)
        try:
            answer: T = await tries(self._try, exchange)
            return answer
        except Again as again:
            failure = exchange.failed(again)
        raise failure

    async def _try(self, exchange: Exchange[T]) -> T:
        try:
            answer = await self._http.send(exchange.begin(self._http))
        except httpx.RequestError as error:
            lost = exchange.lost(error)
        else:
            return exchange.read(answer.status_code, answer.headers, answer.content)
        raise lost

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
