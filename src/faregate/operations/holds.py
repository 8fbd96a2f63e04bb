"""The gate over REST: ask before the work, settle after it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.events import EventResult
from faregate.core.gate import HoldView
from faregate.core.hold_requests import (
    CaptureRequest,
    ExtendRequest,
    HoldRequest,
    Subject,
    UpdateRequest,
)
from faregate.core.holds import Decline, HoldStatus
from faregate.core.subscriptions import CatalogView
from faregate.customers.types import Hold, LimitInTheWay
from faregate.customers.wire import (
    EventFee,
    HoldCaptured,
    HoldPage,
    HoldsAuthorized,
    HoldsRequest,
    HoldUpdated,
)
from faregate.operations.operation import INGEST, READ, Call, Limit, Offset, Operation
from faregate.operations.recording import queue_weight
from faregate.operations.usage import show_fee

HOLDS = "/customers/{customer_id}/wallet/holds"
HOLD = f"{HOLDS}/{{hold_id}}"


class VoidRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Nothing needs to be said: send `{}`."""


class HoldsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which holds."""

    limit: Limit = 20
    offset: Offset = 0
    status: HoldStatus | None = None
    subject: Subject | None = None


def show_hold(view: HoldView, catalog: CatalogView) -> Hold:
    """Return a hold as the API shows it."""
    asset = view.account_id.rpartition(":")[2]
    scale = catalog.assets[asset].scale
    decline = view.decline
    return Hold(
        id=view.id,
        transaction_id=view.transaction_id,
        status=view.status,
        asset=asset,
        account_id=view.account_id,
        amount=to_decimal(view.amount_units, scale),
        held_amount=to_decimal(view.held_units, scale),
        captured_amount=to_decimal(view.captured_units, scale),
        available=to_decimal(view.available_units, scale),
        pending_out=to_decimal(view.pending_out_units, scale),
        created_at=view.created_at,
        expires_at=view.expires_at,
        event_type=view.event_type,
        subject=view.subject,
        parent_id=view.parent_id,
        decline_code=None if decline is None else decline.code,
        detail=None if decline is None else decline.detail,
        limit=None if decline is None else _show_limit(decline),
        top_up_needed=None if decline is None else _top_up(decline, scale),
    )


def _show_limit(decline: Decline) -> LimitInTheWay | None:
    limit = decline.limit
    if limit is None:
        return None
    return LimitInTheWay(
        limit.id,
        to_decimal(limit.amount_units, limit.scale),
        to_decimal(limit.used_units, limit.scale),
        limit.resets_at,
        limit.name,
    )


def _top_up(decline: Decline, scale: int) -> Decimal | None:
    return None if decline.top_up_units is None else to_decimal(decline.top_up_units, scale)


def _fees(
    results: tuple[EventResult, ...], catalog: CatalogView
) -> tuple[list[EventFee], list[str]]:
    """Return the fees that were charged now, and the warnings. What an event cost that was booked
    before is not part of it."""
    booked = [result for result in results if result.status == "booked"]
    fees = [show_fee(fee, catalog) for result in booked for fee in result.fees]
    return fees, [warning for result in results for warning in result.warnings]


async def _authorize(call: Call) -> Hold:
    asked = call.engine.authorize(
        call.path["customer_id"],
        call.body,
        is_checked=True,
        weight=queue_weight(call.body_bytes),
        context=call.context,
    )
    # Nobody shall hold money for who does not wait for it any more.
    view = await (call.unless_gone(asked) if call.body.wait_for_top_up_seconds else asked)
    return show_hold(view, call.engine.catalog_view(call.context))


async def _authorize_batch(call: Call) -> HoldsAuthorized:
    views = await call.engine.authorize_batch(
        call.path["customer_id"],
        call.body.holds,
        is_checked=True,
        weight=queue_weight(call.body_bytes),
        context=call.context,
    )
    catalog = call.engine.catalog_view(call.context)
    return HoldsAuthorized([show_hold(view, catalog) for view in views])


async def _capture(call: Call) -> HoldCaptured:
    captured = await call.engine.capture(
        call.path["customer_id"],
        call.path["hold_id"],
        call.body,
        is_checked=True,
        weight=queue_weight(call.body_bytes),
        context=call.context,
    )
    catalog = call.engine.catalog_view(call.context)
    hold = show_hold(captured.hold, catalog)
    scale = catalog.assets[hold.asset].scale
    fees, warnings = _fees(captured.results, catalog)
    return HoldCaptured(
        hold,
        fees,
        warnings,
        to_decimal(captured.captured_units, scale),
        to_decimal(captured.released_units, scale),
        hold.available,
    )


async def _update(call: Call) -> HoldUpdated:
    updated = await call.engine.update_hold(
        call.path["customer_id"],
        call.path["hold_id"],
        call.body,
        is_checked=True,
        weight=queue_weight(call.body_bytes),
        context=call.context,
    )
    catalog = call.engine.catalog_view(call.context)
    hold = show_hold(updated.hold, catalog)
    scale = catalog.assets[hold.asset].scale
    fees, warnings = _fees(updated.results, catalog)
    decline = updated.decline
    return HoldUpdated(
        hold,
        fees,
        warnings,
        to_decimal(updated.captured_units, scale),
        to_decimal(updated.granted_units, scale),
        hold.available,
        updated.is_final,
        updated.final_action,
        None if decline is None else decline.code,
        None if decline is None else decline.detail,
        None if decline is None else _show_limit(decline),
        None if decline is None else _top_up(decline, scale),
    )


async def _extend(call: Call) -> Hold:
    view = await call.engine.extend_hold(
        call.path["customer_id"],
        call.path["hold_id"],
        call.body.expires_in_seconds,
        context=call.context,
    )
    return show_hold(view, call.engine.catalog_view(call.context))


async def _void(call: Call) -> Hold:
    view = await call.engine.void_hold(
        call.path["customer_id"], call.path["hold_id"], context=call.context
    )
    return show_hold(view, call.engine.catalog_view(call.context))


async def _get(call: Call) -> Hold:
    view = await call.engine.get_hold(
        call.path["customer_id"], call.path["hold_id"], context=call.context
    )
    return show_hold(view, call.engine.catalog_view(call.context))


async def _list(call: Call) -> HoldPage:
    query: HoldsQuery = call.query
    page = await call.engine.list_holds(
        call.path["customer_id"],
        query.limit,
        query.offset,
        query.status,
        query.subject,
        context=call.context,
    )
    catalog = call.engine.catalog_view(call.context)
    items = [show_hold(view, catalog) for view in page.items]
    return HoldPage(items, page.total_count, page.limit, page.offset)


AUTHORIZE = Operation(
    "POST",
    HOLDS,
    _authorize,
    "Holds",
    "Ask for a hold: may this customer run this? A decline is an answer, see its status",
    INGEST,
    body=HoldRequest,
    answer=Hold,
    errors=(404, 409),
)
CAPTURE = Operation(
    "POST",
    f"{HOLD}/capture",
    _capture,
    "Holds",
    "Charge what was used, out of the hold first; what is left of it goes back",
    INGEST,
    body=CaptureRequest,
    answer=HoldCaptured,
    errors=(402, 404, 409),
)
UPDATE = Operation(
    "POST",
    f"{HOLD}/update",
    _update,
    "Holds",
    "Settle a slice of a use that goes on, and set the next one aside",
    INGEST,
    body=UpdateRequest,
    answer=HoldUpdated,
    errors=(402, 404, 409),
)
SETTLING = {"capture": CAPTURE, "update": UPDATE}
"""What settles a hold, by the last part of its path."""

OPERATIONS = (
    AUTHORIZE,
    Operation(
        "POST",
        f"{HOLDS}/batch",
        _authorize_batch,
        "Holds",
        "Ask for up to 100 holds, each for itself; if one is wrong, none is made",
        INGEST,
        body=HoldsRequest,
        answer=HoldsAuthorized,
        errors=(404, 409),
    ),
    Operation(
        "GET",
        HOLDS,
        _list,
        "Holds",
        "List a customer's holds, the newest first",
        READ,
        query=HoldsQuery,
        answer=HoldPage,
        errors=(404,),
    ),
    Operation(
        "GET",
        HOLD,
        _get,
        "Holds",
        "Get a hold as it is now",
        READ,
        answer=Hold,
        errors=(404,),
    ),
    CAPTURE,
    UPDATE,
    Operation(
        "POST",
        f"{HOLD}/extend",
        _extend,
        "Holds",
        "Let a hold expire later",
        INGEST,
        body=ExtendRequest,
        answer=Hold,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        f"{HOLD}/void",
        _void,
        "Holds",
        "Let go of a hold; a repeat is harmless",
        INGEST,
        body=VoidRequest,
        answer=Hold,
        errors=(404, 409),
    ),
)
