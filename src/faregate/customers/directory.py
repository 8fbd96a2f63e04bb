"""The directory of customers: names, external ids, which lane. Balances are not kept here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.instants import from_us, to_us
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict, invalid
from faregate.customers.searching import folded
from faregate.customers.types import CreateCustomer, ExternalAccount, UpdateCustomer
from faregate.store.protocol import DuplicateKey, Queries, Row

_COLUMNS: Final = (
    "id, lane, external_id, name, email, metadata, external_accounts, created_at, test_clock_id"
)
_NAMES_AT_ONCE: Final = 500


class CustomerRow(msgspec.Struct, frozen=True):
    """A customer as the directory has it."""

    id: str
    lane: int
    external_id: str | None
    name: str
    email: str | None
    metadata: dict[str, str] | None
    external_accounts: list[ExternalAccount] | None
    created_at: datetime


def _read(row: Row) -> CustomerRow:
    identifier, lane, external_id, name, email, metadata, accounts, created_at, _ = row
    return CustomerRow(
        identifier,
        lane,
        external_id,
        name,
        email,
        None if metadata is None else decode(dict[str, str], metadata),
        None if accounts is None else decode(list[ExternalAccount], accounts),
        from_us(created_at),
    )


def _taken(external_id: str | None) -> FaregateError:
    detail = f"external_id {external_id!r} belongs to another customer: use another one"
    return FaregateError(conflict("external_id", detail))


async def insert_customer(
    queries: Queries,
    environment_id: int,
    customer_id: str,
    lane: int,
    request: CreateCustomer,
    now: datetime,
) -> None:
    """Write a customer. Raises 409 if the external id is taken."""
    try:
        await queries.fetch(
            f"INSERT INTO customers (environment_id, {_COLUMNS}, search_text) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            environment_id,
            customer_id,
            lane,
            request.external_id,
            request.name,
            request.email,
            None if request.metadata is None else encode(request.metadata).decode(),
            None
            if request.external_accounts is None
            else encode(request.external_accounts).decode(),
            to_us(now),
            request.test_clock_id,
            folded(request.name, request.external_id, request.email),
        )
    except DuplicateKey:
        raise _taken(request.external_id) from None


async def check_external_id(queries: Queries, environment_id: int, external_id: str) -> None:
    """Raise 409 if the external id is taken."""
    if await queries.fetch(
        "SELECT id FROM customers WHERE environment_id = $1 AND external_id = $2",
        environment_id,
        external_id,
    ):
        raise _taken(external_id)


async def find_customer(queries: Queries, environment_id: int, customer_id: str) -> CustomerRow:
    """Find a customer by id. Raises 404, also for another environment's customer."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM customers WHERE id = $1 AND environment_id = $2",
        customer_id,
        environment_id,
    )
    if not rows:
        raise FaregateError(Problem(NOT_FOUND, f"there is no customer {customer_id!r}"))
    return _read(rows[0])


async def read_customers(
    queries: Queries, environment_id: int, customer_ids: Sequence[str]
) -> dict[str, CustomerRow]:
    """Return customers by id, those that there are; at most a page of them."""
    if not customer_ids:
        return {}
    marks = ", ".join(f"${n}" for n in range(2, len(customer_ids) + 2))
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM customers WHERE environment_id = $1 AND id IN ({marks})",
        environment_id,
        *customer_ids,
    )
    return {row[0]: _read(row) for row in rows}


async def find_by_external_id(queries: Queries, environment_id: int, external_id: str) -> str:
    """Return the id of the customer with this external id. Raises 422."""
    rows = await queries.fetch(
        "SELECT id FROM customers WHERE environment_id = $1 AND external_id = $2",
        environment_id,
        external_id,
    )
    if not rows:
        raise FaregateError(
            invalid(
                "customer_external_id", f"{external_id!r} is unknown: create the customer first"
            )
        )
    return str(rows[0][0])


async def find_named(
    queries: Queries,
    environment_id: int,
    names: Sequence[str],
    by: Literal["external_id", "id", "either"],
) -> dict[str, str]:
    """Return the ids of customers by what they are called, of those that there are: by external id,
    by id, or either; an external id goes before an id."""
    found: dict[str, str] = {}
    for column in ("id", "external_id"):
        if by in (column, "either"):
            for start in range(0, len(names), _NAMES_AT_ONCE):
                part = names[start : start + _NAMES_AT_ONCE]
                marks = ", ".join(f"${n}" for n in range(2, len(part) + 2))
                rows = await queries.fetch(
                    f"SELECT {column}, id FROM customers "
                    f"WHERE environment_id = $1 AND {column} IN ({marks})",
                    environment_id,
                    *part,
                )
                found.update((row[0], row[1]) for row in rows)
    return found


