"""First answers under a caller's `Idempotency-Key`, for requests that have no key of their own.
The answer is written in the transaction of what it tells, so either both exist or neither.
"""

from __future__ import annotations

from faregate.store.protocol import Queries


async def first_answer(
    queries: Queries, environment_id: int, key: str
) -> tuple[str, str, str] | None:
    """Return (operation, request, answer) of a key's first use; None if there is none yet.

    Request and answer are JSON.
    """
    rows = await queries.fetch(
        "SELECT operation, request, answer FROM idempotency_keys "
        "WHERE environment_id = $1 AND idempotency_key = $2",
        environment_id,
        key,
    )
    return (rows[0][0], rows[0][1], rows[0][2]) if rows else None


async def remember_answer(
    queries: Queries,
    environment_id: int,
    key: str,
    operation: str,
    request: str,
    answer: str,
    now_us: int,
) -> None:
    """Write the answer. Raises `DuplicateKey` if somebody else was faster."""
    await queries.fetch(
        "INSERT INTO idempotency_keys "
        "(environment_id, idempotency_key, operation, request, answer, created_at) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        environment_id,
        key,
        operation,
        request,
        answer,
        now_us,
    )
