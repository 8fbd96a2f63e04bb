"""Databases of the newest schema, copied from one that has been migrated once: to migrate each of
some thousands anew would take half of the time that the tests take. Those that are about migrations
begin with an empty one (`empty_url`).
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from faregate.store.migrate import upgrade_postgres, upgrade_sqlite


@cache
def _migrated_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="faregate-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "migrated.db"
    upgrade_sqlite(str(path))
    return path


def new_sqlite(path: Path) -> str:
    """Put a migrated database at a path, and return its URL."""
    shutil.copyfile(_migrated_file(), path)
    return f"sqlite:///{path}"


@cache
def _migrated_database(server_url: str) -> str:
    name = f"migrated_{uuid.uuid4().hex}"
    asyncio.run(execute(server_url, f'CREATE DATABASE "{name}"'))
    asyncio.run(upgrade_postgres(of_server(server_url, name)))
    return name


def new_postgres(server_url: str, *, is_empty: bool = False) -> str:
    """Make a database on a server, migrated unless `is_empty`, and return its URL."""
    name = f"faregate_{uuid.uuid4().hex}"
    how = "" if is_empty else f' TEMPLATE "{_migrated_database(server_url)}" STRATEGY FILE_COPY'
    asyncio.run(execute(server_url, f'CREATE DATABASE "{name}"{how}'))
    return of_server(server_url, name)


def drop_postgres(server_url: str, url: str) -> None:
    """Take a database away, with whoever is still connected."""
    name = urlsplit(url).path.removeprefix("/")
    asyncio.run(execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


def of_server(server_url: str, name: str) -> str:
    """Return the URL of a server's database."""
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


async def execute(url: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
