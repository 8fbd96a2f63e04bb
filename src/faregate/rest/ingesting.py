"""The ways in for what other systems tell in formats of their own. Keys, roles, accounts and limits
are as everywhere; body and answer are the format's. Bodies are read and unpacked within bounds, and
away from the loop where they are large: a batch of telemetry must not keep charges waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from starlette.types import Receive, Scope, Send

from faregate.core.problems import (
    MALFORMED,
    OVERLOADED,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    FaregateError,
    Problem,
)
from faregate.ingestion.way import Reply, Sent, Way
from faregate.ingestion.ways import WAYS
from faregate.operations.acting import check_roles
from faregate.operations.operation import INGEST
from faregate.rest.headers import RequestHeaders
from faregate.rest.server import Headers, Server, read_body
from faregate.rest.unpacking import unpack

T = TypeVar("T")
PATHS: Final[Mapping[str, Way]] = {way.path: way for way in WAYS}
MAX_AT_ONCE: Final = 32
"""Requests whose bodies are in memory at the same time."""
_LARGE: Final = 32 * 1024
_OF_THE_BODY: Final = (MALFORMED, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)


class WaysIn:
    """Takes what other systems tell."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._at_once = 0

    async def __call__(self, way: Way, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = RequestHeaders(scope["headers"])
        named = _named(scope["headers"])
        try:
            reply = await self._take(way, headers, named, receive)
        except Exception as error:
            await self._refuse(way, named, error, scope, send, headers.request_id)
            return
        await self._reply(reply, [], send, headers.request_id)

    async def _take(
        self, way: Way, headers: RequestHeaders, named: Mapping[str, str], receive: Receive
    ) -> Reply:
        server, engine = self._server, self._server.engine
        key = await server.authenticator.authenticate(headers.secret, time.monotonic())
        check_roles(key, INGEST)
        context = await server.acting.context_of(key, headers.account)
        engine.refuse_if_overloaded()
        if self._at_once >= MAX_AT_ONCE:
            detail = f"{self._at_once} such requests are being read, at most {MAX_AT_ONCE} may"
            raise FaregateError(Problem(OVERLOADED, detail, retry_after_seconds=1))
        self._at_once += 1
        try:
            try:
                packed = await read_body(receive, headers.length, way.max_bytes)
                encoding = named.get("content-encoding", "")
                large = len(packed) > (_LARGE // 16 if encoding else _LARGE)
                body = await _apart(large, lambda: unpack(packed, encoding, way.max_bytes))
                sent = Sent(named, body, engine.now())
                told = await _apart(len(body) > _LARGE, lambda: way.read(sent))
            except FaregateError as error:
                if error.problem.kind in _OF_THE_BODY:
                    engine.note_unreadable(way.source, error.problem, context=context)
                raise
            return way.answer(sent, await engine.ingest(way.source, told, context=context))
        finally:
            self._at_once -= 1

    async def _refuse(
        self,
        way: Way,
        named: Mapping[str, str],
        error: Exception,
        scope: Scope,
        send: Send,
        request_id: bytes,
    ) -> None:
        if way.retell is not None and isinstance(error, FaregateError):
            error = FaregateError(way.retell(error.problem))
        if way.refuse is None:
            await self._server.refuse(error, scope, send, request_id)
            return
        problem = self._server.told_of(error, scope["path"], request_id)
        waits = problem.retry_after_seconds
        extra = [] if waits is None else [(b"retry-after", str(waits).encode())]
        await self._reply(way.refuse(named, problem), extra, send, request_id)

    async def _reply(self, reply: Reply, extra: Headers, send: Send, request_id: bytes) -> None:
        headers = list(extra)
        if reply.status != 204:
            headers.append((b"content-type", reply.content_type.encode()))
        await self._server.send(send, reply.status, headers, reply.body, request_id)


def _named(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers under their names, without those that are secret."""
    secret = (b"authorization", b"x-credyt-api-key", b"cookie")
    return {k.decode("latin-1"): v.decode("latin-1") for k, v in headers if k not in secret}


async def _apart(is_apart: bool, work: Callable[[], T]) -> T:
    """Do some work, in a thread if it takes long."""
    return await asyncio.to_thread(work) if is_apart else work()
