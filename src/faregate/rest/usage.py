"""Usage events over REST: the hot way in, and the ways to look at what was booked."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, localcontext
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import to_decimal
from faregate.core.codec import decode_request
from faregate.core.events import (
    DEFAULT_COST_CURRENCY,
    MAX_EVENTS,
    BookedEvent,
    Cost,
    EventResult,
    EventsBooked,
    Fee,
    Id,
    UsageEvent,
)
from faregate.core.problems import FaregateError, invalid
from faregate.core.subscriptions import CatalogView
from faregate.engine import Engine
from faregate.platform.environments import AccountContext
from faregate.rest.catalog import Events
from faregate.rest.operations import (
    INGEST,
    LENIENT,
    READ,
    READ_ALL,
    REPRESENTATION,
    Answer,
    Call,
    Limit,
    Offset,
    Operation,
)
from faregate.rest.problems import ProblemDetails

QUEUE_BYTES: Final = 1024
MAX_TYPES: Final = 100


class UsageRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """Events of one customer, in order. Name the customer by id or by external id."""

    events: Events
    customer_id: Id | None = None
    customer_external_id: Id | None = None


class LenientRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The same request, each event still as it was sent."""

    events: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_EVENTS)]
    customer_id: Id | None = None
    customer_external_id: Id | None = None


class _Named(msgspec.Struct):
    id: Any = ""


class EventFee(msgspec.Struct, omit_defaults=True, frozen=True):
    """What an event cost under one price."""

    id: str
    product_id: str
    product_code: str
    product_version: int
    price_id: str
    price_name: str
    currency: str
    usage_type: str
    amount: Decimal
    dimensions: dict[str, str] | None = None
    volume_field: str | None = None
    input_volume: Decimal | int | None = None
    unit_price: Decimal | None = None
    volume_rate: Decimal | None = None
    package_size: Decimal | None = None


class Profitability(msgspec.Struct, frozen=True):
    """Revenue, costs and what is left, in one currency; `margin` in percent of revenue."""

    gross_revenue: Decimal
    total_costs: Decimal
    net_revenue: Decimal
    margin: Decimal | None
    currency: str


class ShownEvent(msgspec.Struct, omit_defaults=True, frozen=True):
    """An event with its fees."""

    id: str
    customer_id: str
    event_type: str
    occurred_at: datetime
    created_at: datetime
    fees: list[EventFee]
    warnings: list[str]
    subject: str | None = None
    description: str | None = None
    data: dict[str, Any] | None = None
    costs: list[Cost] | None = None
    stats: Profitability | None = None


class ShownListedEvent(msgspec.Struct, omit_defaults=True, frozen=True):
    """An event in a list."""

    id: str
    customer_id: str
    external_id: str
    event_type: str
    occurred_at: datetime
    created_at: datetime
    has_fees: bool
    total_fees: Decimal | None = None
    fee_currency: str | None = None
    subject: str | None = None
    description: str | None = None


class EventPage(msgspec.Struct, frozen=True):
    """A page of events."""

    items: list[ShownListedEvent]
    total_count: int
    limit: int
    offset: int


class BookedResult(msgspec.Struct, omit_defaults=True, frozen=True):
    """What became of one event: `booked`, `repeat` or `refused` (with its problem).

    `balances` has what every account of the wallet had available after it.
    """

    id: str
    status: str
    fees: list[EventFee]
    warnings: list[str]
    balances: dict[str, Decimal]
    problem: ProblemDetails | None = None


class UsageBooked(msgspec.Struct, frozen=True):
    """The answer to `Prefer: return=representation`."""

    events: list[BookedResult]


class EventsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which events. Days are UTC and both are included; types are separated by commas."""

    limit: Limit = 20
    offset: Offset = 0
    event_id: Id | None = None
    customer_id: Id | None = None
    customer_external_id: Id | None = None
    subject: Annotated[str, Meta(max_length=200)] | None = None
    period_from: date | None = None
    period_to: date | None = None
    event_types: Annotated[str, Meta(max_length=2000)] | None = None
    has_fees: bool | None = None


class EventQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Whose event, where several customers have used the id."""

    customer_id: Id | None = None


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
    customer_id = await _customer(
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
    customer_id = await _customer(
        engine, context, request.customer_id, request.customer_external_id
    )
    return await engine.record_events(
        customer_id, request.events, are_checked=True, weight=weight, context=context
    )


async def _customer(
    engine: Engine, context: AccountContext, customer_id: str | None, external_id: str | None
) -> str:
    if customer_id is not None and external_id is None:
        return customer_id
    if external_id is not None and customer_id is None:
        return await engine.customer_id_of(external_id, context=context)
    raise FaregateError(invalid("customer_id", "or customer_external_id: give one of the two"))


def _show_result(result: EventResult, view: CatalogView, request_id: str) -> BookedResult:
    problem = result.problem
    details = None
    if problem is not None:
        kind = problem.kind
        details = ProblemDetails(
            kind.urn,
            kind.title,
            kind.status,
            problem.detail,
            "/v1/events",
            request_id,
            problem.errors,
        )
    balances = {
        account: to_decimal(units, view.assets[account.rpartition(":")[2]].scale)
        for account, units in result.balances.items()
    }
    fees = [show_fee(fee, view) for fee in result.fees]
    return BookedResult(
        result.event_id, result.status, fees, list(result.warnings), balances, details
    )


def show_fee(fee: Fee, view: CatalogView) -> EventFee:
    """Return a fee as the API shows it: the numbers of its price are the version's own."""
    compiled = view.prices[fee.price_id]
    price, calculation = compiled.price, compiled.price.usage_calculation
    priced = next(p for p in compiled.assets if p.asset.code == fee.asset)
    value = priced.values[fee.value_index]
    return EventFee(
        id=fee.id,
        product_id=compiled.product_id,
        product_code=compiled.product_code,
        product_version=compiled.product_version,
        price_id=compiled.id,
        price_name=price.name,
        currency=fee.asset,
        usage_type=calculation.usage_type,
        amount=to_decimal(fee.units, priced.asset.scale),
        dimensions=value.dimensions,
        volume_field=calculation.volume_field,
        input_volume=fee.volume,
        unit_price=value.source.unit_price,
        volume_rate=value.source.volume_rate,
        package_size=value.source.package_size,
    )


def _profitability(booked: BookedEvent, fees: list[EventFee]) -> Profitability | None:
    """Compute an event's margin, where its fees and costs are all in one currency."""
    costs = booked.event.costs or []
    currencies = {fee.currency for fee in fees}
    currencies |= {cost.currency or DEFAULT_COST_CURRENCY for cost in costs}
    if len(currencies) != 1:
        return None
    # Sums of amounts at one ledger scale: far fewer digits than the context keeps.
    with localcontext(prec=60):
        gross = sum((fee.amount for fee in fees), Decimal(0))
        cost = sum((Decimal(cost.amount) for cost in costs), Decimal(0))
        net = gross - cost
        margin = round(net / gross * 100, 2) if gross else None
    return Profitability(gross, cost, net, margin, currencies.pop())


async def _get(call: Call) -> ShownEvent:
    customer_id, booked = await call.engine.get_event(
        call.path["event_id"], call.query.customer_id, context=call.context
    )
    view = call.engine.catalog_view(call.context)
    fees = [show_fee(fee, view) for fee in booked.result.fees]
    event = booked.event
    return ShownEvent(
        id=event.id,
        customer_id=customer_id,
        event_type=event.event_type,
        occurred_at=event.occurred_at,
        created_at=booked.created_at,
        fees=fees,
        warnings=list(booked.result.warnings),
        subject=event.subject,
        description=event.description,
        data=event.data,
        costs=event.costs,
        stats=_profitability(booked, fees),
    )


async def _list(call: Call) -> EventPage:
    query: EventsQuery = call.query
    filters: dict[str, Any] = {
        field: getattr(query, field)
        for field in ("event_id", "subject", "period_from", "period_to", "has_fees")
        if getattr(query, field) is not None
    }
    if query.event_types is not None:
        types = [name for name in query.event_types.split(",") if name]
        if not 1 <= len(types) <= MAX_TYPES:
            raise FaregateError(
                invalid("event_types", f"names {len(types)}: name 1 to {MAX_TYPES}, with commas")
            )
        filters["event_types"] = types
    if query.customer_id is not None or query.customer_external_id is not None:
        filters["customer_id"] = await _customer(
            call.engine, call.context, query.customer_id, query.customer_external_id
        )
    page = await call.engine.list_events(query.limit, query.offset, filters, context=call.context)
    customers = list({event.customer_id for event in page.items})
    names = await call.engine.external_ids(customers, context=call.context)
    assets = call.engine.catalog_view(call.context).assets
    items = []
    for event in page.items:
        total = None
        if event.fee_asset is not None:
            total = to_decimal(event.fee_units, assets[event.fee_asset].scale)
        items.append(
            ShownListedEvent(
                id=event.id,
                customer_id=event.customer_id,
                external_id=names.get(event.customer_id) or "",
                event_type=event.event_type,
                occurred_at=event.occurred_at,
                created_at=event.created_at,
                has_fees=event.fee_count > 0,
                total_fees=total,
                fee_currency=event.fee_asset,
                subject=event.subject,
                description=event.description,
            )
        )
    return EventPage(items, page.total_count, page.limit, page.offset)


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

OPERATIONS = (
    RECORD,
    Operation(
        "GET",
        "/events",
        _list,
        "Events",
        "List events, the newest first",
        READ_ALL,
        query=EventsQuery,
        answer=EventPage,
    ),
    Operation(
        "GET",
        "/events/{event_id:path}",
        _get,
        "Events",
        "Get an event with its fees",
        READ,
        query=EventQuery,
        answer=ShownEvent,
        errors=(404, 409),
    ),
)
