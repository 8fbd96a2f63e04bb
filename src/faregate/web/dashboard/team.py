"""Who may sign in: operators with their roles, and invitations that wait. Links are shown once, to
be copied to whom they are for; Faregate sends no mail."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.problems import FaregateError, Problem
from faregate.platform.links import Invitation
from faregate.platform.operators import OPERATOR_ROLES
from faregate.web.dashboard.visit import Page, Visit

ROLES: Final = [
    ("admin", "Admin: everything"),
    ("finance", "Finance: sees and exports everything"),
    ("support", "Support: sees everything, helps customers"),
]
MAY: Final = (
    ("See every page, export", True, True, True),
    ("Give credit, block a customer, make a portal link", True, False, True),
    ("Change products, prices, coupons, limits, webhooks, settings", True, False, False),
    ("Make and revoke API keys", True, False, False),
    ("Confirm what assistants ask", True, False, False),
    ("Invite, change and disable operators", True, False, False),
)
"""What each role may do: admin, finance, support."""


async def show(visit: Visit) -> Response:
    """Show the page."""
    return await _shown(visit)


async def _shown(
    visit: Visit, problem: Problem | None = None, given: Invitation | None = None, words: str = ""
) -> Response:
    form = await visit.form() if problem is not None else None
    errors = {} if problem is None else problem.errors
    is_known = bool(errors) and set(errors) <= {"email", "role"}
    return visit.render(
        "team.html",
        200 if problem is None else problem.kind.status,
        section="team",
        title="Team",
        people=await visit.engine.list_operators(),
        invitations=await visit.engine.list_invitations(),
        roles=ROLES,
        role_names=OPERATOR_ROLES,
        may=MAY,
        errors=errors if is_known else {},
        general="" if problem is None or is_known else problem.detail,
        typed_email=form.get("email") if form else "",
        typed_role=form.get("role") if form else "support",
        link=f"{visit.base_url}/join/{given.secret}" if given else "",
        link_words=words,
        link_until=given.expires_at if given else None,
    )


async def invite(visit: Visit) -> Response:
    """Make an invitation and show its link."""
    form = await visit.form()
    try:
        made = await visit.engine.invite_operator(
            form.get("email"), form.get("role"), by=visit.operator.id
        )
    except FaregateError as error:
        return await _shown(visit, error.problem)
    return await _shown(visit, None, made, f"By this link {made.email} joins as {made.role}")


async def withdraw(visit: Visit) -> Response:
    """Let an invitation open nothing any more."""
    email = (await visit.form()).get("email")
    await visit.engine.withdraw_invitation(email)
    return visit.go("team", f"The invitation of {email} was withdrawn")


async def change_role(visit: Visit) -> Response:
    """Change what somebody may do."""
    role = (await visit.form()).get("role")
    who = await visit.engine.get_operator(visit.path["operator_id"])
    try:
        await visit.engine.set_operator_role(who.id, role)
    except FaregateError as error:
        return await _shown(visit, _general(error.problem))
    return visit.go("team", f"{who.name} has the role {role} now")


async def disable(visit: Visit) -> Response:
    """Let somebody sign in no more."""
    who = await visit.engine.get_operator(visit.path["operator_id"])
    try:
        await visit.engine.disable_operator(who.id)
    except FaregateError as error:
        return await _shown(visit, _general(error.problem))
    return visit.go("team", f"{who.name} was signed out everywhere and cannot sign in any more")


async def enable(visit: Visit) -> Response:
    """Let somebody sign in again."""
    who = await visit.engine.get_operator(visit.path["operator_id"])
    await visit.engine.enable_operator(who.id)
    return visit.go("team", f"{who.name} may sign in again")


async def reset(visit: Visit) -> Response:
    """Make a link to a new password and show it."""
    who = await visit.engine.get_operator(visit.path["operator_id"])
    made = await visit.engine.reset_link(who.email)
    return await _shown(visit, None, made, f"By this link {who.name} chooses a new password")


def _general(problem: Problem) -> Problem:
    """Return a problem that stands above the page: its fields are those of a row in the list."""
    return Problem(problem.kind, problem.detail)


PAGES: Final = (
    Page("team", show, needs="admin"),
    Page("team/invite", invite, "POST", "admin", action="invite an operator"),
    Page("team/withdraw", withdraw, "POST", "admin", action="withdraw an invitation"),
    Page(
        "team/{operator_id}/role", change_role, "POST", "admin", action="change an operator's role"
    ),
    Page("team/{operator_id}/disable", disable, "POST", "admin", action="disable an operator"),
    Page("team/{operator_id}/enable", enable, "POST", "admin", action="enable an operator"),
    Page("team/{operator_id}/reset", reset, "POST", "admin", action="make a new-password link"),
)
