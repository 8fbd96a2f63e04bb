"""A receiver of webhooks on a loopback port: it keeps what arrives, and answers as it is told to,
or never."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

HANG = 0


class Arrived(NamedTuple):
    """One request, and when it came (seconds of the loop's clock)."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers each request with the status that `answer` returns (HANG: none)."""

    def __init__(self) -> None:
        self.port = 0
        self.arrived: list[Arrived] = []
        self.answer: Callable[[Arrived], int] = lambda _: 200
        self.location = ""
        self.tail = b""
        self.under_way = 0
        self.most_under_way = 0
        self.delay = 0.0
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def events(self) -> list[Any]:
        return [one.event for one in self.arrived]

    async def has(self, count: int, seconds: float = 30) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.arrived) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        one = Arrived(first.split(" ")[1], headers, body, asyncio.get_running_loop().time())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            status = self.answer(one)
            async with self._news:
                self.arrived.append(one)
                self._news.notify_all()
            if status == HANG:
                await asyncio.Event().wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            location = f"location: {self.location}\r\n" if self.location else ""
            start = f"HTTP/1.1 {status} X\r\n{location}content-length: {len(self.tail)}\r\n\r\n"
            writer.write(start.encode() + self.tail)
            await writer.drain()
        finally:
            self.under_way -= 1
        return True

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def receiving(host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Receive until the block ends."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver._serve, host, 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.stop()
        with suppress(asyncio.CancelledError):
            await server.wait_closed()
