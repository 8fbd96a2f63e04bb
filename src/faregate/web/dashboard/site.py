"""Takes a request of the dashboard to its page: whose it is, whether they may, whether a change was
really asked for by one of our forms; writes each change into the audit log; and says in words what
went wrong if something did.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from faregate.core.problems import FORBIDDEN, NOT_FOUND, FaregateError, Problem
from faregate.engine import Engine
from faregate.platform.audit import Change
from faregate.platform.sessions import OperatorSession
from faregate.web.dashboard.sections import MENU, PAGES
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.door import Door, actor_of, check_same_site
from faregate.web.rendering import NO_STORE, Pages

MODES: Final = ("test", "live")


class Dashboard:
    """The dashboard's routes. `shared` is what pages keep for as long as the server runs."""

    def __init__(self, engine: Engine, pages: Pages, door: Door, shared: dict[str, Any]) -> None:
        self._engine = engine
        self._pages = pages
        self._door = door
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return a route for each page in each mode."""
        routes: list[Route] = []
        for mode in MODES:
            for page in PAGES:
                path = f"/{mode}/{page.path}".rstrip("/")
                answer = _Answer(self, page, mode)
                routes.append(Route(path, answer.give, methods=[page.method]))
        return routes

    async def answer(self, page: Page, mode: str, request: Request) -> Response:
        """Answer a request for a page."""
        session = await self._door.session(request)
        if session is None:
            return self._turn_away(page, request)
        visit = self._visit(request, mode, session)
        try:
            if not visit.may(page.needed):
                detail = (
                    f"your role is {visit.role}, which does not allow this: ask an admin of your "
                    "team"
                )
                raise FaregateError(Problem(FORBIDDEN, detail))
            if page.method == "POST":
                await self._check(visit)
                if page.is_change:
                    return await self._change(page, visit)
            return await page.handler(visit)
        except FaregateError as error:
            answer = visit.render("refused.html", error.problem.kind.status, problem=error.problem)
            if error.problem.retry_after_seconds is not None:
                answer.headers["Retry-After"] = str(error.problem.retry_after_seconds)
            return answer

    async def _change(self, page: Page, visit: Visit) -> Response:
        """Let a change happen between its entry in the audit log and the entry's outcome."""
        sent = (await visit.form()).shown()
        request = {"path": visit.request.url.path, **sent}
        change = Change(
            page.words,
            next(reversed(visit.path.values()), ""),
            visit.context.account_id,
            visit.mode,
            request,
            visit.address,
        )
        async with self._engine.audited(actor_of(visit.operator), change) as doing:
            answer = await page.handler(visit)
            if answer.status_code >= 400:
                doing.refuse(visit.refused_because)
            doing.made(visit.has_made)
        return answer

    async def _check(self, visit: Visit) -> None:
        """Refuse a form that is not one of ours: another site's, or one of an ended session."""
        check_same_site(visit.request)
        sent = (await visit.form()).get("csrf") or visit.request.headers.get("x-csrf", "")
        if not visit.session.is_csrf(sent):
            detail = (
                "this form is out of date or was not one of ours: nothing was changed. "
                "Go back, load the page again and send it once more"
            )
            raise FaregateError(Problem(FORBIDDEN, detail))

    def _turn_away(self, page: Page, request: Request) -> Response:
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={"HX-Refresh": "true"} | NO_STORE)
        if page.method == "POST":
            text = 'You were signed out, and nothing was changed. <a href="/sign-in">Sign in</a>'
            return HTMLResponse(text, 401, headers=NO_STORE)
        return self._door.lead_in(request)

    def _visit(self, request: Request, mode: str, session: OperatorSession) -> Visit:
        context = self._engine.context_of("test" if mode == "test" else "live")
        shared = self._shared | {"menu": MENU}
        return Visit(
            request, self._engine, context, self._pages.render, session=session, shared=shared
        )

    async def not_found(self, request: Request) -> Response | None:
        """Say inside the dashboard that there is no such page, to whoever is signed in."""
        mode = request.url.path.split("/")[1]
        session = await self._door.session(request) if mode in MODES else None
        if session is None:
            return None
        problem = Problem(NOT_FOUND, "there is no such page")
        return self._visit(request, mode, session).render("refused.html", 404, problem=problem)


class _Answer:
    """One page in one mode, as a route's endpoint."""

    def __init__(self, dashboard: Dashboard, page: Page, mode: str) -> None:
        self._dashboard = dashboard
        self._page = page
        self._mode = mode

    async def give(self, request: Request) -> Response:
        """Answer a request."""
        return await self._dashboard.answer(self._page, self._mode, request)
