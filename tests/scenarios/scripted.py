"""An assistant by its script: it reaches a server by the protocol, with the official SDK's client,
over a real port, and does nothing but call tools. Numbers are read as the server has written them.
What it did is kept, for whoever wants to read it.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
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
        self.did: list[Did] = []

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
        self.did.append(Did(tool, arguments, answer, is_error))
        if is_error:
            raise Refused(tool, answer)
        return answer

    def available(self, customer_id: str, account_id: str) -> Decimal:
        """Ask what an account of a customer has."""
        account = self.call("get_wallet", customer_id=customer_id, account_id=account_id)
        return Decimal(account["available"])


@contextmanager
def assistant(server_url: str, key: str = TEST_KEY) -> Iterator[Assistant]:
    """Connect to a server's tools until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    closing = asyncio.Event()
    ready: asyncio.Future[Client] | None = None

    async def connect(found: asyncio.Future[Client]) -> None:
        # The SDK wants to be left by the task that has entered it.
        try:
            async with AsyncExitStack() as stack:
                headers = {"Authorization": f"Bearer {key}"}
                http = await stack.enter_async_context(
                    httpx2.AsyncClient(headers=headers, timeout=60)
                )
                way = streamable_http_client(f"{server_url}/mcp", http_client=http)
                found.set_result(await stack.enter_async_context(Client(way)))
                await closing.wait()
        except BaseException as error:
            if not found.done():
                found.set_exception(error)
            raise

    async def begin() -> tuple[asyncio.Task[None], Client]:
        nonlocal ready
        ready = loop.create_future()
        task = asyncio.create_task(connect(ready))
        return task, await ready

    task, client = asyncio.run_coroutine_threadsafe(begin(), loop).result(60)
    try:
        yield Assistant(loop, client)
    finally:
        loop.call_soon_threadsafe(closing.set)

        async def end() -> None:
            await task

        asyncio.run_coroutine_threadsafe(end(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
