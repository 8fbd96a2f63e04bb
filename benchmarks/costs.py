"""What a charge, an authorization and a pair cost: CPU time of this process (Python and, on SQLite,
SQLite itself), CPU time of the database's processes, and bytes written to the disk. And what a
server costs that does nothing: how long it takes to start, and its memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from benchmarks.embedded import Plan, Say
from benchmarks.gate import SUBJECTS, Work, limit_all
from benchmarks.measuring import Call, measure
from benchmarks.shop import open_shop, verify
from faregate import Engine

CALLERS: Final = 64
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Per call of a subject: microseconds of CPU here and in the database, bytes written."""

    subject: str
    own_us: float
    database_us: float
    written_bytes: float


class Start(NamedTuple):
    """A server that was started on a ledger of so many events."""

    seconds: float
    rss_mib: float
    peak_mib: float


async def measure_costs(url: str, plan: Plan, say: Say) -> tuple[list[Cost], int]:
    """Measure every subject. Returns also how many charges `verify` found."""
    found: list[Cost] = []
    database = _server_of(url)
    async with Engine.open(url) as engine:
        customers = await open_shop(engine, plan.customers)
        limited = await open_shop(engine, plan.customers, has_product=True)
        await limit_all(engine, limited)
        for subject in SUBJECTS:
            say(f"costs, {subject}")
            work = Work(engine, limited if subject == "limited pair" else customers)
            await measure(work.call(subject, f"warm-{subject}"), CALLERS, 0.5)
            await work.tidy()
            call = _Counted(work.call(subject, subject))
            before = _used(database)
            await measure(call, CALLERS, plan.seconds)
            after = _used(database)
            own, there, written = [b - a for a, b in zip(before, after, strict=True)]
            found.append(
                Cost(
                    subject, own / call.count * 1e6, there / call.count * 1e6, written / call.count
                )
            )
            await work.tidy()
    say("verify")
    return found, await verify(url)


class _Counted:
    """A call that counts how often it was made."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.count = 0

    async def __call__(self, number: int) -> None:
        await self._call(number)
        self.count += 1


def _server_of(url: str) -> list[int]:
    """Return the process id of the benchmark's own PostgreSQL; nothing for SQLite."""
    folder = parse_qs(urlsplit(url).query).get("host")
    if url.startswith("sqlite") or folder is None:
        return []
    return [int((Path(folder[0]) / "postmaster.pid").read_text().split()[0])]


def _used(database: Sequence[int]) -> tuple[float, float, float]:
    """Return seconds of CPU here and in the database's processes, and bytes that all have sent to
    the disk."""
    there = 0.0
    written = _written(os.getpid())
    for process in _families(database):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            there += (int(fields[11]) + int(fields[12])) / _TICKS
            written += _written(process)
        except OSError:
            continue
    return time.process_time(), there, float(written)


def _written(process: int) -> int:
    for line in Path(f"/proc/{process}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def _families(parents: Sequence[int]) -> list[int]:
    """Return processes with their children."""
    found = list(parents)
    for parent in parents:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def measure_start(url: str, say: Say) -> Start:
    """Start a server on a ledger, and look at its memory when it has answered."""
    say("start")
    command = [sys.executable, "-m", "faregate.cli", "serve", "--database", url, "--port", "0"]
    began = time.perf_counter()
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith("API"):
                    address = line.split()[1].removesuffix("/v1")
                    with urllib.request.urlopen(f"{address}/healthz") as answer:  # noqa: S310
                        answer.read()
                    seconds = time.perf_counter() - began
                    return Start(seconds, *_memory(process.pid))
            raise SystemExit("the server did not start")
        finally:
            process.terminate()


def _memory(process: int) -> tuple[float, float]:
    """Return a process's memory now and at its peak, in MiB."""
    sizes = {}
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            sizes[name] = int(value.split()[0]) / 1024
    return sizes["VmRSS"], sizes["VmHWM"]
