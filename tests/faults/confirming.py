"""A process that does what a person has confirmed, and is killed at a point of it.

    python -m tests.faults.confirming URL SECRET TOOL ARGUMENTS POINT

POINT is `claimed` (nothing is done yet), `done` (it is, and nobody knows) or `never`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from tests.ledger.shop import NOON, Clock

from faregate import Engine
from faregate.mcp.calling import Caller, call_tool
from faregate.mcp.tools import TOOLS
from faregate.operations.acting import Acting, actor_of
from faregate.platform.audit import Actor
from faregate.platform.confirmations import Asked, Confirmation


class Mortal(Engine):
    """An engine that dies at a point."""

    point = "never"

    async def do_confirmed(
        self,
        found: Confirmation,
        asked: Asked,
        actor: Actor,
        work: Callable[[], Awaitable[bytes]],
        **options: Any,
    ) -> bytes | None:
        """Do it, and die before or after."""

        async def mortal() -> bytes:
            self._die_at("claimed")
            answer = await work()
            self._die_at("done")
            return answer

        return await super().do_confirmed(found, asked, actor, mortal, **options)

    def _die_at(self, point: str) -> None:
        if self.point == point:
            os.kill(os.getpid(), signal.SIGKILL)


async def call(engine: Engine, secret: str, name: str, arguments: str) -> str:
    """Call a tool; returns its answer. Raises `FaregateError`."""
    key = await engine.find_key(secret)
    assert key is not None
    (tool,) = [one for one in TOOLS if one.name == name]
    caller = Caller(key, key.context, "127.0.0.1", "http://127.0.0.1:1", "request", actor_of(key))
    sent = msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
    return (await call_tool(Acting(engine), caller, tool, sent)).decode()


async def main(url: str, secret: str, name: str, arguments: str, point: str) -> None:
    """Call a tool, and die."""
    async with Mortal.open(url, clock=Clock(NOON)) as engine:
        engine.point = point
        print(await call(engine, secret, name, arguments))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
