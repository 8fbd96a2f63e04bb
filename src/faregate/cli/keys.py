"""`faregate keys`: make, list and end API keys. It works on the database itself, so it needs no
key, and it may be used while a server runs.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
import uvloop

from faregate.cli.providers import external_secrets
from faregate.cli.settings import Database, Mode, Role, fail, open_database
from faregate.core.problems import FaregateError
from faregate.platform.audit import COMMAND_LINE, Change

app = typer.Typer(help="Make, list and end API keys.", no_args_is_help=True)


@app.command()
def create(
    database: Database,
    mode: Annotated[Mode, typer.Option(help="What the key opens.")] = "test",
    role: Annotated[
        Role, typer.Option(help="ingest: report use, read its customer; read: only reads.")
    ] = "admin",
    name: Annotated[str, typer.Option(help="What the key is for.")] = "made on the command line",
    account: Annotated[
        str | None, typer.Option(help="The connected account that it opens (default: your own).")
    ] = None,
) -> None:
    """Make a key and print it, this once."""

    async def run() -> None:
        async with open_database(database, serves=False) as engine:
            try:
                change = Change("make an API key", mode=mode, request={"role": role, "name": name})
                async with engine.audited(COMMAND_LINE, change) as doing:
                    key, secret = await engine.create_key(mode, role, name, None, account)
                    doing.made(key.id)
            except FaregateError as error:
                fail(error)
        print(secret)
        print(f"{key.id}: keep it now, it is not shown again.", file=sys.stderr)

    uvloop.run(run())


@app.command("list")
def list_keys(database: Database) -> None:
    """List all keys, revoked ones too."""

    async def run() -> None:
        async with open_database(database, serves=False) as engine:
            keys = await engine.list_keys()
        columns = ("id", "account", "mode", "role", "begins with", "name", "created", "revoked")
        rows = [
            (
                key.id,
                f"{key.context.account_id} {key.context.name}",
                key.context.environment,
                key.role,
                key.hint,
                key.name,
                f"{key.created_at:%Y-%m-%d %H:%M}",
                f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
            )
            for key in keys
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
        Console().print(table if rows else "There are no keys: make one with faregate keys create")

    uvloop.run(run())


@app.command()
def revoke(
    database: Database, key_id: Annotated[str, typer.Argument(help="The key's id, key_….")]
) -> None:
    """End a key for ever. A running server notices within 5 seconds."""

    async def run() -> None:
        async with open_database(database, serves=False) as engine:
            try:
                change = Change("revoke an API key", key_id)
                async with engine.audited(COMMAND_LINE, change):
                    await engine.revoke_key(key_id)
            except FaregateError as error:
                fail(error)
        print(f"{key_id} is revoked.")

    uvloop.run(run())


@app.command("external")
def show_external(
    database: Database,
    mode: Annotated[Mode, typer.Option(help="Which mode's messages it signs.")] = "test",
    account: Annotated[
        str | None, typer.Option(help="The connected account whose it is (default: your own).")
    ] = None,
) -> None:
    """Print the secret by which your own system signs what it tells of payments."""

    async def run() -> None:
        opened = open_database(database, serves=False, external=external_secrets())
        async with opened as engine:
            try:
                context = engine.context_of(mode)
                if account is not None:
                    context = await engine.acting_for(account, mode)
                print(engine.external_secret(context=context))
            except FaregateError as error:
                fail(error)

    uvloop.run(run())
