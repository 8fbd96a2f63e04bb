"""The newest events of everybody, for pages that show what happens now."""

from __future__ import annotations

from typing import Final

from faregate.ledger.reading import AS_THEY_STAND, EVENT_COLUMNS, ListedEvent, read_listed
from faregate.store.protocol import Store

MAX_ROWS: Final = 50_000
"""Numbers of a lane that are looked through: in a mode where nothing happens, older events are left
out."""


async def latest_events(store: Store, environment_id: int, limit: int) -> list[ListedEvent]:
    """Return the newest events of all lanes, the newest first."""
    found = []
    for lease in await store.leases():
        rows = await store.fetch(
            f"SELECT {EVENT_COLUMNS} FROM {AS_THEY_STAND} WHERE e.lane = $1 AND e.seq > $2 "
            f"AND e.environment_id = $3 ORDER BY e.seq DESC LIMIT {int(limit)}",
            lease.lane,
            lease.last_seq - MAX_ROWS,
            environment_id,
        )
        found += [read_listed(row) for row in rows]
    return sorted(found, key=lambda event: event.created_at, reverse=True)[:limit]
