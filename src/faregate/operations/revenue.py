"""Revenue of credit over REST: earned, deferred, broken."""

from __future__ import annotations

import msgspec

from faregate.core.given import Id
from faregate.ledger.credit_use import CreditUse
from faregate.operations.operation import READ_ALL, Call, Operation


class CreditRevenueQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Of one customer, or of all."""

    customer_id: Id | None = None


class CreditRevenue(msgspec.Struct, frozen=True):
    """By asset and currency: credit granted, used, left and broken, and the revenue of each."""

    items: list[CreditUse]


async def _credit_revenue(call: Call) -> CreditRevenue:
    return CreditRevenue(
        await call.engine.credit_revenue(call.query.customer_id, context=call.context)
    )


OPERATIONS = (
    Operation(
        "GET",
        "/credit-revenue",
        _credit_revenue,
        "Statistics",
        "Get what became of credit that was sold, and the revenue earned, deferred and broken",
        READ_ALL,
        query=CreditRevenueQuery,
        answer=CreditRevenue,
        errors=(404,),
    ),
)
