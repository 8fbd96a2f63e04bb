"""The dashboard's door: signing in and out, and the links by which somebody comes in for the first
time. Who is signed in is a cookie with a random secret that is new at each sign-in; what it opens
is kept by the engine.

A link is used by a form that is sent, never by looking at it: what previews links in mails and
chats looks at them, too. Only a link to sign in, opened on the machine that the server runs on,
needs no button (the demo's).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from faregate.core.problems import FORBIDDEN, FaregateError, Problem
from faregate.engine import Engine
from faregate.platform.audit import Actor, Change
from faregate.platform.links import Link, LinkKind
from faregate.platform.operators import Operator
from faregate.platform.sessions import LASTS, OperatorSession
from faregate.web.forms import Form, read_form
from faregate.web.rendering import NO_STORE, Pages

MAX_FORM_BYTES: Final = 8_192
MAX_NEXT: Final = 4_000
_COOKIE: Final = "faregate_session"
_NEXT: Final = re.compile(r"/(?:test|live)(?:[/?][!-\[\]-~]*)?")
_ACTIONS: Final[dict[LinkKind, str]] = {
    "first": "become the first admin",
    "invitation": "join the team",
    "reset": "take a new password by a link",
    "sign_in": "sign in by a link",
}
_LOOPBACK: Final = ("127.0.0.1", "::1")
_LOOPBACK_NAMES: Final = (*_LOOPBACK, "localhost")


def actor_of(operator: Operator) -> Actor:
    """Return an operator as the audit log names who does something."""
    return Actor("operator", operator.id, f"{operator.name} <{operator.email}>")


def address_of(request: Request) -> str:
    """Return from which network address a request comes."""
    return request.client.host if request.client else ""


def safe_next(path: str) -> str:
    """Return where to go after signing in: a page of the dashboard, or the start. Other addresses,
    other sites above all, are not followed.

    >>> [safe_next(p) for p in ("/test/events?q=1", "//evil.example", "/test/\\\\evil.example")]
    ['/test/events?q=1', '/', '/']
    """
    return path if len(path) <= MAX_NEXT and _NEXT.fullmatch(path) else "/"


def check_same_site(request: Request) -> None:
    """Refuse what another site's page has sent. Raises 403."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    # Scheme and port of a proxy in front are not ours to know, but the name is.
    is_foreign = origin is not None and _host_of(origin) != request.headers.get("host", "")
    if is_foreign or site not in (None, "same-origin", "none"):
        detail = "this form was sent by another site: nothing was changed. Open the page here"
        raise FaregateError(Problem(FORBIDDEN, detail))


