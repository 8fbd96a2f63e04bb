"""The ASGI application: hot routes, then the API's routes, then pages about the API itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Final

from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from faregate.core.codec import encode
from faregate.core.problems import (
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    FaregateError,
    Problem,
)
from faregate.engine import Engine
from faregate.operations.operation import Operation
from faregate.operations.table import OPERATIONS
from faregate.rest.headers import RequestHeaders
from faregate.rest.hot import HotRoutes
from faregate.rest.messages import PREFIX, PaymentMessages
from faregate.rest.metrics import metrics_text
from faregate.rest.openapi import openapi_document
from faregate.rest.problems import problem_body, problem_headers
from faregate.rest.server import Server

VERSION: Final = "0.1.0"

_HTML: Final = [
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        b"frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
]
_STATIC: Final = {
    "/docs": ("docs.html", _HTML),
    "/docs.css": ("docs.css", [(b"content-type", b"text/css; charset=utf-8")]),
    "/docs.js": ("docs.js", [(b"content-type", b"text/javascript; charset=utf-8")]),
}

_OAUTH: Final = ("/oauth/", "/.well-known/oauth-")
"""How assistants get a token for `/mcp`."""
_READS: Final = ("GET", "HEAD")

Respond = Callable[[Scope, Send], Awaitable[None]]


class _Endpoint:
    """One operation as an ASGI application under Starlette's router."""

    def __init__(self, server: Server, operation: Operation) -> None:
        self._server = server
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._server.run(self._operation, scope["path_params"], scope, receive, send)


class Pages:
    """What is not the API: its document, health, metrics, and the way on to the web pages."""

    def __init__(self, server: Server, web: ASGIApp | None, assistants: ASGIApp | None) -> None:
        self._server = server
        self._web = web
        self._assistants = assistants
        self._messages = PaymentMessages(server)
        self._document = encode(openapi_document(OPERATIONS, VERSION))
        self._pages: dict[str, Respond] = {
            "/openapi.json": self._openapi,
            "/healthz": self._healthy,
            "/readyz": self._ready,
            "/metrics": self._metrics,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it to the web pages."""
        if scope["type"] != "http":
            if self._web is not None:
                await self._web(scope, receive, send)
            return
        path = scope["path"]
        if path.startswith(PREFIX):
            if scope["method"] == "POST":
                await self._messages(scope, receive, send)
            else:
                await _refuse_method(self._server, ("POST",), scope, send)
            return
        if self._assistants is not None and (path == "/mcp" or path.startswith(_OAUTH)):
            await self._assistants(scope, receive, send)
            return
        is_ours = path in self._pages or path in _STATIC
        if is_ours and scope["method"] not in _READS:
            await _refuse_method(self._server, _READS, scope, send)
        elif path in self._pages:
            await self._pages[path](scope, send)
        elif path in _STATIC:
            name, headers = _STATIC[path]
            body = (files("faregate.rest") / "static" / name).read_bytes()
            await self._send(scope, send, 200, list(headers), body)
        elif self._web is not None and not path.startswith("/v1/"):
            await self._web(scope, receive, send)
        else:
            await self._server.refuse(
                FaregateError(Problem(NOT_FOUND, f"there is no path {path!r}: see /docs")),
                scope,
                send,
                RequestHeaders(scope["headers"]).request_id,
            )

    async def _send(
        self,
        scope: Scope,
        send: Send,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        request_id = RequestHeaders(scope["headers"]).request_id
        await self._server.send(send, status, headers, body, request_id)

    async def _openapi(self, scope: Scope, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await self._send(scope, send, 200, headers, self._document)

    async def _healthy(self, scope: Scope, send: Send) -> None:
        await self._send(scope, send, 200, [(b"content-type", b"text/plain")], b"ok\n")

    async def _ready(self, scope: Scope, send: Send) -> None:
        is_ready = await self._server.engine.is_ready()
        status, body = (200, b"ready\n") if is_ready else (503, b"not ready\n")
        await self._send(scope, send, status, [(b"content-type", b"text/plain")], body)

    async def _metrics(self, scope: Scope, send: Send) -> None:
        """Any key of the platform's own account may read the metrics: they tell how much all
        accounts sell."""
        asked = RequestHeaders(scope["headers"])
        try:
            key = await self._server.authenticator.authenticate(asked.secret, time.monotonic())
            if not key.context.is_platform:
                detail = "metrics tell of all accounts together: use a key of the platform"
                raise FaregateError(Problem(FORBIDDEN, detail))
        except FaregateError as error:
            await self._server.refuse(error, scope, send, asked.request_id)
            return
        headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
        await self._send(scope, send, 200, headers, metrics_text(self._server))


class _Api:
    """Starlette's router over the operations, with our errors for what it does not find."""

    def __init__(self, server: Server, pages: ASGIApp) -> None:
        self._server = server
        self._pages = pages
        routes: list[Route] = []
        for operation in OPERATIONS:
            route = Route(
                "/v1" + operation.path, _Endpoint(server, operation), methods=[operation.method]
            )
            # Starlette adds HEAD to GET; ours answers what the document says.
            route.methods = {operation.method}
            routes.append(route)
        self._routes = routes
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not scope["path"].startswith("/v1/"):
            await self._pages(scope, receive, send)
            return
        allowed: set[str] = set()
        for route in self._routes:
            match = route.matches(scope)[0]
            if match is Match.FULL:
                await self._router(scope, receive, send)
                return
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if allowed:
            await _refuse_method(self._server, sorted(allowed), scope, send)
            return
        detail = f"{scope['method']} {scope['path']} is no operation of this API: see /docs"
        request_id = RequestHeaders(scope["headers"]).request_id
        error = FaregateError(Problem(NOT_FOUND, detail))
        await self._server.refuse(error, scope, send, request_id)


async def _refuse_method(server: Server, allowed: Sequence[str], scope: Scope, send: Send) -> None:
    """Answer 405 with the methods that the path has (RFC 9110, section 15.5.6)."""
    methods = ", ".join(allowed)
    detail = f"{scope['path']} has no {scope['method']}, but {methods}: see /docs"
    problem = Problem(METHOD_NOT_ALLOWED, detail)
    request_id = RequestHeaders(scope["headers"]).request_id
    headers = [*problem_headers(problem), (b"allow", methods.encode())]
    body = problem_body(problem, scope["path"], request_id.decode())
    await server.send(send, METHOD_NOT_ALLOWED.status, headers, body, request_id)


def create_app(
    engine: Engine, *, web: ASGIApp | None = None, assistants: ASGIApp | None = None
) -> ASGIApp:
    """Make the application that serves an open engine, with the web pages behind it, and what
    answers assistants at `/mcp`."""
    server = Server(engine)
    return HotRoutes(server, _Api(server, Pages(server, web, assistants)))
