"""`faregate verify`: prove that the books balance and that nobody has edited the transfers. It may
be used while a server runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
import uvloop

from faregate.cli.settings import Database, open_database, refuse

if TYPE_CHECKING:
    from faregate.ledger.heads import LedgerHead
    from faregate.ledger.verify import Report


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
    # Only now: whoever asks for help waits for no engine.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from faregate.ledger.verdict import verdict

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
    for line in verdict(report):
        print(line, file=sys.stderr if head else sys.stdout)
    if not report.is_clean:
        raise typer.Exit(1)


def _read_heads(file: TextIO) -> list[LedgerHead]:
    """Read the heads of a file, which may have empty lines between them."""
    from faregate.ledger.heads import read_head

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
