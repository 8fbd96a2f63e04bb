"""What of payments goes back, booked: the credit of a refund or a dispute is taken when the money
goes, and given again where it came to nothing. Each is booked under its own key, so whatever is
told twice, or dies in the middle, is done once.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from msgspec import structs

from faregate.core.amounts import power_of_ten
from faregate.core.decide import CatchUp
from faregate.core.ids import derived_id
from faregate.core.payments import (
    BookedPayment,
    CreditPayment,
    PaymentCredit,
    PaymentReturn,
    ReturnPayment,
    restored_key,
    return_key,
    share,
)
from faregate.engine.payment_base import TAKEN, PaymentBase
from faregate.ledger import reading
from faregate.payments import records
from faregate.payments.provider import (
    Returned,
)
from faregate.payments.records import (
    PaymentRecord,
    ReturnRecord,
    ReturnTerms,
)
from faregate.store.protocol import DuplicateKey

log = structlog.get_logger(__name__)


class PaymentReturns(PaymentBase):
    """Books what goes back."""

    async def _return(
        self, record: PaymentRecord, booked: BookedPayment, returns: Sequence[Returned]
    ) -> None:
        """Book what has gone back of a payment."""
        for returned in returns:
            known = await records.list_returns(self._store, record.id)
            found = next((r for r in known if _is_same(r, returned)), None)
            if found is None:
                found = await self._new_return(record, booked, returned, known)
            if found.status != returned.status or found.ref is None:
                found = structs.replace(
                    found, status=returned.status, ref=returned.ref, updated_at=self._clock()
                )
                async with self._store.transaction() as transaction:
                    await records.update_return(transaction, found)
            await self._book_return(record, booked, found)

    async def _new_return(
        self,
        record: PaymentRecord,
        booked: BookedPayment,
        returned: Returned,
        known: Sequence[ReturnRecord],
    ) -> ReturnRecord:
        """Write down that money goes back, with what that takes of the credit."""
        asset = self._catalog.view(record.environment_id).assets[record.currency]
        amount = returned.minor * power_of_ten(asset.scale - asset.precision)
        prefix = "rfd" if returned.reason == "refund" else "dsp"
        identifier = returned.refund_id or derived_id(
            prefix, record.created_at, record.id, returned.ref
        )
        now = self._clock()
        new = ReturnRecord(
            identifier,
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
                await records.insert_return(transaction, new)
        except DuplicateKey:
            log.info("somebody else wrote it", payment_return=identifier)
            known = await records.list_returns(self._store, record.id)
            return next(r for r in known if r.id == identifier)
        return new

    async def _book_return(
        self, record: PaymentRecord, booked: BookedPayment, found: ReturnRecord
    ) -> None:
        """Take the credit of a return back, or give it again where it came to nothing."""
        lane = await self._lane_of(record.environment_id, record.customer_id)
        customer_id = record.customer_id
        taken = await reading.read_booked(
            self._store, lane.number, customer_id, return_key(found.id)
        )
        if taken is None and found.status not in TAKEN:
            return
        if taken is None:
            if not (found.terms.units or found.terms.bonus_units):
                return
            # What has expired unseen is written down first: it is read from there.
            await lane.submit(CatchUp(customer_id), record.environment_id)
            entry, bonus_broken = booked.entry, 0
            grant = entry.grant_id or ""
            broken = await reading.read_broken_units(self._store, lane.number, customer_id, grant)
            if entry.bonus_grant_id is not None:
                bonus_broken = await reading.read_broken_units(
                    self._store, lane.number, customer_id, entry.bonus_grant_id
                )
            for one in await records.list_returns(self._store, record.id):
                other = await reading.read_booked(
                    self._store, lane.number, customer_id, return_key(one.id)
                )
                if isinstance(other, BookedPayment):
                    broken -= other.entry.broken_units
                    bonus_broken -= other.entry.bonus_broken_units
            request = PaymentReturn(
                return_key(found.id),
                record.id,
                record.account_id,
                found.terms.units,
                f"payments:{record.provider}",
                found.reason,
                grant,
                max(0, broken),
                found.terms.bonus_units,
                entry.bonus_grant_id,
                max(0, bonus_broken),
            )
            await lane.submit(ReturnPayment(customer_id, request), record.environment_id)
            return
        if found.status in TAKEN:
            return
        again = PaymentCredit(
            restored_key(found.id),
            record.id,
            record.account_id,
            found.terms.units + found.terms.bonus_units,
            f"payments:{record.provider}",
            record.currency,
            found.amount_units,
            record.terms.credit_expires_at,
            None,
            record.terms.description,
            record.terms.metadata,
            is_restored=True,
        )
        await lane.submit(CreditPayment(customer_id, again), record.environment_id)


def _is_same(found: ReturnRecord, returned: Returned) -> bool:
    if returned.refund_id is not None and found.id == returned.refund_id:
        return True
    return found.ref is not None and found.ref == returned.ref


def returned_units(
    record: PaymentRecord, booked: BookedPayment, amount: int, known: Sequence[ReturnRecord]
) -> ReturnTerms:
    """Work out what of a payment's credit goes back with an amount, so that all that goes back with
    everything is everything, and never more."""
    earlier = [r for r in known if r.status in TAKEN]
    before = min(record.amount_units, sum(r.amount_units for r in earlier))
    after = min(record.amount_units, before + amount)
    bonus = booked.entry.bonus_units
    paid = booked.units - bonus
    units = share(paid, after, record.amount_units) - share(paid, before, record.amount_units)
    extra = share(bonus, after, record.amount_units) - share(bonus, before, record.amount_units)
    return ReturnTerms(units, extra)
