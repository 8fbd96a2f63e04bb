"""What was charged since somebody last looked, for pages that show running totals. A look costs
what has happened since the one before, never the whole history: each lane numbers its rows, and
the numbers up to which a look has counted are where the next one goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from faregate.core.accounts import REVENUE
from faregate.ledger.reading import AS_THEY_STAND, EVENT_COLUMNS, ListedEvent, read_listed
from faregate.store.protocol import Store
from faregate.store.schema import first_seq

MAX_ROWS: Final = 300_000
"""Rows of a lane that one look goes through; older ones are left out."""
_BILLION: Final = 1_000_000_000


class Charged(msgspec.Struct, frozen=True):
    """Events booked, and units earned from (customer, asset), less what was given back, since a
    look before.

    `upto` is for the next look. `is_whole` is false if older rows had to be left out.
    """

    upto: dict[int, int]
    events: int
    units: dict[tuple[str, str], int]
    is_whole: bool


async def charged_since(store: Store, environment_id: int, before: Mapping[int, int]) -> Charged:
    """Return what was charged since the look that ended at `before` (empty: ever)."""
    upto: dict[int, int] = {}
    units: dict[tuple[str, str], int] = {}
    events, is_whole = 0, True
    async with store.snapshot() as snapshot:
        lanes = await snapshot.fetch("SELECT lane, last_seq FROM lanes ORDER BY lane")
        for lane, last_seq in lanes:
            after = before.get(lane, first_seq(lane))
            if last_seq - after > MAX_ROWS:
                after, is_whole = last_seq - MAX_ROWS, False
            upto[lane] = last_seq
            if last_seq == after:
                continue
            booked = await snapshot.fetch(
                "SELECT count(*) FROM events "
                "WHERE lane = $1 AND seq > $2 AND seq <= $3 AND environment_id = $4",
                lane,
                after,
                last_seq,
                environment_id,
            )
            events += int(booked[0][0])
            # Two sums, because one may be larger than what the database keeps exactly.
            sign = "CASE WHEN t.to_account = $4 THEN 1 ELSE -1 END"
            earned = await snapshot.fetch(
                f"SELECT t.customer_id, t.asset, sum({sign} * (t.units / {_BILLION})), "
                f"sum({sign} * (t.units % {_BILLION})) FROM transfers t "
                "JOIN customers c ON c.id = t.customer_id "
                "WHERE t.lane = $1 AND t.seq > $2 AND t.seq <= $3 "
                "AND (t.to_account = $4 OR t.from_account = $4) "
                "AND c.environment_id = $5 GROUP BY t.customer_id, t.asset",
                lane,
                after,
                last_seq,
                REVENUE,
                environment_id,
            )
            for customer_id, asset, billions, rest in earned:
                key = (customer_id, asset)
                units[key] = units.get(key, 0) + int(billions) * _BILLION + int(rest)
    return Charged(upto, events, units, is_whole)


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
