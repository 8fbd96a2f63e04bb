"""Coupons, and discounts of subscriptions, over REST."""

from __future__ import annotations

import msgspec

from faregate.catalog.coupons import CreateCoupon, ShownCoupon
from faregate.customers.types import AddDiscount, SubscriptionChange
from faregate.engine import Page
from faregate.operations.operation import ADMIN, READ_ALL, Call, Limit, Offset, Operation


class CouponPage(msgspec.Struct, frozen=True):
    """A page of coupons."""

    items: list[ShownCoupon]
    total_count: int
    limit: int
    offset: int


class CouponsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which coupons."""

    limit: Limit = 20
    offset: Offset = 0


async def _create(call: Call) -> ShownCoupon:
    return await call.engine.create_coupon(
        call.body, idempotency_key=call.idempotency_key, context=call.context
    )


async def _list(call: Call) -> Page:
    return await call.engine.list_coupons(call.query.limit, call.query.offset, context=call.context)


async def _get(call: Call) -> ShownCoupon:
    return await call.engine.get_coupon(call.path["coupon_code"], context=call.context)


async def _delete(call: Call) -> None:
    await call.engine.delete_coupon(call.path["coupon_code"], context=call.context)


async def _give(call: Call) -> SubscriptionChange:
    return await call.engine.add_discount(
        call.path["customer_id"],
        call.path["subscription_id"],
        call.body,
        base_url=call.base_url,
        context=call.context,
    )


async def _take(call: Call) -> None:
    await call.engine.remove_discount(
        call.path["customer_id"],
        call.path["subscription_id"],
        call.path["coupon_code"],
        context=call.context,
    )


_ONE = "/coupons/{coupon_code}"
_DISCOUNTS = "/customers/{customer_id}/subscriptions/{subscription_id}/discounts"

OPERATIONS = (
    Operation(
        "POST",
        "/coupons",
        _create,
        "Coupons",
        "Create a coupon: a percentage off each fee, or an amount off each period",
        ADMIN,
        201,
        body=CreateCoupon,
        answer=ShownCoupon,
        errors=(409,),
    ),
    Operation(
        "GET",
        "/coupons",
        _list,
        "Coupons",
        "List the coupons that can be had, the newest first",
        READ_ALL,
        query=CouponsQuery,
        answer=CouponPage,
    ),
    Operation(
        "GET",
        _ONE,
        _get,
        "Coupons",
        "Get a coupon",
        READ_ALL,
        answer=ShownCoupon,
        errors=(404,),
    ),
    Operation(
        "DELETE",
        _ONE,
        _delete,
        "Coupons",
        "Delete a coupon; who has its discount keeps it",
        ADMIN,
        204,
        errors=(404,),
    ),
    Operation(
        "POST",
        _DISCOUNTS,
        _give,
        "Subscriptions",
        "Give a subscription the discount of a coupon",
        ADMIN,
        body=AddDiscount,
        answer=SubscriptionChange,
        errors=(404, 409),
    ),
    Operation(
        "DELETE",
        f"{_DISCOUNTS}/{{coupon_code}}",
        _take,
        "Subscriptions",
        "Take a discount from a subscription",
        ADMIN,
        204,
        errors=(404,),
    ),
)
