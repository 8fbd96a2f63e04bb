"""A real server process, a real product, for tests that do it harm."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

KEY = "fg_test_" + "k" * 32
PRODUCT = {
    "name": "Calls",
    "code": "calls",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Call",
            "usage_calculation": {"event_type": "call", "usage_type": "unit"},
            "billing_model": {"type": "real_time"},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 0.001}]}],
        }
    ],
}


CALLERS = 16


async def first_customer(client: httpx.AsyncClient) -> str:
    """Sell calls, and make a customer who buys them; returns the id."""
    assert (await client.post("/v1/products", json=PRODUCT)).status_code == 201
    body = {"name": "Acme", "subscriptions": [{"products": [{"code": "calls"}]}]}
    made: Any = (await client.post("/v1/customers", json=body)).json()
    return str(made["id"])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process that can be killed and started again on the same address."""

    def __init__(self, database_url: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["serve", "--port", str(self.port), "--database", database_url]
        self.command = [sys.executable, "-m", "faregate.cli", *arguments]

    async def start(self, client: httpx.AsyncClient) -> None:
        self.process = subprocess.Popen(  # noqa: ASYNC220
            self.command,
            env={**os.environ, "FAREGATE_BOOTSTRAP_KEY": KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, "the server ended by itself"
            await asyncio.sleep(0.05)  # a real process takes real time to come up
        raise AssertionError("the server did not come up")

    async def kill_under(
        self,
        client: httpx.AsyncClient,
        call: Callable[[random.Random], Awaitable[None]],
        dice: random.Random,
    ) -> None:
        """Let callers work, kill the server at a random instant, and start it again. A call ends
        when the server is gone."""
        callers = [asyncio.ensure_future(call(dice)) for _ in range(CALLERS)]
        await asyncio.sleep(dice.uniform(0.02, 0.25))  # the instant of the kill
        self.kill()
        await asyncio.gather(*callers)
        await self.start(client)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
