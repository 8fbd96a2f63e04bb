"""Operations on refunds: the seller gives money back. The credit is taken first, so that it cannot
be spent meanwhile; then the provider is asked. What it refuses gives the credit again; what it does
not answer is asked again, under the same id, until it does.
"""

from __future__ import annotations

from typing import Final

from faregate.core.amounts import plain, to_decimal
from faregate.core.codec import checked
from faregate.core.payments import BookedPayment, credit_key
from faregate.core.problems import FaregateError, conflict, invalid
from faregate.engine.base import Key, Page, page_of
from faregate.engine.payment_base import TAKEN, payable_units
from faregate.engine.payment_returns import FIRST_CHECK, paid_units, returned_units
from faregate.engine.payments import PaymentOperations
from faregate.payments import records
from faregate.payments.records import PaymentRecord, ReturnRecord, ReturnTerms
from faregate.payments.types import CreateRefund, Refund
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Queries

MAX_RETURNS: Final = 100
"""Refunds and disputes of one payment."""


class RefundOperations(PaymentOperations):
    """Refunds."""

    async def refund_top_up(
        self,
        top_up_id: str,
        request: CreateRefund,
        *,
        idempotency_key: str | None = None,
        context: AccountContext | None = None,
    ) -> Refund:
        """Give money of a top-up back. Its credit is gone from the wallet when this is answered,
        also where the refund is still `pending`. Raises 404; 409 if nothing was paid; 422 if it is
        more than is left, or the provider refuses; 503 if the provider does not answer before
        anything was done: then the same request under the same key is safe."""
        request = checked(request)
        acts = context or self.context
        key = Key(f"refunds of {top_up_id}", idempotency_key, acts.environment_id)
        record = await records.find_payment(self._store, top_up_id, acts.environment_id)
        async with self._payment_lock(record.id):
            first = await self._first_answer(self._store, key, request, ReturnRecord)
            if first is None:
                # Money may have gone back at the provider of which nothing was heard yet.
                record = await self._ask(record)
                first = await self._write_asked_refund(record, request, key)
            found = await records.find_return(self._store, first.id)
            found = await self._bring_up(record, await self._booked(record), found)
        if found.status == "failed" and found.ref is None:
            detail = f"is refused by {record.provider}: {found.terms.problem}"
            raise FaregateError(invalid("amount", detail))
        return self._show_return(record, found)

    async def list_refunds(
        self,
        top_up_id: str,
        limit: int = 20,
        offset: int = 0,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List what has gone back of a top-up or is about to, refunds and disputes, the oldest
        first. Raises 404."""
        environment = await self._look(context)
        record = await records.find_payment(self._store, top_up_id, environment)
        found = await records.list_returns(self._store, record.id)
        return page_of([self._show_return(record, one) for one in found], limit, offset)

    async def _booked(self, record: PaymentRecord) -> BookedPayment:
        lane = await self._lane_of(record.environment_id, record.customer_id)
        booked = await self._booked_under(lane, record.customer_id, credit_key(record.id))
        if booked is None:
            detail = f"{record.id} is {record.status}: only what was paid can be given back"
            raise FaregateError(conflict("top_up_id", detail))
        return booked

    async def _write_asked_refund(
        self, record: PaymentRecord, request: CreateRefund, key: Key
    ) -> ReturnRecord:
        """Write down that money shall go back. Raises 409, 422."""
        booked = await self._booked(record)
        refund_id = self._ticked().next("rfd")

        async def make() -> ReturnRecord:
            new = await self._new_refund(transaction, refund_id, record, booked, request)
            await records.insert_return(transaction, new)
            return new

        async with self._store.transaction() as transaction:
            # First, so that of two who do this one waits, and sees what the other has written.
            await records.ask_again(transaction, record.id, self._clock() + FIRST_CHECK)
            return await self._once(key, transaction, request, ReturnRecord, make)

    async def _new_refund(
        self,
        queries: Queries,
        refund_id: str,
        record: PaymentRecord,
        booked: BookedPayment,
        request: CreateRefund,
    ) -> ReturnRecord:
        known = await records.list_returns(queries, record.id)
        back = sum(r.amount_units for r in known if r.status in TAKEN)
        left = paid_units(record, booked) - back
        asset = self._catalog.view(record.environment_id).assets[record.currency]
        amount = left if request.amount is None else payable_units(request.amount, asset)
        shown = f"{plain(to_decimal(max(0, left), asset.scale))} {record.currency}"
        if amount > left or left <= 0:
            asked = "everything" if request.amount is None else str(request.amount)
            remedy = f"send at most {shown}" if left > 0 else "nothing can be given back any more"
            detail = f"is {asked}, and of the payment {shown} are left: {remedy}"
            raise FaregateError(invalid("amount", detail))
        if len(known) >= MAX_RETURNS:
            detail = f"{record.id} has {MAX_RETURNS} refunds, and can have no more"
            raise FaregateError(conflict("top_up_id", detail))
        terms = returned_units(record, booked, amount, known)
        now = self._clock()
        return ReturnRecord(
            refund_id,
            record.id,
            record.environment_id,
            record.customer_id,
            "refund",
            "pending",
            None,
            amount,
            ReturnTerms(terms.units, terms.bonus_units, request.description),
            now,
            now,
        )

    def _show_return(self, record: PaymentRecord, found: ReturnRecord) -> Refund:
        assets = self._catalog.view(record.environment_id).assets
        scale = assets[record.account_id.rpartition(":")[2]].scale
        terms = found.terms
        return Refund(
            found.id,
            record.id,
            found.customer_id,
            found.reason,
            found.status,
            to_decimal(found.amount_units, assets[record.currency].scale),
            record.currency,
            to_decimal(terms.units, scale),
            found.created_at,
            found.updated_at,
            to_decimal(terms.bonus_units, scale) if terms.bonus_units else None,
            terms.description,
            terms.problem,
        )
