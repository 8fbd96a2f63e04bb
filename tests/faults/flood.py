"""A flood of requests from a process of its own: so many per second, whether they are answered or
not (an open loop), or as fast as so many connections get their answers (a closed one). It speaks
HTTP by hand, to be much faster than the server; prints what became of them as JSON.

    python -m tests.faults.flood URL CUSTOMER PREFIX SECONDS CONNECTIONS [RATE]
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter, deque
from datetime import UTC, datetime
from urllib.parse import urlsplit

import uvloop
from tests.faults.serving import KEY

EVENTS = 50
"""In each request."""
TICK_SECONDS = 0.002
DRAIN_SECONDS = 60


class Flood:
    """Requests, and what became of them."""

    def __init__(self, url: str, customer_id: str, prefix: str) -> None:
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []
        """Seconds until each of the accepted was answered."""
        self.free: deque[Connection] = deque()
        self.connections = 0
        self.given_up = 0
        """Requests that were due when all connections waited for an answer."""
        self.goes_on = False
        self.lost_requests = 0
        self._where = urlsplit(url)
        self._made = 0
        self._prefix = prefix
        now = datetime.now(UTC).isoformat()
        events = [
            {"id": f"@@@@@@@@@@@@@@@@.{n}", "event_type": "llm", "occurred_at": now}
            | {"data": {"tokens": 1}}
            for n in range(EVENTS)
        ]
        body = json.dumps({"customer_id": customer_id, "events": events}).encode()
        head = (
            f"POST /v1/events HTTP/1.1\r\nhost: x\r\nx-credyt-api-key: {KEY}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._template = head.encode() + body

    def next(self) -> bytes:
        """The next request."""
        self._made += 1
        name = f"{self._prefix}{self._made:0{16 - len(self._prefix)}}"
        return self._template.replace(b"@@@@@@@@@@@@@@@@", name.encode())

    def answered(self, connection: Connection, status: int, seconds: float) -> None:
        """Note an answer; in a closed loop, go on."""
        self.statuses[status] += 1
        if status == 204:
            self.waits.append(seconds)
        if self.goes_on:
            connection.send(self.next())
        else:
            self.free.append(connection)

    async def connect(self, count: int) -> None:
        """Open so many connections."""
        loop = asyncio.get_running_loop()
        self.connections = count
        for _ in range(count):
            _, connection = await loop.create_connection(
                lambda: Connection(self), self._where.hostname, self._where.port
            )
            self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection was closed: what was sent on it has no answer."""
        self.connections -= 1
        if connection in self.free:
            self.free.remove(connection)
        else:
            self.lost_requests += 1

    async def closed(self, seconds: float) -> None:
        """Let each connection send one request after the other."""
        everybody, self.free = self.free, deque()
        self.goes_on = True
        for connection in everybody:
            connection.send(self.next())
        await asyncio.sleep(seconds)
        self.goes_on = False
        await self.drained()

    async def open(self, seconds: float, rate: float) -> None:
        """Send so many requests a second, come what may."""
        began = time.perf_counter()
        due = 0
        while (passed := time.perf_counter() - began) < seconds:
            while due < passed * rate:
                due += 1
                if self.free:
                    self.free.popleft().send(self.next())
                else:
                    self.given_up += 1
            await asyncio.sleep(TICK_SECONDS)
        await self.drained()

    async def drained(self) -> None:
        """Wait until all that was sent is answered."""
        deadline = time.perf_counter() + DRAIN_SECONDS
        while len(self.free) < self.connections:
            assert time.perf_counter() < deadline, "not everything was answered"
            await asyncio.sleep(TICK_SECONDS)


class Connection(asyncio.Protocol):
    """A connection on which at most one request waits for its answer."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._data = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._flood.lost(self)

    def send(self, request: bytes) -> None:
        self._sent = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(body) >= length:
            self._data = b""
            status = int(head[9:12])
            self._flood.answered(self, status, time.perf_counter() - self._sent)


async def _run(arguments: list[str]) -> None:
    url, customer_id, prefix, seconds, connections, *rate = arguments
    flood = Flood(url, customer_id, prefix)
    await flood.connect(int(connections))
    began = time.perf_counter()
    if rate:
        await flood.open(float(seconds), float(rate[0]))
    else:
        await flood.closed(float(seconds))
    took = time.perf_counter() - began
    waits = sorted(flood.waits) or [0.0]
    report = {
        "statuses": flood.statuses,
        "given_up": flood.given_up,
        "lost": flood.lost_requests,
        "accepted_per_second": len(flood.waits) / took,
        "p50_seconds": waits[len(waits) // 2],
        "p99_seconds": waits[int(len(waits) * 0.99)],
        "longest_seconds": waits[-1],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    gc.disable()
    uvloop.run(_run(sys.argv[1:]))
