"""The store in one SQLite file: WAL, `synchronous=FULL`. Statements run on the event loop, where
they cost microseconds; only COMMIT, which waits for the disk, runs on a helper thread.

The standard library's `sqlite3` is used on purpose, not a faster binding with a SQLite of its
own: two copies of SQLite in one process that open the same file break each other's POSIX locks
(sqlite.org/howtocorrupt.html, section 2.2.1), and an embedding program may well use `sqlite3`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

from faregate.store import schema
from faregate.store.columns import used_columns
from faregate.store.protocol import (
    PAYMENT,
    BadRows,
    DuplicateKey,
    FenceFailed,
    LaneCommit,
    LaneRows,
    Lease,
    Paid,
    Queries,
    Rows,
    StoreUnavailable,
    Wanted,
)

T = TypeVar("T")

BUSY_SECONDS: Final = 10.0
"""How long a write waits for another process (a command of the CLI) to let go of the file."""
_BUSY_STEP_SECONDS: Final = 0.005
BEGIN_SECONDS: Final = 0.01
"""How long a commit's thread is waited for at the most until it has begun."""
CHUNK: Final = 400
"""Keys per statement, well below SQLite's limit on parameters."""


_FENCE: Final = """
    UPDATE lanes SET last_seq = ?1, clock_us = ?2, lease_until_us = ?3, indexed_seq = ?7
    WHERE lane = ?4 AND epoch = ?5 AND last_seq <= ?1 AND (SELECT epoch FROM catalog_epoch) = ?6
"""
_TAKEN: Final = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE)
_LEASE_COLUMNS: Final = "lane, epoch, holder, lease_until_us, last_seq, clock_us, indexed_seq"


class _Insert:
    """Writes the used columns of rows of a hot table."""

    def __init__(self, table: schema.HotTable, lane: int, used: tuple[int, ...]) -> None:
        columns = [table.columns[index][0] for index in used]
        marks = ", ".join("?" * len(columns))
        self.sql = f"INSERT INTO {table.name} (lane, {', '.join(columns)}) VALUES ({lane}, {marks})"
        self.sql += schema.on_conflict(table)
        self.values = None if len(used) == len(table.columns) else itemgetter(*used)


@lru_cache(maxsize=512)
def _insert(table: str, lane: int, used: tuple[int, ...]) -> _Insert:
    return _Insert(schema.BY_NAME[table], lane, used)