def _host_of(origin: str) -> str:
    """Return an origin's host and port; what is no address has none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


class Door:
    """Signs operators in and out."""

    def __init__(self, engine: Engine, pages: Pages, first_mode: str) -> None:
        self._engine = engine
        self._pages = pages
        self._first_mode = first_mode

    def routes(self) -> list[Route]:
        """Return the door's routes."""
        return [
            Route("/", self._lead_on),
            Route("/sign-in", self._show_form),
            Route("/sign-in", self._take_form, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/join/{secret}", self._show_link),
            Route("/join/{secret}", self._take_link, methods=["POST"]),
        ]

    async def session(self, request: Request) -> OperatorSession | None:
        """Return who is signed in; None if nobody is. What a page asks by itself keeps no session
        alive."""
        secret = request.cookies.get(_cookie_of(request), "")
        is_use = request.headers.get("hx-request") != "true"
        return await self._engine.find_session(secret, is_use=is_use)

    def lead_in(self, request: Request) -> Response:
        """Lead somebody who is not signed in to the form, and back afterwards."""
        url = request.url
        path = f"{url.path}?{url.query}" if url.query else url.path
        wanted = request.url.replace(path="/sign-in", query="").include_query_params(next=path)
        where = f"{wanted.path}?{wanted.query}" if safe_next(path) != "/" else "/sign-in"
        return RedirectResponse(where, 303, headers=NO_STORE)

    async def _lead_on(self, request: Request) -> Response:
        if await self.session(request) is None:
            return self._form(200, "/", is_new=not await self._engine.has_operators())
        return RedirectResponse(f"/{self._first_mode}", 303, headers=NO_STORE)

    async def _show_form(self, request: Request) -> Response:
        onward = safe_next(request.query_params.get("next", ""))
        if await self.session(request) is not None:
            return RedirectResponse(onward, 303, headers=NO_STORE)
        is_new = not await self._engine.has_operators()
        return self._form(200, onward, is_new=is_new)

    async def _take_form(self, request: Request) -> Response:
        onward, email = "/", ""
        try:
            check_same_site(request)
            form = await read_form(request, MAX_FORM_BYTES)
            onward, email = safe_next(form.get("next")), form.get("email")
            secret = await self._engine.sign_in(
                email,
                form.exact("password"),
                address=address_of(request),
                agent=request.headers.get("user-agent", ""),
            )
        except FaregateError as error:
            answer = self._form(error.problem.kind.status, onward, email, error.problem)
            if error.problem.retry_after_seconds is not None:
                answer.headers["Retry-After"] = str(error.problem.retry_after_seconds)
            return answer
        session = await self._engine.find_session(secret)
        if session is not None:
            change = Change("sign in", session.operator.id, address=address_of(request))
            async with self._engine.audited(actor_of(session.operator), change):
                pass
        return await self._let_in(request, secret, onward)

    def _form(
        self,
        status: int,
        onward: str,
        email: str = "",
        problem: Problem | None = None,
        *,
        is_new: bool = False,
    ) -> Response:
        return self._pages.render(
            "sign_in.html", status, onward=onward, email=email, problem=problem, is_new=is_new
        )

    async def _let_in(self, request: Request, secret: str, onward: str) -> Response:
        """Begin a session in the browser, and end the one that it had."""
        await self._engine.sign_out(request.cookies.get(_cookie_of(request), ""))
        answer = RedirectResponse(onward, 303, headers=NO_STORE)
        answer.set_cookie(
            _cookie_of(request),
            secret,
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=_is_https(request),
        )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        session = await self.session(request)
        answer = RedirectResponse("/sign-in", 303, headers=NO_STORE)
        if session is not None:
            try:
                check_same_site(request)
                form = await read_form(request, MAX_FORM_BYTES)
            except FaregateError:
                form = Form([])
            if not session.is_csrf(form.get("csrf")):
                return RedirectResponse("/", 303, headers=NO_STORE)
            await self._engine.sign_out(request.cookies.get(_cookie_of(request), ""))
            change = Change("sign out", session.operator.id, address=address_of(request))
            async with self._engine.audited(actor_of(session.operator), change):
                pass
        answer.delete_cookie(
            _cookie_of(request), httponly=True, samesite="lax", secure=_is_https(request)
        )
        return answer

    async def _show_link(self, request: Request) -> Response:
        link = await self._engine.find_link(request.path_params["secret"])
        if link is None:
            return self._pages.render("link_gone.html", 404)
        if link.kind == "sign_in" and request.method == "GET" and _is_this_machine(request):
            return await self._take_link(request)
        return self._pages.render("join.html", 200, link=link, errors={}, typed=Form([]))

    async def _take_link(self, request: Request) -> Response:
        link = await self._engine.find_link(request.path_params["secret"])
        if link is None:
            return self._pages.render("link_gone.html", 404)
        form = Form([])
        try:
            if request.method == "POST":
                check_same_site(request)
                form = await read_form(request, MAX_FORM_BYTES)
            email = form.get("email") or link.email
            who = Actor("link", link.operator_id or "", email)
            change = Change(
                _ACTIONS[link.kind],
                link.operator_id or "",
                request=form.shown(),
                address=address_of(request),
            )
            async with self._engine.audited(who, change) as doing:
                made = await self._use_link(request, link, form)
                session = await self._engine.find_session(made)
                doing.made(session.operator.id if session else "")
        except FaregateError as error:
            problem = error.problem
            errors = problem.errors or {"": [problem.detail]}
            status = problem.kind.status
            return self._pages.render("join.html", status, link=link, errors=errors, typed=form)
        return await self._let_in(request, made, "/")

    async def _use_link(self, request: Request, link: Link, form: Form) -> str:
        """Use a link as it is meant; returns the new session's secret."""
        secret, password = request.path_params["secret"], form.exact("password")
        agent, address = request.headers.get("user-agent", ""), address_of(request)
        if link.kind == "sign_in":
            return await self._engine.use_sign_in_link(secret, address=address, agent=agent)
        if link.kind == "reset":
            return await self._engine.use_reset_link(secret, password, address=address, agent=agent)
        email = form.get("email") or link.email
        return await self._engine.accept_invitation(
            secret, form.get("name"), email, password, address=address, agent=agent
        )


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https"


def _cookie_of(request: Request) -> str:
    """Name the cookie: over TLS so that no other host of the domain can have put it there."""
    return f"__Host-{_COOKIE}" if _is_https(request) else _COOKIE


def _is_this_machine(request: Request) -> bool:
    return address_of(request) in _LOOPBACK and request.url.hostname in _LOOPBACK_NAMES
