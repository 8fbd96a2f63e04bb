"""A large file, imported: the program that imports it and the server are killed half-way, and the
same command goes on. Afterwards every line has been charged once, to the last digit, and the ledger
adds up.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from time import perf_counter, sleep
from typing import Final, NamedTuple

from benchmarks.embedded import Say
from benchmarks.http import KEY
from benchmarks.shop import GRANT, GRANTS, verify
from benchmarks.ways import run_import, write_file
from faregate import Engine

LINES: Final = 1_000_000
RATE: Final = Decimal(2) / 1_000_000
_POLL_SECONDS: Final = 0.05


class Imported(NamedTuple):
    """What was measured: lines a second before both were killed and after, and how many lines were
    written down as done at that instant."""

    lines: int
    customers: int
    killed_at: int
    before_per_second: float
    after_per_second: float
    charges: int


def measure_import(url: str, customers: Sequence[str], lines: int, say: Say) -> Imported:
    """Import, kill, go on, and look whether all is there once. Ends the program if it is not."""
    with tempfile.TemporaryDirectory(prefix="faregate-bench-") as folder:
        path = Path(folder) / "uses.csv"
        say(f"writing {lines:,} lines")
        write_file(path, customers, lines)
        with _killable(url) as (server, address):
            say("importing")
            begun = perf_counter()
            importing = run_import(path, address)
            done = 0
            while done < lines // 2 and importing.poll() is None:
                sleep(_POLL_SECONDS)
                done = lines_done(path)
            importing.kill()
            server.kill()
            before = done / (perf_counter() - begun)
            importing.wait()
        say(f"both were killed at {done:,} lines, {before:,.0f}/s; going on")
        with _killable(url) as (_, address):
            begun = perf_counter()
            _must_end(run_import(path, address))
            after = (lines - done) / (perf_counter() - begun)
    say(f"{after:,.0f}/s; looking whether each line was charged once")
    asyncio.run(_check(url, customers, lines))
    charges = asyncio.run(verify(url))
    return Imported(lines, len(customers), done, before, after, charges)


def lines_done(path: Path) -> int:
    """Return how many lines an import has written down as done."""
    journals = path.parent.glob(f"{path.name}.import-*.json")
    return max((int(json.loads(one.read_bytes())["lines"]) for one in journals), default=0)


def _must_end(importing: subprocess.Popen[bytes]) -> None:
    if importing.wait() != 0:
        raise SystemExit(f"the import ended with {importing.returncode}")


@contextmanager
def _killable(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a server that may be killed; returns it and its address."""
    command = [sys.executable, "-m", "faregate.cli", "serve", "--database", url, "--port", "0"]
    command += ["--bootstrap-key", KEY]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith("API"):
                    yield process, line.split()[1].removesuffix("/v1")
                    return
            raise SystemExit("the server did not start")
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


async def _check(url: str, customers: Sequence[str], lines: int) -> None:
    """Hold the number of events and what every customer has left against the file."""
    async with Engine.open(url) as engine:
        total = (await engine.list_events(1)).total_count
        if total != lines:
            raise SystemExit(f"{lines} lines were imported, and there are {total} events")
        for number, customer_id in enumerate(customers):
            used = sum(1000 + n % 7 for n in range(number, lines, len(customers)))
            left = (await engine.get_account(customer_id, "default:USD")).available
            if left != GRANTS * Decimal(GRANT) - used * RATE:
                raise SystemExit(f"{customer_id} has {left}, which is not what was used")
