"""An assistant that calls tools over HTTP, message by message, and reads numbers as they are
written. The SDK's own client is in tests of its own: it reads numbers as floats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
from tests.api.conftest import TEST_KEY, RunningServer

from faregate.platform.environments import Mode

HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


class Told(NamedTuple):
    """What a tool answered: its text, and the same read as JSON."""

    is_error: bool
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text, parse_float=Decimal)


class Assistant:
    """Calls tools with one key."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def post(self, body: str | bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send bytes as a message."""
        return self.http.post("/mcp", content=body, headers=dict(headers or {}))

    def ask(self, method: str, params: Any = None) -> Any:
        """Send a request; returns its result, or its error."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        answer = self.post(json.dumps(message))
        assert answer.status_code == 200, answer.text
        said = answer.json()
        return said.get("result", said.get("error"))

    def tell(self, name: str, arguments: str) -> Told:
        """Call a tool with arguments that are JSON text."""
        answer = self.post(
            '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": '
            f'{json.dumps(name)}, "arguments": {arguments}}}}}'
        )
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert "result" in said, said
        (content,) = said["result"]["content"]
        return Told(said["result"].get("isError", False), content["text"])

    def call(self, name: str, /, **arguments: Any) -> Told:
        """Call a tool."""
        return self.tell(name, json.dumps(arguments))

    def made(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool that must succeed; returns its answer."""
        told = self.call(name, **arguments)
        assert not told.is_error, told.text
        return told.body

    def refused(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool that must refuse; returns what it says."""
        told = self.call(name, **arguments)
        assert told.is_error, told.text
        return told.body


@contextmanager
def assisting(
    server: RunningServer, key: str = TEST_KEY, account: str | None = None
) -> Iterator[Assistant]:
    """An assistant with this key, acting for an account."""
    headers = {**HEADERS, "authorization": f"Bearer {key}"}
    if account is not None:
        headers["x-credyt-account"] = account
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
        yield Assistant(http)


def confirm_all(server: RunningServer, mode: Mode = "test") -> None:
    """Confirm what assistants wait for, as a person does."""
    server.wait(_confirm_all(server, mode))


async def _confirm_all(server: RunningServer, mode: Mode) -> None:
    engine = server.engine
    known = await engine.list_operators()
    who = known[0] if known else await engine.create_operator(
        "grace@example.com", "Grace", "admin", "grace's own password"
    )  # fmt: skip
    for one in await engine.list_confirmations(mode):
        if one.state == "open":
            await engine.decide_confirmation(one.id, mode, who, is_confirmed=True)
