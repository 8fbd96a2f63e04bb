"""Databases of the newest schema, copied from one that has been migrated once: to migrate each of
some thousands anew would take half of the time that the tests take. Those of PostgreSQL are used
again once their rows are those of a new one. Tests that are about migrations begin with an empty
one (`empty_url`).
"""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path
from typing import NamedTuple
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
    url = of_server(server_url, name)
    if is_empty:
        asyncio.run(execute(server_url, f'CREATE DATABASE "{name}"'))
        return url
    template = _migrated_database(server_url)
    while idle := _idle(server_url):
        if asyncio.run(_made_new(server_url, idle.pop(), name)):
            break
    else:
        how = f'TEMPLATE "{template}" STRATEGY FILE_COPY'
        asyncio.run(execute(server_url, f'CREATE DATABASE "{name}" {how}'))
    _migrated(server_url).add(name)
    return url


def drop_postgres(server_url: str, url: str) -> None:
    """Take a database away, with whoever is still connected. One that was migrated is cleared and
    given to the next who asks: to make one costs as much as a test does."""
    name = urlsplit(url).path.removeprefix("/")
    if name in _migrated(server_url):
        _migrated(server_url).remove(name)
        _idle(server_url).append(name)
        return
    asyncio.run(execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@cache
def _migrated(_server_url: str) -> set[str]:
    """The migrated databases of a server that are in use."""
    return set()


@cache
def _idle(_server_url: str) -> list[str]:
    """Those that nobody uses any more."""
    return []


async def _made_new(server_url: str, old: str, name: str) -> bool:
    """Make a used database a new one, under a new name: whoever was connected is cut off, and does
    not come back. If anything but its rows was changed it is dropped instead."""
    import asyncpg

    template = await _contents(of_server(server_url, _migrated_database(server_url)))
    cut_off = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{old}'"
    try:
        await execute(server_url, cut_off, f'ALTER DATABASE "{old}" RENAME TO "{name}"')
    except asyncpg.ObjectInUseError:
        return False
    connection = await asyncpg.connect(of_server(server_url, name))
    try:
        is_as_it_was = await connection.fetchval(_SHAPE) == template.shape
        if is_as_it_was:
            await connection.execute(template.restore)
    finally:
        await connection.close()
    if not is_as_it_was:
        await execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')
    return is_as_it_was


class _Contents(NamedTuple):
    """What is in a migrated database: its `shape` is all but the rows, `restore` brings those
    back."""

    shape: str
    restore: str


_CONTENTS: dict[str, _Contents] = {}

_SHAPE = """SELECT md5(string_agg(one, ',' ORDER BY one)) FROM (
  SELECT concat_ws(' ', 'relation', oid, relname, relkind, relpersistence, reloptions)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'column', attrelid, attnum, attname, atttypid, attnotnull)
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0
  UNION ALL SELECT concat_ws(' ', 'default', adrelid, adnum, adbin::text) FROM pg_attrdef
  UNION ALL SELECT concat_ws(' ', 'constraint', oid, conname, convalidated) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'trigger', oid, tgrelid, tgenabled) FROM pg_trigger
  UNION ALL SELECT concat_ws(' ', 'rule', oid, ev_enabled) FROM pg_rewrite WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', 'function', oid, proname, md5(prosrc)) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'schema', nspname) FROM pg_namespace WHERE nspname !~ '^pg_'
  UNION ALL SELECT concat_ws(' ', 'setting', setrole, setconfig::text) FROM pg_db_role_setting
    JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()
) AS all_of_it (one)"""


async def _contents(url: str) -> _Contents:
    if url in _CONTENTS:
        return _CONTENTS[url]
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname='public'")
        sequences = await connection.fetch(
            "SELECT sequencename, coalesce(last_value, start_value), last_value IS NOT NULL "
            "FROM pg_sequences"
        )
        # Foreign keys do not matter while everything is replaced.
        parts = ["BEGIN", "SET LOCAL session_replication_role = replica"]
        parts += [f'DELETE FROM "{name}"' for (name,) in tables]
        parts += [
            f"SELECT setval('\"{name}\"', {last}, {is_used})" for name, last, is_used in sequences
        ]
        for (name,) in tables:
            rows = await connection.fetchval(f'SELECT json_agg(t) FROM "{name}" t')
            if rows is not None:
                quoted = rows.replace("'", "''")
                source = f"json_populate_recordset(NULL::\"{name}\", '{quoted}')"
                parts.append(f'INSERT INTO "{name}" SELECT * FROM {source}')
        restore = ";\n".join([*parts, "COMMIT"])
        _CONTENTS[url] = _Contents(await connection.fetchval(_SHAPE), restore)
    finally:
        await connection.close()
    return _CONTENTS[url]


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
