"""Running totals of what was charged, by asset and by customer: each look adds what has happened
since the one before. A history that is too long to go through is left out, and `is_whole` says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Final

from faregate.engine import Engine
from faregate.platform.environments import AccountContext

MAX_CUSTOMERS: Final = 50_000
"""Customers counted one by one; beyond that the lighter half is forgotten (the totals keep it)."""


class Tally:
    """The totals. `refresh` brings them up to now; callers at the same instant share the work."""

    def __init__(self, engine: Engine, context: AccountContext) -> None:
        self._engine = engine
        self._context = context
        self._lock = asyncio.Lock()
        self._upto: dict[int, int] = {}
        self.events = 0
        self.is_whole = True
        self.units: Counter[str] = Counter()
        self.customers: dict[str, Counter[str]] = defaultdict(Counter)

    async def refresh(self) -> None:
        """Count what was charged since the last time."""
        async with self._lock:
            new = await self._engine.charged_since(self._upto, context=self._context)
            self._upto = new.upto
            self.events += new.events
            self.is_whole = self.is_whole and new.is_whole
            for (customer_id, asset), units in new.units.items():
                self.units[asset] += units
                self.customers[customer_id][asset] += units
            if len(self.customers) > MAX_CUSTOMERS:
                self.customers = defaultdict(Counter, self.heaviest(MAX_CUSTOMERS // 2))

    def heaviest(self, limit: int) -> list[tuple[str, Counter[str]]]:
        """Return the customers that were charged most, by their largest share of any asset."""

        def share(item: tuple[str, Counter[str]]) -> float:
            return max((n / self.units[a] for a, n in item[1].items() if self.units[a]), default=0)

        return sorted(self.customers.items(), key=share, reverse=True)[:limit]
