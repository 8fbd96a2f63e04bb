"""Operations behind the page where a customer does what their subscription needs: what is missing,
a payment of just that, and another card. Whoever has the page's link may do so: all of it brings
money in.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final

import msgspec

from faregate.core.amounts import Number, to_decimal
from faregate.core.codec import encode
from faregate.core.dunning import Short, asked_units, required
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.core.renewing import lacking
from faregate.customers.subscribing import show_subscription
from faregate.customers.types import ShownSubscription
from faregate.engine.payments import PaymentOperations
from faregate.engine.top_ups import TopUpOperations
from faregate.ledger import reading
from faregate.payments import records
from faregate.payments.records import PaymentRecord
from faregate.payments.types import BeginSetup, InitiateTopUp, Kind, TopUpDestination
from faregate.platform.environments import AccountContext

AN_HOUR: Final = 20
"""Pages that may be begun within an hour: whoever has the link cannot make rows without end."""
HOUR: Final = timedelta(hours=1)
TOO_MANY: Final = "it was tried too often: wait an hour, or ask the shop"


class ToPay(msgspec.Struct, frozen=True):
    """A subscription, and what it lacks now: `amount` of `currency`, as somebody can pay it (None:
    nothing, or nothing that is paid in a currency). `needs` is what a person must do."""

    subscription: ShownSubscription
    product_names: list[str]
    needs: str | None
    amount: Decimal | None
    currency: str
    return_url: str | None
    is_charging: bool


class _Lacking(msgspec.Struct, frozen=True):
    shown: ToPay
    name: str
    account_id: str


class PayingOperations(TopUpOperations, PaymentOperations):
    """What a customer does for a subscription."""

    async def get_to_pay(
        self, customer_id: str, subscription_id: str, *, context: AccountContext | None = None
    ) -> ToPay:
        """Return what a subscription needs now. Raises 404."""
        return (await self._lacking(customer_id, subscription_id, context)).shown

    async def begin_paying(
        self,
        customer_id: str,
        subscription_id: str,
        page: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> str:
        """Begin a payment of what a subscription lacks; returns where the customer pays, who is led
        back to `page`. Who asks again within an hour gets the same one, as long as it can be paid.
        Raises 404, 409 if there is nothing to pay, 503."""
        begun_before = await self._begun_before(customer_id, "top_up", context)
        is_new = all(record.terms.return_url != page for record in begun_before)
        if is_new and len(begun_before) == AN_HOUR:
            raise FaregateError(conflict("subscription_id", TOO_MANY))
        after = ""
        for _ in range(AN_HOUR):
            found = await self._lacking(customer_id, subscription_id, context)
            amount = found.shown.amount
            if amount is None or found.shown.is_charging:
                raise FaregateError(conflict("subscription_id", "there is nothing to pay now"))
            name, _, code = found.account_id.rpartition(":")
            request = InitiateTopUp(
                customer_id,
                Number(amount),
                code,
                page,
                page,
                ", ".join(found.shown.product_names)[:100] or None,
                TopUpDestination(code, name),
            )
            # The same page may be reached under several names, and lead back to each.
            asked = sha256(encode(request)).hexdigest()[:32]
            key = f"{found.name} {asked} {self._clock():%Y-%m-%dT%H}{after}"
            begun = await self.initiate_top_up(
                request, idempotency_key=key, base_url=base_url, context=context
            )
            if not await self._is_over(begun.id, begun.created_at):
                return begun.redirect_url
            after = f" after {begun.id}"
        raise FaregateError(conflict("subscription_id", TOO_MANY))

    async def _begun_before(
        self, customer_id: str, kind: Kind, context: AccountContext | None
    ) -> list[PaymentRecord]:
        """Return what the customer has begun within an hour, as far as it may be."""
        environment, since = (context or self.context).environment_id, self._clock() - HOUR
        return await records.list_begun(self._store, environment, customer_id, kind, since, AN_HOUR)

    async def _is_over(self, payment_id: str, created_at: datetime) -> bool:
        """Tell whether a page is of no more use: what has become of it may not be heard of yet."""
        if created_at < self._clock():
            await self.settle_payment(payment_id)
        return (await records.find_payment(self._store, payment_id, None)).is_final

    async def begin_leaving_card(
        self,
        customer_id: str,
        subscription_id: str,
        page: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> str:
        """Begin to save a card for a subscription that needs one; returns where the customer leaves
        it, who is led back to `page`. Who asks again within an hour gets the same one. Raises 404,
        409 if none is needed, or if too many were asked for, 503."""
        found = await self._lacking(customer_id, subscription_id, context)
        if found.shown.needs is None:
            raise FaregateError(conflict("subscription_id", "no card is needed now"))
        begun_before = await self._begun_before(customer_id, "setup", context)
        for record in begun_before:
            terms = record.terms
            if record.is_final or terms.return_url != page or not terms.redirect_url:
                continue
            if not await self._is_over(record.id, record.created_at):
                return terms.redirect_url
            # The card may have been left there.
            return await self.begin_leaving_card(
                customer_id, subscription_id, page, base_url=base_url, context=context
            )
        if len(begun_before) == AN_HOUR:
            raise FaregateError(conflict("subscription_id", TOO_MANY))
        begun = await self.begin_setup(
            customer_id, BeginSetup(page, page), base_url=base_url, context=context
        )
        return begun.redirect_url

    async def _lacking(
        self, customer_id: str, subscription_id: str, context: AccountContext | None
    ) -> _Lacking:
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        view = self._catalog.view(environment)
        state = await reading.read_customer(self._store, lane.number, customer_id)
        present = reading.as_of(state, view, lane.now())
        found = next((s for s in present.subscriptions if s.id == subscription_id), None)
        if found is None:
            detail = f"the customer has no subscription {subscription_id[:100]!r}"
            raise FaregateError(Problem(NOT_FOUND, detail))
        short = lacking(state, view, found, present.now)
        account = "" if short is None else short.account_id
        amount, code = None, account.rpartition(":")[2]
        if short is not None:
            amount = self._payable(environment, short)
        shown = ToPay(
            show_subscription(found, view.products, present.now),
            [view.products[b.product_id].name for b in found.current_bindings()],
            required(found),
            amount,
            code,
            found.terms.return_url,
            found.terms.charge is not None,
        )
        return _Lacking(shown, f"pay {found.id} {found.terms.turns}", account)

    def _payable(self, environment: int, short: Short) -> Decimal | None:
        """Return what a customer pays who lacks something; None if that is not paid in money."""
        view = self._catalog.view(environment)
        asset = view.assets[short.account_id.rpartition(":")[2]]
        if not asset.is_currency or short.units <= 0:
            return None
        amount = to_decimal(asked_units(view, asset, short.units), asset.scale)
        bounds = view.payments.top_ups.get(asset.code)
        if bounds is not None and bounds.maximum is not None:
            # The rest is asked for when this has come.
            amount = min(amount, Decimal(bounds.maximum))
        return amount
