"""Operations on the sandbox's checkout: what its page shows, and what is done there. The sandbox
then tells of it by a message, as every payment provider does.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec
import structlog

from faregate.core.amounts import to_decimal
from faregate.core.problems import FaregateError
from faregate.engine.payments import PaymentOperations
from faregate.payments.cards import wrong_details
from faregate.payments.provider import ProviderRefused
from faregate.payments.sandbox import SandboxPayment, Stage

log = structlog.get_logger(__name__)


class Checkout(msgspec.Struct, frozen=True):
    """What a customer sees of a payment. `amount` None: nothing is paid, a card is left. `problem`
    says in words why the last try came to nothing. `dispute` is where the payment's dispute stands,
    if there is one."""

    payment_id: str
    stage: Stage
    amount: Decimal | None
    digits: int
    currency: str
    description: str
    payer_name: str
    return_url: str
    failure_url: str
    expires_at: datetime
    last4: str | None
    problem: str | None
    dispute: Literal["open", "won", "lost"] | None = None


class CheckoutOperations(PaymentOperations):
    """The sandbox's checkout."""

    async def get_checkout(self, payment_id: str) -> Checkout | None:
        """Return a payment of the sandbox for its page; None if there is none."""
        found = await self.sandbox.find(payment_id)
        return None if found is None else self._checkout(found[1])

    async def pay_checkout(
        self, payment_id: str, number: str, expiry: str, code: str
    ) -> Checkout | None:
        """Pay with a test card; what is wrong with it is said in the answer. None if there is no
        such payment."""
        found = await self.sandbox.find(payment_id)
        if found is None:
            return None
        wrong = wrong_details(expiry, code, self._clock())
        if wrong is not None:
            return self._checkout(found[1], wrong)
        try:
            payment = await self.sandbox.pay(payment_id, number)
        except ProviderRefused as error:
            return self._checkout(found[1], str(error))
        await self._tell(found[0], payment)
        return self._checkout(payment)

    async def confirm_checkout(self, payment_id: str, *, is_confirmed: bool) -> Checkout | None:
        """Confirm a payment that waits for its customer, or decline it."""
        found = await self.sandbox.find(payment_id)
        if found is None:
            return None
        payment = await self.sandbox.confirm(payment_id, is_confirmed=is_confirmed)
        await self._tell(found[0], payment)
        return self._checkout(payment)

    async def decide_dispute(self, payment_id: str, *, is_won: bool) -> Checkout | None:
        """Decide the open dispute of a payment, as the customer's bank would: `is_won` by the
        seller. What is decided stays so. None if there is no such payment."""
        found = await self.sandbox.find(payment_id)
        if found is None:
            return None
        payment = await self.sandbox.settle_dispute(payment_id, "won" if is_won else "lost")
        await self._tell(found[0], payment)
        return self._checkout(payment)

    async def _tell(self, environment_id: int, payment: SandboxPayment) -> None:
        headers, body = self.sandbox.message(payment.payment_id, environment_id)
        try:
            context = await self._know(environment_id)
            await self.receive_message("sandbox", headers, body, context=context)
        except FaregateError as error:
            # As with any provider, it is found out later.
            log.warning("a payment waits", payment=payment.payment_id, reason=str(error))

    def _checkout(self, payment: SandboxPayment, problem: str | None = None) -> Checkout:
        money, stage = payment.money, payment.stage
        if stage in ("open", "confirming") and self._clock() >= payment.expires_at:
            stage = "expired"
        return Checkout(
            payment.payment_id,
            stage,
            None if money is None else to_decimal(money.minor, money.digits),
            0 if money is None else money.digits,
            "" if money is None else money.currency,
            payment.description,
            payment.payer_name,
            payment.return_url,
            payment.failure_url,
            payment.expires_at,
            None if payment.card is None else payment.card[-4:],
            problem or payment.text,
            payment.dispute,
        )
