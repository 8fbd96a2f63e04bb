"""Runs an operation for one HTTP request: key, role, query, body, handler, answer. Every answer has
a request id; every error is a problem document; a fault of ours says nothing of the inside.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from faregate.core.codec import decode_request, encode
from faregate.core.explaining import explain
from faregate.core.problems import (
    INTERNAL,
    INVALID,
    NOT_FOUND,
    OVERLOADED,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    FaregateError,
    Problem,
    invalid,
)
from faregate.engine import Engine
from faregate.operations.acting import Acting
from faregate.operations.operation import LENIENT, Answer, Call, Operation
from faregate.rest.headers import RequestHeaders
from faregate.rest.problems import problem_body, problem_headers

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_IDEMPOTENCY_KEY: Final = 200
_JSON: Final = (b"content-type", b"application/json")
_NO_STORE: Final = (b"cache-control", b"no-store")

T = TypeVar("T")

Headers = list[tuple[bytes, bytes]]

log = structlog.get_logger("faregate.rest")


_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")


class Server:
    """Everything that requests share."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.acting = Acting(engine)
        self.authenticator = self.acting.authenticator
        self.answers: dict[int, int] = {}
        self._next_overload_log = 0.0
        self._unlogged = 0

    async def run(
        self,
        operation: Operation,
        path: Mapping[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request."""
        headers = RequestHeaders(scope["headers"])
        request_id = headers.request_id
        try:
            call = await self._call(operation, path, headers, scope, receive)
            client = scope.get("client")
            answer = await self.acting.perform(
                operation, call, scope["path"], client[0] if client else ""
            )
        except Exception as error:
            await self.refuse(error, scope, send, request_id)
            return
        status, body, applied = operation.status, answer, ""
        if type(answer) is Answer:
            status, body, applied = answer.status, answer.body, answer.applied
        extra = [(b"preference-applied", applied.encode())] if applied else []
        if status == 204:
            await self.send(send, status, extra, b"", request_id)
        else:
            await self.send(send, status, [_JSON, *extra], encode(body), request_id)

    async def _call(
        self,
        operation: Operation,
        path: Mapping[str, str],
        headers: RequestHeaders,
        scope: Scope,
        receive: Receive,
    ) -> Call:
        key = await self.acting.caller(headers.secret, operation)
        context = await self.acting.context_of(key, headers.account)
        if "\x00" in scope["path"]:
            raise FaregateError(Problem(NOT_FOUND, "no id has a NUL character in it"))
        idempotency_key = headers.idempotency_key
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= MAX_IDEMPOTENCY_KEY:
            raise FaregateError(
                invalid("Idempotency-Key", f"must have 1 to {MAX_IDEMPOTENCY_KEY} characters")
            )
        body = None
        if operation.body is not None:
            is_lenient = operation.lenient_body is not None and LENIENT in headers.prefers
            kind = operation.lenient_body if is_lenient else operation.body
            body = await read_json(kind, headers, receive)
        query = None
        if operation.query is not None or scope["query_string"]:
            query = _query(operation.query, scope["query_string"])
        return Call(
            self.engine,
            key,
            context,
            path,
            query,
            body,
            headers.body_bytes,
            headers.prefers,
            idempotency_key,
            headers.request_id.decode(),
            _base_url(scope),
            lambda: _gone(receive),
        )

    def problem_of(self, error: BaseException, path: str, request_id: bytes) -> Problem:
        """Return what a caller is told of an error; a fault of ours goes to the log."""
        if isinstance(error, FaregateError):
            return error.problem
        # As text: what shows exceptions on a terminal may show local variables, keys among them.
        log.error(
            "operation failed",
            request_id=request_id.decode(),
            path=path,
            trace="".join(traceback.format_exception(error)),
        )
        detail = "an unexpected fault: see the server's log under this request id"
        return Problem(INTERNAL, detail)

    def told_of(self, error: BaseException, path: str, request_id: bytes) -> Problem:
        """Return what a caller is told of an error. Logs what is serious."""
        problem = self.problem_of(error, path, request_id)
        if problem.kind.status >= 500 or problem.kind.status == 429:
            self._log_refusal(problem, path, request_id)
        return problem

    def refusal(
        self, error: BaseException, path: str, request_id: bytes
    ) -> tuple[int, Headers, bytes]:
        """Return the answer to a request that failed: a problem document. Logs what is serious."""
        problem = self.told_of(error, path, request_id)
        status = problem.kind.status
        body = problem_body(problem, path, request_id.decode())
        return self.answered(status, problem_headers(problem), body, request_id)

    def _log_refusal(self, problem: Problem, path: str, request_id: bytes) -> None:
        """Log a refusal; of overload once a second only, with how many were not logged before: it
        comes in floods, and must not take the time that is lacking."""
        unlogged = 0
        if problem.kind is OVERLOADED:
            now = time.monotonic()
            if now < self._next_overload_log:
                self._unlogged += 1
                return
            self._next_overload_log = now + 1
            unlogged, self._unlogged = self._unlogged, 0
        log.warning(
            "refused",
            status=problem.kind.status,
            detail=problem.detail,
            path=path,
            request_id=request_id.decode(),
            **({"unlogged": unlogged} if unlogged else {}),
        )

    def answered(
        self, status: int, headers: Headers, body: bytes, request_id: bytes
    ) -> tuple[int, Headers, bytes]:
        """Count an answer; returns it with the headers that every answer has."""
        self.answers[status] = self.answers.get(status, 0) + 1
        headers = [*headers, (b"x-request-id", request_id), _NO_STORE]
        if status != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        return status, headers, body

    async def refuse(self, error: Exception, scope: Scope, send: Send, request_id: bytes) -> None:
        """Answer with a problem document."""
        await _send(send, *self.refusal(error, scope["path"], request_id))

    async def send(
        self, send: Send, status: int, headers: Headers, body: bytes, request_id: bytes
    ) -> None:
        """Send an answer."""
        await _send(send, *self.answered(status, headers, body, request_id))


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_json(kind: type[T], headers: RequestHeaders, receive: Receive) -> T:
    """Read a request's body as JSON of this type. Raises `FaregateError`: 400, 413, 415, 422."""
    if not headers.is_json:
        shown = headers.content_type[:100].decode("latin-1")
        detail = f"the body is {shown!r}: send Content-Type: application/json"
        raise FaregateError(Problem(UNSUPPORTED_MEDIA_TYPE, detail))
    body = await read_body(receive, headers.length)
    headers.body_bytes = len(body)
    return decode_request(kind, body)


async def read_body(receive: Receive, length: bytes | None, most: int = MAX_BODY_BYTES) -> bytes:
    """Read a body of `most` bytes at most. Raises `FaregateError` (413)."""
    if length is not None and length.isdigit() and int(length[:20]) > most:
        raise _too_large(most)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise FaregateError(Problem(INVALID, "the connection ended before the body did"))
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _gone(receive: Receive) -> None:
    """Wait until the caller has left. The body was read."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _too_large(most: int) -> FaregateError:
    limit = f"{most // (1024 * 1024)} MiB" if most >= 1024 * 1024 else f"{most // 1024} KiB"
    return FaregateError(Problem(TOO_LARGE, f"the body is larger than {limit}: send less"))


def _query(kind: Any, raw: bytes) -> Any:
    """Read the query string as its type. An unknown or repeated parameter is an error."""
    values: dict[str, str] = {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise FaregateError(invalid("query", f"cannot be read: {error}")) from None
    known = () if kind is None else kind.__struct_fields__
    for name, value in pairs:
        if name not in known:
            shown = ", ".join(known) or "none"
            raise FaregateError(invalid(name[:100], f"is no parameter here; known are: {shown}"))
        if name in values:
            raise FaregateError(invalid(name, "is given twice: give it once"))
        if "\x00" in value:
            raise FaregateError(invalid(name, "has a NUL character: remove it"))
        values[name] = value
    if kind is None:
        return None
    try:
        query = msgspec.convert(values, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise FaregateError(explain(str(error), kind, values)) from None
    for name, value in values.items():
        # The word is read as no value where there need be none.
        if getattr(query, name) is None:
            raise FaregateError(invalid(name, f"is {value!r}: send a value, or leave it out"))
    return query


def _base_url(scope: Scope) -> str:
    """Return where the caller found us, as they spelled it; empty if they did not say."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    name = host.decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{name}" if _HOST.fullmatch(name) else ""
