"""An application that is made when it is first asked: the SDK takes most of a second to import, and
a server that no assistant speaks to shall not wait for it, nor a charge for an assistant's first
word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send


class WakingApp:
    """An ASGI application for as long as `running` lasts; `make` makes it, in a thread."""

    def __init__(self, make: Callable[[], Starlette]) -> None:
        self._make = make
        self._is_wanted = asyncio.Event()
        self._made: asyncio.Future[Starlette] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer while the block runs."""
        self._made = asyncio.get_running_loop().create_future()
        ends = asyncio.Event()
        # A task of its own: what begins the application has to be what ends it.
        keeping = asyncio.create_task(self._keep(self._made, ends))
        try:
            yield
        finally:
            ends.set()
            self._is_wanted.set()
            await keeping

    async def _keep(self, made: asyncio.Future[Starlette], ends: asyncio.Event) -> None:
        await self._is_wanted.wait()
        if ends.is_set():
            made.cancel()
            return
        try:
            app = await asyncio.to_thread(self._make)
            async with app.router.lifespan_context(app):
                made.set_result(app)
                await ends.wait()
        except Exception as error:
            if made.done():
                raise
            # Whoever asks is told.
            made.set_exception(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._made is None:
            raise RuntimeError("this application is not running")
        self._is_wanted.set()
        app = await asyncio.shield(self._made)
        await app(scope, receive, send)
