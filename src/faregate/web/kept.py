"""Answers that are kept for a moment: however many look at a page, the engine is asked once. What
takes long to find out may be shown a little older, while it is asked for anew.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

MAX_KEPT: Final = 200

log = structlog.get_logger(__name__)


class Kept:
    """Answers by key; `clock` counts seconds, from whenever."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._renewing: dict[Hashable, asyncio.Task[None]] = {}

    async def get(
        self,
        key: Hashable,
        fresh_seconds: float,
        ask: Callable[[], Awaitable[Any]],
        *,
        stale_seconds: float = 0,
    ) -> Any:
        """Return the answer under a key, asked for anew if it is older than so many seconds. Who
        comes meanwhile waits for the same one, or gets the old one until that is `stale_seconds`
        old."""
        kept = self._answers.get(key)
        if kept is not None and fresh_seconds <= self._clock() - kept[0] < stale_seconds:
            if key not in self._renewing:
                task = asyncio.create_task(self._renew(key, ask), name="kept answers")
                self._renewing[key] = task
            return kept[1]
        if len(self._answers) >= MAX_KEPT:
            self._answers.clear()
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._answers.get(key)
            if kept is None or self._clock() - kept[0] >= fresh_seconds:
                answer = await ask()
                kept = self._answers[key] = (self._clock(), answer)
            return kept[1]

    @asynccontextmanager
    async def renewing(self) -> AsyncIterator[None]:
        """Leave nothing that is being asked for when the block ends."""
        try:
            yield
        finally:
            tasks = list(self._renewing.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _renew(self, key: Hashable, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            answer = await ask()
            self._answers[key] = (self._clock(), answer)
        except Exception:
            # Whoever comes when the old one is too old is told.
            log.warning("an answer could not be renewed", trace=traceback.format_exc())
        finally:
            del self._renewing[key]
