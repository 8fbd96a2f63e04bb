"""The index of a customer's events (`customer_events`), written behind the commits: when a lane is
idle, or far enough behind. Until a row is there, readers look through the newest events by
themselves, so a failure here costs nothing but time.
"""

from __future__ import annotations

from typing import Final

from faregate.store.protocol import FenceFailed, Lease, Store

WHEN_IDLE: Final = 500
"""Rows behind from which an idle lane writes."""
AT_LATEST: Final = 10_000
"""Rows behind at which a busy lane writes too."""


async def index_events(store: Store, lease: Lease, indexed_seq: int, last_seq: int) -> int:
    """Write down which customer has which events after `indexed_seq`; returns how far it got.

    Raises `StoreUnavailable`, or `FenceFailed` if the lane belongs to somebody else now.
    """
    upto = min(last_seq, indexed_seq + 2 * AT_LATEST)
    async with store.transaction() as transaction:
        await transaction.fetch(
            "INSERT INTO customer_events (lane, customer_id, seq) "
            "SELECT lane, customer_id, seq FROM events "
            "WHERE lane = $1 AND seq > $2 AND seq <= $3 ORDER BY customer_id, seq "
            "ON CONFLICT (lane, customer_id, seq) DO NOTHING",
            lease.lane,
            indexed_seq,
            upto,
        )
        # Last, so that a commit waits for the lane's row only for an instant.
        mine = await transaction.fetch(
            "UPDATE lanes SET indexed_seq = $1 WHERE lane = $2 AND epoch = $3 RETURNING lane",
            upto,
            lease.lane,
            lease.epoch,
        )
        if not mine:
            raise FenceFailed
    return upto
