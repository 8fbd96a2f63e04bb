"""The page of an account's auto top-up: when, how much, at most how much a month; and the
customer's consent, without which nothing is switched on.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from starlette.responses import Response

from faregate.core.amounts import Number
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.engine.own_payments import TopUpOffers
from faregate.payments.types import AutoTopUpState, AutoTopUpTerms
from faregate.web.portal.formats import plain_number, read_number
from faregate.web.portal.payment import auto_top_up_of
from faregate.web.portal.saying import agreement, card, failed, no_amount, refused
from faregate.web.portal.visit import PortalPage, PortalVisit

_FIELDS: Final = ("threshold", "amount", "monthly_cap")


async def show(visit: PortalVisit) -> Response:
    """Show what is agreed on, or what could be."""
    offered = await _offered(visit)
    state = await auto_top_up_of(visit, offered.account_id)
    typed: dict[str, str] = {}
    if state is not None:
        values = (state.threshold, state.amount, state.monthly_cap)
        for name, value in zip(_FIELDS, values, strict=True):
            typed[name] = "" if value is None else plain_number(value, visit.locale)
    else:
        typed = _proposed(visit, offered)
    return await _show(visit, offered, state, typed, {})


async def save(visit: PortalVisit) -> Response:
    """Switch it on, on these terms."""
    offered, form = await _offered(visit), await visit.form()
    state = await auto_top_up_of(visit, offered.account_id)
    typed = {name: form.get(name) for name in _FIELDS}
    errors: dict[str, list[str]] = {}
    read: dict[str, Decimal | None] = {}
    for name in _FIELDS:
        read[name] = read_number(typed[name], visit.locale)
        if read[name] is None and (typed[name] or name != "monthly_cap"):
            errors[name] = [no_amount(visit)]
    if form.get("agreed") != "yes":
        errors["agreed"] = [visit.t("Please agree: without your consent nothing is charged.")]
    threshold, amount, cap = (read[name] for name in _FIELDS)
    if errors or threshold is None or amount is None:
        return await _show(visit, offered, state, typed, errors)
    terms = AutoTopUpTerms(
        True,
        Number(threshold),
        Number(amount),
        offered.currency.code,
        None if cap is None else Number(cap),
        **({} if state is None else {"per_hour": state.per_hour}),
    )
    try:
        await visit.engine.set_own_auto_top_up(
            visit.customer_id, offered.account_id, terms, context=visit.context
        )
    except FaregateError as error:
        errors = _errors(visit, error)
        sentence = "" if errors else refused(visit, error)
        return await _show(visit, offered, state, typed, errors, sentence)
    return visit.go("payment", visit.t("Auto top-up is on."))


async def switch_off(visit: PortalVisit) -> Response:
    """Switch it off; what was agreed on is kept for the next time."""
    offered = await _offered(visit)
    state = await auto_top_up_of(visit, offered.account_id)
    if state is not None:
        cap = state.monthly_cap
        terms = AutoTopUpTerms(
            False,
            Number(state.threshold),
            Number(state.amount),
            state.currency,
            None if cap is None else Number(cap),
            state.per_hour,
        )
        await visit.engine.set_own_auto_top_up(
            visit.customer_id, offered.account_id, terms, context=visit.context
        )
    return visit.go("payment", visit.t("Auto top-up is off. Nothing is charged by itself."))


async def _offered(visit: PortalVisit) -> TopUpOffers:
    """Return the account that the path names, which the customer can pay into. Raises 404."""
    for one in await visit.engine.top_up_offers(visit.customer_id, context=visit.context):
        if one.account_id == visit.path["account_id"]:
            return one
    raise FaregateError(Problem(NOT_FOUND, "there is no such account"))


def _proposed(visit: PortalVisit, offered: TopUpOffers) -> dict[str, str]:
    """Return what might be agreed on: to have a little left, and not to pay too often."""
    if not offered.offers:
        return dict.fromkeys(_FIELDS, "")
    amounts = [offer.amount for offer in offered.offers]
    amount = amounts[1] if len(amounts) > 1 else amounts[0]
    least = offered.offers[0].credit
    values = (least / 2 if least % 2 == 0 else least, amount, amount * 5)
    return {
        name: plain_number(value, visit.locale) for name, value in zip(_FIELDS, values, strict=True)
    }


def _errors(visit: PortalVisit, error: FaregateError) -> dict[str, list[str]]:
    said = {
        "threshold": visit.t("This amount is not possible: choose another one."),
        "amount": visit.t("This amount cannot be paid: choose another one."),
        "monthly_cap": visit.t("This is less than one payment: choose more, or leave it empty."),
    }
    return {name: [said[name]] for name in error.problem.errors if name in said}


async def _show(
    visit: PortalVisit,
    offered: TopUpOffers,
    state: AutoTopUpState | None,
    typed: dict[str, str],
    errors: dict[str, list[str]],
    sentence: str = "",
) -> Response:
    cards = await visit.engine.list_payment_methods(visit.customer_id, context=visit.context)
    pays = next((one.card for one in cards if one.is_default), None)
    is_on = state is not None and state.enabled
    stopped = state.disabled_because if state is not None else None
    return visit.render(
        "auto_top_up.html",
        422 if errors or sentence else 200,
        section="payment",
        title=visit.t("Auto top-up"),
        offered=offered,
        state=state,
        words=agreement(visit, state, offered.asset, cards) if state and is_on else "",
        stopped=failed(visit, stopped) if stopped else "",
        card=None if pays is None else card(visit, pays.brand, pays.last4),
        typed=typed,
        errors=errors,
        sentence=sentence,
    )


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("payment/auto/{account_id}", show),
    PortalPage("payment/auto/{account_id}", save, "POST"),
    PortalPage("payment/auto/{account_id}/off", switch_off, "POST"),
)
