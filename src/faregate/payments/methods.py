"""Cards that customers have saved. We keep what a provider calls a card, its brand, the last digits
of its number and its end; never the number. Of a customer's cards one is the default: it pays what
is collected by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.instants import from_us, to_us
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.payments.provider import SavedCard
from faregate.store.protocol import Queries, Row

MAX_CARDS: Final = 20
"""Cards of one customer that are kept; with one more, the oldest that is no default goes."""


class PaymentMethod(msgspec.Struct, frozen=True):
    """A saved card of a customer."""

    id: str
    environment_id: int
    customer_id: str
    provider: str
    card: SavedCard
    is_default: bool
    created_at: datetime


_COLUMNS: Final = "id, environment_id, customer_id, provider, card, is_default, created_at"
_OF_CUSTOMER: Final = "environment_id = $1 AND customer_id = $2"


def _read(row: Row) -> PaymentMethod:
    identifier, environment, customer, provider, card, is_default, created_at = row
    return PaymentMethod(
        identifier,
        environment,
        customer,
        provider,
        decode(SavedCard, card),
        bool(is_default),
        from_us(created_at),
    )


async def keep_card(queries: Queries, method: PaymentMethod) -> None:
    """Keep a card; one that is there under the provider's name for it gets what is new of it. The
    first one becomes the default, and so does one that says so."""
    known = await list_methods(queries, method.environment_id, method.customer_id)
    await queries.fetch(
        "INSERT INTO payment_methods (id, environment_id, customer_id, provider, method_ref, card, "
        "is_default, created_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7) "
        "ON CONFLICT (environment_id, customer_id, provider, method_ref) "
        "DO UPDATE SET card = excluded.card",
        method.id,
        method.environment_id,
        method.customer_id,
        method.provider,
        method.card.method_ref,
        encode(method.card).decode(),
        to_us(method.created_at),
    )
    if method.is_default or not any(one.is_default for one in known):
        await _make_default(queries, method, "method_ref", method.card.method_ref)
    others = [one for one in known if not one.is_default]
    for one in others[MAX_CARDS - 1 :]:
        await queries.fetch("DELETE FROM payment_methods WHERE id = $1", one.id)


async def _make_default(queries: Queries, method: PaymentMethod, column: str, value: str) -> None:
    await queries.fetch(
        f"UPDATE payment_methods SET is_default = CASE WHEN {column} = $3 THEN 1 ELSE 0 END "
        f"WHERE {_OF_CUSTOMER}",
        method.environment_id,
        method.customer_id,
        value,
    )


async def list_methods(
    queries: Queries, environment_id: int, customer_id: str
) -> list[PaymentMethod]:
    """Return a customer's cards: the default first, then the newest first. There are few."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM payment_methods WHERE {_OF_CUSTOMER} "
        "ORDER BY is_default DESC, id DESC",
        environment_id,
        customer_id,
    )
    return [_read(row) for row in rows]


async def find_method(
    queries: Queries, environment_id: int, customer_id: str, method_id: str
) -> PaymentMethod:
    """Return one of a customer's cards. Raises 404."""
    for method in await list_methods(queries, environment_id, customer_id):
        if method.id == method_id:
            return method
    detail = f"the customer has no payment method {method_id[:100]!r}"
    raise FaregateError(Problem(NOT_FOUND, detail))


async def make_default(queries: Queries, method: PaymentMethod) -> None:
    """Let a card pay what is collected by itself, instead of the one that did."""
    await _make_default(queries, method, "id", method.id)


async def remove_method(queries: Queries, method: PaymentMethod) -> None:
    """Forget a card; if it was the default, the newest of the others is it now."""
    await queries.fetch("DELETE FROM payment_methods WHERE id = $1", method.id)
    left = await list_methods(queries, method.environment_id, method.customer_id)
    if left and not left[0].is_default:
        await make_default(queries, left[0])
