"""Runs the Alembic migrations, the same ones on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from faregate.store.protocol import StoreUnavailable


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection, revision: str) -> None:
    command.upgrade(_config(connection), revision)


def upgrade_sqlite(path: str, revision: str = "head") -> None:
    """Bring a SQLite file to the newest schema, or to an older one."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    # Python's `sqlite3` begins no transaction for changes of the schema by itself: without this, a
    # migration that is cut short would leave half of itself behind.
    sqlalchemy.event.listen(engine, "connect", _leave_transactions_to_us)
    sqlalchemy.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            _upgrade(connection, revision)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _not_migrated(error) from error


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None


def _not_migrated(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"the schema could not be brought up to date: {error}")


async def upgrade_postgres(url: str, revision: str = "head") -> None:
    """Bring a PostgreSQL database to the newest schema, or to an older one."""
    import asyncpg
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, revision)
    except (sqlalchemy.exc.SQLAlchemyError, asyncpg.PostgresError, OSError) as error:
        raise _not_migrated(error) from error
    finally:
        await engine.dispose()
