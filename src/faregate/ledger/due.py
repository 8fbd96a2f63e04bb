"""Work that is due: customers whose subscriptions or grants bring something by themselves, and
holds that have expired. Holds come and go too fast for a row of their own each time: an index says
which of them are open although their time is over. Everybody else has one row,
written by the lane in the commit that knows when it is; whoever works claims some rows for a while,
so that no two work on the same, and lets the lane do what is due. What was done has moved its row
on in the same commit; what failed is tried again later, and set aside when it fails too often.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from faregate.core.instants import LATEST, from_us, to_us
from faregate.store.protocol import Queries, Store

MAX_ATTEMPTS: Final = 5
"""Work that has failed so often is set aside."""
CLAIM_SECONDS: Final = 60
"""A claim lapses after so long, unless whoever works renews it."""
BACK_OFF_SECONDS: Final = 30
"""After a failure the next try waits so long, each time twice as long as before."""
_SECOND: Final = 1_000_000
_NEVER: Final = to_us(LATEST)


class DueWork(msgspec.Struct, frozen=True):
    """A customer for whom something is due, since when, and what went wrong with it, if anything.
    `is_set_aside`: it is not tried again by itself."""

    lane: int
    customer_id: str
    environment_id: int
    due_at: datetime
    attempts: int
    problem: str | None
    is_set_aside: bool


_COLUMNS: Final = "lane, customer_id, environment_id, due_at, attempts, problem"


def _read(row: tuple[object, ...]) -> DueWork:
    lane, customer_id, environment_id, due_at, attempts, problem = row
    return msgspec.convert(
        {
            "lane": lane,
            "customer_id": customer_id,
            "environment_id": environment_id,
            "due_at": from_us(int(str(due_at))),
            "attempts": attempts,
            "problem": problem,
            "is_set_aside": int(str(attempts)) >= MAX_ATTEMPTS,
        },
        DueWork,
    )


async def claim(store: Store, lane: int, now: datetime, limit: int) -> list[DueWork]:
    """Claim some of a lane's work that is due, the oldest first, unless somebody else has it."""
    now_us = to_us(now)
    where = (
        "lane = $1 AND due_at <= $2 AND claimed_until <= $2 "
        f"AND attempts < {MAX_ATTEMPTS} ORDER BY due_at LIMIT {int(limit)}"
    )
    # To look costs nothing: most of the time there is nothing to do.
    sql = f"SELECT customer_id FROM due_work WHERE {where}"
    if not await store.fetch(sql, lane, now_us):
        return []
    if store.url.startswith("postgresql"):
        sql += " FOR UPDATE SKIP LOCKED"
    async with store.transaction() as transaction:
        rows = await transaction.fetch(
            "UPDATE due_work SET claimed_until = $3, attempts = attempts + 1 "
            f"WHERE lane = $1 AND customer_id IN ({sql}) RETURNING {_COLUMNS}",
            lane,
            now_us,
            now_us + CLAIM_SECONDS * _SECOND,
        )
    return [_read(tuple(row)) for row in rows]


async def renew(queries: Queries, work: list[DueWork], now: datetime) -> None:
    """Keep a claim: whoever made it is still at work."""
    until = to_us(now) + CLAIM_SECONDS * _SECOND
    for one in work:
        await queries.fetch(
            "UPDATE due_work SET claimed_until = $3 "
            "WHERE lane = $1 AND customer_id = $2 AND claimed_until > 0",
            one.lane,
            one.customer_id,
            until,
        )


async def put_off(queries: Queries, one: DueWork, now: datetime, problem: str) -> None:
    """Note what went wrong, and when it is tried again."""
    wait_seconds = BACK_OFF_SECONDS * 2 ** (one.attempts - 1)
    await queries.fetch(
        "UPDATE due_work SET claimed_until = $3, problem = $4 "
        "WHERE lane = $1 AND customer_id = $2 AND attempts = $5",
        one.lane,
        one.customer_id,
        to_us(now) + wait_seconds * _SECOND,
        problem[:500],
        one.attempts,
    )


async def let_go(queries: Queries, one: DueWork) -> None:
    """Give a claim back: nothing is wrong with the work, somebody else may do it."""
    await queries.fetch(
        "UPDATE due_work SET claimed_until = 0, attempts = attempts - 1 "
        "WHERE lane = $1 AND customer_id = $2 AND attempts = $3",
        one.lane,
        one.customer_id,
        one.attempts,
    )


class ExpiredHold(NamedTuple):
    """An open hold whose time is over, and whose it is."""

    expires_us: int
    hold_id: str
    customer_id: str
    environment_id: int


BEFORE_ALL: Final = (-1, "")


async def expired_holds(
    queries: Queries, lane: int, now: datetime, after: tuple[int, str], limit: int
) -> list[ExpiredHold]:
    """Return a lane's open holds that should have expired by `now`, in the order of their expiry;
    those after one, of which its expiry and id are named."""
    rows = await queries.fetch(
        "SELECT h.expires_at, h.hold_id, h.customer_id, c.environment_id "
        "FROM holds h JOIN customers c ON c.id = h.customer_id "
        "WHERE h.lane = $1 AND h.is_open = 1 AND h.expires_at <= $2 AND h.expires_at >= $3 "
        "AND (h.expires_at > $3 OR h.hold_id > $4) "
        f"ORDER BY h.expires_at, h.hold_id LIMIT {int(limit)}",
        lane,
        to_us(now),
        *after,
    )
    return [ExpiredHold(*row) for row in rows]


async def list_due(
    queries: Queries,
    environment_id: int,
    now: datetime,
    limit: int,
    offset: int,
    *,
    is_set_aside: bool,
) -> tuple[list[DueWork], int]:
    """Return a page of an environment's work that is due now, or that is set aside; the oldest
    first, and how much there is in all."""
    where = "environment_id = $1 AND due_at <= $2 AND attempts "
    where += f">= {MAX_ATTEMPTS}" if is_set_aside else f"< {MAX_ATTEMPTS}"
    now_us = to_us(now)
    total = await queries.fetch(
        f"SELECT count(*) FROM due_work WHERE {where}", environment_id, now_us
    )
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM due_work WHERE {where} ORDER BY due_at, customer_id "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        environment_id,
        now_us,
    )
    return [_read(tuple(row)) for row in rows], int(total[0][0])


async def is_any_due(queries: Queries, lane: int, now: datetime) -> bool:
    """Tell whether some of a lane's work is due now, whoever's customers it is for."""
    sql = f"SELECT 1 FROM due_work WHERE lane = $1 AND due_at <= $2 AND attempts < {MAX_ATTEMPTS}"
    return bool(await queries.fetch(f"{sql} LIMIT 1", lane, to_us(now)))


async def try_again(queries: Queries) -> int:
    """Let everything that is set aside be tried again; returns how much that is."""
    rows = await queries.fetch(
        "UPDATE due_work SET attempts = 0, claimed_until = 0 "
        f"WHERE attempts >= {MAX_ATTEMPTS} AND due_at < {_NEVER} RETURNING customer_id"
    )
    return len(rows)
