"""What of payments goes back, booked: the credit of a refund or a dispute is taken when the money
goes, and given again where it came to nothing. Each is booked under its own key, so whatever is
told twice, or dies in the middle, is done once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from msgspec import structs

from faregate.core.amounts import power_of_ten
from faregate.core.decision import CatchUp
from faregate.core.ids import derived_id
from faregate.core.payments import (
    BookedPayment,
    CreditPayment,
    PaymentReturn,
    ReturnPayment,
    ReturnSettled,
    TellPayment,
    restored_key,
    return_key,
    settled_key,
    share,
)
from faregate.engine.base import merchant_of
from faregate.engine.payment_base import TAKEN, PaymentBase
from faregate.ledger import reading
from faregate.ledger.lane import Lane
from faregate.payments import records
from faregate.payments.provider import ProviderDown, ProviderRefused, RefundAsked, Returned
from faregate.payments.records import PaymentRecord, ReturnRecord, ReturnTerms
from faregate.payments.restoring import restoring
from faregate.store.protocol import DuplicateKey

SETTLED: Final = frozenset(("succeeded", "lost"))
"""Returns of which nothing more is expected, and whose credit stays taken."""
FIRST_CHECK: Final = timedelta(seconds=records.CHECK_AFTER[0])

log = structlog.get_logger(__name__)


class PaymentReturns(PaymentBase):
    """Books what goes back."""

    async def _return(
        self, record: PaymentRecord, booked: BookedPayment, returns: Sequence[Returned]
    ) -> bool:
        """Bring what is booked as gone back of a payment up to what its provider says; returns
        whether something of it is still to be decided. Under the payment's lock."""
        for returned in returns:
            known = await records.list_returns(self._store, record.id)
            found = next((r for r in known if _is_same(r, returned)), None)
            if found is None:
                await self._new_return(record, booked, returned, known)
            elif found.status != returned.status or found.ref is None:
                await self._write_return(
                    structs.replace(found, status=returned.status, ref=returned.ref)
                )
        waits = False
        for found in await records.list_returns(self._store, record.id):
            after = await self._bring_up(record, booked, found)
            waits = waits or after.status in ("pending", "open")
        return waits

    async def _bring_up(
        self, record: PaymentRecord, booked: BookedPayment, found: ReturnRecord
    ) -> ReturnRecord:
        """Book a return as it stands; a refund that the provider has not heard of is asked for."""
        await self._book_return(record, booked, found)
        if found.status == "pending" and found.ref is None:
            found = await self._ask_refund(record, found)
            await self._book_return(record, booked, found)
        return found

    async def _ask_refund(self, record: PaymentRecord, found: ReturnRecord) -> ReturnRecord:
        """Ask for a refund, again and again the same. Whether it was done is unknown if there is no
        answer: then it stays pending, with its credit taken."""
        asked = RefundAsked(
            merchant_of(self._context_of(record.environment_id)),
            found.id,
            record.id,
            record.payment_ref or "",
            self._money(record.environment_id, record.currency, found.amount_units),
        )
        try:
            returned = await self._provider_of(record).refund(asked)
        except ProviderDown as error:
            log.warning("a refund waits for its provider", refund=found.id, reason=str(error))
            return found
        except ProviderRefused as error:
            terms = structs.replace(found.terms, problem=str(error)[:500])
            return await self._write_return(structs.replace(found, status="failed", terms=terms))
        return await self._write_return(
            structs.replace(found, status=returned.status, ref=returned.ref)
        )

    async def _write_return(self, found: ReturnRecord) -> ReturnRecord:
        now = self._clock()
        found = structs.replace(found, updated_at=now)
        async with self._store.transaction() as transaction:
            await records.ask_again(transaction, found.payment_id, now + FIRST_CHECK)
            await records.update_return(transaction, found)
        return found

    async def _new_return(
        self,
        record: PaymentRecord,
        booked: BookedPayment,
        returned: Returned,
        known: Sequence[ReturnRecord],
    ) -> None:
        """Write down that money has gone back that we did not send, with what that takes."""
        asset = self._catalog.view(record.environment_id).assets[record.currency]
        amount = returned.minor * power_of_ten(asset.scale - asset.precision)
        prefix = "rfd" if returned.reason == "refund" else "dsp"
        now = self._clock()
        new = ReturnRecord(
            derived_id(prefix, record.created_at, record.id, returned.ref),
            record.id,
            record.environment_id,
            record.customer_id,
            returned.reason,
            returned.status,
            returned.ref,
            amount,
            returned_units(record, booked, amount, known),
            now,
            now,
        )
        try:
            async with self._store.transaction() as transaction:
                await records.ask_again(transaction, record.id, now + FIRST_CHECK)
                await records.insert_return(transaction, new)
        except DuplicateKey:
            log.info("somebody else wrote it", payment_return=new.id)

    async def _book_return(
        self, record: PaymentRecord, booked: BookedPayment, found: ReturnRecord
    ) -> None:
        """Take the credit of a return back, or give it again where it came to nothing; and let
        others be told what has become of it."""
        lane = await self._lane_of(record.environment_id, record.customer_id)
        customer_id = record.customer_id
        taken = await self._booked_under(lane, customer_id, return_key(found.id))
        if found.status not in TAKEN:
            key = restored_key(found.id)
            if taken is not None and await self._booked_under(lane, customer_id, key) is None:
                again = restoring(record, found, taken)
                await lane.submit(CreditPayment(customer_id, again), record.environment_id)
            return
        if taken is None:
            # What has expired unseen is written down first: it is read from there.
            await lane.submit(CatchUp(customer_id), record.environment_id)
            request = await self._to_take(lane, record, booked, found)
            await lane.submit(ReturnPayment(customer_id, request), record.environment_id)
        told = settled_key(found.id)
        if found.status in SETTLED and await self._booked_under(lane, customer_id, told) is None:
            settled = ReturnSettled(
                told,
                record.id,
                record.account_id,
                found.id,
                found.reason,
                record.currency,
                found.amount_units,
            )
            await lane.submit(TellPayment(customer_id, settled), record.environment_id)

    async def _to_take(
        self, lane: Lane, record: PaymentRecord, booked: BookedPayment, found: ReturnRecord
    ) -> PaymentReturn:
        """Work out where a return may take its credit from: the payment's grants, those that came
        in their place, and what of all these has expired and was not taken yet."""
        entry, customer_id = booked.entry, record.customer_id
        again: list[str] = []
        bonus_again: list[str] = []
        broken = bonus_broken = 0
        for one in await records.list_returns(self._store, record.id):
            taken = await self._booked_under(lane, customer_id, return_key(one.id))
            given = await self._booked_under(lane, customer_id, restored_key(one.id))
            if given is not None:
                again += [] if given.entry.grant_id is None else [given.entry.grant_id]
                bonus = given.entry.bonus_grant_id
                bonus_again += [] if bonus is None else [bonus]
            elif taken is not None:
                broken -= taken.entry.broken_units
                bonus_broken -= taken.entry.bonus_broken_units
        for grant_id in (entry.grant_id, *again):
            broken += await self._broken(lane, customer_id, grant_id)
        for grant_id in (entry.bonus_grant_id, *bonus_again):
            bonus_broken += await self._broken(lane, customer_id, grant_id)
        return PaymentReturn(
            return_key(found.id),
            record.id,
            record.account_id,
            found.terms.units,
            f"payments:{record.provider}",
            found.reason,
            entry.grant_id or "",
            max(0, broken),
            found.terms.bonus_units,
            entry.bonus_grant_id,
            max(0, bonus_broken),
            tuple(again),
            tuple(bonus_again),
            found.id,
            record.currency,
            found.amount_units,
        )

    async def _booked_under(self, lane: Lane, customer_id: str, key: str) -> BookedPayment | None:
        booked = await reading.read_booked(self._store, lane.number, customer_id, key)
        return booked if isinstance(booked, BookedPayment) else None

    async def _broken(self, lane: Lane, customer_id: str, grant_id: str | None) -> int:
        if grant_id is None:
            return 0
        return await reading.read_broken_units(self._store, lane.number, customer_id, grant_id)


def _is_same(found: ReturnRecord, returned: Returned) -> bool:
    if returned.refund_id is not None and found.id == returned.refund_id:
        return True
    return found.ref is not None and found.ref == returned.ref


def paid_units(record: PaymentRecord, booked: BookedPayment) -> int:
    """Return what has come in of a payment, in units of its currency."""
    return getattr(booked.request, "paid_units", record.amount_units)


def returned_units(
    record: PaymentRecord, booked: BookedPayment, amount: int, known: Sequence[ReturnRecord]
) -> ReturnTerms:
    """Work out what of a payment's credit goes back with an amount, so that all that goes back with
    everything is everything, and never more, also where one of them came to nothing."""
    earlier = [r for r in known if r.status in TAKEN]
    whole = paid_units(record, booked)
    back = min(whole, sum(r.amount_units for r in earlier) + amount)
    bonus = booked.entry.bonus_units
    paid = booked.units - bonus
    units = share(paid, back, whole) - sum(r.terms.units for r in earlier)
    extra = share(bonus, back, whole) - sum(r.terms.bonus_units for r in earlier)
    return ReturnTerms(max(0, units), max(0, extra))
