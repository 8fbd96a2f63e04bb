"""The pages `plans`: what the customer has subscribed to and what it costs next; paying what is
missing; ending it with its period, and taking that back. What a change costs is shown before it is
confirmed.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.problems import FaregateError
from faregate.customers.types import CancelSubscription, ShownSubscription
from faregate.engine.own_plans import OwnPlan
from faregate.engine.previews import UpcomingFees
from faregate.web.portal.menu import mark
from faregate.web.portal.saying import failed, price_of, refused, seats_of
from faregate.web.portal.visit import PortalPage, PortalVisit

STATUS: Final = {
    "active": (mark("active"), "good"),
    "scheduled": (mark("begins later"), "info"),
    "action_required": (mark("waits for you"), "warn"),
    "inactive": (mark("ended"), ""),
}
PAUSED: Final = (mark("paused"), "warn")
OVERDUE: Final = (mark("not paid"), "bad")
TRIAL: Final = (mark("trial"), "info")
ENDING: Final = (mark("ends"), "warn")


class PlanCard(msgspec.Struct, frozen=True):
    """A subscription as it is shown: `name` is that of its products, `next` what it is charged
    next."""

    subscription: ShownSubscription
    name: str
    seats: int | None
    status: str
    kind: str
    next: UpcomingFees
    is_ending: bool
    is_over: bool


class Choice(msgspec.Struct, frozen=True):
    """A plan that is offered, what it asks and brings in words, and its seats (None: it is not sold
    by the seat)."""

    plan: OwnPlan
    words: list[str]
    seats: int | None


async def show(visit: PortalVisit) -> Response:
    """Show all subscriptions."""
    found = await visit.engine.list_subscriptions(visit.customer_id, context=visit.context)
    cards = [await card_of(visit, one) for one in reversed(found)]
    plans = await visit.engine.list_own_plans(visit.customer_id, context=visit.context)
    return visit.render(
        "plans.html",
        section="plans",
        title=visit.t("Plans"),
        current=[card for card in cards if not card.is_over],
        over=[card for card in cards if card.is_over],
        plans=choices(visit, [one for one in plans if one.subscription_id is None]),
    )


async def show_one(visit: PortalVisit) -> Response:
    """Show one subscription, and what can be done with it. Raises 404."""
    return await show_plan(visit)


async def pay(visit: PortalVisit) -> Response:
    """Lead on to where the customer pays what is missing, or leaves a card. Raises 404."""
    subscription_id = visit.path["subscription_id"]
    page = _back_to(visit, subscription_id)
    begin = visit.engine.begin_paying
    if (await visit.form()).get("action") == "card":
        begin = visit.engine.begin_leaving_card
    try:
        url = await begin(
            visit.customer_id, subscription_id, page, base_url=visit.base_url, context=visit.context
        )
    except FaregateError as error:
        if error.problem.kind.status == 404:
            raise
        return await show_plan(visit, refused(visit, error))
    waiting = visit.url(f"plans/{subscription_id}/back")
    return visit.render(
        "leading.html", section="plans", title=visit.t("Plans"), url=url, waiting=waiting
    )


async def come_back(visit: PortalVisit) -> Response:
    """Ask what has become of what was begun, and show the subscription."""
    subscription_id = visit.path["subscription_id"]
    page = _back_to(visit, subscription_id)
    await visit.engine.settle_begun(visit.customer_id, "top_up", page, context=visit.context)
    await visit.engine.settle_begun(visit.customer_id, "setup", page, context=visit.context)
    return visit.go(f"plans/{subscription_id}")


def _back_to(visit: PortalVisit, subscription_id: str) -> str:
    path = f"plans/{subscription_id}/back"
    if visit.session.is_embedded:
        path = f"paid?plan={subscription_id}"
    return f"{visit.base_url}{visit.url(path)}"


async def ask_to_end(visit: PortalVisit) -> Response:
    """Show what it comes to if a subscription ends with its period. Raises 404."""
    card = await card_of(visit, await find(visit))
    preview = await visit.engine.preview_cancellation(
        visit.customer_id, card.subscription.id, CancelSubscription(), context=visit.context
    )
    return visit.render(
        "plan_end.html",
        section="plans",
        title=visit.t("End %(name)s", name=card.name),
        card=card,
        ends_at=preview.subscription.ends_at,
    )


async def end(visit: PortalVisit) -> Response:
    """End a subscription with its period. Raises 404."""
    subscription_id = visit.path["subscription_id"]
    try:
        changed = await visit.engine.cancel_own_plan(
            visit.customer_id, subscription_id, context=visit.context
        )
    except FaregateError as error:
        if error.problem.kind.status == 404:
            raise
        return await show_plan(visit, refused(visit, error))
    ends_at = changed.subscription.ends_at
    if ends_at is None:
        return visit.go(f"plans/{subscription_id}", visit.t("It has ended."))
    day = visit.language.day(ends_at, visit.zone)
    return visit.go(f"plans/{subscription_id}", visit.t("It ends on %(day)s.", day=day))


async def keep(visit: PortalVisit) -> Response:
    """Take back that a subscription ends. Raises 404."""
    subscription_id = visit.path["subscription_id"]
    try:
        await visit.engine.keep_own_plan(visit.customer_id, subscription_id, context=visit.context)
    except FaregateError as error:
        if error.problem.kind.status == 404:
            raise
        return await show_plan(visit, refused(visit, error))
    return visit.go(f"plans/{subscription_id}", visit.t("Your plan goes on."))


def choices(visit: PortalVisit, plans: list[OwnPlan]) -> list[Choice]:
    """Return plans as they are offered."""
    return [Choice(plan, price_of(visit, plan), seats_of(visit, plan)) for plan in plans]


async def find(visit: PortalVisit) -> ShownSubscription:
    """Return the subscription that the path names. Raises 404, also for somebody else's."""
    return await visit.engine.get_subscription(
        visit.customer_id, visit.path["subscription_id"], context=visit.context
    )


