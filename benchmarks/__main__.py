"""Runs the benchmarks and prints their tables; see `python -m benchmarks --help`."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from benchmarks import embedded, gate, http
from benchmarks.databases import KINDS, fresh_database, fresh_databases
from benchmarks.report import Table, engine_table, gate_table, http_table
from benchmarks.shop import verify
from faregate.cli.server import tune_garbage_collection

MARK = "<!-- what follows is written by the benchmark -->"
"""In a page that has this line, what stands before it is kept."""

console = Console(stderr=True)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One short round of each.")] = False,
    database: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(KINDS)}.")] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="engine, gate, http (default: all).")
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="The tables have the medians.")] = 3,
    customers: Annotated[int, typer.Option(min=1, help="With three grants each.")] = 1000,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables there.")] = None,
) -> None:
    """Measure how fast Faregate charges, beside baselines that run in turn with it."""
    if quick:
        seconds, rounds = 1, 1
    levels = level or ["engine", "gate", "http"]
    if "http" in levels and shutil.which("wrk") is None:
        raise SystemExit("the HTTP levels need wrk (Debian: apt-get install wrk)")
    tables: list[Table] = []
    for kind in database or KINDS:
        if "engine" in levels:
            tables.append(_engine(kind, embedded.Plan(seconds, rounds, customers)))
        if "gate" in levels:
            tables.append(_gate(kind, embedded.Plan(seconds, rounds, customers)))
        if "http" in levels:
            tables.append(_http(kind, seconds, rounds, customers))
    for table in tables:
        table.show(Console())
    if markdown is not None:
        parts = [_machine(), *(table.markdown() for table in tables)]
        before = markdown.read_text().partition(MARK)[0] if markdown.exists() else ""
        markdown.write_text("\n\n".join([before + MARK, *parts]) + "\n")


def _say(kind: str) -> embedded.Say:
    def say(text: str) -> None:
        console.print(f"{kind}: {text}", style="dim", highlight=False)

    return say


def _engine(kind: str, plan: embedded.Plan) -> Table:
    # As the server does it, which this level leaves out.
    tune_garbage_collection()
    with fresh_databases(kind) as (url, baseline_url):
        rates, charges = uvloop.run(embedded.measure_engine(url, baseline_url, plan, _say(kind)))
    return engine_table(kind, rates, charges)


def _gate(kind: str, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    with fresh_database(kind) as url:
        rates, charges = uvloop.run(gate.measure_gate(url, plan, _say(kind)))
    return gate_table(kind, rates, charges)


def _http(kind: str, seconds: int, rounds: int, customers: int) -> Table:
    with fresh_database(kind) as url:
        ids = uvloop.run(http.prepare(url, customers))
        rates = http.measure_http(url, ids, seconds, rounds, _say(kind))
        charges = uvloop.run(verify(url))
    return http_table(kind, rates, charges)


def _machine() -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_processor()}), "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"uvicorn {version('uvicorn')}; load, server and database on the same machine. "
        f"Command: `{' '.join(['python', '-m', 'benchmarks', *_arguments()])}`."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _arguments() -> Sequence[str]:
    return sys.argv[1:]


if __name__ == "__main__":
    typer.run(main)
