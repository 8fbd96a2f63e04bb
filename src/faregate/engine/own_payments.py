"""Operations on what customers pay by themselves: into which of their accounts and what amounts
would bring, a payment of such an amount, a card that they leave, and what has become of either when
they are back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final

import msgspec
import structlog

from faregate.core.accounts import DEFAULT_ACCOUNT, account_id
from faregate.core.amounts import Number, to_decimal, to_units
from faregate.core.assets import Asset
from faregate.core.bonuses import bonus_for
from faregate.core.codec import checked, encode
from faregate.core.conversion import shown_rate, worth
from faregate.core.customers import CustomerState
from faregate.core.offers import suggested_amounts
from faregate.core.payment_rules import check_top_up
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.core.subscriptions import CatalogView, in_force
from faregate.core.transactions import AdjustmentRequest, ConvertTo, convert_payment
from faregate.engine.collecting import CollectingOperations
from faregate.engine.paying import AN_HOUR, TOO_MANY, PayingOperations
from faregate.ledger import reading
from faregate.ledger.reading import Present
from faregate.payments import records
from faregate.payments.types import (
    FINAL,
    AutoTopUpState,
    AutoTopUpTerms,
    BeginSetup,
    InitiateTopUp,
    Kind,
    Status,
    TopUp,
    TopUpDestination,
    TopUpInitiated,
)
from faregate.platform.environments import AccountContext

LATELY: Final = timedelta(hours=25)
"""How far back it is looked for what a customer has begun: as long as they may take to pay."""
MOST_BEGUN: Final = 100

log = structlog.get_logger(__name__)


class Offer(msgspec.Struct, frozen=True):
    """What a payment of `amount` would bring now: `credit`, and a `bonus` beside it (0: none)."""

    amount: Decimal
    credit: Decimal
    bonus: Decimal


class TopUpOffers(msgspec.Struct, frozen=True):
    """An account that its customer may pay into: with which `currency`, within which bounds (None:
    any amount), and what some amounts would bring. `rate` is how many of the account's asset one
    of the currency buys; None where they are the same."""

    account_id: str
    asset: Asset
    currency: Asset
    rate: Decimal | None
    minimum: Decimal | None
    maximum: Decimal | None
    offers: list[Offer]


class Begun(msgspec.Struct, frozen=True):
    """What a customer has begun on a provider's page, and where it stands."""

    id: str
    status: Status


