"""What operations on payments share: who collects, a payment's lock, its row, and how it is shown
to callers.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Final

from msgspec import structs

from faregate.core.amounts import AmountError, power_of_ten, to_decimal, to_units
from faregate.core.assets import Asset
from faregate.core.bonuses import Bonus, bonus_for
from faregate.core.problems import (
    UNAVAILABLE,
    FaregateError,
    Problem,
    conflict,
    invalid,
)
from faregate.customers import directory
from faregate.engine.base import EngineBase, merchant_of
from faregate.ledger import reading
from faregate.payments import records
from faregate.payments.provider import (
    Money,
    Payer,
    PaymentProvider,
)
from faregate.payments.records import (
    PaymentRecord,
)
from faregate.payments.types import (
    ShownDestination,
    TopUp,
)
from faregate.platform import environments
from faregate.platform.environments import AccountContext

TAKEN: Final = frozenset(("pending", "succeeded", "open", "lost"))
"""Returns whose credit is taken back; that of the others is given again."""


class PaymentBase(EngineBase):
    """What operations on payments stand on."""

    def _provider_for(self, acts: AccountContext) -> PaymentProvider:
        merchant = merchant_of(acts)
        for provider in self._providers.values():
            if provider.serves(merchant):
                return provider
        detail = "no payment provider is set up for this account: see docs/payments.md"
        raise FaregateError(conflict("customer_id", detail))

    def _provider_of(self, record: PaymentRecord) -> PaymentProvider:
        """Return who collects a payment. Raises 503 if they are no longer set up."""
        provider = self._providers.get(record.provider)
        if provider is None:
            detail = f"the payment provider {record.provider!r} is not set up"
            raise FaregateError(Problem(UNAVAILABLE, detail, {}, 60))
        return provider

    async def _bonus_for(self, record: PaymentRecord) -> Bonus | None:
        """Return what is given beside a payment that begins now; None if nothing is."""
        view = self._catalog.view(record.environment_id)
        code = record.account_id.rpartition(":")[2]
        rules = view.bonuses.get(code, ())
        if not rules:
            return None
        lane = await self._lane_of(record.environment_id, record.customer_id)
        state = await reading.read_customer(self._store, lane.number, record.customer_id)
        return bonus_for(
            rules, record.units, view.assets[code], state.rules.bonuses, record.created_at
        )

    async def _write(self, record: PaymentRecord) -> PaymentRecord:
        record = structs.replace(record, updated_at=self._clock())
        async with self._store.transaction() as transaction:
            await records.update_payment(transaction, record)
        return await records.find_payment(self._store, record.id, None)

    def _payment_lock(self, payment_id: str) -> asyncio.Lock:
        """Return the lock of a payment: two who ask at once ask one after the other."""
        return self._payment_locks.setdefault(payment_id, asyncio.Lock())

    async def _know(self, environment_id: int) -> AccountContext:
        """Return an account in a mode; one that another process has made is looked up."""
        if all(c.environment_id != environment_id for c in self._contexts.values()):
            for context in await environments.list_contexts(self._store):
                self._contexts[context.account_id, context.environment] = context
            await self._catalog.refresh()
        return self._context_of(environment_id)

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


def purpose_of(record: PaymentRecord, acts: AccountContext) -> str:
    """Say to customers what a payment is for."""
    what = "Subscription to" if record.kind == "subscription" else "Top-up of"
    return record.terms.description or f"{what} {acts.name}"


def payable_units(amount: Decimal, asset: Asset) -> int:
    """Return an amount that is paid or given back in units of its currency, more than 0. Raises 422
    (`amount`): also where nobody can pay so many decimals."""
    try:
        units = to_units(amount, asset.scale)
    except AmountError as error:
        raise FaregateError(invalid("amount", f"{amount} {error}")) from None
    if units <= 0:
        raise FaregateError(invalid("amount", f"is {amount}: send more than 0"))
    if units % power_of_ten(asset.scale - asset.precision):
        detail = f"is {amount}, and {asset.code} has {asset.precision} decimals"
        raise FaregateError(invalid("amount", f"{detail} when it is paid: round it"))
    return units
