"""The pages' routes: the page, the fragment that it fetches every second, and signing in.
Nothing here changes anything; what is shown is gathered in `view`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from faregate.core.problems import FaregateError
from faregate.engine import Engine
from faregate.platform.environments import AccountContext
from faregate.web.checkout import CheckoutPages
from faregate.web.paying import PayPages
from faregate.web.rate import Rate
from faregate.web.receipts import ReceiptPages
from faregate.web.signin import SignIn, read_token
from faregate.web.view import LiveViews

_HERE: Final = Path(__file__).parent
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_NO_STORE: Final = {"Cache-Control": "no-store"}

Handler = Callable[[Request], Awaitable[Response]]


class SafeHeaders:
    """Adds the headers that every answer of the page carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


def create_web(engine: Engine, context: AccountContext, token: str) -> Starlette:
    """Make the live page of one account and mode.

    `token` signs a browser in, by `/?token=…` or the form. Raises ValueError if it is empty.
    """
    page = _LivePage(engine, context, token)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with page.rate.watching():
            yield

    routes = [
        Route("/", page.show),
        Route("/live", page.show_live),
        Route("/sign-in", page.sign_in, methods=["POST"]),
        Route("/pay/{customer_id}/{subscription_id}", page.paying.show),
        Route("/pay/{customer_id}/{subscription_id}", page.paying.act, methods=["POST"]),
        Route("/receipts/{top_up_id}", page.receipts.show),
        Route("/checkout/{payment_id}", page.checkout.show),
        Route("/checkout/{payment_id}", page.checkout.pay, methods=["POST"]),
        Mount("/static", StaticFiles(directory=_HERE / "static")),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: page.show_not_found})
    app.add_middleware(SafeHeaders)
    # Behind a proxy that ends TLS, the cookie is for https alone. (The API needs none of this.)
    app.add_middleware(ProxyHeadersMiddleware)
    return app


class _LivePage:
    """The handlers, with what they share."""

    def __init__(self, engine: Engine, context: AccountContext, token: str) -> None:
        self._engine = engine
        self._context = context
        self._sign_in = SignIn(token)
        self.rate = Rate(
            lambda: sum(lane.statistics.events for lane in engine.lanes), time.monotonic
        )
        self._views = LiveViews(engine, context, self.rate, time.monotonic)
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.checkout = CheckoutPages(engine, self._render)
        self.receipts = ReceiptPages(engine, self._render)
        self.paying = PayPages(engine, self._render)

    async def show(self, request: Request) -> Response:
        """Show the page, or the form to sign in with."""
        shown = request.query_params.get("token")
        if shown is not None:
            if self._sign_in.is_token(shown):
                away = RedirectResponse("/", 303, headers=_NO_STORE)
                return self._sign_in.remember(request, away)
            return self._form(is_wrong=True)
        if not self._sign_in.is_signed_in(request):
            return self._form()
        self.rate.watch()
        return await self._render_live("page.html", request)

    async def show_live(self, request: Request) -> Response:
        """Show the part of the page that changes."""
        if not self._sign_in.is_signed_in(request):
            return HTMLResponse("Sign in first.", 401, headers=_NO_STORE)
        self.rate.watch()
        return await self._render_live("live.html", request)

    async def sign_in(self, request: Request) -> Response:
        """Take the form's token."""
        if self._sign_in.is_token(await read_token(request)):
            away = RedirectResponse("/", 303, headers=_NO_STORE)
            return self._sign_in.remember(request, away)
        return self._form(is_wrong=True)

    async def show_not_found(self, _request: Request, _error: Exception) -> Response:
        """Say that there is no such page."""
        return self._render("not_found.html", 404, is_payment=False)

    def _form(self, *, is_wrong: bool = False) -> Response:
        return self._render("sign_in.html", 401 if is_wrong else 200, is_wrong=is_wrong)

    async def _render_live(self, name: str, request: Request) -> Response:
        try:
            view = await self._views.current()
        except FaregateError as error:
            return self._render("unavailable.html", 503, detail=str(error))
        base = str(request.base_url).rstrip("/")
        return self._render(name, 200, view=view, context=self._context, base=base)

    def _render(self, name: str, status: int, **values: object) -> Response:
        text = self._templates.get_template(name).render(**values)
        return HTMLResponse(text, status, headers=_NO_STORE)
