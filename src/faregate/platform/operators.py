"""Operators: the people who may sign in to the dashboard, and in what role. `admin` may do
everything, `finance` reads everything, `support` reads and helps customers. There is always an
admin who can sign in, once there has been one.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Literal

import msgspec

from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import CONFLICT, NOT_FOUND, FaregateError, Problem, conflict, invalid
from faregate.store.protocol import DuplicateKey, Queries, Row

OperatorRole = Literal["admin", "finance", "support"]
OPERATOR_ROLES: Final[tuple[OperatorRole, ...]] = ("admin", "finance", "support")
MAX_EMAIL: Final = 254
MAX_NAME: Final = 100
_EMAIL: Final = re.compile(r"[^\s@<>\"',;:\\()\[\]]+@[^\s@<>\"',;:\\()\[\]]+")
_COLUMNS: Final = "id, email, name, role, created_at, disabled_at"


class Operator(msgspec.Struct, frozen=True):
    """Somebody who may sign in; `disabled_at`: since when no longer."""

    id: str
    email: str
    name: str
    role: OperatorRole
    created_at: datetime
    disabled_at: datetime | None


def read_operator(row: Row) -> Operator:
    """Read an operator from the columns that `columns_of` names."""
    identifier, email, name, role, created, disabled = row
    since = None if disabled is None else from_us(disabled)
    return Operator(identifier, email, name, role, from_us(created), since)


def columns_of(table: str) -> str:
    """Name an operator's columns under a table's name in a query."""
    return ", ".join(f"{table}.{column}" for column in _COLUMNS.split(", "))


def normal_email(email: str) -> str:
    """Return an e-mail address as it is kept, in small letters. Raises 422."""
    address = email.strip().lower()
    if len(address) > MAX_EMAIL:
        has = f"has {len(address)} characters"
        raise FaregateError(invalid("email", f"{has}: an address has at most {MAX_EMAIL}"))
    if _EMAIL.fullmatch(address) is None or not address.isprintable():
        shown = f"{address[:100]!r} is not an e-mail address"
        raise FaregateError(invalid("email", f"{shown}: write one like ada@example.com"))
    return address


def checked_name(name: str) -> str:
    """Return a name without the spaces around it. Raises 422."""
    name = name.strip()
    if not name:
        raise FaregateError(invalid("name", "is empty: say what others shall call you"))
    if len(name) > MAX_NAME:
        raise FaregateError(invalid("name", f"has {len(name)} characters: use at most {MAX_NAME}"))
    if not name.isprintable():
        raise FaregateError(invalid("name", "has a character that cannot be shown: remove it"))
    return name


def checked_role(role: str) -> OperatorRole:
    """Return a role if there is such a one. Raises 422."""
    for known in OPERATOR_ROLES:
        if role == known:
            return known
    shown = ", ".join(OPERATOR_ROLES)
    raise FaregateError(invalid("role", f"{role[:100]!r} is no role: choose one of {shown}"))


async def add_operator(
    queries: Queries,
    email: str,
    name: str,
    role: OperatorRole,
    password_hash: str,
    ids: IdSource,
    now: datetime,
) -> Operator:
    """Write an operator. Raises 409 if the e-mail address is somebody's."""
    made = Operator(ids.next("opr"), email, name, role, now, None)
    try:
        await queries.fetch(
            "INSERT INTO operators (id, email, name, role, password_hash, created_at, disabled_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, NULL)",
            made.id,
            email,
            name,
            role,
            password_hash,
            to_us(now),
        )
    except DuplicateKey:
        raise FaregateError(email_is_taken(email)) from None
    return made


def email_is_taken(email: str) -> Problem:
    """Make the problem of an e-mail address that is an operator's already."""
    detail = f"{email} is an operator already: change that one, or use another address"
    return conflict("email", detail)


async def find_operator(queries: Queries, operator_id: str) -> Operator:
    """Find an operator. Raises 404."""
    rows = await queries.fetch(f"SELECT {_COLUMNS} FROM operators WHERE id = $1", operator_id)
    if not rows:
        raise FaregateError(Problem(NOT_FOUND, f"there is no operator {operator_id[:100]!r}"))
    return read_operator(rows[0])


async def find_by_email(queries: Queries, email: str) -> tuple[Operator, str] | None:
    """Find an operator, with the hash of the password, by the e-mail address as it is kept."""
    sql = f"SELECT {_COLUMNS}, password_hash FROM operators WHERE email = $1"
    rows = await queries.fetch(sql, email)
    return (read_operator(rows[0][:-1]), rows[0][-1]) if rows else None


async def list_operators(queries: Queries) -> list[Operator]:
    """Return all operators, disabled ones too, the oldest first."""
    rows = await queries.fetch(f"SELECT {_COLUMNS} FROM operators ORDER BY id")
    return [read_operator(row) for row in rows]


async def has_operators(queries: Queries) -> bool:
    """Tell whether there is anybody."""
    return bool(await queries.fetch("SELECT id FROM operators LIMIT 1"))


async def rename(queries: Queries, operator_id: str, name: str) -> None:
    """Change what an operator is called."""
    await queries.fetch("UPDATE operators SET name = $2 WHERE id = $1", operator_id, name)


async def set_password(queries: Queries, operator_id: str, password_hash: str) -> None:
    """Replace the hash of an operator's password."""
    await queries.fetch(
        "UPDATE operators SET password_hash = $2 WHERE id = $1", operator_id, password_hash
    )


async def set_role(queries: Queries, operator_id: str, role: OperatorRole) -> None:
    """Change an operator's role. Raises 409 for the last admin."""
    if role != "admin":
        await _needs_another_admin(queries, operator_id, f"take the role {role}")
    await queries.fetch("UPDATE operators SET role = $2 WHERE id = $1", operator_id, role)


async def disable(queries: Queries, operator_id: str, now: datetime) -> None:
    """Let an operator sign in no more. Raises 409 for the last admin; a repeat is harmless."""
    await _needs_another_admin(queries, operator_id, "be disabled")
    await queries.fetch(
        "UPDATE operators SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL",
        operator_id,
        to_us(now),
    )


async def enable(queries: Queries, operator_id: str) -> None:
    """Let an operator sign in again."""
    await queries.fetch("UPDATE operators SET disabled_at = NULL WHERE id = $1", operator_id)


async def _needs_another_admin(queries: Queries, operator_id: str, what: str) -> None:
    # An update that changes nothing, for its locks: of two admins who demote each other at the
    # same time, the second sees what the first has done.
    admins = await queries.fetch(
        "UPDATE operators SET role = role WHERE role = 'admin' AND disabled_at IS NULL RETURNING id"
    )
    if [row[0] for row in admins] == [operator_id]:
        detail = f"the last admin cannot {what}: make somebody else an admin first"
        raise FaregateError(Problem(CONFLICT, detail))
