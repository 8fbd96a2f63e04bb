"""How many events are charged per second: one number per second of the last minute, from the
lanes' own counters. The counters start at 0 with the process and cost nothing to read, so the
minute is kept whether or not anybody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

SECONDS: Final = 60
RECENT_SECONDS: Final = 5
"""The headline is the mean of so many seconds: steady enough to read, quick enough to trust."""


class Rate:
    """Samples a rising counter once a second into a ring of the last `SECONDS` seconds."""

    def __init__(self, count: Callable[[], int], clock: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock
        self._ring: deque[int] = deque([0] * SECONDS, maxlen=SECONDS)
        self._second = int(clock())
        self._seen = count()
        self._task: asyncio.Task[None] | None = None

    def sample(self) -> None:
        """Note the counter; what it rose by since the last sample belongs to the second now past.

        Seconds that passed without a sample share the rise evenly.
        """
        second = int(self._clock())
        passed = second - self._second
        if passed <= 0:
            return
        count = self._count()
        share, rest = divmod(max(0, count - self._seen), passed)
        kept = min(passed, SECONDS)
        self._ring.extend(share + (1 if i < rest else 0) for i in range(passed - kept, passed))
        self._second, self._seen = second, count

    @property
    def per_second(self) -> Sequence[int]:
        """Events in each of the last `SECONDS` whole seconds, the oldest first."""
        return tuple(self._ring)

    @property
    def recent(self) -> float:
        """Events per second, over the last `RECENT_SECONDS`."""
        return sum(list(self._ring)[-RECENT_SECONDS:]) / RECENT_SECONDS

    def watch(self) -> None:
        """Sample every second from now on; a repeat is harmless. Needs a running event loop."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(1 - self._clock() % 1)
            self.sample()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Sample for as long as the block runs."""
        self.watch()
        try:
            yield
        finally:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
