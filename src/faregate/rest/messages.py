"""The door at which payment providers tell what has become of payments. They have no API key: what
they send is signed, and says nothing that is believed: it only says which payment to ask about.

    POST /payments/messages/{provider}/{account_id}/{mode}

2xx means done (or about something that is none of ours); with 503 the provider sends it again.
"""

from __future__ import annotations

from typing import Final, cast

import msgspec
from starlette.types import Receive, Scope, Send

from faregate.core.codec import encode
from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.platform.environments import MODES, Mode
from faregate.rest.headers import RequestHeaders
from faregate.rest.server import Server, read_body

PREFIX: Final = "/payments/messages/"
PATH: Final = PREFIX + "{provider}/{account_id}/{mode}"
ERRORS: Final = (400, 403, 404, 409, 413, 422, 429, 503)
MAX_MESSAGE_BYTES: Final = 512 * 1024
_PARTS: Final = 3


class MessageTaken(msgspec.Struct, frozen=True):
    """The answer to a message. `payment_id` names the payment that it was about; null: it is none
    of ours, or a refund that waits for its payment."""

    payment_id: str | None


class PaymentMessages:
    """Takes the messages of payment providers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one message."""
        request_id = RequestHeaders(scope["headers"]).request_id
        try:
            payment_id = await self._take(scope, receive)
        except Exception as error:
            await self._server.refuse(error, scope, send, request_id)
            return
        body = encode(MessageTaken(payment_id))
        headers = [(b"content-type", b"application/json")]
        await self._server.send(send, 200, headers, body, request_id)

    async def _take(self, scope: Scope, receive: Receive) -> str | None:
        parts = scope["path"].removeprefix(PREFIX).split("/")
        if len(parts) != _PARTS or parts[2] not in MODES or "\x00" in scope["path"]:
            detail = f"messages come to {PREFIX}{{provider}}/{{account_id}}/{{test or live}}"
            raise FaregateError(Problem(NOT_FOUND, detail))
        provider, account_id, mode = parts
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        length = headers.get("content-length", "").encode() or None
        body = await read_body(receive, length, MAX_MESSAGE_BYTES)
        engine = self._server.engine
        context = await engine.acting_for(account_id, cast(Mode, mode))
        return await engine.receive_message(provider, headers, body, context=context)
