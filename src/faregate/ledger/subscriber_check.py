"""Proof that a product's list of subscribers agrees with the subscriptions themselves: a version
that somebody has must not look as if nobody had it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from faregate.core.codec import decode
from faregate.core.rules import CustomerRules
from faregate.core.subscriptions import Subscription
from faregate.ledger.rows import read_subscription, subscriber_rows
from faregate.store import schema
from faregate.store.protocol import Queries, Row

PAGE: Final = 20_000
Wrong = tuple[str, str, str, int, int]
"""What, whose, which; what is listed and what would be right: versions (0 follows the default),
ends (0: none), or 1 for what is there and 0 for what is not."""


async def wrong_subscribers(queries: Queries, lane: int) -> AsyncIterator[Wrong]:
    """Compare a lane's list of subscribers with its subscriptions, both ways."""
    listed: dict[tuple[str, str, str], Row] = {}
    async for row in _pages(queries, lane, schema.PRODUCT_SUBSCRIBERS):
        product_id, customer_id, subscription_id, *rest = row
        listed[product_id, customer_id, subscription_id] = rest
    async for row in _pages(queries, lane, schema.SUBSCRIPTIONS):
        customer_id, subscription = row[0], read_subscription(row)
        for product_id in dict.fromkeys(b.product_id for b in subscription.bindings):
            name = f"{product_id} in {subscription.id}"
            found = listed.pop((product_id, customer_id, subscription.id), None)
            if found is None:
                yield "subscriber who is not listed", customer_id, name, 0, 1
                continue
            version, following, ends_at = found
            right = _possible(customer_id, subscription, product_id)
            newest, _, right_end = right[-1]
            if (version, following) not in [possible[:2] for possible in right]:
                yield "version of a subscriber", customer_id, name, version, newest
            if ends_at != right_end and not (
                ends_at in (None, 0) and await _is_on_clock(queries, lane, customer_id)
            ):
                yield "end of a subscriber", customer_id, name, ends_at or 0, right_end or 0
    for product_id, customer_id, subscription_id in listed:
        name = f"{product_id} in {subscription_id}"
        yield "subscriber without a subscription", customer_id, name, 1, 0


def _possible(
    customer_id: str, subscription: Subscription, product_id: str
) -> list[tuple[int, int | None, int | None]]:
    """Return what may be listed of a product (version, next one, end), the newest last: what was
    planned when it was written may have begun since."""
    begun = [b.from_at for b in subscription.bindings if b.product_id == product_id][-2:]
    return [
        (row[3], row[4], row[5])
        for at in begun
        for row in subscriber_rows(customer_id, subscription, at)
        if row[0] == product_id
    ]


async def _is_on_clock(queries: Queries, lane: int, customer_id: str) -> bool:
    rows = await queries.fetch(
        "SELECT rules FROM customer_rules WHERE lane = $1 AND customer_id = $2", lane, customer_id
    )
    return any(decode(CustomerRules, row[0]).clock_id is not None for row in rows)


async def _pages(queries: Queries, lane: int, table: schema.HotTable) -> AsyncIterator[Row]:
    """Walk a table of the lane in the order of its key, the columns of which come first."""
    key = ", ".join(table.key)
    marks = ", ".join(f"${number}" for number in range(2, len(table.key) + 2))
    last: list[Any] = [""] * len(table.key)
    while True:
        rows = await queries.fetch(
            f"SELECT {schema.names(table)} FROM {table.name} WHERE lane = $1 "
            f"AND ({key}) > ({marks}) ORDER BY {key} LIMIT {PAGE}",
            lane,
            *last,
        )
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        last = list(rows[-1][: len(table.key)])
