"""Operations by which customers choose their plan themselves, within what the account offers in its
portal's settings. What is not offered is refused here, whatever a form sends; how a change is paid
is the account's to say, so no request names it.
"""

from __future__ import annotations

import msgspec

from faregate.catalog import products
from faregate.catalog.memory import ProductRow
from faregate.core.own_plans import refuse_own_plan
from faregate.core.portal import PortalSettings
from faregate.core.problems import FORBIDDEN, FaregateError, Problem, conflict
from faregate.core.subscribing import ReplaceSubscription
from faregate.customers.subscribing import new_subscription
from faregate.customers.types import (
    CancelSubscription,
    CreateSubscription,
    Quantity,
    ReactivateSubscription,
    SubscribedProduct,
    SubscriptionChange,
    UpdateSubscribedProduct,
)
from faregate.engine.previews import ChangePreview, PreviewOperations
from faregate.payments import methods
from faregate.platform import brands
from faregate.platform.environments import AccountContext


class OwnPlan(msgspec.Struct, frozen=True):
    """A product that customers may take by themselves, in its default version. `subscription_id`
    is the customer's to it (None: they have none), `subscribed_version` what they have of it."""

    product_id: str
    code: str
    name: str
    version: int
    subscription_id: str | None = None
    subscribed_version: int | None = None


class OwnPlanOperations(PreviewOperations):
    """What customers choose themselves."""

    async def list_own_plans(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> list[OwnPlan]:
        """Return the products that the account offers, in its order. Raises 404."""
        environment = await self._look(context)
        has = {
            product.id: (subscription.id, product.version)
            for subscription in await self.list_subscriptions(customer_id, context=context)
            if subscription.status == "active"
            for product in subscription.products
        }
        found = []
        for name in (await self._settings(context)).plans:
            known = self._catalog.products(environment)
            row = known.get(name) or next((p for p in known.values() if p.code == name), None)
            if row is None or row.default_version is None:
                # It is of the other mode, or not to be had at the moment.
                continue
            mine, version = has.get(row.id, (None, None))
            number = version if isinstance(version, int) else None
            found.append(OwnPlan(row.id, row.code, row.name, row.default_version, mine, number))
        return found

    async def preview_own_plan(
        self,
        customer_id: str,
        product: str,
        quantity: int | None = None,
        *,
        replaces: str | None = None,
        context: AccountContext | None = None,
    ) -> ChangePreview:
        """Return what `take_own_plan` would do. Raises 403, 404, 409, 422."""
        request = await self._offered(customer_id, product, quantity, context)
        if replaces is None:
            return await self.preview_subscription(customer_id, request, context=context)
        command = await self._replacement(customer_id, replaces, request, context)
        return await self._previewed(command, context)

    async def take_own_plan(
        self,
        customer_id: str,
        product: str,
        quantity: int | None = None,
        *,
        replaces: str | None = None,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Subscribe the customer to a product that the account offers, in place of another of
        their subscriptions (`replaces`) if they say so: then both happens, or neither. Raises 402
        if a replacement lacks credit, 403 for what is not offered, 404, 409, 422."""
        request = await self._offered(customer_id, product, quantity, context)
        if replaces is None:
            made = await self._new_subscription(
                customer_id, request, None, base_url, context, is_own=True
            )
            return SubscriptionChange(made, [])
        command = await self._replacement(customer_id, replaces, request, context)
        return await self._change(command, context, base_url)

    async def preview_own_move(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        quantity: int | None = None,
        *,
        context: AccountContext | None = None,
    ) -> ChangePreview:
        """Return what `move_own_plan` would do. Raises 403, 404, 422."""
        request = await self._own_move(product, quantity, context)
        return await self.preview_move(
            customer_id, subscription_id, product, request, context=context
        )

    async def move_own_plan(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        quantity: int | None = None,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Move a subscription to the default version of an offered product that is in it, or to so
        many seats. Raises 402 if credit is lacking, 403 for what is not offered, 404, 422."""
        request = await self._own_move(product, quantity, context)
        return await self.move_subscription(
            customer_id, subscription_id, product, request, base_url=base_url, context=context
        )

    async def cancel_own_plan(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """End a subscription with its period. Raises 403 if the account does not let customers do
        so, 404."""
        if not (await self._settings(context)).may_cancel:
            detail = "subscriptions cannot be ended here: ask the account whom you deal with"
            raise FaregateError(Problem(FORBIDDEN, detail))
        request = CancelSubscription()
        return await self.cancel_subscription(
            customer_id, subscription_id, request, base_url=base_url, context=context
        )

    async def keep_own_plan(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Take back that a subscription ends with its period. Raises 404; 409 if it does not, or
        has ended already: only the account lets one begin again."""
        found = await self.get_subscription(customer_id, subscription_id, context=context)
        if found.status != "active" or found.ends_at is None:
            raise FaregateError(conflict("subscription_id", "there is nothing to take back"))
        request = ReactivateSubscription()
        return await self.reactivate_subscription(
            customer_id, subscription_id, request, base_url=base_url, context=context
        )

    async def _settings(self, context: AccountContext | None) -> PortalSettings:
        account_id = (context or self.context).account_id
        return (await brands.read_settings(self._store, account_id))[0]

    async def _product(self, product: str, context: AccountContext | None) -> ProductRow:
        """Return a product that is offered. Raises 403, also for one that there is not: what else
        is sold is nobody's business."""
        plans = (await self._settings(context)).plans
        refused = Problem(FORBIDDEN, f"{product[:100]!r} is not offered here: choose another plan")
        try:
            row = products.find_product(self._catalog, await self._look(context), product)
        except FaregateError:
            raise FaregateError(refused) from None
        if row.default_version is None or not {row.id, row.code} & set(plans):
            raise FaregateError(refused)
        return row

    async def _offered(
        self,
        customer_id: str,
        product: str,
        quantity: Quantity | None,
        context: AccountContext | None,
    ) -> CreateSubscription:
        row = await self._product(product, context)
        environment = self._environment(context)
        view = self._catalog.view(environment)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        refused = refuse_own_plan(present.subscriptions, view.products[row.id], present.now)
        if refused is not None:
            raise FaregateError(refused)
        return CreateSubscription([SubscribedProduct(row.id, quantity=quantity)])

    async def _own_move(
        self, product: str, quantity: int | None, context: AccountContext | None
    ) -> UpdateSubscribedProduct:
        await self._product(product, context)
        if quantity is not None:
            return UpdateSubscribedProduct(quantity=quantity)
        return UpdateSubscribedProduct("default")

    async def _replacement(
        self,
        customer_id: str,
        subscription_id: str,
        request: CreateSubscription,
        context: AccountContext | None,
    ) -> ReplaceSubscription:
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        cards = await methods.list_methods(self._store, environment, customer_id)
        view = self._catalog.view(environment)
        made = new_subscription(
            request, view, "", self._ticked(), present.now, has_card=bool(cards)
        )
        return ReplaceSubscription(customer_id, subscription_id, made)
