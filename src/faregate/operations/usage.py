"""Looking at usage events over REST: one with what it cost, and lists of them. They come in through
`recording`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import to_decimal
from faregate.core.costs import Cost
from faregate.core.events import Fee
from faregate.core.given import Id
from faregate.core.problems import FaregateError, invalid
from faregate.core.reasons import EventReason
from faregate.core.subscriptions import CatalogView
from faregate.customers.wire import EventFee
from faregate.engine import Engine
from faregate.insights.types import Profitability
from faregate.operations.operation import (
    READ,
    READ_ALL,
    Call,
    Limit,
    Offset,
    Operation,
)
from faregate.platform.environments import AccountContext

MAX_TYPES: Final = 100


class ShownEvent(msgspec.Struct, omit_defaults=True, frozen=True):
    """An event with what it costs now. `outcome` is `pending`, or what became of it since (none: it
    was charged as it came). `cost_source` says from where its costs are if they were attached: the
    table of prices with its version, or the id of your own model price."""

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
    outcome: str | None = None
    cost_source: str | None = None


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
    stats: Profitability | None = None
    outcome: str | None = None


class EventPage(msgspec.Struct, frozen=True):
    """A page of events."""

    items: list[ShownListedEvent]
    total_count: int
    limit: int
    offset: int


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


async def customer_of(
    engine: Engine, context: AccountContext, customer_id: str | None, external_id: str | None
) -> str:
    """Return the id of the customer that a request names in one of the two ways."""
    if customer_id is not None and external_id is None:
        return customer_id
    if external_id is not None and customer_id is None:
        return await engine.customer_id_of(external_id, context=context)
    raise FaregateError(invalid("customer_id", "or customer_external_id: give one of the two"))


def show_fee(fee: Fee, view: CatalogView) -> EventFee:
    """Return a fee as the API shows it: the numbers of its price are the version's own."""
    compiled = view.prices[fee.price_id]
    price, calculation = compiled.price, compiled.price.usage_calculation
    priced = next(p for p in compiled.assets if p.asset.code == fee.asset)
    value = priced.values[fee.value_index]
    scale, reduced = priced.asset.scale, fee.reduced
    return EventFee(
        id=fee.id,
        product_id=compiled.product_id,
        product_code=compiled.product_code,
        product_version=compiled.product_version,
        price_id=compiled.id,
        price_name=price.name,
        currency=fee.asset,
        usage_type=calculation.usage_type,
        amount=to_decimal(fee.units, scale),
        dimensions=value.dimensions,
        volume_field=calculation.volume_field,
        input_volume=fee.volume,
        unit_price=value.source.unit_price,
        volume_rate=value.source.volume_rate,
        package_size=value.source.package_size,
        counted_before=None if fee.counted is None else fee.counted.before,
        counted=None if fee.counted is None else fee.counted.quantity,
        discount=_taken_off(0 if reduced is None else reduced.discount_units, scale),
        capped=_taken_off(0 if reduced is None else reduced.capped_units, scale),
        paid_amount=None
        if fee.paid_units is None
        else to_decimal(fee.paid_units, view.assets[fee.account_id.rpartition(":")[2]].scale),
        paid_asset=None if fee.paid_units is None else fee.account_id.rpartition(":")[2],
        exchange_rate=fee.exchange_rate,
    )


def _taken_off(units: int, scale: int) -> Decimal | None:
    return to_decimal(units, scale) if units else None


async def _get(call: Call) -> ShownEvent:
    customer_id, booked = await call.engine.get_event(
        call.path["event_id"], call.query.customer_id, context=call.context
    )
    view = call.engine.catalog_view(call.context)
    fees = [show_fee(fee, view) for fee in booked.result.fees]
    event = booked.event
    (stats,) = await call.engine.event_stats([booked], context=call.context)
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
        stats=stats,
        outcome=booked.outcome,
        cost_source=booked.cost_source,
    )


async def _explain(call: Call) -> EventReason:
    return await call.engine.explain_event(
        call.path["event_id"], call.query.customer_id, context=call.context
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
        filters["customer_id"] = await customer_of(
            call.engine, call.context, query.customer_id, query.customer_external_id
        )
    page = await call.engine.list_events(query.limit, query.offset, filters, context=call.context)
    customers = list({event.customer_id for event in page.items})
    names = await call.engine.external_ids(customers, context=call.context)
    assets = call.engine.catalog_view(call.context).assets
    stats = await call.engine.listed_event_stats(page.items, context=call.context)
    items = []
    for event, brings in zip(page.items, stats, strict=True):
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
                stats=brings,
                outcome=event.outcome,
            )
        )
    return EventPage(items, page.total_count, page.limit, page.offset)


OPERATIONS = (
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
        "/events/{event_id:path}/explanation",
        _explain,
        "Events",
        "Say why an event costs what it costs: each fee in a sentence, its parts, and who paid",
        READ,
        query=EventQuery,
        answer=EventReason,
        errors=(404, 409),
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
