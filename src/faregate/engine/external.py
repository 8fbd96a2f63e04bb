"""Operations on payments that the seller's own system has collected: what it tells at the door is
written down, once under its own ids, and then booked like any payment. Its order does not matter:
a refund that comes before its payment waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

import structlog
from msgspec import structs

from faregate.core.amounts import Number, power_of_ten, to_decimal
from faregate.core.assets import Asset
from faregate.core.codec import decode_request
from faregate.core.given import check_free
from faregate.core.instants import is_in_range
from faregate.core.problems import (
    FORBIDDEN,
    NOT_FOUND,
    FaregateError,
    Problem,
    conflict,
    invalid,
)
from faregate.customers import directory
from faregate.engine.base import merchant_of
from faregate.engine.payment_base import payable_units
from faregate.engine.payments import PaymentOperations
from faregate.engine.top_ups import TopUpOperations
from faregate.payments import records, told
from faregate.payments.external import (
    EXTERNAL,
    Paid,
    PaidMessage,
    Refunded,
    RefundedMessage,
)
from faregate.payments.provider import BadMessage
from faregate.payments.records import PaymentRecord
from faregate.payments.told import ToldPayment, ToldRefund
from faregate.payments.types import InitiateTopUp
from faregate.platform.environments import AccountContext
from faregate.store.protocol import DuplicateKey

log = structlog.get_logger(__name__)


class ExternalOperations(TopUpOperations, PaymentOperations):
    """Payments that are collected elsewhere."""

    def external_secret(self, *, context: AccountContext | None = None) -> str:
        """Return the secret by which an account's own system signs, in its mode. Raises 404 if the
        server was given none to make it from."""
        found = self.external.secrets.of(merchant_of(context or self.context))
        if not found:
            detail = "external payments are not set up: see docs/external-payments.md"
            raise FaregateError(Problem(NOT_FOUND, detail))
        return found[0]

    async def receive_message(
        self,
        provider_name: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        context: AccountContext | None = None,
    ) -> str | None:
        """Take a message of a payment provider; see `PaymentOperations`. One of the seller's own
        system is believed: also raises 409 for a payment or refund that was told differently
        before, and 404 and 422 for what cannot be booked; nothing has happened then."""
        if provider_name != EXTERNAL:
            return await super().receive_message(provider_name, headers, body, context=context)
        acts = context or self.context
        self.external_secret(context=acts)
        try:
            self.external.read_message(headers, body, merchant_of(acts), self._clock())
        except BadMessage as error:
            log.warning("a payment message was refused", provider=EXTERNAL, reason=str(error))
            detail = "the message is not genuine, or too old"
            raise FaregateError(Problem(FORBIDDEN, detail)) from None
        # As one type, so that what is wrong is named within it.
        message: PaidMessage | RefundedMessage = decode_request(
            PaidMessage | RefundedMessage,  # type: ignore[arg-type]
            body,
        )
        if isinstance(message, PaidMessage):
            return await self._take_paid(message.data, acts)
        return await self._take_refunded(message.data, acts)

    async def _take_paid(self, paid: Paid, acts: AccountContext) -> str:
        customer_id = await self._paying(paid, acts)
        known = await told.find_payment(self._store, acts.environment_id, paid.payment_id)
        if known is None:
            record = self._collected(paid, customer_id, acts)
            bonus = await self._bonus_for(record)
            record = structs.replace(record, terms=structs.replace(record.terms, bonus=bonus))
            known = await self._write_paid(record, paid, acts)
        found = await records.find_payment(self._store, known.payment_id, acts.environment_id)
        self._check_same(found, paid, customer_id, acts)
        await self.settle_payment(known.payment_id)
        return known.payment_id

    async def _paying(self, paid: Paid, acts: AccountContext) -> str:
        """Return who has paid. Raises 404, 422."""
        if (paid.customer_id is None) == (paid.customer_external_id is None):
            remedy = "send either this or customer_external_id, not both"
            raise FaregateError(invalid("data.customer_id", remedy))
        customer_id = paid.customer_id
        if customer_id is None:
            customer_id = await directory.find_by_external_id(
                self._store, acts.environment_id, paid.customer_external_id or ""
            )
        await self._lane_of(acts.environment_id, customer_id)
        return customer_id

    async def _write_paid(
        self, record: PaymentRecord, paid: Paid, acts: AccountContext
    ) -> ToldPayment:
        minor = self._money(acts.environment_id, record.currency, record.amount_units).minor
        one = ToldPayment(acts.environment_id, paid.payment_id, record.id, minor, record.currency)
        try:
            async with self._store.transaction() as transaction:
                await told.insert_payment(transaction, one, self._clock())
                await records.insert_payment(transaction, record)
        except DuplicateKey:
            # The same was told at the same time.
            found = await told.find_payment(self._store, acts.environment_id, paid.payment_id)
            if found is None:
                raise
            return found
        return one

    def _collected(self, paid: Paid, customer_id: str, acts: AccountContext) -> PaymentRecord:
        """Work out what a payment brings, at the rates of now. Raises 422."""
        asked = self._asked(paid, customer_id)
        asset = self._currency(paid.currency, acts)
        ends = paid.credit_expires_at
        refusal = check_free("data.metadata", paid.metadata)
        if ends is not None and not is_in_range(ends):
            refusal = invalid("data.credit_expires_at", f"{ends.isoformat()} is out of range")
        if refusal is not None:
            raise FaregateError(refusal)
        now = self._clock()
        try:
            record = self._new_top_up(asked, self.external, acts)
        except FaregateError as error:
            raise FaregateError(error.problem.under("data")) from None
        return structs.replace(
            record,
            currency=asset.code,
            payment_ref=paid.payment_id,
            expires_at=now,
            terms=structs.replace(record.terms, credit_expires_at=ends),
            check_at=now + timedelta(seconds=records.CHECK_AFTER[0]),
        )

    def _asked(self, paid: Paid, customer_id: str) -> InitiateTopUp:
        return InitiateTopUp(
            customer_id,
            Number(paid.amount),
            paid.currency,
            "",
            "",
            paid.description,
            paid.destination,
            None,
            paid.metadata,
        )

    def _currency(self, code: str, acts: AccountContext) -> Asset:
        asset = self._catalog.view(acts.environment_id).assets.get(code)
        if asset is None or not asset.is_currency:
            remedy = "is no currency: send one of ISO 4217, e.g. 'USD'"
            raise FaregateError(invalid("data.currency", f"{code!r} {remedy}"))
        return asset

    def _check_same(
        self, found: PaymentRecord, paid: Paid, customer_id: str, acts: AccountContext
    ) -> None:
        """Raise 409 if a payment was told with another customer, amount or currency before."""
        scale = self._currency(found.currency, acts).scale
        before = to_decimal(found.amount_units, scale)
        pairs = {
            "data.customer_id": (found.customer_id, customer_id),
            "data.currency": (found.currency, paid.currency),
            "data.amount": (before, Decimal(paid.amount)),
        }
        differing = [name for name, (one, other) in pairs.items() if one != other]
        if differing:
            detail = (
                f"{paid.payment_id!r} was told before with another {', '.join(differing)}: "
                "a payment that is another one has another payment_id"
            )
            raise FaregateError(conflict(differing[0], detail, *differing[1:]))

    async def _take_refunded(self, refunded: Refunded, acts: AccountContext) -> str | None:
        environment = acts.environment_id
        asset = self._currency(refunded.currency, acts)
        paid = await told.find_payment(self._store, environment, refunded.payment_id)
        if paid is not None and paid.currency != refunded.currency:
            detail = f"is {refunded.currency}, and the payment was in {paid.currency}"
            raise FaregateError(invalid("data.currency", detail))
        try:
            units = payable_units(Number(refunded.amount), asset)
        except FaregateError as error:
            raise FaregateError(error.problem.under("data")) from None
        minor = units // power_of_ten(asset.scale - asset.precision)
        one = ToldRefund(
            environment, refunded.payment_id, refunded.refund_id, minor, refunded.currency
        )
        known = await self._write_told_refund(one)
        if known != one:
            detail = f"{one.refund_ref!r} was told before with another data.amount"
            raise FaregateError(conflict("data.amount", detail))
        # Only now: a payment that was not there before may have come in the meantime.
        paid = await told.find_payment(self._store, environment, refunded.payment_id)
        if paid is None:
            log.info("a refund waits for its payment", payment=refunded.payment_id)
            return None
        await self.settle_payment(paid.payment_id)
        return paid.payment_id

    async def _write_told_refund(self, one: ToldRefund) -> ToldRefund:
        """Write a refund down, or return what was told of it before."""
        found = await told.find_refund(self._store, one.environment_id, one.ref, one.refund_ref)
        if found is not None:
            return found
        if await told.count_refunds(self._store, one.environment_id, one.ref) >= told.MAX_REFUNDS:
            detail = f"is the {told.MAX_REFUNDS + 1}st of its payment: refund the rest as one"
            raise FaregateError(invalid("data.refund_id", detail))
        try:
            async with self._store.transaction() as transaction:
                await told.insert_refund(transaction, one, self._clock())
        except DuplicateKey:
            found = await told.find_refund(self._store, one.environment_id, one.ref, one.refund_ref)
            return one if found is None else found
        return one
