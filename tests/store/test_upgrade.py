"""A ledger that an older Faregate wrote is brought to the newest schema with everything in it."""

import asyncio
import json

from tests.ledger.shop import Clock

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.hold_requests import HoldRequest
from faregate.core.limits import LimitRequest
from faregate.store.migrate import upgrade_postgres, upgrade_sqlite
from faregate.store.open import open_store
from faregate.store.versions import newest_version

OLD = "INSERT INTO transactions (lane, transaction_id, customer_id, id, kind, account_id, units, "
OLD += "request, created_at) VALUES (0, 't', 'c', 'adj_1', 'adjustment', 'default:USD', 5, '{}', 1)"


CUSTOMER = "INSERT INTO customers (id, environment_id, lane, name, metadata, created_at) "
CUSTOMER += "VALUES ($1, $2, 0, 'Ada', $3, 1)"
COHORT = {"cohort": 'the "first" :name %s ü', "other": ""}


async def upgrade(url: str, version: str) -> None:
    """Bring a database to an older version of the schema."""
    if url.startswith("sqlite"):
        upgrade_sqlite(url.removeprefix("sqlite:///"), version)
    else:
        await upgrade_postgres(url, version)


def test_customers_that_were_there_belong_to_their_cohorts(empty_url: str):
    async def story() -> None:
        store = await open_store(empty_url)
        try:
            await upgrade(empty_url, "0002")
            async with store.transaction() as transaction:
                for environment in (1, 2):
                    for name, metadata in (("in", json.dumps(COHORT)), ("out", "{}"), ("un", None)):
                        customer_id = f"cust_{name}_{environment}"
                        await transaction.fetch(CUSTOMER, customer_id, environment, metadata)
        finally:
            await store.close()
        async with Engine.open(empty_url, clock=Clock(), migrate=True) as engine:
            environment = engine.context.environment_id
            cap = LimitRequest(Number(0), "day", asset="USD", customer_metadata=COHORT)
            limit = await engine.create_limit(cap)
            hold = HoldRequest("h", max_amount=Number(1), asset="USD")
            for name in ("in", "out", "un"):
                customer_id = f"cust_{name}_{environment}"
                shown = await engine.customer_limits(customer_id)
                assert [state.limit for state in shown] == ([limit] if name == "in" else [])
                decline = (await engine.authorize(customer_id, hold)).decline
                assert decline is not None
                code = "limit_exceeded" if name == "in" else "insufficient_funds"
                assert decline.code == code
                wanted = {"in": COHORT, "out": {}, "un": None}[name]
                assert (await engine.get_customer(customer_id)).metadata == wanted

    asyncio.run(story())


def test_rows_of_the_first_schema_are_kept(empty_url: str):
    async def story() -> None:
        store = await open_store(empty_url)
        try:
            await upgrade(empty_url, "0001")
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
