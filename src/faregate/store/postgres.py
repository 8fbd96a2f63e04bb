"""The store on PostgreSQL, through asyncpg. A batch is one statement: it moves the lane's row on
if the fence holds, and every insert in it takes its rows from that fence, so a process that has
lost its lease writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, Final

import asyncpg
import msgspec

from faregate.store import schema
from faregate.store.columns import join_columns, split_sql, used_columns
from faregate.store.protocol import (
    PAYMENT,
    BadRows,
    DuplicateKey,
    FenceFailed,
    LaneCommit,
    LaneRows,
    Lease,
    Paid,
    Pair,
    Queries,
    Rows,
    StoreUnavailable,
    Wanted,
)

POOL_SIZE: Final = 8
LANE_POOL_SIZE: Final = 2
"""Connections for commits and leases alone, so that a charge never waits behind readers."""
CONNECT_SECONDS: Final = 10.0
STATEMENT_SECONDS: Final = 30.0
_LEASE_COLUMNS: Final = "lane, epoch, holder, lease_until_us, last_seq, clock_us, indexed_seq"
# Classes 22 and 23 of SQLSTATE.
_BAD_ROWS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, UnicodeError)
_BROKEN = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncio.TimeoutError)


_FENCE: Final = (
    "fence AS (UPDATE lanes SET last_seq = $1, clock_us = $2, lease_until_us = $3, "
    "indexed_seq = $7 "
    "WHERE lane = $4 AND epoch = $5 AND last_seq <= $1 "
    "AND (SELECT epoch FROM catalog_epoch{lock}) = $6 RETURNING lane)"
)
_LOCKS_CATALOG: Final = schema.PRODUCT_SUBSCRIBERS.name
"""A batch that writes this table locks the catalog's epoch until it has ended: who looks for
subscribers after a change of the catalog then sees those of every commit that was let through
before it. Charges take no such lock, and never wait for a change of the catalog."""
_SEPARATOR, _NULL, _FIRST_COLUMN = 8, 9, 10
"""Numbers of the parameters that follow the fence's."""

UsedColumns = tuple[tuple[str, tuple[int, ...]], ...]
"""The tables that a batch touches, each with the columns that it uses."""


@lru_cache(maxsize=256)
def _commit_sql(tables: UsedColumns) -> str:
    """Write the one statement of a batch that touches these tables and columns."""
    is_locked = any(name == _LOCKS_CATALOG for name, _ in tables)
    parts = [_FENCE.format(lock=" FOR SHARE" if is_locked else "")]
    number = _FIRST_COLUMN
    for name, used in tables:
        table = schema.BY_NAME[name]
        columns = [table.columns[index] for index in used]
        names = ", ".join(column for column, _ in columns)
        arrays = []
        for _, kind in columns:
            arrays.append(split_sql(kind, number, _SEPARATOR, _NULL))
            number += 1
        parts.append(
            f"w_{name} AS (INSERT INTO {name} (lane, {names}) SELECT fence.lane, u.* "
            f"FROM fence, unnest({', '.join(arrays)}) AS u ({names}){schema.on_conflict(table)})"
        )
    return f"WITH {', '.join(parts)} SELECT lane FROM fence"


def _state_sql() -> str:
    """Write the statement that reads customers' states, each table's rows as one JSON array."""
    parts = [
        f"(SELECT json_agg(json_build_array({schema.names(table)}) ORDER BY {table.key[-1]})::text "
        f"FROM {table.name} WHERE lane = $1 AND customer_id = ANY($2::text[]){also})"
        for table, also in schema.CUSTOMER_STATE
    ]
    return f"SELECT {', '.join(parts)}"


_STATE: Final = _state_sql()


async def _keep_as_it_is(_connection: Any) -> None:
    """Return a connection to its pool: nothing of ours changes a session, so asking the server to
    reset it would cost a round trip for each commit, for nothing."""


def _unavailable(error: Exception, *, is_unknown: bool = False) -> StoreUnavailable:
    return StoreUnavailable(
        f"{type(error).__name__}: {error or 'it took too long'}", is_unknown=is_unknown
    )


