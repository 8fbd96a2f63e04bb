"""What the seller's own system has told of payments: one row for each payment and each refund, each
under the seller's own id, so each is told once. A refund may be there before its payment: it waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from faregate.core.instants import to_us
from faregate.store.protocol import Queries

MAX_REFUNDS: Final = 1000
"""Of one payment."""


class ToldPayment(msgspec.Struct, frozen=True):
    """A payment under the seller's `ref`, which is our `payment_id`: whole minor units of a
    currency."""

    environment_id: int
    ref: str
    payment_id: str
    minor: int
    currency: str


class ToldRefund(msgspec.Struct, frozen=True):
    """A refund of the payment `ref`, under the seller's `refund_ref`."""

    environment_id: int
    ref: str
    refund_ref: str
    minor: int
    currency: str


async def insert_payment(queries: Queries, one: ToldPayment, now: datetime) -> None:
    """Write a payment down. Raises `DuplicateKey`."""
    await queries.fetch(
        "INSERT INTO external_payments (environment_id, ref, payment_id, minor, currency, "
        "created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        *msgspec.structs.astuple(one),
        to_us(now),
    )


async def insert_refund(queries: Queries, one: ToldRefund, now: datetime) -> None:
    """Write a refund down. Raises `DuplicateKey`."""
    await queries.fetch(
        "INSERT INTO external_refunds (environment_id, ref, refund_ref, minor, currency, "
        "created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        *msgspec.structs.astuple(one),
        to_us(now),
    )


async def find_payment(queries: Queries, environment_id: int, ref: str) -> ToldPayment | None:
    """Find a payment by what the seller calls it."""
    rows = await queries.fetch(
        "SELECT environment_id, ref, payment_id, minor, currency FROM external_payments "
        "WHERE environment_id = $1 AND ref = $2",
        environment_id,
        ref,
    )
    return ToldPayment(*rows[0]) if rows else None


async def find_by_payment(
    queries: Queries, environment_id: int, payment_id: str
) -> ToldPayment | None:
    """Find a payment by our id."""
    rows = await queries.fetch(
        "SELECT environment_id, ref, payment_id, minor, currency FROM external_payments "
        "WHERE payment_id = $2 AND environment_id = $1",
        environment_id,
        payment_id,
    )
    return ToldPayment(*rows[0]) if rows else None


async def find_refund(
    queries: Queries, environment_id: int, ref: str, refund_ref: str
) -> ToldRefund | None:
    """Find a refund by what the seller calls it."""
    rows = await queries.fetch(
        "SELECT environment_id, ref, refund_ref, minor, currency FROM external_refunds "
        "WHERE environment_id = $1 AND ref = $2 AND refund_ref = $3",
        environment_id,
        ref,
        refund_ref,
    )
    return ToldRefund(*rows[0]) if rows else None


async def count_refunds(queries: Queries, environment_id: int, ref: str) -> int:
    """Return how many refunds of a payment were told."""
    rows = await queries.fetch(
        "SELECT count(*) FROM external_refunds WHERE environment_id = $1 AND ref = $2",
        environment_id,
        ref,
    )
    return int(rows[0][0])


async def list_refunds(queries: Queries, environment_id: int, ref: str) -> Sequence[ToldRefund]:
    """Return the refunds of a payment, as they were told."""
    rows = await queries.fetch(
        "SELECT environment_id, ref, refund_ref, minor, currency FROM external_refunds "
        "WHERE environment_id = $1 AND ref = $2 ORDER BY created_at, refund_ref "
        f"LIMIT {MAX_REFUNDS}",
        environment_id,
        ref,
    )
    return [ToldRefund(*row) for row in rows]
