"""Which driver writes a lane's batches fastest: the same rows, batch after batch, each in one
durable transaction. SQLite through `sqlite3` and `apsw`; PostgreSQL through `asyncpg` and
`psycopg`, both with one `INSERT … SELECT FROM unnest(…)`. The two that were not chosen are not
installed with Faregate:

    pip install apsw 'psycopg[binary]' && python -m benchmarks.drivers
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any, Final

import apsw
import asyncpg
import psycopg

from benchmarks.databases import fresh_database

BATCH: Final = 64
BATCHES: Final = 150
ROUNDS: Final = 5
COLUMNS: Final = ("id", "customer", "kind", "data", "units", "at")
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS rows (lane bigint, id text, customer text, kind text, data text, "
    "units bigint, at bigint, PRIMARY KEY (lane, id))"
)
_INSERT: Final = "INSERT INTO rows VALUES (0, ?, ?, ?, ?, ?, ?)"
Rows = list[tuple[Any, ...]]


def _batches(run: str) -> list[Rows]:
    return [
        [
            (
                f"{run}-{batch:012d}-{row:06d}",
                f"customer-{row * 7919 % 1000:026d}",
                "completion",
                '{"model":"large","output_tokens":1003}',
                2_006_000 + row,
                1_790_000_000_000_000 + row,
            )
            for row in range(BATCH)
        ]
        for batch in range(BATCHES)
    ]


def _sqlite(connection: Any, run: str) -> float:
    begun = perf_counter()
    for rows in _batches(run):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
    return BATCH * BATCHES / (perf_counter() - begun)


def _compare_sqlite() -> None:
    with fresh_database("sqlite") as url:
        path = url.removeprefix("sqlite:///")
        drivers: dict[str, Callable[[], Any]] = {
            f"sqlite3 {sqlite3.sqlite_version}": lambda: sqlite3.connect(
                path, isolation_level=None
            ),
            f"apsw {apsw.apsw_version()}": lambda: apsw.Connection(path),
        }
        rates: dict[str, list[float]] = {name: [] for name in drivers}
        for turn in range(ROUNDS):
            for name, connect in drivers.items():
                # One after the other: two copies of SQLite must not have the file open at once.
                connection = connect()
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(_TABLE)
                rates[name].append(_sqlite(connection, f"{turn}{name[0]}"))
                connection.close()
    _report("SQLite", rates)


def _unnest(marks: str) -> str:
    kinds = ("text", "text", "text", "text", "bigint", "bigint")
    arrays = ", ".join(
        f"{marks.format(n=number)}::{kind}[]" for number, kind in enumerate(kinds, 1)
    )
    return f"INSERT INTO rows SELECT 0, * FROM unnest({arrays})"


async def _asyncpg(connection: Any, run: str) -> float:
    sql, begun = _unnest("${n}"), perf_counter()
    for rows in _batches(run):
        await connection.execute(sql, *zip(*rows, strict=True))
    return BATCH * BATCHES / (perf_counter() - begun)


async def _psycopg(connection: Any, run: str) -> float:
    sql, begun = _unnest("%s"), perf_counter()
    for rows in _batches(run):
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(sql, columns, prepare=True, binary=True)
    return BATCH * BATCHES / (perf_counter() - begun)


async def _compare_postgres(url: str) -> None:
    theirs = await asyncpg.connect(url)
    ours = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await theirs.execute(_TABLE)
    rates: dict[str, list[float]] = {"asyncpg": [], "psycopg": []}
    for turn in range(ROUNDS):
        rates["asyncpg"].append(await _asyncpg(theirs, f"{turn}a"))
        rates["psycopg"].append(await _psycopg(ours, f"{turn}p"))
    await theirs.close()
    await ours.close()
    versions = {"asyncpg": asyncpg.__version__, "psycopg": psycopg.__version__}
    _report("PostgreSQL", {f"{name} {versions[name]}": found for name, found in rates.items()})


def _report(title: str, rates: dict[str, list[float]]) -> None:
    first = median(next(iter(rates.values())))
    for name, found in rates.items():
        print(f"{title:11} {name:18} {median(found):8,.0f} rows/s  {median(found) / first:.2f} x")


if __name__ == "__main__":
    _compare_sqlite()
    with fresh_database("postgresql") as database:
        asyncio.run(_compare_postgres(database))
