"""What one customer has used in a time, summed up by the database: by quarter hours, of which days
in any timezone are made, by subject, and by type. Events count when they occurred, and as they
stand now, whatever became of them.

A customer's newest events are looked at, and no more than `MAX_EVENTS` of them, however long the
time is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from faregate.core.instants import from_us, to_us
from faregate.ledger.reading import AS_THEY_STAND
from faregate.store.protocol import Pair, Queries

MAX_EVENTS: Final = 100_000
QUARTER: Final = timedelta(minutes=15)
MAX_GROUPS: Final = 100
"""Subjects, or types, that are told apart: those with the most events."""
_QUARTER_US: Final = QUARTER // timedelta(microseconds=1)
_BILLION: Final = 1_000_000_000


class Used(msgspec.Struct, frozen=True):
    """Events of one group, and what they cost, in units by asset."""

    events: int
    units: dict[str, int]


NOTHING: Final = Used(0, {})


class Usage(msgspec.Struct, frozen=True):
    """What was used: by the quarter hours that have any, by subject (None: nobody in particular)
    and by type, those with the most events first."""

    quarters: dict[datetime, Used]
    subjects: dict[str | None, Used]
    event_types: dict[str | None, Used]


def _newest(count: int) -> str:
    """Say that rows are of a customer's newest events: from the index that the lane writes behind
    its commits, and those that are not in it yet."""
    return (
        "e.lane = $1 AND e.customer_id = $2 AND e.seq IN (SELECT i.seq FROM ("
        "SELECT c.seq FROM customer_events c WHERE c.lane = $1 AND c.customer_id = $2 "
        f"ORDER BY c.seq DESC LIMIT {count}) AS i "
        "UNION ALL SELECT n.seq FROM events n WHERE n.lane = $1 AND n.customer_id = $2 "
        "AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = $1))"
    )


_SUMS: Final = f"count(*), sum(units / {_BILLION}), sum(units % {_BILLION})"
_USAGE: Final = f"""
    WITH used AS MATERIALIZED (
        SELECT e.occurred_at - e.occurred_at % {_QUARTER_US} AS quarter, e.subject AS subject,
            e.event_type AS event_type, coalesce(o.fee_units, e.fee_units) AS units,
            CASE WHEN o.outcome IS NULL THEN e.fee_asset ELSE o.fee_asset END AS asset
        FROM {AS_THEY_STAND}
        WHERE {_newest(MAX_EVENTS)} AND e.occurred_at >= $3 AND e.occurred_at < $4
    )
    SELECT 'quarter', CAST(quarter AS TEXT), asset, {_SUMS} FROM used GROUP BY quarter, asset
    UNION ALL SELECT 'subject', subject, asset, {_SUMS} FROM used GROUP BY subject, asset
    UNION ALL SELECT 'type', event_type, asset, {_SUMS} FROM used GROUP BY event_type, asset
"""
"""Events are looked up once and summed up three times. Sums are in two parts, because one may be
larger than what the database keeps exactly."""


async def read_usage(
    queries: Queries, lane: int, customer_id: str, from_at: datetime, to_at: datetime
) -> Usage:
    """Return what a customer has used from an instant on, and before another one."""
    found: dict[str, dict[str | None, Used]] = {"quarter": {}, "subject": {}, "type": {}}
    rows = await queries.fetch(_USAGE, lane, customer_id, to_us(from_at), to_us(to_at))
    for kind, name, asset, events, billions, rest in rows:
        before = found[kind].get(name, NOTHING)
        units = dict(before.units)
        if asset is not None:
            more = int(billions or 0) * _BILLION + int(rest or 0)
            units[asset] = units.get(asset, 0) + more
        found[kind][name] = Used(before.events + int(events), units)
    quarters = {from_us(int(at or 0)): used for at, used in found["quarter"].items()}
    return Usage(quarters, _most(found["subject"]), _most(found["type"]))


def _most(used: dict[str | None, Used]) -> dict[str | None, Used]:
    ordered = sorted(used.items(), key=lambda item: (-item[1].events, item[0] or ""))
    return dict(ordered[:MAX_GROUPS])


async def looked_at_since(queries: Queries, lane: int, customer_id: str) -> datetime | None:
    """Return since when a customer's events are looked at; None: all are."""
    rows = await queries.fetch(
        "SELECT e.created_at FROM events e WHERE e.lane = $1 AND e.seq = ("
        "SELECT c.seq FROM customer_events c WHERE c.lane = $1 AND c.customer_id = $2 "
        f"ORDER BY c.seq DESC LIMIT 1 OFFSET {MAX_EVENTS - 1})",
        lane,
        customer_id,
    )
    return from_us(rows[0][0]) if rows else None


async def newest_events(
    queries: Queries, lane: int, customer_id: str, from_at: datetime, count: int
) -> list[Pair]:
    """Return the keys (event, customer) of a customer's newest events, as many as are asked for,
    that occurred at an instant or later."""
    rows = await queries.fetch(
        f"SELECT e.event_id FROM events e WHERE {_newest(count)} AND e.occurred_at >= $3 "
        f"ORDER BY e.seq DESC LIMIT {int(count)}",
        lane,
        customer_id,
        to_us(from_at),
    )
    return [(row[0], customer_id) for row in rows]
