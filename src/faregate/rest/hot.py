"""The hot routes, in front of the router: one plain ASGI function. A request for anything else
costs one dictionary look-up here. (Starlette's router tries routes one after another with regular
expressions; a charge should not wait for that.)

Events have a shorter way still, past ASGI (`direct`): `HotRoutes.begin` takes them if everything
about them is usual. What is not goes round by `Server.run`, which reads a request by the same
rules, so that both ways accept, refuse and answer the same.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from faregate.core.codec import decode_request
from faregate.core.decision import Answer
from faregate.customers.wire import UsageRequest
from faregate.operations.holds import AUTHORIZE, SETTLING
from faregate.operations.operation import Operation
from faregate.operations.recording import RECORD, queue_weight
from faregate.operations.wallets import READ_ACCOUNT, READ_WALLET
from faregate.platform.environments import AccountContext
from faregate.rest.headers import RequestHeaders
from faregate.rest.server import Server

_CUSTOMERS: Final = "/v1/customers/"


class HotRoutes:
    """Serves events, holds and wallet reads; passes everything else on."""

    def __init__(self, server: Server, rest: ASGIApp) -> None:
        self.server = server
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if path == "/v1/events" and method == "POST":
                await self.server.run(RECORD, {}, scope, receive, send)
                return
            if path.startswith(_CUSTOMERS):
                found = _by_path(method, path.split("/"))
                if found is not None:
                    await self.server.run(*found, scope, receive, send)
                    return
        await self._rest(scope, receive, send)

    def begin(self, headers: RequestHeaders, body: bytes) -> asyncio.Future[Answer] | None:
        """Begin to book events that are sent the usual way: a key that is known, a customer named
        by id, no `Prefer`, an account to act for that is known.

        None: something about the request is not so, and nothing has been done. Raises
        `FaregateError` as the usual way does.
        """
        server = self.server
        key = server.authenticator.remembered(headers.secret, time.monotonic())
        if key is None or key.role not in RECORD.roles or not headers.is_json:
            return None
        if headers.prefers or headers.idempotency_key is not None:
            return None
        context: AccountContext | None = key.context
        if headers.account is not None:
            context = server.acting.known_context(key, headers.account)
            if context is None:
                return None
        server.engine.refuse_if_overloaded()
        request = decode_request(UsageRequest, body)
        if request.customer_id is None or request.customer_external_id is not None:
            return None
        weight = max(queue_weight(len(body)), len(request.events))
        return server.engine.try_record(request.customer_id, request.events, False, weight, context)


def _by_path(method: str, parts: list[str]) -> tuple[Operation, dict[str, str]] | None:
    """Find the hot operation of `/v1/customers/{customer_id}/wallet/…`, if there is one."""
    if len(parts) < 5 or not parts[3] or parts[4] != "wallet":
        return None
    names = {"customer_id": parts[3]}
    count = len(parts)
    if method == "GET":
        if count == 5:
            return READ_WALLET, names
        if count == 6 and ":" in parts[5]:
            return READ_ACCOUNT, {**names, "account_id": parts[5]}
    elif method == "POST" and count > 5 and parts[5] == "holds":
        if count == 6:
            return AUTHORIZE, names
        if count == 8 and parts[6] and parts[7] in SETTLING:
            return SETTLING[parts[7]], {**names, "hold_id": parts[6]}
    return None