class OwnPaymentOperations(PayingOperations, CollectingOperations):
    """What customers pay by themselves."""

    async def top_up_offers(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> list[TopUpOffers]:
        """Return into which accounts a customer may pay, money first: those of their wallet; of an
        empty one those that pay for what they have subscribed to. None: nobody collects, or no
        currency buys what they have. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        if not self.payment_providers(context):
            return []
        state = await reading.read_customer(self._store, lane.number, customer_id)
        view = self._catalog.view(environment)
        present = reading.as_of(state, view, lane.now())
        # What it costs and brings is settled by the machine's clock, as the payment will be.
        now = self._clock()
        named = [*present.accounts] or _paid_from(present, view)
        found = [_offers(name, state, view, now) for name in named]
        offered = [one for one in found if one is not None]
        return sorted(offered, key=lambda one: not one.asset.is_currency)

    async def begin_own_top_up(
        self,
        customer_id: str,
        account: str,
        amount: Number,
        page: str,
        *,
        failure_page: str | None = None,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> TopUpInitiated:
        """Begin a payment into one of the accounts that `top_up_offers` names; the customer is led
        back to `page`, which belongs to this payment alone: who asks for the same again gets the
        same one. Raises 404, 422 (`amount`), 409 if it was tried too often, 503."""
        offered = await self.top_up_offers(customer_id, context=context)
        found = next((one for one in offered if one.account_id == account), None)
        if found is None:
            detail = f"nothing can be paid into {account[:100]!r}"
            raise FaregateError(Problem(NOT_FOUND, detail))
        begun = await self._begun_before(customer_id, "top_up", context)
        if len(begun) == AN_HOUR and all(r.terms.return_url != page for r in begun):
            raise FaregateError(conflict("amount", TOO_MANY))
        name, _, code = account.rpartition(":")
        request = InitiateTopUp(
            customer_id,
            amount,
            found.currency.code,
            page,
            failure_page or page,
            destination=TopUpDestination(code, name),
        )
        key = f"own {sha256(encode(request)).hexdigest()}"
        return await self.initiate_top_up(
            request, idempotency_key=key, base_url=base_url, context=context
        )

    async def begin_own_card(
        self,
        customer_id: str,
        page: str,
        *,
        base_url: str = "",
        context: AccountContext | None = None,
    ) -> str:
        """Begin to save a card of a customer, who is led back to `page`; returns where they leave
        it. Raises 404, 409 if it was tried too often, or if nobody collects, 503."""
        if len(await self._begun_before(customer_id, "setup", context)) == AN_HOUR:
            raise FaregateError(conflict("customer_id", TOO_MANY))
        begun = await self.begin_setup(
            customer_id, BeginSetup(page, page), base_url=base_url, context=context
        )
        return begun.redirect_url

    async def set_own_auto_top_up(
        self,
        customer_id: str,
        account: str,
        terms: AutoTopUpTerms,
        *,
        context: AccountContext | None = None,
    ) -> AutoTopUpState:
        """Agree on an auto top-up of one of the accounts that `top_up_offers` names, as its
        customer. Raises 404; 409 if it is to be on and there is no card that could be charged; 422,
        also for an amount that could not be paid by hand."""
        environment = await self._look(context)
        offered = await self.top_up_offers(customer_id, context=context)
        if all(one.account_id != account for one in offered):
            detail = f"nothing can be paid into {account[:100]!r}"
            raise FaregateError(Problem(NOT_FOUND, detail))
        if terms.enabled:
            if await self._default_card(environment, customer_id) is None:
                raise FaregateError(conflict("enabled", "there is no saved card: add one first"))
            code = terms.currency or account.rpartition(":")[2]
            rules = self._catalog.view(environment).payments
            refused = check_top_up(rules, checked(terms).amount, code)
            if refused is not None:
                raise FaregateError(refused)
        return await self.set_auto_top_up(customer_id, account, terms, context=context)

    async def settle_begun(
        self, customer_id: str, kind: Kind, page: str, *, context: AccountContext | None = None
    ) -> Begun | None:
        """Ask at once what has become of a payment (or a card that was to be left) that a customer
        has begun lately and that leads back to `page`. None: there is none. If its provider does
        not answer, it stays as it is. Raises 404."""
        environment = self._environment(context)
        await self._lane_of(environment, customer_id)
        since = self._clock() - LATELY
        found = await records.list_begun(
            self._store, environment, customer_id, kind, since, MOST_BEGUN
        )
        for record in found:
            if record.terms.return_url == page:
                await self._settle(record.id)
                record = await records.find_payment(self._store, record.id, environment)
                return Begun(record.id, record.status)
        return None

    async def get_own_top_up(
        self, customer_id: str, top_up_id: str, *, context: AccountContext | None = None
    ) -> TopUp:
        """Return a customer's top-up as it stands; of one that is not settled the provider is asked
        first. Raises 404, also for one of somebody else."""
        found = await self.get_top_up(top_up_id, context=context)
        if found.customer_id != customer_id:
            raise FaregateError(Problem(NOT_FOUND, f"there is no payment {top_up_id[:100]!r}"))
        if found.status in FINAL:
            return found
        await self._settle(top_up_id)
        return await self.get_top_up(top_up_id, context=context)

    async def _settle(self, payment_id: str) -> None:
        """Ask what has become of a payment; if nobody answers, it stays as it is."""
        try:
            await self.settle_payment(payment_id)
        except FaregateError as error:
            log.warning("a payment is not settled", payment=payment_id, reason=str(error))


def _paid_from(present: Present, view: CatalogView) -> list[str]:
    """Return the accounts that what a customer has subscribed to is paid from; if there is nothing,
    those of all that is sold."""
    bound = {
        binding.product_id
        for subscription in present.subscriptions
        for binding in in_force(subscription.bindings, present.now)
    }
    for products in (bound, set(view.products)):
        named = [
            priced.account_id
            for price in view.prices.values()
            if price.product_id in products
            for priced in price.assets
        ]
        if named:
            return list(dict.fromkeys(named))
    return [account_id(DEFAULT_ACCOUNT, code) for code in view.payments.top_ups]


def _offers(
    account: str, state: CustomerState, view: CatalogView, now: datetime
) -> TopUpOffers | None:
    asset = view.assets[account.rpartition(":")[2]]
    sold_in = [asset.code]
    if not asset.is_currency:
        sold_in = [rate.source for rate in view.rates.get(asset.code, ())]
    for code in sold_in:
        rate = worth(view.rates, code, asset.code, now)
        if rate is None:
            continue
        currency, bounds = view.assets[code], view.payments.top_ups.get(code)
        amounts = suggested_amounts(bounds, currency.precision)
        offers = [_offer(amount, currency, asset, state, view, now) for amount in amounts]
        return TopUpOffers(
            account,
            asset,
            currency,
            None if code == asset.code else shown_rate(rate),
            None if bounds is None else bounds.minimum,
            None if bounds is None else bounds.maximum,
            [offer for offer in offers if offer is not None],
        )
    return None


def _offer(
    amount: Decimal,
    currency: Asset,
    asset: Asset,
    state: CustomerState,
    view: CatalogView,
    now: datetime,
) -> Offer | None:
    """Return what an amount brings; None: nothing, it is too little, or too much."""
    units = to_units(amount, currency.scale)
    if currency.code != asset.code:
        paid = AdjustmentRequest("top-up", currency.code, Number(amount), "external_topup")
        bought = convert_payment(paid, ConvertTo(asset.code), units, view, now)
        if isinstance(bought, Problem):
            return None
        units = bought.units
    rules = view.bonuses.get(asset.code, ())
    bonus = bonus_for(rules, units, asset, state.rules.bonuses, now)
    given = 0 if bonus is None else bonus.units
    return Offer(amount, to_decimal(units, asset.scale), to_decimal(given, asset.scale))
