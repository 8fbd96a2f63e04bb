"""Where the demo's webhooks arrive: a small receiver on a port of its own, of which two paths take
what comes, one is always broken, and one asks to come back later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

_ANSWERS: Final = {
    "/billing": "204 No Content",
    "/crm": "200 OK",
    "/broken": "500 Internal Server Error",
    "/chat": "503 Service Unavailable",
}
_MAX_BODY: Final = 1_048_576


@asynccontextmanager
async def hearing() -> AsyncIterator[str]:
    """Receive webhooks while the block runs; yields the receiver's URL."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await server.wait_closed()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request of a connection."""
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            names = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            length = int(names.get("content-length", 0))
            if length > _MAX_BODY:
                break
            await reader.readexactly(length)
            status = _ANSWERS.get(first.split(" ")[1], "404 Not Found")
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
    writer.close()
