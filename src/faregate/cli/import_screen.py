"""What an import shows while it works and at its end: a bar on a terminal, lines of text in a pipe.
All but the final table goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from faregate.cli.import_journal import Counts
from faregate.cli.import_run import Asked

EVERY_SECONDS: Final = 5.0
COLUMNS: Final = ("file", "booked", "repeats", "skipped", "too old", "refused", "lines/s")


class Summary(NamedTuple):
    """How an import of a file ended: what this run counted, how many lines earlier ones had done,
    how many lines are in the file of those refused, and what was warned of how often."""

    name: str
    counts: Counts
    done_before: int
    refused: int
    refused_path: str
    warnings: Mapping[str, int]


def shown(text: str) -> str:
    """Return a text from a file or a server so that a terminal shows it and does nothing else:
    what is not printed is written out.

    >>> shown("gpt\x1b[2J")
    'gpt\\x1b[2J'
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


class Screen:
    """Where an import shows how far it is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Bar | None = None
        self._file: BinaryIO | None = None
        self._name = ""
        self._began = self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Say one thing."""
        console = self._console if self._bar is None else self._bar.console
        console.print(f"faregate: {shown(text)}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def showing(self, asked: Asked, file: BinaryIO) -> Iterator[None]:
        """Show how far the import of a file is, while the block runs."""
        self._name = asked.shown
        self._began = self._said = time.monotonic()
        self._file = None if asked.is_stream else file
        if not self._console.is_terminal:
            yield
            return
        total = None if asked.is_stream else Path(asked.name).stat().st_size
        with Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[lines]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        ) as bar:
            bar.add_task(escape(shown(asked.shown)), total=total, lines="")
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def told(self, counts: Counts) -> None:
        """Show what became of lines so far."""
        now = time.monotonic()
        if self._bar is not None:
            task = self._bar.task_ids[0]
            done = None if self._file is None else self._file.tell()
            lines = f"{counts.total:,} lines, {self._rate(counts, now):,.0f}/s"
            self._bar.update(task, completed=done, lines=lines)
        elif now - self._said >= EVERY_SECONDS:
            self._said = now
            self.say(f"{self._name}: {counts.total} lines, {self._rate(counts, now):.0f}/s")

    def _rate(self, counts: Counts, now: float) -> float:
        return counts.total / max(now - self._began, 0.001)

    def sum_up(self, summary: Summary) -> None:
        """Print the table of a file, and what there is to do."""
        counts = summary.counts
        numbers = (counts.booked, counts.repeats, counts.skipped, counts.too_old, counts.refused)
        rate = self._rate(counts, time.monotonic())
        cells = [shown(summary.name), *(f"{number:,}" for number in numbers), f"{rate:,.0f}"]
        if sys.stdout.isatty():
            table = Table(box=None)
            for column in COLUMNS:
                table.add_column(column, justify="left" if column == "file" else "right")
            table.add_row(*map(escape, cells))
            Console().print(table)
        else:
            for column, cell in zip(COLUMNS, cells, strict=True):
                print(f"{column}: {cell.replace(',', '') if column != 'file' else cell}")
            sys.stdout.flush()
        if summary.done_before:
            self.say(f"imported before: {_lines(summary.done_before)}")
        if counts.warned:
            self.say(f"{_lines(counts.warned, 'booked ')} with a warning:")
            for warning, times in summary.warnings.items():
                self.say(f"  {times} times: {warning}")
        if summary.refused:
            self.say(f"{_lines(summary.refused, 'refused ')}, with reasons: {summary.refused_path}")
            self.say("when what is wrong with them is mended, --again tries them again")


def _lines(count: int, kind: str = "") -> str:
    return f"{count} {kind}line" if count == 1 else f"{count} {kind}lines"
