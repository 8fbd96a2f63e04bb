"""MCP over standard input and output, in front of a server's `/mcp`: each line that comes in is
posted as it is, and what is answered goes out as it came. Nothing is read as a number on the way,
so every digit stays.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any, BinaryIO, Final

import httpx
import msgspec

ANSWER_SECONDS: Final = 300.0
"""Longer than any hold waits for a top-up."""
CONNECT_SECONDS: Final = 10.0
MAX_AT_ONCE: Final = 32
_PARSE_ERROR: Final = -32700
_FAILED: Final = -32000
"""What JSON-RPC leaves to servers."""
_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""Of which requests the name is a header, too."""
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON may raise. Nothing of it ends the process: others wait for their answers."""
_PLAIN: Final = re.compile(r"(?!\s)(?!=\?base64\?.*\?=$)[\x20-\x7E]*(?<!\s)")


class _Params(msgspec.Struct):
    """What of a message is needed to send it."""

    name: msgspec.Raw = msgspec.Raw()
    uri: msgspec.Raw = msgspec.Raw()
    meta: dict[str, msgspec.Raw] = msgspec.field(name="_meta", default_factory=dict)


class _Message(msgspec.Struct):
    method: str = ""
    id: msgspec.Raw = msgspec.Raw()
    params: _Params | None = None


class _Initialized(msgspec.Struct):
    protocol_version: str = msgspec.field(name="protocolVersion", default="")


class _Answer(msgspec.Struct):
    result: _Initialized | None = None


class Proxy:
    """Passes messages on to a server. `url` is that of the server, `key` what opens it; `account`
    is the connected account to act for."""

    def __init__(self, url: str, key: str, account: str | None = None) -> None:
        headers = {
            "authorization": f"Bearer {key}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }
        if account is not None:
            headers["x-credyt-account"] = account
        self._url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=MAX_AT_ONCE),
            # What is on this machine is not asked for through a proxy.
            trust_env="127.0.0.1" not in url,
        )
        self._version = ""

    async def run(self, source: BinaryIO, target: BinaryIO) -> None:
        """Pass on every line until there are no more, and wait for their answers."""
        slots = asyncio.Semaphore(MAX_AT_ONCE)

        async def answer(line: bytes) -> None:
            async with slots:
                said = await self.answer(line)
            if said:
                target.write(said + b"\n")
                target.flush()

        async with self._http, asyncio.TaskGroup() as group:
            async for line in _lines(source):
                if line.strip():
                    group.create_task(answer(line))

    async def answer(self, line: bytes) -> bytes:
        """Send one message; returns the line to answer with, nothing for a notification."""
        try:
            message = msgspec.json.decode(line, type=_Message)
        except _UNREADABLE as error:
            return _error(b"null", _PARSE_ERROR, f"the line is no message: {error}")
        try:
            response = await self._http.post("/mcp", content=line, headers=self._headers(message))
        except httpx.HTTPError as error:
            return self._failed(message, self._unreached(error))
        body = response.content
        if not response.headers.get("content-type", "").startswith("application/json"):
            if response.status_code == httpx.codes.ACCEPTED:
                return b""
            return self._failed(message, self._refused(response))
        if message.method == "initialize":
            with contextlib.suppress(*_UNREADABLE):
                found = msgspec.json.decode(body, type=_Answer).result
                self._version = found.protocol_version if found else ""
        # Line ends are between the parts of JSON only: in texts they are escaped.
        return body.replace(b"\r", b" ").replace(b"\n", b" ") if message.id else b""

    def _headers(self, message: _Message) -> dict[str, str]:
        """Return what a message has to say in headers, too."""
        params = message.params or _Params()
        version = _text(params.meta.get(_VERSION, msgspec.Raw()))
        if not version:
            known = _as_header(self._version)
            return {"mcp-protocol-version": known} if known else {}
        headers = {
            "mcp-protocol-version": _as_header(version),
            "mcp-method": _as_header(message.method),
        }
        if message.method in _NAMED:
            headers["mcp-name"] = _as_header(_text(getattr(params, _NAMED[message.method])))
        return headers

    def _unreached(self, error: httpx.HTTPError) -> str:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return f"nothing answers at {self._url}: start `faregate serve`, or set FAREGATE_URL"
        said = str(error) or type(error).__name__
        return (
            f"the connection to {self._url} broke ({said}): whether it was done is not known; make "
            "the same call again with the same ids, nothing is done twice"
        )

    def _refused(self, response: httpx.Response) -> str:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return (
                f"the key in FAREGATE_API_KEY opens nothing at {self._url}: make one with "
                "`faregate keys create`, and set it"
            )
        try:
            detail = response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = f"is this the address of a Faregate? it answered {response.status_code}"
        return f"{self._url}: {detail}"

    def _failed(self, message: _Message, said: str) -> bytes:
        print(f"faregate mcp: {said}", file=sys.stderr, flush=True)
        return _error(message.id, _FAILED, said) if message.id else b""


def _error(identifier: bytes | msgspec.Raw, code: int, said: str) -> bytes:
    error = {"code": code, "message": said}
    raw = msgspec.Raw(bytes(identifier))
    return msgspec.json.encode({"jsonrpc": "2.0", "id": raw, "error": error})


def _text(raw: msgspec.Raw) -> str:
    with contextlib.suppress(*_UNREADABLE):
        return msgspec.json.decode(raw, type=str)
    return ""


def _as_header(text: str) -> str:
    """Write a text as the protocol does where a header cannot hold it."""
    if _PLAIN.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


async def _lines(source: BinaryIO) -> AsyncIterator[bytes]:
    """Read lines in a thread: what they come from may be a pipe, a file or a terminal."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[bytes](MAX_AT_ONCE)

    def read() -> None:
        # Ends with the process, or with the loop, when nobody waits for lines any more.
        with contextlib.suppress(RuntimeError):
            for line in source:
                asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
            asyncio.run_coroutine_threadsafe(lines.put(b""), loop).result()

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while line := await lines.get():
        yield line


def standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output for messages alone: whatever else is printed from here on
    goes to standard error."""
    target: Any = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, target
