"""Who is subscribed to a product, as the lanes have written it beside the subscriptions."""

from __future__ import annotations

from datetime import datetime

import msgspec

from faregate.core.instants import to_us
from faregate.store.protocol import Queries

_LANES = "lane IN (SELECT lane FROM lanes)"
_OPEN = "(ends_at IS NULL OR ends_at > $2)"


class Subscriber(msgspec.Struct, frozen=True):
    """A subscription to a product; `version` 0 follows the default."""

    lane: int
    customer_id: str
    subscription_id: str
    version: int


async def count_subscribers(
    queries: Queries, product_id: str, now: datetime, versions: tuple[int, ...]
) -> int:
    """Return how many subscriptions that are not over have one of these versions (0: the default's
    followers), or move to one."""
    numbers = ", ".join(str(int(version)) for version in versions)
    rows = await queries.fetch(
        f"SELECT count(*) FROM product_subscribers WHERE {_LANES} AND product_id = $1 "
        f"AND {_OPEN} AND (version IN ({numbers}) OR next_version IN ({numbers}))",
        product_id,
        to_us(now),
    )
    return int(rows[0][0])


async def was_subscribed_to(queries: Queries, product_id: str) -> bool:
    """Tell whether anybody ever was subscribed to a product."""
    sql = f"SELECT 1 FROM product_subscribers WHERE {_LANES} AND product_id = $1 LIMIT 1"
    return bool(await queries.fetch(sql, product_id))


async def list_subscribers(
    queries: Queries, product_id: str, now: datetime, limit: int, offset: int
) -> tuple[list[Subscriber], int]:
    """Return a page of a product's subscriptions that are not over, by customer, and how many there
    are in all."""
    where = f"{_LANES} AND product_id = $1 AND {_OPEN}"
    values = (product_id, to_us(now))
    total = await queries.fetch(f"SELECT count(*) FROM product_subscribers WHERE {where}", *values)
    rows = await queries.fetch(
        f"SELECT lane, customer_id, subscription_id, version FROM product_subscribers "
        f"WHERE {where} ORDER BY customer_id, subscription_id "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        *values,
    )
    return [Subscriber(*row) for row in rows], int(total[0][0])
