"""The way in over HTTP, in front of the SDK: who calls is known before a message is read, and the
message's own bytes are kept for whoever needs its numbers exactly.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from faregate.core.codec import encode
from faregate.core.problems import FaregateError, Problem
from faregate.mcp.calling import BODY, CALLER, MAX_BODY_BYTES, PATH, Caller
from faregate.mcp.waking import WakingApp
from faregate.operations.acting import ACCOUNT, Acting, actor_of
from faregate.operations.problems import problem_details


class AssistantDoor:
    """The MCP server as an ASGI application, for as long as `running` lasts."""

    def __init__(self, acting: Acting, version: str) -> None:
        self._acting = acting
        self._app = WakingApp(lambda: _app(acting, version))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer while the block runs."""
        async with self._app.running():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            caller = await self._caller(scope, request.headers)
            body = await _read(request)
        except FaregateError as error:
            await _refuse(error.problem)(scope, receive, send)
            return
        inside: dict[str, Any] = {**scope, CALLER: caller, BODY: body}
        await self._app(inside, _again(body, receive), send)

    async def _caller(self, scope: Scope, headers: Headers) -> Caller:
        secret = headers.get("x-credyt-api-key", "")
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if not secret and scheme.lower() == "bearer":
            secret = bearer.strip()
        acting = self._acting
        key = await acting.authenticator.authenticate(secret.encode("latin-1"), time.monotonic())
        context = await acting.context_of(key, headers.get(ACCOUNT))
        client = scope.get("client")
        base_url = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
        address = client[0] if client else ""
        return Caller(key, context, address, base_url, secrets.token_hex(8), actor_of(key))


def _app(acting: Acting, version: str) -> Starlette:
    from faregate.mcp.server import assistant_app

    return assistant_app(acting, version)


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            # The SDK refuses what is too large in its own words.
            break
        chunks.append(chunk)
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


def _refuse(problem: Problem) -> Response:
    headers = {"www-authenticate": "Bearer"} if problem.kind.status == 401 else {}
    body = encode(problem_details(problem, PATH, secrets.token_hex(8)))
    return Response(body, problem.kind.status, headers, "application/problem+json")
