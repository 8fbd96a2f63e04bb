"""The indexes of a customer's events and holds (`customer_events`, `customer_holds`), written
behind the commits: when a lane is idle, or far enough behind. Until a row is there, readers look
through the newest rows by themselves, so a failure here costs nothing but time.

A customer's rows stand together, so many customers mean many places to write. They are written in
slices of a few customers, each in a transaction of its own, so that no charge waits long on a
database with one writer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from faregate.store.protocol import FenceFailed, Lease, Store

WHEN_IDLE: Final = 500
"""Rows behind from which an idle lane writes."""
AT_LATEST: Final = 10_000
"""Rows behind at which a busy lane writes too."""
SLICE: Final = 500
"""Events of one transaction, or one customer's."""

_NEWEST: Final = "lane = $1 AND seq > $2 AND seq <= $3"
_INDEXES: Final = (("events", "seq"), ("holds", "seq, hold_id"))
"""Tables with numbered rows of customers, and what their indexes have of a row."""


async def index_events(store: Store, lease: Lease, indexed_seq: int, last_seq: int) -> int:
    """Write down which customer has which events and holds after `indexed_seq`; returns how far it
    got.

    What was written before a failure is written again, to no effect, and true whoever has the
    lane. Raises `StoreUnavailable`, or `FenceFailed` if the lane belongs to somebody else now.
    """
    upto = min(last_seq, indexed_seq + 2 * AT_LATEST)
    for table, columns in _INDEXES:
        await _index(store, table, columns, (lease.lane, indexed_seq, upto))
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


async def _index(store: Store, table: str, columns: str, new: tuple[int, int, int]) -> None:
    """Index the new rows of one table, by customer, in slices."""
    async with store.snapshot() as snapshot:
        rows = await snapshot.fetch(
            f"SELECT customer_id FROM {table} WHERE {_NEWEST} ORDER BY customer_id", *new
        )
    firsts = list(dict.fromkeys(row[0] for row in rows[::SLICE]))
    last = rows[-1][0] if rows else ""
    for first, following in pairwise([*firsts, None]):
        until = "customer_id <= $5" if following is None else "customer_id < $5"
        async with store.transaction() as transaction:
            await transaction.fetch(
                f"INSERT INTO customer_{table} (lane, customer_id, {columns}) "
                f"SELECT lane, customer_id, {columns} FROM {table} WHERE {_NEWEST} "
                f"AND customer_id >= $4 AND {until} ORDER BY customer_id, seq "
                "ON CONFLICT (lane, customer_id, seq) DO NOTHING",
                *new,
                first,
                last if following is None else following,
            )