class _Change:
    """Writes columns of rows of a hot table that are there."""

    def __init__(self, name: str, lane: int) -> None:
        table, columns = schema.CHANGES[name]
        sets = ", ".join(f"{column} = ?" for column in columns)
        keys = " AND ".join(f"{column} = ?" for column in table.key)
        self._name = name
        self._sql = f"UPDATE {table.name} SET {sets} WHERE lane = {lane} AND {keys}"
        places = {column: index for index, (column, _) in enumerate(table.columns)}
        self._values = itemgetter(*[places[column] for column in (*columns, *table.key)])

    def write(self, writer: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write the rows, all of which must be there."""
        done = writer.executemany(self._sql, map(self._values, rows))
        if done.rowcount != len(rows):
            raise AssertionError(f"{self._name}: {len(rows)} rows, {done.rowcount} are there")


_change = lru_cache(maxsize=64)(_Change)


def _connect(path: str, *, is_reader: bool = False) -> sqlite3.Connection:
    wait_seconds = 5 if is_reader else 0
    connection = sqlite3.connect(
        path, timeout=wait_seconds, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA temp_store=MEMORY")
    if is_reader:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _run(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> Rows:
    try:
        named = {str(i): value for i, value in enumerate(parameters, 1)}
        return connection.execute(sql, named).fetchall()
    except sqlite3.IntegrityError as error:
        raise DuplicateKey(str(error)) from error
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error


class _ThreadedQueries:
    """Runs SQL on one connection in a thread, for statements that may take long."""

    def __init__(self, connection: sqlite3.Connection, executor: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._executor = executor

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        return await _in_thread(self._executor, _run, self._connection, sql, parameters)


async def _in_thread(executor: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    """Run something in a thread, see `_finished`."""
    return await _finished(asyncio.get_running_loop().run_in_executor(executor, work, *arguments))


async def _finished(future: asyncio.Future[T]) -> T:
    """Wait for a thread. If the caller is cancelled, wait all the same until the thread is done
    with the connection, so that nobody else uses it meanwhile."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # Some cancel again and again until the task ends.
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise


def _commit_now(writer: sqlite3.Connection, begun: threading.Lock) -> None:
    begun.release()
    writer.execute("COMMIT")


class SqliteStore:
    """A SQLite file, open for one writer (serialized by a lock) and any number of readers."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = str(path)
        self._writer = _connect(self._path)
        self._reader = _connect(self._path, is_reader=True)
        self._write_lock = asyncio.Lock()
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="faregate-commit")
        self._slow_reader = ThreadPoolExecutor(2, thread_name_prefix="faregate-read")

    @classmethod
    async def open(cls, url: str, path: Path) -> SqliteStore:
        """Open the file, making it and its folder where they are missing."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(url, path)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"cannot open the database file {path}: {error}") from error

    async def close(self) -> None:
        """Let go of all connections."""
        async with self._write_lock:
            self._committer.shutdown()
            self._slow_reader.shutdown()
            self._reader.close()
            self._writer.close()

    async def migrate(self) -> None:
        """Bring the schema to this version."""
        from faregate.store.migrate import upgrade_sqlite

        async with self._write_lock:
            await asyncio.get_running_loop().run_in_executor(
                self._committer, upgrade_sqlite, self._path
            )
            # Statistics by which queries are planned are read when a connection is opened.
            self._reader.close()
            self._writer.close()
            self._writer = _connect(self._path)
            self._reader = _connect(self._path, is_reader=True)

    async def schema_version(self) -> str | None:
        """Return the schema's revision; None if the database is empty."""
        sql = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
        if not await self.fetch(sql):
            return None
        rows = await self.fetch("SELECT version_num FROM alembic_version")
        return str(rows[0][0]) if rows else None

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        """Return all rows of a short read."""
        return _run(self._reader, sql, parameters)

    async def _begin(self) -> None:
        waited = 0.0
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if waited >= BUSY_SECONDS or "locked" not in str(error):
                    raise StoreUnavailable(str(error)) from error
            await asyncio.sleep(_BUSY_STEP_SECONDS)
            waited += _BUSY_STEP_SECONDS

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    async def _commit(self) -> None:
        begun = threading.Lock()
        begun.acquire()
        loop = asyncio.get_running_loop()
        commit = loop.run_in_executor(self._committer, _commit_now, self._writer, begun)
        # Python lets the other thread run only when this one has nothing to do, or after 5 ms. We
        # wait until it has reached SQLite (some 50 µs), so that the disk works beside us.
        begun.acquire(timeout=BEGIN_SECONDS)
        try:
            await _finished(commit)
        except sqlite3.Error as error:
            self._rollback()
            raise StoreUnavailable(str(error), is_unknown=True) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """Begin a durable transaction for catalog and directory rows."""
        async with self._write_lock:
            await self._begin()
            try:
                yield _ThreadedQueries(self._writer, self._committer)
                await self._commit()
            finally:
                self._rollback()

    @asynccontextmanager
    async def snapshot(self, *, for_lane: bool = False) -> AsyncIterator[Queries]:
        """Begin a read that sees one instant of the database and disturbs no writer."""
        try:
            connection = _connect(self._path, is_reader=True)
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        try:
            connection.execute("BEGIN")
            yield _ThreadedQueries(connection, self._slow_reader)
        finally:
            connection.close()

    async def leases(self) -> list[Lease]:
        """Return every lane's row."""
        rows = await self.fetch(f"SELECT {_LEASE_COLUMNS} FROM lanes ORDER BY lane")
        return [Lease(*row) for row in rows]

    async def take_lease(self, seen: Lease, holder: str, lease_until_us: int) -> Lease | None:
        """Take the lane from the state `seen`; None if somebody else was faster."""
        sql = f"""
            UPDATE lanes SET epoch = epoch + 1, holder = $1, lease_until_us = $2
            WHERE lane = $3 AND epoch = $4 AND lease_until_us = $5 RETURNING {_LEASE_COLUMNS}
        """
        async with self.transaction() as transaction:
            rows = await transaction.fetch(
                sql, holder, lease_until_us, seen.lane, seen.epoch, seen.lease_until_us
            )
        return Lease(*rows[0]) if rows else None

    async def load(self, lane: int, wanted: Wanted, *, for_lane: bool = False) -> LaneRows:
        """Read states and rows of a lane."""
        loaded = LaneRows()
        try:
            if wanted.customers:
                (
                    loaded.grants,
                    loaded.accounts,
                    loaded.carries,
                    loaded.subscriptions,
                    loaded.open_holds,
                    loaded.rules,
                    loaded.chains,
                ) = self._states(lane, wanted.customers)
            if wanted.events:
                loaded.events = self._by_key(
                    schema.EVENTS, ("event_id", "customer_id"), lane, wanted.events
                )
                loaded.fees = self._fees(lane, loaded.events)
            if wanted.transactions:
                loaded.transactions = self._by_key(
                    schema.TRANSACTIONS,
                    ("transaction_id", "customer_id"),
                    lane,
                    wanted.transactions,
                )
            if wanted.holds or wanted.holds_asked:
                loaded.holds = [
                    *self._by_key(schema.HOLDS, ("hold_id", "customer_id"), lane, wanted.holds),
                    *self._by_key(
                        schema.HOLDS, ("transaction_id", "customer_id"), lane, wanted.holds_asked
                    ),
                ]
            if wanted.counters:
                loaded.counters = self._by_key(
                    schema.LIMIT_COUNTERS, schema.LIMIT_COUNTERS.key, lane, wanted.counters
                )
            if wanted.tiers:
                loaded.tiers = self._by_key(
                    schema.TIER_COUNTERS, ("customer_id", "price_id", "from_us"), lane, wanted.tiers
                )
            if wanted.outcomes:
                loaded.outcomes = self._by_key(
                    schema.OUTCOMES, schema.OUTCOMES.key, lane, wanted.outcomes
                )
            if wanted.payments:
                loaded.payments = self._payments(lane, wanted.payments)
            if wanted.grants:
                loaded.grants_by_id = self._by_key(
                    schema.GRANTS, schema.GRANTS.key, lane, wanted.grants
                )
        except sqlite3.Error as error:
            raise StoreUnavailable(str(error)) from error
        return loaded

    def _payments(self, lane: int, payments: Sequence[Paid]) -> Rows:
        sql = (
            f"SELECT {PAYMENT} FROM transfers WHERE lane = ? AND seq > ? AND seq < ? "
            "AND customer_id = ? AND to_account = 'revenue' AND reference >= ? AND reference <= ? "
            "ORDER BY seq"
        )
        found: list[Any] = []
        for customer_id, after, before, *fees in payments:
            found += self._reader.execute(sql, (lane, after, before, customer_id, *fees))
        return found

    def _states(self, lane: int, customers: Sequence[str]) -> list[Rows]:
        """Read customers' states of one instant: a commit may land between two statements."""
        self._reader.execute("BEGIN")
        try:
            return [
                self._by_customer(table, lane, customers, also)
                for table, also in schema.CUSTOMER_STATE
            ]
        finally:
            self._reader.execute("COMMIT")

    def _by_customer(
        self, table: schema.HotTable, lane: int, customers: Sequence[str], also: str
    ) -> Rows:
        rows: list[Any] = []
        for start in range(0, len(customers), CHUNK):
            chunk = customers[start : start + CHUNK]
            marks = ", ".join("?" * len(chunk))
            sql = (
                f"SELECT {schema.names(table)} FROM {table.name} "
                f"WHERE lane = ? AND customer_id IN ({marks}){also} ORDER BY {table.key[-1]}"
            )
            rows += self._reader.execute(sql, (lane, *chunk))
        return rows

    def _by_key(
        self,
        table: schema.HotTable,
        names: Sequence[str],
        lane: int,
        keys: Sequence[tuple[str | int, ...]],
    ) -> Rows:
        """Read the rows that have one of these keys in the columns of these names."""
        where = " AND ".join(f"{name} = ?" for name in ("lane", *names))
        sql = f"SELECT {schema.names(table)} FROM {table.name} WHERE {where}"
        found: list[Any] = []
        for key in keys:
            found += self._reader.execute(sql, (lane, *key))
        return found

    def _fees(self, lane: int, events: Rows) -> Rows:
        sql = (
            f"SELECT {schema.names(schema.FEES)} FROM fees "
            "WHERE lane = ? AND fee_id >= ? ORDER BY fee_id LIMIT ?"
        )
        fees: list[Any] = []
        for event in events:
            first_fee_id, count = event[13:15]
            if count:
                fees += self._reader.execute(sql, (lane, first_fee_id, count))
        return fees

    async def commit(self, commit: LaneCommit) -> None:
        """Write a batch, durably and whole."""
        async with self._write_lock:
            await self._begin()
            writer, lane = self._writer, commit.lane
            try:
                fenced = writer.execute(
                    _FENCE,
                    (
                        commit.last_seq,
                        commit.clock_us,
                        commit.lease_until_us,
                        lane,
                        commit.epoch,
                        commit.catalog_epoch,
                        commit.indexed_seq,
                    ),
                )
                if fenced.rowcount != 1:
                    raise FenceFailed
                for table, rows in commit.rows.items():
                    if rows and table in schema.CHANGES:
                        _change(table, lane).write(writer, rows)
                    elif rows:
                        insert = _insert(table, lane, used_columns(schema.BY_NAME[table], rows))
                        values = rows if insert.values is None else map(insert.values, rows)
                        writer.executemany(insert.sql, values)
                await self._commit()
            except sqlite3.IntegrityError as error:
                if error.sqlite_errorcode in _TAKEN:
                    raise DuplicateKey(str(error)) from error
                raise BadRows(str(error)) from error
            except (sqlite3.OperationalError, sqlite3.InternalError) as error:
                raise StoreUnavailable(str(error)) from error
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                raise BadRows(str(error)) from error
            finally:
                self._rollback()
