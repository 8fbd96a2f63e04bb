"""What the demo prints: its progress, where to look, and what to try."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from faregate.cli.crowd import Buyer
from faregate.cli.month import Month
from faregate.cli.settings import default_database
from faregate.cli.shop import COMPANY
from faregate.ledger.verify import Report

REPORT_EVERY: Final = 0.1
"""In a pipe, a line is printed for so much of the month."""


class DemoWords:
    """Prints to standard output."""

    def __init__(self) -> None:
        self._console = Console()

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        sys.stdout.flush()

    @contextlib.contextmanager
    def progress(self) -> Iterator[Callable[[float, str], None]]:
        """Show how far the month is: a bar on a terminal, a few lines in a pipe."""
        is_terminal = self._console.is_terminal
        progress = Progress(
            TextColumn(f"A month of {COMPANY}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            console=self._console,
            disable=not is_terminal,
            transient=True,
        )
        task = progress.add_task("", total=1.0, words="")
        shown = 0.0

        def show(done: float, words: str) -> None:
            nonlocal shown
            if is_terminal:
                progress.update(task, completed=done, words=words)
            elif done >= shown + REPORT_EVERY or done >= 1:
                shown = done
                self._say(f"{done:4.0%}  {words}")

        with progress:
            yield show

    def built(self, month: Month, seconds: float) -> None:
        """Say what there is."""
        there = sum(1 for buyer in month.buyers if buyer.id)
        self._say(
            f"A month of {COMPANY}, which sells AI, made up in {seconds:.1f} seconds: "
            f"{there} customers, {month.booked:,} events, each charged as it came."
        )

    def verified(self, report: Report) -> None:
        """Say whether the books balance."""
        verdict = "the books balance" if report.is_clean else "THE BOOKS DO NOT BALANCE"
        self._say(f"Verified {report.transfers:,} transfers: {verdict}.")

    def links(self, link: str, portal: str, buyer: Buyer, address: str) -> None:
        """Say where to look, as the operator and as a customer."""
        self._say(
            f"\nDashboard  {link}   (signed in, once)\n"
            f"Portal     {portal}   ({buyer.name}'s, once)\n"
            f"API        {address}/docs"
        )

    def suggestions(self, address: str, key: str, buyer: Buyer, checkout: str) -> None:
        """Say what to try."""
        event = (
            f'{{"customer_id": "{buyer.id}", "events": [{{"id": "mine-1", '
            '"event_type": "agent_run", "occurred_at": "\'$(date -u +%Y-%m-%dT%H:%M:%SZ)\'", '
            '"data": {"model": "fern-pro", "input_tokens": 52000, "output_tokens": 1300}}]}'
        )
        self._say(
            f"""Top-up     {checkout} (for {buyer.name}; pay with 4242 4242 4242 4242)

  export FAREGATE_KEY={key}

  # charge {buyer.name} an agent's run, and see what it cost
  curl {address}/v1/events -H "X-CREDYT-API-KEY: $FAREGATE_KEY" \\
    -H "Content-Type: application/json" -H "Prefer: return=representation" \\
    -d '{event}'

  # what they have left
  curl {address}/v1/customers/{buyer.id}/wallet -H "X-CREDYT-API-KEY: $FAREGATE_KEY"

Its traffic goes on. Ctrl-C ends it."""
        )

    def own(self, path: Path, link: str) -> None:
        """Say that the demo is over, and where one's own database is."""
        self._say(f"\nThe demo is over: this is yours now, in {path}\nDashboard  {link}")

    def end_of_own(self, path: Path) -> None:
        """Say how to start it again."""
        url = f"sqlite:///{path}"
        more = "" if url == default_database() else f" --database {url}"
        self._say(f"Start it again with: faregate serve{more}")

    def kept(self, url: str) -> None:
        """Say where the demo is."""
        self._say(f"Kept: --database {url}")
