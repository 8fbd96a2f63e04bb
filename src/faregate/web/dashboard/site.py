"""Takes a request of the dashboard to its page: whose it is, whether they may, whether a change was
really asked for by one of our forms, and in words what went wrong if something did.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from faregate.core.problems import FORBIDDEN, NOT_FOUND, FaregateError, Problem
from faregate.engine import Engine
from faregate.platform.environments import AccountContext
from faregate.web.dashboard.sections import MENU, PAGES
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.rendering import NO_STORE, Pages
from faregate.web.signin import SignIn

MODES: Final = ("test", "live")


class Dashboard:
    """The dashboard's routes. `shared` is what pages keep for as long as the server runs."""

    def __init__(
        self,
        engine: Engine,
        pages: Pages,
        sign_in: SignIn,
        first: AccountContext,
        shared: dict[str, Any],
    ) -> None:
        self._engine = engine
        self._pages = pages
        self._sign_in = sign_in
        self._first = first
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return a route for each page in each mode, and for the address without one."""
        routes = [Route("/", self._lead_on)]
        for mode in MODES:
            for page in PAGES:
                path = f"/{mode}/{page.path}".rstrip("/")
                answer = _Answer(self, page, mode)
                routes.append(Route(path, answer.give, methods=[page.method]))
        return routes

    async def answer(self, page: Page, mode: str, request: Request) -> Response:
        """Answer a request for a page."""
        if not self._sign_in.is_signed_in(request):
            if request.headers.get("hx-request") == "true":
                return Response(status_code=401, headers={"HX-Refresh": "true"} | NO_STORE)
            return self._sign_in_form(page, request)
        context = self._engine.context_of("test" if mode == "test" else "live")
        visit = Visit(
            request,
            self._engine,
            context,
            self._pages.render,
            operator_name="Operator",
            role="admin",
            csrf=self._sign_in.csrf(request),
            shared=self._shared | {"menu": MENU},
        )
        try:
            if not visit.may(page.needs):
                detail = "your role does not allow this: ask an admin of your team"
                raise FaregateError(Problem(FORBIDDEN, detail))
            if page.method == "POST":
                await self._check(visit)
            return await page.handler(visit)
        except FaregateError as error:
            return visit.render("refused.html", error.problem.kind.status, problem=error.problem)

    async def _check(self, visit: Visit) -> None:
        """Refuse a form that is not one of ours: another site's, or one of an ended session."""
        request = visit.request
        # Under our referrer policy browsers send "null" as a form's origin: Sec-Fetch-Site says
        # where it comes from.
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        sent = (await visit.form()).get("csrf") or request.headers.get("x-csrf", "")
        is_foreign = site not in (None, "same-origin", "none") or origin not in (
            None,
            "null",
            visit.base_url,
        )
        if is_foreign or not hmac.compare_digest(sent.encode(), visit.csrf.encode()):
            detail = (
                "this form is out of date or was not one of ours: nothing was changed. "
                "Go back, load the page again and send it once more"
            )
            raise FaregateError(Problem(FORBIDDEN, detail))

    async def _lead_on(self, request: Request) -> Response:
        shown = request.query_params.get("token")
        if shown is not None:
            if not self._sign_in.is_token(shown):
                return self._pages.render("sign_in.html", 401, is_wrong=True)
            away = RedirectResponse(f"/{self._first.environment}", 303, headers=NO_STORE)
            return self._sign_in.remember(request, away)
        if not self._sign_in.is_signed_in(request):
            return self._pages.render("sign_in.html", 200, is_wrong=False)
        return RedirectResponse(f"/{self._first.environment}", 303, headers=NO_STORE)

    def _sign_in_form(self, page: Page, _request: Request) -> Response:
        if page.method == "POST":
            return HTMLResponse("Sign in first.", 401, headers=NO_STORE)
        return self._pages.render("sign_in.html", 401, is_wrong=False)

    def not_found(self, request: Request) -> Response | None:
        """Say inside the dashboard that there is no such page, to whoever is signed in."""
        mode = request.url.path.split("/")[1]
        if mode not in MODES or not self._sign_in.is_signed_in(request):
            return None
        context = self._engine.context_of("test" if mode == "test" else "live")
        visit = Visit(
            request,
            self._engine,
            context,
            self._pages.render,
            operator_name="Operator",
            role="admin",
            csrf=self._sign_in.csrf(request),
            shared=self._shared | {"menu": MENU},
        )
        problem = Problem(NOT_FOUND, "there is no such page")
        return visit.render("refused.html", 404, problem=problem)


class _Answer:
    """One page in one mode, as a route's endpoint."""

    def __init__(self, dashboard: Dashboard, page: Page, mode: str) -> None:
        self._dashboard = dashboard
        self._page = page
        self._mode = mode

    async def give(self, request: Request) -> Response:
        """Answer a request."""
        return await self._dashboard.answer(self._page, self._mode, request)
