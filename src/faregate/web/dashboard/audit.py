"""The audit log: who changed what, when, from where, and how it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response, StreamingResponse

from faregate.core.codec import encode
from faregate.core.problems import FaregateError, Problem, invalid
from faregate.platform.audit import AuditEntry, AuditFilter
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.rendering import NO_STORE

PER_PAGE: Final = 50
MODES: Final = [("", "Any"), ("test", "Test"), ("live", "Live")]
_PAGES_OF: Final = {"cust_": "customers", "prp_": "products", "key_": "keys", "opr_": "team"}
_LISTS: Final = ("keys", "team")


async def show(visit: Visit) -> Response:
    """Show a page of the log, as it is filtered by the address."""
    return await _shown(visit)


async def check(visit: Visit) -> Response:
    """Recompute the chain, and say what is not as it was written."""
    return await _shown(visit, await visit.engine.check_audit_log())


async def _shown(visit: Visit, checked: tuple[int, list[str]] | None = None) -> Response:
    query = visit.query
    problem: Problem | None = None
    wanted, before = AuditFilter(), None
    try:
        wanted, before = _wanted(query), _before(query)
    except FaregateError as error:
        problem = error.problem
    entries: list[AuditEntry] = []
    if problem is None:
        entries = await visit.engine.list_audit_entries(wanted, PER_PAGE + 1, before)
    shown = entries[:PER_PAGE]
    kept = {name: query.get(name, "") for name in ("who", "what", "object", "mode", "from", "to")}
    words = urlencode({name: value for name, value in kept.items() if value})
    return visit.render(
        "audit.html",
        200 if problem is None else problem.kind.status,
        section="audit",
        title="Audit log",
        entries=shown,
        older=f"{words}&before={shown[-1].seq}".lstrip("&") if len(entries) > PER_PAGE else "",
        is_older=before is not None,
        words=words,
        kept=kept,
        modes=MODES,
        errors={} if problem is None else problem.errors,
        checked=checked,
        page_of=lambda entry: _page_of(visit, entry),
        request_of=request_of,
    )


async def export(visit: Visit) -> Response:
    """Send the log as CSV, as it is filtered by the address."""
    parts = visit.engine.audit_csv(_wanted(visit.query))
    headers = {"Content-Disposition": 'attachment; filename="audit-log.csv"'} | NO_STORE
    return StreamingResponse(parts, media_type="text/csv; charset=utf-8", headers=headers)


def _wanted(query: dict[str, str]) -> AuditFilter:
    until = _day(query, "to")
    return AuditFilter(
        query.get("who", ""),
        query.get("what", ""),
        query.get("object", ""),
        query.get("mode", ""),
        _day(query, "from"),
        None if until is None else until + timedelta(days=1),
    )


def _day(query: dict[str, str], name: str) -> datetime | None:
    """Read a day in UTC. Raises 422."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return day if 1970 <= day.year < 9000 else _no_day(name, text)
    except ValueError:
        return _no_day(name, text)


def _no_day(name: str, text: str) -> datetime | None:
    raise FaregateError(invalid(name, f"{text[:50]!r} is no day: write it like 2026-11-27"))


def _before(query: dict[str, str]) -> int | None:
    text = query.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _page_of(visit: Visit, entry: AuditEntry) -> str:
    """Return the page of what was changed; empty if it has none, or is of the other mode."""
    place = _PAGES_OF.get(entry.object_id[: entry.object_id.find("_") + 1], "")
    mode = entry.mode or visit.mode
    if not place or (place in _LISTS and not visit.may("admin")):
        return ""
    return f"/{mode}/{place}" if place in _LISTS else f"/{mode}/{place}/{entry.object_id}"


def request_of(request: Any) -> str:
    """Show what was asked, over several lines; empty if nothing was."""
    if request in (None, {}, ""):
        return ""
    return msgspec.json.format(encode(request), indent=2).decode()


PAGES: Final = (
    Page("audit", show),
    Page("audit", check, "POST", "own", is_change=False),
    Page("audit.csv", export),
)
