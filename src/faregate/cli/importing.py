"""`faregate import`: bring files of uses into the ledger, each line once, however often the import
is ended and begun again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final, NoReturn

import typer
import uvloop

from faregate.cli.import_options import Columns, put_into
from faregate.cli.import_preview import preview
from faregate.cli.import_run import Asked, Importing, Refusal, Stopped, opened
from faregate.cli.import_screen import Screen, Summary
from faregate.cli.import_target import Target, database_target, server_target
from faregate.cli.settings import EXIT_CONFIGURATION, Mode, refuse
from faregate.client.address import KEY_VARIABLE, URL_VARIABLE, find_address
from faregate.client.errors import FaregateClientError
from faregate.core.problems import FaregateError
from faregate.ingestion.lines import Epoch, Reading
from faregate.ingestion.records import Format, format_of

EXIT_REFUSED: Final = 1
EXIT_STOPPED: Final = 3
EXIT_ENDED: Final = 130
_WHERE: Final = "Where it goes"
_WHAT: Final = "What the columns mean"
_HOW: Final = "How the files are written"


def import_(
    files: Annotated[
        list[str],
        typer.Argument(help="CSV, TSV or JSON lines, packed with gzip or not; - is the input."),
    ],
    url: Annotated[
        str | None,
        typer.Option(help="A running server.", envvar=URL_VARIABLE, rich_help_panel=_WHERE),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Its API key (role ingest or admin), which says the account and the mode. Better "
            "in the environment, where no list of processes shows it.",
            envvar=KEY_VARIABLE,
            rich_help_panel=_WHERE,
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="Instead of a server: a database that no server has open, "
            "sqlite:///path/to/file.db or postgresql://user@host/name.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="With --database: which mode.", rich_help_panel=_WHERE)
    ] = "test",
    account: Annotated[
        str | None,
        typer.Option(
            help="The connected account whose uses they are (default: your own).",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(
            min=0,
            max=3600,
            help="So many seconds the server may be away before the import stops.",
            rich_help_panel=_WHERE,
        ),
    ] = 300,
    customer: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Who used it: a customer's external id or id.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    event_type: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|=TYPE",
            help="What was used; =TYPE if it is the same on every line.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="COLUMN",
            help="What makes a use unique (default: 'id'; a line without one is told by the "
            "file's content up to it).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    occurred_at: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="When it was used (default: 'occurred_at' or 'timestamp').",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Whose use, within the customer.", rich_help_panel=_WHAT
        ),
    ] = None,
    description: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="What a bill may say.", rich_help_panel=_WHAT),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="What prices look at: input_tokens,model, or as key=COLUMN.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="If the file's name does not say it.", rich_help_panel=_HOW),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(help="What separates columns, e.g. ';'.", rich_help_panel=_HOW),
    ] = None,
    epoch: Annotated[
        Epoch | None,
        typer.Option(
            help="Instants are numbers since 1970 in this unit (default: dates, as "
            "2026-11-01T10:00:00Z).",
            rich_help_panel=_HOW,
        ),
    ] = None,
    utc: Annotated[
        bool,
        typer.Option("--utc", help="Instants without an offset are in UTC.", rich_help_panel=_HOW),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what the first lines would be; change nothing."),
    ] = False,
    show: Annotated[int, typer.Option(min=1, max=100, help="With --dry-run: how many lines.")] = 10,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Begin at the first line, also of a file that was imported: what was booked is "
            "not booked twice, and what was refused is tried again.",
        ),
    ] = False,
    skip_too_old: Annotated[
        bool,
        typer.Option("--skip-too-old", help="Leave out what is too old to be charged."),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="The folder in which it writes down how far it is, and what was refused "
            "(default: beside each file).",
        ),
    ] = None,
) -> None:
    """Import uses from files: each line is charged once, however often you do it.

    Columns mean what the account's import rules say, or what you say here.

    Ctrl-C ends it; the same command goes on from there.

    Refused lines are kept in a file beside yours, with reasons.

    Exit codes: 0 all is in, 1 lines were refused, 2 it could not begin,
    3 it stopped on the way, 130 you ended it.
    """
    if database is not None and url is not None:
        # The environment may have the address for other programs.
        url = None
    columns = Columns(customer, event_type, subject, description, data)
    now = datetime.now(UTC)
    asked = [
        Asked(
            name,
            _reading(name, kind, delimiter, id_, occurred_at, epoch, is_utc=utc),
            put_into(columns),
            state or (Path() if name == "-" else Path(name).parent),
            again,
            skip_too_old,
            now,
        )
        for name in files
    ]
    if files.count("-") > 1 or len(set(files)) < len(files):
        refuse("FILES", "a file is named twice")
    reached: AbstractAsyncContextManager[Target]
    screen = Screen()
    if database is None:
        try:
            address = find_address(url, key)
        except ValueError as error:
            refuse(
                "--url, --key",
                f"{error}".replace("pass base_url", "say --url").replace(
                    "pass api_key", "say --key"
                )
                + " (or --database, for one that no server has open)",
            )
        reached = server_target(address, account, patience, screen.say)
    else:
        reached = database_target(database, mode, account)
    raise SystemExit(uvloop.run(_import(asked, reached, screen, show if dry_run else 0)))


def _reading(
    name: str,
    kind: Format | None,
    delimiter: str | None,
    id_field: str | None,
    occurred_at_field: str | None,
    epoch: Epoch | None,
    *,
    is_utc: bool,
) -> Reading:
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
    print(f"faregate: {text}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIGURATION)