async def card_of(visit: PortalVisit, one: ShownSubscription) -> PlanCard:
    """Return a subscription as it is shown."""
    products = visit.engine.catalog_view(visit.context).products
    upcoming = await visit.engine.upcoming_fees(visit.customer_id, one.id, context=visit.context)
    is_ending = one.status == "active" and one.ends_at is not None
    words, kind = STATUS.get(one.status, (one.status, ""))
    if one.paused_at is not None:
        words, kind = PAUSED
    elif one.overdue is not None:
        words, kind = OVERDUE
    elif is_ending:
        words, kind = ENDING
    elif one.status == "active" and one.trial_ends_at and one.trial_ends_at > visit.now:
        words, kind = TRIAL
    seats = [product.quantity for product in one.products if product.quantity is not None]
    return PlanCard(
        one,
        ", ".join(products[p.id].name for p in one.products if p.id and p.id in products),
        seats[0] if seats else None,
        visit.t(words),
        kind,
        upcoming,
        is_ending,
        one.status == "inactive" and one.paused_at is None,
    )


async def show_plan(visit: PortalVisit, sentence: str = "") -> Response:
    """Show one subscription, with what is wrong. Raises 404."""
    one = await find(visit)
    card = await card_of(visit, one)
    to_pay = None
    if one.required_actions or one.overdue or one.collection:
        to_pay = await visit.engine.get_to_pay(visit.customer_id, one.id, context=visit.context)
    problem = one.collection.problem if one.collection is not None else None
    plans = await visit.engine.list_own_plans(visit.customer_id, context=visit.context)
    mine = [plan for plan in plans if plan.subscription_id == one.id]
    is_running = one.status == "active" and not card.is_ending and one.overdue is None
    others = [plan for plan in plans if plan.subscription_id is None] if mine else []
    return visit.render(
        "plan.html",
        409 if sentence else 200,
        section="plans",
        title=card.name,
        card=card,
        to_pay=to_pay,
        problem=failed(visit, problem) if problem else "",
        may_end=visit.brand.settings.may_cancel and not card.is_over and not card.is_ending,
        sentence=sentence,
        mine=choices(visit, mine) if is_running else [],
        others=choices(visit, others) if is_running and len(one.products) == 1 else [],
        seats_of={product.id: product.quantity for product in one.products},
        assets=visit.engine.catalog_view(visit.context).assets,
    )


PAGES: Final[tuple[PortalPage, ...]] = (
    PortalPage("plans", show),
    PortalPage("plans/{subscription_id}", show_one),
    PortalPage("plans/{subscription_id}/pay", pay, "POST"),
    PortalPage("plans/{subscription_id}/back", come_back),
    PortalPage("plans/{subscription_id}/end", ask_to_end),
    PortalPage("plans/{subscription_id}/end", end, "POST"),
    PortalPage("plans/{subscription_id}/keep", keep, "POST"),
)
