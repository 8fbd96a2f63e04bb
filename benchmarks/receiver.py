"""Receives webhooks in a process of its own: takes those to `/good/…`, never answers those to
`/hang/…`, and notes when each came. Its report is one line of JSON, when its input is closed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

_OK = b"HTTP/1.1 204 No Content\r\n\r\n"
arrived: list[tuple[str, str, float]] = []


class _Receiving(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].decode().split("\r\n")
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:])}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._data) < whole:
                return
            self._data = self._data[whole:]
            path = head[0].split(" ")[1]
            arrived.append((path, headers["webhook-id"], time.time()))
            if path.startswith("/good/"):
                self._transport.write(_OK)


async def _receive() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Receiving, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(arrived), flush=True)


if __name__ == "__main__":
    uvloop.run(_receive())
