"""Where each payment stands: one row per payment, one per refund or dispute of it. What is promised
(how many units, at which rate, with which bonus) is settled when the payment begins, and kept.

A row says what is believed; what is true is in the ledger, which books each payment under its own
key. So a row that was not written after a crash is written by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from faregate.core.bonuses import Bonus
from faregate.core.codec import decode, encode
from faregate.core.instants import from_us, to_us
from faregate.core.payments import ReturnReason
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.payments.provider import ReturnStatus
from faregate.payments.types import FINAL, Kind, Status
from faregate.store.protocol import Queries, Row

CHECK_AFTER: Final = (60, 120, 300, 900, 3600, 3 * 3600)
"""Seconds until a provider is asked again what has become of a payment of which it says nothing;
the last again and again."""
UNANSWERED_SECONDS: Final = 300
"""The longest wait until a provider is asked again that did not answer."""
PATIENCE: Final = timedelta(days=3)
"""How long after its end a payment is still looked up: money may be on its way so long."""


class PaidBy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a card may be shown on a receipt."""

    brand: str | None = None
    last4: str | None = None


class PaymentTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was settled when a payment began, and what of it nobody searches for."""

    return_url: str = ""
    failure_url: str = ""
    redirect_url: str = ""
    description: str | None = None
    metadata: dict[str, str] | None = None
    rate: Decimal | None = None
    credit_expires_at: datetime | None = None
    bonus: Bonus | None = None
    method_id: str | None = None
    subscription_id: str | None = None
    card: PaidBy | None = None
    paid_at: datetime | None = None


class PaymentRecord(msgspec.Struct, frozen=True):
    """A payment. `amount_units` (> 0) of `currency` are asked, `units` of the account promised."""

    id: str
    environment_id: int
    customer_id: str
    kind: Kind
    status: Status
    provider: str
    checkout_ref: str | None
    payment_ref: str | None
    currency: str
    amount_units: int
    account_id: str
    units: int
    terms: PaymentTerms
    problem: str | None
    created_at: datetime
    expires_at: datetime
    updated_at: datetime
    check_at: datetime | None = None
    checks: int = 0

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more is expected, except money that goes back."""
        return self.status in FINAL


class ReturnTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a refund or dispute: what the ledger took, in units of the account (of the payment's own
    credit, and of the bonus), and why it was asked for."""

    units: int = 0
    bonus_units: int = 0
    description: str | None = None
    problem: str | None = None


class ReturnRecord(msgspec.Struct, frozen=True):
    """Money that goes back: `amount_units` of the payment's currency. `ref` is the provider's."""

    id: str
    payment_id: str
    environment_id: int
    customer_id: str
    reason: ReturnReason
    status: ReturnStatus
    ref: str | None
    amount_units: int
    terms: ReturnTerms
    created_at: datetime
    updated_at: datetime


_COLUMNS: Final = (
    "id, environment_id, customer_id, kind, status, provider, checkout_ref, payment_ref, currency, "
    "amount_units, account_id, units, terms, problem, created_at, expires_at, updated_at, "
    "check_at, checks"
)
_RETURN_COLUMNS: Final = (
    "id, payment_id, environment_id, customer_id, reason, status, ref, amount_units, terms, "
    "created_at, updated_at"
)


def _read(row: Row) -> PaymentRecord:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    for name in ("created_at", "expires_at", "updated_at", "check_at"):
        values[name] = None if values[name] is None else from_us(values[name])
    return PaymentRecord(**{**values, "terms": decode(PaymentTerms, values["terms"])})


def _read_return(row: Row) -> ReturnRecord:
    values = dict(zip(_RETURN_COLUMNS.split(", "), row, strict=True))
    for name in ("created_at", "updated_at"):
        values[name] = from_us(values[name])
    return ReturnRecord(**{**values, "terms": decode(ReturnTerms, values["terms"])})


async def insert_payment(queries: Queries, record: PaymentRecord) -> None:
    """Write a new payment. Raises `DuplicateKey`."""
    values = (
        record.id,
        record.environment_id,
        record.customer_id,
        record.kind,
        record.status,
        record.provider,
        record.checkout_ref,
        record.payment_ref,
        record.currency,
        record.amount_units,
        record.account_id,
        record.units,
        encode(record.terms).decode(),
        record.problem,
        to_us(record.created_at),
        to_us(record.expires_at),
        to_us(record.updated_at),
        None if record.check_at is None else to_us(record.check_at),
        record.checks,
    )
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await queries.fetch(f"INSERT INTO payments ({_COLUMNS}) VALUES ({marks})", *values)


async def update_payment(queries: Queries, record: PaymentRecord) -> None:
    """Write what may change of a payment. One that has succeeded stays so, whoever is late."""
    await queries.fetch(
        "UPDATE payments SET status = CASE WHEN status = 'succeeded' THEN status ELSE $2 END, "
        "checkout_ref = coalesce($3, checkout_ref), payment_ref = coalesce($4, payment_ref), "
        "terms = $5, problem = $6, expires_at = $7, updated_at = $8, check_at = $9, checks = $10 "
        "WHERE id = $1",
        record.id,
        record.status,
        record.checkout_ref,
        record.payment_ref,
        encode(record.terms).decode(),
        record.problem,
        to_us(record.expires_at),
        to_us(record.updated_at),
        None if record.check_at is None else to_us(record.check_at),
        record.checks,
    )


async def find_payment(
    queries: Queries, payment_id: str, environment_id: int | None
) -> PaymentRecord:
    """Find a payment of an environment (None: of whichever, for ourselves). Raises 404."""
    rows = await queries.fetch(f"SELECT {_COLUMNS} FROM payments WHERE id = $1", payment_id)
    if not rows or (environment_id is not None and rows[0][1] != environment_id):
        raise FaregateError(Problem(NOT_FOUND, f"there is no payment {payment_id[:100]!r}"))
    return _read(rows[0])


async def is_known(queries: Queries, payment_id: str) -> bool:
    """Tell whether there is a payment of ours with this id."""
    return bool(await queries.fetch("SELECT 1 FROM payments WHERE id = $1", payment_id))


async def find_told(
    queries: Queries, provider: str, payment_id: str | None, ref: str | None
) -> PaymentRecord | None:
    """Find the payment that a provider's message is about, by our id or by what the provider calls
    it; None if it is no payment of ours, or another provider's."""
    if payment_id is None:
        return None if ref is None else await find_by_ref(queries, provider, ref)
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM payments WHERE id = $1 AND provider = $2", payment_id, provider
    )
    return _read(rows[0]) if rows else None


