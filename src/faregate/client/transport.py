"""How a request travels: over connections that are kept, again where that is safe. The two
transports differ in who waits, and in nothing else.

Connections belong to the process that opened them (and, on asyncio, to the loop): a forked child
that went on with its parent's would read its parent's answers. It opens its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, TypeVar

import httpx
import msgspec

from faregate.client.address import Address
from faregate.client.calls import Request
from faregate.client.errors import FaregateClientError
from faregate.client.retrying import RetryPolicy, tries_of

T = TypeVar("T")

Steps = Generator[Request[Any], Any, T]
"""What takes several requests: yields each, is sent its answer, returns the result."""

MAX_TIMEOUT_SECONDS: Final = 600


def ask(request: Request[T]) -> Steps[T]:
    """Ask one thing."""
    answer: T = yield request
    return answer


class Route(msgspec.Struct, frozen=True):
    """Where requests go, and with how much patience.

    `timeout_seconds` bounds how long a connection may take to be made and how long the server may
    be silent.
    """

    address: Address
    policy: RetryPolicy
    timeout_seconds: float
    random: Callable[[], float]

    def __post_init__(self) -> None:
        if not 0 < self.timeout_seconds <= MAX_TIMEOUT_SECONDS:
            raise ValueError(
                f"timeout_seconds is {self.timeout_seconds}: "
                f"give more than 0 and at most {MAX_TIMEOUT_SECONDS}"
            )

    @property
    def options(self) -> dict[str, Any]:
        """What httpx must know."""
        return {
            "base_url": self.address.url,
            "headers": self.address.headers(),
            "timeout": self.timeout_seconds,
        }

    def tries(
        self, request: Request[T]
    ) -> Generator[float, httpx.Response | httpx.RequestError, T]:
        """Return a request's tries, the first one about to begin."""
        tries = tries_of(request, self.address.url, self.policy, self.random)
        next(tries)
        return tries


def written(http: httpx.Client | httpx.AsyncClient, request: Request[Any]) -> httpx.Request:
    """Return what travels: the same bytes each time."""
    return http.build_request(
        request.method, f"/v1{request.path}", content=request.body, headers=request.headers
    )


class Transport:
    """Sends requests, for one thread or many."""

    def __init__(self, route: Route, sleep: Callable[[float], object]) -> None:
        self._route = route
        self._sleep = sleep
        self._home = os.getpid()
        self._http = httpx.Client(**route.options)

    def send(self, request: Request[T]) -> T:
        """Send a request until it is answered. Raises `FaregateClientError`."""
        tries = self._route.tries(request)
        try:
            while True:
                self._sleep(tries.send(self._try(request)))
        except StopIteration as answered:
            answer: T = answered.value
        return answer

    def run(self, steps: Steps[T]) -> T:
        """Send what the steps ask for, one request after the other."""
        try:
            request = next(steps)
            while True:
                try:
                    answer = self.send(request)
                except FaregateClientError as failure:
                    request = steps.throw(failure)
                else:
                    request = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
        return result

    def _try(self, request: Request[Any]) -> httpx.Response | httpx.RequestError:
        http = self._connections()
        try:
            return http.send(written(http, request))
        except httpx.RequestError as error:
            return error

    def _connections(self) -> httpx.Client:
        if self._home != os.getpid():
            self._home = os.getpid()
            self._http = httpx.Client(**self._route.options)
        return self._http

    def close(self) -> None:
        """Close the connections."""
        self._connections().close()


class AsyncTransport:
    """Sends requests without blocking the loop."""

    def __init__(self, route: Route, sleep: Callable[[float], Awaitable[object]]) -> None:
        self._route = route
        self._sleep = sleep
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._http = httpx.AsyncClient(**route.options)

    async def send(self, request: Request[T]) -> T:
        """Send a request until it is answered. Raises `FaregateClientError`."""
        tries = self._route.tries(request)
        try:
            while True:
                await self._sleep(tries.send(await self._try(request)))
        except StopIteration as answered:
            answer: T = answered.value
        return answer

    async def run(self, steps: Steps[T]) -> T:
        """Send what the steps ask for, one request after the other."""
        try:
            request = next(steps)
            while True:
                try:
                    answer = await self.send(request)
                except FaregateClientError as failure:
                    request = steps.throw(failure)
                else:
                    request = steps.send(answer)
        except StopIteration as done:
            result: T = done.value
        return result

    async def _try(self, request: Request[Any]) -> httpx.Response | httpx.RequestError:
        http = self._connections()
        try:
            return await http.send(written(http, request))
        except httpx.RequestError as error:
            return error

    def _connections(self) -> httpx.AsyncClient:
        home = (os.getpid(), asyncio.get_running_loop())
        if self._home != home:
            if self._home is not None:
                self._http = httpx.AsyncClient(**self._route.options)
            self._home = home
        return self._http

    async def close(self) -> None:
        """Close the connections."""
        await self._connections().aclose()
