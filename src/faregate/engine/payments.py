"""Operations on payments: what has become of a payment is asked of its provider, and booked. A
message, a customer who comes back, and the clock only say when to ask (`settle_payment`). Whatever
is asked twice, or dies in the middle, is done once: what changes a wallet is booked under the
payment's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, cast

import structlog
from msgspec import structs

from faregate.core.amounts import power_of_ten
from faregate.core.payments import (
    BookedPayment,
    CreditPayment,
    PaymentCredit,
    PaymentFailed,
    TellPayment,
    credit_key,
    failed_key,
    share,
)
from faregate.core.problems import (
    FORBIDDEN,
    NOT_FOUND,
    UNAVAILABLE,
    FaregateError,
    Problem,
)
from faregate.engine.base import merchant_of
from faregate.engine.payment_returns import PaymentReturns
from faregate.engine.saved_cards import SavedCards
from faregate.payments import records
from faregate.payments.provider import (
    BadMessage,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    Sought,
)
from faregate.payments.records import PaidBy, PaymentRecord, PaymentTerms
from faregate.payments.types import (
    COLLECTED,
    TopUp,
)
from faregate.platform.environments import AccountContext
from faregate.store.protocol import StoreUnavailable

CHECK_AT_ONCE: Final = 100
ASK_AT_ONCE: Final = 8
NOTHING_HEARD: Final = "Whoever collects does not say what has become of the charge."

log = structlog.get_logger(__name__)


class PaymentOperations(PaymentReturns, SavedCards):
    """Payments."""

    async def receive_message(
        self,
        provider_name: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        context: AccountContext | None = None,
    ) -> str | None:
        """Take a message of a payment provider: asks it what has become of the payment, and books
        that. Returns the payment's id, None if the message is about something else. Raises 403 if
        it is not genuine (nothing happens), 404, and 503 if the provider does not answer: then it
        shall send the message again."""
        acts = context or self.context
        provider = self._providers.get(provider_name)
        if provider is None or not provider.serves(merchant_of(acts)):
            detail = f"there is no payment provider {provider_name[:100]!r} here"
            raise FaregateError(Problem(NOT_FOUND, detail))
        try:
            message = provider.read_message(headers, body, merchant_of(acts), self._clock())
        except BadMessage as error:
            log.warning("a payment message was refused", provider=provider.name, reason=str(error))
            detail = "the message is not genuine, or too old"
            raise FaregateError(Problem(FORBIDDEN, detail)) from None
        record = await records.find_told(
            self._store, provider.name, message.payment_id, message.ref
        )
        if record is None or not await self._may_tell(acts, record):
            return None
        await self.settle_payment(record.id)
        return record.id

    async def _may_tell(self, acts: AccountContext, record: PaymentRecord) -> bool:
        """Tell whether a message at an account's door may be about a payment. At the platform's, a
        provider tells of all accounts that are connected to the platform there."""
        if record.environment_id == acts.environment_id:
            return True
        mode = (await self._know(record.environment_id)).environment
        return acts.is_platform and mode == acts.environment

    async def settle_payment(self, payment_id: str) -> TopUp:
        """Ask the provider what has become of a payment, and book that. Raises 503 if it does not
        answer."""
        async with self._payment_lock(payment_id):
            record = await self._ask(await records.find_payment(self._store, payment_id, None))
        return await self._show(record)

    async def _ask(self, record: PaymentRecord) -> PaymentRecord:
        """Ask the provider about a payment, and book what it says. Under the payment's lock.
        Raises 503."""
        acts = await self._know(record.environment_id)
        sought = Sought(merchant_of(acts), record.id, record.checkout_ref, record.payment_ref)
        try:
            provider = self._provider_of(record)
        except FaregateError:
            await self._give_up(record)
            raise
        try:
            state = await provider.look_up(sought)
            if state is None and record.kind in COLLECTED and not record.is_final:
                state = await self._charge(record, provider, acts)
        except (ProviderDown, ProviderRefused) as error:
            await self._give_up(record)
            await self._write(records.unanswered(record, self._clock()))
            detail = f"{record.provider} does not say what has become of {record.id}: {error}"
            raise FaregateError(Problem(UNAVAILABLE, detail, {}, 60)) from error
        return await self._book(record, state or PaymentState("open"))

    async def _give_up(self, record: PaymentRecord) -> None:
        """Let nobody wait any longer for a charge of which its provider says nothing, long after it
        should have. It is asked about all the same: what comes in the end is credit."""
        is_late = self._clock() > record.expires_at + records.PATIENCE
        if is_late and record.kind in COLLECTED and not record.is_final:
            await self._collection_failed(record, NOTHING_HEARD, "processing_error")

    async def reconcile_payments(self) -> int:
        """Ask providers about the payments of which nothing was heard for some time; returns of how
        many. What cannot be said now is asked again later; whoever asks claims it first, so that no
        two processes ask at once. Nothing is asked where nothing could be booked."""
        if not all(lane.has_lease for lane in self._lanes):
            return 0
        now = self._clock()
        if not await records.is_payment_due(self._store, now):
            return 0
        async with self._store.transaction() as transaction:
            due = await records.claim_payments(transaction, now, CHECK_AT_ONCE)
        waiting = asyncio.Semaphore(ASK_AT_ONCE)

        async def ask(payment_id: str) -> None:
            async with waiting:
                try:
                    await self.settle_payment(payment_id)
                except (FaregateError, StoreUnavailable) as error:
                    log.warning("a payment is not settled", payment=payment_id, reason=str(error))

        async with asyncio.TaskGroup() as asking:
            for payment_id in due:
                asking.create_task(ask(payment_id))
        return len(due)

    async def _book(self, record: PaymentRecord, state: PaymentState) -> PaymentRecord:
        """Bring what is booked of a payment up to where it stands. Under the payment's lock."""
        now = self._clock()
        record = records.checked(record, now)
        record = structs.replace(record, payment_ref=state.payment_ref or record.payment_ref)
        was_paid, was_final = record.status == "succeeded", record.is_final
        if state.status == "succeeded" and record.kind == "setup":
            if not was_paid:
                await self._keep_card(record, state.card)
            record = structs.replace(record, status="succeeded", problem=None, check_at=None)
        elif state.status == "succeeded":
            booked = await self._credit(record, state)
            if booked is None:
                await self._collection_failed(record, "another currency came", None)
                return await self._write(structs.replace(record, problem="another currency came"))
            if not was_paid:
                # After the credit: what it pays must not be asked of the card. And not again when
                # something is told later: the customer may have removed it since.
                await self._keep_card(record, state.card)
            waits = await self._return(record, booked, state.returns)
            record = structs.replace(
                record,
                status="succeeded",
                problem=None,
                check_at=records.next_check(record, now) if waits else None,
                terms=_paid(record, booked, state),
            )
        elif record.status != "succeeded":
            status = record.status
            if state.status == "processing":
                status = "pending"
                # Some ways to pay take weeks.
                record = structs.replace(record, check_at=records.next_check(record, now))
            elif state.status in ("failed", "expired"):
                status = state.status
            elif now > record.expires_at + records.PATIENCE:
                status = "expired"
            problem = state.text or (record.problem if record.is_final else None)
            record = structs.replace(record, status=status, problem=problem)
            if record.kind in COLLECTED and record.is_final:
                reason = problem or "The charge has expired."
                await self._collection_failed(record, reason, state.code)
                if not was_final:
                    await self._ask_other_card(record)
            if status == "failed" and record.kind != "setup":
                await self._tell_failure(record)
        return await self._write(record)

    async def _tell_failure(self, record: PaymentRecord) -> None:
        """Let others be told that a payment has failed; told again, nothing is told."""
        failed = PaymentFailed(
            failed_key(record.id),
            record.id,
            record.account_id,
            record.currency,
            record.amount_units,
            record.problem,
        )
        lane = await self._lane_of(record.environment_id, record.customer_id)
        await lane.submit(TellPayment(record.customer_id, failed), record.environment_id)

    async def _credit(self, record: PaymentRecord, state: PaymentState) -> BookedPayment | None:
        """Book the credit of a payment that has come in; None if what came is no such money."""
        asset = self._catalog.view(record.environment_id).assets[record.currency]
        if state.currency is not None and state.currency != record.currency:
            log.error("another currency was paid", payment=record.id, currency=state.currency)
            return None
        paid = state.paid_minor * power_of_ten(asset.scale - asset.precision)
        units, bonus = record.units, record.terms.bonus
        if paid != record.amount_units:
            log.error("another amount was paid", payment=record.id, minor=state.paid_minor)
            units = share(units, paid, record.amount_units)
            bonus = None
        credit = PaymentCredit(
            credit_key(record.id),
            record.id,
            record.account_id,
            units,
            f"payments:{record.provider}",
            record.currency,
            paid,
            record.terms.credit_expires_at,
            bonus,
            record.terms.description,
            record.terms.metadata,
        )
        lane = await self._lane_of(record.environment_id, record.customer_id)
        command = CreditPayment(record.customer_id, credit)
        return cast(BookedPayment, await lane.submit(command, record.environment_id))


def _paid(record: PaymentRecord, booked: BookedPayment, state: PaymentState) -> PaymentTerms:
    """Return a payment's terms with what became of them: when and how it was paid, and the bonus
    that there was in the end."""
    terms = record.terms
    card = None if state.card is None else PaidBy(state.card.brand, state.card.last4)
    bonus = terms.bonus if booked.entry.bonus_units else None
    return structs.replace(terms, bonus=bonus, card=card or terms.card, paid_at=booked.created_at)
