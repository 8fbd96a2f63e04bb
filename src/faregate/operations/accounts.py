"""Connected accounts over REST."""

from __future__ import annotations

import msgspec

from faregate.core.given import Id
from faregate.engine import Page
from faregate.operations.operation import ADMIN, READ_ALL, Call, Limit, Offset, Operation
from faregate.platform.accounts import AccountCreated, ConnectedAccount, CreateAccount


class AccountPage(msgspec.Struct, frozen=True):
    """A page of connected accounts, the newest first."""

    items: list[ConnectedAccount]
    total_count: int
    limit: int
    offset: int


class AccountsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which connected accounts."""

    limit: Limit = 20
    offset: Offset = 0
    external_id: Id | None = None


async def _create(call: Call) -> AccountCreated:
    return await call.engine.create_account(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list(call: Call) -> Page:
    query = call.query
    return await call.engine.list_accounts(
        query.limit, query.offset, query.external_id, context=call.context
    )


async def _get(call: Call) -> ConnectedAccount:
    return await call.engine.get_account_details(
        call.path["connected_account_id"], context=call.context
    )


OPERATIONS = (
    Operation(
        "POST",
        "/accounts",
        _create,
        "Accounts",
        "Make a connected account; act for it with the header X-Credyt-Account",
        ADMIN,
        201,
        body=CreateAccount,
        answer=AccountCreated,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/accounts",
        _list,
        "Accounts",
        "List connected accounts",
        READ_ALL,
        query=AccountsQuery,
        answer=AccountPage,
    ),
    Operation(
        "GET",
        "/accounts/{connected_account_id}",
        _get,
        "Accounts",
        "Get a connected account",
        READ_ALL,
        answer=ConnectedAccount,
        errors=(404,),
    ),
)
