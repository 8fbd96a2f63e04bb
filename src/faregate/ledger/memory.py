"""What a lane remembers between batches: the newest state of its customers, and which ids it has
booked lately. Only the lease's holder may change either, so both are true for as long as the
lease is held; whoever loses it forgets everything.

An id that is not remembered is taken for new. If it is not, the commit fails on its unique key
and the batch is decided again from the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from faregate.core.chain import Head
from faregate.core.customers import CustomerState
from faregate.core.limits import Counter
from faregate.core.tiers import Counted

MAX_CUSTOMERS: Final = 50_000
MAX_RECENT_IDS: Final = 200_000
MAX_COUNTERS: Final = 100_000

Key = tuple[str, str]
"""The caller's id of an event, a transaction or a hold, and its customer's id."""
Name = Key | tuple[str, str, str]
"""The key of an event; of something else, with what it is in front."""
CounterName = tuple[str, str, str]
"""A customer's id, a limit's id, and the subject that is counted by itself ('' if none is)."""
TierName = tuple[str, str, int]
"""A customer's id, a price's id, and when the period began, in microseconds since 1970."""


class Memory:
    """States by customer with the heads of their chains, what limits and tiers have counted, and
    the recent names in two generations: when the young one is full it becomes the old one, which is
    forgotten at once. (Forgetting one by one, a dict is searched from its emptied beginning each
    time.)

    Every customer with a state has a head. A head that `chains` does not have yet, because it is
    newer than `_settled_seq`, is kept also when the state is forgotten.
    """

    __slots__ = ("_old", "_settled_seq", "_young", "counters", "heads", "states", "tiers")

    def __init__(self) -> None:
        self.states: dict[str, CustomerState] = {}
        self.heads: dict[str, Head] = {}
        self._settled_seq = 0
        self.counters: dict[CounterName, Counter] = {}
        self.tiers: dict[TierName, Counted] = {}
        self._young: set[Name] = set()
        self._old: set[Name] = set()

    def forget(self) -> None:
        """Forget everything: somebody else may have changed it."""
        self.states.clear()
        self.counters.clear()
        self.tiers.clear()
        self.heads.clear()
        self._young.clear()
        self._old.clear()

    def begin(self, settled_seq: int, heads: Mapping[str, Head]) -> None:
        """Begin with the heads after `settled_seq`, up to which `chains` has them."""
        self._settled_seq = settled_seq
        self.heads.update(heads)

    def settle(self, seq: int) -> None:
        """Note that `chains` has all heads up to a number: they need not be kept any more."""
        self._settled_seq = seq
        if len(self.heads) > len(self.states):
            for customer_id in [c for c in self.heads if c not in self.states]:
                self._forget_head(customer_id)

    def _forget_head(self, customer_id: str) -> None:
        if self.heads[customer_id].seq <= self._settled_seq:
            del self.heads[customer_id]

    def is_recent(self, name: Name) -> bool:
        """Tell whether something with this name was booked lately."""
        return name in self._young or name in self._old

    def learn(
        self,
        states: Mapping[str, CustomerState],
        heads: Mapping[str, Head],
        names: Iterable[Name],
        counters: Mapping[CounterName, Counter],
        tiers: Mapping[TierName, Counted],
    ) -> None:
        """Take over what a durable batch has changed: of each customer both state and head."""
        self.states.update(states)
        self.heads.update(heads)
        self.counters.update(counters)
        self.tiers.update(tiers)
        # One batch may have loaded many: of each event every limit of the customer.
        _keep_newest(self.counters)
        _keep_newest(self.tiers)
        self._young.update(names)
        if len(self._young) >= MAX_RECENT_IDS // 2:
            self._old, self._young = self._young, set()
        if len(self.states) > MAX_CUSTOMERS:
            for customer_id in list(islice(self.states, MAX_CUSTOMERS // 10)):
                del self.states[customer_id]
                self._forget_head(customer_id)


def _keep_newest(counts: dict[Any, Any]) -> None:
    """Forget the oldest when there are more than `MAX_COUNTERS`."""
    excess = len(counts) - MAX_COUNTERS
    if excess > 0:
        for name in list(islice(counts, excess + MAX_COUNTERS // 10)):
            del counts[name]
