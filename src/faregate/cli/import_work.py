"""What `faregate import` does once its options are read: one file after the other, until all is in,
or it is told to stop, or has to."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, NoReturn

import uvloop

from faregate.cli.import_options import Columns, put_into
from faregate.cli.import_preview import preview
from faregate.cli.import_run import Asked, Importing, Refusal, Stopped, opened
from faregate.cli.import_screen import Screen, Summary
from faregate.cli.import_screen import shown as visible
from faregate.cli.import_target import Target, database_target, server_target
from faregate.cli.settings import EXIT_CONFIGURATION, Mode, refuse
from faregate.client.address import find_address
from faregate.client.errors import FaregateClientError
from faregate.core.problems import FaregateError
from faregate.ingestion.lines import Epoch, Reading
from faregate.ingestion.records import Format, format_of

EXIT_REFUSED: Final = 1
EXIT_STOPPED: Final = 3
EXIT_ENDED: Final = 130


class Where(NamedTuple):
    """Where uses go: a server, with a key, or a database that no server has open."""

    url: str | None
    key: str | None
    database: str | None
    mode: Mode
    account: str | None
    patience_seconds: float


def import_files(
    files: Sequence[tuple[str, Reading]],
    columns: Columns,
    where: Where,
    state: Path | None,
    *,
    is_again: bool,
    skips_too_old: bool,
    shown: int,
) -> NoReturn:
    """Import files, or show what their first lines would be (`shown` of them; 0: import); ends the
    program with what its exit codes say."""
    now = datetime.now(UTC)
    asked = [
        Asked(
            name,
            reading,
            put_into(columns),
            state or (Path() if name == "-" else Path(name).parent),
            is_again,
            skips_too_old,
            now,
        )
        for name, reading in files
    ]
    screen = Screen()
    raise SystemExit(uvloop.run(_import(asked, _reached(where, screen), screen, shown)))


def _reached(where: Where, screen: Screen) -> AbstractAsyncContextManager[Target]:
    if where.database is not None:
        return database_target(where.database, where.mode, where.account)
    try:
        address = find_address(where.url, where.key)
    except ValueError as error:
        said = f"{error}".replace("pass base_url", "say --url").replace("pass api_key", "say --key")
        refuse("--url, --key", f"{said} (or --database, for one that no server has open)")
    return server_target(address, where.account, where.patience_seconds, screen.say)


def reading_of(
    name: str,
    kind: Format | None,
    delimiter: str | None,
    id_field: str | None,
    occurred_at_field: str | None,
    epoch: Epoch | None,
    *,
    is_utc: bool,
) -> Reading:
    """Return how a file is to be read; refuses what cannot be."""
    found = kind or format_of(name)
    if found is None:
        refuse("--format", f"the name of {name} does not say it: say csv, tsv or jsonl")
    if delimiter is not None:
        delimiter = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
        if found == "jsonl":
            refuse("--delimiter", "JSON lines have none: leave it out")
        if len(delimiter) != 1 or delimiter in '"\r\n\x00':
            refuse("--delimiter", f"is {delimiter!r}: give one character")
    return Reading(found, delimiter, id_field, occurred_at_field, epoch, is_utc)


async def _import(
    asked: Sequence[Asked],
    reached: AbstractAsyncContextManager[Target],
    screen: Screen,
    shown: int,
) -> int:
    """Import the files, one after the other; returns the exit code."""
    try:
        async with reached as target, _stopping(screen) as stop:
            code = 0
            for one in asked:
                if shown:
                    code = max(code, await preview(one, target, shown))
                    continue
                importing = Importing(one, target, screen.told)
                with opened(one) as file, screen.showing(one, file):
                    stopped = await _run(importing, file, stop)
                code = max(code, _sum_up(importing, one, stopped, stop, screen))
                if code > EXIT_REFUSED:
                    break
            return code
    except Refusal as refusal:
        _say_no(str(refusal))
    except (FaregateClientError, FaregateError) as error:
        _say_no(str(error))


async def _run(importing: Importing, file: BinaryIO, stop: asyncio.Event) -> Stopped | None:
    """Import a file; returns why it ended early, if it did."""
    try:
        await importing.run(file, stop)
    except Stopped as stopped:
        return stopped
    return None


def _sum_up(
    importing: Importing,
    asked: Asked,
    stopped: Stopped | None,
    stop: asyncio.Event,
    screen: Screen,
) -> int:
    """Say what became of a file; returns the exit code."""
    counts = importing.counts
    before = importing.before
    done_before = before.lines if before is not None and not asked.is_again else 0
    refused = importing.progress.counts.refused
    screen.sum_up(
        Summary(
            asked.shown,
            counts,
            done_before,
            refused,
            str(importing.refused_path),
            importing.warnings,
        )
    )
    if stopped is not None:
        screen.say(f"stopped: {stopped}")
        screen.say("what was answered is booked: the same command goes on from there")
        return EXIT_ENDED if stop.is_set() else EXIT_STOPPED
    return EXIT_REFUSED if refused else 0


@asynccontextmanager
async def _stopping(screen: Screen) -> AsyncIterator[asyncio.Event]:
    """Set an event at the first Ctrl-C (or SIGTERM); the second one ends the program."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
        screen.say("ending: waiting for the answer that is on its way")
        stop.set()

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _say_no(text: str) -> NoReturn:
    print(f"faregate: {visible(text)}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIGURATION)
