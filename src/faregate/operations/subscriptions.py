"""Subscriptions over REST."""

from __future__ import annotations

import msgspec

from faregate.core.problems import FaregateError, invalid
from faregate.customers.types import (
    CancelSubscription,
    CreateSubscription,
    PauseSubscription,
    ReactivateSubscription,
    ShownSubscription,
    SubscriptionChange,
    UpdateSubscribedProduct,
    UpdateSubscription,
)
from faregate.operations.operation import ADMIN, READ, REPRESENTATION, Answer, Call, Operation


class NothingSaid(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Nothing needs to be said: send `{}`."""


class Subscriptions(msgspec.Struct, frozen=True):
    """A customer's subscriptions, the oldest first."""

    items: list[ShownSubscription]
    total_count: int


async def _subscribe(call: Call) -> ShownSubscription:
    return await call.engine.create_subscription(
        call.path["customer_id"],
        call.body,
        idempotency_key=call.idempotency_key,
        base_url=call.base_url,
        context=call.context,
    )


async def _list(call: Call) -> Subscriptions:
    items = await call.engine.list_subscriptions(
        call.path["customer_id"], base_url=call.base_url, context=call.context
    )
    return Subscriptions(items, len(items))


async def _get(call: Call) -> ShownSubscription:
    return await call.engine.get_subscription(
        call.path["customer_id"],
        call.path["subscription_id"],
        base_url=call.base_url,
        context=call.context,
    )


async def _update(call: Call) -> None:
    customer_id, subscription_id = call.path["customer_id"], call.path["subscription_id"]
    method, status = call.body.collection_method, call.body.status
    if (method is None) == (status is None):
        raise FaregateError(invalid("status", "or collection_method: send one of the two"))
    if method is not None:
        await call.engine.set_collection_method(
            customer_id, subscription_id, method, context=call.context
        )
    if status is not None:
        await call.engine.set_subscription_status(
            customer_id, subscription_id, is_active=status == "active", context=call.context
        )


async def _move(call: Call) -> Answer | None:
    version = call.body.version
    if isinstance(version, int) and version < 1:
        raise FaregateError(invalid("version", f"is {version}: versions begin at 1"))
    changed = await call.engine.move_subscription(
        call.path["customer_id"],
        call.path["subscription_id"],
        call.path["product_id"],
        call.body,
        base_url=call.base_url,
        context=call.context,
    )
    return Answer(200, changed, REPRESENTATION) if REPRESENTATION in call.prefers else None


async def _pause(call: Call) -> SubscriptionChange:
    return await call.engine.pause_subscription(
        call.path["customer_id"],
        call.path["subscription_id"],
        call.body,
        base_url=call.base_url,
        context=call.context,
    )


async def _resume(call: Call) -> SubscriptionChange:
    return await call.engine.resume_subscription(
        call.path["customer_id"],
        call.path["subscription_id"],
        base_url=call.base_url,
        context=call.context,
    )


async def _cancel(call: Call) -> SubscriptionChange:
    return await call.engine.cancel_subscription(
        call.path["customer_id"],
        call.path["subscription_id"],
        call.body,
        base_url=call.base_url,
        context=call.context,
    )


async def _reactivate(call: Call) -> SubscriptionChange:
    return await call.engine.reactivate_subscription(
        call.path["customer_id"],
        call.path["subscription_id"],
        call.body,
        base_url=call.base_url,
        context=call.context,
    )


_ALL = "/customers/{customer_id}/subscriptions"
_ONE = f"{_ALL}/{{subscription_id}}"

OPERATIONS = (
    Operation(
        "POST",
        _ALL,
        _subscribe,
        "Subscriptions",
        "Subscribe a customer to products; what they ask first is charged",
        ADMIN,
        201,
        body=CreateSubscription,
        answer=ShownSubscription,
        errors=(404,),
    ),
    Operation(
        "GET",
        _ALL,
        _list,
        "Subscriptions",
        "List a customer's subscriptions, the oldest first",
        READ,
        answer=Subscriptions,
        errors=(404,),
    ),
    Operation(
        "GET",
        _ONE,
        _get,
        "Subscriptions",
        "Get a subscription as it is now",
        READ,
        answer=ShownSubscription,
        errors=(404,),
    ),
    Operation(
        "PATCH",
        _ONE,
        _update,
        "Subscriptions",
        "Switch a subscription on or off, or say what pays it",
        ADMIN,
        204,
        body=UpdateSubscription,
        errors=(404, 409),
    ),
    Operation(
        "PATCH",
        f"{_ONE}/products/{{product_id}}",
        _move,
        "Subscriptions",
        "Move a subscription's product to another version or to other seats",
        ADMIN,
        204,
        body=UpdateSubscribedProduct,
        other={200: SubscriptionChange},
        errors=(402, 404, 409),
    ),
    Operation(
        "POST",
        f"{_ONE}/pause",
        _pause,
        "Subscriptions",
        "Let a subscription rest; its periods stand still",
        ADMIN,
        body=PauseSubscription,
        answer=SubscriptionChange,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        f"{_ONE}/resume",
        _resume,
        "Subscriptions",
        "Let a paused subscription go on",
        ADMIN,
        body=NothingSaid,
        answer=SubscriptionChange,
        errors=(404, 409),
    ),
    Operation(
        "POST",
        f"{_ONE}/cancel",
        _cancel,
        "Subscriptions",
        "End a subscription with its period, or now",
        ADMIN,
        body=CancelSubscription,
        answer=SubscriptionChange,
        errors=(402, 404),
    ),
    Operation(
        "POST",
        f"{_ONE}/reactivate",
        _reactivate,
        "Subscriptions",
        "Take a cancellation back, or let a subscription begin again",
        ADMIN,
        body=ReactivateSubscription,
        answer=SubscriptionChange,
        errors=(404, 409),
    ),
)
