"""Sentences that several pages of the portal say, about what engine and providers have answered.

What the engine refuses it says in English, to programs and to whoever writes them. Customers are
told what they can do about it, in their language.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.prices import RATE_DECIMALS
from faregate.core.problems import CONFLICT, OVERLOADED, UNAVAILABLE, FaregateError
from faregate.engine.own_payments import TopUpOffers
from faregate.engine.own_plans import OwnPlan
from faregate.payments.methods import PaymentMethod
from faregate.payments.types import AutoTopUpState
from faregate.web.portal.menu import mark
from faregate.web.portal.visit import PortalVisit

PERIODS: Final = {
    "hour": mark("an hour"),
    "day": mark("a day"),
    "week": mark("a week"),
    "month": mark("a month"),
    "year": mark("a year"),
    "lifetime": mark("in all"),
}
PROVIDERS_SAY: Final = (
    mark("The card was declined."),
    mark("The card has insufficient funds."),
    mark("The card has expired."),
    mark("The card was removed."),
    mark("The customer has no saved card that can be charged."),
    mark("It was switched off before the card was charged."),
    mark("The card is no longer saved with its customer."),
    mark("The customer must confirm the payment."),
    mark("The charge has expired."),
)
"""What payments fail for, as it is kept with them, word for word."""


def bounds(visit: PortalVisit, offered: TopUpOffers) -> str:
    """Say how much may be paid in."""
    least, most = offered.minimum, offered.maximum
    code = offered.currency.code

    def show(amount: Decimal) -> str:
        return str(visit.money(amount, code))

    if least is not None and most is not None:
        return visit.t("From %(least)s to %(most)s.", least=show(least), most=show(most))
    if least is not None:
        return visit.t("At least %(least)s.", least=show(least))
    if most is not None:
        return visit.t("At most %(most)s.", most=show(most))
    return ""


def no_amount(visit: PortalVisit) -> str:
    """Say that what was typed is no amount, by an example."""
    example = visit.language.typed(Decimal("12.50"))
    return visit.t(
        "This is not an amount. Enter a number, for example %(example)s.", example=example
    )


def wrong_amount(visit: PortalVisit, offered: TopUpOffers) -> str:
    """Say that an amount cannot be paid."""
    said = visit.t("This amount cannot be paid: choose another one.")
    return f"{said} {bounds(visit, offered)}".strip()


def refused(visit: PortalVisit, error: FaregateError) -> str:
    """Say that something could not be done, where it has nothing to do with what was typed."""
    kind = error.problem.kind
    if kind in (UNAVAILABLE, OVERLOADED):
        return visit.t("This does not work at the moment. Please try again in a minute.")
    if kind is CONFLICT:
        return visit.t("This is not possible now. Please wait a little, or contact us.")
    return visit.t("This was not possible. Nothing was changed.")


def card(visit: PortalVisit, brand: str | None, last4: str | None) -> str:
    """Name a card: `Visa •••• 4242`."""
    name = (brand or visit.t("Card")).replace("_", " ").title()
    return f"{name} •••• {last4}" if last4 else name


def period(visit: PortalVisit, interval: str | None, count: int) -> str:
    """Say how often something comes: `a month`, `every 3 months`; None: once."""
    if interval is None:
        return visit.t("once")
    if count == 1:
        return visit.t(PERIODS[interval])
    # Each is written out, so that it can be found for the catalogs.
    n = visit.language.n
    words = {
        "day": n("every %(num)s day", "every %(num)s days", count),
        "week": n("every %(num)s week", "every %(num)s weeks", count),
        "month": n("every %(num)s month", "every %(num)s months", count),
        "year": n("every %(num)s year", "every %(num)s years", count),
    }
    return words[interval] % {"num": count}


def price_of(visit: PortalVisit, plan: OwnPlan) -> list[str]:
    """Say what a plan asks and what it brings, a sentence each."""
    view = visit.engine.catalog_view(visit.context)
    version = view.products[plan.product_id].versions[plan.version]
    said = []
    for price in version.plan_prices:
        often, asks = period(visit, price.interval, price.count), price.amounts[0]
        once, per_seat = (to_decimal(n, RATE_DECIMALS) for n in (asks.once, asks.per_seat))
        if once or not per_seat:
            amount = visit.money(once, asks.asset.code)
            said.append(visit.t("%(amount)s %(period)s", amount=amount, period=often))
        if per_seat:
            amount = visit.money(per_seat, asks.asset.code)
            said.append(visit.t("%(amount)s %(period)s per seat", amount=amount, period=often))
    for credit in version.credits:
        amount = visit.money(to_decimal(credit.units, credit.asset.scale), credit.asset.code)
        often = period(visit, credit.interval, credit.count)
        said.append(visit.t("%(amount)s included %(period)s", amount=amount, period=often))
    return said or [visit.t("You pay for what you use.")]


def seats_of(visit: PortalVisit, plan: OwnPlan) -> int | None:
    """Return how many seats come with a plan; None: it is not sold by the seat."""
    view = visit.engine.catalog_view(visit.context)
    prices = view.products[plan.product_id].versions[plan.version].plan_prices
    return max((price.seats for price in prices if price.seats is not None), default=None)


def failed(visit: PortalVisit, problem: str) -> str:
    """Say why a payment has failed. What a bank says in words that we do not know is not English
    for somebody who reads another language."""
    said = visit.t(problem)
    if said == problem and visit.locale != "en":
        return visit.t("The card could not be charged.")
    return said


def agreement(
    visit: PortalVisit, state: AutoTopUpState, asset: Asset, cards: Sequence[PaymentMethod]
) -> str:
    """Say in one sentence what is agreed on with an auto top-up."""
    pays = next((one for one in cards if one.is_default), None)
    name = visit.t("your card") if pays is None else card(visit, pays.card.brand, pays.card.last4)
    least = visit.money(state.threshold, asset.code)
    amount = visit.money(state.amount, state.currency)
    if state.monthly_cap is None:
        return visit.t(
            "When less than %(least)s is left, %(amount)s is charged to %(card)s.",
            least=least,
            amount=amount,
            card=name,
        )
    return visit.t(
        "When less than %(least)s is left, %(amount)s is charged to %(card)s, at most %(cap)s a "
        "month.",
        least=least,
        amount=amount,
        card=name,
        cap=visit.money(state.monthly_cap, state.currency),
    )
