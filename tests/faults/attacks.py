"""What is done to a server under mixed load, a number of rounds of each. The test suite does a few
rounds, `make torture` does many; afterwards each asks whether everything that was answered is in
the books, once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import httpx
from tests.faults.mixed import CALLERS, Figures, Record, check_books, client
from tests.faults.serving import Server

CUSTOMERS = 6
ROUNDS_EACH = 25
"""After so many rounds everything is checked, and new customers begin."""

Progress = Callable[[], None]


def _unseen() -> None:
    """No progress is shown."""


async def kill_again_and_again(
    database_url: str, rounds: int, seed: int, progress: Progress = _unseen
) -> Figures:
    """Kill the server with SIGKILL at a random instant and start it again, so many times."""
    dice = random.Random(seed)
    server = Server(database_url, is_forked=True)
    async with client() as http:
        await server.start(http)
        try:
            record = Record(http, [server.url], dice, insists=False)
            await record.sell()
            for number in range(rounds):
                if number % ROUNDS_EACH == 0:
                    await record.begin(CUSTOMERS)
                callers = [asyncio.ensure_future(record.work()) for _ in range(CALLERS)]
                await asyncio.sleep(dice.uniform(0.02, 0.35))  # the instant of the kill
                server.kill()
                await asyncio.gather(*callers)
                await _comes_back(server, http, record.figures)
                if dice.random() < 0.5:
                    await record.settle()
                if (number + 1) % ROUNDS_EACH == 0 or number + 1 == rounds:
                    await record.check()
                progress()
        finally:
            server.kill()
    record.figures.counts["rounds"] += rounds
    record.figures.counts["transfers verified"] += await check_books(database_url)
    return record.figures


async def _comes_back(server: Server, http: httpx.AsyncClient, figures: Figures) -> None:
    started = time.monotonic()
    await server.start(http)
    figures.slowest_recovery = max(figures.slowest_recovery, time.monotonic() - started)
