"""A customer's newest events, to price them anew: as many as fit, and not more, whatever a customer
has behind them. They are found by the numbers under which they were booked, newest first, because
an event that occurred lately was booked lately.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.codec import decode
from faregate.core.costs import read_costs
from faregate.core.events import UsageEvent
from faregate.core.instants import from_us, to_us
from faregate.store.protocol import Queries, Rows

MAX_EVENTS: Final = 10_000
"""Events of a customer that are looked at."""
_READ: Final = MAX_EVENTS + 1
_NEWEST: Final = f"""
    SELECT e.event_id, e.event_type, e.occurred_at, e.data, e.costs, e.created_at
    FROM events e WHERE e.lane = $1 AND e.customer_id = $2 AND e.seq IN (
        SELECT i.seq FROM (
            SELECT c.seq FROM customer_events c WHERE c.lane = $1 AND c.customer_id = $2
            ORDER BY c.seq DESC LIMIT {_READ}
        ) AS i
        UNION ALL SELECT n.seq FROM events n WHERE n.lane = $1 AND n.customer_id = $2
        AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = $1)
    ) ORDER BY e.seq DESC LIMIT {_READ}
"""


class RecentUse(msgspec.Struct, frozen=True):
    """Events in the order in which they occurred; `is_partial` says that there are more."""

    events: tuple[UsageEvent, ...] = ()
    is_partial: bool = False


async def read_newest(queries: Queries, lane: int, customer_id: str) -> Rows:
    """Return rows of a customer's newest events, for `recent_use`."""
    return await queries.fetch(_NEWEST, lane, customer_id)


def recent_use(rows: Rows, from_at: datetime) -> RecentUse:
    """Return the events among these rows that occurred at `from_at` or later."""
    from_us_ = to_us(from_at)
    kept = [row for row in rows[:MAX_EVENTS] if row[2] >= from_us_]
    # What was booked earlier than all of them, and before then, occurred before.
    is_partial = len(rows) > MAX_EVENTS and rows[-1][5] >= from_us_
    # Of what occurred at one instant, what was booked first comes first.
    kept.reverse()
    kept.sort(key=lambda row: row[2])
    return RecentUse(tuple([_event(*row[:5]) for row in kept]), is_partial)


def _event(
    event_id: str, event_type: str, occurred_us: int, data: str | None, costs: str | None
) -> UsageEvent:
    return UsageEvent(
        event_id,
        event_type,
        from_us(occurred_us),
        data=None if data is None else decode(dict[str, Any], data),
        costs=read_costs(costs)[0],
    )
