"""Top-ups over REST: a customer pays into their wallet."""

from __future__ import annotations

import msgspec

from faregate.core.given import Id
from faregate.engine import Page
from faregate.payments.types import InitiateTopUp, Receipt, TopUp, TopUpInitiated
from faregate.rest.operations import ADMIN, READ_ALL, Call, Limit, Offset, Operation


class TopUpsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which top-ups."""

    limit: Limit = 20
    offset: Offset = 0
    customer_id: Id | None = None


class TopUpPage(msgspec.Struct, frozen=True):
    """A page of top-ups, the newest first."""

    items: list[TopUp]
    total_count: int
    limit: int
    offset: int


async def _initiate(call: Call) -> TopUpInitiated:
    return await call.engine.initiate_top_up(
        call.body,
        idempotency_key=call.idempotency_key,
        base_url=call.base_url,
        context=call.context,
    )


async def _get(call: Call) -> TopUp:
    return await call.engine.get_top_up(call.path["top_up_id"], context=call.context)


async def _list(call: Call) -> Page:
    query: TopUpsQuery = call.query
    return await call.engine.list_top_ups(
        query.customer_id, query.limit, query.offset, context=call.context
    )


async def _receipt(call: Call) -> Receipt:
    return await call.engine.get_receipt(
        call.path["top_up_id"], base_url=call.base_url, context=call.context
    )


OPERATIONS = (
    Operation(
        "POST",
        "/top-ups",
        _initiate,
        "Top-ups",
        "Begin a payment of a customer into their wallet: returns the page where they pay",
        ADMIN,
        201,
        body=InitiateTopUp,
        answer=TopUpInitiated,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        "/top-ups",
        _list,
        "Top-ups",
        "List top-ups, the newest first",
        READ_ALL,
        query=TopUpsQuery,
        answer=TopUpPage,
    ),
    Operation(
        "GET",
        "/top-ups/{top_up_id}",
        _get,
        "Top-ups",
        "Get a top-up as it stands",
        READ_ALL,
        answer=TopUp,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/top-ups/{top_up_id}/receipt",
        _receipt,
        "Top-ups",
        "Get the receipt of a top-up that has succeeded",
        READ_ALL,
        answer=Receipt,
        errors=(404, 409),
    ),
)
