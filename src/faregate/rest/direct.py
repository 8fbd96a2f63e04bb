"""The way of a charge through HTTP without an ASGI task of its own.

A task, its events and its messages cost as much as pricing and booking a charge. So a request that
is whole after one read, and that is nothing but events sent the usual way, goes from the parser
straight to the lane, and the lane's answer goes straight to the socket. Everything else (long
bodies, other routes, preferences, a request before the last one is answered, a key that is not
remembered) is handed to uvicorn's own protocol as if nothing had been tried.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from faregate.core.decision import Answer
from faregate.rest.headers import RequestHeaders
from faregate.rest.hot import HotRoutes
from faregate.rest.server import Headers

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_TARGET: Final = b"/v1/events"
_PATH: Final = _TARGET.decode()


class _Exchange:
    """A request that the lane has, as uvicorn's protocol knows one: whether it is answered,
    whether the connection still stands, whether it stays open."""

    __slots__ = ("_protocol", "_request_id", "disconnected", "keep_alive", "response_complete")

    def __init__(self, protocol: DirectProtocol, request_id: bytes) -> None:
        self._protocol = protocol
        self._request_id = request_id
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True

    @property
    def message_event(self) -> _Exchange:
        """Stand in for what uvicorn sets when there is news: nobody waits here."""
        return self

    def set(self) -> None:
        """Do nothing."""

    def finish(self, answer: asyncio.Future[Answer]) -> None:
        """Answer, now that the lane has."""
        error = answer.exception()
        if self.disconnected:
            return
        self.response_complete = True
        self._protocol.answer(error, self._request_id, self.keep_alive)


class DirectProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a shorter way for events. Give it to `uvicorn.Config` as `http`."""

    _is_held = False
    """The headers of a request are read, and it may go the short way: its body decides."""
    _held_body = b""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        app = config.app
        self._hot: HotRoutes | None = app if isinstance(app, HotRoutes) else None

    def data_received(self, data: bytes) -> None:
        """Read what came in."""
        super().data_received(data)
        if self._is_held and not self.transport.is_closing():
            self._let_go()

    def on_headers_complete(self) -> None:
        """Hold a request back that may go the short way."""
        last = self.cycle
        if (
            self.url == _TARGET
            and self._hot is not None
            and (last is None or last.response_complete)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and not self.flow.write_paused
        ):
            self._is_held = True
            self._held_body = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        if self._is_held:
            self._held_body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Start with a request that is whole."""
        if not self._is_held:
            super().on_message_complete()
            return
        assert self._hot is not None  # noqa: S101 - only then is a request held
        headers = RequestHeaders(self.headers)
        try:
            answer = self._hot.begin(headers, self._held_body)
        except Exception as error:
            self._is_held = False
            self.answer(error, headers.request_id, keep_alive=True)
            return
        if answer is None:
            self._let_go()
            super().on_message_complete()
            return
        self._is_held = False
        exchange = _Exchange(self, headers.request_id)
        self.cycle = exchange  # type: ignore[assignment]
        answer.add_done_callback(exchange.finish)

    def _let_go(self) -> None:
        """Hand a request over to uvicorn, with what is known of its body."""
        self._is_held = False
        super().on_headers_complete()
        if self._held_body:
            super().on_body(self._held_body)

    def answer(self, error: BaseException | None, request_id: bytes, keep_alive: bool) -> None:
        """Write the answer to the request that the lane had."""
        assert self._hot is not None  # noqa: S101
        server = self._hot.server
        if error is None:
            status, headers, body = server.answered(204, [], b"", request_id)
        else:
            status, headers, body = server.refusal(error, _PATH, request_id)
        if not keep_alive:
            headers.append((b"connection", b"close"))
        self.transport.write(_head(status, self.server_state.default_headers, headers) + body)
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()


def _head(status: int, *groups: Headers) -> bytes:
    lines = [_STATUS_LINES[status]]
    for headers in groups:
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
