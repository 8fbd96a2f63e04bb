"""`faregate operators`: who may sign in, and links for them. It works on the database itself, so
whoever has the server can always come in, and it may be used while a server runs.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer
import uvloop

from faregate.cli.settings import Database, OperatorRole, fail, open_database
from faregate.core.problems import FaregateError
from faregate.platform.audit import COMMAND_LINE, Change

if TYPE_CHECKING:
    from faregate.engine import Engine
    from faregate.platform.links import Invitation

app = typer.Typer(help="Show and invite the people who may sign in.", no_args_is_help=True)
Email = Annotated[str, typer.Argument(help="The e-mail address that they sign in with.")]
Address = Annotated[
    str,
    typer.Option(
        "--address", envvar="FAREGATE_PUBLIC_URL", help="Where a browser reaches the server."
    ),
]
LOCAL: Final = "http://127.0.0.1:8080"


@app.command("list")
def list_operators(database: Database) -> None:
    """List operators, disabled ones too, and invitations that wait."""

    async def run() -> None:
        async with open_database(database, serves=False) as engine:
            people, waiting = await engine.list_operators(), await engine.list_invitations()
        columns = ("id", "e-mail", "name", "role", "since", "state")
        rows = [
            (
                one.id,
                one.email,
                one.name,
                one.role,
                f"{one.created_at:%Y-%m-%d %H:%M}",
                f"disabled {one.disabled_at:%Y-%m-%d %H:%M}" if one.disabled_at else "active",
            )
            for one in people
        ]
        rows += [
            ("", one.email, "", one.role, "", f"invited until {one.expires_at:%Y-%m-%d %H:%M}")
            for one in waiting
        ]
        if not sys.stdout.isatty():
            for row in rows:
                print("\t".join(row))
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*row)
        empty = "There are no operators: open the link that faregate serve prints, or invite one"
        Console().print(table if rows else empty)

    uvloop.run(run())


@app.command()
def invite(
    database: Database,
    email: Email,
    role: Annotated[
        OperatorRole, typer.Option(help="finance: sees everything; support: helps customers.")
    ] = "admin",
    address: Address = LOCAL,
) -> None:
    """Print a link by which somebody becomes an operator, once, within 24 hours."""

    async def run(engine: Engine) -> Invitation:
        change = Change("invite an operator", request={"email": email, "role": role})
        async with engine.audited(COMMAND_LINE, change):
            return await engine.invite_operator(email, role, by=None)

    _print_link(database, address, run)


@app.command("reset-password")
def reset_password(database: Database, email: Email, address: Address = LOCAL) -> None:
    """Print a link by which an operator chooses a new password, once, within 24 hours."""

    async def run(engine: Engine) -> Invitation:
        change = Change("make a new-password link", request={"email": email})
        async with engine.audited(COMMAND_LINE, change):
            return await engine.reset_link(email)

    _print_link(database, address, run)


def _print_link(
    database: str, address: str, make: Callable[[Engine], Awaitable[Invitation]]
) -> None:
    async def run() -> None:
        async with open_database(database, serves=False) as engine:
            try:
                made = await make(engine)
            except FaregateError as error:
                fail(error)
        print(f"{address.rstrip('/')}/join/{made.secret}")
        print(
            f"Send it to {made.email}: it works once, until {made.expires_at:%Y-%m-%d %H:%M} UTC.",
            file=sys.stderr,
        )

    uvloop.run(run())
