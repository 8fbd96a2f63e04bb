"""Ten times the rate that a server can carry, from another process, and what becomes of what it
accepts, of its memory, and of the callers who come afterwards.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
from tests.faults.flood import EVENTS
from tests.faults.mixed import Record, check_books, client
from tests.faults.serving import Server

TIMES = 10
CALLERS_BEFORE = 64
CONNECTIONS = 2_000
SAMPLE_SECONDS = 0.05


@dataclass
class Report:
    """One flood: requests per second and seconds, megabytes of resident memory."""

    before: dict[str, Any]
    flood: dict[str, Any]
    after: dict[str, Any]
    first_answer_after_seconds: float
    megabytes_before: float
    megabytes_at_most: float
    megabytes_after: float
    events_accepted: int
    events_lost: int
    events_there: int

    @property
    def offered_per_second(self) -> float:
        """At which rate requests came."""
        return float(self.before["accepted_per_second"]) * TIMES

    def refused(self, status: int) -> int:
        """How many of the flood's requests were refused so."""
        return int(self.flood["statuses"].get(str(status), 0))


async def overload(database_url: str, seconds_before: float, seconds: float) -> Report:
    """Find out what a server can carry, and send it ten times as much."""
    server = Server(database_url)
    async with client() as http:
        await server.start(http)
        try:
            customer_id = await _customer(http, server)
            process = psutil.Process(server.process.pid)
            before = await _flood(server, customer_id, "b", seconds_before, CALLERS_BEFORE)
            memory = _megabytes(process)
            watched: list[float] = [memory]
            watching = asyncio.ensure_future(_watch(process, watched))
            rate = before["accepted_per_second"] * TIMES
            flood = await _flood(server, customer_id, "f", seconds, CONNECTIONS, rate)
            first = await _flood(server, customer_id, "n", 0, 1)
            after = await _flood(server, customer_id, "a", seconds_before, CALLERS_BEFORE)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            ended = _megabytes(process)
        finally:
            server.kill()
    books = await check_books(database_url)
    parts = (before, flood, first, after)
    return Report(
        before,
        flood,
        after,
        first["longest_seconds"],
        memory,
        max(watched),
        ended,
        EVENTS * sum(part["statuses"].get("204", 0) for part in parts),
        EVENTS * sum(part["lost"] for part in parts),
        books.fees,
    )


async def _customer(http: Any, server: Server) -> str:
    await Record.sell_at(http, server.url)
    body = {"name": "Acme", "subscriptions": [{"products": [{"code": "tokens"}]}]}
    made = await http.post(f"{server.url}/v1/customers", json=body)
    return str(made.json()["id"])


async def _flood(server: Server, *arguments: Any) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.flood", server.url, *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
    )
    written, _ = await process.communicate()
    assert process.returncode == 0
    report: dict[str, Any] = json.loads(written)
    return report


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


async def _watch(process: psutil.Process, watched: list[float]) -> None:
    while True:
        watched.append(_megabytes(process))
        await asyncio.sleep(SAMPLE_SECONDS)
