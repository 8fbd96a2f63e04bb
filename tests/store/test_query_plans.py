"""On SQLite, ranges of an append-only table are read as ranges, whatever else has an index."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from faregate.ledger import exploring
from faregate.ledger.exploring import EventFilters
from faregate.ledger.profits import read_facts
from faregate.ledger.questions import Asked, lane_parts
from faregate.ledger.reading import AS_THEY_STAND, EVENT_COLUMNS
from faregate.ledger.split_events import settled_events, split_events
from faregate.store.migrate import upgrade_sqlite
from faregate.store.open import open_store
from faregate.store.protocol import PAYMENT, Queries, Rows
from faregate.webhooks import deliveries
from faregate.webhooks.deliveries import Outcome, Ready

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


class Explained:
    """Runs SQL and keeps how SQLite went about it."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self.steps: list[str] = []

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        plan = await self._queries.fetch(f"EXPLAIN QUERY PLAN {sql}", *parameters)
        self.steps += [row[3] for row in plan if row[3].startswith(("SCAN", "SEARCH"))]
        return await self._queries.fetch(sql, *parameters)


@pytest.mark.parametrize("has_outcomes", [False, True], ids=["as booked", "outcomes"])
@pytest.mark.parametrize("customer_id", [None, "cust_1"])
@pytest.mark.parametrize(
    "by",
    [(), ("customer",), ("day", "event_type"), ("product",), ("price", "month"), ("vendor",)],
)
def test_sqlite_adds_up_a_period_without_reading_what_was_before(
    by: tuple[str, ...], customer_id: str | None, has_outcomes: bool, tmp_path
):
    async def story() -> None:
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        await store.migrate()
        await store.close()
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        asked = Asked(1, "USD", by, from_us=10**15, to_us=2 * 10**15, customer_id=customer_id)
        explained = Explained(store)
        try:
            for found in await lane_parts(explained, asked):
                part = found._replace(has_outcomes=has_outcomes)
                await read_facts(explained, asked, part)
                async for _ in split_events(store, explained, asked, part):
                    pass
                async for _ in settled_events(explained, asked, part):
                    pass
        finally:
            await store.close()
        rest = [step for step in explained.steps if not step.startswith("SCAN lanes")]
        assert len(rest) > 10
        for step in rest:
            # By the number of a row, or by more of an index than the lane.
            is_by_number = "INTEGER PRIMARY KEY (rowid" in step
            is_by_more = " AND " in step.partition("(")[2] or step.endswith("_lanes_1 (lane=?)")
            assert step.startswith("SEARCH")
            assert is_by_number or is_by_more, step

    asyncio.run(story())


@pytest.mark.parametrize(
    "wanted",
    [
        {"event_types": ("none",), "booked_from": datetime(2026, 1, 1, tzinfo=UTC)},
        {"customer_id": "cust_1", "shows": "fees"},
        {"event_id": "e"},
        {"data_key": "k", "data_text": "1", "min_units": 1, "asset": "USD"},
    ],
    ids=["all", "a customer's", "one", "data"],
)
def test_sqlite_looks_for_events_without_going_through_all_of_them(
    wanted: dict[str, Any], tmp_path
):
    async def story() -> None:
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        await store.migrate()
        await store.close()
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        try:
            explained = Explained(store)
            walk = exploring._Walk(explained, 0, EventFilters(1, **wanted), is_in_order=True)
            start = await walk.begin(None)
            walk._indexed = start  # The newest are in no index yet, the others are.
            await walk.look(start + 100_000, 50)
            walk._indexed = 0
            await walk.look(start + 100_000, 50)
        finally:
            await store.close()
        rest = [step for step in explained.steps if step not in ("SCAN m", "SCAN lanes")]
        assert rest
        for step in rest:
            is_by_more = " AND " in step.partition("(")[2] or "_lanes_1 (lane=?)" in step
            assert step.startswith("SEARCH")
            assert "INTEGER PRIMARY KEY (rowid" in step or is_by_more, step

    asyncio.run(story())


@pytest.mark.parametrize("before", [None, "0018"], ids=["new", "upgraded"])
def test_sqlite_finds_the_lines_of_webhooks_by_more_than_the_lane(before: str | None, tmp_path):
    async def story() -> None:
        if before is not None:
            upgrade_sqlite(f"{tmp_path}/faregate.db", before)
        store = await open_store(f"sqlite:///{tmp_path}/faregate.db")
        try:
            await store.schema_version()
            # Also in the process that has just made the schema.
            await store.migrate()
            async with store.transaction() as queries:
                explained = Explained(queries)
                first, second = (Ready(n, "whd_1", "whe_1", 0, "{}") for n in (1, 2))
                outcomes = [Outcome(first, 5, 200), Outcome(second, 5, 500, "answered 500", 9)]
                await deliveries.record(explained, 0, outcomes)
                await deliveries._lines_in_use(explained, 0, ["cust_1", "cust_2"])
                await deliveries.ready_for(explained, 0, "whd_1", 5, 9)
                await deliveries.due_by_destination(explained, 0)
        finally:
            await store.close()
        few = ("arrived", "failed", "w", "CONSTANT ROW")
        rest = [step for step in explained.steps if step.removeprefix("SCAN ") not in few]
        assert len(rest) > 8
        for step in rest:
            assert step.startswith("SEARCH")
            is_by_more = " AND " in step or "webhook_events_1 (id=?)" in step
            assert is_by_more, step

    asyncio.run(story())
