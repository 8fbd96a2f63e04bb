"""Webhooks over REST."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.given import Id, Instant
from faregate.core.problems import FaregateError, invalid
from faregate.operations.operation import ADMIN, READ_ALL, Call, Limit, Operation
from faregate.webhooks.types import (
    Asked,
    CreateDestination,
    DestinationCreated,
    ListedDestination,
    Redeliver,
    Redelivering,
    RotateSecret,
    ShownDelivery,
    ShownDestination,
    State,
    TestSent,
    UpdateDestination,
)

ONE: Final = "/webhooks/{webhook_id}"
MAX_NAMED: Final = 20


class DestinationList(msgspec.Struct, frozen=True):
    """All destinations."""

    items: list[ListedDestination]
    total_count: int


class DestinationsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which destinations."""

    enabled: bool | None = None
    connect: bool | None = None


class Pagination(msgspec.Struct, omit_defaults=True, frozen=True):
    """How to go on: `next` leads to older events, `prev` to newer ones."""

    limit: int
    next: str | None = None
    prev: str | None = None


class DeliveryPage(msgspec.Struct, frozen=True):
    """A page of events, each with the destination that it was sent to."""

    models: list[ShownDelivery]
    pagination: Pagination


class DeliveriesQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which events: `status` tells by the last attempt, `state` by what is still to come.
    `destination_id` names several, separated by commas."""

    limit: Limit = 20
    next: Id | None = None
    prev: Id | None = None
    destination_id: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    status: Literal["Success", "Failed"] | None = None
    time_gte: Instant | None = None
    time_lte: Instant | None = None
    state: State | None = None
    topic: Annotated[str, Meta(max_length=100)] | None = None
    customer_id: Id | None = None


async def _create(call: Call) -> DestinationCreated:
    return await call.engine.create_webhook_destination(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list(call: Call) -> DestinationList:
    items = await call.engine.list_webhook_destinations(
        enabled=call.query.enabled, connect=call.query.connect, context=call.context
    )
    return DestinationList(items, len(items))


async def _get(call: Call) -> ShownDestination:
    return await call.engine.get_webhook_destination(call.path["webhook_id"], context=call.context)


async def _update(call: Call) -> ShownDestination:
    return await call.engine.update_webhook_destination(
        call.path["webhook_id"], call.body, context=call.context
    )


async def _delete(call: Call) -> None:
    await call.engine.delete_webhook_destination(call.path["webhook_id"], context=call.context)


async def _rotate(call: Call) -> ShownDestination:
    return await call.engine.rotate_webhook_secret(
        call.path["webhook_id"], call.body, context=call.context
    )


async def _redeliver(call: Call) -> Redelivering:
    return await call.engine.redeliver_webhooks(
        call.path["webhook_id"], call.body, context=call.context
    )


async def _test(call: Call) -> TestSent:
    path = call.path
    return await call.engine.test_webhook(
        path["topic"],
        path.get("webhook_id"),
        path.get("connected_account_id"),
        context=call.context,
    )


async def _events(call: Call) -> DeliveryPage:
    query: DeliveriesQuery = call.query
    if query.next is not None and query.prev is not None:
        raise FaregateError(invalid("prev", "is given with next: go one way at a time"))
    named = tuple(query.destination_id.split(",")) if query.destination_id else ()
    if len(named) > MAX_NAMED:
        message = f"names {len(named)} destinations: name at most {MAX_NAMED}"
        raise FaregateError(invalid("destination_id", message))
    asked = Asked(
        query.limit,
        query.next,
        query.prev,
        named,
        "delivered" if query.status == "Success" else query.state,
        query.status == "Failed",
        query.topic,
        query.customer_id,
        query.time_gte,
        query.time_lte,
    )
    items, has_older, has_newer = await call.engine.list_webhook_deliveries(
        asked, context=call.context
    )
    pagination = Pagination(
        query.limit,
        items[-1].delivery_id if items and has_older else None,
        items[0].delivery_id if items and has_newer else None,
    )
    return DeliveryPage(items, pagination)


def _test_operation(path: str, summary: str) -> Operation:
    return Operation(
        "POST",
        path,
        _test,
        "Webhooks",
        summary,
        ADMIN,
        202,
        answer=TestSent,
        errors=(404, 409, 422),
    )


OPERATIONS = (
    Operation(
        "POST",
        "/webhooks",
        _create,
        "Webhooks",
        "Register a URL that is told what happens; the answer has the secret that signs",
        ADMIN,
        201,
        body=CreateDestination,
        answer=DestinationCreated,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/webhooks",
        _list,
        "Webhooks",
        "List webhook destinations",
        READ_ALL,
        query=DestinationsQuery,
        answer=DestinationList,
    ),
    Operation(
        "GET",
        "/webhooks/events",
        _events,
        "Webhooks",
        "List what was sent, or is to be sent, to destinations, the newest first",
        READ_ALL,
        query=DeliveriesQuery,
        answer=DeliveryPage,
    ),
    _test_operation("/webhooks/test/{topic}", "Send a sample to all destinations of a topic"),
    _test_operation(
        "/webhooks/test/{topic}/{connected_account_id}",
        "Send a sample, as of a connected account, to all destinations that hear of it",
    ),
    _test_operation(f"{ONE}/test/{{topic}}", "Send a destination a sample of a topic"),
    _test_operation(
        f"{ONE}/test/{{topic}}/{{connected_account_id}}",
        "Send a destination a sample, as of a connected account",
    ),
    Operation(
        "POST",
        f"{ONE}/rotate-secret",
        _rotate,
        "Webhooks",
        "Give a destination a new secret; for a time the old one signs too",
        ADMIN,
        body=RotateSecret,
        answer=ShownDestination,
        errors=(404,),
    ),
    Operation(
        "POST",
        f"{ONE}/redeliver",
        _redeliver,
        "Webhooks",
        "Send a destination again one event, or those of a time",
        ADMIN,
        202,
        body=Redeliver,
        answer=Redelivering,
        errors=(404,),
    ),
    Operation(
        "GET",
        ONE,
        _get,
        "Webhooks",
        "Get a webhook destination with its secret",
        ADMIN,
        answer=ShownDestination,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        ONE,
        _update,
        "Webhooks",
        "Change a webhook destination, enable or disable it",
        ADMIN,
        body=UpdateDestination,
        answer=ShownDestination,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        ONE,
        _delete,
        "Webhooks",
        "Take a webhook destination away",
        ADMIN,
        204,
        errors=(404,),
    ),
)
