"""Takes a request of the portal to its page: whose it is, whether a change was really asked for by
one of our forms, in which pages of others it may be shown, and in words what went wrong if
something did.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from faregate.core.portal import LOCALES
from faregate.core.problems import FORBIDDEN, FaregateError, Problem
from faregate.engine import Engine
from faregate.engine.brands import PortalBrand
from faregate.web.portal.brand import BrandFiles
from faregate.web.portal.door import Door, Framed
from faregate.web.portal.embed import show_script
from faregate.web.portal.sections import PAGES
from faregate.web.portal.sessions import is_from_elsewhere, secrets_of
from faregate.web.portal.visit import BASE, PortalPage, PortalVisit
from faregate.web.portal.words import Languages, preferred
from faregate.web.rendering import NO_STORE

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors "
)


class Portal:
    """The portal's routes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._languages = Languages()
        self._door = Door(engine, self._languages)
        self._files = BrandFiles(engine)

    def routes(self) -> list[Route]:
        """Return a route for each page, and for the ways in and out."""
        routes = [
            Route(f"{BASE}/enter", _Framed(self._door.show).give),
            Route(f"{BASE}/enter", _Framed(self._door.enter).give, methods=["POST"]),
            Route(f"{BASE}/brand.css", self._files.show_sheet),
            Route(f"{BASE}/logo", self._files.show_logo),
            Route(f"{BASE}/embed.js", show_script),
        ]
        own = (
            PortalPage("leave", self._door.leave, "POST"),
            PortalPage("language", _choose_language, "POST"),
        )
        for page in (*own, *PAGES):
            path = f"{BASE}/{page.path}".rstrip("/")
            routes.append(Route(path, _Framed(_Page(self, page).give).give, methods=[page.method]))
        return routes

    async def answer(self, page: PortalPage, request: Request) -> Framed:
        """Answer a request for a page."""
        visit = await self._visit(request)
        if visit is None:
            if request.headers.get("hx-request") == "true":
                return Response(status_code=401, headers={"HX-Refresh": "true"} | NO_STORE), None
            return await self._door.ended(request)
        try:
            if page.method == "POST":
                await self._check(visit)
            return await page.handler(visit), visit.brand
        except FaregateError as error:
            problem = error.problem
            return visit.render("refused.html", problem.kind.status, problem=problem), visit.brand

    async def _visit(self, request: Request) -> PortalVisit | None:
        """Return who is in the portal, by the browser's cookies; None: nobody, or no longer."""
        for secret in secrets_of(request):
            session = await self._engine.find_portal_session(secret)
            if session is None:
                continue
            context = session.context
            customer = await self._engine.get_customer(session.customer_id, context=context)
            brand = await self._engine.get_portal_brand(context=context)
            asked = request.headers.get("accept-language", "")
            locale = session.locale or preferred(asked, brand.settings.locale)
            language = self._languages[locale]
            return PortalVisit(request, self._engine, session, secret, customer, brand, language)
        return None

    async def _check(self, visit: PortalVisit) -> None:
        """Refuse a form that is not one of ours: another site's, or one of an ended session."""
        request = visit.request
        sent = (await visit.form()).get("csrf") or request.headers.get("x-csrf", "")
        is_ours = hmac.compare_digest(sent.encode(), visit.csrf.encode())
        if is_from_elsewhere(request, visit.base_url) or not is_ours:
            words = visit.t(
                "This form is out of date, or was not one of ours. Nothing was changed. "
                "Load the page again and send it once more."
            )
            raise FaregateError(Problem(FORBIDDEN, words))


async def _choose_language(visit: PortalVisit) -> Response:
    """Change the language, for this visit."""
    wanted = (await visit.form()).get("locale")
    for locale in LOCALES:
        if locale == wanted:
            await visit.engine.choose_portal_locale(visit.secret, locale)
    return visit.go("")


def _policy(brand: PortalBrand | None) -> str:
    """Return what browsers must hold to: also in which pages ours may be shown."""
    allowed = () if brand is None else brand.settings.origins
    return _POLICY + (" ".join(allowed) or "'none'")


class _Framed:
    """A handler whose answer is allowed inside the pages that the account has named."""

    def __init__(self, handler: Callable[[Request], Awaitable[Framed]]) -> None:
        self._handler = handler

    async def give(self, request: Request) -> Response:
        """Answer a request."""
        answer, brand = await self._handler(request)
        answer.headers["content-security-policy"] = _policy(brand)
        # Forms say where they come from, to us and to nobody else.
        answer.headers["referrer-policy"] = "same-origin"
        return answer


class _Page:
    """One page, as a handler."""

    def __init__(self, portal: Portal, page: PortalPage) -> None:
        self._portal = portal
        self._page = page

    async def give(self, request: Request) -> Framed:
        """Answer a request."""
        return await self._portal.answer(self._page, request)
