"""What is kept per customer of a lane's numbered rows: the indexes of events and holds
(`customer_events`, `customer_holds`), and where the chain of transfers stands (`chains`). Until a
row is there, readers look through the newest rows by themselves.

A customer's rows stand together, so many customers mean many places to write. Each batch would have
to touch nearly as many as it has events. So the lane gathers what is missing, some thousands of
rows, and from then on each of its commits carries a slice of them along, customer by customer: no
transaction of their own that charges would have to wait for, and under the fence of the lease.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from faregate.core.chain import Head
from faregate.store.protocol import Lease, Store
from faregate.store.schema import CHAINS, CUSTOMER_EVENTS, CUSTOMER_HOLDS

WHEN_IDLE: Final = 500
"""Numbers behind from which a lane writes as soon as it is idle; after some seconds, all."""
AT_LATEST: Final = 10_000
"""Numbers behind at which a busy lane writes too."""
SLICE: Final = 100
"""Rows that a commit carries; more if it has given more numbers than that itself."""

_NEWEST: Final = "lane = $1 AND seq > $2 AND seq <= $3"
_HEADS: Final = f"""
    SELECT t.customer_id, t.hash, t.seq FROM transfers t JOIN (
        SELECT max(seq) AS seq FROM transfers WHERE {_NEWEST} GROUP BY customer_id
    ) AS n ON t.lane = $1 AND t.seq = n.seq
"""
"""The newest transfer in a range of each customer who has one there."""

Row = tuple[Any, ...]


class _Gathered:
    """Rows that the index lacks, by customer: as they are written, without the customer."""

    __slots__ = ("events", "heads", "holds")

    def __init__(self) -> None:
        self.events: dict[str, list[Row]] = {}
        self.holds: dict[str, list[Row]] = {}
        self.heads: dict[str, Head] = {}

    def walks(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """Walk the tables, and the rows of each by customer."""
        yield CUSTOMER_EVENTS.name, _by_customer(self.events)
        yield CUSTOMER_HOLDS.name, _by_customer(self.holds)
        # Whoever has no transfer yet stands nowhere: there is nothing that `verify` could find.
        begun = ((customer, head) for customer, head in sorted(self.heads.items()) if head.seq)
        yield CHAINS.name, ((customer, head.hash, head.seq) for customer, head in begun)


def _by_customer(rows: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    for customer_id in sorted(rows):
        for row in rows[customer_id]:
            yield (customer_id, *row)


class EventIndex:
    """What a lane's index lacks, for as long as it holds one lease, and how far it is there.

    A pass writes what was missing when it began, slice by slice; one slice at a time is on its way.
    What is written a second time, after a lane was lost, changes nothing.
    """

    def __init__(self, indexed_seq: int) -> None:
        self.indexed_seq = indexed_seq
        self._upto = indexed_seq
        self._new = _Gathered()
        self._walks: deque[tuple[str, Iterator[Row]]] = deque()
        self._slice: dict[str, list[Row]] | None = None

    @property
    def heads(self) -> Mapping[str, Head]:
        """Where the chains stand that have transfers since the last pass began."""
        return self._new.heads

    def add(
        self,
        events: Sequence[tuple[str, int]],
        holds: Sequence[tuple[str, int, str]],
        heads: Mapping[str, Head],
    ) -> None:
        """Add rows that are durable: customers with the numbers of events, those of holds and
        their ids, and where chains stand now."""
        for customer_id, seq in events:
            self._new.events.setdefault(customer_id, []).append((seq,))
        for customer_id, seq, hold_id in holds:
            self._new.holds.setdefault(customer_id, []).append((seq, hold_id))
        self._new.heads.update(heads)

    def begin(self, last_seq: int, behind: int) -> bool:
        """Begin a pass if so many of the numbers up to `last_seq` are missing, and none is going
        on; tell whether one is."""
        if not self._is_passing and last_seq - self.indexed_seq >= behind:
            self._upto = last_seq
            self._walks.extend(self._new.walks())
            self._new = _Gathered()
        return self._is_passing

    @property
    def _is_passing(self) -> bool:
        return bool(self._walks) or self._slice is not None

    def take(self, count: int) -> dict[str, list[Row]]:
        """Return the rows that the next commit carries, by table: `SLICE`, or `count` if that is
        more, as long as there are. The same again until they have landed."""
        if self._slice is None and self._walks:
            self._slice = {}
            room = max(SLICE, count)
            while self._walks and room:
                table, walk = self._walks[0]
                rows = list(islice(walk, room))
                if rows:
                    self._slice[table] = rows
                if len(rows) < room:
                    self._walks.popleft()
                room -= len(rows)
        return self._slice or {}

    @property
    def seq_after(self) -> int:
        """How far the index is there when what was taken is durable."""
        is_last = self._slice is not None and not self._walks
        return self._upto if is_last else self.indexed_seq

    def landed(self) -> bool:
        """Note that what was taken is durable; tell whether the pass is done with it."""
        is_last = self._is_passing and not self._walks
        self.indexed_seq = self.seq_after
        self._slice = None
        return is_last


async def read_missing(store: Store, lease: Lease) -> EventIndex:
    """Read what the index of a lane lacks. Raises `StoreUnavailable`."""
    index = EventIndex(lease.indexed_seq)
    newest = (lease.lane, lease.indexed_seq, lease.last_seq)
    async with store.snapshot(for_lane=True) as snapshot:
        events, holds = [
            await snapshot.fetch(
                f"SELECT customer_id, {names} FROM {table} WHERE {_NEWEST} ORDER BY seq", *newest
            )
            for table, names in (("events", "seq"), ("holds", "seq, hold_id"))
        ]
        heads = await snapshot.fetch(_HEADS, *newest)
    index.add(
        [(customer_id, seq) for customer_id, seq in events],
        [(customer_id, seq, hold_id) for customer_id, seq, hold_id in holds],
        {customer_id: Head(head, seq) for customer_id, head, seq in heads},
    )
    return index
