"""The hot routes, in front of the router: one plain ASGI function. A request for anything else
costs one dictionary look-up here. (Starlette's router tries routes one after another with regular
expressions; a charge should not wait for that.)
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from faregate.rest.server import Server
from faregate.rest.usage import RECORD
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
                await self._server.run(RECORD, {}, scope, receive, send)
                return
            if method == "GET" and path.startswith(_CUSTOMERS):
                parts = path.split("/")
                if len(parts) == 5 and parts[4] == "wallet":
                    names = {"customer_id": parts[3]}
                    await self._server.run(READ_WALLET, names, scope, receive, send)
                    return
                if len(parts) == 6 and parts[4] == "wallet":
                    names = {"customer_id": parts[3], "account_id": parts[5]}
                    await self._server.run(READ_ACCOUNT, names, scope, receive, send)
                    return
        await self._rest(scope, receive, send)
