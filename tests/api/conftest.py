"""A real server on a real port, on either database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import pytest
import uvicorn
from corehttp.credentials import ServiceKeyCredential
from credytapi import CredytApiClient

from faregate import Engine
from faregate.cli.server import address_of, listen, uvicorn_config
from faregate.engine.base import Clock, system_clock
from faregate.mcp.door import AssistantDoor
from faregate.operations.acting import Acting
from faregate.rest.app import create_app
from faregate.web import create_web

T = TypeVar("T")
TEST_KEY = "fg_test_" + "t" * 32
LIVE_KEY = "fg_live_" + "l" * 32
INGEST_KEY = "fg_test_" + "i" * 32
READ_KEY = "fg_test_" + "r" * 32


class RunningServer(NamedTuple):
    """Where it listens, and the engine inside (for looking at, from its own loop)."""

    url: str
    engine: Engine
    loop: asyncio.AbstractEventLoop
    uvicorn: uvicorn.Server

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the engine on its own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


@contextmanager
def running_server(
    database_url: str, clock: Clock = system_clock, *, has_pages: bool = False, **options: Any
) -> Iterator[RunningServer]:
    """Serve a database on a free loopback port until the block ends, at the time of this clock;
    with the web pages behind the API if it `has_pages`."""
    started: dict[str, RunningServer] = {}
    failed: list[BaseException] = []
    ready = threading.Event()

    async def serve() -> None:
        async with Engine.open(database_url, clock=clock, **options) as engine:
            if not await engine.list_keys():
                await engine.create_key("test", "admin", "tests", TEST_KEY)
                await engine.create_key("live", "admin", "tests", LIVE_KEY)
                await engine.create_key("test", "ingest", "tests", INGEST_KEY)
                await engine.create_key("test", "read", "tests", READ_KEY)
            listener = listen("127.0.0.1", 0)
            pages = create_web(engine, engine.context_of("test")) if has_pages else None
            assistants = AssistantDoor(Acting(engine), "tests")
            app = create_app(engine, web=pages, assistants=assistants)
            server = uvicorn.Server(uvicorn_config(app))
            async with assistants.running():
                task = asyncio.create_task(server.serve(sockets=[listener]))
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0)
                url = address_of(listener)
                loop = asyncio.get_running_loop()
                started["server"] = RunningServer(url, engine, loop, server)
                ready.set()
                await task

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(30)
    if failed:
        raise failed[0]
    try:
        yield started["server"]
    finally:
        started["server"].uvicorn.should_exit = True
        thread.join(30)


@pytest.fixture
def server(database_url: str) -> Iterator[RunningServer]:
    """A server on a fresh database, SQLite and PostgreSQL in turn."""
    with running_server(database_url) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(module_database_url: str) -> Iterator[RunningServer]:
    """A server that all tests of a module call: each makes its own customers."""
    with running_server(module_database_url) as running:
        yield running


@pytest.fixture
def client(server: RunningServer) -> CredytApiClient:
    """The published client of the API that ours is modelled on, unmodified."""
    return CredytApiClient(
        credential=ServiceKeyCredential(TEST_KEY), endpoint=f"{server.url}/v1", retry_total=0
    )
