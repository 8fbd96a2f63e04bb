"""Work that is due, over REST."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from faregate.operations.operation import READ_ALL, Call, Limit, Offset, Operation


class DueWorkQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is due and not done yet, or what failed too often and is set aside."""

    limit: Limit = 20
    offset: Offset = 0
    status: Literal["due", "set_aside"] = "due"


class ShownDueWork(msgspec.Struct, omit_defaults=True, frozen=True):
    """A customer for whom something is due; `problem` is what went wrong with it last."""

    customer_id: str
    due_at: datetime
    attempts: int
    problem: str | None = None


class DueWorkPage(msgspec.Struct, frozen=True):
    """A page of it, the oldest first."""

    items: list[ShownDueWork]
    total_count: int
    limit: int
    offset: int


async def _list(call: Call) -> DueWorkPage:
    query: DueWorkQuery = call.query
    page = await call.engine.list_due_work(
        query.limit, query.offset, is_set_aside=query.status == "set_aside", context=call.context
    )
    items = [ShownDueWork(w.customer_id, w.due_at, w.attempts, w.problem) for w in page.items]
    return DueWorkPage(items, page.total_count, page.limit, page.offset)


OPERATIONS = (
    Operation(
        "GET",
        "/due-work",
        _list,
        "Subscriptions",
        "List renewals that are due and not done, or that failed too often and are set aside",
        READ_ALL,
        query=DueWorkQuery,
        answer=DueWorkPage,
    ),
)