async def update_customer(
    queries: Queries, environment_id: int, customer_id: str, request: UpdateCustomer
) -> None:
    """Change what is given. Raises 404, 409."""
    known = await find_customer(queries, environment_id, customer_id)
    search_text = folded(
        known.name if request.name is None else request.name,
        known.external_id if request.external_id is None else request.external_id,
        known.email if request.email is None else request.email,
    )
    try:
        await queries.fetch(
            "UPDATE customers SET name = COALESCE($3, name), email = COALESCE($4, email), "
            "external_id = COALESCE($5, external_id), metadata = COALESCE($6, metadata), "
            "search_text = $7 WHERE id = $1 AND environment_id = $2",
            customer_id,
            environment_id,
            request.name,
            request.email,
            request.external_id,
            None if request.metadata is None else encode(request.metadata).decode(),
            search_text,
        )
    except DuplicateKey:
        raise _taken(request.external_id) from None


async def list_customers(
    queries: Queries,
    environment_id: int,
    filters: Mapping[str, str],
    limit: int,
    offset: int,
    now: datetime,
) -> tuple[list[CustomerRow], int]:
    """Return a page of customers, the newest first, and how many there are in all.

    Filters: `customer_id`, `external_id`, `email` match whole, `name` any part of it;
    `status` is `active` for customers that have an active subscription, else `inactive`.
    """
    where, parameters = ["environment_id = $1"], [environment_id]
    columns = {"customer_id": "id", "external_id": "external_id", "email": "email"}
    values: list[Any] = list(parameters)
    for field, value in filters.items():
        values.append(to_us(now) if field == "status" else value)
        if field == "status":
            has = "" if value == "active" else "NOT "
            mark = f"${len(values)}"
            where.append(
                f"{has}EXISTS (SELECT 1 FROM subscriptions s WHERE s.lane = customers.lane "
                f"AND s.customer_id = customers.id AND s.active_from <= {mark} "
                f"AND (s.active_to IS NULL OR s.active_to > {mark}))"
            )
        elif field == "name":
            values[-1] = re.sub(r"([\\%_])", r"\\\1", value)
            where.append(f"lower(name) LIKE '%' || lower(${len(values)}) || '%' ESCAPE '\\'")
        else:
            where.append(f"{columns[field]} = ${len(values)}")
    condition = " AND ".join(where)
    total = await queries.fetch(f"SELECT count(*) FROM customers WHERE {condition}", *values)
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM customers WHERE {condition} "
        f"ORDER BY id DESC LIMIT {int(limit)} OFFSET {int(offset)}",
        *values,
    )
    return [_read(row) for row in rows], int(total[0][0])


async def count_customers(queries: Queries, environment_id: int) -> int:
    """Return how many customers there are."""
    found = await queries.fetch(
        "SELECT count(*) FROM customers WHERE environment_id = $1", environment_id
    )
    return int(found[0][0])


async def names(
    queries: Queries, environment_id: int, customer_ids: Sequence[str]
) -> dict[str, tuple[str, str | None]]:
    """Return (name, external id) of customers, by id; at most a page of them."""
    if not customer_ids:
        return {}
    marks = ", ".join(f"${n}" for n in range(2, len(customer_ids) + 2))
    rows = await queries.fetch(
        "SELECT id, name, external_id FROM customers "
        f"WHERE environment_id = $1 AND id IN ({marks})",
        environment_id,
        *customer_ids,
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def external_ids(
    queries: Queries, environment_id: int, customer_ids: Sequence[str]
) -> dict[str, str | None]:
    """Return the external ids of customers, by id; at most a page of them."""
    if not customer_ids:
        return {}
    marks = ", ".join(f"${n}" for n in range(2, len(customer_ids) + 2))
    rows = await queries.fetch(
        f"SELECT id, external_id FROM customers WHERE environment_id = $1 AND id IN ({marks})",
        environment_id,
        *customer_ids,
    )
    return {row[0]: row[1] for row in rows}
