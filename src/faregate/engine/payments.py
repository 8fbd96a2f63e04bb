"""Operations on payments: customers pay into their wallets, and what was paid goes back.

What has become of a payment is asked of its provider, and booked: a message, a customer who comes
back, and the clock only say when to ask (`settle_payment`). Whatever is asked twice, or dies in the
middle, is done once: what moves money carries the payment's id, what changes a wallet is booked
under it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, cast

import structlog
from msgspec import structs

from faregate.core.accounts import DEFAULT_ACCOUNT, account_id
from faregate.core.amounts import MAX_UNITS, AmountError, plain, power_of_ten, to_decimal, to_units
from faregate.core.assets import Asset
from faregate.core.codec import checked
from faregate.core.decide import CatchUp
from faregate.core.given import check_free
from faregate.core.ids import derived_id
from faregate.core.instants import is_in_range
from faregate.core.payments import (
    BookedPayment,
    CreditPayment,
    PaymentCredit,
    PaymentReturn,
    ReturnPayment,
    credit_key,
    restored_key,
    return_key,
    share,
)
from faregate.core.problems import (
    FORBIDDEN,
    NOT_FOUND,
    UNAVAILABLE,
    FaregateError,
    Problem,
    conflict,
    invalid,
)
from faregate.core.transactions import (
    AdjustmentRequest,
    Converted,
    ConvertTo,
    convert_payment,
)
from faregate.customers import directory
from faregate.engine.base import EngineBase, Key, Page
from faregate.ledger import reading
from faregate.payments import records
from faregate.payments.provider import (
    BadMessage,
    CheckoutAsked,
    Merchant,
    Money,
    Payer,
    PaymentProvider,
    PaymentState,
    ProviderDown,
    ProviderRefused,
    Returned,
    Sought,
)
from faregate.payments.records import (
    PaymentRecord,
    PaymentTerms,
    ReturnRecord,
    ReturnTerms,
)
from faregate.payments.types import (
    InitiateTopUp,
    ShownDestination,
    TopUp,
    TopUpInitiated,
)
from faregate.platform.environments import AccountContext
from faregate.store.protocol import DuplicateKey

CHECKOUT_LIFE: Final = timedelta(hours=24)
"""How long a customer has to pay."""
CHECK_AT_ONCE: Final = 100
TAKEN: Final = frozenset(("pending", "succeeded", "open", "lost"))
"""Returns whose credit is taken back; that of the others is given again."""

log = structlog.get_logger(__name__)


class PaymentOperations(EngineBase):
    """Payments."""

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

        async def make() -> PaymentRecord:
            record = self._new_top_up(request, provider, acts)
            await records.insert_payment(transaction, record)
            return record

        async with self._store.transaction() as transaction:
            record = await self._once(key, transaction, request, PaymentRecord, make)
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
        if provider is None or not provider.serves(self._merchant(acts)):
            detail = f"there is no payment provider {provider_name[:100]!r} here"
            raise FaregateError(Problem(NOT_FOUND, detail))
        try:
            message = provider.read_message(headers, body, self._merchant(acts), self._clock())
        except BadMessage as error:
            log.warning("a payment message was refused", provider=provider.name, reason=str(error))
            raise FaregateError(Problem(FORBIDDEN, f"the message was refused: {error}")) from None
        record: PaymentRecord | None = None
        if message.payment_id is not None:
            record = await records.find_payment(
                self._store, message.payment_id, acts.environment_id
            )
        elif message.ref is not None:
            record = await records.find_by_ref(self._store, provider.name, message.ref)
        if record is None or record.environment_id != acts.environment_id:
            return None
        await self.settle_payment(record.id)
        return record.id

    async def settle_payment(self, payment_id: str) -> TopUp:
        """Ask the provider what has become of a payment, and book that. Raises 503 if it does not
        answer."""
        async with self._payment_lock(payment_id):
            record = await records.find_payment(self._store, payment_id, None)
            acts = self._context_of(record.environment_id)
            provider = self._providers.get(record.provider)
            if provider is None:
                detail = f"the payment provider {record.provider!r} is not set up"
                raise FaregateError(Problem(UNAVAILABLE, detail, {}, 60))
            sought = Sought(
                self._merchant(acts), record.id, record.checkout_ref, record.payment_ref
            )
            try:
                state = await provider.look_up(sought)
            except (ProviderDown, ProviderRefused) as error:
                await self._write(records.checked(record, self._clock()))
                detail = f"{record.provider} does not say what has become of {record.id}: {error}"
                raise FaregateError(Problem(UNAVAILABLE, detail, {}, 60)) from error
            record = await self._book(record, state or PaymentState("open"))
        return await self._show(record)

    async def reconcile_payments(self) -> int:
        """Ask providers about the payments of which nothing was heard for some time; returns of how
        many. What cannot be said now is asked again later."""
        due = await records.due_payments(self._store, self._clock(), CHECK_AT_ONCE)
        for record in due:
            try:
                await self.settle_payment(record.id)
            except FaregateError as error:
                log.warning("a payment is not settled", payment=record.id, reason=str(error))
        return len(due)

    # -- beginning --------------------------------------------------------------------------------

    def _provider_for(self, acts: AccountContext) -> PaymentProvider:
        merchant = self._merchant(acts)
        for provider in self._providers.values():
            if provider.serves(merchant):
                return provider
        detail = "no payment provider is set up for this account: see docs/payments.md"
        raise FaregateError(conflict("customer_id", detail))

    def _new_top_up(
        self, request: InitiateTopUp, provider: PaymentProvider, acts: AccountContext
    ) -> PaymentRecord:
        """Work out what a top-up asks and promises. Raises 422."""
        view, now = self._catalog.view(acts.environment_id), self._clock()
        asset = view.assets.get(request.currency)
        if asset is None or not asset.is_currency:
            shown = f"{request.currency!r} is no currency"
            raise FaregateError(invalid("currency", f"{shown}: send one of ISO 4217, e.g. 'USD'"))
        units = self._paid_units(request, asset)
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

    def _paid_units(self, request: InitiateTopUp, asset: Asset) -> int:
        try:
            units = to_units(request.amount, asset.scale)
        except AmountError as error:
            raise FaregateError(invalid("amount", f"{request.amount} {error}")) from None
        if units <= 0:
            raise FaregateError(invalid("amount", f"is {request.amount}: send more than 0"))
        if units % power_of_ten(asset.scale - asset.precision):
            detail = f"is {request.amount}, and {asset.code} has {asset.precision} decimals"
            raise FaregateError(invalid("amount", f"{detail} when it is paid: round it"))
        if units > MAX_UNITS:
            raise FaregateError(invalid("amount", f"is {request.amount}: send less"))
        return units

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
            self._merchant(acts),
            record.id,
            await self._payer(record.environment_id, record.customer_id, provider.name),
            self._money(record.environment_id, record.currency, record.amount_units),
            record.terms.description or f"Top-up of {acts.name}",
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

    # -- booking ----------------------------------------------------------------------------------

    async def _book(self, record: PaymentRecord, state: PaymentState) -> PaymentRecord:
        """Bring what is booked of a payment up to where it stands. Under the payment's lock."""
        now = self._clock()
        record = records.checked(record, now)
        record = structs.replace(record, payment_ref=state.payment_ref or record.payment_ref)
        if state.status == "succeeded":
            booked = await self._credit(record, state)
            if booked is None:
                return await self._write(structs.replace(record, problem="another currency came"))
            record = structs.replace(record, status="succeeded", problem=None, check_at=None)
            await self._return(record, booked, state.returns)
        elif record.status != "succeeded":
            status = record.status
            if state.status == "processing":
                status = "pending"
            elif state.status in ("failed", "expired"):
                status = state.status
            elif now > record.expires_at + records.PATIENCE:
                status = "expired"
            record = structs.replace(record, status=status, problem=state.text)
        return await self._write(record)

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

    # -- shared -----------------------------------------------------------------------------------

    async def _write(self, record: PaymentRecord) -> PaymentRecord:
        record = structs.replace(record, updated_at=self._clock())
        async with self._store.transaction() as transaction:
            await records.update_payment(transaction, record)
        return await records.find_payment(self._store, record.id, None)

    def _payment_lock(self, payment_id: str) -> asyncio.Lock:
        """Return the lock of a payment: two who ask at once ask one after the other."""
        return self._payment_locks.setdefault(payment_id, asyncio.Lock())

    def _merchant(self, acts: AccountContext) -> Merchant:
        return Merchant(
            acts.environment_id, acts.account_id, acts.environment == "live", acts.is_platform
        )

    def _context_of(self, environment_id: int) -> AccountContext:
        return next(c for c in self._contexts.values() if c.environment_id == environment_id)

    def _money(self, environment_id: int, currency: str, units: int) -> Money:
        asset = self._catalog.view(environment_id).assets[currency]
        digits = asset.precision
        return Money(units // power_of_ten(asset.scale - digits), currency, digits)

    async def _payer(self, environment_id: int, customer_id: str, provider: str) -> Payer:
        row = await directory.find_customer(self._store, environment_id, customer_id)
        known = {a.provider: a.provider_id for a in row.external_accounts or ()}
        return Payer(row.id, row.name, row.email, known.get(provider))

    async def _show(self, record: PaymentRecord) -> TopUp:
        view = self._catalog.view(record.environment_id)
        name, _, code = record.account_id.rpartition(":")
        scale, currency_scale = view.assets[code].scale, view.assets[record.currency].scale
        back: dict[str, int] = {"refund": 0, "dispute": 0}
        for returned in await records.list_returns(self._store, record.id):
            if returned.status in TAKEN:
                back[returned.reason] += returned.amount_units
        terms, bonus = record.terms, record.terms.bonus
        return TopUp(
            record.id,
            record.customer_id,
            to_decimal(record.amount_units, currency_scale),
            record.currency,
            ShownDestination(name, code, to_decimal(record.units, scale), terms.rate),
            record.status,
            record.kind,
            record.provider,
            record.created_at,
            record.expires_at,
            record.updated_at,
            terms.description,
            terms.metadata,
            terms.credit_expires_at,
            terms.redirect_url or None,
            None if bonus is None else to_decimal(bonus.units, scale),
            record.problem,
            to_decimal(back["refund"], currency_scale) if back["refund"] else None,
            to_decimal(back["dispute"], currency_scale) if back["dispute"] else None,
        )


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


def in_words(money: Money) -> str:
    """Write an amount for people: `12.50 USD`."""
    return f"{plain(to_decimal(money.minor, money.digits))} {money.currency}"
