"""Real server and worker processes, a real product, for tests that do them harm."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

KEY = "fg_test_" + "k" * 32
HEADERS = {"X-CREDYT-API-KEY": KEY}
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

_POLL_SECONDS = 0.01
_START_SECONDS = 30


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


class _Process(Protocol):
    """What a server needs of its process."""

    @property
    def pid(self) -> int: ...

    def has_ended(self) -> bool: ...

    def wait(self) -> int: ...


class _Spawned:
    """A process that begins with the Python interpreter, as a user's does."""

    def __init__(
        self, arguments: list[str], settings: dict[str, str], said: Path = Path(os.devnull)
    ) -> None:
        with said.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faregate.cli", *arguments],
                env={**os.environ, **settings},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        return self._process.wait()


class _Forked:
    """A process that has the modules in memory already: nothing else of a start is left out, and
    it costs a tenth."""

    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(["tests.faults.preloaded"])

    def __init__(self, arguments: list[str], settings: dict[str, str]) -> None:
        from tests.faults.preloaded import run_command

        self._process = self._context.Process(
            target=run_command, args=(arguments, settings), daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def has_ended(self) -> bool:
        return not self._process.is_alive()

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode or 0


class Command:
    """A process of `faregate` that can be harmed and started again.

    `is_forked` makes the start cheap, for tests that start hundreds. Of others, every word goes to
    the file `said`, if one is given. `settings` are of the environment.
    """

    process: _Process

    def __init__(
        self,
        *arguments: str,
        is_forked: bool = False,
        said: Path = Path(os.devnull),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._is_forked = is_forked
        self._said = said
        self._settings = {"FAREGATE_BOOTSTRAP_KEY": KEY, **(settings or {})}
        self._arguments = list(arguments)
        self.command = [sys.executable, "-m", "faregate.cli", *self._arguments]

    def launch(self) -> None:
        """Start the process, without waiting until it serves."""
        if self._is_forked:
            self.process = _Forked(self._arguments, self._settings)
        else:
            self.process = _Spawned(self._arguments, self._settings, self._said)

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if not self.process.has_ended():
            self.send(signal.SIGKILL)
        self.process.wait()

    async def stop(self) -> int:
        """Ask the process to end, as an operator does; returns its exit code."""
        self.send(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait)


class Server(Command):
    """A server process, on the same address whenever it is started."""

    def __init__(
        self,
        database_url: str,
        *options: str,
        is_forked: bool = False,
        said: Path = Path(os.devnull),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ("serve", "--port", str(self.port), "--database", database_url, *options)
        super().__init__(*arguments, is_forked=is_forked, said=said, settings=settings)

    async def start(self, client: httpx.AsyncClient) -> None:
        """Start the process and wait until it is ready for charges."""
        self.launch()
        await self.is_ready(client)

    async def is_ready(self, client: httpx.AsyncClient) -> None:
        """Wait until the server may write."""
        await self._shows(client, "/readyz", 200)

    async def is_not_ready(self, client: httpx.AsyncClient) -> None:
        """Wait until the server knows that it may not write."""
        await self._shows(client, "/readyz", 503)

    async def is_up(self, client: httpx.AsyncClient) -> None:
        """Wait until the server answers, whether it may write or not."""
        await self._shows(client, "/healthz", 200)

    async def _shows(self, client: httpx.AsyncClient, path: str, status: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            try:
                if (await client.get(f"{self.url}{path}")).status_code == status:
                    return
            except httpx.TransportError:
                pass
            assert not self.process.has_ended(), "the server ended by itself"
            await asyncio.sleep(_POLL_SECONDS)  # a real process takes real time to come up
        raise AssertionError(f"{path} of the server did not come to be {status}")
