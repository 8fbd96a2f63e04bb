"""Operations on subscriptions: who uses which products, on what terms, and for how long."""

from __future__ import annotations

from typing import cast

import msgspec

from faregate.catalog import products
from faregate.catalog.products import VersionName
from faregate.core import subscribing
from faregate.core.codec import checked
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid
from faregate.core.subscribing import (
    CardSaved,
    ChangeSubscription,
    Subscribe,
    SubscriptionCommand,
    SubscriptionsChanged,
)
from faregate.core.subscriptions import Subscription
from faregate.customers.subscribing import (
    new_subscription,
    pay_page,
    show_plan_fee,
    show_subscription,
)
from faregate.customers.types import (
    CancelSubscription,
    CollectionMethod,
    CreateSubscription,
    PauseSubscription,
    ReactivateSubscription,
    ShownSubscription,
    SubscriptionChange,
    UpdateSubscribedProduct,
)
from faregate.engine.base import EngineBase, Key
from faregate.payments import methods
from faregate.platform.environments import AccountContext


class SubscriptionOperations(EngineBase):
    """Subscriptions."""

    async def create_subscription(
        self,
        customer_id: str,
        request: CreateSubscription,
        *,
        idempotency_key: str | None = None,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> ShownSubscription:
        """Subscribe a customer to products; what they ask first is charged at once.

        If the balance does not cover it, the subscription waits (`action_required`) and begins
        when credit comes. `base_url` is where our pages are.
        """
        return await self._new_subscription(
            customer_id, request, idempotency_key, base_url, context, is_own=False
        )

    async def _new_subscription(
        self,
        customer_id: str,
        request: CreateSubscription,
        idempotency_key: str | None,
        base_url: str,
        context: AccountContext | None,
        *,
        is_own: bool,
    ) -> ShownSubscription:
        """Subscribe a customer, for the account or (`is_own`) as they ask themselves."""
        request = checked(request)
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        key = Key(f"subscriptions of {customer_id}", idempotency_key, environment)

        cards = await methods.list_methods(self._store, environment, customer_id)

        async def make() -> Subscription:
            view = self._catalog.view(environment)
            return new_subscription(
                request, view, "", self._ticked(), present.now, has_card=bool(cards)
            )

        if idempotency_key is None:
            made = await make()
        else:
            # What is to be written is kept first: a repeat after a fault writes just that, if it
            # was not written.
            async with self._store.transaction() as transaction:
                made = await self._once(key, transaction, request, Subscription, make)
        command = Subscribe(customer_id, (made,), is_own)
        changed = cast(SubscriptionsChanged, await lane.submit(command, environment))
        found = changed.subscription
        if found.terms.needs == "payment_method" and await methods.list_methods(
            self._store, environment, customer_id
        ):
            # The card was left after it was looked for: whoever kept it found nothing that waited.
            saved = await lane.submit(CardSaved(customer_id), environment)
            known = {s.id: s for s in cast(SubscriptionsChanged, saved).subscriptions}
            found = known.get(found.id, found)
        view = self._catalog.view(environment)
        page = pay_page(base_url, customer_id)
        return show_subscription(found, view.products, present.now, page)

    async def list_subscriptions(
        self, customer_id: str, *, base_url: str = "", context: AccountContext | None = None
    ) -> list[ShownSubscription]:
        """Return a customer's subscriptions as they are now, the oldest first. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        known, page = self._catalog.view(environment).products, pay_page(base_url, customer_id)
        return [show_subscription(s, known, present.now, page) for s in present.subscriptions]

    async def get_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> ShownSubscription:
        """Return one of a customer's subscriptions as it is now. Raises 404."""
        found = await self.list_subscriptions(customer_id, base_url=base_url, context=context)
        for shown in found:
            if shown.id == subscription_id:
                return shown
        detail = f"the customer has no subscription {subscription_id[:100]!r}"
        raise FaregateError(Problem(NOT_FOUND, detail))

    async def set_subscription_status(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        is_active: bool,
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Switch a subscription on or off, from now."""
        command = ChangeSubscription(customer_id, subscription_id, is_active)
        return await self._change(command, context)

    async def set_collection_method(
        self,
        customer_id: str,
        subscription_id: str,
        method: CollectionMethod,
        *,
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Say what pays a subscription from now on: the balance alone, or for what that lacks the
        customer's saved card. Raises 404."""
        is_by_card = method == "charge_automatically"
        command = subscribing.ChangeCollection(customer_id, subscription_id, is_by_card)
        return await self._change(command, context)

    async def set_subscription_version(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        version: VersionName,
        *,
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Move a subscription's product to another version, from now."""
        request = UpdateSubscribedProduct(version, effective="now")
        return await self.move_subscription(
            customer_id, subscription_id, product, request, context=context
        )

    async def move_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        request: UpdateSubscribedProduct,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Move a subscription's product to another version or to other seats.

        Raises 402 if what that costs now is not there: then nothing has changed. Raises 404, 422.
        """
        command = self._move_of(customer_id, subscription_id, product, request, context)
        return await self._change(command, context, base_url)

    def _move_of(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        request: UpdateSubscribedProduct,
        context: AccountContext | None,
    ) -> ChangeSubscription:
        """Make a move's command of its request. Raises 404, 422."""
        request = checked(request)
        environment = self._environment(context)
        found = products.find_product(self._catalog, environment, product)
        number: int | None = None
        if request.version is None and request.quantity is None:
            raise FaregateError(invalid("version", "or quantity is missing: say what changes"))
        if request.version is not None and request.version != "default":
            row = products.find_version(found, request.version)
            if row.status != "published":
                remedy = f"{request.version} is {row.status}: publish it"
                raise FaregateError(invalid("version", remedy))
            number = row.version
        elif request.version is not None and found.default_version is None:
            raise FaregateError(invalid("version", "has no published version: publish one"))
        return ChangeSubscription(
            customer_id,
            subscription_id,
            None,
            found.id,
            number,
            request.version is not None,
            request.quantity,
            request.effective,
            request.proration,
            request.credits,
        )

    async def pause_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        request: PauseSubscription,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Let a subscription rest: its periods stand still, its prices do not apply."""
        request = checked(request)
        command = subscribing.PauseSubscription(customer_id, subscription_id, request.resumes_at)
        return await self._change(command, context, base_url)

    async def resume_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Let a paused subscription go on; what was left of its periods is left of them."""
        command = subscribing.ResumeSubscription(customer_id, subscription_id)
        return await self._change(command, context, base_url)

    async def cancel_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        request: CancelSubscription,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """End a subscription with its period, or now."""
        given = msgspec.structs.asdict(checked(request))
        command = subscribing.CancelSubscription(customer_id, subscription_id, **given)
        return await self._change(command, context, base_url)

    async def reactivate_subscription(
        self,
        customer_id: str,
        subscription_id: str,
        request: ReactivateSubscription,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SubscriptionChange:
        """Take a cancellation back, or let a subscription begin again."""
        request = checked(request)
        command = subscribing.ReactivateSubscription(customer_id, subscription_id, request.has_card)
        return await self._change(command, context, base_url)

    async def _change(
        self, command: SubscriptionCommand, context: AccountContext | None, base_url: str = ""
    ) -> SubscriptionChange:
        environment = self._environment(context)
        lane = await self._lane_of(environment, command.customer_id)
        changed = cast(SubscriptionsChanged, await lane.submit(command, environment))
        view = self._catalog.view(environment)
        now = (await self._present(environment, lane, command.customer_id)).now
        page = pay_page(base_url, command.customer_id)
        return SubscriptionChange(
            show_subscription(changed.subscription, view.products, now, page),
            [show_plan_fee(fee, view.assets) for fee in changed.fees],
            changed.effective_at,
            changed.credits,
        )
