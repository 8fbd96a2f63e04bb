"""Deliveries as rows: an event on its way to a destination.

Those of one customer to one destination form a line, and so do those that tell of an account. The
first of a line is `ready`, the others are `waiting`; when the first has arrived, or is given up,
the next one is ready. So order is kept per customer, one customer's trouble delays no other, and
what is ready is found by an index however long the lines are. Whoever changes lines has the lane's
cursor (`lock_lane`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid
from faregate.store.protocol import Queries, Row
from faregate.webhooks.types import MAX_REDELIVERED, Asked, Redeliver, ShownDelivery, State

_CHUNK: Final = 200
_COLUMNS: Final = (
    "lane, position, id, destination_id, environment_id, customer_id, line, event_id, topic, "
    "happened_at, state, attempts, due_at, created_at"
)
_PROBLEM_LETTERS: Final = 300


class Event(msgspec.Struct, frozen=True):
    """What is told: its id at every destination and on every attempt, and its body as sent.
    `line` is what its order is kept within: a customer, an account, or nothing but itself."""

    id: str
    topic: str
    happened_at_us: int
    body: str
    line: str
    customer_id: str | None = None


class Payload(msgspec.Struct, omit_defaults=True, frozen=True):
    """The body of a webhook. `account`: the connected account in which it happened."""

    id: str
    type: str
    created: datetime
    live_mode: bool
    data: msgspec.Raw
    account: str | None = None


class Cursor(msgspec.Struct, frozen=True):
    """How far a lane's outbox has been fanned out, and which destinations that knew."""

    outbox_seq: int
    version: int


class Ready(msgspec.Struct, frozen=True):
    """A delivery that may be sent."""

    position: int
    destination_id: str
    event_id: str
    attempts: int
    body: str


class Outcome(msgspec.Struct, frozen=True):
    """What has become of an attempt; `delay_us` until the next one, None: there is none.
    `problem` is empty if it has arrived."""

    delivery: Ready
    at_us: int
    status: int | None
    problem: str = ""
    delay_us: int | None = None


async def lock_lane(queries: Queries, lane: int) -> Cursor:
    """Keep others from this lane's deliveries until the transaction ends."""
    rows = await queries.fetch(
        "UPDATE webhook_cursors SET position = position WHERE lane = $1 "
        "RETURNING outbox_seq, version",
        lane,
    )
    return Cursor(*rows[0])


async def insert(
    queries: Queries,
    lane: int,
    pairs: Sequence[tuple[Event, str, int]],
    ids: IdSource,
    now_us: int,
) -> list[Ready]:
    """Write deliveries of events to destinations (with the environment that each belongs to), in
    this order; returns those that are ready. The events are in `webhook_events`."""
    if not pairs:
        return []
    busy = await _lines_in_use(queries, lane, sorted({event.line for event, _, _ in pairs}))
    rows = await queries.fetch(
        "UPDATE webhook_cursors SET position = position + $2 WHERE lane = $1 RETURNING position",
        lane,
        len(pairs),
    )
    position = int(rows[0][0]) - len(pairs)
    ready: list[Ready] = []
    values: list[tuple[Any, ...]] = []
    for event, destination_id, environment_id in pairs:
        position += 1
        line = (event.line, destination_id)
        if line not in busy:
            busy.add(line)
            state = "ready"
            ready.append(Ready(position, destination_id, event.id, 0, event.body))
        else:
            state = "waiting"
        told = (event.customer_id, event.line, event.id, event.topic, event.happened_at_us)
        name = (lane, position, ids.next("whl"), destination_id, environment_id)
        values.append((*name, *told, state, 0, now_us, now_us))
    for start in range(0, len(values), _CHUNK):
        await _insert_rows(queries, "webhook_deliveries", _COLUMNS, values[start : start + _CHUNK])
    return ready


async def insert_events(queries: Queries, events: Sequence[Event], now_us: int) -> None:
    """Write what is told."""
    values = [(event.id, now_us, event.body) for event in events]
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        await _insert_rows(queries, "webhook_events", "id, created_at, body", chunk)


