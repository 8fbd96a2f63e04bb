"""The way between a client and a real server, on which things go wrong: an answer that another box
gives (429, 503), a connection that ends before the request arrives, and one that ends after the
server has applied the request. It speaks HTTP/1.1 with bodies of a known length, passes everything
else on as it is, and remembers what passed; `arrived` counts it, for a test that must wait.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

LOST_BEFORE = "lost before the server saw it"
LOST_AFTER = "lost after the server answered"
PROBLEM = (
    b'{"type": "urn:faregate:problem:unavailable", "title": "Not now", "status": %d, '
    b'"detail": "try again", "instance": "/", "request_id": "req_double"}'
)


def answered(status: int, *headers: str) -> bytes:
    """An answer that never was the server's."""
    body = PROBLEM % status
    lines = [f"HTTP/1.1 {status} Not Now", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Passed(NamedTuple):
    """A request that came by."""

    line: str
    head: bytes
    body: bytes


class UnreliableWay:
    """Where the client connects to. `faults` are used up, one per request, the first first."""

    def __init__(self, server_url: str) -> None:
        self.server = urlsplit(server_url)
        self.faults: list[bytes | str | None] = []
        self.passed: list[Passed] = []
        self.arrived = threading.Semaphore(0)
        self.connections = 0
        self.url = ""

    def fails(self, *faults: bytes | str | None) -> None:
        """Say what goes wrong with the next requests; None: nothing."""
        self.passed.clear()
        self.faults[:] = faults

    @property
    def bodies(self) -> set[bytes]:
        """The different bodies that came by."""
        return {passed.body for passed in self.passed}

    async def meet(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass one connection's requests on."""
        self.connections += 1
        try:
            while True:
                head, body = await _message(reader)
                self.passed.append(Passed(head.split(b"\r\n")[0].decode(), head, body))
                self.arrived.release()
                fault = self.faults.pop(0) if self.faults else None
                if fault == LOST_BEFORE:
                    return
                answer = fault if isinstance(fault, bytes) else await self._ask(head + body)
                if fault == LOST_AFTER:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _ask(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self.server.hostname, self.server.port)
        try:
            writer.write(request)
            return b"".join(await _message(reader))
        finally:
            writer.close()


async def _message(reader: StreamReader) -> tuple[bytes, bytes]:
    """Read a request or an answer: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head, await reader.readexactly(length)


@contextmanager
def unreliable_way(server_url: str) -> Iterator[UnreliableWay]:
    """Stand between a client and this server until the block ends."""
    way = UnreliableWay(server_url)
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def stand() -> None:
        listening = await asyncio.start_server(way.meet, "127.0.0.1", 0)
        host, port = _name(listening.sockets)
        way.url = f"http://{host}:{port}"
        ready.set()
        await done.wait()
        listening.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(stand()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield way
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


def _name(sockets: Sequence[asyncio.trsock.TransportSocket]) -> tuple[str, int]:
    host, port = sockets[0].getsockname()[:2]
    return host, port
