"""Operations on top-ups: a customer pays into their wallet, on a page of whoever collects. How much
credit that brings is settled when it begins. What becomes of it is in `payments`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, cast

import structlog
from msgspec import structs

from faregate.core.accounts import DEFAULT_ACCOUNT, account_id
from faregate.core.codec import checked
from faregate.core.given import check_free
from faregate.core.instants import is_in_range
from faregate.core.payment_rules import check_top_up
from faregate.core.problems import (
    NOT_FOUND,
    UNAVAILABLE,
    FaregateError,
    Problem,
    invalid,
)
from faregate.core.transactions import (
    AdjustmentRequest,
    Converted,
    ConvertTo,
    convert_payment,
)
from faregate.engine.base import AnsweredMeanwhile, Key, Page, merchant_of
from faregate.engine.payment_base import PaymentBase, payable_units, purpose_of
from faregate.payments import records
from faregate.payments.provider import (
    CheckoutAsked,
    PaymentProvider,
    ProviderDown,
    ProviderRefused,
)
from faregate.payments.records import (
    PaymentRecord,
    PaymentTerms,
)
from faregate.payments.types import (
    InitiateTopUp,
    TopUp,
    TopUpInitiated,
)
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Queries

CHECKOUT_LIFE: Final = timedelta(hours=24)
"""How long a customer has to pay."""

log = structlog.get_logger(__name__)


class TopUpOperations(PaymentBase):
    """Top-ups."""

    async def initiate_top_up(
        self,
        request: InitiateTopUp,
        *,
        idempotency_key: str | None = None,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> TopUpInitiated:
        """Begin a payment of a customer into their wallet: returns the page where they pay.

        How much credit it brings is settled now and kept for as long as the page lives. `base_url`
        is where our pages are. Raises 404, 422; 503 if the provider does not answer: then the same
        request under the same key goes on with the same payment.
        """
        request = checked(request)
        acts = context or self.context
        environment = acts.environment_id
        await self._lane_of(environment, request.customer_id)
        provider = self._provider_for(acts)
        key = Key("top-ups", idempotency_key, environment)

        async def make(transaction: Queries) -> PaymentRecord:
            record = self._new_top_up(request, provider, acts)
            rules = self._catalog.view(environment).payments
            refused = check_top_up(rules, request.amount, record.currency)
            if refused is not None:
                raise FaregateError(refused)
            bonus = await self._bonus_for(record)
            record = structs.replace(record, terms=structs.replace(record.terms, bonus=bonus))
            await records.insert_payment(transaction, record)
            return record

        async def once() -> PaymentRecord:
            async with self._store.transaction() as transaction:
                return await self._once(
                    key, transaction, request, PaymentRecord, lambda: make(transaction)
                )

        try:
            record = await once()
        except AnsweredMeanwhile:
            record = await once()
        record = await records.find_payment(self._store, record.id, environment)
        if record.checkout_ref is None and not record.is_final:
            record = await self._begin_checkout(record, provider, acts, base_url)
        return TopUpInitiated(
            record.id,
            record.status,
            record.terms.redirect_url,
            record.created_at,
            record.expires_at,
        )

    async def get_top_up(self, top_up_id: str, *, context: AccountContext | None = None) -> TopUp:
        """Return a top-up as it stands. Raises 404."""
        environment = await self._look(context)
        record = await records.find_payment(self._store, top_up_id, environment)
        if record.kind == "setup":
            raise FaregateError(Problem(NOT_FOUND, f"there is no payment {top_up_id[:100]!r}"))
        return await self._show(record)

    async def list_top_ups(
        self,
        customer_id: str | None = None,
        limit: int = 20,
        offset: int = 0,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List top-ups, the newest first, of one customer or of all."""
        environment = await self._look(context)
        found, total = await records.list_payments(
            self._store, environment, customer_id, limit, offset
        )
        return Page([await self._show(record) for record in found], total, limit, offset)

    def _new_top_up(
        self, request: InitiateTopUp, provider: PaymentProvider, acts: AccountContext
    ) -> PaymentRecord:
        """Work out what a top-up asks and promises. Raises 422."""
        view, now = self._catalog.view(acts.environment_id), self._clock()
        asset = view.assets.get(request.currency)
        if asset is None or not asset.is_currency:
            shown = f"{request.currency!r} is no currency"
            raise FaregateError(invalid("currency", f"{shown}: send one of ISO 4217, e.g. 'USD'"))
        units = payable_units(request.amount, asset)
        refusal = check_free("metadata", request.metadata)
        if refusal is not None:
            raise FaregateError(refusal)
        ends = request.credit_expires_at
        if ends is not None and (not is_in_range(ends) or ends <= now + CHECKOUT_LIFE):
            remedy = f"is less than {CHECKOUT_LIFE} away, or out of range: send a later instant"
            raise FaregateError(invalid("credit_expires_at", f"{ends.isoformat()} {remedy}"))
        destination = request.destination
        name, code, rate = DEFAULT_ACCOUNT, asset.code, None
        promised = units
        if destination is not None:
            name, code = destination.account_name or name, destination.asset
            if code != asset.code:
                converted = self._converted(request, units, acts)
                promised, rate = converted.units, converted.rate
            elif destination.exchange_rate is not None:
                remedy = "has no meaning where nothing is converted: leave it out"
                raise FaregateError(invalid("destination.exchange_rate", remedy))
        payment_id = self._ticked().next("tup")
        terms = PaymentTerms(
            request.return_url,
            request.failure_url,
            "",
            request.description,
            request.metadata,
            rate,
            ends,
        )
        return PaymentRecord(
            payment_id,
            acts.environment_id,
            request.customer_id,
            "top_up",
            "initiated",
            provider.name,
            None,
            None,
            asset.code,
            units,
            account_id(name, code),
            promised,
            terms,
            None,
            now,
            now + CHECKOUT_LIFE,
            now,
            now + timedelta(seconds=records.CHECK_AFTER[0]),
        )

    def _converted(self, request: InitiateTopUp, units: int, acts: AccountContext) -> Converted:
        destination = request.destination
        if destination is None:
            raise AssertionError("there is nothing to convert to")
        asked = AdjustmentRequest(
            "top-up",
            request.currency,
            request.amount,
            "external_topup",
            convert_to=ConvertTo(
                destination.asset, destination.account_name, destination.exchange_rate
            ),
        )
        view = self._catalog.view(acts.environment_id)
        found = convert_payment(
            asked, cast(ConvertTo, asked.convert_to), units, view, self._clock()
        )
        if isinstance(found, Problem):
            errors = {
                path.replace("convert_to", "destination"): [
                    text.replace("convert_to", "destination") for text in texts
                ]
                for path, texts in found.errors.items()
            }
            detail = found.detail.replace("convert_to", "destination")
            raise FaregateError(structs.replace(found, detail=detail, errors=errors))
        return found

    async def _begin_checkout(
        self,
        record: PaymentRecord,
        provider: PaymentProvider,
        acts: AccountContext,
        base_url: str,
    ) -> PaymentRecord:
        asked = CheckoutAsked(
            merchant_of(acts),
            record.id,
            await self._payer(record.environment_id, record.customer_id, provider.name),
            self._money(record.environment_id, record.currency, record.amount_units),
            purpose_of(record, acts),
            record.terms.return_url,
            record.terms.failure_url,
            record.expires_at,
            base_url,
        )
        try:
            begun = await provider.begin_checkout(asked)
        except ProviderDown as error:
            detail = f"{provider.name} does not answer: send the same request again ({error})"
            raise FaregateError(Problem(UNAVAILABLE, detail, {}, 5)) from error
        except ProviderRefused as error:
            if error.code == "misconfigured":
                # The customer cannot change it; once it is set right, a repeat goes on.
                log.error("not set up right", provider=provider.name, why=str(error))
                detail = f"{provider.name} cannot collect as it is set up: {error}"
                raise FaregateError(Problem(UNAVAILABLE, detail, {}, 60)) from None
            await self._write(structs.replace(record, status="failed", problem=str(error)))
            raise FaregateError(
                invalid("amount", f"is refused by {provider.name}: {error}")
            ) from None
        begun_record = structs.replace(
            record,
            checkout_ref=begun.checkout_ref,
            expires_at=begun.expires_at,
            terms=structs.replace(record.terms, redirect_url=begun.redirect_url),
        )
        return await self._write(begun_record)
