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
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from benchmarks import (
    attached,
    costs,
    embedded,
    gate,
    growth,
    http,
    importing,
    latency,
    pages,
    peers,
    renewals,
    rules,
    ways,
    webhooks,
)
from benchmarks.databases import KINDS, fresh_database, fresh_databases
from benchmarks.report import (
    Table,
    attached_table,
    costs_table,
    engine_table,
    gate_table,
    growth_table,
    http_table,
    import_table,
    latency_table,
    pages_table,
    peers_table,
    renewals_table,
    rules_table,
    ways_table,
    webhooks_table,
)
from benchmarks.shop import verify
from faregate.cli.server import tune_garbage_collection

MARK = "<!-- what follows is written by the benchmark -->"
"""In a page that has this line, what stands before it is kept."""

LEVELS: Final = [
    "engine",
    "gate",
    "rules",
    "attached",
    "renewals",
    "http",
    "latency",
    "costs",
    "growth",
    "pages",
    "peers",
    "webhooks",
    "ways",
    "import",
]

console = Console(stderr=True)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="One short round of each.")] = False,
    database: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(KINDS)}.")] = None,
    level: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(LEVELS)} (default: all).")
    ] = None,
    seconds: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="The tables have the medians.")] = 3,
    customers: Annotated[int, typer.Option(min=1, help="With three grants each.")] = 1000,
    long_growth: Annotated[bool, typer.Option(help="Grow to 10^7 events, not 10^6.")] = False,
    destinations: Annotated[
        int, typer.Option(min=10, max=1000, help="Of webhooks; a tenth of them hangs.")
    ] = webhooks.DESTINATIONS,
    lines: Annotated[
        int, typer.Option(min=10_000, help="Of the file that is imported.")
    ] = importing.LINES,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables there.")] = None,
) -> None:
    """Measure how fast Faregate charges, beside baselines that run in turn with it."""
    if quick:
        seconds, rounds = 1, 1
    levels = level or LEVELS
    plan = embedded.Plan(seconds, rounds, customers)
    if "http" in levels and shutil.which("wrk") is None:
        raise SystemExit("the HTTP levels need wrk (Debian: apt-get install wrk)")
    tables: list[Table] = []
    for kind in database or KINDS:
        if "engine" in levels:
            tables.append(_engine(kind, plan))
        if "gate" in levels:
            tables.append(_gate(kind, plan))
        if "rules" in levels:
            tables.append(_rules(kind, plan))
        if "attached" in levels:
            tables.append(_attached(kind, plan))
        if "renewals" in levels:
            tables.append(_renewals(kind, plan))
        if "http" in levels:
            tables.append(_http(kind, seconds, rounds, customers))
        if "latency" in levels:
            tables.append(_latency(kind, plan))
        if "costs" in levels:
            tables.append(_costs(kind, plan))
        if "growth" in levels:
            steps = growth.LONG_STEPS if long_growth else growth.STEPS
            tables.append(_growth(kind, plan, steps))
        if "pages" in levels:
            tables.append(_pages(kind, plan, quick=quick))
        if "peers" in levels and kind == "postgresql":
            tables.append(_peers(plan))
        if "webhooks" in levels:
            tables.append(_webhooks(kind, destinations, plan))
        if "ways" in levels:
            tables.append(_ways(kind, plan, quick=quick))
        if "import" in levels:
            tables.append(_import(kind, lines // 20 if quick else lines, plan))
    # In a pipe there is no width to keep to.
    shown = Console() if sys.stdout.isatty() else Console(width=160)
    for table in tables:
        table.show(shown)
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


def _rules(kind: str, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    with fresh_database(kind) as url:
        rates, charges = uvloop.run(rules.measure_rules(url, plan, _say(kind)))
    return rules_table(kind, rates, charges)


def _attached(kind: str, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    with fresh_database(kind) as url:
        rates, charges = uvloop.run(attached.measure_attached(url, plan, _say(kind)))
    return attached_table(kind, rates, charges)


def _renewals(kind: str, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    with fresh_database(kind) as url:
        found = uvloop.run(renewals.measure_renewals(url, plan, _say(kind)))
    return renewals_table(kind, found)


def _webhooks(kind: str, destinations: int, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    found = []
    for hanging in (0, destinations // 10):
        with fresh_database(kind) as url:
            measured = webhooks.measure_webhooks(url, kind, destinations, hanging, plan, _say(kind))
            found.append(uvloop.run(measured))
    return webhooks_table(kind, found)


def _ways(kind: str, plan: embedded.Plan, *, quick: bool) -> Table:
    uses = ways.USES // 4 if quick else ways.USES
    with fresh_database(kind) as url:
        ids = uvloop.run(http.prepare(url, plan.customers))
        found = ways.measure_ways(url, ids, plan.rounds, _say(kind), uses)
        charges = uvloop.run(verify(url))
    return ways_table(kind, found, charges)


def _import(kind: str, lines: int, plan: embedded.Plan) -> Table:
    with fresh_database(kind) as url:
        ids = uvloop.run(http.prepare(url, plan.customers))
        return import_table(kind, importing.measure_import(url, ids, lines, _say(kind)))


def _latency(kind: str, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    with fresh_database(kind) as url:
        found, charges = uvloop.run(latency.measure_latency(url, plan, _say(kind)))
    return latency_table(kind, found, charges)


def _costs(kind: str, plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    with fresh_database(kind) as url:
        found, charges = uvloop.run(costs.measure_costs(url, plan, _say(kind)))
        start = costs.measure_start(url, _say(kind))
    return costs_table(kind, found, start, charges)


def _growth(kind: str, plan: embedded.Plan, steps: Sequence[int]) -> Table:
    tune_garbage_collection()
    with fresh_databases(kind) as (url, small_url):
        found, charges = uvloop.run(growth.measure_growth(url, small_url, plan, _say(kind), steps))
    return growth_table(kind, found, charges)


def _pages(kind: str, plan: embedded.Plan, *, quick: bool) -> Table:
    tune_garbage_collection()
    events = pages.EVENTS // 20 if quick else pages.EVENTS
    with fresh_database(kind) as url:
        found = uvloop.run(pages.measure_pages(url, plan, _say(kind), events))
    return pages_table(kind, found)


def _peers(plan: embedded.Plan) -> Table:
    tune_garbage_collection()
    if not peers.has_redis():
        console.print("no redis-server here (Debian: apt-get install redis-server): left out")
    with fresh_databases("postgresql") as (url, base_url):
        found, charges = uvloop.run(peers.measure_peers(url, base_url, plan, _say("postgresql")))
    return peers_table(found, charges)


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
