"""The page `customers`: who pays. Found by a piece of what is known of them, with what each has
left, and made here too.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.customers.searching import MAX_FOUND, CustomerFilters
from faregate.customers.types import CreateCustomer
from faregate.engine import FoundCustomer
from faregate.web.dashboard.customer_frame import new_key, said_above
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import Money, show_sum
from faregate.web.typed import Typed, beside, given

PAGE: Final = 25
STATES: Final = (("", "All"), ("red", "In the red"), ("blocked", "Blocked"))


class CustomerRow(msgspec.Struct, frozen=True):
    """A customer in the list; `first` is the first account's exact balance, by which it sorts."""

    found: FoundCustomer
    balances: list[Money]
    first: str


async def show(visit: Visit) -> Response:
    """List the customers that are searched for, the newest first."""
    text, state = visit.query.get("q", ""), visit.query.get("state", "")
    product = visit.query.get("product", "")
    view = visit.engine.catalog_view(visit.context)
    filters = CustomerFilters(state == "red", state == "blocked", product or None)
    offset = visit.offset
    found = await visit.engine.search_customers(text, filters, PAGE, offset, context=visit.context)
    asked = given(q=text or None, state=state or None, product=product or None)
    rows = [
        CustomerRow(
            item,
            [show_sum(a.available, view.assets[a.asset]) for a in item.accounts],
            str(item.accounts[0].available) if item.accounts else "",
        )
        for item in found.items
    ]
    products = sorted(view.products.values(), key=lambda one: one.name.casefold())
    return visit.render(
        "customers.html",
        section="customers",
        title="Customers",
        rows=rows,
        found=found,
        most=MAX_FOUND,
        text=text,
        state=state,
        states=STATES,
        product=product,
        products=[("", "Any product"), *[(one.id, one.name) for one in products]],
        is_filtered=bool(asked),
        link=lambda at: f"{visit.url('customers')}?{urlencode({**asked, 'offset': at})}",
    )


async def show_new(visit: Visit) -> Response:
    """Show the form for a new customer."""
    return _new(visit, Form([("key", new_key())]))


async def create(visit: Visit) -> Response:
    """Make a customer, with a subscription if a product is chosen."""
    form = await visit.form()
    typed = Typed(form)
    product = typed.text("product")
    body: dict[str, Any] = given(
        name=form.get("name"),
        external_id=typed.text("external_id"),
        email=typed.text("email"),
        test_clock_id=typed.text("test_clock_id"),
    )
    if product is not None:
        body["subscriptions"] = [{"products": [{"id": product}]}]
    try:
        made = await visit.engine.create_customer(
            from_dict(CreateCustomer, body),
            idempotency_key=form.get("key") or None,
            base_url=visit.base_url,
            context=visit.context,
        )
    except FaregateError as error:
        return _new(visit, form, error.problem)
    visit.has_made = made.id
    waits = any(one.status == "action_required" for one in made.subscriptions)
    said = f"{form.get('name')} is a customer now."
    if waits:
        said += " The subscription begins when it is paid: see Plan."
    return visit.go(f"customers/{made.id}", said)


def _new(visit: Visit, form: Form, problem: Problem | None = None) -> Response:
    view = visit.engine.catalog_view(visit.context)
    sold = [
        (one.id, one.name)
        for one in view.products.values()
        if one.default_versions and one.versions[one.default_versions[-1]].is_open
    ]
    names = {"subscriptions[0].products[0].id": "product"}
    errors = beside(problem, names) if problem else {}
    return visit.render(
        "customer_new.html",
        200 if problem is None else problem.kind.status,
        section="customers",
        title="New customer",
        form=form,
        products=[("", "None yet"), *sorted(sold, key=lambda one: one[1].casefold())],
        clocks=[("", "The real time"), *[(clock, clock) for clock in view.clocks]],
        problem=said_above(form, problem, errors),
        errors=errors,
    )


PAGES: Final = (
    Page("customers", show),
    Page("customers/new", show_new, needs="support"),
    Page("customers/new", create, "POST", needs="support", action="customers create"),
)
