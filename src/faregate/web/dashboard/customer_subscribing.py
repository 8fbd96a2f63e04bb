"""Subscribing a customer to a product, and moving them to another version of it or to other
seats."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.core.subscriptions import CompiledProduct
from faregate.customers.types import CreateSubscription, UpdateSubscribedProduct
from faregate.engine.previews import ChangePreview
from faregate.web.dashboard.customer_frame import customer_of, form_page, frame_of, new_key
from faregate.web.dashboard.customer_plan import done_with, plan_of
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.typed import Typed, given

MAX_DIGITS: Final = 10
EFFECTIVE: Final = (
    ("", "Dearer at once, cheaper at the next renewal"),
    ("now", "At once"),
    ("renewal", "At the next renewal"),
)
PRORATION: Final = (
    ("", "As the account does it"),
    ("prorate", "Charge the rest of the period by its part"),
    ("none", "Charge nothing for the rest of the period"),
)
CREDITS: Final = (
    ("", "As the account does it"),
    ("keep", "What is left stays; new credit at the next renewal"),
    ("prorate", "Each for its part of the period"),
    ("replace", "As if it had been so all period"),
)


async def show_subscribe(visit: Visit) -> Response:
    """Show the form to subscribe to a product."""
    return await _subscribe_page(visit, Form([("key", new_key())]))


async def subscribe(visit: Visit) -> Response:
    """Subscribe the customer, once per form; what that asks first is charged at once."""
    return await _subscribe(visit)


async def preview_subscribing(visit: Visit) -> Response:
    """Say what subscribing would cost; changes nothing."""
    return await _subscribe(visit, is_preview=True)


async def _subscribe(visit: Visit, *, is_preview: bool = False) -> Response:
    form = await visit.form()
    typed = Typed(form)
    product, _, version = form.get("product").partition("@")
    quantity, days = typed.whole("quantity"), typed.whole("trial_days")
    try:
        typed.check()
        bought: dict[str, Any] = given(id=product, quantity=quantity)
        if version:
            bought["version"] = _version(version)
        body: dict[str, Any] = given(
            products=[bought],
            coupon=typed.text("coupon"),
            trial=None if days is None else {"days": days},
            collection_method="charge_automatically" if typed.is_ticked("by_card") else None,
        )
        request = from_dict(CreateSubscription, body)
        if is_preview:
            cost = await visit.engine.preview_subscription(
                customer_of(visit), request, context=visit.context
            )
            return await _subscribe_page(visit, form, cost=cost)
        made = await visit.engine.create_subscription(
            customer_of(visit),
            request,
            idempotency_key=form.get("key") or None,
            base_url=visit.base_url,
            context=visit.context,
        )
    except FaregateError as error:
        return await _subscribe_page(visit, form, error.problem)
    visit.has_made = made.id
    said = "The subscription begins now."
    if made.status == "action_required":
        said = "The subscription begins when it is paid: send its link to the customer."
    return visit.go(f"customers/{customer_of(visit)}/plan", said)


async def _subscribe_page(
    visit: Visit, form: Form, problem: Problem | None = None, cost: ChangePreview | None = None
) -> Response:
    view = visit.engine.catalog_view(visit.context)
    options: list[tuple[str, str]] = []
    for product in sorted(view.products.values(), key=lambda one: one.name.casefold()):
        options += _versions(product)
    return form_page(
        visit,
        await frame_of(visit),
        "plan",
        "customer_subscribe.html",
        form,
        problem,
        heading="Subscribe to a product",
        names={
            "products[0].id": "product",
            "products[0].version": "product",
            "products[0].quantity": "quantity",
            "trial.days": "trial_days",
        },
        cost=cost,
        options=options,
        coupons=[("", "None"), *[(code, code) for code in view.coupons]],
    )


def _version(text: str) -> int | str:
    """Return a version as it was chosen; what is none is for the engine to refuse."""
    is_number = text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS
    return int(text) if is_number else text


def _versions(product: CompiledProduct) -> list[tuple[str, str]]:
    """Return what can be chosen of a product: its default, and each version by itself."""
    open_ones = [number for number, one in product.versions.items() if one.is_open]
    options = []
    default = product.default_versions[-1] if product.default_versions else None
    if default in open_ones:
        options.append((product.id, f"{product.name}, the default (now version {default})"))
    options += [
        (f"{product.id}@{number}", f"{product.name}, version {number} and no other")
        for number in sorted(open_ones, reverse=True)
    ]
    return options


async def show_change(visit: Visit) -> Response:
    """Show the form to move to another version or to other seats."""
    return await _change_page(visit, Form([]))


async def change(visit: Visit) -> Response:
    """Move a product of a subscription to another version or to other seats."""
    return await _change(visit)


async def preview_change(visit: Visit) -> Response:
    """Say what such a move would cost; changes nothing."""
    return await _change(visit, is_preview=True)


async def _change(visit: Visit, *, is_preview: bool = False) -> Response:
    form = await visit.form()
    typed = Typed(form)
    product, _, version = form.get("product").partition("@")
    quantity = typed.whole("quantity")
    mine, subscription = customer_of(visit), visit.path["subscription_id"]
    try:
        typed.check()
        body = given(
            version=_version(version) if version else None,
            quantity=quantity,
            effective=typed.text("effective"),
            proration=typed.text("proration"),
            credits=typed.text("credits"),
        )
        request = from_dict(UpdateSubscribedProduct, body)
        if is_preview:
            cost = await visit.engine.preview_move(
                mine, subscription, product, request, context=visit.context
            )
            return await _change_page(visit, form, cost=cost)
        done = await visit.engine.move_subscription(
            mine,
            subscription,
            product,
            request,
            base_url=visit.base_url,
            context=visit.context,
        )
    except FaregateError as error:
        return await _change_page(visit, form, error.problem)
    return await done_with(visit, "Changed", done)


async def _change_page(
    visit: Visit, form: Form, problem: Problem | None = None, cost: ChangePreview | None = None
) -> Response:
    frame = await frame_of(visit)
    plan = plan_of(visit, frame)
    products = visit.engine.catalog_view(visit.context).products
    options: list[tuple[str, str]] = []
    has_seats = False
    for one in plan.shown.products:
        product = products[str(one.id)]
        if product.default_versions:
            now = product.default_versions[-1]
            options.append((f"{product.id}@default", f"{product.name}: the default (now {now})"))
        options += [
            (f"{product.id}@{number}", f"{product.name}: version {number}")
            for number, version in sorted(product.versions.items(), reverse=True)
            if version.is_open
        ]
        prices = [price for version in product.versions.values() for price in version.plan_prices]
        if any(price.seats is not None for price in prices):
            has_seats = True
            options.append((f"{product.id}@", f"{product.name}: the version as it is"))
    return form_page(
        visit,
        frame,
        "plan",
        "customer_change_plan.html",
        form,
        problem,
        heading=f"Change {plan.title}",
        names={"version": "product"},
        plan=plan,
        cost=cost,
        options=options,
        has_seats=has_seats,
        effective=EFFECTIVE,
        proration=PRORATION,
        credits=CREDITS,
    )


_PLAN: Final = "customers/{customer_id}/plan"
_PREVIEW: Final = f"{_PLAN}/{{subscription_id}}/change/preview"
PAGES: Final = (
    Page(f"{_PLAN}/new", show_subscribe, needs="support"),
    Page(f"{_PLAN}/new", subscribe, "POST", needs="support"),
    Page(f"{_PLAN}/new/preview", preview_subscribing, "POST", needs="support", is_change=False),
    Page(f"{_PLAN}/{{subscription_id}}/change", show_change, needs="support"),
    Page(f"{_PLAN}/{{subscription_id}}/change", change, "POST", needs="support"),
    Page(_PREVIEW, preview_change, "POST", needs="support", is_change=False),
)
