"""All pages as one application: the operator's dashboard, and what customers see when they pay;
with the headers that every answer carries.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Final

from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from faregate.engine import Engine
from faregate.platform.environments import AccountContext
from faregate.web.checkout import CheckoutPages
from faregate.web.dashboard.demo import Demo, ReadyPage
from faregate.web.dashboard.site import Dashboard
from faregate.web.door import Door
from faregate.web.kept import Kept
from faregate.web.paying import PayPages
from faregate.web.portal import Portal
from faregate.web.rate import Rate
from faregate.web.receipts import ReceiptPages
from faregate.web.rendering import HERE, POLICY, Pages

_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: then browsers do not say of a form which site it comes from.
    (b"referrer-policy", b"same-origin"),
)


class SafeHeaders:
    """Adds the headers that every answer of a page carries, where it does not say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(name.lower(), value) for name, value in message.get("headers", ())]
                said = {name for name, _ in given}
                more = [header for header in _HEADERS if header[0] not in said]
                message["headers"] = [*given, *more]
            await send(message)

        await self._app(scope, receive, with_headers)


class WithoutNul:
    """Reads a NUL in an address as what bytes are read as that are no text (U+FFFD): no database
    keeps it, and PostgreSQL refuses to look for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            path, query = scope["path"], scope["query_string"]
            if "\0" in path or b"%00" in query:
                path, query = path.replace("\0", "\ufffd"), query.replace(b"%00", b"%EF%BF%BD")
                scope = {**scope, "path": path, "query_string": query}
        await self._app(scope, receive, send)


def create_web(engine: Engine, context: AccountContext, demo: Demo | None = None) -> Starlette:
    """Make the pages: the dashboard, which begins in the mode of `context`, and what customers see.
    Operators sign in, or come by a link: `/join/` and an invitation's secret, or that of
    `engine.sign_in_link`. `demo` is what can be done with a demo, if this is one."""
    pages = Pages()
    door = Door(engine, pages, context.environment)
    rate = Rate(lambda: sum(lane.statistics.events for lane in engine.lanes), time.monotonic)
    kept = Kept(time.monotonic)
    shared = {"rate": rate, "kept": kept, "demo": demo}
    dashboard = Dashboard(engine, pages, door, shared)
    checkout = CheckoutPages(engine, pages.render)
    receipts = ReceiptPages(engine, pages.render)
    paying = PayPages(engine, pages.render)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with rate.watching(), kept.renewing():
            yield

    async def show_not_found(request: Request, _error: Exception) -> Response:
        found = await dashboard.not_found(request)
        return found or pages.render("not_found.html", 404, is_payment=False)

    routes = [
        *door.routes(),
        *dashboard.routes(),
        *([] if demo is None else [Route("/demo/ready", ReadyPage(demo, pages.render).show)]),
        *Portal(engine).routes(),
        Route("/pay/{customer_id}/{subscription_id}", paying.show),
        Route("/pay/{customer_id}/{subscription_id}", paying.act, methods=["POST"]),
        Route("/receipts/{top_up_id}", receipts.show),
        Route("/checkout/{payment_id}", checkout.show),
        Route("/checkout/{payment_id}", checkout.pay, methods=["POST"]),
        # What is the same for everybody: nothing secret can be guessed from its length.
        Mount("/static", GZipMiddleware(StaticFiles(directory=HERE / "static"))),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={404: show_not_found})
    app.add_middleware(WithoutNul)
    app.add_middleware(SafeHeaders)
    # Behind a proxy that ends TLS, the cookie is for https alone. (The API needs none of this.)
    app.add_middleware(ProxyHeadersMiddleware)
    return app
