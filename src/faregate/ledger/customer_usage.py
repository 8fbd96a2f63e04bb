"""What one customer has used in a time, summed up by the database: by quarter hours, of which days
in any timezone are made, by subject, and by type. Events count when they occurred, and as they
stand now, whatever became of them.

A customer's newest events are looked at, and no more than `MAX_EVENTS` of them, however long the
time is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec

from faregate.core.instants import from_us, to_us
from faregate.ledger.reading import AS_THEY_STAND
from faregate.store.protocol import Queries

MAX_EVENTS: Final = 100_000
QUARTER: Final = timedelta(minutes=15)
MAX_GROUPS: Final = 100
"""Subjects, or types, that are told apart: those with the most events."""
_QUARTER_US: Final = QUARTER // timedelta(microseconds=1)
_BILLION: Final = 1_000_000_000

Group = Literal["subject", "event_type"]


class Used(msgspec.Struct, frozen=True):
    """Events of one group, and what they cost, in units by asset."""

    events: int
    units: dict[str, int]


async def used_by_quarter(
    queries: Queries, lane: int, customer_id: str, from_at: datetime, to_at: datetime
) -> dict[datetime, Used]:
    """Return what was used in each quarter of an hour that has any, by when it begins."""
    column = f"(e.occurred_at - e.occurred_at % {_QUARTER_US})"
    found = await _sums(queries, column, lane, customer_id, from_at, to_at)
    return {from_us(at): used for at, used in found.items()}


async def used_by(
    queries: Queries,
    group: Group,
    lane: int,
    customer_id: str,
    from_at: datetime,
    to_at: datetime,
) -> dict[str | None, Used]:
    """Return what was used by each subject (None: by nobody in particular), or of each type; of
    very many those with the most events."""
    found = await _sums(queries, f"e.{group}", lane, customer_id, from_at, to_at)
    most = sorted(found.items(), key=lambda item: -item[1].events)[:MAX_GROUPS]
    return dict(most)


async def looks_back_to(queries: Queries, lane: int, customer_id: str) -> datetime | None:
    """Return since when a customer's events are looked at; None: all are."""
    rows = await queries.fetch(
        f"SELECT min(e.created_at), count(*) FROM events e WHERE {_MINE}", lane, customer_id
    )
    return from_us(rows[0][0]) if rows[0][1] >= MAX_EVENTS else None


_MINE: Final = (
    "e.lane = $1 AND e.customer_id = $2 AND e.seq IN (SELECT i.seq FROM ("
    "SELECT c.seq FROM customer_events c WHERE c.lane = $1 AND c.customer_id = $2 "
    f"ORDER BY c.seq DESC LIMIT {MAX_EVENTS}) AS i "
    "UNION ALL SELECT n.seq FROM events n WHERE n.lane = $1 AND n.customer_id = $2 "
    "AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = $1))"
)


async def _sums(
    queries: Queries,
    column: str,
    lane: int,
    customer_id: str,
    from_at: datetime,
    to_at: datetime,
) -> dict[Any, Used]:
    units = "coalesce(o.fee_units, e.fee_units)"
    asset = "CASE WHEN o.outcome IS NULL THEN e.fee_asset ELSE o.fee_asset END"
    # Two sums, because one may be larger than what the database keeps exactly.
    rows = await queries.fetch(
        f"SELECT {column}, {asset}, count(*), sum({units} / {_BILLION}), sum({units} % {_BILLION}) "
        f"FROM {AS_THEY_STAND} WHERE {_MINE} AND e.occurred_at >= $3 AND e.occurred_at < $4 "
        f"GROUP BY {column}, {asset}",
        lane,
        customer_id,
        to_us(from_at),
        to_us(to_at),
    )
    found: dict[Any, Used] = {}
    for key, code, events, billions, rest in rows:
        before = found.get(key, Used(0, {}))
        sums = dict(before.units)
        if code is not None:
            sums[code] = sums.get(code, 0) + int(billions or 0) * _BILLION + int(rest or 0)
        found[key] = Used(before.events + int(events), sums)
    return found
