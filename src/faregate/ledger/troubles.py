"""What went wrong lately: holds that were declined, and notices of what did not work. Only the
newest rows are looked through, so that it takes the same time however long the history is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from faregate.ledger.questions import first_id
from faregate.store.protocol import Queries

MAX_HOLDS: Final = 5_000
MAX_NOTICES: Final = 2_000
"""Rows of each lane that are looked through."""


class Declines(NamedTuple):
    """What number of holds was declined; `is_whole`: none is older than what was looked through."""

    number: int
    is_whole: bool


class ToldOf(NamedTuple):
    """A notice: of whom, of what, when (microseconds), and what it says (JSON)."""

    customer_id: str
    topic: str
    created_us: int
    data: str


async def declined_since(queries: Queries, environment_id: int, since_us: int) -> Declines:
    """Count the holds that were declined since an instant."""
    count, is_whole = 0, True
    for (lane,) in await queries.fetch("SELECT lane FROM lanes ORDER BY lane"):
        found = await queries.fetch(
            "SELECT count(*), sum(CASE WHEN h.status = 'declined' AND h.created_at >= $3 "
            "AND c.environment_id = $4 THEN 1 ELSE 0 END) FROM (SELECT status, created_at, "
            "customer_id FROM holds WHERE lane = $1 AND hold_id >= $2 "
            f"ORDER BY hold_id DESC LIMIT {MAX_HOLDS}) h "
            "LEFT JOIN customers c ON h.status = 'declined' AND c.id = h.customer_id",
            lane,
            first_id("hld_", since_us),
            since_us,
            environment_id,
        )
        count += int(found[0][1] or 0)
        is_whole = is_whole and found[0][0] < MAX_HOLDS
    return Declines(count, is_whole)


async def told_lately(
    queries: Queries, environment_id: int, topics: Sequence[str], since_us: int
) -> list[ToldOf]:
    """Return what was told under these topics since an instant, the newest first."""
    told: list[ToldOf] = []
    marks = ", ".join(f"${n}" for n in range(4, len(topics) + 4))
    for (lane,) in await queries.fetch("SELECT lane FROM lanes ORDER BY lane"):
        found = await queries.fetch(
            "SELECT o.customer_id, o.topic, o.created_at, o.data FROM (SELECT customer_id, "
            "environment_id, topic, created_at, data FROM outbox WHERE lane = $1 "
            f"ORDER BY seq DESC LIMIT {MAX_NOTICES}) o WHERE o.environment_id = $2 "
            f"AND o.created_at >= $3 AND o.topic IN ({marks}) AND o.data <> ''",
            lane,
            environment_id,
            since_us,
            *topics,
        )
        told += [ToldOf(row[0], row[1], row[2], row[3]) for row in found]
    return sorted(told, key=lambda one: one.created_us, reverse=True)
