"""The page `payment`: the customer's saved cards, which pay what is collected by itself, and their
auto top-ups.
"""

from __future__ import annotations

import secrets
from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.assets import Asset
from faregate.core.problems import NOT_FOUND, FaregateError
from faregate.payments.methods import PaymentMethod
from faregate.payments.types import AutoTopUpState
from faregate.web.portal.saying import agreement, card, failed, refused
from faregate.web.portal.visit import PortalPage, PortalVisit


class CardLine(msgspec.Struct, frozen=True):
    """A saved card as it is shown."""

    id: str
    name: str
    expires: str
    is_default: bool


class AutoLine(msgspec.Struct, frozen=True):
    """An account's auto top-up as it is shown; `words` is what was agreed, in a sentence."""

    account_id: str
    asset: Asset
    state: AutoTopUpState | None
    words: str
    stopped: str


async def show(visit: PortalVisit) -> Response:
    """Show saved cards and auto top-ups."""
    return await _show(visit)


async def add(visit: PortalVisit) -> Response:
    """Lead on to where a card is left."""
    ref = secrets.token_urlsafe(12)
    try:
        url = await visit.engine.begin_own_card(
            visit.customer_id, _back_to(visit, ref), base_url=visit.base_url, context=visit.context
        )
    except FaregateError as error:
        return await _show(visit, refused(visit, error))
    waiting = visit.url(f"payment/back?ref={ref}")
    title = visit.t("Save a card")
    return visit.render("leading.html", section="payment", title=title, url=url, waiting=waiting)


async def come_back(visit: PortalVisit) -> Response:
    """Say whether the card is there."""
    begun = await visit.engine.settle_begun(
        visit.customer_id,
        "setup",
        _back_to(visit, visit.query.get("ref", "")),
        context=visit.context,
    )
    is_saved = begun is not None and begun.status == "succeeded"
    said = visit.t("Your card was saved.") if is_saved else visit.t("No card was saved.")
    return visit.go("payment", said)


async def make_default(visit: PortalVisit) -> Response:
    """Let a card pay from now on. Raises 404, also for one of somebody else."""
    await visit.engine.make_default_method(
        visit.customer_id, visit.path["method_id"], context=visit.context
    )
    return visit.go("payment", visit.t("This card pays from now on."))


async def remove(visit: PortalVisit) -> Response:
    """Forget a card. Raises 404, also for one of somebody else."""
    await visit.engine.remove_payment_method(
        visit.customer_id, visit.path["method_id"], context=visit.context
    )
    return visit.go("payment", visit.t("The card was removed. It is not charged any more."))


def _back_to(visit: PortalVisit, ref: str) -> str:
    path = "paid" if visit.session.is_embedded else "payment/back"
    return f"{visit.base_url}{visit.url(path)}?ref={ref}"


async def _cards(visit: PortalVisit) -> list[PaymentMethod]:
    return await visit.engine.list_payment_methods(visit.customer_id, context=visit.context)


async def auto_top_up_of(visit: PortalVisit, account: str) -> AutoTopUpState | None:
    """Return an account's auto top-up; None: there is none."""
    try:
        return await visit.engine.get_auto_top_up(visit.customer_id, account, context=visit.context)
    except FaregateError as error:
        if error.problem.kind is not NOT_FOUND:
            raise
        return None


async def _show(visit: PortalVisit, sentence: str = "") -> Response:
    cards = await _cards(visit)
    lines = []
    for method in cards:
        kept = method.card
        has_date = kept.exp_month is not None and kept.exp_year is not None
        expires = f"{kept.exp_month:02}/{kept.exp_year}" if has_date else ""
        name = card(visit, kept.brand, kept.last4)
        lines.append(CardLine(method.id, name, expires, method.is_default))
    autos = []
    for offered in await visit.engine.top_up_offers(visit.customer_id, context=visit.context):
        state = await auto_top_up_of(visit, offered.account_id)
        is_on = state is not None and state.enabled
        words = agreement(visit, state, offered.asset, cards) if state and is_on else ""
        why = state.disabled_because if state is not None else None
        stopped = failed(visit, why) if why else ""
        autos.append(AutoLine(offered.account_id, offered.asset, state, words, stopped))
    return visit.render(
        "payment.html",
        409 if sentence else 200,
        section="payment",
        title=visit.t("Payment"),
        cards=lines,
        autos=autos,
        can_pay=bool(visit.engine.payment_providers(visit.context)),
        sentence=sentence,
    )


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("payment", show),
    PortalPage("payment/add", add, "POST"),
    PortalPage("payment/back", come_back),
    PortalPage("payment/cards/{method_id}/default", make_default, "POST"),
    PortalPage("payment/cards/{method_id}/remove", remove, "POST"),
)
