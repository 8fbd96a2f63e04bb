"""One process that serves the API and the live page on one port, until it is told to stop. Then
it takes no new requests, answers those that it has, and lets go of the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from faregate import __version__
from faregate.cli.settings import Mode, refuse
from faregate.engine import Engine
from faregate.mcp.door import AssistantDoor
from faregate.operations.acting import Acting
from faregate.operations.auth import OwnKey
from faregate.rest.app import create_app
from faregate.rest.direct import DirectProtocol
from faregate.web import create_web
from faregate.web.dashboard.demo import Demo

GRACE_SECONDS: Final = 10
BACKLOG: Final = 2048
_POLL_SECONDS: Final = 0.01


def listen(host: str, port: int) -> socket.socket:
    """Take the port (0: a free one). Refuses the setting if that fails."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        refuse("--host (FAREGATE_HOST)", f"{host!r} is not an address of this machine: {error}")
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = f"cannot listen on {host} port {port}: {error.strerror or error}"
        refuse("--host, --port (FAREGATE_HOST, FAREGATE_PORT)", reason)
    listener.setblocking(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the URL at which this machine reaches the server."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    """Return how an application is served: on the running loop, without logs of its own."""
    return uvicorn.Config(
        app,
        loop="none",
        http=DirectProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def tune_garbage_collection() -> None:
    """Look for cycles seldom: a charge leaves none, and a lane's memory is large to search.

    With Python's own settings a search of everything stopped all callers for 50 ms, again and
    again, and searches took 15% of the time under load. Of the youngest, searches must be neither
    rare nor many: one of 50,000 objects takes 15 ms, one of 5,000 less than two.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 500, 100)


class _Server(uvicorn.Server):
    """Leaves signals to `serving`: uvicorn would raise them again while the engine closes."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


class Serving:
    """A server that runs."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task
        self.stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask it to stop; a second time, without waiting for open requests."""
        self._server.force_exit = self._server.should_exit
        self._server.should_exit = True
        self.stopping.set()

    async def wait(self) -> None:
        """Wait until it has stopped."""
        await self._task


@contextlib.asynccontextmanager
async def serving(engine: Engine, listener: socket.socket, mode: Mode) -> AsyncIterator[Serving]:
    """Serve while the block runs; Ctrl-C and SIGTERM ask it to stop."""
    async with application(engine, mode) as app, serving_app(app, listener) as server:
        yield server


@contextlib.asynccontextmanager
async def application(
    engine: Engine, mode: Mode, demo: Demo | None = None, own: OwnKey | None = None
) -> AsyncIterator[ASGIApp]:
    """Make the API and the pages of an engine, for as long as the block runs. `demo` is what its
    pages can do with a demo, if this is one; `own` is a key for the assistant of this process."""
    web = create_web(engine, engine.context_of(mode), demo)
    acting = Acting(engine)
    if own is not None:
        acting.authenticator.admit(own)
    assistants = AssistantDoor(acting, __version__)
    app = create_app(engine, web=web, assistants=assistants)
    tune_garbage_collection()
    async with web.router.lifespan_context(web), assistants.running():
        yield app


@contextlib.asynccontextmanager
async def serving_app(app: ASGIApp, listener: socket.socket) -> AsyncIterator[Serving]:
    """Serve an application while the block runs; Ctrl-C and SIGTERM ask it to stop."""
    server = _Server(uvicorn_config(app))
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(server.serve(sockets=[listener]))
    handle = Serving(server, task)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handle.stop)
    while not (server.started or task.done()):  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield handle
    finally:
        server.should_exit = True
        await task
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
