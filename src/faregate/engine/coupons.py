"""Operations on what the seller offers to take off fees, and on who has it."""

from __future__ import annotations

from faregate.catalog import coupons
from faregate.catalog.coupons import CreateCoupon, ShownCoupon
from faregate.core.codec import checked
from faregate.core.subscribing import GiveDiscount, TakeDiscount
from faregate.customers.types import AddDiscount, SubscriptionChange
from faregate.engine.base import Key, Page
from faregate.engine.subscriptions import SubscriptionOperations
from faregate.platform.environments import AccountContext


class CouponOperations(SubscriptionOperations):
    """Coupons, and the discounts of subscriptions."""

    async def create_coupon(
        self,
        request: CreateCoupon,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> ShownCoupon:
        """Create a coupon. Raises 409 if its code is taken, 422."""
        request = checked(request)
        environment = await self._look(context)
        async with self._catalog_change() as change:

            async def make() -> ShownCoupon:
                now = self._clock()
                coupon = coupons.read_coupon(self._catalog, environment, request, now)
                return await coupons.insert_coupon(change, environment, coupon, now)

            key = Key("coupons", idempotency_key, environment)
            return await self._once(key, change, request, ShownCoupon, make)

    async def get_coupon(self, code: str, *, context: AccountContext | None = None) -> ShownCoupon:
        """Return a coupon, also one that was deleted. Raises 404."""
        return await coupons.get_coupon(self._store, self._environment(context), code)

    async def list_coupons(
        self, limit: int = 20, offset: int = 0, *, context: AccountContext | None = None
    ) -> Page:
        """List the coupons that can be had, the newest first."""
        environment = self._environment(context)
        items, count = await coupons.list_coupons(self._store, environment, limit, offset)
        return Page(items, count, limit, offset)

    async def delete_coupon(self, code: str, *, context: AccountContext | None = None) -> None:
        """Let a coupon be had no more; who has its discount keeps it. Raises 404."""
        async with self._catalog_change() as change:
            await coupons.delete_coupon(change, self._environment(context), code, self._clock())

    async def add_discount(
        self,
        customer_id: str,
        subscription_id: str,
        request: AddDiscount,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Give a subscription the discount of a coupon, from now on; one that it has already stays
        as it is. Raises 404, 409, 422."""
        request = checked(request)
        command = GiveDiscount(customer_id, subscription_id, request.coupon)
        return await self._change(command, context, base_url)

    async def remove_discount(
        self,
        customer_id: str,
        subscription_id: str,
        code: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Take a discount from a subscription, from now on. Raises 404."""
        command = TakeDiscount(customer_id, subscription_id, code)
        return await self._change(command, context, base_url)
