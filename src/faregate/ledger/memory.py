"""What a lane remembers between batches: the newest state of its customers, and which ids it has
booked lately. Only the lease's holder may change either, so both are true for as long as the
lease is held; whoever loses it forgets everything.

An id that is not remembered is taken for new. If it is not, the commit fails on its unique key
and the batch is decided again from the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from faregate.core.customers import CustomerState
from faregate.core.limits import Counter

MAX_CUSTOMERS: Final = 50_000
MAX_RECENT_IDS: Final = 200_000
MAX_COUNTERS: Final = 100_000

Key = tuple[str, str]
"""The caller's id of an event, a transaction or a hold, and its customer's id."""
Name = Key | tuple[str, str, str]
"""The key of an event; of something else, with what it is in front."""
CounterName = tuple[str, str, str]
"""A customer's id, a limit's id, and the subject that is counted by itself ('' if none is)."""


class Memory:
    """States by customer, what limits have counted, and the recent names in two generations: when
    the young one is full it becomes the old one, which is forgotten at once. (Forgetting one by
    one, a dict is searched from its emptied beginning each time.)"""

    __slots__ = ("_old", "_young", "counters", "states")

    def __init__(self) -> None:
        self.states: dict[str, CustomerState] = {}
        self.counters: dict[CounterName, Counter] = {}
        self._young: set[Name] = set()
        self._old: set[Name] = set()

    def forget(self) -> None:
        """Forget everything: somebody else may have changed it."""
        self.states.clear()
        self.counters.clear()
        self._young.clear()
        self._old.clear()

    def is_recent(self, name: Name) -> bool:
        """Tell whether something with this name was booked lately."""
        return name in self._young or name in self._old

    def learn(
        self,
        states: Mapping[str, CustomerState],
        names: Iterable[Name],
        counters: Mapping[CounterName, Counter],
    ) -> None:
        """Take over what a durable batch has changed."""
        self.states.update(states)
        self.counters.update(counters)
        excess = len(self.counters) - MAX_COUNTERS
        if excess > 0:
            # One batch may have loaded many: of each event every limit of the customer.
            for name in list(islice(self.counters, excess + MAX_COUNTERS // 10)):
                del self.counters[name]
        self._young.update(names)
        if len(self._young) >= MAX_RECENT_IDS // 2:
            self._old, self._young = self._young, set()
        if len(self.states) > MAX_CUSTOMERS:
            for customer_id in list(islice(self.states, MAX_CUSTOMERS // 10)):
                del self.states[customer_id]
