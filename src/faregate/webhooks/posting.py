"""One attempt to hand a webhook over: one POST, its time and its answer bounded, to an address that
was looked at. The name is resolved here and the connection made to the very address that was
checked, so that a name cannot change in between; redirects are answers like any other, which are
not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpcore
import msgspec

from faregate.core.problems import FaregateError
from faregate.webhooks.addresses import Allowed, ForbiddenAddress, check_address, check_url

ATTEMPT_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_KEPT: Final = 128
"""Destinations whose connections are kept open for a while after use."""
KEEP_SECONDS: Final = 15.0
MAX_CONNECTIONS: Final = 8
_RESOLVERS: Final = 64
_OK: Final = range(200, 300)

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Answer(msgspec.Struct, frozen=True):
    """What a destination answered; `problem` is empty if it has taken the webhook."""

    status: int | None
    problem: str


class SystemResolver:
    """The system's resolver, in threads of its own: names that hang delay nobody else's work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="webhook-names")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return a host's addresses. Raises `OSError`."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, _addresses, host, port
        )
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, allowed: Allowed, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the protocol's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check every address, and connect to the first that answers."""
        addresses = await self._resolve(host, port)
        for address in addresses:
            check_address(host, address, self._allowed)
        failed: Exception = OSError(f"{host} has no address")
        for address in addresses[:2]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Refuse: a webhook goes over the network."""
        raise ForbiddenAddress("webhooks go to no socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Poster:
    """Posts webhooks. Each destination has connections of its own, so that none waits for
    another's; of those that were used last some are kept."""

    def __init__(self, allowed: Allowed, resolve: Resolve | None = None) -> None:
        self.allowed = allowed
        self._system = SystemResolver()
        self._backend = _CheckedNetwork(allowed, resolve or self._system)
        self._tls: ssl.SSLContext | None = None
        self._pools: OrderedDict[str, httpcore.AsyncConnectionPool] = OrderedDict()
        self._in_use: dict[str, int] = {}

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()
        self._pools.clear()
        self._system.close()

    async def post(self, key: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once. Whatever happens is an answer."""
        try:
            # What was allowed when it was registered may not be so today.
            check_url(url, self.allowed)
            self._in_use[key] = self._in_use.get(key, 0) + 1
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    status = await self._send(self._pool(key), url, headers, body)
            finally:
                self._in_use[key] -= 1
                await self._tidy()
        except FaregateError as error:
            return Answer(None, error.problem.detail)
        except ForbiddenAddress as error:
            return Answer(None, str(error))
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(None, f"did not answer within {ATTEMPT_SECONDS:.0f} seconds")
        except (OSError, UnicodeError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Answer(None, f"could not be reached: {error or type(error).__name__}")
        if status in _OK:
            return Answer(status, "")
        note = ": redirects are not followed" if 300 <= status < 400 else ""
        return Answer(status, f"answered {status}{note}")

    async def _send(
        self,
        pool: httpcore.AsyncConnectionPool,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> int:
        timeouts = {"connect": CONNECT_SECONDS, "pool": ATTEMPT_SECONDS}
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with pool.stream(
            "POST", url, headers=sent, content=body, extensions={"timeout": timeouts}
        ) as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > MAX_ANSWER_BYTES:
                    break
            return int(response.status)

    def _pool(self, key: str) -> httpcore.AsyncConnectionPool:
        pool = self._pools.get(key)
        if pool is None:
            self._tls = self._tls or httpcore.default_ssl_context()
            pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=2,
                keepalive_expiry=KEEP_SECONDS,
                network_backend=self._backend,
            )
            self._pools[key] = pool
        self._pools.move_to_end(key)
        return pool

    async def _tidy(self) -> None:
        """Close what has not been used for longest."""
        if len(self._pools) <= MAX_KEPT:
            return
        spare = len(self._pools) - MAX_KEPT
        idle = [key for key in list(self._pools)[:spare] if not self._in_use.get(key)]
        # Taken out before anything is waited for: others tidy up at the same time.
        closing = [self._pools.pop(key) for key in idle]
        for key in idle:
            self._in_use.pop(key, None)
        for pool in closing:
            with contextlib.suppress(Exception):
                await pool.aclose()
