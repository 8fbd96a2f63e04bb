"""What is told of a whole account rather than of one customer, in the order in which it happened.
It has no lane, so it is kept in a table of its own, `account_notices`, written in the transaction
that brings it about.

Numbers rise within an environment, without gaps: whoever has read up to one asks for those after
it. A change of the catalog, of which they tell, holds the row of its epoch until it has ended, so
no two take the same number.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from faregate.core.codec import encode
from faregate.core.instants import from_us, to_us
from faregate.core.limiting import Notice
from faregate.store.protocol import Queries


class AccountNotice(msgspec.Struct, frozen=True):
    """A notice as it is kept; `data` is JSON."""

    seq: int
    topic: str
    created_at: datetime
    data: str


async def add_notice(
    queries: Queries, environment_id: int, notice: Notice, created_at: datetime
) -> None:
    """Write a notice (inside a change of the catalog)."""
    await queries.fetch(
        "INSERT INTO account_notices (environment_id, seq, topic, created_at, data) "
        "SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4 FROM account_notices "
        "WHERE environment_id = $1",
        environment_id,
        notice.topic,
        to_us(created_at),
        encode(notice.data).decode(),
    )


async def read_notices(
    queries: Queries, environment_id: int, after: int, limit: int
) -> list[AccountNotice]:
    """Return an environment's notices after a number (0: from the first), in their order."""
    rows = await queries.fetch(
        "SELECT seq, topic, created_at, data FROM account_notices "
        f"WHERE environment_id = $1 AND seq > $2 ORDER BY seq LIMIT {int(limit)}",
        environment_id,
        after,
    )
    return [AccountNotice(row[0], row[1], from_us(row[2]), row[3]) for row in rows]
