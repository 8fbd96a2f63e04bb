"""Proof that payments are booked as they stand: what the ledger has under the keys of payments has
moved what it says, out of what it says, and rows of `payments` and `payment_returns` agree with it.

Such a row is written in a transaction of its own. One that is about to be brought up to the ledger
says so (`check_at`), and is no difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from faregate.core.accounts import BREAKAGE
from faregate.core.codec import decode
from faregate.core.payments import (
    BookedPayment,
    PaymentCredit,
    PaymentReturn,
    credit_key,
    restored_key,
    return_key,
)
from faregate.core.returning import BONUS_SOURCE
from faregate.ledger.rows import read_transaction
from faregate.store import schema
from faregate.store.protocol import Queries

PAGE: Final = 20_000
TAKEN: Final = ("pending", "succeeded", "open", "lost")
_KINDS: Final = "('payment', 'payment_return')"
Wrong = tuple[str, str, str, int, int]
"""What, whose, which; what is kept and what would be right, in units, or 1 for what is there and 0
for what is not."""
Flows = dict[tuple[str, str], int]
"""Units that one transaction moved, by (from, to)."""


async def wrong_payments(queries: Queries, lane: int) -> AsyncIterator[Wrong]:
    """Compare a lane's payments with its transfers, and both with what is believed of them."""
    flows: defaultdict[tuple[str, str], Flows] = defaultdict(dict)
    for customer_id, reference, source, target, units in await queries.fetch(
        "SELECT customer_id, reference, from_account, to_account, sum(units) FROM transfers "
        "WHERE lane = $1 AND reference >= 'pmt_' AND reference < 'pmt`' "
        "GROUP BY customer_id, reference, from_account, to_account",
        lane,
    ):
        flows[customer_id, reference][source, target] = int(units)
    booked: dict[str, BookedPayment] = {}
    last = ("", "")
    columns = schema.names(schema.TRANSACTIONS)
    while True:
        rows = await queries.fetch(
            f"SELECT {columns} FROM transactions WHERE lane = $1 AND kind IN {_KINDS} "
            "AND (transaction_id, customer_id) > ($2, $3) "
            f"ORDER BY transaction_id, customer_id LIMIT {PAGE}",
            lane,
            *last,
        )
        for row in rows:
            one = read_transaction(row)
            if isinstance(one, BookedPayment):
                booked[row[0]] = one
                for wrong in _wrong_flows(one, flows[row[1], one.id]):
                    yield wrong[0], row[1], row[0], wrong[1], wrong[2]
        if len(rows) < PAGE:
            break
        last = (rows[-1][0], rows[-1][1])
    async for wrong_row in _wrong_rows(queries, lane, booked):
        yield wrong_row


def _wrong_flows(booked: BookedPayment, flows: Flows) -> list[tuple[str, int, int]]:
    request, entry = booked.request, booked.entry
    compared: list[tuple[str, int, int]] = []
    if isinstance(request, PaymentCredit):
        compared = [
            (
                "credit of a payment",
                request.units + request.broken_units,
                _out(flows, request.source),
            ),
            (
                "bonus of a payment",
                entry.bonus_units + request.bonus_broken_units,
                _out(flows, BONUS_SOURCE),
            ),
        ]
    elif isinstance(request, PaymentReturn):
        own = (request.grant_id, request.bonus_grant_id, *request.again, *request.bonus_again)
        taken = sum(units for (source, _), units in flows.items() if source in own)
        broken = flows.get((BREAKAGE, request.source), 0)
        bonus_broken = flows.get((BREAKAGE, BONUS_SOURCE), 0)
        owed = sum(flows.values()) - taken - broken - bonus_broken
        compared = [
            ("credit that went back", request.units, _into(flows, request.source)),
            ("bonus that went back", request.bonus_units, _into(flows, BONUS_SOURCE)),
            ("taken of a payment", entry.taken_units, taken),
            ("taken of what had expired", entry.broken_units, broken),
            ("taken of a bonus that had expired", entry.bonus_broken_units, bonus_broken),
            ("taken from elsewhere", entry.owed_units, owed),
        ]
    return [one for one in compared if one[1] != one[2]]


def _out(flows: Flows, account: str) -> int:
    return sum(units for (source, _), units in flows.items() if source == account)


def _into(flows: Flows, account: str) -> int:
    return sum(units for (_, target), units in flows.items() if target == account)


class _Believed(NamedTuple):
    id: str
    customer_id: str
    status: str
    terms: str
    is_watched: bool


async def _wrong_rows(
    queries: Queries, lane: int, booked: dict[str, BookedPayment]
) -> AsyncIterator[Wrong]:
    """Compare what is believed with what is booked, both ways. Takes out of `booked` what it
    has seen."""
    async for row in _believed(queries, lane, "payments"):
        is_there = booked.pop(credit_key(row.id), None) is not None
        succeeded = row.status == "succeeded"
        if is_there != succeeded and not (is_there and row.is_watched):
            yield "status of a payment", row.customer_id, row.id, succeeded, is_there
    async for row in _believed(queries, lane, "payment_returns"):
        taken = booked.pop(return_key(row.id), None)
        restored = booked.pop(restored_key(row.id), None)
        is_taken = taken is not None and restored is None
        stands = row.status in TAKEN
        if is_taken != stands and not row.is_watched:
            yield "status of what went back", row.customer_id, row.id, stands, is_taken
        if taken is not None and isinstance(taken.request, PaymentReturn):
            kept = decode(dict[str, object], row.terms)
            units = kept.get("units", 0), kept.get("bonus_units", 0)
            for name, stored, computed in (
                ("units that went back", units[0], taken.request.units),
                ("bonus units that went back", units[1], taken.request.bonus_units),
            ):
                if isinstance(stored, int) and stored != computed:
                    yield name, row.customer_id, row.id, stored, computed
    for key, one in booked.items():
        yield "payment without a row", "", key, 0, one.units


async def _believed(queries: Queries, lane: int, table: str) -> AsyncIterator[_Believed]:
    payments = "JOIN payments p ON p.id = r.payment_id" if table != "payments" else ""
    watched = "p.check_at" if payments else "r.check_at"
    # On a page on which a card is left nothing is paid.
    kinds = "" if payments else " AND r.kind <> 'setup'"
    last = ""
    while True:
        rows = await queries.fetch(
            f"SELECT r.id, r.customer_id, r.status, r.terms, {watched} FROM {table} r {payments} "
            "JOIN customers c ON c.id = r.customer_id "
            f"WHERE c.lane = $1 AND r.id > $2{kinds} ORDER BY r.id LIMIT {PAGE}",
            lane,
            last,
        )
        for row in rows:
            identifier, customer_id, status, terms, check_at = row
            yield _Believed(identifier, customer_id, status, terms, check_at is not None)
        if len(rows) < PAGE:
            return
        last = rows[-1][0]
