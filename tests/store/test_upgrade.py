"""A ledger that an older Faregate wrote is brought to the newest schema with everything in it."""

import asyncio

from faregate.store.migrate import newest_version, upgrade_postgres, upgrade_sqlite
from faregate.store.open import open_store

OLD = "INSERT INTO transactions (lane, transaction_id, customer_id, id, kind, account_id, units, "
OLD += "request, created_at) VALUES (0, 't', 'c', 'adj_1', 'adjustment', 'default:USD', 5, '{}', 1)"


def test_rows_of_the_first_schema_are_kept(database_url: str):
    async def story() -> None:
        store = await open_store(database_url)
        try:
            if database_url.startswith("sqlite"):
                upgrade_sqlite(database_url.removeprefix("sqlite:///"), "0001")
            else:
                await upgrade_postgres(database_url, "0001")
            assert await store.schema_version() == "0001"
            async with store.transaction() as transaction:
                await transaction.fetch(OLD)
            await store.migrate()
            assert await store.schema_version() == newest_version()
            kept = await store.fetch("SELECT transaction_id, units, answer FROM transactions")
            assert [tuple(row) for row in kept] == [("t", 5, None)]
            assert [tuple(row) for row in await store.fetch("SELECT count(*) FROM holds")] == [(0,)]
        finally:
            await store.close()

    asyncio.run(story())
