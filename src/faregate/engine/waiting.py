"""Who waits for a customer's credit, in this process: holds that an auto top-up is to pay. The lane
wakes them when a commit has brought credit, wherever it came from, or the end of what was in
flight; each asks it again then, and is declined when its time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

MAX_WAITING: Final = 1_000
"""Whoever comes when so many wait is answered at once."""


class WaitingForCredit:
    """An event for each who waits, by customer."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many wait."""
        return self._count

    @contextmanager
    def waiting(self, customer_id: str) -> Iterator[asyncio.Event | None]:
        """Wait for a customer's credit within the block: the event is set when something has become
        of it. None: too many wait already."""
        if self._count >= MAX_WAITING:
            yield None
            return
        event = asyncio.Event()
        events = self._waiting.setdefault(customer_id, set())
        events.add(event)
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            events.discard(event)
            if not events and self._waiting.get(customer_id) is events:
                del self._waiting[customer_id]

    def among(self, customer_ids: Iterable[str]) -> list[str]:
        """Return those of these customers for whose credit somebody waits."""
        waiting = self._waiting
        return [one for one in customer_ids if one in waiting] if waiting else []

    def wake(self, customer_id: str) -> None:
        """Let all who wait for a customer ask again."""
        for event in self._waiting.get(customer_id, ()):
            event.set()
