"""One file's way into the ledger: lines are read and sent in batches, one after the other, so that
each customer's uses keep their order; while one is on its way the next is read. After each answer
it is written down how far that was.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

import msgspec

from faregate.cli.import_journal import (
    Counts,
    Progress,
    journal_path,
    read_progress,
    write_progress,
)
from faregate.cli.import_target import Target
from faregate.client.errors import FaregateClientError
from faregate.core.events import GRACE_PERIOD
from faregate.core.mapping import MappingRules
from faregate.core.observed import Observed
from faregate.core.problems import FaregateError
from faregate.ingestion.imported import MAX_LINES, LineResult
from faregate.ingestion.lines import GIVEN_ID, Line, Lines, Reading
from faregate.ingestion.records import as_json, unpacked

MAX_BATCH_BYTES: Final = 1024 * 1024
MAX_WARNINGS: Final = 20
"""Different warnings that are remembered."""
ENDING_SECONDS: Final = 5.0
"""How long whoever ends an import waits for the answer that is on its way."""


class Refusal(Exception):
    """An import that cannot begin, and the remedy. Nothing was sent."""


class Stopped(Exception):
    """An import that ended on its way: what was answered is booked and written down."""


class Unreadable(Exception):
    """A file that breaks off, or that is packed in a way that cannot be unpacked."""


class Asked(NamedTuple):
    """What is asked for one file. `apply` puts what was said on the command line into rules."""

    name: str
    reading: Reading
    apply: Callable[[MappingRules], MappingRules]
    folder: Path
    is_again: bool
    skips_too_old: bool
    now: datetime

    @property
    def is_stream(self) -> bool:
        """Tell whether it can be read once only."""
        return self.name == "-"

    @property
    def shown(self) -> str:
        """Return what it is called in places."""
        return "stdin" if self.is_stream else Path(self.name).name


def opened(asked: Asked) -> BinaryIO:
    """Open a file that is to be imported. Raises `Refusal`."""
    if asked.is_stream:
        return sys.stdin.buffer
    try:
        return Path(asked.name).open("rb", buffering=0)
    except OSError as error:
        raise Refusal(f"{asked.name} cannot be read: {error.strerror}") from None


def lines_of(lines: Lines, file: BinaryIO) -> Iterator[Line]:
    """Read the lines of an unpacked file. Raises `Unreadable`."""
    try:
        yield from lines.read(file)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"cannot be read from record {lines.count + 1} on ({error})") from None


class Batch(NamedTuple):
    """So many lines of a file, in order, and what stands for the file up to them."""

    lines: list[Line]
    read: int
    mark: str


class Importing:
    """Imports one file. `told` is called with the counts after each answer."""

    def __init__(self, asked: Asked, target: Target, told: Callable[[Counts], None]) -> None:
        self._asked = asked
        self._target = target
        self._told = told
        self._lines = Lines(asked.shown, asked.reading)
        base = asked.folder / asked.shown
        self.journal = None if asked.is_stream else journal_path(base, target.name)
        digest = journal_path(base, target.name).name.rpartition("-")[2].removesuffix(".json")
        self.refused_path = base.with_name(f"{base.name}.refused-{digest}.jsonl")
        self.before = self._before()
        self.progress = self._begin(target.rules)
        self.counts = Counts()
        self.warnings: Counter[str] = Counter()
        self._wanted = fields_of(self.progress.rules)
        self._has_sent = False

    def _before(self) -> Progress | None:
        try:
            return None if self.journal is None else read_progress(self.journal)
        except ValueError as error:
            said = f"{error}: take it away to begin anew (what is booked is not booked twice, as "
            raise Refusal(f"{said}long as the lines are the same)") from None

    def _begin(self, rules: MappingRules) -> Progress:
        """Go on where the import was, or begin."""
        asked, before = self._asked, self.before
        anew = Progress(self._target.name, asked.reading, asked.apply(rules))
        if before is None:
            return anew
        has_booked = before.may_have_booked
        is_same = before.reading == anew.reading
        is_mixed = before.is_mixed or (has_booked and anew.rules != before.rules)
        if not asked.is_again:
            going_on = msgspec.structs.replace(before, is_finished=False)
            if before.own_ids:
                # What was on its way may have changed since: its ids tell whether it was booked.
                going_on.sent, going_on.sent_mark = before.lines, before.mark
            if is_same and before.is_finished:
                # What was appended since is new, whichever rules held before.
                going_on.rules, going_on.is_mixed = anew.rules, is_mixed
                return going_on
            if is_same and asked.apply(before.rules) == before.rules:
                return going_on
            said = "was begun with other options: give the same ones to go on"
            if not has_booked:
                said = f"{said}, or --again to begin anew"
            raise Refusal(f"the import of {asked.name} {said} ({self.journal} has them)")
        if has_booked and (is_mixed or not is_same):
            raise Refusal(
                f"the import of {asked.name} was begun with other options or rules, and lines were "
                f"booked by them: with these they could be booked a second time, for others. Give "
                f"the same, or take {self.journal} away if you know that they cannot"
            )
        anew.has_booked = has_booked
        if not before.own_ids:
            anew.sent, anew.sent_mark, anew.own_ids = before.sent, before.sent_mark, False
        return anew

    async def run(self, file: BinaryIO, stop: asyncio.Event) -> None:
        """Import what is left of a file; ends early when `stop` is set. Raises `Refusal` before
        anything was sent, and `Stopped`."""
        # Held until the end: whoever lets go of it closes the file, of which a bar asks how far.
        body = unpacked(file)
        lines = lines_of(self._lines, body)
        with self._refused_file() as refused:
            try:
                await asyncio.to_thread(self._pass_over, lines)
                batch = await asyncio.to_thread(self._next, lines)
                while batch.lines:
                    self._refuse_too_old(batch)
                    self._announce(batch)
                    sending = asyncio.ensure_future(self._send(batch))
                    reading = asyncio.ensure_future(asyncio.to_thread(self._next, lines))
                    try:
                        results = await _answered(sending, stop)
                    finally:
                        await asyncio.wait({reading})
                    self._keep(batch, results, refused)
                    if stop.is_set():
                        self._write(is_open=False)
                        raise Stopped("ended by you")
                    batch = await reading
            except (FaregateClientError, FaregateError, Unreadable) as error:
                if self._has_sent:
                    raise Stopped(str(error)) from None
                raise Refusal(f"{self._asked.name}: {error}") from None
            self._finish()

    def _pass_over(self, lines: Iterator[Line]) -> None:
        """Read past what was imported before, or past nothing. Raises `Refusal` if it is other."""
        before = self.before
        if before is None:
            return
        if not before.own_ids and (self._asked.is_again or before.sent > before.lines):
            self._check_sent(before)
        if self._asked.is_again or before.lines == 0:
            return
        for _ in itertools.islice(lines, before.lines):
            pass
        self._check_mark(self._lines, before.lines, before.mark, before)

    def _check_sent(self, before: Progress) -> None:
        """Where lines have no ids of their own, what is sent again must be what was sent."""
        lines = Lines(self._asked.shown, self._asked.reading)
        with Path(self._asked.name).open("rb") as file:
            for _ in itertools.islice(lines_of(lines, unpacked(file)), before.sent):
                pass
        self._check_mark(lines, before.sent, before.sent_mark, before)

    def _check_mark(self, lines: Lines, count: int, mark: str, before: Progress) -> None:
        if (lines.count, lines.mark) == (count, mark):
            return
        asked = self._asked
        said = f"{asked.name} has changed: its first {count} lines are not those that were "
        if before.own_ids:
            remedy = "every line has an id of its own, so --again books what is new, once"
        else:
            remedy = "restore it, and put lines that are new at its end or into another file"
        raise Refusal(f"{said}imported ({self.journal}): {remedy}")

    def _next(self, lines: Iterator[Line]) -> Batch:
        taken: list[Line] = []
        size = 0
        for line in lines:
            taken.append(line)
            size += len(line.raw)
            if len(taken) == MAX_LINES or size >= MAX_BATCH_BYTES:
                break
        return Batch(taken, self._lines.count, self._lines.mark)

    def _is_too_old(self, line: Line) -> bool:
        observed = line.observed
        return observed is not None and observed.occurred_at < self._asked.now - GRACE_PERIOD

    def _refuse_too_old(self, batch: Batch) -> None:
        """Say early what the gate would say of each line. Raises `Refusal`."""
        if self._has_sent or self._asked.skips_too_old:
            return
        line = next((line for line in batch.lines if self._is_too_old(line)), None)
        if line is not None and line.observed is not None:
            place = f"{self._asked.shown}:{line.number}"
            raise Refusal(
                f"{place} is of {line.observed.occurred_at:%Y-%m-%d}, more than "
                f"{GRACE_PERIOD.days} days ago: uses that old are not charged any more. Import the "
                "others with --skip-too-old; what is owed for these may be charged as one sum "
                "(POST /v1/customers/{customer_id}/wallet/charges)"
            )

    def _announce(self, batch: Batch) -> None:
        """Write down what is about to be sent: from now on it may be booked. Raises `Refusal` if it
        may be booked already, and said something else then."""
        progress, before, columns = self.progress, self.before, self._lines.columns
        if before is not None and before.may_have_booked and before.columns != columns:
            raise Refusal(
                f"{self._asked.name} has changed: its columns have not the names by which lines "
                f"were booked, which could be booked a second time, for others. Restore them, or "
                f"take {self.journal} away if you know that they cannot"
            )
        progress.columns = columns
        if any(line.observed.id.startswith(GIVEN_ID) for line in self._sent(batch)):
            progress.own_ids = False
        is_further = batch.read > progress.sent
        if is_further:
            progress.sent, progress.sent_mark = batch.read, batch.mark
        if is_further or not self._has_sent:
            self._write(is_open=True)
        self._has_sent = True

    async def _send(self, batch: Batch) -> list[LineResult]:
        lines = [self._meant(line.observed) for line in self._sent(batch)]
        if not lines:
            return []
        results = await self._target.send(lines, self.progress.rules)
        if len(results) != len(lines):
            raise Stopped(f"{len(lines)} lines were sent and {len(results)} answered")
        return results

    def _sent(self, batch: Batch) -> list[Any]:
        skips = self._asked.skips_too_old
        return [
            line
            for line in batch.lines
            if line.observed is not None and not (skips and self._is_too_old(line))
        ]

    def _meant(self, observed: Observed) -> Observed:
        """Leave out the fields that no rule names: what nobody asked for does not travel."""
        names, below = self._wanted
        fields = observed.fields
        meant = {name: fields[name] for name in names if name in fields}
        if below:
            meant.update((name, fields[name]) for name in fields if name.startswith(below))
        return msgspec.structs.replace(observed, fields=meant)

    def _keep(self, batch: Batch, results: Sequence[LineResult], refused: IO[bytes]) -> None:
        """Count what became of a batch, keep what was refused, and write down how far it is."""
        counts = Counts()
        answers = iter(results)
        sent = {id(line) for line in self._sent(batch)}
        for line in batch.lines:
            if line.observed is None:
                self._refuse(line, line.problem, refused, counts)
            elif id(line) not in sent:
                counts.too_old += 1
            else:
                result = next(answers)
                if result.status == "refused":
                    self._refuse(line, result.reason, refused, counts)
                elif result.status == "booked":
                    counts.booked += 1
                    self._note_warnings(result, counts)
                elif result.status == "repeat":
                    counts.repeats += 1
                else:
                    counts.skipped += 1
        refused.flush()
        self.counts.add(counts)
        progress = self.progress
        progress.counts.add(counts)
        progress.lines, progress.mark = batch.read, batch.mark
        progress.refused_bytes = refused.tell()
        self._write(is_open=True)
        self._told(self.counts)

    def _note_warnings(self, result: LineResult, counts: Counts) -> None:
        counts.warned += bool(result.warnings)
        for warning in result.warnings:
            if warning in self.warnings or len(self.warnings) < MAX_WARNINGS:
                self.warnings[warning] += 1

    def _refuse(self, line: Line, reason: str, refused: IO[bytes], counts: Counts) -> None:
        counts.refused += 1
        refused.write(as_json(line.raw, f"{self._asked.shown}:{line.number}", reason))

    def _finish(self) -> None:
        before = self.before
        if before is not None and before.is_finished and not self._has_sent:
            # Nothing was sent by the rules that were said now.
            return
        self.progress.is_finished = True
        self.progress.mark = self._lines.mark
        self._write(is_open=False)

    def _write(self, *, is_open: bool) -> None:
        self.progress.is_open = is_open
        if self.journal is not None:
            try:
                write_progress(self.journal, self.progress)
            except OSError as error:
                said = f"cannot write down how far it is ({error})"
                raise Stopped(f"{said}: say with --state where it may write") from None

    @contextmanager
    def _refused_file(self) -> Iterator[IO[bytes]]:
        """Open the file of refused lines, as it was when the last batch was answered. An empty one
        is taken away at the end. Raises `Refusal` if somebody else imports the same."""
        path = self.refused_path
        try:
            # Nobody else reads what was refused, and no link leads to what is written over.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.fdopen(os.open(path, flags, 0o600), "r+b")
        except OSError as error:
            raise Refusal(f"{error}: say with --state where it may write") from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refusal(f"{self._asked.name} is being imported already") from None
            # Of what can be read once, nobody knows which refused lines came from where.
            kept = None if self._asked.is_stream else self.progress.refused_bytes
            if kept is not None:
                file.truncate(kept)
            file.seek(0, os.SEEK_END)
            try:
                yield file
            finally:
                if file.tell() == 0:
                    path.unlink(missing_ok=True)


def fields_of(rules: MappingRules) -> tuple[Sequence[str], str | None]:
    """Return the names of all fields that rules read, and the name below which they read all."""
    names = [*rules.customer, *rules.event_type, *rules.subject, *rules.description]
    for fields in rules.data.values():
        names += fields
    names += [condition.field for condition in rules.only]
    if rules.cost is not None:
        names += [*rules.cost.amount, *rules.cost.vendor_fields]
    return list(dict.fromkeys(names)), rules.data_below


async def _answered(
    sending: asyncio.Future[list[LineResult]], stop: asyncio.Event
) -> list[LineResult]:
    """Wait for an answer. Whoever ends the import waits some seconds for it."""
    stopping = asyncio.ensure_future(stop.wait())
    awaited: set[asyncio.Future[Any]] = {sending, stopping}
    try:
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            await asyncio.wait({sending}, timeout=ENDING_SECONDS)
        if not sending.done():
            raise Stopped("ended by you, before the last batch was answered")
        return sending.result()
    finally:
        stopping.cancel()
        sending.cancel()
