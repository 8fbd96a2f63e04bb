"""What is not kept for ever: deliveries, whether they have ended or nobody takes them, what they
said, and what the outbox said. An outbox row's number stays, because `verify` looks whether a
lane's numbers are all there."""

from __future__ import annotations

from typing import Final

from faregate.store.protocol import Queries
from faregate.webhooks import deliveries

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
    is_deleting = await _forget_deleted(queries)
    given_up = await _give_up(queries, lane, before_us, now_us)
    events = await queries.fetch(
        "DELETE FROM webhook_events WHERE id IN ("
        "SELECT e.id FROM webhook_events e WHERE e.created_at < $1 AND NOT EXISTS ("
        "SELECT 1 FROM webhook_deliveries d WHERE d.event_id = e.id) "
        f"ORDER BY e.created_at LIMIT {AT_ONCE}) RETURNING id",
        before_us,
    )
    told = await _empty_outbox(queries, lane, before_us)
    return is_deleting or given_up > 0 or AT_ONCE in (len(ended), len(events), told)


async def _forget_deleted(queries: Queries) -> bool:
    """Take away what was sent, or to be sent, to a destination that is deleted; returns whether
    there was one."""
    found = await queries.fetch("SELECT destination_id FROM webhook_deletions LIMIT 1")
    if not found:
        return False
    gone = await queries.fetch(
        "DELETE FROM webhook_deliveries WHERE (lane, position) IN ("
        "SELECT lane, position FROM webhook_deliveries WHERE destination_id = $1 "
        f"ORDER BY id LIMIT {AT_ONCE}) RETURNING position",
        found[0][0],
    )
    if len(gone) < AT_ONCE:
        await queries.fetch("DELETE FROM webhook_deletions WHERE destination_id = $1", found[0][0])
    return True


async def _give_up(queries: Queries, lane: int, before_us: int, now_us: int) -> int:
    """Take away what nobody has taken: the destination is disabled, or refuses one customer's.
    Positions rise with time, and what has ended and is old is gone: it is at the beginning."""
    rows = await queries.fetch(
        "SELECT position, created_at, state FROM webhook_deliveries WHERE lane = $1 "
        f"ORDER BY position LIMIT {AT_ONCE}",
        lane,
    )
    old = [row[0] for row in rows if row[1] < before_us and row[2] in ("ready", "waiting")]
    if old:
        await deliveries.lock_lane(queries, lane)
        await deliveries.give_up(queries, lane, old, now_us)
    return len(old)


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
