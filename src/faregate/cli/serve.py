"""`faregate serve`: the API and the dashboard, from one process."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from faregate.cli.settings import Database, Exports, Mode, WebhookAllow


def serve(
    database: Database,
    host: Annotated[str, typer.Option(envvar="FAREGATE_HOST")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="FAREGATE_PORT", min=0, max=65535, help="0 takes a free one.")
    ] = 8080,
    bootstrap_key: Annotated[
        str | None,
        typer.Option(
            envvar="FAREGATE_BOOTSTRAP_KEY",
            help="An admin key of your choice, made if its mode has none.",
        ),
    ] = None,
    mode: Annotated[Mode, typer.Option(help="Which mode the dashboard begins in.")] = "test",
    standby: Annotated[
        bool,
        typer.Option(
            "--standby",
            envvar="FAREGATE_STANDBY",
            help="Start beside another server, and take over when that one ends.",
        ),
    ] = False,
    webhook_allow: WebhookAllow = "",
    exports: Exports = None,
) -> None:
    """Serve the API and the dashboard until Ctrl-C."""
    # Only now: whoever asks for help waits for no web server.
    from faregate.cli.logs import configure_logs
    from faregate.cli.serving import serve_until_told

    configure_logs()
    uvloop.run(
        serve_until_told(database, host, port, bootstrap_key, mode, standby, webhook_allow, exports)
    )
