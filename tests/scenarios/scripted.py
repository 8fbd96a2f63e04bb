"""An assistant by its script: it reaches a server by the protocol, with the official SDK's client,
over a real port, and does nothing but call tools. Numbers are read as the server has written them.
What it did is kept, for whoever wants to read it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.api.conftest import TEST_KEY


class Did(NamedTuple):
    """A call of a tool, with its answer, or with what was wrong."""

    tool: str
    arguments: dict[str, Any]
    answer: Any
    is_error: bool


class Said(NamedTuple):
    """Words of somebody in the story: the founder, the assistant, a customer."""

    who: str
    words: str


class Refused(Exception):
    """A tool has said that it cannot do that."""

    def __init__(self, tool: str, answer: Any) -> None:
        super().__init__(f"{tool}: {answer}")
        self.answer = answer


class Assistant:
    """Calls tools, one after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client) -> None:
        self._loop = loop
        self._client = client
        self.story: list[Did | Said] = []

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Wait for something of the client."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def client(self) -> Client:
        """The SDK's client itself."""
        return self._client

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool and return its answer. Raises `Refused`."""
        result = self.wait(self._client.call_tool(tool, arguments))
        (content,) = result.content
        answer = json.loads(content.text, parse_float=Decimal)
        is_error = bool(result.is_error)
        self.story.append(Did(tool, arguments, answer, is_error))
        if is_error:
            raise Refused(tool, answer)
        return answer

    def says(self, who: str, words: str) -> None:
        """Keep what somebody says."""
        self.story.append(Said(who, words))

    def available(self, customer_id: str, account_id: str) -> Decimal:
        """Ask what an account of a customer has."""
        account = self.call("get_wallet", customer_id=customer_id, account_id=account_id)
        return Decimal(account["available"])


@contextmanager
def assistant(server_url: str, key: str = TEST_KEY) -> Iterator[Assistant]:
    """Connect to a server's tools until the block ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    begun: Future[Client] = Future()
    closing = asyncio.Event()
    stay = asyncio.run_coroutine_threadsafe(_stay(server_url, key, begun, closing), loop)
    # What goes wrong before it has begun is raised here too.
    stay.add_done_callback(lambda done: begun.done() or begun.set_exception(done.exception()))
    try:
        yield Assistant(loop, begun.result(60))
    finally:
        loop.call_soon_threadsafe(closing.set)
        stay.result(30)
        loop.call_soon_threadsafe(loop.stop)


async def _stay(server_url: str, key: str, begun: Future[Client], closing: asyncio.Event) -> None:
    """Be connected. The SDK wants to be left by the task that has entered it."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        way = streamable_http_client(f"{server_url}/mcp", http_client=http)
        async with Client(way) as client:
            begun.set_result(client)
            await closing.wait()
