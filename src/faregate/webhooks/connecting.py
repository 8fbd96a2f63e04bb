"""The connections by which webhooks are handed over. A name is resolved here, and the connection is
made to the very address that was checked: a name cannot change in between. It stands apart from
`posting` because aiohttp takes long to load: that is done when the first webhook is sent.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from faregate.webhooks.addresses import Allowed, check_address

CONNECT_SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_ADDRESSES: Final = 2
"""Of one name, that are tried."""

Resolve = Callable[[str, int], Awaitable[list[str]]]


class CheckedResolver(AbstractResolver):
    """Resolves names to addresses that were checked; the connection is made to one of these."""

    def __init__(self, allowed: Allowed, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve, and check every address. Raises `ForbiddenAddress`, `OSError`."""
        addresses = await self._resolve(host, port)
        for address in addresses:
            check_address(host, address, self._allowed)
        if not addresses:
            raise OSError(f"{host} has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses[:MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is to be let go of here."""


class Connections:
    """Two sessions: one keeps its connections for a while after use, one closes them at once."""

    def __init__(self, allowed: Allowed, resolve: Resolve, keep_seconds: float) -> None:
        self._resolver = CheckedResolver(allowed, resolve)
        tls = ssl.create_default_context()
        tls.load_verify_locations(certifi.where())
        self._keeps = self._open(tls, keepalive_timeout=keep_seconds)
        self._closes = self._open(tls, force_close=True)

    async def post(
        self, url: URL, headers: Mapping[str, str], body: bytes, *, is_kept: bool
    ) -> int:
        """Post once, and return the answer's status. Raises `OSError`, `TimeoutError` among them,
        and `UnicodeError` if there is none."""
        session = self._keeps if is_kept else self._closes
        try:
            async with session.post(
                url, headers=headers, data=body, allow_redirects=False
            ) as response:
                read = 0
                async for chunk in response.content.iter_any():
                    read += len(chunk)
                    if read > MAX_ANSWER_BYTES:
                        response.close()
                        break
                return response.status
        except OSError:
            raise
        except aiohttp.ClientError as error:
            raise OSError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._keeps.close()
        await self._closes.close()

    def _open(self, tls: ssl.SSLContext, **keeping: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls, resolver=self._resolver, use_dns_cache=False, limit=0, **keeping
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            auto_decompress=False,
        )
