"""Operations on receipts: what a customer has paid, what it brought, and what has gone back since.
A receipt is not written down: it is made of the payment, which no longer changes, and its returns.
"""

from __future__ import annotations

from msgspec import structs

from faregate.core.amounts import to_decimal
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.customers import directory
from faregate.engine.payment_base import TAKEN, PaymentBase, purpose_of
from faregate.payments import records
from faregate.payments.records import PaymentRecord
from faregate.payments.sealing import is_sealed, seal
from faregate.payments.types import Receipt, ReceiptCard, ReceiptCustomer, ReceiptReturn
from faregate.platform.environments import AccountContext

_PURPOSE = "receipt"


class ReceiptOperations(PaymentBase):
    """Receipts."""

    async def get_receipt(
        self, top_up_id: str, *, base_url: str = "", context: AccountContext | None = None
    ) -> Receipt:
        """Return the receipt of a payment. `base_url` is where our pages are. Raises 404, and 409
        for a payment that has not succeeded."""
        environment = await self._look(context)
        record = await records.find_payment(self._store, top_up_id, environment)
        return await self._receipt(record, base_url)

    async def find_receipt(self, top_up_id: str, shown_seal: str) -> Receipt:
        """Return a receipt to whoever has its link. Raises 404, also for what is no such link."""
        if not is_sealed(self._secret, _PURPOSE, top_up_id, shown_seal):
            raise FaregateError(Problem(NOT_FOUND, "there is no such receipt"))
        record = await records.find_payment(self._store, top_up_id, None)
        return await self._receipt(record, "")

    async def _receipt(self, record: PaymentRecord, base_url: str) -> Receipt:
        if record.status != "succeeded":
            detail = f"{record.id} is {record.status}: there is a receipt once it has succeeded"
            raise FaregateError(conflict("top_up_id", detail))
        shown = await self._show(record)
        acts = await self._know(record.environment_id)
        customer = await directory.find_customer(
            self._store, record.environment_id, record.customer_id
        )
        scale = self._catalog.view(record.environment_id).assets[record.currency].scale
        back = [r for r in await records.list_returns(self._store, record.id) if r.status in TAKEN]
        returned = [
            ReceiptReturn(r.id, r.reason, to_decimal(r.amount_units, scale), r.status, r.created_at)
            for r in back
        ]
        kept = record.amount_units - sum([r.amount_units for r in back])
        terms = record.terms
        card = None if terms.card is None else ReceiptCard(*structs.astuple(terms.card))
        key = seal(self._secret, _PURPOSE, record.id)
        return Receipt(
            f"R-{record.id.removeprefix('tup_').upper()}",
            record.id,
            acts.name,
            ReceiptCustomer(customer.id, customer.name, customer.email),
            shown.amount,
            record.currency,
            shown.destination,
            record.terms.paid_at or record.updated_at,
            record.provider,
            to_decimal(kept, scale),
            f"{base_url}/receipts/{record.id}?key={key}",
            acts.environment == "test",
            shown.bonus,
            purpose_of(record, acts) if record.kind == "subscription" else terms.description,
            card,
            returned or None,
        )
