"""Runs the Alembic migrations, the same ones on both databases."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    return config


def newest_version() -> str:
    """Return the schema revision that this version of Faregate needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise AssertionError("there are no migrations in the package")
    return head


def is_known(version: str) -> bool:
    """Tell whether this version of Faregate knows a schema revision, i.e. it is not a newer one."""
    script = ScriptDirectory.from_config(_config())
    return version in {revision.revision for revision in script.walk_revisions()}


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


def upgrade_sqlite(path: str) -> None:
    """Bring a SQLite file to the newest schema."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        _upgrade(connection)


async def upgrade_postgres(url: str) -> None:
    """Bring a PostgreSQL database to the newest schema."""
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)
    await engine.dispose()
