"""What is kept per customer of a lane's numbered rows: the indexes of events and holds
(`customer_events`, `customer_holds`), and where the chain of transfers stands (`chains`). It is
written behind the commits: when a lane is idle, or far enough behind. Until a row is there, readers
look through the newest rows by themselves, so a failure here costs nothing but time.

A customer's rows stand together, so many customers mean many places to write. They are written in
slices of a few customers, each in a transaction of its own, so that no charge waits long on a
database with one writer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from faregate.core.chain import Head
from faregate.store.protocol import FenceFailed, Lease, Store

WHEN_IDLE: Final = 500
"""Rows behind from which a lane writes as soon as it is idle; after some seconds, all."""
AT_LATEST: Final = 10_000
"""Rows behind at which a busy lane writes too."""
SLICE: Final = 500
"""Events of one transaction, or one customer's."""

_NEWEST: Final = "lane = $1 AND seq > $2 AND seq <= $3"
_INDEXES: Final = (("events", "seq"), ("holds", "seq, hold_id"))
"""Tables with numbered rows of customers, and what their indexes have of a row."""
_INDEX: Final = """
    INSERT INTO customer_{table} (lane, customer_id, {columns})
    SELECT lane, customer_id, {columns} FROM {table} WHERE lane = $1 AND seq > $2 AND seq <= $3
    AND customer_id >= $4 AND customer_id {{until}} $5 ORDER BY customer_id, seq
    ON CONFLICT (lane, customer_id, seq) DO NOTHING
"""
_HEADS: Final = """
    SELECT t.lane, t.customer_id, t.hash, t.seq FROM transfers t JOIN (
        SELECT max(seq) AS seq FROM transfers
        WHERE lane = $1 AND seq > $2 AND seq <= $3 {also} GROUP BY customer_id
    ) AS n ON t.lane = $1 AND t.seq = n.seq
"""
"""The newest transfer in a range of each customer who has one there."""
_SETTLE: Final = f"""
    INSERT INTO chains (lane, customer_id, head, last_seq)
    {_HEADS.format(also="AND customer_id >= $4 AND customer_id {until} $5")}
    WHERE true ORDER BY t.customer_id
    ON CONFLICT (lane, customer_id) DO UPDATE SET head = excluded.head, last_seq = excluded.last_seq
    WHERE chains.last_seq < excluded.last_seq
"""
"""Moves `chains` on, never back, whoever else does the same at the same time."""


async def index_events(store: Store, lease: Lease, indexed_seq: int, last_seq: int) -> int:
    """Write down which customer has which events and holds after `indexed_seq`, and where their
    chains stand; returns how far it got.

    What was written before a failure is written again, to no effect, and true whoever has the
    lane. Raises `StoreUnavailable`, or `FenceFailed` if the lane belongs to somebody else now.
    """
    upto = min(last_seq, indexed_seq + 2 * AT_LATEST)
    for table, columns in _INDEXES:
        sql = _INDEX.format(table=table, columns=columns)
        await _index(store, table, sql, (lease.lane, indexed_seq, upto))
    await _index(store, "transfers", _SETTLE, (lease.lane, indexed_seq, upto))
    async with store.transaction() as transaction:
        mine = await transaction.fetch(
            "UPDATE lanes SET indexed_seq = $1 WHERE lane = $2 AND epoch = $3 RETURNING lane",
            upto,
            lease.lane,
            lease.epoch,
        )
        if not mine:
            raise FenceFailed
    return upto


async def _index(store: Store, table: str, sql: str, new: tuple[int, int, int]) -> None:
    """Do something to the new rows of one table, by customer, in slices."""
    async with store.snapshot() as snapshot:
        rows = await snapshot.fetch(
            f"SELECT customer_id FROM {table} WHERE {_NEWEST} ORDER BY customer_id", *new
        )
    firsts = list(dict.fromkeys(row[0] for row in rows[::SLICE]))
    last = rows[-1][0] if rows else ""
    for first, following in pairwise([*firsts, None]):
        until = "<=" if following is None else "<"
        async with store.transaction() as transaction:
            await transaction.fetch(
                sql.replace("{until}", until),
                *new,
                first,
                last if following is None else following,
            )


async def read_newest_heads(store: Store, lease: Lease) -> dict[str, Head]:
    """Return where chains stand that have transfers which `chains` does not have yet."""
    async with store.snapshot(for_lane=True) as snapshot:
        newest = (lease.lane, lease.indexed_seq, lease.last_seq)
        rows = await snapshot.fetch(_HEADS.format(also=""), *newest)
    return {customer_id: Head(head, seq) for _, customer_id, head, seq in rows}