class _PostgresQueries:
    """Runs SQL on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        try:
            rows: Rows = await self._connection.fetch(sql, *parameters)
            return rows
        except asyncpg.UniqueViolationError as error:
            raise DuplicateKey(str(error)) from error
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise _unavailable(error) from error


class PostgresStore:
    """A PostgreSQL database, open through a small pool of connections."""

    def __init__(self, url: str, pool: Any, lane_pool: Any) -> None:
        self.url = url
        self._pool = pool
        self._lane_pool = lane_pool

    @classmethod
    async def open(cls, url: str) -> PostgresStore:
        """Connect. Raises `StoreUnavailable` with the reason."""
        try:
            pools = [
                await asyncpg.create_pool(
                    url,
                    min_size=0,
                    max_size=size,
                    timeout=CONNECT_SECONDS,
                    command_timeout=STATEMENT_SECONDS,
                    server_settings={"application_name": "faregate", "jit": "off"},
                    reset=_keep_as_it_is,
                )
                for size in (POOL_SIZE, LANE_POOL_SIZE)
            ]
            is_durable = await pools[0].fetchval("SHOW synchronous_commit") != "off"
        except (asyncpg.PostgresError, ValueError, *_BROKEN) as error:
            raise _unavailable(error) from error
        if not is_durable:
            raise StoreUnavailable(
                "synchronous_commit is off for this user or server, so a commit could be lost "
                "after it was answered: set it to on (ALTER ROLE … SET synchronous_commit = on)"
            )
        return cls(url, *pools)

    async def close(self) -> None:
        """Let go of all connections."""
        for pool in (self._pool, self._lane_pool):
            try:
                await asyncio.wait_for(pool.close(), CONNECT_SECONDS)
            except (asyncpg.PostgresError, *_BROKEN):
                pool.terminate()

    async def migrate(self) -> None:
        """Bring the schema to this version."""
        from faregate.store.migrate import upgrade_postgres

        await upgrade_postgres(self.url)

    async def schema_version(self) -> str | None:
        """Return the schema's revision; None if the database is empty."""
        rows = await self.fetch("SELECT to_regclass('alembic_version')")
        if rows[0][0] is None:
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        """Return all rows of a short read."""
        return await self._fetch(self._pool, sql, *parameters)

    async def _fetch(self, pool: Any, sql: str, *parameters: Any) -> Rows:
        async with self._connection(pool) as connection:
            return await _PostgresQueries(connection).fetch(sql, *parameters)

    @asynccontextmanager
    async def _connection(self, pool: Any) -> AsyncIterator[Any]:
        """Borrow a connection, waiting for a free one no longer than for a new one."""
        try:
            connection = await pool.acquire(timeout=CONNECT_SECONDS)
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise _unavailable(error) from error
        try:
            yield connection
        except Exception as error:
            if asyncpg.InternalClientError in (type(error), type(error.__cause__)):
                # The server's last words have arrived, the end of the connection has not: asyncpg
                # cannot use it any more, but does not know yet that it is closed.
                connection.terminate()
            raise
        finally:
            # After a statement that took too long, the pool asks the server to end it, and ends
            # the connection where that takes too long as well.
            with suppress(asyncpg.PostgresError, *_BROKEN):
                await pool.release(connection, timeout=CONNECT_SECONDS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """Begin a durable transaction for catalog and directory rows."""
        try:
            async with self._connection(self._pool) as connection, connection.transaction():
                yield _PostgresQueries(connection)
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise _unavailable(error, is_unknown=True) from error

    @asynccontextmanager
    async def snapshot(self, *, for_lane: bool = False) -> AsyncIterator[Queries]:
        """Begin a read that sees one instant of the database and disturbs no writer."""
        try:
            async with (
                self._connection(self._lane_pool if for_lane else self._pool) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield _PostgresQueries(connection)
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise _unavailable(error) from error

    async def leases(self) -> list[Lease]:
        """Return every lane's row."""
        sql = f"SELECT {_LEASE_COLUMNS} FROM lanes ORDER BY lane"
        rows = await self._fetch(self._lane_pool, sql)
        return [Lease(*row) for row in rows]

    async def take_lease(self, seen: Lease, holder: str, lease_until_us: int) -> Lease | None:
        """Take the lane from the state `seen`; None if somebody else was faster."""
        sql = f"""
            UPDATE lanes SET epoch = epoch + 1, holder = $1, lease_until_us = $2
            WHERE lane = $3 AND epoch = $4 AND lease_until_us = $5 RETURNING {_LEASE_COLUMNS}
        """
        given = (holder, lease_until_us, seen.lane, seen.epoch, seen.lease_until_us)
        rows = await self._fetch(self._lane_pool, sql, *given)
        return Lease(*rows[0]) if rows else None

    async def load(self, lane: int, wanted: Wanted, *, for_lane: bool = False) -> LaneRows:
        """Read states and rows of a lane."""
        async with self._connection(self._lane_pool if for_lane else self._pool) as connection:
            queries = _PostgresQueries(connection)
            return await self._load(queries, lane, wanted)

    async def _load(self, queries: Queries, lane: int, wanted: Wanted) -> LaneRows:
        loaded = LaneRows()
        if wanted.customers:
            # One statement: one round trip, and grants, overdrafts and the rest of one instant.
            found = await queries.fetch(_STATE, lane, list(wanted.customers))
            (
                loaded.grants,
                loaded.accounts,
                loaded.carries,
                loaded.subscriptions,
                loaded.open_holds,
                loaded.rules,
                loaded.chains,
            ) = [() if rows is None else msgspec.json.decode(rows) for rows in found[0]]
        if wanted.events:
            loaded.events = await self._by_pair(
                queries, schema.EVENTS, "event_id", lane, wanted.events
            )
            loaded.fees = await self._fees(queries, lane, loaded.events)
        if wanted.transactions:
            loaded.transactions = await self._by_pair(
                queries, schema.TRANSACTIONS, "transaction_id", lane, wanted.transactions
            )
        holds: list[Any] = []
        for key, pairs in (("hold_id", wanted.holds), ("transaction_id", wanted.holds_asked)):
            if pairs:
                holds += await self._by_pair(queries, schema.HOLDS, key, lane, pairs)
        loaded.holds = holds
        if wanted.counters:
            loaded.counters = await self._counters(queries, lane, wanted.counters)
        if wanted.tiers:
            loaded.tiers = await self._tiers(queries, lane, wanted.tiers)
        if wanted.outcomes:
            loaded.outcomes = await self._of_customers(
                queries, schema.OUTCOMES, lane, wanted.outcomes
            )
        if wanted.payments:
            loaded.payments = await self._payments(queries, lane, wanted.payments)
        if wanted.grants:
            loaded.grants_by_id = await self._of_customers(
                queries, schema.GRANTS, lane, wanted.grants
            )
        return loaded

    async def _of_customers(
        self, queries: Queries, table: schema.HotTable, lane: int, pairs: Sequence[Pair]
    ) -> Rows:
        # One look-up per pair in the order of the primary key, as in `_by_pair`.
        second = table.key[1]
        order = f"lane, customer_id, {second}"
        sql = (
            f"SELECT {schema.names(table)} FROM unnest($2::text[], $3::text[]) AS k (a, b), "
            f"LATERAL (SELECT * FROM {table.name} WHERE ({order}) >= ($1, k.a, k.b) "
            f"ORDER BY {order} LIMIT 1) AS t "
            f"WHERE t.lane = $1 AND t.customer_id = k.a AND t.{second} = k.b"
        )
        return await queries.fetch(sql, lane, *map(list, zip(*pairs, strict=True)))

    async def _payments(self, queries: Queries, lane: int, payments: Sequence[Paid]) -> Rows:
        # Each range in the order of the primary key, as in `_by_pair`.
        sql = (
            f"SELECT {PAYMENT} FROM transfers WHERE (lane, seq) > ($1, $2) "
            "AND (lane, seq) < ($1, $3) AND customer_id = $4 AND to_account = 'revenue' "
            "AND reference >= $5 AND reference <= $6 ORDER BY lane, seq"
        )
        found: list[Any] = []
        for customer_id, after, before, *fees in payments:
            found += await queries.fetch(sql, lane, after, before, customer_id, *fees)
        return found

    async def _by_pair(
        self, queries: Queries, table: schema.HotTable, key: str, lane: int, pairs: Sequence[Pair]
    ) -> Rows:
        # One look-up per pair: the first row from the key on, in the order of the key, so that no
        # plan but a search of the key's own index will do. Told to find equal keys, a server that
        # has no statistics yet takes any index that begins with the lane and reads all of it.
        names = ["lane", key] if key == "hold_id" else ["lane", key, "customer_id"]
        order = ", ".join(names)
        values = ", ".join(["$1", "k.a", "k.b"][: len(names)])
        sql = (
            f"SELECT {schema.names(table)} FROM unnest($2::text[], $3::text[]) AS k (a, b), "
            f"LATERAL (SELECT * FROM {table.name} WHERE ({order}) >= ({values}) "
            f"ORDER BY {order} LIMIT 1) AS t "
            f"WHERE t.lane = $1 AND t.{key} = k.a AND t.customer_id = k.b"
        )
        ids, customers = zip(*pairs, strict=True)
        return await queries.fetch(sql, lane, list(ids), list(customers))

    async def _counters(
        self, queries: Queries, lane: int, keys: Sequence[tuple[str, str, str]]
    ) -> Rows:
        # One look-up per key in the order of the primary key, as in `_by_pair`.
        order = "lane, customer_id, limit_id, subject"
        sql = (
            f"SELECT {schema.names(schema.LIMIT_COUNTERS)} "
            "FROM unnest($2::text[], $3::text[], $4::text[]) AS k (a, b, c), "
            f"LATERAL (SELECT * FROM limit_counters WHERE ({order}) >= ($1, k.a, k.b, k.c) "
            f"ORDER BY {order} LIMIT 1) AS t "
            "WHERE t.lane = $1 AND t.customer_id = k.a AND t.limit_id = k.b AND t.subject = k.c"
        )
        return await queries.fetch(sql, lane, *map(list, zip(*keys, strict=True)))

    async def _tiers(
        self, queries: Queries, lane: int, keys: Sequence[tuple[str, str, int]]
    ) -> Rows:
        # All rows of a price's period, in the order of the primary key, as in `_by_pair`.
        order = "lane, customer_id, price_id, from_us"
        sql = (
            f"SELECT {schema.names(schema.TIER_COUNTERS)} "
            "FROM unnest($2::text[], $3::text[], $4::bigint[]) AS k (a, b, c), "
            f"LATERAL (SELECT * FROM tier_counters WHERE ({order}) >= ($1, k.a, k.b, k.c) "
            f"AND ({order}) <= ($1, k.a, k.b, k.c) ORDER BY {order}, asset, entry) AS t"
        )
        return await queries.fetch(sql, lane, *map(list, zip(*keys, strict=True)))

    async def _fees(self, queries: Queries, lane: int, events: Rows) -> Rows:
        ranges = [row[13:15] for row in events if row[14]]
        if not ranges:
            return ()
        sql = (
            f"SELECT {schema.names(schema.FEES)} "
            "FROM unnest($2::text[], $3::bigint[]) AS k (first, n), LATERAL ("
            f"SELECT {schema.names(schema.FEES)} FROM fees "
            "WHERE lane = $1 AND fee_id >= k.first ORDER BY fee_id LIMIT k.n) AS f"
        )
        firsts, counts = zip(*ranges, strict=True)
        return await queries.fetch(sql, lane, list(firsts), list(counts))

    async def commit(self, commit: LaneCommit) -> None:
        """Write a batch, durably and whole."""
        tables: list[tuple[str, tuple[int, ...]]] = []
        columns: list[tuple[str, Sequence[Any]]] = []
        for table in schema.HOT_TABLES:
            rows = commit.rows.get(table.name, [])
            for name, (changed, _) in schema.CHANGES.items():
                if changed is table:
                    rows = rows + commit.rows.get(name, [])
            if rows:
                used = used_columns(table, rows)
                tables.append((table.name, used))
                values = list(zip(*rows, strict=True))
                columns += [(table.columns[index][1], values[index]) for index in used]
        joined = join_columns(columns)
        try:
            async with self._connection(self._lane_pool) as connection:
                fenced = await connection.fetch(
                    _commit_sql(tuple(tables)),
                    commit.last_seq,
                    commit.clock_us,
                    commit.lease_until_us,
                    commit.lane,
                    commit.epoch,
                    commit.catalog_epoch,
                    commit.indexed_seq,
                    *((joined.separator, joined.null, *joined.columns) if tables else ()),
                )
        except asyncpg.UniqueViolationError as error:
            raise DuplicateKey(str(error)) from error
        except _BAD_ROWS as error:
            raise BadRows(str(error)) from error
        except (asyncpg.PostgresError, *_BROKEN) as error:
            raise _unavailable(error, is_unknown=True) from error
        if not fenced:
            raise FenceFailed