async def find_by_ref(queries: Queries, provider: str, ref: str) -> PaymentRecord | None:
    """Find a payment by what its provider calls it, or its page."""
    for column in ("payment_ref", "checkout_ref"):
        rows = await queries.fetch(
            f"SELECT {_COLUMNS} FROM payments WHERE provider = $1 AND {column} = $2", provider, ref
        )
        if rows:
            return _read(rows[0])
    return None


async def list_payments(
    queries: Queries, environment_id: int, customer_id: str | None, limit: int, offset: int
) -> tuple[list[PaymentRecord], int]:
    """Return a page of payments, the newest first, and how many there are in all."""
    where = "environment_id = $1 AND kind <> 'setup'"
    given: list[int | str] = [environment_id]
    if customer_id is not None:
        where += " AND customer_id = $2"
        given.append(customer_id)
    total = await queries.fetch(f"SELECT count(*) FROM payments WHERE {where}", *given)
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM payments WHERE {where} ORDER BY id DESC "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        *given,
    )
    return [_read(row) for row in rows], int(total[0][0])


_FAILED: Final = (
    "FROM payments WHERE environment_id = $1 AND status = 'failed' AND updated_at >= $2 "
    "AND kind <> 'setup'"
)


async def count_failed(queries: Queries, environment_id: int, since: datetime) -> int:
    """Return how many payments have failed since an instant."""
    found = await queries.fetch(f"SELECT count(*) {_FAILED}", environment_id, to_us(since))
    return int(found[0][0])


async def list_failed(
    queries: Queries, environment_id: int, since: datetime, limit: int
) -> list[PaymentRecord]:
    """Return the payments that have failed since an instant, the newest failures first."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} {_FAILED} ORDER BY updated_at DESC, id LIMIT {int(limit)}",
        environment_id,
        to_us(since),
    )
    return [_read(row) for row in rows]


async def list_begun(
    queries: Queries, environment_id: int, customer_id: str, kind: Kind, since: datetime, limit: int
) -> list[PaymentRecord]:
    """Return a customer's payments of a kind that began after an instant, the newest first."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM payments WHERE environment_id = $1 AND customer_id = $2 "
        f"AND kind = $3 AND created_at > $4 ORDER BY id DESC LIMIT {int(limit)}",
        environment_id,
        customer_id,
        kind,
        to_us(since),
    )
    return [_read(row) for row in rows]


