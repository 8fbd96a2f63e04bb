"""The sums that are kept, and how far they go. They are written behind the commits, some numbers of
a lane at a time: what is added and the cursor that says up to which number are one transaction, so
each event counts exactly once, whoever dies when. What the cursor has not reached, readers add up
from the rows (`sum_reading`), in the same snapshot: nothing that was booked is ever missing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from faregate.ledger.overdrafts import look_again, moved_customers
from faregate.ledger.sum_reading import SumReader, end_of_slice, read_terms
from faregate.ledger.summing import (
    COSTS,
    EVENTS,
    FIRST_AT,
    REVENUE,
    Entry,
    Summed,
)
from faregate.store.protocol import Queries, Store
from faregate.store.schema import first_seq

BILLION: Final = 1_000_000_000
_CHUNK: Final = 200
"""Rows of one statement."""
_HOUR_KEY: Final = (
    "environment_id",
    "hour",
    "event_type",
    "price_id",
    "model",
    "vendor_id",
    "vendor_external_id",
    "category",
    "asset",
    "rate_at",
)
_DAY_KEY: Final = ("environment_id", "day", "customer_id", "asset", "rate_at")
_UNITS: Final = ("revenue_billions", "revenue_rest", "costs_billions", "costs_rest")
_COUNTS: Final = (
    "events",
    "price_events",
    "product_events",
    "vendor_events",
    "category_events",
    "cost_events",
)


async def cursor_of(queries: Queries, lane: int) -> tuple[int, int, int]:
    """Return how far a lane's sums go, its last number, and how often sums were written. A lane
    that was added later has none yet."""
    found = await queries.fetch(
        "SELECT coalesce(c.seq, $2), l.last_seq, coalesce(c.version, 0) FROM lanes l "
        "LEFT JOIN summary_cursors c ON c.lane = l.lane WHERE l.lane = $1",
        lane,
        first_seq(lane),
    )
    return found[0][0], found[0][1], found[0][2]


async def sum_up(store: Store, lane: int, products: Callable[[int, str], Hashable]) -> int:
    """Add the next rows of a lane to its sums; returns how many numbers and outcomes that were, 0
    if there are none or somebody else has added them."""
    async with store.snapshot() as snapshot:
        after, last_seq, version = await cursor_of(snapshot, lane)
        upto = await end_of_slice(snapshot, lane, after, last_seq)
        reader = SumReader(store, snapshot, lane, await read_terms(snapshot, products))
        if after < upto:
            await reader.add_slice(after, upto)
        settled = await reader.add_outcomes(after, upto)
        moved_by = await moved_customers(snapshot, lane, after, upto)
    if after == upto and not settled:
        return 0
    async with store.transaction() as transaction:
        if not version:
            await transaction.fetch(
                "INSERT INTO summary_cursors (lane, seq, version) VALUES ($1, $2, 0) "
                "ON CONFLICT (lane) DO NOTHING",
                lane,
                first_seq(lane),
            )
        moved = await transaction.fetch(
            "UPDATE summary_cursors SET seq = $2, version = version + 1 "
            "WHERE lane = $1 AND version = $3 RETURNING seq",
            lane,
            upto,
            version,
        )
        if not moved:
            return 0
        await _write(transaction, lane, reader.summed)
        await look_again(transaction, lane, moved_by)
        outcomes = [(lane, *row) for row in settled]
        await _insert(
            transaction,
            "summed_outcomes",
            ("lane", "customer_id", "event_id", "standing"),
            outcomes,
            "(lane, customer_id, event_id) DO UPDATE SET standing = excluded.standing",
        )
    return upto - after + len(settled)


async def _write(queries: Queries, lane: int, summed: Summed) -> None:
    tables: tuple[tuple[str, tuple[str, ...], tuple[str, ...], Mapping[Any, Entry]], ...] = (
        ("hour_sums", _HOUR_KEY, _COUNTS, summed.by_hour),
        ("customer_sums", _DAY_KEY, _COUNTS[:1], summed.by_day),
    )
    for table, key, counts, entries in tables:
        adds = (*_UNITS, *counts)
        sets = [f"{name} = {table}.{name} + excluded.{name}" for name in adds]
        sets += [
            f"{name} = CASE WHEN excluded.{name} {sign} {table}.{name} "
            f"THEN excluded.{name} ELSE {table}.{name} END"
            for name, sign in (("first_at", "<"), ("last_at", ">"))
        ]
        rows = [
            (
                lane,
                *place,
                *divmod(entry[REVENUE], BILLION),
                *divmod(entry[COSTS], BILLION),
                *entry[EVENTS : EVENTS + len(counts)],
                *entry[FIRST_AT:],
            )
            for place, entry in sorted(entries.items())
        ]
        keys = ("lane", *key)
        does = f"({', '.join(keys)}) DO UPDATE SET {', '.join(sets)}"
        await _insert(queries, table, (*keys, *adds, "first_at", "last_at"), rows, does)


async def _insert(
    queries: Queries,
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    on_conflict: str,
) -> None:
    width = len(columns)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        marks = ", ".join(
            f"({', '.join(f'${row * width + n}' for n in range(1, width + 1))})"
            for row in range(len(chunk))
        )
        flat = [value for row in chunk for value in row]
        await queries.fetch(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks} ON CONFLICT {on_conflict}",
            *flat,
        )
