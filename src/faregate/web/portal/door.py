"""The way into the portal, and out of it. A link is looked at with GET, which changes nothing, so
programs that open links to show what is behind them do not use it up; the page's form exchanges it.
A script sends that form at once, and without one there is a button.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from faregate.core.problems import FaregateError
from faregate.engine import Engine
from faregate.engine.brands import PortalBrand
from faregate.engine.portal import SeenLink
from faregate.web.forms import read_form
from faregate.web.portal.brand import logo_url, sheet_url
from faregate.web.portal.sessions import forget, is_from_elsewhere, remember, secrets_of
from faregate.web.portal.visit import BASE, PortalVisit
from faregate.web.portal.words import Language, Languages, preferred
from faregate.web.rendering import NO_STORE

MAX_TOKEN = 200
MAX_FORM_BYTES = 4_096
Framed = tuple[Response, PortalBrand | None]
"""An answer, and by whose settings it may be shown inside other pages (None: nowhere)."""


class Door:
    """The door's handlers."""

    def __init__(self, engine: Engine, languages: Languages) -> None:
        self._engine = engine
        self._languages = languages

    async def show(self, request: Request) -> Framed:
        """Show what a link opens, or why it opens nothing."""
        token = request.query_params.get("link", "")[:MAX_TOKEN]
        return await self._show(request, token, is_embedded="embed" in request.query_params)

    async def enter(self, request: Request) -> Framed:
        """Exchange a link for a session, which is always a new one."""
        try:
            form = await read_form(request, MAX_FORM_BYTES)
        except FaregateError:
            # What cannot be read as one of our forms has no link of ours in it.
            return await self._show(request, "", is_embedded=False)
        token, is_embedded = form.get("link")[:MAX_TOKEN], bool(form.get("embed"))
        base_url = str(request.base_url).rstrip("/")
        if is_from_elsewhere(request, base_url):
            return await self._show(request, token, is_embedded=is_embedded)
        prior = None
        for secret in secrets_of(request):
            session = await self._engine.find_portal_session(secret)
            if session is not None and session.is_embedded == is_embedded:
                prior = secret
        try:
            secret, session = await self._engine.enter_portal(
                token, is_embedded=is_embedded, leaving=prior
            )
        except FaregateError:
            return await self._show(request, token, is_embedded=is_embedded)
        answer = RedirectResponse(BASE, 303, headers=NO_STORE)
        remember(request, answer, secret, is_embedded=is_embedded)
        return answer, await self._engine.get_portal_brand(context=session.context)

    async def leave(self, visit: PortalVisit) -> Response:
        """End the session."""
        await self._engine.leave_portal(visit.secret)
        answer = self._closed(visit.language, 200, "left", visit.brand, visit.session.return_url)
        forget(visit.request, answer, is_embedded=visit.session.is_embedded)
        return answer

    async def ended(self, request: Request, status: int = 401) -> Framed:
        """Say that nobody is in the portal, or no longer."""
        brand = None
        for secret in secrets_of(request):
            context = await self._engine.account_of_portal_session(secret)
            if context is not None:
                brand = await self._engine.get_portal_brand(context=context)
        language = self._language(request, brand)
        return self._closed(language, status, "ended", brand), brand

    async def _show(self, request: Request, token: str, *, is_embedded: bool) -> Framed:
        link = await self._engine.look_at_portal_link(token)
        if link.context is None:
            language = self._language(request, None)
            return self._closed(language, 404, "unknown", None), None
        brand = await self._engine.get_portal_brand(context=link.context)
        language = self._language(request, brand, link)
        if link.state == "open":
            answer = language.render(
                "portal/enter.html",
                200,
                **_looks(brand),
                token=token,
                is_embedded=is_embedded,
            )
            return answer, brand
        for secret in secrets_of(request) if link.state == "used" else ():
            session = await self._engine.find_portal_session(secret)
            # Whoever opens their link again, and is in still, goes on.
            if session is not None and session.customer_id == link.customer_id:
                return RedirectResponse(BASE, 303, headers=NO_STORE), brand
        return self._closed(language, 410, link.state, brand, link.return_url), brand

    def _closed(
        self,
        language: Language,
        status: int,
        reason: str,
        brand: PortalBrand | None,
        back: str | None = None,
    ) -> Response:
        return language.render(
            "portal/closed.html", status, **_looks(brand), reason=reason, back=back
        )

    def _language(
        self, request: Request, brand: PortalBrand | None, link: SeenLink | None = None
    ) -> Language:
        if link is not None and link.locale is not None:
            return self._languages[link.locale]
        otherwise = None if brand is None else brand.settings.locale
        return self._languages[preferred(request.headers.get("accept-language", ""), otherwise)]


def _looks(brand: PortalBrand | None) -> dict[str, object]:
    if brand is None:
        return {"brand": None, "sheet": None, "logo": None}
    return {"brand": brand, "sheet": sheet_url(brand), "logo": logo_url(brand)}
