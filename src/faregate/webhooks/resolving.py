"""Names to addresses, asked of the system's resolver, which blocks a thread for as long as it
likes: half a minute for a name whose servers do not answer. Such names must not keep others
waiting, so one that takes long gives its place to others while it goes on, and has places of its
own kind the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

QUICK_AT_ONCE: Final = 64
SLOW_AT_ONCE: Final = 64
MAX_THREADS: Final = 512
"""All that are at it, with those that turned out to be slow and have given up their place."""
SLOW_NAME_SECONDS: Final = 1.0
MAX_SLOW_NAMES: Final = 10_000

LookUp = Callable[[str, int], list[str]]


def system_addresses(host: str, port: int) -> list[str]:
    """Return a host's addresses; blocks. Raises `OSError`, `UnicodeError`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class SystemResolver:
    """Looks names up in threads of its own, each name once at a time. The threads are daemons, as
    nothing can end them: a name that hangs keeps no process from ending."""

    def __init__(
        self, look_up: LookUp = system_addresses, slow_seconds: float = SLOW_NAME_SECONDS
    ) -> None:
        self._look_up = look_up
        self._slow_seconds = slow_seconds
        self._quick = asyncio.Semaphore(QUICK_AT_ONCE)
        self._slow = asyncio.Semaphore(SLOW_AT_ONCE)
        self._slow_names: dict[str, None] = {}
        self._threads = 0
        self._under_way: dict[tuple[str, int], asyncio.Task[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return a host's addresses. Raises `OSError`, `UnicodeError`."""
        key = (host, port)
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._resolve(host, port))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        # Whoever gives up waiting takes the answer from nobody else.
        return list(dict.fromkeys(await asyncio.shield(task)))

    def close(self) -> None:
        """Stop waiting for answers."""
        for task in list(self._under_way.values()):
            task.cancel()

    def _ended(self, key: tuple[str, int], task: asyncio.Task[list[str]]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            # Seen, also if nobody waits for it any more.
            task.exception()

    async def _resolve(self, host: str, port: int) -> list[str]:
        if host in self._slow_names:
            async with self._slow:
                found = self._begin(host, port)
                await asyncio.wait([found], timeout=self._slow_seconds)
                if found.done():
                    self._slow_names.pop(host, None)
                return await found
        async with self._quick:
            found = self._begin(host, port)
            await asyncio.wait([found], timeout=self._slow_seconds)
        if not found.done():
            if len(self._slow_names) >= MAX_SLOW_NAMES:
                self._slow_names.pop(next(iter(self._slow_names)))
            self._slow_names[host] = None
        return await found

    def _begin(self, host: str, port: int) -> asyncio.Future[list[str]]:
        if self._threads >= MAX_THREADS:
            raise OSError(f"{host} was not looked up: {MAX_THREADS} other names do not answer")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def end(addresses: list[str], error: Exception | None) -> None:
            self._threads -= 1
            if found.done():
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        def run() -> None:
            addresses, failed = [], None
            try:
                addresses = self._look_up(host, port)
            except Exception as error:
                failed = error
            # The loop may have ended meanwhile.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(end, addresses, failed)

        self._threads += 1
        threading.Thread(target=run, name="webhook-name", daemon=True).start()
        return found
