"""From a database URL to an open store."""

from __future__ import annotations

from pathlib import Path

from faregate.store.protocol import Store, StoreUnavailable


async def open_store(url: str) -> Store:
    """Open `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://…`.

    Raises `StoreUnavailable` if the URL is of another kind or the database does not answer.
    """
    if url.startswith("sqlite:///"):
        from faregate.store.sqlite import SqliteStore

        path = url.removeprefix("sqlite:///")
        if not path or path == ":memory:":
            raise StoreUnavailable("a database in memory would lose money: name a file")
        return await SqliteStore.open(url, Path(path))
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from faregate.store.postgres import PostgresStore
        except ImportError as error:
            remedy = "install the extra: pip install 'faregate[postgres]'"
            raise StoreUnavailable(f"PostgreSQL needs asyncpg: {remedy}") from error
        return await PostgresStore.open(url)
    shown = url.partition("://")[0]
    raise StoreUnavailable(
        f"{shown!r} is no database that Faregate knows: "
        "use sqlite:///path/to/file.db or postgresql://user@host/name"
    )
