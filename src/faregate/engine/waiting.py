"""Who waits for a customer's credit, in this process: holds that an auto top-up is to pay. The lane
does not know of them: each asks it again when it is woken, and is declined when its time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_WAITING: Final = 1_000
"""Whoever comes when so many wait is answered at once."""

Customer = tuple[int, str]
"""The environment's id and the customer's."""


class WaitingForCredit:
    """An event for each who waits, by customer."""

    def __init__(self) -> None:
        self._waiting: dict[Customer, set[asyncio.Event]] = {}
        self._count = 0

    @contextmanager
    def waiting(self, customer: Customer) -> Iterator[asyncio.Event | None]:
        """Wait for a customer's credit within the block: the event is set when something has become
        of it. None: too many wait already."""
        if self._count >= MAX_WAITING:
            yield None
            return
        event = asyncio.Event()
        events = self._waiting.setdefault(customer, set())
        events.add(event)
        self._count += 1
        try:
            yield event
        finally:
            self._count -= 1
            events.discard(event)
            if not events and self._waiting.get(customer) is events:
                del self._waiting[customer]

    def wake(self, customer: Customer) -> None:
        """Let all who wait for a customer ask again."""
        for event in self._waiting.get(customer, ()):
            event.set()