async def claim_payments(queries: Queries, now: datetime, limit: int) -> list[str]:
    """Return the ids of payments of which the provider is to be asked now, the longest due first.
    They are claimed: nobody else is told of them for a minute, in which the next check is set."""
    rows = await queries.fetch(
        "SELECT id, check_at FROM payments WHERE check_at <= $1 "
        f"ORDER BY check_at LIMIT {int(limit)}",
        to_us(now),
    )
    until, claimed = to_us(now + timedelta(seconds=CHECK_AFTER[0])), []
    for payment_id, check_at in rows:
        mine = await queries.fetch(
            "UPDATE payments SET check_at = $3 WHERE id = $1 AND check_at = $2 RETURNING id",
            payment_id,
            check_at,
            until,
        )
        claimed += [row[0] for row in mine]
    return claimed


async def is_payment_due(queries: Queries, now: datetime) -> bool:
    """Tell whether some payment's provider is to be asked now."""
    sql = "SELECT id FROM payments WHERE check_at <= $1 LIMIT 1"
    return bool(await queries.fetch(sql, to_us(now)))


def next_check(record: PaymentRecord, now: datetime) -> datetime:
    """Return when a provider is asked again about a payment of which it says nothing new."""
    return now + timedelta(seconds=CHECK_AFTER[min(record.checks, len(CHECK_AFTER) - 1)])


def checked(record: PaymentRecord, now: datetime) -> PaymentRecord:
    """Return the payment with when its provider is asked next; no more, once its end is so long ago
    that no money can come, or it has come and nobody waits for what goes back of it."""
    check_at: datetime | None = next_check(record, now)
    if record.status == "succeeded":
        check_at = None if record.check_at is None else check_at
    elif now > record.expires_at + PATIENCE:
        check_at = None
    return msgspec.structs.replace(record, check_at=check_at, checks=record.checks + 1)


def unanswered(record: PaymentRecord, now: datetime) -> PaymentRecord:
    """Return the payment with when its provider, which did not answer, is asked again: soon, so
    that what was paid meanwhile counts as soon as the provider is back."""
    wait = min(CHECK_AFTER[min(record.checks, len(CHECK_AFTER) - 1)], UNANSWERED_SECONDS)
    return msgspec.structs.replace(record, check_at=now + timedelta(seconds=wait))


async def insert_return(queries: Queries, record: ReturnRecord) -> None:
    """Write a refund or a dispute. Raises `DuplicateKey`."""
    await queries.fetch(
        f"INSERT INTO payment_returns ({_RETURN_COLUMNS}) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        record.id,
        record.payment_id,
        record.environment_id,
        record.customer_id,
        record.reason,
        record.status,
        record.ref,
        record.amount_units,
        encode(record.terms).decode(),
        to_us(record.created_at),
        to_us(record.updated_at),
    )


async def update_return(queries: Queries, record: ReturnRecord) -> None:
    """Write what may change of a refund or a dispute."""
    await queries.fetch(
        "UPDATE payment_returns SET status = $2, ref = coalesce($3, ref), terms = $4, "
        "updated_at = $5 WHERE id = $1",
        record.id,
        record.status,
        record.ref,
        encode(record.terms).decode(),
        to_us(record.updated_at),
    )


async def ask_again(queries: Queries, payment_id: str, at: datetime) -> None:
    """Let the provider be asked about a payment at an instant, if not before: whoever dies before
    what goes back is booked is followed by somebody else. Two who do this to one payment in their
    transactions do so one after the other."""
    await queries.fetch(
        "UPDATE payments SET check_at = CASE WHEN check_at < $2 THEN check_at ELSE $2 END "
        "WHERE id = $1",
        payment_id,
        to_us(at),
    )


async def find_return(queries: Queries, return_id: str) -> ReturnRecord:
    """Find a refund or a dispute of ours."""
    rows = await queries.fetch(
        f"SELECT {_RETURN_COLUMNS} FROM payment_returns WHERE id = $1", return_id
    )
    return _read_return(rows[0])


async def list_returns(queries: Queries, payment_id: str) -> Sequence[ReturnRecord]:
    """Return what has gone back of a payment, or is about to, the oldest first."""
    rows = await queries.fetch(
        f"SELECT {_RETURN_COLUMNS} FROM payment_returns WHERE payment_id = $1 ORDER BY id",
        payment_id,
    )
    return [_read_return(row) for row in rows]
