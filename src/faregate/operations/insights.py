"""What is earned and what it costs, over REST."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from faregate.core.given import Id, ShortText
from faregate.insights.types import (
    DEFAULT_CURRENCY,
    CustomerStatsPage,
    GroupPage,
    Order,
    Profitability,
    VendorStats,
)
from faregate.operations.operation import READ_ALL, Call, Limit, Offset, Operation

Currency = Annotated[str, Meta(min_length=1, max_length=100)]


class PeriodQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which days (UTC, both included; without one, that side is open), and in which currency."""

    period_from: date | None = None
    period_to: date | None = None
    currency: Currency = DEFAULT_CURRENCY


class VendorStatsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which costs of a vendor: days as in `PeriodQuery`."""

    period_from: date | None = None
    period_to: date | None = None
    category: ShortText | None = None
    currency: Currency = DEFAULT_CURRENCY


class CustomerStatsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which page, and of which days: UTC, both included; default: the last 30."""

    limit: Limit = 20
    offset: Offset = 0
    period_from: date | None = None
    period_to: date | None = None
    currency: Currency = DEFAULT_CURRENCY


class StatsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """By what (one or two dimensions, separated by a comma), of which days (UTC, both included;
    default: the last 30), of whom, in which order (`-`: from the highest on)."""

    group_by: Annotated[str, Meta(min_length=1, max_length=200)] = "customer"
    limit: Limit = 20
    offset: Offset = 0
    period_from: date | None = None
    period_to: date | None = None
    customer_id: Id | None = None
    currency: Currency = DEFAULT_CURRENCY
    sort: Order = "net_revenue"


async def _customer(call: Call) -> Profitability:
    query: PeriodQuery = call.query
    return await call.engine.customer_stats(
        call.path["customer_id"],
        period_from=query.period_from,
        period_to=query.period_to,
        currency=query.currency,
        context=call.context,
    )


async def _customers(call: Call) -> CustomerStatsPage:
    query: CustomerStatsQuery = call.query
    return await call.engine.list_customer_stats(
        query.limit,
        query.offset,
        period_from=query.period_from,
        period_to=query.period_to,
        currency=query.currency,
        context=call.context,
    )


async def _vendor(call: Call) -> VendorStats:
    query: VendorStatsQuery = call.query
    return await call.engine.vendor_stats(
        call.path["vendor_id"],
        period_from=query.period_from,
        period_to=query.period_to,
        category=query.category,
        currency=query.currency,
        context=call.context,
    )


async def _groups(call: Call) -> GroupPage:
    query: StatsQuery = call.query
    return await call.engine.stats(
        query.group_by,
        query.limit,
        query.offset,
        period_from=query.period_from,
        period_to=query.period_to,
        customer_id=query.customer_id,
        currency=query.currency,
        sort=query.sort,
        context=call.context,
    )


OPERATIONS = (
    Operation(
        "GET",
        "/customers/stats",
        _customers,
        "Statistics",
        "List customers with what each brings and costs",
        READ_ALL,
        query=CustomerStatsQuery,
        answer=CustomerStatsPage,
    ),
    Operation(
        "GET",
        "/customers/{customer_id}/stats",
        _customer,
        "Statistics",
        "Get what a customer brings and costs",
        READ_ALL,
        query=PeriodQuery,
        answer=Profitability,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/vendors/{vendor_id}/stats",
        _vendor,
        "Statistics",
        "Get what a vendor charges, by category",
        READ_ALL,
        query=VendorStatsQuery,
        answer=VendorStats,
        errors=(404,),
    ),
    Operation(
        "GET",
        "/stats",
        _groups,
        "Statistics",
        "Get revenue, costs and margin by customer, product, price, event type, model, vendor, "
        "category, hour, day or month",
        READ_ALL,
        query=StatsQuery,
        answer=GroupPage,
        errors=(404,),
    ),
)
