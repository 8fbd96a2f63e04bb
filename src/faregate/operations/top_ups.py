"""Top-ups over REST: a customer pays into their wallet."""

from __future__ import annotations

import msgspec

from faregate.core.given import Id
from faregate.engine import Page
from faregate.operations.operation import ADMIN, READ_ALL, Call, Limit, Offset, Operation, PageQuery
from faregate.payments.types import (
    CreateRefund,
    InitiateTopUp,
    Receipt,
    Refund,
    TopUp,
    TopUpInitiated,
)


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


class RefundPage(msgspec.Struct, frozen=True):
    """A page of what has gone back of a top-up, the oldest first."""

    items: list[Refund]
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


async def _refund(call: Call) -> Refund:
    return await call.engine.refund_top_up(
        call.path["top_up_id"],
        call.body,
        idempotency_key=call.idempotency_key,
        context=call.context,
    )


async def _refunds(call: Call) -> Page:
    query: PageQuery = call.query
    return await call.engine.list_refunds(
        call.path["top_up_id"], query.limit, query.offset, context=call.context
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
        "POST",
        "/top-ups/{top_up_id}/refunds",
        _refund,
        "Top-ups",
        "Give money of a top-up back: all that is left, or an amount. Its credit is taken at once",
        ADMIN,
        201,
        body=CreateRefund,
        answer=Refund,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        "/top-ups/{top_up_id}/refunds",
        _refunds,
        "Top-ups",
        "List what has gone back of a top-up or is about to: refunds, and what disputes take",
        READ_ALL,
        query=PageQuery,
        answer=RefundPage,
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
