"""Sending usage events over REST: the hot way in. What was booked is looked at in `usage`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import to_decimal
from faregate.core.codec import decode_request
from faregate.core.events import (
    MAX_EVENTS,
    EventResult,
    EventsBooked,
    UsageEvent,
)
from faregate.core.given import Id
from faregate.core.problems import FaregateError
from faregate.core.subscriptions import CatalogView
from faregate.customers.wire import BookedResult, UsageBooked, UsageRequest
from faregate.engine import Engine
from faregate.operations.operation import (
    INGEST,
    LENIENT,
    REPRESENTATION,
    Answer,
    Call,
    Operation,
)
from faregate.operations.problems import problem_details
from faregate.operations.usage import customer_of, show_fee
from faregate.platform.environments import AccountContext

QUEUE_BYTES: Final = 1024


class LenientRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The same request, each event still as it was sent."""

    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_EVENTS)]
    customer_id: Id | None = None
    customer_external_id: Id | None = None


class _Named(msgspec.Struct):
    id: Any = ""


async def record(call: Call) -> Answer:
    """Book events; answers 204, or what the `Prefer` header asks for."""
    weight = queue_weight(call.body_bytes)
    if isinstance(call.body, LenientRequest):
        results = await _book_leniently(call, call.body, weight)
    else:
        results = (await book(call.engine, call.body, call.context, weight)).results
    applied = [preference for preference in (LENIENT, REPRESENTATION) if preference in call.prefers]
    if not applied:
        return Answer(204, None)
    view = call.engine.catalog_view(call.context)
    shown = [_show_result(result, view, call.request_id) for result in results]
    return Answer(200, UsageBooked(shown), ", ".join(applied))


async def _book_leniently(
    call: Call, request: LenientRequest, weight: int
) -> tuple[EventResult, ...]:
    """Book each event alone; what cannot even be read as an event is refused alone, too."""
    results: dict[int, EventResult] = {}
    places: list[int] = []
    events: list[UsageEvent] = []
    for place, raw in enumerate(request.events):
        try:
            events.append(decode_request(UsageEvent, bytes(raw)))
            places.append(place)
        except FaregateError as error:
            problem = error.problem.under(f"events[{place}]")
            results[place] = EventResult(_id_of(raw), "refused", problem=problem)
    customer_id = await customer_of(
        call.engine, call.context, request.customer_id, request.customer_external_id
    )
    if events:
        booked = await call.engine.record_events(
            customer_id,
            events,
            is_lenient=True,
            are_checked=True,
            weight=weight,
            context=call.context,
        )
        for number, (place, result) in enumerate(zip(places, booked.results, strict=True)):
            results[place] = _at_place(result, f"events[{number}]", f"events[{place}]")
    return tuple(results[place] for place in range(len(request.events)))


def _id_of(raw: msgspec.Raw) -> str:
    """Return the id that an event which cannot be read seems to have; empty if none."""
    try:
        return str(msgspec.json.decode(raw, type=_Named).id)[:200]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _at_place(result: EventResult, before: str, after: str) -> EventResult:
    """Return a result whose problem names another place in the batch."""
    problem = result.problem
    if problem is None or before == after:
        return result
    moved = msgspec.structs.replace(
        problem,
        detail=problem.detail.replace(before, after, 1),
        errors={path.replace(before, after, 1): said for path, said in problem.errors.items()},
    )
    return msgspec.structs.replace(result, problem=moved)


def queue_weight(body_bytes: int) -> int:
    """Return what a body counts for in the lane's queue, which is bounded by weight: large events
    take more of its memory than small ones."""
    return body_bytes // QUEUE_BYTES


async def book(
    engine: Engine, request: UsageRequest, context: AccountContext, weight: int
) -> EventsBooked:
    """Book the events of a request, all or none."""
    customer_id = await customer_of(
        engine, context, request.customer_id, request.customer_external_id
    )
    return await engine.record_events(
        customer_id, request.events, are_checked=True, weight=weight, context=context
    )


def _show_result(result: EventResult, view: CatalogView, request_id: str) -> BookedResult:
    details = None
    if result.problem is not None:
        details = problem_details(result.problem, "/v1/events", request_id)
    balances = {
        account: to_decimal(units, view.assets[account.rpartition(":")[2]].scale)
        for account, units in result.balances.items()
    }
    fees = [show_fee(fee, view) for fee in result.fees]
    return BookedResult(
        result.event_id, result.status, fees, list(result.warnings), balances, details
    )


RECORD = Operation(
    "POST",
    "/events",
    record,
    "Events",
    "Send usage events of one customer: priced, charged, once each",
    INGEST,
    204,
    body=UsageRequest,
    lenient_body=LenientRequest,
    other={200: UsageBooked},
    errors=(402, 404, 409),
)


OPERATIONS = (RECORD,)
