"""`faregate verify`: prove that the books balance. It may be used while a server runs."""

from __future__ import annotations

import sys
from typing import Final

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faregate.cli.settings import Database, open_database

MAX_SHOWN: Final = 20


def verify(database: Database) -> None:
    """Recompute every balance from the transfers; exit 1 if something differs."""

    async def run() -> bool:
        async with open_database(database, serves=False) as engine:
            console = Console(stderr=True)
            with Progress(
                TextColumn("Verifying"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=console,
                disable=not console.is_terminal,
                transient=True,
            ) as progress:
                task = progress.add_task("", total=None)
                report = await engine.verify(
                    lambda done, total: progress.update(task, completed=done, total=total)
                )
        print(
            f"{report.transfers:,} transfers, {report.fees:,} fees, {report.grants:,} grants, "
            f"{report.accounts:,} overdrafts and {report.transactions:,} transactions compared."
        )
        if report.is_clean:
            print("The books balance.")
            return True
        print(f"They do not balance: {len(report.differences)} differences. The first:")
        for found in report.differences[:MAX_SHOWN]:
            print(
                f"  {found.kind} {found.name} of {found.customer_id}: "
                f"stored {found.stored_units:,}, computed {found.computed_units:,} units"
            )
        return False

    if not uvloop.run(run()):
        sys.stdout.flush()
        raise typer.Exit(1)
