"""Test clocks: customers who live by one see a year go by in a moment. And what is due and has not
been done, which is the same question asked of the real clock."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.problems import FaregateError, Problem
from faregate.platform.clocks import CreateTestClock
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form
from faregate.web.typed import Typed, beside, given

SHOWN: Final = 50


async def show(visit: Visit) -> Response:
    """List the clocks, and what is due."""
    return await _page(visit)


async def create(visit: Visit) -> Response:
    """Make a clock."""
    form = await visit.form()
    typed = Typed(form)
    try:
        now = typed.instant("now") or visit.engine.now()
        typed.check()
        request = CreateTestClock(now, **given(name=typed.text("name")))  # type: ignore[arg-type]
        made = await visit.engine.create_test_clock(request, context=visit.context)
    except FaregateError as error:
        return await _page(visit, form, error.problem)
    return visit.go(f"clocks/{made.id}", "The clock is there. Make a customer who lives by it.")


async def retry(visit: Visit) -> Response:
    """Let what is set aside be tried again."""
    count = await visit.engine.retry_due_work()
    return visit.go("clocks", f"{count:,} will be tried again.")


async def _page(visit: Visit, form: Form | None = None, problem: Problem | None = None) -> Response:
    found = await visit.engine.list_test_clocks(SHOWN, context=visit.context)
    due = await visit.engine.list_due_work(SHOWN, context=visit.context)
    aside = await visit.engine.list_due_work(SHOWN, is_set_aside=True, context=visit.context)
    names = await visit.engine.customer_names(
        [one.customer_id for one in aside.items + due.items], context=visit.context
    )
    return visit.render(
        "clocks.html",
        200 if problem is None else problem.kind.status,
        section="clocks",
        title="Test clocks",
        found=found,
        due=due,
        aside=aside,
        names=names,
        now=visit.engine.now(),
        form=form or Form([]),
        problem=problem,
        errors=beside(problem) if problem else {},
    )


PAGES: Final = (
    Page("clocks", show),
    Page("clocks", create, "POST", needs="admin"),
    Page("clocks/retry", retry, "POST", needs="admin"),
)
