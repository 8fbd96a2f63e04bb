"""The baseline: what one writes without a lane. Every call is a transaction of its own that reads
the customer, decides with the same rules, writes the same rows and commits, durably, before it
answers. On PostgreSQL the customer's row is locked and calls run side by side on a pool of
connections; on SQLite there is one writer, on a thread, as SQLite wants it.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from faregate.core.chain import Head
from faregate.core.customers import CustomerState
from faregate.core.decide import decide
from faregate.core.decision import Known
from faregate.core.events import EventsBooked, RecordEvents, UsageEvent
from faregate.core.ids import IdSource
from faregate.core.instants import to_us
from faregate.core.subscriptions import CatalogView
from faregate.ledger import rows
from faregate.store import schema
from faregate.store.protocol import LaneRows

POOL_SIZE: Final = 32
_EVENT: Final = "SELECT 1 FROM events WHERE lane = 0 AND event_id = $1 AND customer_id = $2"
_BY_CUSTOMER: Final = (
    (schema.GRANTS, " AND is_used_up = 0"),
    (schema.CARRIES, ""),
    (schema.SUBSCRIPTIONS, ""),
)


_USE_GRANT: Final = (
    "UPDATE grants SET remaining_units = $1 WHERE lane = 0 AND customer_id = $2 AND grant_id = $3"
)


def _select(table: schema.HotTable, also: str) -> str:
    names = schema.names(table)
    return f"SELECT {names} FROM {table.name} WHERE lane = 0 AND customer_id = $1{also}"


def _insert(table: schema.HotTable) -> str:
    marks = ", ".join(f"${number}" for number in range(1, len(table.columns) + 1))
    sql = f"INSERT INTO {table.name} (lane, {schema.names(table)}) VALUES (0, {marks})"
    if table.key:
        sets = ", ".join(f"{column} = excluded.{column}" for column in table.update)
        sql += f" ON CONFLICT (lane, {', '.join(table.key)}) DO UPDATE SET {sets}"
    return sql


_SELECTS: Final = [_select(table, also) for table, also in _BY_CUSTOMER]
_INSERTS: Final = {table.name: _insert(table) for table in schema.HOT_TABLES}


class Baseline:
    """What both databases share: the rules, and where rows are numbered."""

    def __init__(self, catalog: CatalogView, last_seq: int, heads: dict[str, Head]) -> None:
        self._catalog = catalog
        # To look for a customer's newest transfer would cost it one more round trip, too.
        self._heads = heads
        self._ids = IdSource(secrets.randbits)
        # It numbers its rows by itself: a sequence would cost it one more round trip.
        self._seq = last_seq

    @property
    def last_seq(self) -> int:
        """The last number that it gave."""
        return self._seq

    def decide(
        self, loaded: LaneRows, customer_id: str, event: UsageEvent
    ) -> tuple[list[tuple[str, tuple[Any, ...]]], EventsBooked]:
        """Decide one event on what was read; returns the statements to run, and the answer."""
        state: CustomerState = rows.read_customers([customer_id], loaded)[customer_id]
        now = datetime.now(UTC)
        self._ids.tick(now)
        command = RecordEvents(customer_id, (event,))
        decision = decide(state, Known(), command, self._catalog, now, self._ids)
        if not isinstance(decision.answer, EventsBooked):
            raise AssertionError(decision.answer)
        batch = rows.BatchRows(self._seq)
        head = self._heads[customer_id]
        self._heads[customer_id] = batch.add(decision, head, 1, now, to_us(now))
        self._seq = batch.last_seq
        statements = []
        for table, values in batch.lists().items():
            for row in values:
                if table == schema.GRANT_USES:
                    statements.append((_USE_GRANT, (row[6], row[0], row[1])))
                else:
                    statements.append((_INSERTS[table], row))
        return statements, decision.answer


class SqliteBaseline(Baseline):
    """One connection, one transaction per call."""

    def __init__(
        self, catalog: CatalogView, last_seq: int, heads: dict[str, Head], path: str
    ) -> None:
        super().__init__(catalog, last_seq, heads)
        self._thread = ThreadPoolExecutor(1)
        self._path = path
        self._thread.submit(self._connect).result()

    def _connect(self) -> None:
        self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA cache_size=-65536")

    async def close(self) -> None:
        """Close the file."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    async def charge(self, customer_id: str, event: UsageEvent) -> EventsBooked:
        """Charge one event."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._charge, customer_id, event)

    def _read(self, sql: str, *values: Any) -> Sequence[Any]:
        named = {str(number): value for number, value in enumerate(values, 1)}
        return self._connection.execute(sql, named).fetchall()

    def _charge(self, customer_id: str, event: UsageEvent) -> EventsBooked:
        write = self._connection.execute
        write("BEGIN IMMEDIATE")
        try:
            if self._read(_EVENT, event.id, customer_id):
                raise AssertionError("the id is new")
            accounts = self._read(_select(schema.ACCOUNTS, ""), customer_id)
            grants, carries, subscriptions = (self._read(sql, customer_id) for sql in _SELECTS)
            loaded = LaneRows(grants, accounts, carries, subscriptions)
            new, answer = self.decide(loaded, customer_id, event)
            for sql, row in new:
                self._read(sql, *row)
            write("COMMIT")
        finally:
            if self._connection.in_transaction:
                write("ROLLBACK")
        return answer


class PostgresBaseline(Baseline):
    """A pool of connections, one transaction per call, the customer's account locked."""

    def __init__(
        self, catalog: CatalogView, last_seq: int, heads: dict[str, Head], pool: Any
    ) -> None:
        super().__init__(catalog, last_seq, heads)
        self._pool = pool

    @classmethod
    async def open(
        cls, catalog: CatalogView, last_seq: int, heads: dict[str, Head], url: str
    ) -> PostgresBaseline:
        """Connect."""
        pool = await asyncpg.create_pool(url, min_size=POOL_SIZE, max_size=POOL_SIZE)
        return cls(catalog, last_seq, heads, pool)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._pool.close()

    async def charge(self, customer_id: str, event: UsageEvent) -> EventsBooked:
        """Charge one event."""
        lock = _select(schema.ACCOUNTS, " FOR UPDATE")
        async with self._pool.acquire() as connection, connection.transaction():
            accounts = await connection.fetch(lock, customer_id)
            if await connection.fetch(_EVENT, event.id, customer_id):
                raise AssertionError("the id is new")
            grants, carries, subscriptions = [
                await connection.fetch(sql, customer_id) for sql in _SELECTS
            ]
            loaded = LaneRows(grants, accounts, carries, subscriptions)
            new, answer = self.decide(loaded, customer_id, event)
            for sql, row in new:
                await connection.fetch(sql, *row)
        return answer
