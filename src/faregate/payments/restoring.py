"""What is given again of a payment when a refund came to nothing, or a dispute is won: to the
customer what was taken of their credit, in a grant that lives as long as the payment's would, and
to the seller what had expired before."""

from __future__ import annotations

from msgspec import structs

from faregate.core.payments import BookedPayment, PaymentCredit, restored_key
from faregate.payments.records import PaymentRecord, ReturnRecord


def restoring(record: PaymentRecord, found: ReturnRecord, taken: BookedPayment) -> PaymentCredit:
    """Return the command's request that undoes what a return took (`taken`)."""
    entry, terms = taken.entry, found.terms
    bonus, bonus_units = record.terms.bonus, terms.bonus_units - entry.bonus_broken_units
    if bonus is not None:
        bonus = structs.replace(bonus, units=bonus_units, is_once=False) if bonus_units else None
    return PaymentCredit(
        restored_key(found.id),
        record.id,
        record.account_id,
        terms.units - entry.broken_units,
        f"payments:{record.provider}",
        record.currency,
        found.amount_units,
        record.terms.credit_expires_at,
        bonus,
        record.terms.description,
        record.terms.metadata,
        is_restored=True,
        return_id=found.id,
        restores=found.reason,
        broken_units=entry.broken_units,
        bonus_broken_units=entry.bonus_broken_units,
    )
