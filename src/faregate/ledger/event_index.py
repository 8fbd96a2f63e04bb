"""The index of a customer's events (`customer_events`), written behind the commits: when a lane is
idle, or far enough behind. Until a row is there, readers look through the newest events by
themselves, so a failure here costs nothing but time.

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


async def index_events(store: Store, lease: Lease, indexed_seq: int, last_seq: int) -> int:
    """Write down which customer has which events after `indexed_seq`; returns how far it got.

    What was written before a failure is written again, to no effect, and true whoever has the
    lane. Raises `StoreUnavailable`, or `FenceFailed` if the lane belongs to somebody else now.
    """
    upto = min(last_seq, indexed_seq + 2 * AT_LATEST)
    new = (lease.lane, indexed_seq, upto)
    async with store.snapshot() as snapshot:
        rows = await snapshot.fetch(
            f"SELECT customer_id FROM events WHERE {_NEWEST} ORDER BY customer_id", *new
        )
    firsts = list(dict.fromkeys(row[0] for row in rows[::SLICE]))
    last = rows[-1][0] if rows else ""
    for first, following in pairwise([*firsts, None]):
        until = "customer_id <= $5" if following is None else "customer_id < $5"
        async with store.transaction() as transaction:
            await transaction.fetch(
                "INSERT INTO customer_events (lane, customer_id, seq) "
                f"SELECT lane, customer_id, seq FROM events WHERE {_NEWEST} "
                f"AND customer_id >= $4 AND {until} ORDER BY customer_id, seq "
                "ON CONFLICT (lane, customer_id, seq) DO NOTHING",
                *new,
                first,
                last if following is None else following,
            )
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
