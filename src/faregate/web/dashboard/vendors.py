"""Who the seller pays for the use that is sold, and what they have charged in the last 30 days."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.catalog.vendors import CreateVendor
from faregate.core.assets import CURRENCIES
from faregate.core.codec import from_dict
from faregate.core.problems import FaregateError, Problem
from faregate.insights.types import Group
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.money import show_sum
from faregate.web.typed import Typed, beside, given

SHOWN: Final = 50
MAX_GROUPS: Final = 100


async def show(visit: Visit) -> Response:
    """List the vendors."""
    return await _page(visit)


async def create(visit: Visit) -> Response:
    """Make a new vendor."""
    form = await visit.form()
    typed = Typed(form)
    body = given(name=form.get("name"), external_id=typed.text("external_id"))
    try:
        request = from_dict(CreateVendor, body)
        made = await visit.engine.create_vendor(request, context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go(f"vendors/{made.id}", f"{request.name} is there.")


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    found = await visit.engine.list_vendors(SHOWN, visit.offset, context=visit.context)
    stats = await visit.engine.stats(
        "vendor", MAX_GROUPS, sort="-total_costs", context=visit.context
    )
    dollar = CURRENCIES[stats.currency]
    costs: dict[str, Group] = {}
    strangers: list[Group] = []
    for group in stats.items:
        if isinstance(group.vendor_id, str):
            costs[group.vendor_id] = group
        elif isinstance(group.vendor_external_id, str):
            strangers.append(group)
    return visit.render(
        "vendors.html",
        200 if problem is None else problem.kind.status,
        section="vendors",
        title="Vendors",
        found=found,
        costs=costs,
        strangers=strangers,
        dollar=lambda amount: show_sum(amount, dollar),
        total=show_sum(stats.summary.total_costs, dollar),
        form=form or Form([]),
        problem=problem,
        errors=beside(problem) if problem else {},
    )


PAGES: Final = (Page("vendors", show), Page("vendors", create, "POST", needs="admin"))
