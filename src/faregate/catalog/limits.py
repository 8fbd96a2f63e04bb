"""Limits that an account sets for all of its customers, or for those of a cohort. They are part of
the catalog: every lane's next commit knows of a change.
"""

from __future__ import annotations

from faregate.core.codec import decode, encode
from faregate.core.limits import MAX_LIMITS, Limit
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.core.subscriptions import CatalogView
from faregate.store.protocol import Queries


def find_limit(catalog: CatalogView, limit_id: str) -> Limit:
    """Return one of an account's limits. Raises 404."""
    found = next((limit for limit in catalog.limits if limit.id == limit_id), None)
    if found is None:
        raise _unknown(limit_id)
    return found


def _unknown(limit_id: str) -> FaregateError:
    return FaregateError(Problem(NOT_FOUND, f"there is no limit {limit_id[:100]!r}"))


async def insert_limit(queries: Queries, environment_id: int, limit: Limit) -> Limit:
    """Write a new limit (inside a transaction that also raises the catalog's epoch). Raises 409
    if there are `MAX_LIMITS` already."""
    counted = await queries.fetch(
        "SELECT count(*) FROM account_limits WHERE environment_id = $1", environment_id
    )
    if counted[0][0] >= MAX_LIMITS:
        detail = f"the account has {MAX_LIMITS} limits: delete one first"
        raise FaregateError(conflict("account_id", detail))
    await queries.fetch(
        "INSERT INTO account_limits (environment_id, limit_id, terms) VALUES ($1, $2, $3)",
        environment_id,
        limit.id,
        encode(limit).decode(),
    )
    return limit


async def read_limit(queries: Queries, environment_id: int, limit_id: str) -> Limit:
    """Read one of an account's limits where it is about to be changed: somebody else may have done
    so. Raises 404."""
    found = await queries.fetch(
        "SELECT terms FROM account_limits WHERE environment_id = $1 AND limit_id = $2",
        environment_id,
        limit_id,
    )
    if not found:
        raise _unknown(limit_id)
    return decode(Limit, found[0][0])


async def update_limit(queries: Queries, environment_id: int, limit: Limit) -> None:
    """Write a limit's new terms."""
    await queries.fetch(
        "UPDATE account_limits SET terms = $3 WHERE environment_id = $1 AND limit_id = $2",
        environment_id,
        limit.id,
        encode(limit).decode(),
    )


async def delete_limit(queries: Queries, environment_id: int, limit_id: str) -> None:
    """Take a limit away."""
    await queries.fetch(
        "DELETE FROM account_limits WHERE environment_id = $1 AND limit_id = $2",
        environment_id,
        limit_id,
    )
