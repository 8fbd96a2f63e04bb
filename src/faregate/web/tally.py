"""Running totals of what events were charged, by asset and by customer, made from the list of
events alone. Events are only ever added, and each page of the list comes with the total number of
events at that same instant, so every event has a place (1, 2, 3, …) and is counted exactly once,
however many are booked while the list is read.

A history that is too long to read is not counted, and `counted_from` says so: it is the number of
older events that the totals leave out. Charges without an event are left out too.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.engine import Engine, Page
from faregate.platform.environments import AccountContext

PAGE: Final = 2_000
MAX_HISTORY: Final = 100_000
"""Events read when the totals begin, or begin anew; one more and the history is left out."""
OVERLAP: Final = 500
MAX_PAGES: Final = 2 * MAX_HISTORY // (PAGE - OVERLAP)
MAX_CUSTOMERS: Final = 50_000
"""Customers counted one by one; beyond that the lighter half is forgotten (the totals keep it)."""
MAX_LATEST: Final = 20


class LatestEvent(msgspec.Struct, frozen=True):
    """One of the newest events. `fee_units` are of `asset`, which is None where it cost nothing."""

    id: str
    customer_id: str
    event_type: str
    occurred_at: datetime
    fee_units: int
    asset: str | None


class Tally:
    """The totals. `refresh` brings them up to now; callers at the same instant share the work."""

    def __init__(self, engine: Engine, context: AccountContext) -> None:
        self._engine = engine
        self._context = context
        self._lock = asyncio.Lock()
        self.events = 0
        self.counted_from = 0
        self.units: Counter[str] = Counter()
        self.customers: dict[str, Counter[str]] = defaultdict(Counter)
        self.latest: Sequence[LatestEvent] = ()

    async def refresh(self) -> None:
        """Count the events that were booked since the last time."""
        async with self._lock:
            page = await self._page(MAX_LATEST, 0)
            self.latest = tuple(_latest(event) for event in page.items)
            target = total = page.total_count
            if target - self.events > MAX_HISTORY:
                self._begin_at(target)
            for _ in range(MAX_PAGES):
                if self.events >= target:
                    break
                total = await self._count_next(total)
            if len(self.customers) > MAX_CUSTOMERS:
                self.customers = defaultdict(Counter, self.heaviest(MAX_CUSTOMERS // 2))

    async def _page(self, limit: int, offset: int) -> Page:
        return await self._engine.list_events(limit, offset, context=self._context)

    def _begin_at(self, events: int) -> None:
        self.events = self.counted_from = events
        self.units.clear()
        self.customers.clear()

    async def _count_next(self, total: int) -> int:
        """Count the oldest events not counted yet, at most a page of them, all or none.

        `total` is how many events there are as far as is known; returns the newer number. If more
        were booked meanwhile than the overlap allows for, nothing is counted: call again.
        """
        offset = max(0, total - self.events - PAGE + OVERLAP)
        page = await self._page(PAGE, offset)
        newest = page.total_count - offset
        oldest = newest - len(page.items) + 1
        if oldest <= self.events + 1:
            for event in page.items[: max(0, newest - self.events)]:
                if event.fee_asset is not None:
                    self.units[event.fee_asset] += event.fee_units
                    self.customers[event.customer_id][event.fee_asset] += event.fee_units
            self.events = max(self.events, newest)
        return page.total_count

    def heaviest(self, limit: int) -> list[tuple[str, Counter[str]]]:
        """Return the customers that were charged most, by their largest share of any asset."""

        def share(item: tuple[str, Counter[str]]) -> float:
            return max((n / self.units[a] for a, n in item[1].items() if self.units[a]), default=0)

        return sorted(self.customers.items(), key=share, reverse=True)[:limit]


def _latest(event: Any) -> LatestEvent:
    return LatestEvent(
        event.id,
        event.customer_id,
        event.event_type,
        event.occurred_at,
        event.fee_units,
        event.fee_asset,
    )
