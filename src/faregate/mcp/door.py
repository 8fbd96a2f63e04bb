"""The way in over HTTP, in front of the SDK: who calls is known before a message is read, and the
message's own bytes are kept for whoever needs its numbers exactly.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from faregate.core.codec import encode
from faregate.core.problems import FaregateError, Problem
from faregate.mcp.calling import BODY, CALLER, MAX_BODY_BYTES, PATH, Caller
from faregate.mcp.places import RESOURCE_METADATA, base_of, is_safe
from faregate.mcp.waking import WakingApp
from faregate.operations.acting import ACCOUNT, Acting, actor_of
from faregate.operations.problems import problem_details
from faregate.platform.audit import Actor
from faregate.platform.keys import ApiKey
from faregate.platform.oauth_grants import ACCESS_PREFIX, Grant

MAX_FORM_BYTES: Final = 32 * 1024


class AssistantDoor:
    """The MCP server as an ASGI application, for as long as `running` lasts."""

    def __init__(self, acting: Acting, version: str) -> None:
        self._acting = acting
        self._app = WakingApp(lambda: _app(acting, version))
        self._oauth = WakingApp(lambda: _oauth_app(acting))
        # Behind a proxy that ends TLS, we are found by https.
        self._answered: Any = ProxyHeadersMiddleware(cast(Any, self._answer))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer while the block runs."""
        async with self._app.running(), self._oauth.running():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: a message of an assistant, or how it gets a token."""
        await self._answered(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] != PATH:
            body = await _read(request, MAX_FORM_BYTES)
            if len(body) > MAX_FORM_BYTES:
                await Response(status_code=413)(scope, receive, send)
                return
            await self._oauth(scope, _again(body, receive), send)
            return
        try:
            caller = await self._caller(scope, request.headers)
            body = await _read(request, MAX_BODY_BYTES)
        except FaregateError as error:
            await _refuse(error.problem, scope, request.headers)(scope, receive, send)
            return
        if request.method != "POST":
            # The SDK would keep a stream open, on which nothing would ever come.
            await Response(status_code=405, headers={"allow": "POST"})(scope, receive, send)
            return
        inside: dict[str, Any] = {**scope, CALLER: caller, BODY: body}
        await self._app(inside, _again(body, receive), send)

    async def _caller(self, scope: Scope, headers: Headers) -> Caller:
        secret = headers.get("x-credyt-api-key", "")
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if not secret and scheme.lower() == "bearer":
            secret = bearer.strip()
        acting = self._acting
        grant = None
        if secret.startswith(ACCESS_PREFIX) and "x-credyt-api-key" not in headers:
            grant = await acting.engine.find_assistant(secret)
        if grant is None:
            sent = secret.encode("latin-1", "replace")
            key = await acting.authenticator.authenticate(sent, time.monotonic())
            actor = actor_of(key)
        else:
            key = _key_of(grant)
            actor = Actor("operator", grant.operator_id, key.name)
        context = await acting.context_of(key, headers.get(ACCOUNT))
        client = scope.get("client")
        address = client[0] if client else ""
        return Caller(key, context, address, base_of(scope), secrets.token_hex(8), actor)


def _key_of(grant: Grant) -> ApiKey:
    """Return what an operator has allowed as a key, which it is for the tools alone."""
    name = f"{grant.operator_name} via {grant.client_name}"
    return ApiKey(grant.id, "OAuth", grant.role, name, grant.created_at, None, grant.context)


def _oauth_app(acting: Acting) -> Starlette:
    from faregate.mcp.oauth import oauth_app

    return oauth_app(acting.engine)


def _app(acting: Acting, version: str) -> Starlette:
    from faregate.mcp.server import assistant_app

    return assistant_app(acting, version)


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        chunks.append(chunk)
        if size > max_bytes:
            # The SDK refuses what is too large in its own words.
            break
    return b"".join(chunks)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that begins with a body that was read already."""
    is_sent = False

    async def again() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _refuse(problem: Problem, scope: Scope, sent: Headers) -> Response:
    headers = {}
    if problem.kind.status == 401:
        headers["www-authenticate"] = _challenge(base_of(scope), "authorization" in sent)
    body = encode(problem_details(problem, PATH, secrets.token_hex(8)))
    return Response(body, problem.kind.status, headers, "application/problem+json")


def _challenge(base: str, has_token: bool) -> str:
    """Say how to get a token (RFC 9728, section 5.1), where one may be sent at all."""
    if not base or not is_safe(base):
        return "Bearer"
    wrong = 'error="invalid_token", ' if has_token else ""
    return f'Bearer {wrong}resource_metadata="{base}{RESOURCE_METADATA}{PATH}"'
