"""The hot tables as the code writes them and as the migrations make them are the same tables."""

import asyncio

from faregate.store.open import open_store
from faregate.store.protocol import Store
from faregate.store.schema import HOT_TABLES, HotTable
from faregate.store.versions import newest_version

FIXED = {"TEXT": "text", "BIGINT": "bigint", "INTEGER": "bigint"}


async def made_columns(store: Store, table: HotTable) -> list[tuple[str, str]]:
    """A migrated table's columns with their types, in their order."""
    if store.url.startswith("sqlite"):
        sql = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid"
    else:
        sql = (
            "SELECT column_name, upper(data_type) FROM information_schema.columns "
            "WHERE table_name = $1 ORDER BY ordinal_position"
        )
    return [(name, FIXED[kind]) for name, kind in await store.fetch(sql, table.name)]


async def made_key(store: Store, table: HotTable) -> list[str]:
    """The columns of a migrated table's primary key, in their order."""
    if store.url.startswith("sqlite"):
        sql = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk"
    else:
        sql = (
            "SELECT column_name FROM information_schema.key_column_usage "
            "WHERE constraint_name = $1 || '_pkey' ORDER BY ordinal_position"
        )
    return [name for (name,) in await store.fetch(sql, table.name)]


def test_the_hot_tables_have_the_columns_that_are_written(database_url: str):
    async def story() -> None:
        store = await open_store(database_url)
        await store.migrate()
        for table in HOT_TABLES:
            assert await made_columns(store, table) == [("lane", "bigint"), *table.columns]
        await store.close()

    asyncio.run(story())


def test_rows_that_are_replaced_are_found_by_the_primary_key(database_url: str):
    async def story() -> None:
        store = await open_store(database_url)
        await store.migrate()
        for table in HOT_TABLES:
            key = await made_key(store, table)
            # The high bits of a journal's `seq` are the lane.
            assert key[0] == "lane" or (key == ["seq"] and store.url.startswith("sqlite"))
            if table.key:
                assert key == ["lane", *table.key]
                assert not set(table.update) & set(key)
        await store.close()

    asyncio.run(story())


def test_migrating_twice_is_harmless(empty_url: str):
    async def story() -> None:
        store = await open_store(empty_url)
        assert await store.schema_version() is None
        await store.migrate()
        assert await store.schema_version() == newest_version()
        before = await store.leases()
        assert before
        await store.migrate()
        assert await store.schema_version() == newest_version()
        assert await store.leases() == before
        await store.close()

    asyncio.run(story())
