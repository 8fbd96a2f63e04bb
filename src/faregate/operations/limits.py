"""Limits over REST: an account's for all of its customers, and single customers' own."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import to_decimal
from faregate.core.limits import Limit, LimitChange, LimitMode, LimitRequest, Measure, SetBy
from faregate.core.windows import Period, WindowKind
from faregate.engine import LimitState
from faregate.engine.base import page_of
from faregate.operations.operation import ADMIN, READ, READ_ALL, Call, Offset, Operation, PageQuery
from faregate.operations.operation import Limit as PageLimit

LIMITS: Final = "/limits"
OWN: Final = "/customers/{customer_id}/limits"


class ShownLimit(msgspec.Struct, omit_defaults=True, frozen=True):
    """A limit as the API shows it. `amount` counts what `measure` says: money or credits of
    `asset`, volume of `volume_field`, or events. `set_by` is who has set it: the seller (left out),
    or the customer for themselves, in their portal."""

    id: str
    created_at: datetime
    amount: Decimal
    period: Period
    mode: LimitMode
    measure: Measure
    window: WindowKind
    timezone: str
    rejects_events: bool
    asset: str | None = None
    volume_field: str | None = None
    event_type: str | None = None
    subject: str | None = None
    dimensions: dict[str, str] | None = None
    customer_metadata: dict[str, str] | None = None
    name: str | None = None
    set_by: SetBy = "seller"


class CustomerLimit(msgspec.Struct, omit_defaults=True, frozen=True):
    """A limit that holds for a customer, and where it stands. `used` is what was booked since
    `began_at` (none: ever), `held` what open holds have set aside, `remaining` what is left, never
    below 0. `is_own` is false for one that the account has set for all."""

    limit: ShownLimit
    used: Decimal
    held: Decimal
    remaining: Decimal
    is_own: bool
    began_at: datetime | None = None
    resets_at: datetime | None = None


class LimitPage(msgspec.Struct, frozen=True):
    """A page of limits."""

    items: list[ShownLimit]
    total_count: int
    limit: int
    offset: int


class CustomerLimitPage(msgspec.Struct, frozen=True):
    """A page of what holds for a customer."""

    items: list[CustomerLimit]
    total_count: int
    limit: int
    offset: int


class SubjectQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Whose use is shown of a limit that counts each subject by itself."""

    subject: Annotated[str, Meta(max_length=200)] | None = None


class CustomerLimitsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which page, and whose use is shown of limits that count each subject by itself."""

    limit: PageLimit = 20
    offset: Offset = 0
    subject: Annotated[str, Meta(max_length=200)] | None = None


def show_limit(limit: Limit) -> ShownLimit:
    """Return a limit as the API shows it."""
    return ShownLimit(
        limit.id,
        limit.created_at,
        to_decimal(limit.amount_units, limit.scale),
        limit.period,
        limit.mode,
        limit.measure,
        limit.window,
        limit.timezone,
        limit.rejects_events,
        limit.asset,
        limit.volume_field,
        limit.event_type,
        limit.subject,
        limit.dimensions,
        limit.customer_metadata,
        limit.name,
        limit.set_by,
    )


def _show_state(state: LimitState) -> CustomerLimit:
    limit = state.limit
    left = max(limit.amount_units - state.used_units - state.held_units, 0)
    return CustomerLimit(
        show_limit(limit),
        to_decimal(state.used_units, limit.scale),
        to_decimal(state.held_units, limit.scale),
        to_decimal(left, limit.scale),
        state.is_own,
        state.began_at,
        state.resets_at,
    )


async def _create(call: Call) -> ShownLimit:
    limit = await call.engine.create_limit(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )
    return show_limit(limit)


async def _list(call: Call) -> LimitPage:
    found = await call.engine.list_limits(context=call.context)
    page = page_of([show_limit(limit) for limit in found], call.query.limit, call.query.offset)
    return LimitPage(page.items, page.total_count, page.limit, page.offset)


async def _get(call: Call) -> ShownLimit:
    return show_limit(await call.engine.get_limit(call.path["limit_id"], context=call.context))


async def _change(call: Call) -> ShownLimit:
    changed = await call.engine.change_limit(call.path["limit_id"], call.body, context=call.context)
    return show_limit(changed)


async def _delete(call: Call) -> None:
    await call.engine.delete_limit(call.path["limit_id"], context=call.context)


async def _create_own(call: Call) -> ShownLimit:
    limit = await call.engine.create_customer_limit(
        call.path["customer_id"],
        call.body,
        idempotency_key=call.idempotency_key,
        context=call.context,
    )
    return show_limit(limit)


async def _list_own(call: Call) -> CustomerLimitPage:
    query: CustomerLimitsQuery = call.query
    found = await call.engine.customer_limits(
        call.path["customer_id"], query.subject, context=call.context
    )
    page = page_of([_show_state(state) for state in found], query.limit, query.offset)
    return CustomerLimitPage(page.items, page.total_count, page.limit, page.offset)


async def _get_own(call: Call) -> CustomerLimit:
    state = await call.engine.get_customer_limit(
        call.path["customer_id"], call.path["limit_id"], call.query.subject, context=call.context
    )
    return _show_state(state)


async def _change_own(call: Call) -> ShownLimit:
    changed = await call.engine.change_customer_limit(
        call.path["customer_id"], call.path["limit_id"], call.body, context=call.context
    )
    return show_limit(changed)


async def _delete_own(call: Call) -> None:
    await call.engine.delete_customer_limit(
        call.path["customer_id"], call.path["limit_id"], context=call.context
    )


OPERATIONS = (
    Operation(
        "POST",
        LIMITS,
        _create,
        "Limits",
        "Set a limit or a free tier for every customer, or for those with certain metadata",
        ADMIN,
        201,
        body=LimitRequest,
        answer=ShownLimit,
        errors=(409,),
    ),
    Operation(
        "GET",
        LIMITS,
        _list,
        "Limits",
        "List the account's limits, the oldest first",
        READ_ALL,
        query=PageQuery,
        answer=LimitPage,
    ),
    Operation(
        "GET",
        f"{LIMITS}/{{limit_id}}",
        _get,
        "Limits",
        "Get one of the account's limits",
        READ_ALL,
        answer=ShownLimit,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        f"{LIMITS}/{{limit_id}}",
        _change,
        "Limits",
        "Change one of the account's limits; what was counted stays",
        ADMIN,
        body=LimitChange,
        answer=ShownLimit,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        f"{LIMITS}/{{limit_id}}",
        _delete,
        "Limits",
        "Take one of the account's limits away",
        ADMIN,
        204,
        errors=(404,),
    ),
    Operation(
        "POST",
        OWN,
        _create_own,
        "Limits",
        "Set a limit or a free tier for one customer",
        ADMIN,
        201,
        body=LimitRequest,
        answer=ShownLimit,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        OWN,
        _list_own,
        "Limits",
        "List what holds for a customer, with what is used and held now",
        READ,
        query=CustomerLimitsQuery,
        answer=CustomerLimitPage,
        errors=(404,),
    ),
    Operation(
        "GET",
        f"{OWN}/{{limit_id}}",
        _get_own,
        "Limits",
        "Get a limit that holds for a customer, with what is used and held now",
        READ,
        query=SubjectQuery,
        answer=CustomerLimit,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        f"{OWN}/{{limit_id}}",
        _change_own,
        "Limits",
        "Change one of a customer's own limits; what was counted stays",
        ADMIN,
        body=LimitChange,
        answer=ShownLimit,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        f"{OWN}/{{limit_id}}",
        _delete_own,
        "Limits",
        "Take one of a customer's own limits away",
        ADMIN,
        204,
        errors=(404,),
    ),
)
