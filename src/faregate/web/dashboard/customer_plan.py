"""What a customer is subscribed to: in which state each subscription is, what comes next, and what
can be done about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.responses import Response

from faregate.core.codec import from_dict
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.customers.types import (
    AddDiscount,
    CancelSubscription,
    PauseSubscription,
    ReactivateSubscription,
    ShownSubscription,
    SubscriptionChange,
)
from faregate.engine.previews import ChangePreview
from faregate.web.dashboard.customer_frame import (
    Frame,
    customer_of,
    form_page,
    frame_of,
    page_of,
    pretty,
)
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.typed import Typed, given

STATES: Final = {
    "active": ("Active", "good"),
    "scheduled": ("Begins later", "info"),
    "action_required": ("Waits for the customer", "warn"),
    "inactive": ("Ended", ""),
    "paused": ("Paused", "warn"),
}


class Plan(msgspec.Struct, frozen=True):
    """A subscription as it is shown: `names` are its products', by id; `state` a key of STATES."""

    shown: ShownSubscription
    state: str
    names: dict[str, str]

    @property
    def title(self) -> str:
        """The products, in words."""
        return " + ".join(self.names[str(one.id)] for one in self.shown.products) or self.shown.id


def shown_plans(visit: Visit, frame: Frame) -> list[Plan]:
    """Return the customer's subscriptions, those that have ended last."""
    products = visit.engine.catalog_view(visit.context).products
    plans = []
    for one in frame.customer.subscriptions or ():
        state = one.status
        if one.paused_at is not None and state == "active":
            state = "paused"
        ids = [str(item.id) for item in one.products]
        ids += [move.product_id for move in one.planned or ()]
        plans.append(Plan(one, state, {key: products[key].name for key in ids}))
    return sorted(plans, key=lambda plan: plan.state == "inactive")


def plan_of(visit: Visit, frame: Frame) -> Plan:
    """Return the subscription that the path names. Raises 404."""
    wanted = visit.path["subscription_id"]
    for plan in shown_plans(visit, frame):
        if plan.shown.id == wanted:
            return plan
    detail = f"the customer has no subscription {wanted[:100]!r}"
    raise FaregateError(Problem(NOT_FOUND, detail))


async def show(visit: Visit) -> Response:
    """Show the tab of plans."""
    frame = await frame_of(visit)
    return page_of(
        visit,
        frame,
        "plan",
        "customer_plan.html",
        plans=shown_plans(visit, frame),
        states=STATES,
        coupons=sorted(visit.engine.catalog_view(visit.context).coupons),
        raw=pretty(frame.customer.subscriptions or []),
    )


async def done_with(visit: Visit, verb: str, done: SubscriptionChange) -> Response:
    """Lead back to the plans, and say what was done and what it has cost."""
    frame = await frame_of(visit)
    said = f"{verb}."
    for fee in done.fees:
        shown = frame.money(abs(fee.amount), fee.asset)
        if fee.amount:
            said += f" {shown} {'charged' if fee.amount > 0 else 'given back'} at once."
    if done.effective_at is not None and done.effective_at > frame.now:
        said += f" It counts from {done.effective_at:%-d %b %Y, %H:%M} UTC."
    return visit.go(f"customers/{frame.customer.id}/plan", said)


async def show_cancel(visit: Visit) -> Response:
    """Show the form to end a subscription."""
    return await _end_page(visit, "customer_cancel.html", "Cancel", Form([]))


def _cancellation(form: Form) -> CancelSubscription:
    """Read how a subscription shall end. Raises 422."""
    body: dict[str, object] = {"at": form.get("at")}
    if form.get("at") == "now":
        body |= given(
            proration="prorate" if "gives_back" in form else None,
            credits="lapse" if "takes_credit" in form else None,
        )
    return from_dict(CancelSubscription, body)


async def preview_cancel(visit: Visit) -> Response:
    """Say what ending a subscription would come to; changes nothing."""
    form = await visit.form()
    try:
        cost = await visit.engine.preview_cancellation(
            customer_of(visit),
            visit.path["subscription_id"],
            _cancellation(form),
            context=visit.context,
        )
    except FaregateError as error:
        return await _end_page(visit, "customer_cancel.html", "Cancel", form, error.problem)
    return await _end_page(visit, "customer_cancel.html", "Cancel", form, cost=cost)


async def cancel(visit: Visit) -> Response:
    """End a subscription with its period, or now."""
    form = await visit.form()

    async def act() -> SubscriptionChange:
        return await visit.engine.cancel_subscription(
            customer_of(visit),
            visit.path["subscription_id"],
            _cancellation(form),
            base_url=visit.base_url,
            context=visit.context,
        )

    return await _tried(visit, "customer_cancel.html", "Cancel", "Cancelled", act)


