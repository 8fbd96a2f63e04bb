"""Answers that are kept for a moment: however many look at a page, the engine is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Final

MAX_KEPT: Final = 200


class Kept:
    """Answers by key; `clock` counts seconds, from whenever."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(
        self, key: Hashable, fresh_seconds: float, ask: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Return the answer under a key, asked for anew if it is older than so many seconds. Who
        comes meanwhile waits for the same one."""
        if len(self._answers) >= MAX_KEPT:
            self._answers.clear()
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._answers.get(key)
            if kept is None or self._clock() - kept[0] >= fresh_seconds:
                answer = await ask()
                kept = self._answers[key] = (self._clock(), answer)
            return kept[1]
