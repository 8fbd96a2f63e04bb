"""The pages on which a customer changes a plan: other seats, another plan, or one more. Each shows
first what it comes to, now and next time, and changes nothing before that is confirmed.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.problems import INSUFFICIENT_FUNDS, NOT_FOUND, FaregateError, Problem
from faregate.engine.own_plans import OwnPlan
from faregate.engine.previews import ChangePreview
from faregate.web.portal.plans import card_of, find, show_plan
from faregate.web.portal.saying import price_of, refused
from faregate.web.portal.visit import PortalPage, PortalVisit

MAX_SEATS: Final = 1_000_000


async def ask_move(visit: PortalVisit) -> Response:
    """Show what other seats, or the newest version, come to. Raises 403, 404."""
    one, plan = await find(visit), await _plan(visit, visit.query.get("plan", ""))
    seats = _seats(visit.query.get("seats"))
    if seats is None and "seats" in visit.query:
        return await show_plan(visit, _say_seats(visit))
    try:
        preview = await visit.engine.preview_own_move(
            visit.customer_id, one.id, plan.product_id, seats, context=visit.context
        )
    except FaregateError as error:
        return await _not_possible(visit, error)
    title = visit.t("%(name)s: the newest version", name=plan.name)
    if seats is not None:
        words = visit.language.n("%(num)s seat", "%(num)s seats", seats) % {"num": seats}
        title = visit.t("%(name)s: %(seats)s", name=plan.name, seats=words)
    path = f"plans/{one.id}"
    return _ask(visit, title, plan, preview, f"{path}/move", path, seats)


async def move(visit: PortalVisit) -> Response:
    """Change seats, or go to the newest version. Raises 403, 404."""
    one, form = await find(visit), await visit.form()
    try:
        await visit.engine.move_own_plan(
            visit.customer_id,
            one.id,
            form.get("plan"),
            _seats(form.get("seats")),
            base_url=visit.base_url,
            context=visit.context,
        )
    except FaregateError as error:
        return await _not_possible(visit, error)
    return visit.go(f"plans/{one.id}", visit.t("Your plan was changed."))


async def ask_switch(visit: PortalVisit) -> Response:
    """Show what it comes to to go to another plan. Raises 403, 404."""
    one = await find(visit)
    card, plan = await card_of(visit, one), await _plan(visit, visit.query.get("plan", ""))
    seats = _seats(visit.query.get("seats"))
    try:
        preview = await visit.engine.preview_own_plan(
            visit.customer_id, plan.product_id, seats, replaces=one.id, context=visit.context
        )
    except FaregateError as error:
        return await _not_possible(visit, error)
    title = visit.t("From %(old)s to %(new)s", old=card.name, new=plan.name)
    path = f"plans/{one.id}"
    return _ask(visit, title, plan, preview, f"{path}/switch", path, seats)


async def switch(visit: PortalVisit) -> Response:
    """Go to another plan. Raises 403, 404."""
    one, form = await find(visit), await visit.form()
    try:
        changed = await visit.engine.take_own_plan(
            visit.customer_id,
            form.get("plan"),
            _seats(form.get("seats")),
            replaces=one.id,
            base_url=visit.base_url,
            context=visit.context,
        )
    except FaregateError as error:
        return await _not_possible(visit, error)
    return visit.go(f"plans/{changed.subscription.id}", visit.t("Your plan was changed."))


async def ask_take(visit: PortalVisit) -> Response:
    """Show what a plan comes to. Raises 403, 404, 409."""
    plan, seats = await _plan(visit, visit.query.get("plan", "")), _seats(visit.query.get("seats"))
    preview = await visit.engine.preview_own_plan(
        visit.customer_id, plan.product_id, seats, context=visit.context
    )
    return _ask(visit, plan.name, plan, preview, "plans/take", "plans", seats)


async def take(visit: PortalVisit) -> Response:
    """Take a plan. Raises 403, 404, 409."""
    form = await visit.form()
    changed = await visit.engine.take_own_plan(
        visit.customer_id,
        form.get("plan"),
        _seats(form.get("seats")),
        base_url=visit.base_url,
        context=visit.context,
    )
    made = changed.subscription
    said = "" if made.required_actions else visit.t("Your plan has begun.")
    return visit.go(f"plans/{made.id}", said)


def _ask(
    visit: PortalVisit,
    title: str,
    plan: OwnPlan,
    preview: ChangePreview,
    action: str,
    back: str,
    seats: int | None,
) -> Response:
    hidden: dict[str, object] = {"plan": plan.product_id}
    if seats is not None:
        hidden["seats"] = seats
    return visit.render(
        "plan_change.html",
        section="plans",
        title=title,
        words=price_of(visit, plan),
        change=preview,
        products=visit.engine.catalog_view(visit.context).products,
        action=action,
        back=back,
        hidden=hidden,
        is_lacking=any(due.lacking > 0 for due in preview.due),
    )


async def _not_possible(visit: PortalVisit, error: FaregateError) -> Response:
    """Show the plan with what is in the way. Raises 403, 404 as they are."""
    kind = error.problem.kind
    if kind.status in (403, 404):
        raise error
    if kind is INSUFFICIENT_FUNDS:
        words = visit.t("Your balance does not cover this: top up first. Nothing was changed.")
        return await show_plan(visit, words)
    if "quantity" in error.problem.errors:
        return await show_plan(visit, _say_seats(visit))
    return await show_plan(visit, refused(visit, error))


async def _plan(visit: PortalVisit, product_id: str) -> OwnPlan:
    for plan in await visit.engine.list_own_plans(visit.customer_id, context=visit.context):
        if plan.product_id == product_id:
            return plan
    raise FaregateError(Problem(NOT_FOUND, "there is no such plan"))


def _seats(text: str | None) -> int | None:
    """Read how many seats are wanted; None: that is no such number."""
    if not text or not text.isascii() or not text.isdigit() or len(text) > 7:
        return None
    number = int(text)
    return number if 0 < number <= MAX_SEATS else None


def _say_seats(visit: PortalVisit) -> str:
    return visit.t("Enter the number of seats: a whole number from 1.")


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("plans/take", ask_take),
    PortalPage("plans/take", take, "POST"),
    PortalPage("plans/{subscription_id}/move", ask_move),
    PortalPage("plans/{subscription_id}/move", move, "POST"),
    PortalPage("plans/{subscription_id}/switch", ask_switch),
    PortalPage("plans/{subscription_id}/switch", switch, "POST"),
)
