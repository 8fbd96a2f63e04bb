"""`faregate mcp`: the assistants' server on standard input and output, for assistants that start
their servers themselves. It speaks for a server that runs (`--url`), or serves a database for as
long as the assistant is there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from faregate.cli.settings import Database, Mode, Role, open_database, refuse

if TYPE_CHECKING:
    from faregate.engine import Engine
    from faregate.operations.auth import OwnKey

KEY_VARIABLE: Final = "FAREGATE_API_KEY"

app = typer.Typer(
    invoke_without_command=True, help="Serve an assistant (MCP) on standard input and output."
)


@app.callback()
def mcp(
    context: typer.Context,
    database: Database,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="FAREGATE_URL",
            help=f"The server to speak for; its key is read from {KEY_VARIABLE}.",
        ),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The connected account to act for (with --url).")
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Which mode to work in (without --url).")] = "test",
    role: Annotated[
        Role, typer.Option(help="What the assistant may do (without --url).")
    ] = "admin",
) -> None:
    """Serve an assistant (MCP) on standard input and output."""
    if context.invoked_subcommand is not None:
        return
    from faregate.cli.logs import configure_logs
    from faregate.cli.mcp_stdio import Proxy, standard_streams

    configure_logs()
    if url is None:
        import uvloop

        uvloop.run(_serve(database, mode, role))
        return
    key = os.environ.get(KEY_VARIABLE, "")
    if not key.isascii() or not key.isprintable() or not key:
        refuse(KEY_VARIABLE, f"is needed for {url}: make a key with `faregate keys create`")
    if not url.startswith(("http://", "https://")):
        refuse("--url (FAREGATE_URL)", f"is {url!r}: say http://… or https://…")
    asyncio.run(Proxy(url.rstrip("/"), key, account).run(*standard_streams()))


async def _serve(database: str, mode: Mode, role: Role) -> None:
    from faregate.cli.mcp_stdio import Proxy, standard_streams
    from faregate.cli.providers import external_secrets, payment_providers
    from faregate.cli.server import address_of, application, listen, serving_app
    from faregate.cli.serving import first_admin

    source, target = standard_streams()
    listener = listen("127.0.0.1", 0)
    opened = open_database(
        database,
        serves=True,
        payments=payment_providers(),
        external=external_secrets(),
        remedy="; say --url (FAREGATE_URL) to speak for it",
    )
    async with opened as engine:
        own = own_key(engine, mode, role)
        async with (
            application(engine, mode, own=own) as pages,
            serving_app(pages, listener) as server,
            engine.working(),
        ):
            address = address_of(listener)
            print(f"faregate mcp: pages at {address}/ while this runs", file=sys.stderr, flush=True)
            await first_admin(engine, address)
            passing = asyncio.create_task(Proxy(address, own.secret).run(source, target))
            stopping = asyncio.create_task(server.stopping.wait())
            await asyncio.wait((passing, stopping), return_when=asyncio.FIRST_COMPLETED)
            for task in (passing, stopping):
                task.cancel()
            await asyncio.gather(passing, stopping, return_exceptions=True)


def own_key(engine: Engine, mode: Mode, role: Role) -> OwnKey:
    """Make a key that ends with this process and that no database knows."""
    from faregate.operations.auth import OwnKey
    from faregate.platform.keys import ApiKey, new_secret

    secret = new_secret(mode)
    context = engine.context_of(mode)
    identifier = f"key_process_{os.getpid()}"
    key = ApiKey(
        identifier, "faregate mcp", role, "assistant on this machine", engine.now(), None, context
    )
    return OwnKey(secret, key)
