"""The queue of collections: what lanes have asked of saved cards, until somebody takes it up."""

from __future__ import annotations

import msgspec

from faregate.core.collecting import Collection
from faregate.core.instants import from_us
from faregate.store.protocol import Queries


class AskedCollection(msgspec.Struct, frozen=True):
    """A collection, of which customer it is asked, and in which lane."""

    lane: int
    environment_id: int
    customer_id: str
    asked: Collection


async def asked_collections(queries: Queries, lane: int, limit: int) -> list[AskedCollection]:
    """Return collections that nobody has taken up yet, the oldest first."""
    rows = await queries.fetch(
        "SELECT environment_id, customer_id, payment_id, account_id, currency, units, asked_at, "
        f"subscription_id FROM collections WHERE lane = $1 ORDER BY payment_id LIMIT {int(limit)}",
        lane,
    )
    return [
        AskedCollection(
            lane,
            row[0],
            row[1],
            Collection(row[2], row[3], row[4], row[5], from_us(row[6]), row[7]),
        )
        for row in rows
    ]


async def take_up(queries: Queries, one: AskedCollection) -> None:
    """Take a collection out of the queue: there is a payment for it now."""
    await queries.fetch(
        "DELETE FROM collections WHERE lane = $1 AND payment_id = $2",
        one.lane,
        one.asked.payment_id,
    )


async def is_any_asked(queries: Queries, lane: int) -> bool:
    """Tell whether something waits in a lane's queue."""
    return bool(await asked_collections(queries, lane, 1))
