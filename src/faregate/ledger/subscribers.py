"""Who is subscribed to a product, as the lanes have written it beside the subscriptions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.instants import to_us
from faregate.store.protocol import Queries

PAGE: Final = 100
"""Subscriptions that are read at once."""
_LANES = "lane IN (SELECT lane FROM lanes)"
_OPEN = "(ends_at IS NULL OR ends_at > $2)"
_COLUMNS = "lane, customer_id, subscription_id, version"


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


async def count_by_version(
    queries: Queries, product_ids: Sequence[str], now: datetime
) -> list[tuple[str, int, int]]:
    """Return (product, version, how many subscriptions that are not over have it); version 0: they
    follow the default. At most 100 products at once."""
    if not product_ids:
        return []
    marks = ", ".join(f"${number}" for number in range(2, len(product_ids) + 2))
    rows = await queries.fetch(
        f"SELECT product_id, version, count(*) FROM product_subscribers WHERE {_LANES} "
        f"AND product_id IN ({marks}) AND (ends_at IS NULL OR ends_at > $1) "
        "GROUP BY product_id, version ORDER BY product_id, version",
        to_us(now),
        *product_ids,
    )
    return [(row[0], int(row[1]), int(row[2])) for row in rows]


async def was_subscribed_to(queries: Queries, product_id: str) -> bool:
    """Tell whether anybody ever was subscribed to a product."""
    sql = f"SELECT 1 FROM product_subscribers WHERE {_LANES} AND product_id = $1 LIMIT 1"
    return bool(await queries.fetch(sql, product_id))


class Chosen(msgspec.Struct, frozen=True):
    """Which subscriptions to a product that are not over at `now`: those to one of these versions
    (0: the default's followers), those of these customers; None: all."""

    product_id: str
    now: datetime
    versions: tuple[int, ...] | None = None
    customer_ids: Sequence[str] | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition as SQL, with its values."""
        values: list[Any] = [self.product_id, to_us(self.now)]
        found = f"product_id = $1 AND {_OPEN}"
        if self.versions is not None:
            found += f" AND version IN ({', '.join(str(int(number)) for number in self.versions)})"
        if self.customer_ids is not None:
            values += self.customer_ids
            marks = ", ".join(f"${number}" for number in range(3, len(values) + 1))
            found += f" AND customer_id IN ({marks})"
        return found, values


async def list_subscribers(
    queries: Queries, chosen: Chosen, limit: int, offset: int
) -> tuple[list[Subscriber], int]:
    """Return a page of the chosen subscriptions, by customer, and how many there are in all."""
    condition, values = chosen.where()
    where = f"{_LANES} AND {condition}"
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM product_subscribers "
        f"WHERE {where} ORDER BY customer_id, subscription_id "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        *values,
    )
    return [Subscriber(*row) for row in rows], await count_chosen(queries, chosen)


async def walk_subscribers(
    queries: Queries, chosen: Chosen, lanes: Sequence[int]
) -> AsyncGenerator[list[Subscriber], None]:
    """Walk the chosen subscriptions in pages, lane by lane, each by its key: what is changed on the
    way does not move the others."""
    condition, values = chosen.where()
    lane_mark, *last_marks = [f"${len(values) + number}" for number in (1, 2, 3)]
    sql = (
        f"SELECT {_COLUMNS} FROM product_subscribers WHERE lane = {lane_mark} AND {condition} "
        f"AND (customer_id, subscription_id) > ({', '.join(last_marks)}) "
        f"ORDER BY customer_id, subscription_id LIMIT {PAGE}"
    )
    for lane in lanes:
        last = ("", "")
        while rows := await queries.fetch(sql, *values, lane, *last):
            yield [Subscriber(*row) for row in rows]
            last = (rows[-1][1], rows[-1][2])


async def count_chosen(queries: Queries, chosen: Chosen) -> int:
    """Return how many subscriptions are chosen."""
    condition, values = chosen.where()
    where = f"{_LANES} AND {condition}"
    rows = await queries.fetch(f"SELECT count(*) FROM product_subscribers WHERE {where}", *values)
    return int(rows[0][0])
