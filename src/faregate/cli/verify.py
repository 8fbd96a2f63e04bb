"""`faregate verify`: prove that the books balance and that nobody has edited the transfers. It may
be used while a server runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Final, TextIO

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from faregate.cli.settings import Database, open_database, refuse
from faregate.ledger.heads import KeptHead, LedgerHead, read_head
from faregate.ledger.verify import Report

MAX_SHOWN: Final = 20


def verify(
    database: Database,
    head: Annotated[
        bool,
        typer.Option("--head", help="Print what stands for all transfers, to be kept elsewhere."),
    ] = False,
    against: Annotated[
        typer.FileText | None,
        typer.Option(
            encoding="utf-8",
            help="Heads that were kept elsewhere, one a line (- reads them from the input): "
            "say whether the ledger still begins with each.",
        ),
    ] = None,
) -> None:
    """Recompute every balance and hash from the transfers; exit 1 if something differs."""
    heads = [] if against is None else _read_heads(against)

    async def run() -> Report:
        async with open_database(database, serves=False) as engine:
            console = Console(stderr=True)
            with Progress(
                TextColumn("Verifying"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=console,
                disable=not console.is_terminal,
                transient=True,
            ) as progress:
                task = progress.add_task("", total=None)
                return await engine.verify(
                    lambda done, total: progress.update(task, completed=done, total=total), heads
                )

    report = uvloop.run(run())
    if head:
        print(report.head, flush=True)
    # With --head, the output is the head and nothing else, so that it can be kept as it is.
    for line in _verdict(report):
        print(line, file=sys.stderr if head else sys.stdout)
    if not report.is_clean:
        raise typer.Exit(1)


def _read_heads(file: TextIO) -> list[LedgerHead]:
    """Read the heads of a file, which may have empty lines between them."""
    heads = []
    try:
        lines = file.read().splitlines()
    except UnicodeDecodeError:
        refuse("--against", "the file is not text")
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                heads.append(read_head(line))
            except ValueError as error:
                refuse("--against", f"line {number}: {error}")
    if not heads:
        refuse("--against", "there is no head in it: keep what `faregate verify --head` prints")
    return heads


def _verdict(report: Report) -> Iterator[str]:
    yield (
        f"{report.transfers:,} transfers, {report.fees:,} fees, {report.grants:,} grants, "
        f"{report.holds:,} holds, {report.accounts:,} overdrafts and "
        f"{report.transactions:,} transactions compared; "
        f"{report.chains:,} chains of transfers followed to their ends."
    )
    if report.differences:
        yield f"They do not balance: {len(report.differences)} differences. The first:"
        yield from _first(
            f"{found.kind} {found.name} of {found.customer_id}: "
            f"stored {found.stored_units:,}, computed {found.computed_units:,} units"
            for found in report.differences
        )
    else:
        yield "The books balance."
    if report.breaks:
        count = len(report.breaks)
        yield f"Transfers were edited; places where chains break: {count}. The first:"
        yield from _first(
            (
                f"transfer {found.seq} of {found.customer_id} "
                if found.customer_id
                else f"number {found.seq} "
            )
            + found.what
            for found in report.breaks
        )
    yield from map(_outcome, report.kept)


def _first(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in islice(lines, MAX_SHOWN))


def _outcome(kept: KeptHead) -> str:
    then, now = kept.head.transfers, kept.transfers
    at = f"{kept.head.at:%Y-%m-%dT%H:%M:%SZ}"
    if kept.is_kept:
        return f"It begins with the head of {at}: {then:,} transfers, none changed."
    found = f"{now:,} now" if now != then else "as many now, but not the same"
    return (
        f"It does NOT begin with the head of {at}: there were {then:,} transfers then, "
        f"and up to the same numbers there are {found}."
    )
