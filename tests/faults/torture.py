"""What the tests in this folder do for seconds, for as long as it takes: `make torture`. Prints
tables for `docs/reliability.md`. Ends with 1 if anything that was answered was lost, doubled or
untrue; what happened is said then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tests.faults import attacks
from tests.faults.attacks import ROUNDS_EACH, Deed, Harm
from tests.faults.cluster import Cluster
from tests.faults.machine import run_machine
from tests.faults.mixed import Figures
from tests.faults.overload import Report, overload
from tests.faults.serving import Server

WALLETS_EACH = 50
STEPS = 40
LONGER_THAN_A_STATEMENT = (31.0, 33.0)
"""Seconds after which the server has given up waiting for PostgreSQL."""
DEEDS: tuple[Deed, ...] = ("stop", "kill")

console = Console(stderr=True)
Run = Callable[[int, int, attacks.Progress], Figures]
"""Does so many rounds, from a seed, and says when each is done."""


@dataclass
class Section:
    """Something that is done again and again, and what came of it. A round costs `rounds_each` of
    them at once, so that the time can be looked at in between."""

    title: str
    database: str
    rounds: int
    run: Run
    rounds_each: int = ROUNDS_EACH
    is_on_one_ledger: bool = True
    """Every verification looks at all that there is; else each at a ledger of its own."""
    done: int = 0
    failure: str = ""
    figures: Figures = field(default_factory=Figures)

    def row(self) -> list[str]:
        """A row of the table."""
        counts = self.figures.counts
        away = counts["answers 503"] + counts["answers 429"] + counts["lost connections"]
        recovery = self.figures.longest_recovery_seconds
        cells = [self.title, self.database, f"{self.done:,}", f"{counts['done']:,}"]
        cells += [f"{away:,}", f"{counts['repeats compared']:,}"]
        cells += [f"{counts['transfers verified']:,}", f"{recovery:.1f} s" if recovery else ""]
        return [*cells, self.failure or "0"]


HEADINGS = (
    *("what was done", "database", "times", "requests done", "not answered at first"),
    *("repeats compared", "transfers verified", "longest until ready", "lost or doubled"),
)
FLOOD_HEADINGS = (
    *("10 times what it can carry", "can carry/s", "offered/s", "accepted/s", "refused (429)"),
    *("p99 before", "p99 of accepted", "first answer after", "p99 after"),
    *("MB before", "at most", "after", "accepted and lost"),
)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Kills per database; the rest goes by it.")] = (
        1_000
    ),
    minutes: Annotated[float, typer.Option(help="At most, for each of the sections.")] = 20,
    only: Annotated[str, typer.Option(help="Sections whose titles have this.")] = "",
    seed: Annotated[int, typer.Option(help="Where the dice begin.")] = 1,
) -> None:
    """Do harm to Faregate, and see whether anything is lost."""
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    tables = [f"{_machine()}, {rounds:,} kills"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faregate-torture-")))
        cluster = stack.enter_context(Cluster.made())
        sections = [*_sections(folder, cluster, rounds), *_on_a_small_disk(stack, rounds)]
        chosen = [section for section in sections if only in section.title]
        _run_all(chosen, minutes * 60, seed)
        if chosen:
            tables.append(_markdown(HEADINGS, [section.row() for section in chosen]))
        failures = [section.failure for section in chosen if section.failure]
        if only in "overload":
            rows = []
            for database, url in _urls(folder, cluster, "flood"):
                console.print(f"overload, {database}", style="dim")
                report = asyncio.run(overload(url, 5, min(60, minutes * 60)))
                rows.append(_flood_row(database, report))
                if not 0 <= report.events_there - report.events_accepted <= report.events_lost:
                    failures.append(f"overload: {report}")
            tables.append(_markdown(FLOOD_HEADINGS, rows))
    print("\n\n".join(tables))
    if failures:
        console.print("\n".join(failures), style="bold red")
        sys.exit(1)


def _urls(folder: Path, cluster: Cluster, name: str) -> list[tuple[str, str]]:
    return [
        ("SQLite", f"sqlite:///{folder}/{name}.db"),
        ("PostgreSQL", cluster.new_database()),
    ]


def _sections(folder: Path, cluster: Cluster, rounds: int) -> Iterator[Section]:
    for database, url in _urls(folder, cluster, "kill"):
        yield Section("killed under mixed load", database, rounds, _kills(url))
    few = max(1, rounds // 20)
    for harm, times in (
        (attacks.restarts(cluster), few),
        (attacks.cuts(cluster), 3 * few),
        (attacks.freezes(cluster, (0.1, 2.0)), few),
        (attacks.freezes(cluster, LONGER_THAN_A_STATEMENT), max(1, few // 25)),
    ):
        title = {
            "restart": "database stopped at once, started",
            "cut": "all sessions ended",
            "freeze": "sessions frozen, 0.1 to 2 s",
        }[harm.name]
        if harm.seconds == LONGER_THAN_A_STATEMENT:
            title = "sessions frozen, 31 to 33 s"
        yield Section(title, "PostgreSQL", times, _harms(cluster.new_database(), [harm]))
    path = folder / "lock.db"
    locks = _harms(f"sqlite:///{path}", [attacks.locks(path)])
    yield Section("lock of the file held, 0.3 to 1.5 s", "SQLite", few, locks)
    full = folder / "full.db"
    server = Server(f"sqlite:///{full}", is_forked=True)
    fills = _harms(f"sqlite:///{full}", [attacks.bounds(full, server)], server)
    yield Section("disk full", "SQLite", few, fills)
    url = cluster.new_database()
    yield Section("one of two servers stopped or killed", "PostgreSQL", 3 * few, _deeds(url, DEEDS))
    pauses = _deeds(cluster.new_database(), ("pause",))
    yield Section("one of two servers paused past its lease", "PostgreSQL", few // 5 or 1, pauses)
    for database, kind in (("SQLite", folder), ("PostgreSQL", cluster)):
        title = "random commands against plain books"
        run = _machine_on(kind)
        yield Section(title, database, rounds, run, WALLETS_EACH, is_on_one_ledger=False)


def _on_a_small_disk(stack: ExitStack, rounds: int) -> Iterator[Section]:
    try:
        small = stack.enter_context(Cluster.made(on_a_small_disk=True))
    except PermissionError as error:
        console.print(f"the disk of PostgreSQL stays as it is: {error}", style="yellow")
        return
    harms = [attacks.fills(small), attacks.fills(small, log_too=True)]
    few = max(1, rounds // 20)
    yield Section("disk full", "PostgreSQL", few, _harms(small.new_database(), harms))


def _kills(url: str) -> Run:
    def run(rounds: int, seed: int, progress: attacks.Progress) -> Figures:
        return asyncio.run(attacks.kill_again_and_again(url, rounds, seed, progress))

    return run


def _harms(url: str, harms: Sequence[Harm], server: Server | None = None) -> Run:
    def run(rounds: int, seed: int, progress: attacks.Progress) -> Figures:
        turns = [harms[number % len(harms)] for number in range(rounds)]
        work = attacks.harm_again_and_again(url, turns, seed, progress, server=server)
        return asyncio.run(work)

    return run


def _deeds(url: str, deeds: Sequence[Deed]) -> Run:
    def run(rounds: int, seed: int, progress: attacks.Progress) -> Figures:
        turns = [deeds[number // 2 % len(deeds)] for number in range(rounds)]
        return asyncio.run(attacks.hand_over_again_and_again(url, turns, seed, progress))

    return run


def _machine_on(where: Path | Cluster) -> Run:
    def run(rounds: int, seed: int, progress: attacks.Progress) -> Figures:
        name = f"sqlite:///{where}/machine-{seed}.db"
        url = where.new_database() if isinstance(where, Cluster) else name
        counts = run_machine(url, rounds, STEPS, keeps_examples=False)
        counts["done"] = counts["commands"]
        counts["lost connections"] = counts["crashes"]
        for _ in range(rounds):
            progress()
        return Figures(counts)

    return run


def _run_all(sections: Sequence[Section], seconds: float, seed: int) -> None:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        for section in sections:
            name = f"{section.title}, {section.database}"
            task = progress.add_task(name, total=section.rounds)
            with _ends_well(section):
                deadline = time.monotonic() + seconds
                while section.done < section.rounds and time.monotonic() < deadline:
                    count = min(section.rounds_each, section.rounds - section.done)
                    seed += 1
                    if section.is_on_one_ledger:
                        section.figures.counts["transfers verified"] = 0
                    section.figures.add(
                        section.run(count, seed, lambda task=task: progress.advance(task))
                    )
                    section.done += count
            if not console.is_terminal:
                console.print(" | ".join(section.row()), soft_wrap=True, highlight=False)


@contextmanager
def _ends_well(section: Section) -> Iterator[None]:
    """Note a failure in the section's row, and go on with the next one."""
    try:
        yield
    except Exception as error:
        console.print_exception(max_frames=4)
        section.failure = f"FAILED: {section.title}: {type(error).__name__} {error}"[:300]


def _flood_row(database: str, report: Report) -> list[str]:
    before, flood, after = report.before, report.flood, report.after
    return [
        database,
        *(f"{before['accepted_per_second']:,.0f}", f"{report.offered_per_second:,.0f}"),
        *(f"{flood['accepted_per_second']:,.0f}", f"{report.refused(429):,}"),
        *(f"{before['p99_seconds']:.2f} s", f"{flood['p99_seconds']:.2f} s"),
        *(f"{report.first_answer_after_seconds * 1000:.0f} ms", f"{after['p99_seconds']:.2f} s"),
        *(f"{report.megabytes_before:,.0f}", f"{report.megabytes_at_most:,.0f}"),
        *(
            f"{report.megabytes_after:,.0f}",
            str(max(0, report.events_accepted - report.events_there)),
        ),
    ]


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---" if number < 1 else "--:" for number in range(len(headings))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, marks, *rows))


def _machine() -> str:
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, Python {platform.python_version()}, {os.cpu_count()} cores"
