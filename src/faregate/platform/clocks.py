"""Test clocks: customers of the test mode who live by one see a time that somebody else moves. A
clock belongs to the catalog, so that every lane notices at once when it has been moved.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.given import Instant
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, is_in_range, out_of_range, to_us
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid
from faregate.store.protocol import Queries, Row

MAX_STEP: Final = timedelta(days=5 * 366)
"""How far one call may move a clock: everything that is due until then happens in it."""
CHUNK: Final = 200


class CreateTestClock(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new clock; it shows `now` until it is moved."""

    now: Instant
    name: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class AdvanceTestClock(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Move a clock forward."""

    to: Instant


class TestClock(msgspec.Struct, omit_defaults=True, frozen=True):
    """A clock, and how many customers live by it."""

    id: str
    now: datetime
    created_at: datetime
    customers: int
    name: str | None = None


_COLUMNS: Final = (
    "id, now_us, created_at, "
    "(SELECT count(*) FROM customers WHERE test_clock_id = test_clocks.id), name"
)


def _read(row: Row) -> TestClock:
    identifier, now_us, created_at, customers, name = row
    return TestClock(identifier, from_us(now_us), from_us(created_at), customers, name)


async def create_clock(
    queries: Queries, environment_id: int, request: CreateTestClock, ids: IdSource, now: datetime
) -> TestClock:
    """Write a clock. Raises 422."""
    if not is_in_range(request.now):
        raise FaregateError(invalid("now", out_of_range(request.now)))
    clock_id = ids.next("clk")
    await queries.fetch(
        "INSERT INTO test_clocks (id, environment_id, name, now_us, created_at) "
        "VALUES ($1, $2, $3, $4, $5)",
        clock_id,
        environment_id,
        request.name,
        to_us(request.now),
        to_us(now),
    )
    return TestClock(clock_id, request.now, now, 0, request.name)


async def find_clock(queries: Queries, environment_id: int, clock_id: str) -> TestClock:
    """Find a clock. Raises 404."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM test_clocks WHERE id = $1 AND environment_id = $2",
        clock_id,
        environment_id,
    )
    if not rows:
        raise FaregateError(Problem(NOT_FOUND, f"there is no test clock {clock_id[:100]!r}"))
    return _read(rows[0])


async def list_clocks(
    queries: Queries, environment_id: int, limit: int, offset: int
) -> tuple[list[TestClock], int]:
    """Return a page of clocks, the newest first, and how many there are in all."""
    total = await queries.fetch(
        "SELECT count(*) FROM test_clocks WHERE environment_id = $1", environment_id
    )
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM test_clocks WHERE environment_id = $1 "
        f"ORDER BY id DESC LIMIT {int(limit)} OFFSET {int(offset)}",
        environment_id,
    )
    return [_read(row) for row in rows], int(total[0][0])


async def move_clock(queries: Queries, clock: TestClock, to: datetime) -> None:
    """Let a clock show a later time. Raises 422 if it is not later, or too far away."""
    if to < clock.now:
        shown = f"{to.isoformat()} is before {clock.now.isoformat()}, where the clock stands"
        raise FaregateError(invalid("to", f"{shown}: a clock only goes forward"))
    if not is_in_range(to):
        raise FaregateError(invalid("to", out_of_range(to)))
    if to - clock.now > MAX_STEP:
        raise FaregateError(
            invalid("to", f"{to.isoformat()} is more than {MAX_STEP.days} days away: go in steps")
        )
    await queries.fetch(
        "UPDATE test_clocks SET now_us = $2 WHERE id = $1 AND now_us <= $2", clock.id, to_us(to)
    )


async def customers_on(queries: Queries, clock_id: str) -> AsyncIterator[list[tuple[str, int]]]:
    """Walk the customers who live by a clock, with their lanes, so many at a time."""
    last = ""
    while True:
        rows = await queries.fetch(
            "SELECT id, lane FROM customers WHERE test_clock_id = $1 AND id > $2 "
            f"ORDER BY id LIMIT {CHUNK}",
            clock_id,
            last,
        )
        if rows:
            yield [(row[0], row[1]) for row in rows]
            last = rows[-1][0]
        if len(rows) < CHUNK:
            return
