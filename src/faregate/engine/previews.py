"""Operations that say what a change of a subscription would cost, and change nothing."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal

import msgspec

from faregate.core import subscribing
from faregate.core.amounts import to_decimal
from faregate.core.codec import checked
from faregate.core.previewing import preview
from faregate.core.problems import FaregateError, Problem
from faregate.core.subscribing import Subscribe, SubscriptionCommand
from faregate.customers.subscribing import new_subscription, show_plan_fee, show_subscription
from faregate.customers.types import (
    CancelSubscription,
    CreateSubscription,
    ShownPlanFee,
    ShownSubscription,
    UpdateSubscribedProduct,
)
from faregate.engine.subscriptions import SubscriptionOperations
from faregate.ledger import reading
from faregate.payments import methods
from faregate.platform.environments import AccountContext


class DueAmount(msgspec.Struct, frozen=True):
    """What an account is charged in all (below 0: given back), what it has now, and what it lacks
    for that."""

    account_id: str
    asset: str
    amount: Decimal
    available: Decimal
    lacking: Decimal


class ChangePreview(msgspec.Struct, frozen=True):
    """What a change of a subscription would come to. `due` sums up by account what `fees` are at
    once; `next_due` and `next_fees` are fixed fees at `next_at`, use not counted (None: none is
    known). With a `refusal` it could not be done now: credit is lacking."""

    subscription: ShownSubscription
    due: list[DueAmount]
    fees: list[ShownPlanFee]
    effective_at: datetime | None
    credits: str | None
    next_at: datetime | None
    next_due: list[DueAmount]
    next_fees: list[ShownPlanFee]
    refusal: str | None = None


class PreviewOperations(SubscriptionOperations):
    """What a change of a subscription would cost."""

    async def preview_subscription(
        self,
        customer_id: str,
        request: CreateSubscription,
        *,
        context: AccountContext | None = None,
    ) -> ChangePreview:
        """Return what `create_subscription` would do. Raises 404, 422."""
        request = checked(request)
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        cards = await methods.list_methods(self._store, environment, customer_id)
        view = self._catalog.view(environment)
        made = new_subscription(
            request, view, "", self._ticked(), present.now, has_card=bool(cards)
        )
        return await self._previewed(Subscribe(customer_id, (made,)), context)

    async def preview_move(
        self,
        customer_id: str,
        subscription_id: str,
        product: str,
        request: UpdateSubscribedProduct,
        *,
        context: AccountContext | None = None,
    ) -> ChangePreview:
        """Return what `move_subscription` would do. Raises 404, 422."""
        await self._look(context)
        command = self._move_of(customer_id, subscription_id, product, request, context)
        return await self._previewed(command, context)

    async def preview_cancellation(
        self,
        customer_id: str,
        subscription_id: str,
        request: CancelSubscription,
        *,
        context: AccountContext | None = None,
    ) -> ChangePreview:
        """Return what `cancel_subscription` would do. Raises 404, 422."""
        await self._look(context)
        given = msgspec.structs.asdict(checked(request))
        command = subscribing.CancelSubscription(customer_id, subscription_id, **given)
        return await self._previewed(command, context)

    async def _previewed(
        self, command: SubscriptionCommand, context: AccountContext | None
    ) -> ChangePreview:
        environment = self._environment(context)
        lane = await self._lane_of(environment, command.customer_id)
        state = await reading.read_customer(self._store, lane.number, command.customer_id)
        view = self._catalog.view(environment)
        present = reading.as_of(state, view, lane.now())
        found = preview(state, command, view, present.now, self._ticked())
        if isinstance(found, Problem):
            raise FaregateError(found)
        has = {
            name: to_decimal(account.available_units, view.assets[account.asset].scale)
            for name, account in present.accounts.items()
        }
        fees, next_fees = (
            [show_plan_fee(fee, view.assets) for fee in listed]
            for listed in (found.fees, found.next_fees)
        )
        shown = show_subscription(found.subscription, view.products, present.now)
        return ChangePreview(
            shown,
            _due(fees, has),
            fees,
            found.effective_at,
            found.credits,
            found.next_at,
            _due(next_fees, has),
            next_fees,
            None if found.refusal is None else found.refusal.detail,
        )


def _due(fees: list[ShownPlanFee], has: dict[str, Decimal]) -> list[DueAmount]:
    """Sum fees up by account."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for fee in fees:
        sums[fee.account_id, fee.asset] += fee.amount
    zero = Decimal(0)
    return [
        DueAmount(
            account,
            asset,
            amount,
            has.get(account, zero),
            max(zero, amount - max(zero, has.get(account, zero)) if amount > 0 else zero),
        )
        for (account, asset), amount in sums.items()
    ]
