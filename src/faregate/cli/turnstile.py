"""One application makes room for another while the server goes on: requests that are under way are
answered by the one that they came to, whoever comes meanwhile waits for the next, and no connection
is lost.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from faregate.cli.server import GRACE_SECONDS

_POLL_SECONDS: Final = 0.01


class Turnstile:
    """An application that is another one's place. Give it to `serving_app`."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._is_there = asyncio.Event()
        self._under_way = 0

    def put(self, app: ASGIApp) -> None:
        """Let this application answer from now on."""
        self._app = app
        self._is_there.set()

    async def take_away(self) -> None:
        """Let whoever comes wait, and return when nothing is under way any more, or it has taken
        too long."""
        self._app = None
        self._is_there.clear()
        for _ in range(int(GRACE_SECONDS / _POLL_SECONDS)):
            if not self._under_way:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or wait for who will."""
        if scope["type"] == "lifespan":
            # Each application has its own, which goes with it.
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        while self._app is None:
            await self._is_there.wait()
        app = self._app
        self._under_way += 1
        try:
            await app(scope, receive, send)
        finally:
            self._under_way -= 1
