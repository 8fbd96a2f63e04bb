"""What is done to a server under mixed load, a number of rounds of each. The test suite does a few
rounds, `make torture` does many; afterwards each asks whether everything that was answered is in
the books, once.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from tests.faults.cluster import Cluster
from tests.faults.disk import Disk
from tests.faults.mixed import CALLERS, Figures, Record, check_books, client
from tests.faults.serving import Server

CUSTOMERS = 6
ROUNDS_EACH = 25
"""After so many rounds everything is checked, and new customers begin."""

PATIENCE_SECONDS = 1.0
"""After so long without an answer a caller turns to the other server."""

Progress = Callable[[], None]
Deed = Literal["stop", "kill", "pause"]


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
    report = await check_books(database_url)
    record.figures.counts["transfers verified"] += report.transfers
    return record.figures


async def _comes_back(server: Server, http: httpx.AsyncClient, figures: Figures) -> None:
    began = time.monotonic()
    await server.start(http)
    figures.recovered(time.monotonic() - began)


@asynccontextmanager
async def callers_at_work(record: Record) -> AsyncIterator[None]:
    """Let callers work while the block runs, and wait until all are answered."""
    record.stops = False
    callers = [asyncio.ensure_future(record.work()) for _ in range(CALLERS)]
    try:
        yield
    finally:
        record.stops = True
        await asyncio.gather(*callers)


async def hand_over_again_and_again(
    database_url: str, deeds: Sequence[Deed], seed: int, progress: Progress = _unseen
) -> Figures:
    """One server serves and another stands by; the one that serves is stopped, killed or paused for
    longer than its lease, and started or continued when the other one has taken over."""
    dice = random.Random(seed)
    serving, standby = [Server(database_url, "--standby", is_forked=True) for _ in range(2)]
    async with client(PATIENCE_SECONDS) as http:
        await serving.start(http)
        standby.launch()
        await standby.is_up(http)
        try:
            record = Record(http, [serving.url, standby.url], dice, insists=True)
            await record.sell()
            for number, deed in enumerate(deeds):
                if number % ROUNDS_EACH == 0:
                    await record.begin(CUSTOMERS)
                async with callers_at_work(record):
                    await asyncio.sleep(dice.uniform(0.1, 0.4))  # the instant of the deed
                    began = time.monotonic()
                    ended = asyncio.ensure_future(_DEEDS[deed](serving))
                    await standby.is_ready(http)
                    record.figures.recovered(time.monotonic() - began)
                    await asyncio.sleep(dice.uniform(0.1, 0.4))  # it serves for a while
                    await ended
                    if deed == "pause":
                        serving.send(signal.SIGCONT)
                        await serving.is_not_ready(http)
                        record.figures.counts["late commits refused"] += await _failed(
                            serving, http
                        )
                    else:
                        serving.launch()
                        await serving.is_up(http)
                record.figures.counts[f"rounds: {deed}"] += 1
                serving, standby = standby, serving
                if (number + 1) % ROUNDS_EACH == 0 or number + 1 == len(deeds):
                    await record.check()
                progress()
        finally:
            for server in (serving, standby):
                server.kill()
    report = await check_books(database_url)
    record.figures.counts["transfers verified"] += report.transfers
    return record.figures


async def _failed(server: Server, http: httpx.AsyncClient) -> int:
    """How many batches of a server's were not confirmed."""
    metrics = (await http.get(f"{server.url}/metrics")).text
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in metrics.splitlines()
        if line.startswith("faregate_failed_commits")
    )


async def _pause(server: Server) -> None:
    server.send(signal.SIGSTOP)


async def _kill(server: Server) -> None:
    server.kill()


async def _stop(server: Server) -> None:
    assert await server.stop() == 0


_DEEDS: dict[Deed, Callable[[Server], Coroutine[Any, Any, None]]] = {
    "stop": _stop,
    "kill": _kill,
    "pause": _pause,
}


@dataclass(frozen=True)
class Harm:
    """Something that befalls a database, and how it ends. Both may take their time, in a thread."""

    name: str
    begins: Callable[[], Any]
    ends: Callable[[], Any] = lambda: None
    seconds: tuple[float, float] = (0.1, 0.6)
    """How long it lasts: at random, between these."""


async def harm_again_and_again(
    database_url: str,
    harms: Sequence[Harm],
    seed: int,
    progress: Progress = _unseen,
    *,
    server: Server | None = None,
) -> Figures:
    """Do harm to a server's database, and end it, while callers work. The server must come back by
    itself; only the database is given a hand."""
    dice = random.Random(seed)
    server = server or Server(database_url, is_forked=True)
    async with client() as http:
        await server.start(http)
        try:
            record = Record(http, [server.url], dice, insists=True)
            await record.sell()
            for number, harm in enumerate(harms):
                if number % ROUNDS_EACH == 0:
                    await record.begin(CUSTOMERS)
                async with callers_at_work(record):
                    await asyncio.sleep(dice.uniform(0.1, 0.4))  # the instant at which it begins
                    await asyncio.to_thread(harm.begins)
                    await asyncio.sleep(dice.uniform(*harm.seconds))
                    await asyncio.to_thread(harm.ends)
                    ended = time.monotonic()
                    await server.is_ready(http)
                    record.figures.recovered(time.monotonic() - ended)
                    await asyncio.sleep(0.1)
                record.figures.counts[f"rounds: {harm.name}"] += 1
                if (number + 1) % ROUNDS_EACH == 0 or number + 1 == len(harms):
                    await record.check()
                progress()
        finally:
            server.kill()
    report = await check_books(database_url)
    record.figures.counts["transfers verified"] += report.transfers
    return record.figures


def restarts(cluster: Cluster) -> Harm:
    """PostgreSQL is stopped at once and started again."""
    return Harm("restart", cluster.stop_at_once, cluster.start)


def cuts(cluster: Cluster) -> Harm:
    """Every session of a server's is ended by PostgreSQL."""
    return Harm("cut", cluster.end_sessions, seconds=(0, 0.05))


def freezes(cluster: Cluster, seconds: tuple[float, float]) -> Harm:
    """Commits hang: nothing comes back for a while."""
    return Harm("freeze", cluster.freeze, cluster.thaw, seconds)


def fills(cluster: Cluster, *, log_too: bool = False) -> Harm:
    """PostgreSQL has no room left on its disk for tables, or not for its log either, and panics;
    then it has room again. If it has given up by then, it is started again."""

    def begin() -> None:
        cluster.fill_the_disk()
        if log_too:
            cluster.need_a_new_log()

    def end() -> None:
        cluster.free_the_disk()
        cluster.start()

    return Harm("full disk, log too" if log_too else "full disk", begin, end, (0.5, 2.0))


def locks(path: Path) -> Harm:
    """Somebody else holds the write lock of an SQLite file: commits hang."""
    holder: list[sqlite3.Connection] = []

    def begin() -> None:
        connection = sqlite3.connect(
            path, timeout=10, isolation_level=None, check_same_thread=False
        )
        connection.execute("BEGIN IMMEDIATE")
        holder.append(connection)

    def end() -> None:
        holder.pop().close()

    return Harm("lock", begin, end, (0.3, 1.5))


def bounds(path: Path, server: Server) -> Harm:
    """A server's files may not grow: what a full disk is to SQLite (see `disk`)."""
    disk = Disk(path)

    def begin() -> None:
        disk.fill(server.process.pid)

    def end() -> None:
        disk.free(server.process.pid)

    return Harm("full disk", begin, end, (0.5, 1.5))
