"""What is not kept for ever: deliveries that have ended, what they said, and what the outbox said.
An outbox row's number stays, because `verify` looks whether a lane's numbers are all there."""

from __future__ import annotations

from typing import Final

from faregate.store.protocol import Queries

KEEP_DAYS: Final = 30
AT_ONCE: Final = 500
"""Rows of each kind in one transaction."""


async def prune(queries: Queries, lane: int, now_us: int) -> bool:
    """Take away what is older than `KEEP_DAYS`, some of it; returns whether there may be more."""
    before_us = now_us - KEEP_DAYS * 86_400 * 1_000_000
    ended = await queries.fetch(
        "DELETE FROM webhook_deliveries WHERE (lane, position) IN ("
        "SELECT lane, position FROM webhook_deliveries WHERE created_at < $1 "
        f"AND state IN ('delivered', 'failed') ORDER BY created_at LIMIT {AT_ONCE}) "
        "RETURNING position",
        before_us,
    )
    events = await queries.fetch(
        "DELETE FROM webhook_events WHERE id IN ("
        "SELECT e.id FROM webhook_events e WHERE e.created_at < $1 AND NOT EXISTS ("
        "SELECT 1 FROM webhook_deliveries d WHERE d.event_id = e.id) "
        f"ORDER BY e.created_at LIMIT {AT_ONCE}) RETURNING id",
        before_us,
    )
    told = await _empty_outbox(queries, lane, before_us)
    return AT_ONCE in (len(ended), len(events), told)


async def _empty_outbox(queries: Queries, lane: int, before_us: int) -> int:
    """Forget what old rows said, in the order of their numbers, up to where it was fanned out."""
    cursor = await queries.fetch(
        "SELECT emptied_seq, outbox_seq FROM webhook_cursors WHERE lane = $1", lane
    )
    rows = await queries.fetch(
        "SELECT seq, created_at FROM outbox WHERE lane = $1 AND seq > $2 AND seq <= $3 "
        f"ORDER BY seq LIMIT {AT_ONCE}",
        lane,
        *cursor[0],
    )
    old = 0
    while old < len(rows) and rows[old][1] < before_us:
        old += 1
    if old:
        last = rows[old - 1][0]
        await queries.fetch(
            "UPDATE outbox SET data = '' WHERE lane = $1 AND seq > $2 AND seq <= $3",
            lane,
            cursor[0][0],
            last,
        )
        await queries.fetch(
            "UPDATE webhook_cursors SET emptied_seq = $2 WHERE lane = $1", lane, last
        )
    return old
