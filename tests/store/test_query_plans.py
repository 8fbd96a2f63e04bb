"""On SQLite, ranges of an append-only table are read as ranges, whatever else has an index."""

import asyncio

import pytest

from faregate.ledger.reading import AS_THEY_STAND, EVENT_COLUMNS
from faregate.store.open import open_store
from faregate.store.protocol import PAYMENT

NEWEST = "SELECT customer_id, seq FROM events WHERE lane = 0 AND seq > 5 AND seq <= 9"
ONE_CUSTOMERS = (
    "SELECT event_id FROM events e WHERE e.lane = 0 AND e.environment_id = 1 "
    "AND e.customer_id = 'c' "
    "AND e.seq IN (SELECT c.seq FROM customer_events c WHERE c.lane = 0 AND c.customer_id = 'c' "
    "UNION ALL SELECT n.seq FROM events n WHERE n.lane = 0 AND n.customer_id = 'c' AND n.seq > 9)"
)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(NEWEST, id="the newest events"),
        pytest.param(ONE_CUSTOMERS, id="a customer's events"),
        pytest.param("SELECT 1 FROM transfers WHERE lane = 0 AND seq > 5", id="transfers"),
        pytest.param(
            "SELECT 1 FROM events WHERE lane = 0 AND event_id = 'e' AND customer_id = 'c'",
            id="one event",
        ),
        pytest.param(
            "SELECT 1 FROM tier_counters WHERE lane = 0 AND customer_id = 'c' AND price_id = 'p' "
            "AND from_us = 0",
            id="what tiers have counted in a period",
        ),
        pytest.param(
            f"SELECT {PAYMENT} FROM transfers WHERE lane = 0 AND seq > 5 AND seq < 9 "
            "AND customer_id = 'c' AND to_account = 'revenue' AND reference >= 'f' "
            "AND reference <= 'g' ORDER BY seq",
            id="who paid the fees of an event",
        ),
        pytest.param(
            f"SELECT {EVENT_COLUMNS} FROM {AS_THEY_STAND} WHERE e.lane = 0 AND e.seq > 5 "
            "ORDER BY e.seq DESC LIMIT 9",
            id="a page of events as they stand",
        ),
    ],
)
def test_sqlite_searches_and_does_not_scan(sql: str, tmp_path):
    async def story() -> None:
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        await store.migrate()
        await store.close()
        # Statistics are read when a file is opened.
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        try:
            plan = [row[3] for row in await store.fetch(f"EXPLAIN QUERY PLAN {sql}")]
        finally:
            await store.close()
        steps = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
        assert steps
        for step in steps:
            is_whole_key = "event_id=? AND customer_id=?" in step or "customer_id=?" in step
            assert step.startswith("SEARCH")
            assert "INTEGER PRIMARY KEY" in step or is_whole_key, step

    asyncio.run(story())
