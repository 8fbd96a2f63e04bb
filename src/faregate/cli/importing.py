"""`faregate import`: bring files of uses into the ledger, each line once, however often the import
is ended and begun again. What its options are is said here; `import_work` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from faregate.cli.settings import Mode, refuse
from faregate.ingestion.lines import Epoch
from faregate.ingestion.records import Format

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
        typer.Option(help="A running server.", envvar="FAREGATE_URL", rich_help_panel=_WHERE),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Its API key (role ingest or admin), which says the account and the mode. Better "
            "in the environment, where no list of processes shows it.",
            envvar="FAREGATE_API_KEY",
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
    # Only now: whoever asks for help waits for no engine.
    from faregate.cli.import_options import Columns
    from faregate.cli.import_work import Where, import_files, reading_of

    if files.count("-") > 1 or len(set(files)) < len(files):
        refuse("FILES", "a file is named twice")
    import_files(
        [
            (name, reading_of(name, kind, delimiter, id_, occurred_at, epoch, is_utc=utc))
            for name in files
        ],
        Columns(customer, event_type, subject, description, data),
        # The environment may have the address for other programs.
        Where(None if database is not None else url, key, database, mode, account, patience),
        state,
        is_again=again,
        skips_too_old=skip_too_old,
        shown=show if dry_run else 0,
    )
