"""One attempt to hand a webhook over: one POST, its time and its answer bounded, to an address that
was looked at (`connecting` looks at those of names). Redirects are answers like any other, which
are not followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import msgspec
from yarl import URL

from faregate.core.problems import FaregateError
from faregate.webhooks.addresses import Allowed, ForbiddenAddress, check_address, check_url
from faregate.webhooks.resolving import SystemResolver

if TYPE_CHECKING:
    from faregate.webhooks.connecting import Connections

ATTEMPT_SECONDS: Final = 10.0
MAX_KEPT: Final = 256
"""Connections that are kept open for a while after use."""
KEEP_SECONDS: Final = 15.0
_OK: Final = range(200, 300)

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Answer(msgspec.Struct, frozen=True):
    """What a destination answered; `problem` is empty if it has taken the webhook."""

    status: int | None
    problem: str


@lru_cache(maxsize=4096)
def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class _Origin(msgspec.Struct):
    """A host and port: how many of its connections may be kept, are in use, and when last."""

    kept: int = 0
    in_use: int = 0
    used_at: float = 0.0


class Keeping:
    """Whose connections are kept after use: at most `limit` of all, each for `seconds` since it was
    used. Those that come when all places are taken have connections that are closed at once."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._kept = 0
        # Those that were used last come last.
        self._origins: dict[str, _Origin] = {}

    def take(self, name: str, now: float) -> bool:
        """Ask for a kept connection; if true, it is to be given back."""
        origin = self._origins.get(name)
        if origin is not None and origin.in_use < origin.kept:
            origin.in_use += 1
            return True
        if self._kept >= self._limit:
            self._forget(now)
        if self._kept >= self._limit:
            return False
        origin = self._origins.setdefault(name, _Origin())
        origin.kept += 1
        origin.in_use += 1
        self._kept += 1
        return True

    def give_back(self, name: str, now: float) -> None:
        """Say that a connection is not in use any more."""
        origin = self._origins.pop(name)
        self._origins[name] = origin
        origin.in_use -= 1
        origin.used_at = now

    def _forget(self, now: float) -> None:
        """Make room of what has been closed, as it was not used for so long."""
        for name, origin in list(self._origins.items()):
            if origin.in_use == 0:
                if now - origin.used_at < self._seconds:
                    return
                self._kept -= origin.kept
                del self._origins[name]


class Poster:
    """Posts webhooks, as many at once as it is asked to: none waits for another's connection."""

    def __init__(self, allowed: Allowed, resolve: Resolve | None = None) -> None:
        self.allowed = allowed
        self._system = SystemResolver()
        self._resolve = resolve or self._system
        # A connection may stay twice as long as it is told to.
        self._keeping = Keeping(MAX_KEPT, 2 * KEEP_SECONDS)
        self._connections: Connections | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            await self._connections.close()
        self._connections = None
        self._keeping = Keeping(MAX_KEPT, 2 * KEEP_SECONDS)
        self._system.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once. Whatever happens is an answer."""
        try:
            # What was allowed when it was registered may not be so today.
            check_url(url, self.allowed)
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status = await self._send(URL(url, encoded=True), headers, body)
        except FaregateError as error:
            return Answer(None, error.problem.detail)
        except ForbiddenAddress as error:
            return Answer(None, str(error))
        except TimeoutError:
            return Answer(None, f"did not answer within {ATTEMPT_SECONDS:.0f} seconds")
        except (OSError, UnicodeError) as error:
            return Answer(None, f"could not be reached: {error or type(error).__name__}")
        if status in _OK:
            return Answer(status, "")
        note = ": redirects are not followed" if 300 <= status < 400 else ""
        return Answer(status, f"answered {status}{note}")

    async def _send(self, url: URL, headers: Mapping[str, str], body: bytes) -> int:
        host = url.host or ""
        # An address in the URL itself, as the one who connects reads it.
        if _is_address(host):
            check_address(host, host, self.allowed)
        loop = asyncio.get_running_loop()
        origin = f"{url.scheme}://{url.raw_host}:{url.port}"
        is_kept = self._keeping.take(origin, loop.time())
        try:
            connections = self._connections or await self._connect()
            return await connections.post(url, headers, body, is_kept=is_kept)
        finally:
            if is_kept:
                self._keeping.give_back(origin, loop.time())

    async def _connect(self) -> Connections:
        # In a thread: whoever sends no webhook never loads it, and while it loads, whatever else is
        # served goes on.
        loaded = await asyncio.to_thread(import_module, "faregate.webhooks.connecting")
        if self._connections is None:
            self._connections = loaded.Connections(self.allowed, self._resolve, KEEP_SECONDS)
        return self._connections
