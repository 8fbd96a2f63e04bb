"""Levels 2 and 3: `faregate serve` in a process of its own, loaded by `wrk` over loopback, beside
the same server answering an empty POST. Single events, and batches of 100.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.measuring import Rate, middle
from benchmarks.shop import open_shop
from faregate import Engine

KEY: Final = "fg_test_" + "b" * 32
CALLERS: Final = (1, 64, 256)
BATCH: Final = 100
_SCRIPT: Final = Path(__file__).with_name("load.lua")


class Cell(NamedTuple):
    """What is measured: who answers, events per request, connections, whose wallets."""

    subject: str
    size: int
    callers: int
    wallets: str


CELLS: Final = (
    *(
        Cell(subject, 1, callers, wallets)
        for callers in CALLERS
        for subject, wallets in (("empty", "spread"), ("faregate", "spread"), ("faregate", "hot"))
    ),
    Cell("faregate", BATCH, 64, "spread"),
    Cell("faregate", BATCH, 64, "hot"),
)


async def prepare(url: str, customers: int) -> list[str]:
    """Make the shop and the key; returns the customers' ids."""
    async with Engine.open(url) as engine:
        await engine.create_key("test", "admin", "benchmark", KEY)
        return await open_shop(engine, customers)


def measure_http(
    url: str,
    customers: Sequence[str],
    seconds: int,
    rounds: int,
    say: Callable[[str], None],
    cells: Sequence[Cell] = CELLS,
) -> dict[Cell, Rate]:
    """Measure every cell in turn, on both servers; returns the medians, in events per second."""
    found: dict[Cell, list[Rate]] = {cell: [] for cell in cells}
    serve = ["-m", "faregate.cli", "serve", "--database", url, "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        _running([*serve, "--bootstrap-key", KEY]) as faregate,
        _running(["-m", "benchmarks.empty"]) as empty,
    ):
        files = {"spread": Path(folder, "spread"), "hot": Path(folder, "hot")}
        files["spread"].write_text("\n".join(customers))
        files["hot"].write_text(customers[0])
        for turn in range(rounds):
            for number, cell in enumerate(cells):
                say(f"{cell.subject}, {cell.size} events, {cell.callers} callers, {cell.wallets}")
                address = faregate if cell.subject == "faregate" else empty
                run = f"{turn:04d}-{number:04d}"
                found[cell].append(_wrk(address, cell, run, files[cell.wallets], seconds))
    return {cell: middle(rates) for cell, rates in found.items()}


@contextmanager
def _running(arguments: Sequence[str]) -> Iterator[str]:
    """Run a server; returns its address, which it prints first."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith("API"):
                    yield line.split()[1].removesuffix("/v1")
                    return
            raise SystemExit(f"{' '.join(command)} did not start")
        finally:
            process.terminate()


def _wrk(address: str, cell: Cell, run: str, customers: Path, seconds: int) -> Rate:
    command = ["wrk", "--threads", "1", "--connections", str(cell.callers)]
    command += ["--duration", f"{seconds}s", "--timeout", "10s", "--latency"]
    command += ["--script", str(_SCRIPT), address, "--", run, str(cell.size), KEY, str(customers)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    line = next(line for line in ran.stdout.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    if result["errors"]:
        raise SystemExit(f"{result['errors']} requests failed, so this rate means nothing: {cell}")
    per_second = result["requests"] * cell.size / result["microseconds"] * 1_000_000
    return Rate(per_second, result["p50"] / 1000, result["p99"] / 1000)
