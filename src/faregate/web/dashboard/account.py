"""An operator's own account: name, password, and where they are signed in."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.problems import FaregateError, Problem, invalid
from faregate.web.dashboard.visit import Page, Visit

_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def browser_of(agent: str) -> str:
    """Say in words what a browser calls itself, which anybody may make up.

    >>> browser_of("Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36")
    'Chrome on Linux'
    """
    browser = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or agent[:60] or "unknown"


async def show(visit: Visit) -> Response:
    """Show the page."""
    return await _shown(visit)


async def _shown(visit: Visit, problem: Problem | None = None, form: str = "") -> Response:
    sessions = await visit.engine.list_operator_sessions(visit.operator.id)
    errors = {} if problem is None else problem.errors
    # What belongs to no field stands above the form.
    general = problem.detail if problem is not None and not errors else ""
    name = (await visit.form()).get("name") if form == "name" else visit.operator.name
    return visit.render(
        "account.html",
        200 if problem is None else problem.kind.status,
        section="account",
        title="Your account",
        sessions=sessions,
        errors=errors,
        general=general,
        failed=form,
        shown_name=name,
        browser=browser_of,
    )


async def rename(visit: Visit) -> Response:
    """Change one's own name."""
    try:
        await visit.engine.rename_operator(visit.operator.id, (await visit.form()).get("name"))
    except FaregateError as error:
        return await _shown(visit, error.problem, "name")
    return visit.go("account", "Your name was changed")


async def change_password(visit: Visit) -> Response:
    """Change one's own password."""
    form = await visit.form()
    new = form.exact("password")
    try:
        if new != form.exact("password_again"):
            raise FaregateError(
                invalid("password_again", "is not the same: type the new password twice")
            )
        await visit.engine.change_password(
            visit.session, form.exact("current_password"), new, address=visit.address
        )
    except FaregateError as error:
        return await _shown(visit, error.problem, "password")
    return visit.go("account", "Your password was changed, and you are signed out everywhere else")


async def end_session(visit: Visit) -> Response:
    """Sign oneself out somewhere else."""
    await visit.engine.end_operator_session(visit.operator.id, visit.path["session_id"])
    return visit.go("account", "That session was ended")


async def end_others(visit: Visit) -> Response:
    """Sign oneself out everywhere else."""
    await visit.engine.end_other_sessions(visit.session)
    return visit.go("account", "You are signed out everywhere else")


PAGES: Final[tuple[Page, ...]] = (
    Page("account", show),
    Page("account/name", rename, "POST", "own", action="change own name"),
    Page("account/password", change_password, "POST", "own", action="change own password"),
    Page("account/sessions/{session_id}/end", end_session, "POST", "own", action="end a session"),
    Page("account/sessions/end", end_others, "POST", "own", action="end other sessions"),
)
