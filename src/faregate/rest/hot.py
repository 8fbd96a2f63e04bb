"""The hot routes, in front of the router: one plain ASGI function. A request for anything else
costs one dictionary look-up here. (Starlette's router tries routes one after another with regular
expressions; a charge should not wait for that.)

Events that are sent the usual way (a key that is known, a customer named by id, no `Prefer`)
go straight to the lane. What is unusual about a request sends it round by `Server.run`, which
reads it by the same rules, so that both ways accept, refuse and answer the same.
"""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from faregate.rest.headers import RequestHeaders
from faregate.rest.recording import RECORD, UsageRequest, book, queue_weight
from faregate.rest.server import Server, read_json
from faregate.rest.wallets import READ_ACCOUNT, READ_WALLET

_CUSTOMERS: Final = "/v1/customers/"


class HotRoutes:
    """Serves events and wallet reads; passes everything else on."""

    def __init__(self, server: Server, rest: ASGIApp) -> None:
        self._server = server
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if path == "/v1/events" and method == "POST":
                await self._record(scope, receive, send)
                return
            if method == "GET" and path.startswith(_CUSTOMERS):
                parts = path.split("/")
                if len(parts) == 5 and parts[3] and parts[4] == "wallet":
                    names = {"customer_id": parts[3]}
                    await self._server.run(READ_WALLET, names, scope, receive, send)
                    return
                if len(parts) == 6 and parts[3] and parts[4] == "wallet" and parts[5]:
                    names = {"customer_id": parts[3], "account_id": parts[5]}
                    await self._server.run(READ_ACCOUNT, names, scope, receive, send)
                    return
        await self._rest(scope, receive, send)

    async def _record(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Book events."""
        server = self._server
        headers = RequestHeaders(scope["headers"])
        key = server.authenticator.remembered(headers.secret, time.monotonic())
        is_unusual = headers.prefers or headers.idempotency_key is not None or scope["query_string"]
        if key is None or key.role not in RECORD.roles or is_unusual:
            await server.run(RECORD, {}, scope, receive, send)
            return
        try:
            request = await read_json(UsageRequest, headers, receive)
            events, answer = request.events, None
            weight = queue_weight(headers.body_bytes)
            if request.customer_id is not None and request.customer_external_id is None:
                answer = server.engine.try_record(
                    request.customer_id, events, False, max(weight, len(events)), key.context
                )
            if answer is None:
                await book(server.engine, request, key.context, weight)
            else:
                await answer
        except Exception as error:
            problem = server.problem_of(error, scope, headers.request_id)
            await server.refuse(problem, scope, send, headers.request_id)
            return
        await server.send(send, 204, [], b"", headers.request_id)