async def show_pause(visit: Visit) -> Response:
    """Show the form to let a subscription rest."""
    return await _end_page(visit, "customer_pause.html", "Pause", Form([]))


async def pause(visit: Visit) -> Response:
    """Let a subscription rest, until it is resumed or until an instant."""
    typed = Typed(await visit.form())

    async def act() -> SubscriptionChange:
        resumes_at = typed.instant("resumes_at")
        typed.check()
        return await visit.engine.pause_subscription(
            customer_of(visit),
            visit.path["subscription_id"],
            from_dict(PauseSubscription, given(resumes_at=resumes_at)),
            base_url=visit.base_url,
            context=visit.context,
        )

    return await _tried(visit, "customer_pause.html", "Pause", "Paused", act)


async def _tried(
    visit: Visit,
    template: str,
    heading: str,
    verb: str,
    act: Callable[[], Awaitable[SubscriptionChange]],
) -> Response:
    try:
        done = await act()
    except FaregateError as error:
        return await _end_page(visit, template, heading, await visit.form(), error.problem)
    return await done_with(visit, verb, done)


async def _end_page(
    visit: Visit,
    template: str,
    heading: str,
    form: Form,
    problem: Problem | None = None,
    cost: ChangePreview | None = None,
) -> Response:
    frame = await frame_of(visit)
    plan = plan_of(visit, frame)
    title = f"{heading} {plan.title}"
    return form_page(
        visit, frame, "plan", template, form, problem, heading=title, plan=plan, cost=cost
    )


async def resume(visit: Visit) -> Response:
    """Let a paused subscription go on."""
    done = await visit.engine.resume_subscription(
        customer_of(visit),
        visit.path["subscription_id"],
        base_url=visit.base_url,
        context=visit.context,
    )
    return await done_with(visit, "It goes on", done)


async def reactivate(visit: Visit) -> Response:
    """Take a cancellation back, or let a subscription begin again."""
    done = await visit.engine.reactivate_subscription(
        customer_of(visit),
        visit.path["subscription_id"],
        ReactivateSubscription(),
        base_url=visit.base_url,
        context=visit.context,
    )
    return await done_with(visit, "It goes on", done)


async def choose_collection(visit: Visit) -> Response:
    """Say what pays a subscription."""
    by_card = (await visit.form()).get("method") == "charge_automatically"
    done = await visit.engine.set_collection_method(
        customer_of(visit),
        visit.path["subscription_id"],
        "charge_automatically" if by_card else "wallet",
        context=visit.context,
    )
    words = "The saved card pays what the balance lacks" if by_card else "The balance alone pays"
    return await done_with(visit, words, done)


async def add_discount(visit: Visit) -> Response:
    """Give a subscription the discount of a coupon."""
    code = (await visit.form()).get("coupon")
    done = await visit.engine.add_discount(
        customer_of(visit),
        visit.path["subscription_id"],
        from_dict(AddDiscount, {"coupon": code}),
        context=visit.context,
    )
    return await done_with(visit, f"{code} counts from now", done)


async def remove_discount(visit: Visit) -> Response:
    """Take a discount from a subscription."""
    code = (await visit.form()).get("coupon")
    done = await visit.engine.remove_discount(
        customer_of(visit), visit.path["subscription_id"], code, context=visit.context
    )
    return await done_with(visit, f"{code} counts no longer", done)


_PLAN: Final = "customers/{customer_id}/plan"
_ONE: Final = f"{_PLAN}/{{subscription_id}}"
PAGES: Final = (
    Page(_PLAN, show),
    Page(f"{_ONE}/cancel", show_cancel, needs="support"),
    Page(f"{_ONE}/cancel", cancel, "POST", needs="support"),
    Page(f"{_ONE}/cancel/preview", preview_cancel, "POST", needs="support", is_change=False),
    Page(f"{_ONE}/pause", show_pause, needs="support"),
    Page(f"{_ONE}/pause", pause, "POST", needs="support"),
    Page(f"{_ONE}/resume", resume, "POST", needs="support"),
    Page(f"{_ONE}/reactivate", reactivate, "POST", needs="support"),
    Page(f"{_ONE}/collection", choose_collection, "POST", needs="support"),
    Page(f"{_ONE}/discount", add_discount, "POST", needs="support"),
    Page(f"{_ONE}/discount/remove", remove_discount, "POST", needs="support"),
)
