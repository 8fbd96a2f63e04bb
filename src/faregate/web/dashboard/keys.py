"""API keys of a mode: made, shown once, revoked."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.platform.keys import ApiKey
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.forms import Form

ROLES: Final = [
    ("ingest", "Ingest: reports use, asks for holds, reads its customer"),
    ("admin", "Admin: everything"),
    ("read", "Read: reads everything, changes nothing"),
]


async def show(visit: Visit) -> Response:
    """Show the page."""
    return await _shown(visit)


async def _shown(visit: Visit, problem: Problem | None = None, secret: str = "") -> Response:
    keys = [k for k in await visit.engine.list_keys() if k.context.environment == visit.mode]
    keys.sort(key=lambda key: (key.revoked_at is not None, key.id))
    typed = await visit.form() if problem is not None else Form([])
    return visit.render(
        "keys.html",
        200 if problem is None else problem.kind.status,
        section="keys",
        title="API keys",
        keys=keys,
        used=await visit.engine.last_changes_by([key.id for key in keys]),
        has_others=any(not key.context.is_platform for key in keys),
        roles=ROLES,
        errors={} if problem is None else problem.errors,
        typed=typed,
        secret=secret,
    )


async def create(visit: Visit) -> Response:
    """Make a key of the platform and show it, this once."""
    form = await visit.form()
    try:
        key, secret = await visit.engine.create_key(
            visit.context.environment, form.get("role"), form.get("name")
        )
    except FaregateError as error:
        return await _shown(visit, error.problem)
    visit.has_made = key.id
    return await _shown(visit, None, secret)


async def revoke(visit: Visit) -> Response:
    """End a key of this mode."""
    key = await _find(visit, visit.path["key_id"])
    await visit.engine.revoke_key(key.id)
    return visit.go("keys", f"The key {key.name} ({key.hint}) is revoked")


async def _find(visit: Visit, key_id: str) -> ApiKey:
    for key in await visit.engine.list_keys():
        if key.id == key_id and key.context.environment == visit.mode:
            return key
    raise FaregateError(Problem(NOT_FOUND, f"there is no key {key_id[:100]!r} in this mode"))


PAGES: Final = (
    Page("keys", show, needs="admin"),
    Page("keys", create, "POST", "admin", action="make an API key"),
    Page("keys/{key_id}/revoke", revoke, "POST", "admin", action="revoke an API key"),
)
