"""Settings that several commands share, and how a setting that cannot work is refused: one
sentence that names it, exit code 2, no traceback.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn

import platformdirs
import typer

from faregate.core.problems import UNAVAILABLE, FaregateError
from faregate.webhooks.addresses import Allowed

if TYPE_CHECKING:
    from faregate.engine import Engine
    from faregate.payments.external import ExternalSecrets
    from faregate.payments.provider import PaymentProvider

EXIT_CONFIGURATION: Final = 2
Clock = Callable[[], datetime]
Mode = Literal["test", "live"]
Role = Literal["admin", "ingest", "read"]
OperatorRole = Literal["admin", "finance", "support"]


def default_database() -> str:
    """Return the URL of the SQLite file in the user's data folder."""
    return f"sqlite:///{Path(platformdirs.user_data_dir('faregate')) / 'faregate.db'}"


Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="FAREGATE_DATABASE_URL",
        default_factory=default_database,
        show_default="a file in your data folder",
        help="sqlite:///path/to/file.db or postgresql://user@host/name.",
    ),
]

WebhookAllow = Annotated[
    str,
    typer.Option(
        "--webhook-allow",
        envvar="FAREGATE_WEBHOOK_ALLOW",
        help="Hosts and networks that webhooks may go to though they are not public, e.g. "
        "'hooks.internal,10.1.0.0/16'.",
    ),
]

Exports = Annotated[
    Path | None,
    typer.Option(
        "--exports",
        envvar="FAREGATE_EXPORTS",
        show_default="beside the SQLite file, or in your data folder",
        help="The folder of files that long work writes; they are kept for a week.",
    ),
]


def refuse(setting: str, reason: str) -> NoReturn:
    """End the program because of a setting."""
    print(f"faregate: {setting}: {reason}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIGURATION)


@asynccontextmanager
async def open_database(
    url: str,
    *,
    serves: bool,
    stands_by: bool = False,
    migrate: bool | None = None,
    payments: Sequence[PaymentProvider] = (),
    external: ExternalSecrets | None = None,
    webhook_allow: str = "",
    exports: Path | None = None,
    clock: Clock | None = None,
    remedy: str = "",
) -> AsyncIterator[Engine]:
    """Open the database; refuses the setting if that fails, with a remedy besides the usual ones.

    Without `serves` it works beside a running server. `payments` and `external` are who collects
    money (`providers`). `clock` tells the time; None: the system's.
    """
    # Only now: help, and a setting that is refused, wait for no engine.
    from faregate.engine import Engine, system_clock

    check_allowed(webhook_allow)
    is_open = False
    try:
        opened = Engine.open(
            url,
            serves=serves,
            stands_by=stands_by,
            migrate=migrate,
            payments=payments,
            external=external,
            webhook_allow=webhook_allow,
            exports=exports_folder(url, exports),
            clock=clock or system_clock,
        )
        async with opened as engine:
            is_open = True
            yield engine
    except FaregateError as error:
        if is_open and error.problem.kind is not UNAVAILABLE:
            raise
        refuse("--database (FAREGATE_DATABASE_URL)", f"{error}{remedy}")


def exports_folder(url: str, exports: Path | None) -> Path | None:
    """Return the folder for exports; None: beside the SQLite file."""
    if exports is not None or url.startswith("sqlite"):
        return exports
    return Path(platformdirs.user_data_dir("faregate")) / "exports"


def check_allowed(webhook_allow: str) -> None:
    """Refuse a list of hosts and networks that cannot be read."""
    try:
        Allowed.parse(webhook_allow)
    except ValueError as error:
        refuse("--webhook-allow (FAREGATE_WEBHOOK_ALLOW)", str(error))


def fail(error: FaregateError) -> NoReturn:
    """End the program because an operation was refused."""
    print(f"faregate: {error}", file=sys.stderr)
    raise SystemExit(1)