async def _insert_rows(
    queries: Queries, table: str, columns: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    width = len(rows[0])
    marks = ", ".join(
        f"({', '.join(f'${row * width + n}' for n in range(1, width + 1))})"
        for row in range(len(rows))
    )
    flat = [value for row in rows for value in row]
    await queries.fetch(f"INSERT INTO {table} ({columns}) VALUES {marks}", *flat)


async def _lines_in_use(queries: Queries, lane: int, lines: Sequence[str]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for start in range(0, len(lines), _CHUNK):
        chunk = lines[start : start + _CHUNK]
        marks = ", ".join(f"${n}" for n in range(2, len(chunk) + 2))
        rows = await queries.fetch(
            "SELECT line, destination_id FROM webhook_deliveries "
            f"WHERE lane = $1 AND state = 'ready' AND line IN ({marks})",
            lane,
            *chunk,
        )
        found.update((row[0], row[1]) for row in rows)
    return found


async def ready_for(
    queries: Queries, lane: int, destination_id: str, now_us: int, limit: int
) -> list[Ready]:
    """Return what may be sent to a destination now, what is due longest first."""
    rows = await queries.fetch(
        "SELECT d.position, d.destination_id, d.event_id, d.attempts, e.body "
        "FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id "
        "WHERE d.lane = $1 AND d.destination_id = $2 AND d.state = 'ready' AND d.due_at <= $3 "
        f"ORDER BY d.due_at, d.position LIMIT {int(limit)}",
        lane,
        destination_id,
        now_us,
    )
    return [Ready(*row) for row in rows]


async def next_due_us(queries: Queries, lane: int, destination_id: str) -> int | None:
    """Return when something for a destination is due next; None: nothing is on its way."""
    rows = await queries.fetch(
        "SELECT min(due_at) FROM webhook_deliveries "
        "WHERE lane = $1 AND destination_id = $2 AND state = 'ready'",
        lane,
        destination_id,
    )
    return None if rows[0][0] is None else int(rows[0][0])


async def due_by_destination(queries: Queries, lane: int) -> dict[str, int]:
    """Return when (microseconds since 1970 UTC) something is due next, of each enabled destination
    that something is on its way to."""
    rows = await queries.fetch(
        "SELECT w.id, (SELECT min(d.due_at) FROM webhook_deliveries d WHERE d.lane = $1 "
        "AND d.destination_id = w.id AND d.state = 'ready') "
        "FROM webhook_destinations w WHERE w.enabled = 1",
        lane,
    )
    return {row[0]: int(row[1]) for row in rows if row[1] is not None}


async def is_any_due(queries: Queries, now_us: int) -> bool:
    """Tell whether something is to be sent now, or was told and is not fanned out yet."""
    due = await queries.fetch(
        "SELECT 1 FROM webhook_deliveries d JOIN webhook_destinations w ON w.id = d.destination_id "
        "WHERE d.state = 'ready' AND d.due_at <= $1 AND w.enabled = 1 LIMIT 1",
        now_us,
    )
    told = await queries.fetch(
        "SELECT 1 FROM webhook_cursors c WHERE EXISTS (SELECT 1 FROM outbox o "
        "WHERE o.lane = c.lane AND o.seq > c.outbox_seq) AND EXISTS ("
        "SELECT 1 FROM webhook_destinations WHERE enabled = 1) LIMIT 1"
    )
    return bool(due or told)


async def record(queries: Queries, lane: int, outcomes: Sequence[Outcome]) -> list[Ready]:
    """Write what has become of attempts, and let the next of each line that has moved be ready;
    returns these. To write it twice is harmless."""
    moved: list[Ready] = []
    for start in range(0, len(outcomes), _CHUNK):
        chunk = outcomes[start : start + _CHUNK]
        await _record_arrived(queries, lane, [one for one in chunk if not one.problem])
        await _record_failed(queries, lane, [one for one in chunk if one.problem])
        ended = [o.delivery.position for o in chunk if not o.problem or o.delay_us is None]
        if ended:
            moved += await _move_up(queries, lane, ended, max(one.at_us for one in chunk))
    return moved


async def _record_arrived(queries: Queries, lane: int, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    rows = ", ".join(
        f"({_number(one.delivery.position)}, {_number(one.at_us)}, {_number(one.status)})"
        for one in outcomes
    )
    await queries.fetch(
        f"WITH arrived (number, at_us, status) AS (VALUES {rows}) "
        "UPDATE webhook_deliveries SET state = 'delivered', attempts = attempts + 1, "
        "successful_at = arrived.at_us, response_status = arrived.status, problem = NULL "
        "FROM arrived WHERE lane = $1 AND position = arrived.number AND state = 'ready'",
        lane,
    )


async def _record_failed(queries: Queries, lane: int, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    rows = ", ".join(
        f"({_number(one.delivery.position)}, {int(one.delay_us is None)}, "
        f"{_number(one.delivery.attempts + 1)}, {_number(one.at_us)}, "
        f"{_number(one.at_us + (one.delay_us or 0))}, {_number(one.status)}, ${n})"
        for n, one in enumerate(outcomes, 2)
    )
    await queries.fetch(
        f"WITH failed (number, is_last, tried, at_us, due_us, status, said) AS (VALUES {rows}) "
        "UPDATE webhook_deliveries SET attempts = failed.tried, due_at = failed.due_us, "
        "state = CASE failed.is_last WHEN 1 THEN 'failed' ELSE 'ready' END, "
        "failed_at = failed.at_us, response_status = failed.status, problem = failed.said "
        "FROM failed WHERE lane = $1 AND position = failed.number AND state = 'ready'",
        lane,
        *(one.problem[:_PROBLEM_LETTERS] for one in outcomes),
    )


def _number(value: int | None) -> str:
    """Spell a number for a statement, of the one type whatever its size."""
    return f"CAST({'NULL' if value is None else int(value)} AS BIGINT)"


async def give_up(queries: Queries, lane: int, positions: Sequence[int], now_us: int) -> None:
    """Take away what has waited for too long, and let the next of each line be ready."""
    for start in range(0, len(positions), _CHUNK):
        chunk = positions[start : start + _CHUNK]
        those = f"lane = $1 AND position IN ({_numbers(chunk)})"
        await queries.fetch(
            "UPDATE webhook_deliveries SET state = 'failed' "
            f"WHERE {those} AND state IN ('ready', 'waiting')",
            lane,
        )
        await _move_up(queries, lane, chunk, now_us)
        await queries.fetch(f"DELETE FROM webhook_deliveries WHERE {those}", lane)


def _numbers(positions: Sequence[int]) -> str:
    return ", ".join(str(int(position)) for position in positions)


async def _move_up(queries: Queries, lane: int, ended: Sequence[int], now_us: int) -> list[Ready]:
    rows = await queries.fetch(
        "UPDATE webhook_deliveries SET state = 'ready', due_at = $2 "
        "WHERE lane = $1 AND position IN (SELECT ("
        "SELECT min(w.position) FROM webhook_deliveries w WHERE w.lane = d.lane "
        "AND w.line = d.line AND w.destination_id = d.destination_id AND w.state = 'waiting') "
        f"FROM webhook_deliveries d WHERE d.lane = $1 AND d.position IN ({_numbers(ended)}) "
        "AND NOT EXISTS (SELECT 1 FROM webhook_deliveries r WHERE r.lane = d.lane "
        "AND r.line = d.line AND r.destination_id = d.destination_id AND r.state = 'ready')) "
        "RETURNING position, destination_id, event_id, attempts",
        lane,
        now_us,
    )
    bodies = await _bodies(queries, sorted({row[2] for row in rows}))
    moved = [Ready(row[0], row[1], row[2], row[3], bodies[row[2]]) for row in rows]
    return sorted(moved, key=lambda ready: ready.position)


async def _bodies(queries: Queries, events: Sequence[str]) -> dict[str, str]:
    if not events:
        return {}
    marks = ", ".join(f"${n}" for n in range(1, len(events) + 1))
    rows = await queries.fetch(
        f"SELECT id, body FROM webhook_events WHERE id IN ({marks})", *events
    )
    return {row[0]: row[1] for row in rows}


async def list_deliveries(
    queries: Queries, environment_id: int, asked: Asked
) -> tuple[list[ShownDelivery], bool, bool]:
    """Return a page of deliveries, the newest first, and whether there are older and newer ones."""
    values: list[Any] = [environment_id]
    where = [
        "d.environment_id = $1",
        "EXISTS (SELECT 1 FROM webhook_destinations w WHERE w.id = d.destination_id)",
    ]

    def add(condition: str, value: Any) -> None:
        values.append(value)
        where.append(condition.format(f"${len(values)}"))

    if asked.destinations:
        marks = []
        for destination_id in asked.destinations:
            values.append(destination_id)
            marks.append(f"${len(values)}")
        where.append(f"d.destination_id IN ({', '.join(marks)})")
    if asked.state is not None:
        where.append(_STATES[asked.state])
    if asked.delivery_id is not None:
        add("d.id = {}", asked.delivery_id)
    if asked.has_failed:
        where.append("d.failed_at IS NOT NULL AND d.successful_at IS NULL")
    if asked.topic is not None:
        add("d.topic = {}", asked.topic)
    if asked.customer_id is not None:
        add("d.customer_id = {}", asked.customer_id)
    if asked.time_gte is not None:
        add("d.happened_at >= {}", to_us(asked.time_gte))
    if asked.time_lte is not None:
        add("d.happened_at <= {}", to_us(asked.time_lte))
    order = "DESC"
    if asked.before is not None:
        add("d.id > {}", asked.before)
        order = "ASC"
    elif asked.after is not None:
        add("d.id < {}", asked.after)
    rows = await queries.fetch(
        "SELECT d.id, d.destination_id, d.topic, d.happened_at, d.event_id, d.state, d.attempts, "
        "d.successful_at, d.failed_at, d.due_at, d.response_status, d.problem, d.customer_id, "
        "e.body FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id "
        f"WHERE {' AND '.join(where)} ORDER BY d.id {order} LIMIT {asked.limit + 1}",
        *values,
    )
    has_more, page = len(rows) > asked.limit, [_shown(row) for row in rows[: asked.limit]]
    if asked.before is not None:
        return page[::-1], True, has_more
    return page, has_more, asked.after is not None


_STATES: Final[dict[State, str]] = {
    "pending": "d.state IN ('ready', 'waiting')",
    "delivered": "d.state = 'delivered'",
    "failed": "d.state = 'failed'",
}


def _shown(row: Row) -> ShownDelivery:
    identifier, destination_id, topic, happened_at, event_id, state, attempts = row[:7]
    successful_at, failed_at, due_at, status, problem, customer_id, body = row[7:]
    payload = decode(Payload, body)
    shown: State = "pending" if state in ("ready", "waiting") else state
    return ShownDelivery(
        event_id,
        destination_id,
        topic,
        from_us(happened_at),
        payload.data,
        identifier,
        shown,
        attempts,
        None if successful_at is None else from_us(successful_at),
        None if failed_at is None else from_us(failed_at),
        from_us(due_at) if state == "ready" else None,
        status,
        problem,
        customer_id,
        None if payload.account is None else {"account_id": payload.account},
    )


async def redeliver(
    queries: Queries, destination_id: str, request: Redeliver, ids: IdSource, now: datetime
) -> int:
    """Put events on their way again that have been sent to a destination and are not on their way
    to it; returns how many. Raises 404, 422."""
    values: list[Any] = [destination_id]
    where = ""
    for condition, value in (
        ("d.event_id = {}", request.event_id),
        ("d.happened_at >= {}", None if request.time_gte is None else to_us(request.time_gte)),
        ("d.happened_at <= {}", None if request.time_lte is None else to_us(request.time_lte)),
        ("d.state = {}", request.state),
    ):
        if value is not None:
            values.append(value)
            where += " AND " + condition.format(f"${len(values)}")
    rows = await queries.fetch(
        "SELECT d.lane, min(d.position), d.environment_id, d.event_id, d.topic, d.happened_at, "
        "d.line, d.customer_id FROM webhook_deliveries d WHERE d.destination_id = $1 "
        f"AND d.state IN ('delivered', 'failed'){where} AND NOT EXISTS ("
        "SELECT 1 FROM webhook_deliveries o WHERE o.event_id = d.event_id "
        "AND o.destination_id = d.destination_id AND o.state IN ('ready', 'waiting')) "
        "GROUP BY d.lane, d.environment_id, d.event_id, d.topic, d.happened_at, d.line, "
        "d.customer_id "
        f"ORDER BY d.lane, min(d.position) LIMIT {MAX_REDELIVERED + 1}",
        *values,
    )
    if len(rows) > MAX_REDELIVERED:
        message = f"takes in more than {MAX_REDELIVERED} events: ask for a shorter time"
        raise FaregateError(invalid("time_gte", message))
    if request.event_id is not None and not rows:
        detail = f"no event {request.event_id!r} was sent to {destination_id} and has ended"
        raise FaregateError(Problem(NOT_FOUND, detail))
    by_lane: dict[int, list[tuple[Event, str, int]]] = {}
    for lane, _, environment_id, event_id, topic, happened_at, line, customer_id in rows:
        event = Event(event_id, topic, happened_at, "", line, customer_id)
        by_lane.setdefault(lane, []).append((event, destination_id, environment_id))
    for lane, pairs in by_lane.items():
        await insert(queries, lane, pairs, ids, to_us(now))
    return len(rows)


def body_of(payload: Payload) -> str:
    """Write a webhook's body."""
    return encode(payload).decode()
