"""Operations on auto top-ups: what was agreed for an account, and the work that comes of it, and
of what subscriptions ask. What is asked, the lane has written with the command that made it
necessary; here it becomes a payment, and the card is charged. Whatever dies in between is found
again: in the queue, or among the payments of which nothing was heard.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import structlog

from faregate.core.accounts import DEFAULT_ACCOUNT
from faregate.core.amounts import (
    MAX_UNITS,
    AmountError,
    Number,
    plain,
    power_of_ten,
    to_decimal,
    to_units,
)
from faregate.core.assets import Asset
from faregate.core.codec import checked
from faregate.core.collecting import (
    AutoTopUp,
    Collecting,
    CollectionFailed,
    SetAutoTopUp,
    month_so_far,
)
from faregate.core.conversion import no_rate, worth
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, invalid
from faregate.core.transactions import AdjustmentRequest, Converted, ConvertTo, convert_payment
from faregate.engine.payments import PaymentOperations
from faregate.ledger import collections, reading
from faregate.ledger.collections import AskedCollection
from faregate.payments import records
from faregate.payments.records import PaymentRecord, PaymentTerms
from faregate.payments.types import AutoTopUpState, AutoTopUpTerms
from faregate.platform.environments import AccountContext
from faregate.store.protocol import DuplicateKey

AT_ONCE: Final = 100
"""Collections that are taken up together."""
CHARGES_AT_ONCE: Final = 20
"""Cards that are charged at the same time."""
CHARGE_LIFE: Final = timedelta(days=1)
"""How long a charge may take that a provider has begun."""
NO_CARD: Final = "The customer has no saved card that can be charged."

log = structlog.get_logger(__name__)


class CollectingOperations(PaymentOperations):
    """Auto top-ups."""

    async def set_auto_top_up(
        self,
        customer_id: str,
        account: str,
        request: AutoTopUpTerms,
        *,
        context: AccountContext | None = None,
    ) -> AutoTopUpState:
        """Agree on an account's auto top-up, in place of what was agreed before. What it has
        stopped for is forgotten. Raises 404, 422."""
        request = checked(request)
        environment = self._environment(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        terms = self._auto_top_up(request, account, scale, environment)
        command = SetAutoTopUp(customer_id, account, terms)
        await lane.submit(command, environment)
        return await self.get_auto_top_up(customer_id, account, context=context)

    async def get_auto_top_up(
        self, customer_id: str, account: str, *, context: AccountContext | None = None
    ) -> AutoTopUpState:
        """Return an account's auto top-up, and where it stands. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        scale = self._scale(environment, account)
        state = await reading.read_customer(self._store, lane.number, customer_id)
        found = state.rules.collecting.get(account)
        if found is None:
            detail = f"{account!r} has no auto top-up: put one there"
            raise FaregateError(Problem(NOT_FOUND, detail))
        present = reading.as_of(state, self._catalog.view(environment), lane.now())
        card = await self._default_card(environment, customer_id)
        return self._auto_state(found, scale, environment, present.now, has_card=card is not None)

    def _auto_top_up(
        self, request: AutoTopUpTerms, account: str, scale: int, environment: int
    ) -> AutoTopUp:
        """Read what is to be agreed on. Raises 422."""
        view, code = self._catalog.view(environment), account.rpartition(":")[2]
        currency = request.currency or code
        asset = view.assets.get(currency)
        if asset is None or not asset.is_currency:
            remedy = "is no currency: send one of ISO 4217, in which the card pays, e.g. 'USD'"
            raise FaregateError(invalid("currency", f"{currency!r} {remedy}"))
        if currency != code and worth(view.rates, currency, code, self._clock()) is None:
            detail = no_rate(currency, code, self._clock())
            raise FaregateError(invalid("currency", detail))
        amount = _units("amount", request.amount, asset)
        threshold = _units_of_account(request.threshold, scale)
        cap = None
        if request.monthly_cap is not None:
            cap = _units("monthly_cap", request.monthly_cap, asset)
            if cap < amount:
                shown = f"is {plain(request.monthly_cap)}, less than one amount"
                raise FaregateError(invalid("monthly_cap", f"{shown}: send more, or leave it out"))
        return AutoTopUp(currency, threshold, amount, request.enabled, cap, request.per_hour)

    def _auto_state(
        self, found: Collecting, scale: int, environment: int, now: datetime, *, has_card: bool
    ) -> AutoTopUpState:
        terms, view = found.terms, self._catalog.view(environment)
        paid_scale = view.assets[terms.currency].scale
        month_from, month_units = month_so_far(found, now, view.timezone)

        def paid(units: int) -> Decimal:
            return to_decimal(units, paid_scale)

        cap = terms.monthly_cap_units
        waits = found.next_try_at is not None and found.next_try_at > now
        return AutoTopUpState(
            enabled=terms.is_enabled,
            threshold=to_decimal(terms.threshold_units, scale),
            amount=paid(terms.amount_units),
            currency=terms.currency,
            per_hour=terms.per_hour,
            has_card=has_card,
            failures=found.failures,
            month_amount=paid(month_units),
            monthly_cap=None if cap is None else paid(cap),
            month_from=month_from,
            in_flight=None if found.in_flight is None else found.in_flight.payment_id,
            next_try_at=found.next_try_at if waits and found.is_on else None,
            disabled_because=found.stopped_because,
        )

    async def take_up_collections(self) -> int:
        """Make payments of what lanes have asked of saved cards, and charge them; returns how many.
        What a provider does not answer is asked again later."""
        done = 0
        for lane in self._lanes:
            while lane.has_lease:
                asked = await collections.asked_collections(self._store, lane.number, AT_ONCE)
                if not asked:
                    break
                turns = asyncio.Semaphore(CHARGES_AT_ONCE)
                await asyncio.gather(*[self._take_up(one, turns) for one in asked])
                done += len(asked)
        return done

    async def _take_up(self, one: AskedCollection, turns: asyncio.Semaphore) -> None:
        async with turns:
            record = await self._payment_for(one)
            is_there = True
            if isinstance(record, PaymentRecord):
                try:
                    async with self._store.transaction() as transaction:
                        await records.insert_payment(transaction, record)
                except DuplicateKey:
                    # Whoever made it died before the queue was told.
                    pass
            else:
                # That one may have been charged already, while there was a card.
                is_there = await records.is_known(self._store, one.asked.payment_id)
                if not is_there:
                    await self._refuse(one, record)
            async with self._store.transaction() as transaction:
                await collections.take_up(transaction, one)
            if is_there:
                try:
                    await self.settle_payment(one.asked.payment_id)
                except FaregateError as error:
                    log.warning("a charge waits", payment=one.asked.payment_id, reason=str(error))

    async def _payment_for(self, one: AskedCollection) -> PaymentRecord | str:
        """Make the payment of a collection, or say why there can be none."""
        method = await self._default_card(one.environment_id, one.customer_id)
        if method is None:
            return NO_CARD
        asked, now = one.asked, self._clock()
        code = asked.account_id.rpartition(":")[2]
        units, rate = asked.units, None
        if code != asked.currency:
            converted = self._bought(one)
            if isinstance(converted, Problem):
                return converted.detail
            units, rate = converted.units, converted.rate
        return PaymentRecord(
            asked.payment_id,
            one.environment_id,
            one.customer_id,
            "auto" if asked.subscription_id is None else "subscription",
            "initiated",
            method.provider,
            None,
            None,
            asked.currency,
            asked.units,
            asked.account_id,
            units,
            PaymentTerms(rate=rate, method_id=method.id, subscription_id=asked.subscription_id),
            None,
            now,
            now + CHARGE_LIFE,
            now,
            now + timedelta(seconds=records.CHECK_AFTER[0]),
        )

    def _bought(self, one: AskedCollection) -> Converted | Problem:
        asked = one.asked
        view = self._catalog.view(one.environment_id)
        name, _, code = asked.account_id.rpartition(":")
        amount = Number(to_decimal(asked.units, view.assets[asked.currency].scale))
        target = ConvertTo(code, name or DEFAULT_ACCOUNT)
        paid = AdjustmentRequest(
            "auto top-up", asked.currency, amount, "external_topup", convert_to=target
        )
        return convert_payment(paid, target, asked.units, view, self._clock())

    async def _refuse(self, one: AskedCollection, reason: str) -> None:
        lane = await self._lane_of(one.environment_id, one.customer_id)
        command = CollectionFailed(one.customer_id, one.asked.payment_id, reason)
        await lane.submit(command, one.environment_id)
        is_left = await self._default_card(one.environment_id, one.customer_id) is not None
        if is_left and reason == NO_CARD:
            # It was left just now.
            await self._card_saved(one.environment_id, one.customer_id)


def _units(field: str, amount: Number, asset: Asset) -> int:
    """Read an amount of money that a card can pay. Raises 422."""
    try:
        units = to_units(amount, asset.scale)
    except AmountError as error:
        raise FaregateError(invalid(field, f"{amount} {error}")) from None
    if units <= 0:
        raise FaregateError(invalid(field, f"is {amount}: send more than 0"))
    if units % power_of_ten(asset.scale - asset.precision):
        detail = f"is {amount}, and {asset.code} has {asset.precision} decimals when it is paid"
        raise FaregateError(invalid(field, f"{detail}: round it"))
    if units > MAX_UNITS:
        raise FaregateError(invalid(field, f"is {amount}: send less"))
    return units


def _units_of_account(threshold: Number, scale: int) -> int:
    try:
        units = to_units(threshold, scale)
    except AmountError as error:
        raise FaregateError(invalid("threshold", f"{threshold} {error}")) from None
    if units < 0:
        raise FaregateError(invalid("threshold", f"is {threshold}: send 0 or more"))
    if units > MAX_UNITS:
        raise FaregateError(invalid("threshold", f"is {threshold}: send less"))
    return units
