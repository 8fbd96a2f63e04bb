"""What `faregate serve` does once its settings are read: it opens the database, makes what a new
one needs, says where everything is, and serves until it is told to stop.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from faregate.cli.providers import doors, external_secrets, payment_providers
from faregate.cli.server import address_of, listen, serving
from faregate.cli.settings import Mode, open_database, refuse
from faregate.core.problems import FaregateError
from faregate.engine import Engine

log = structlog.get_logger(__name__)


async def serve_until_told(
    database: str,
    host: str,
    port: int,
    bootstrap_key: str | None,
    mode: Mode,
    standby: bool,
    webhook_allow: str,
    exports: Path | None,
) -> None:
    """Serve, and say on the output where, until Ctrl-C or SIGTERM."""
    providers = payment_providers()
    listener = listen(host, port)
    opened = open_database(
        database,
        serves=True,
        stands_by=standby,
        webhook_allow=webhook_allow,
        exports=exports,
        payments=providers,
        external=external_secrets(),
    )
    async with opened as engine:
        await _first_key(engine, bootstrap_key)
        async with serving(engine, listener, mode) as server, engine.working():
            address = address_of(listener)
            print(f"API        {address}/v1   (reference: {address}/docs)", flush=True)
            print(f"Dashboard  {address}/", flush=True)
            await first_admin(engine, address)
            for line in doors(providers, engine, address):
                print(line, flush=True)
            log.info("serving", address=address)
            await server.wait()
    log.info("stopped")


async def first_admin(engine: Engine, address: str) -> None:
    """Print the link for the first admin while there is none: to the terminal, not to the log,
    which is kept."""
    invitation = await engine.first_invitation()
    if invitation is not None:
        print(
            f"First admin  {address}/join/{invitation.secret}   (once, within 24 hours)", flush=True
        )


async def _first_key(engine: Engine, bootstrap_key: str | None) -> None:
    """Make the admin key that was asked for, or a new database's first one."""
    keys = await engine.list_keys()
    if not bootstrap_key:
        if not keys:
            _, secret = await engine.create_key("test", "admin", "made at the first start")
            print(f"Admin key  {secret}   (test mode; shown this once)", flush=True)
        return
    setting = "--bootstrap-key (FAREGATE_BOOTSTRAP_KEY)"
    mode: Mode = "live" if bootstrap_key.startswith("fg_live_") else "test"
    try:
        given = await engine.find_key(bootstrap_key)
        if any(
            key.role == "admin"
            and key.revoked_at is None
            and key.context.environment == mode
            and key.context.is_platform
            for key in keys
        ):
            if given is None:
                log.warning(f"{setting} opens nothing: there is another admin key", mode=mode)
            return
        await engine.create_key(mode, "admin", "FAREGATE_BOOTSTRAP_KEY", bootstrap_key)
    except FaregateError as error:
        refuse(setting, str(error))
