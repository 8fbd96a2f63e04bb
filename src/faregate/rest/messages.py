"""The door for messages of payment providers: no API key, but the provider's own signature. It is
answered with 2xx when what the message is about is booked (or the message is about something else),
and so that it comes again with 503 when that cannot be said now.
"""

from __future__ import annotations

from typing import Final

from starlette.types import Receive, Scope, Send

from faregate.core.codec import encode
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.platform.environments import MODES, AccountContext
from faregate.rest.headers import RequestHeaders
from faregate.rest.server import Server, read_body

PATH: Final = "/v1/payments/messages/{provider}/{account_id}/{mode}"
MAX_MESSAGE_BYTES: Final = 256 * 1024


class MessageDoor:
    """Takes messages of payment providers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message."""
        asked = RequestHeaders(scope["headers"])
        given = scope["path_params"]
        try:
            context = await self._context_of(given["account_id"], given["mode"])
            body = await read_body(receive, asked.length, MAX_MESSAGE_BYTES)
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope["headers"]
            }
            found = await self._server.engine.receive_message(
                given["provider"], headers, body, context=context
            )
        except Exception as error:
            await self._server.refuse(error, scope, send, asked.request_id)
            return
        answer = encode({"is_known": found is not None})
        content = [(b"content-type", b"application/json")]
        await self._server.send(send, 200, content, answer, asked.request_id)

    async def _context_of(self, account_id: str, mode: str) -> AccountContext:
        for known in MODES:
            if mode == known and "\x00" not in account_id:
                return await self._server.engine.acting_for(account_id, known)
        detail = f"{mode[:100]!r} is no mode: the address ends in /test or /live"
        raise FaregateError(Problem(NOT_FOUND, detail))
