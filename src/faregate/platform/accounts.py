"""Connected accounts: sellers who bill through a platform. Each has customers, products, keys and
settings of its own, in both modes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.given import Id
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.prices import Text
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.core.transactions import Metadata
from faregate.platform.environments import MODES
from faregate.store.protocol import DuplicateKey, Queries, Row

_COLUMNS: Final = "account_id, account_name, external_id, metadata, created_at"
_CONNECTED: Final = f"mode = 'test' AND id > {len(MODES)}"


class CreateAccount(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new connected account; `external_id` is the platform's own name for it, unique among all
    accounts."""

    name: Text
    external_id: Id | None = None
    metadata: Metadata | None = None


class AccountCreated(msgspec.Struct, frozen=True):
    """The answer to `CreateAccount`."""

    id: str


class ConnectedAccount(msgspec.Struct, omit_defaults=True, frozen=True):
    """A connected account."""

    id: str
    name: str
    created_at: datetime
    external_id: str | None = None
    metadata: dict[str, str] | None = None


def _read(row: Row) -> ConnectedAccount:
    account_id, name, external_id, metadata, created_at = row
    known: Any = None if metadata is None else decode(dict[str, str], metadata)
    return ConnectedAccount(account_id, name, from_us(created_at), external_id, known)


async def create_account(
    queries: Queries, request: CreateAccount, ids: IdSource, now: datetime
) -> AccountCreated:
    """Write an account with both of its modes, inside a change of the catalog (of which there is
    one at a time). Raises 409 if the external id is taken."""
    account_id = ids.next("acc")
    last = await queries.fetch("SELECT max(id) FROM environments")
    metadata = None if request.metadata is None else encode(request.metadata).decode()
    try:
        for number, mode in enumerate(MODES, int(last[0][0]) + 1):
            await queries.fetch(
                "INSERT INTO environments "
                "(id, account_id, mode, account_name, created_at, external_id, metadata) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                number,
                account_id,
                mode,
                request.name,
                to_us(now),
                request.external_id,
                metadata,
            )
    except DuplicateKey:
        detail = f"external_id {request.external_id!r} belongs to another account: use another one"
        raise FaregateError(conflict("external_id", detail)) from None
    return AccountCreated(account_id)


async def find_account(queries: Queries, account_id: str) -> ConnectedAccount:
    """Find a connected account. Raises 404."""
    sql = f"SELECT {_COLUMNS} FROM environments WHERE account_id = $1 AND {_CONNECTED}"
    rows = await queries.fetch(sql, account_id)
    if not rows:
        raise FaregateError(Problem(NOT_FOUND, f"there is no account {account_id[:100]!r}"))
    return _read(rows[0])


async def list_accounts(
    queries: Queries, limit: int, offset: int, external_id: str | None
) -> tuple[list[ConnectedAccount], int]:
    """Return a page of connected accounts, the newest first, and how many there are in all."""
    where, given = _CONNECTED, [] if external_id is None else [external_id]
    if given:
        where += " AND external_id = $1"
    total = await queries.fetch(f"SELECT count(*) FROM environments WHERE {where}", *given)
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM environments WHERE {where} ORDER BY id DESC "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        *given,
    )
    return [_read(row) for row in rows], int(total[0][0])
