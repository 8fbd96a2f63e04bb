"""Operations of the sandbox's own pages: what a customer sees and does there. What they have done
is then told by a signed message, as any provider tells it; if that fails, the payment is asked
about later, as any other.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec
import structlog

from faregate.core.problems import INVALID, NOT_FOUND, UNAVAILABLE, FaregateError, Problem, invalid
from faregate.engine.payments import PaymentOperations
from faregate.payments.provider import ProviderDown, ProviderRefused
from faregate.payments.sandbox import SandboxPayment
from faregate.payments.sealing import is_sealed, seal

log = structlog.get_logger(__name__)
_PURPOSE = "checkout"


class Checkout(msgspec.Struct, frozen=True):
    """A page of the sandbox: what is paid, by whom, to whom, and the seal of its form."""

    payment: SandboxPayment
    seller: str
    seal: str
    is_over: bool


class CheckoutOperations(PaymentOperations):
    """The sandbox's pages."""

    async def find_checkout(self, payment_id: str) -> Checkout:
        """Return what a page shows. Raises 404."""
        try:
            found = await self.sandbox.find(payment_id)
        except ProviderDown as error:
            raise FaregateError(Problem(UNAVAILABLE, str(error), {}, 5)) from error
        if found is None:
            raise FaregateError(Problem(NOT_FOUND, f"there is no payment {payment_id[:100]!r}"))
        environment_id, payment = found
        is_over = self._clock() >= payment.expires_at or payment.stage == "expired"
        return Checkout(
            payment,
            (await self._know(environment_id)).name,
            seal(self._secret, _PURPOSE, payment_id),
            is_over and payment.stage != "succeeded",
        )

    async def pay_checkout(
        self, payment_id: str, number: str, shown_seal: str, *, is_confirmed: bool = False
    ) -> Checkout:
        """Pay (or leave a card) on a page of the sandbox. Raises 404, and 422 if the card is no
        test card or the form is not ours."""
        self._check_seal(payment_id, shown_seal)
        paying = self.sandbox.pay(payment_id, number, is_confirmed=is_confirmed)
        return await self._do_checkout(payment_id, paying)

    async def decline_checkout(self, payment_id: str, shown_seal: str) -> Checkout:
        """Do not confirm a payment, as a customer who says no to their bank. Raises 404, 422."""
        self._check_seal(payment_id, shown_seal)
        return await self._do_checkout(payment_id, self.sandbox.decline(payment_id))

    def _check_seal(self, payment_id: str, shown: str) -> None:
        if not is_sealed(self._secret, _PURPOSE, payment_id, shown):
            raise FaregateError(Problem(INVALID, "this form is not ours, or of another page"))

    async def _do_checkout(self, payment_id: str, doing: Awaitable[SandboxPayment]) -> Checkout:
        try:
            payment = await doing
        except ProviderDown as error:
            raise FaregateError(Problem(UNAVAILABLE, str(error), {}, 5)) from error
        except ProviderRefused as error:
            if error.code == "no_such_payment":
                raise FaregateError(Problem(NOT_FOUND, str(error))) from None
            raise FaregateError(invalid("number", str(error))) from None
        if payment.stage in ("succeeded", "failed"):
            await self._tell_of(payment_id)
        return await self.find_checkout(payment_id)

    async def _tell_of(self, payment_id: str) -> None:
        """Send the sandbox's message through the door that all providers' messages come in at."""
        found = await self.sandbox.find(payment_id)
        if found is None:
            raise AssertionError(f"{payment_id} was there a moment ago")
        environment_id = found[0]
        headers, body = self.sandbox.message(payment_id, environment_id)
        try:
            await self.receive_message(
                "sandbox", headers, body, context=await self._know(environment_id)
            )
        except FaregateError as error:
            log.warning("the sandbox was not heard", payment=payment_id, reason=str(error))
