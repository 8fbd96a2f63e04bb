"""The page `top-up`: a customer chooses an amount, pays it on the page of whoever collects, and
comes back to a page that says what has become of it.

Each time the page is shown it has another `ref`. It names the page to which its payment leads back,
so pressing a button twice makes one payment.
"""

from __future__ import annotations

import re
import secrets
from decimal import Decimal
from typing import Final

from starlette.responses import Response

from faregate.core.amounts import Number
from faregate.core.problems import NOT_FOUND, FaregateError
from faregate.engine.own_payments import TopUpOffers
from faregate.payments.types import TopUp
from faregate.web.portal.formats import read_number
from faregate.web.portal.saying import bounds, no_amount, refused, wrong_amount
from faregate.web.portal.visit import PortalPage, PortalVisit

_REF: Final = re.compile(r"[A-Za-z0-9_-]{8,40}")


async def show(visit: PortalVisit) -> Response:
    """Show which amounts there are, and what they bring."""
    return await _show(visit, await _offers(visit), secrets.token_urlsafe(12))


async def begin(visit: PortalVisit) -> Response:
    """Begin a payment, and lead on to where it is made."""
    form, offers = await visit.form(), await _offers(visit)
    account, typed, ref = form.get("account"), form.get("amount"), form.get("ref")
    if not _REF.fullmatch(ref):
        ref = secrets.token_urlsafe(12)
    offered = next((one for one in offers if one.account_id == account), None)
    if offered is None:
        return await _show(visit, offers, ref, sentence=visit.t("Choose what to top up."))
    amount = read_number(typed, visit.locale)
    if amount is None:
        return await _show(visit, offers, ref, account, typed, no_amount(visit))
    back = back_to(visit, ref)
    try:
        begun = await visit.engine.begin_own_top_up(
            visit.customer_id,
            account,
            Number(amount),
            back,
            base_url=visit.base_url,
            context=visit.context,
        )
    except FaregateError as error:
        if "amount" in error.problem.errors and error.problem.kind.status == 422:
            return await _show(visit, offers, ref, account, typed, wrong_amount(visit, offered))
        return await _show(visit, offers, ref, sentence=refused(visit, error))
    return visit.render(
        "leading.html",
        section="top-up",
        title=visit.t("Top up"),
        url=begun.redirect_url,
        waiting=visit.url(f"top-up/{begun.id}"),
    )


def back_to(visit: PortalVisit, ref: str) -> str:
    """Return where a payment leads back. Inside another site's page it is made in another tab,
    which does not know who the customer is: it is led to a page that says nothing of anybody."""
    path = "paid" if visit.session.is_embedded else "top-up/back"
    return f"{visit.base_url}{visit.url(path)}?ref={ref}"


async def come_back(visit: PortalVisit) -> Response:
    """Lead on to the page of the payment that was begun with this `ref`."""
    ref = visit.query.get("ref", "")
    if not _REF.fullmatch(ref):
        return visit.go("top-up")
    begun = await visit.engine.settle_begun(
        visit.customer_id, "top_up", back_to(visit, ref), context=visit.context
    )
    return visit.go("history" if begun is None else f"top-up/{begun.id}")


async def show_state(visit: PortalVisit) -> Response:
    """Show what has become of a top-up. Raises 404, also for one of somebody else."""
    top_up: TopUp = await visit.engine.get_own_top_up(
        visit.customer_id, visit.path["top_up_id"], context=visit.context
    )
    assets = visit.engine.catalog_view(visit.context).assets
    event: dict[str, object] = {"event": "top-up"} if top_up.status == "succeeded" else {}
    return visit.render(
        "top_up_state.html",
        200,
        **event,
        section="top-up",
        title=visit.t("Your payment"),
        top_up=top_up,
        asset=assets[top_up.destination.asset],
        currency=assets[top_up.currency],
        balance=await _balance(visit, top_up),
    )


async def _balance(visit: PortalVisit, top_up: TopUp) -> Decimal | None:
    account = f"{top_up.destination.account_name}:{top_up.destination.asset}"
    try:
        found = await visit.engine.get_account(visit.customer_id, account, context=visit.context)
    except FaregateError as error:
        if error.problem.kind is not NOT_FOUND:
            raise
        return None
    return found.available


async def _offers(visit: PortalVisit) -> list[TopUpOffers]:
    return await visit.engine.top_up_offers(visit.customer_id, context=visit.context)


async def _show(
    visit: PortalVisit,
    offers: list[TopUpOffers],
    ref: str,
    account: str = "",
    typed: str = "",
    wrong: str = "",
    sentence: str = "",
) -> Response:
    wallet = await visit.engine.get_wallet(visit.customer_id, context=visit.context)
    return visit.render(
        "top_up.html",
        422 if wrong or sentence else 200,
        section="top-up",
        title=visit.t("Top up"),
        offers=offers,
        balances={one.id: one.available for one in wallet.accounts},
        bounds={one.account_id: bounds(visit, one) for one in offers},
        ref=ref,
        account=account,
        typed=typed,
        errors={"amount": [wrong]} if wrong else {},
        sentence=sentence,
        one=Decimal(1),
    )


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("top-up", show),
    PortalPage("top-up", begin, "POST"),
    PortalPage("top-up/back", come_back),
    PortalPage("top-up/{top_up_id}", show_state),
)
