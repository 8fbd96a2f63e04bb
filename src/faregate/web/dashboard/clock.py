"""One test clock: what time it is there, and moving it forward."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from faregate.core.problems import FaregateError, Problem, invalid
from faregate.platform.clocks import AdvanceTestClock
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.typed import Typed, beside

STEPS: Final = {
    "hour": (timedelta(hours=1), "An hour"),
    "day": (timedelta(days=1), "A day"),
    "week": (timedelta(days=7), "A week"),
    "month": (timedelta(days=31), "31 days"),
    "year": (timedelta(days=366), "366 days"),
}
"""How far the buttons move a clock: far enough for the renewals of a month, or of a year."""


async def show(visit: Visit) -> Response:
    """Show the clock."""
    return await _page(visit)


async def advance(visit: Visit) -> Response:
    """Move the clock forward; what is due until then has happened when this answers."""
    form = await visit.form()
    typed = Typed(form)
    clock = await visit.engine.get_test_clock(visit.path["id"], context=visit.context)
    try:
        step = form.get("step")
        to = clock.now + STEPS[step][0] if step in STEPS else typed.instant("to")
        typed.check()
        if to is None:
            raise FaregateError(invalid("to", "is empty: say until when, or press a button"))
        moved = await visit.engine.advance_test_clock(
            clock.id, AdvanceTestClock(to), context=visit.context
        )
    except FaregateError as error:
        return await _page(visit, error.problem)
    said = f"It is {moved.now:%-d %b %Y, %H:%M} there now; what was due until then has happened."
    return visit.go(f"clocks/{clock.id}", said)


async def _page(visit: Visit, problem: Problem | None = None) -> Response:
    clock = await visit.engine.get_test_clock(visit.path["id"], context=visit.context)
    return visit.render(
        "clock.html",
        200 if problem is None else problem.kind.status,
        section="clocks",
        title=clock.name or "Test clock",
        clock=clock,
        steps=[(key, words) for key, (_, words) in STEPS.items()],
        problem=problem,
        errors=beside(problem) if problem else {},
    )


PAGES: Final = (
    Page("clocks/{id}", show),
    Page("clocks/{id}/advance", advance, "POST", needs="admin"),
)
