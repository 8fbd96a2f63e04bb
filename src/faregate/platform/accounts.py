"""Connected accounts: those of a platform's own sellers. Each is an account like any other, with
its test and its live environment; what makes it a connected one is that it belongs to the platform,
which made it and may act for it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.given import Id
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.prices import Text
from faregate.core.problems import CONFLICT, NOT_FOUND, FaregateError, Problem
from faregate.core.transactions import Metadata
from faregate.platform.environments import MODES
from faregate.store.protocol import DuplicateKey, Queries, Row

_COLUMNS = "account_id, account_name, created_at, external_id, metadata"
_FROM = "FROM environments WHERE mode = 'test' AND parent_id = $1"
"""An account has a row per mode that say the same of it; one of them is enough."""


class CreateAccount(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new connected account; `external_id` is the platform's own, unique among all accounts."""

    name: Text
    external_id: Id | None = None
    metadata: Metadata | None = None


class AccountCreated(msgspec.Struct, frozen=True):
    """The answer to a new connected account."""

    id: str


class ConnectedAccount(msgspec.Struct, omit_defaults=True, frozen=True):
    """A connected account."""

    id: str
    name: str
    created_at: datetime
    external_id: str | None = None
    metadata: dict[str, str] | None = None


def no_account(account_id: str) -> Problem:
    """Say that there is no such account."""
    detail = f"there is no account {account_id[:100]!r}: GET /v1/accounts lists those there are"
    return Problem(NOT_FOUND, detail)


async def insert_account(
    queries: Queries, parent_id: str, request: CreateAccount, ids: IdSource, now: datetime
) -> AccountCreated:
    """Write a new connected account, in a transaction that has raised the catalog's epoch: so no
    two take the same numbers. Raises 409 if the external id is taken."""
    account_id = ids.next("acc")
    last = int((await queries.fetch("SELECT max(id) FROM environments"))[0][0])
    metadata = None if request.metadata is None else encode(request.metadata).decode()
    try:
        for number, mode in enumerate(MODES, last + 1):
            await queries.fetch(
                "INSERT INTO environments (id, account_id, mode, account_name, created_at, "
                "parent_id, external_id, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                number,
                account_id,
                mode,
                request.name,
                to_us(now),
                parent_id,
                request.external_id,
                metadata,
            )
    except DuplicateKey:
        shown = f"there is an account with external_id {request.external_id!r} already"
        taken = {"external_id": ["is taken"]}
        raise FaregateError(Problem(CONFLICT, f"{shown}: use that one", taken)) from None
    return AccountCreated(account_id)


async def get_account(queries: Queries, parent_id: str, account_id: str) -> ConnectedAccount:
    """Return one of a platform's accounts. Raises 404."""
    sql = f"SELECT {_COLUMNS} {_FROM} AND account_id = $2"
    found = await queries.fetch(sql, parent_id, account_id)
    if not found:
        raise FaregateError(no_account(account_id))
    return _read(found[0])


async def list_accounts(
    queries: Queries, parent_id: str, limit: int, offset: int, external_id: str | None
) -> tuple[list[ConnectedAccount], int]:
    """Return a page of a platform's accounts, the newest first, and how many there are in all."""
    where, given = _FROM, [parent_id]
    if external_id is not None:
        where, given = f"{_FROM} AND external_id = $2", [parent_id, external_id]
    counted = await queries.fetch(f"SELECT count(*) {where}", *given)
    found = await queries.fetch(
        f"SELECT {_COLUMNS} {where} ORDER BY id DESC LIMIT {int(limit)} OFFSET {int(offset)}",
        *given,
    )
    return [_read(row) for row in found], int(counted[0][0])


def _read(row: Row) -> ConnectedAccount:
    account_id, name, created_at, external_id, metadata = row
    shown = None if metadata is None else decode(dict[str, str], metadata)
    return ConnectedAccount(account_id, name, from_us(created_at), external_id, shown)
