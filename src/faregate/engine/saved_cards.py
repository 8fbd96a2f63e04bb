"""Operations on saved cards: a customer leaves one on a page of whoever collects, or it stays from
a top-up; it is charged for what accounts ask by themselves. Whether it may be charged is asked of
the lane right before: what was switched off since never is.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog
from msgspec import structs

from faregate.core.accounts import DEFAULT_ACCOUNT, account_id
from faregate.core.codec import checked
from faregate.core.collecting import BeginCollection, CardNeed, CollectionFailed
from faregate.core.problems import NOT_FOUND, UNAVAILABLE, FaregateError, Problem, conflict
from faregate.core.subscribing import CardSaved
from faregate.engine.base import merchant_of
from faregate.engine.payment_base import PaymentBase, purpose_of
from faregate.payments import methods, records
from faregate.payments.methods import PaymentMethod
from faregate.payments.provider import (
    PaymentProvider,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    SavedCard,
    SavedCharge,
    SetupAsked,
)
from faregate.payments.records import PaymentRecord, PaymentTerms
from faregate.payments.types import COLLECTED, BeginSetup, SetupBegun
from faregate.platform.environments import AccountContext

SETUP_LIFE: Final = timedelta(hours=24)
"""How long a customer has to leave a card."""
SWITCHED_OFF: Final = "It was switched off before the card was charged."

log = structlog.get_logger(__name__)


class SavedCards(PaymentBase):
    """Saved cards."""

    async def begin_setup(
        self,
        customer_id: str,
        request: BeginSetup,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> SetupBegun:
        """Begin to save a card: returns the page where the customer leaves it. Raises 404, 409 if
        nobody collects for this account, 503 if the provider does not answer."""
        request = checked(request)
        acts = context or self.context
        await self._lane_of(acts.environment_id, customer_id)
        provider = self._provider_for(acts)
        now = self._clock()
        record = PaymentRecord(
            self._ticked().next("set"),
            acts.environment_id,
            customer_id,
            "setup",
            "initiated",
            provider.name,
            None,
            None,
            "USD",
            0,
            account_id(DEFAULT_ACCOUNT, "USD"),
            0,
            PaymentTerms(request.return_url, request.failure_url),
            None,
            now,
            now + SETUP_LIFE,
            now,
            now + timedelta(seconds=records.CHECK_AFTER[0]),
        )
        asked = SetupAsked(
            merchant_of(acts),
            record.id,
            await self._payer(acts.environment_id, customer_id, provider.name),
            request.return_url,
            request.failure_url,
            record.expires_at,
            base_url,
        )
        async with self._store.transaction() as transaction:
            await records.insert_payment(transaction, record)
        try:
            begun = await provider.begin_setup(asked)
        except ProviderDown as error:
            detail = f"{provider.name} does not answer: send the same request again ({error})"
            raise FaregateError(Problem(UNAVAILABLE, detail, {}, 5)) from error
        except ProviderRefused as error:
            await self._write(structs.replace(record, status="failed", problem=str(error)))
            detail = f"{provider.name} refuses: {error}"
            raise FaregateError(conflict("customer_id", detail)) from None
        record = await self._write(
            structs.replace(
                record,
                checkout_ref=begun.checkout_ref,
                expires_at=begun.expires_at,
                terms=structs.replace(record.terms, redirect_url=begun.redirect_url),
            )
        )
        return SetupBegun(record.id, begun.redirect_url, record.created_at, record.expires_at)

    async def list_payment_methods(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> list[PaymentMethod]:
        """Return a customer's saved cards, the default first; there are few. Raises 404."""
        environment = await self._look(context)
        await self._lane_of(environment, customer_id)
        return await methods.list_methods(self._store, environment, customer_id)

    async def make_default_method(
        self, customer_id: str, method_id: str, *, context: AccountContext | None = None
    ) -> PaymentMethod:
        """Let a saved card pay what is collected from now on. Raises 404."""
        environment = self._environment(context)
        await self._lane_of(environment, customer_id)
        async with self._store.transaction() as transaction:
            method = await methods.find_method(transaction, environment, customer_id, method_id)
            await methods.make_default(transaction, method)
        await self._card_saved(environment, customer_id)
        return structs.replace(method, is_default=True)

    async def remove_payment_method(
        self, customer_id: str, method_id: str, *, context: AccountContext | None = None
    ) -> None:
        """Forget a saved card: nothing is charged to it any more. Raises 404."""
        environment = self._environment(context)
        await self._lane_of(environment, customer_id)
        async with self._store.transaction() as transaction:
            method = await methods.find_method(transaction, environment, customer_id, method_id)
            await methods.remove_method(transaction, method)

    async def _keep_card(self, record: PaymentRecord, card: SavedCard | None) -> None:
        """Keep the card that a payment was made with, or that was left on a page for it. One that
        was charged by itself is there already, unless the customer has removed it since."""
        if card is None or record.kind in COLLECTED:
            return
        method = PaymentMethod(
            self._ticked().next("pm"),
            record.environment_id,
            record.customer_id,
            record.provider,
            card,
            record.kind == "setup",
            self._clock(),
        )
        async with self._store.transaction() as transaction:
            await methods.keep_card(transaction, method)
        await self._card_saved(record.environment_id, record.customer_id)

    async def _card_saved(self, environment: int, customer_id: str) -> None:
        """Let subscriptions go on that wait for a card. A repeat changes nothing."""
        lane = await self._lane_of(environment, customer_id)
        await lane.submit(CardSaved(customer_id), environment)

    async def _ask_other_card(self, record: PaymentRecord) -> None:
        """Let another card be asked at once that was left while a subscription's charge was in
        flight."""
        if record.kind != "subscription":
            return
        card = await self._default_card(record.environment_id, record.customer_id)
        if card is not None and card.id != record.terms.method_id:
            await self._card_saved(record.environment_id, record.customer_id)

    async def _default_card(self, environment_id: int, customer_id: str) -> PaymentMethod | None:
        """Return the card that pays; None if there is none, or nobody who could charge it."""
        known = await methods.list_methods(self._store, environment_id, customer_id)
        if not known:
            return None
        provider = self._providers.get(known[0].provider)
        merchant = merchant_of(await self._know(environment_id))
        return known[0] if provider is not None and provider.serves(merchant) else None

    async def _charge(
        self, record: PaymentRecord, provider: PaymentProvider, acts: AccountContext
    ) -> PaymentState:
        """Charge the saved card for a collection, if that is still wanted. Raises `ProviderDown`:
        it may have been charged, and the same is asked again."""
        lane = await self._lane_of(record.environment_id, record.customer_id)
        begin = BeginCollection(record.customer_id, record.id)
        if await lane.submit(begin, record.environment_id) is None:
            return PaymentState("failed", code="cancelled", text=SWITCHED_OFF)
        try:
            method = await methods.find_method(
                self._store, record.environment_id, record.customer_id, record.terms.method_id or ""
            )
        except FaregateError as error:
            if error.problem.kind is not NOT_FOUND:
                raise
            return PaymentState("failed", code="card_declined", text="The card was removed.")
        payer = await self._payer(record.environment_id, record.customer_id, provider.name)
        ref = method.card.payer_ref or payer.provider_ref
        asked = SavedCharge(
            merchant_of(acts),
            record.id,
            structs.replace(payer, provider_ref=ref),
            method.card.method_ref,
            self._money(record.environment_id, record.currency, record.amount_units),
            purpose_of(record, acts),
        )
        try:
            return await provider.charge(asked)
        except ProviderRefused as error:
            return PaymentState("failed", code=error.code, text=str(error))

    async def _collection_failed(
        self, record: PaymentRecord, reason: str, code: str | None
    ) -> None:
        """Tell the lane that a collection has come to nothing. A repeat changes nothing."""
        lane = await self._lane_of(record.environment_id, record.customer_id)
        # Where a bank asks for its customer, another card does not help.
        needs: CardNeed = "payment" if code == "authentication_required" else "payment_method"
        command = CollectionFailed(record.customer_id, record.id, reason, needs)
        await lane.submit(command, record.environment_id)
