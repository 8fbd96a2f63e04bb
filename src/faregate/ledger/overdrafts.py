"""Who has used more than they had: of each account that is below zero, by how much (`overdrafts`).
A list of its own, because it is asked for by everybody who opens the dashboard, and to find a few
among all wallets would take reading all of them. It is brought up to date with the sums, for those
customers whose transfers these come across.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from faregate.store.protocol import Queries

_CHUNK: Final = 200


class Overdraft(NamedTuple):
    """An account below zero: `units` above 0, of the asset's scale."""

    customer_id: str
    asset: str
    units: int


async def moved_customers(queries: Queries, lane: int, after: int, upto: int) -> list[str]:
    """Return whose transfers have these numbers."""
    found = await queries.fetch(
        "SELECT DISTINCT customer_id FROM transfers WHERE lane = $1 AND seq > $2 AND seq <= $3 "
        "ORDER BY customer_id",
        lane,
        after,
        upto,
    )
    return [row[0] for row in found]


async def look_again(queries: Queries, lane: int, customers: Sequence[str]) -> None:
    """Write down where the accounts of customers stand now."""
    for start in range(0, len(customers), _CHUNK):
        chunk = customers[start : start + _CHUNK]
        marks = ", ".join(f"${n}" for n in range(2, len(chunk) + 2))
        found = await queries.fetch(
            "SELECT a.customer_id, a.account_id, a.overdraft_units, c.environment_id "
            "FROM wallet_accounts a JOIN customers c ON c.id = a.customer_id "
            f"WHERE a.lane = $1 AND a.customer_id IN ({marks}) AND a.overdraft_units > 0",
            lane,
            *chunk,
        )
        known = await queries.fetch(
            "SELECT customer_id, account_id, units FROM overdrafts "
            f"WHERE lane = $1 AND customer_id IN ({marks})",
            lane,
            *chunk,
        )
        before = {(row[0], row[1]): row[2] for row in known}
        for customer_id, account_id, units, environment_id in found:
            was = before.pop((customer_id, account_id), None)
            if was != units:
                await _write(queries, lane, customer_id, account_id, units, environment_id)
        for customer_id, account_id in before:
            await queries.fetch(
                "DELETE FROM overdrafts WHERE lane = $1 AND customer_id = $2 AND account_id = $3",
                lane,
                customer_id,
                account_id,
            )


async def _write(queries: Queries, lane: int, *row: Any) -> None:
    customer_id, account_id, units, environment_id = row
    await queries.fetch(
        "INSERT INTO overdrafts (lane, customer_id, account_id, environment_id, asset, units) "
        "VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (lane, customer_id, account_id) DO UPDATE SET units = excluded.units",
        lane,
        customer_id,
        account_id,
        environment_id,
        account_id.rpartition(":")[2],
        units,
    )


async def count_overdrawn(queries: Queries, environment_id: int) -> int:
    """Return how many customers have an account below zero."""
    found = await queries.fetch(
        "SELECT count(DISTINCT customer_id) FROM overdrafts WHERE environment_id = $1",
        environment_id,
    )
    return int(found[0][0])


async def deepest(queries: Queries, environment_id: int, limit: int) -> list[Overdraft]:
    """Return the accounts that are lowest, so many of each asset."""
    assets = await queries.fetch(
        "SELECT DISTINCT asset FROM overdrafts WHERE environment_id = $1 ORDER BY asset",
        environment_id,
    )
    found: list[Overdraft] = []
    for (asset,) in assets:
        rows = await queries.fetch(
            "SELECT customer_id, asset, units FROM overdrafts WHERE environment_id = $1 "
            f"AND asset = $2 ORDER BY units DESC, customer_id LIMIT {int(limit)}",
            environment_id,
            asset,
        )
        found += [Overdraft(row[0], row[1], row[2]) for row in rows]
    return found
