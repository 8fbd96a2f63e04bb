"""What a store can do, and how it says that it cannot. Two stores speak this protocol: `sqlite`
and `postgres`. SQL that both understand (the catalog's, the directories', the readers') is
written once, with `$1` placeholders, by whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from faregate.core.problems import UNAVAILABLE, FaregateError, Problem

Row = Sequence[Any]
Rows = Sequence[Row]


class StoreError(Exception):
    """Something that the store could not do."""


class StoreUnavailable(StoreError, FaregateError):
    """The database did not answer. `is_unknown`: whether the commit happened is unknown.

    To a caller of the engine it is a problem like any other: 503, send the same request again.
    The database's own words (files, hosts) are the exception's text, for whoever runs Faregate,
    and not part of the problem, which any caller may see.
    """

    def __init__(self, detail: str, *, is_unknown: bool = False) -> None:
        FaregateError.__init__(self, Problem(UNAVAILABLE, "the database does not answer", {}, 1))
        self.detail = detail
        self.is_unknown = is_unknown

    def __str__(self) -> str:
        return f"the database: {self.detail}"


class DuplicateKey(StoreError):
    """A row with one of these keys exists already; nothing was written."""


class BadRows(StoreError):
    """The database refuses these rows whoever sends them; nothing was written. A fault of ours."""


class FenceFailed(StoreError):
    """The lane's epoch or the catalog's epoch has moved on; nothing was written."""


class Lease(msgspec.Struct, frozen=True):
    """A lane's row: who may write it (`holder`, under `epoch`), until when, and where it stands.

    Instants are microseconds since 1970 UTC. `clock_us` is the last instant that the lane used,
    `indexed_seq` the last event that `customer_events` has.
    """

    lane: int
    epoch: int
    holder: str
    lease_until_us: int
    last_seq: int
    clock_us: int
    indexed_seq: int


class LaneCommit(msgspec.Struct):
    """One batch: the fence that must hold, the lane's new standing, and the rows by table."""

    lane: int
    epoch: int
    catalog_epoch: int
    last_seq: int
    clock_us: int
    lease_until_us: int
    indexed_seq: int
    rows: dict[str, list[tuple[Any, ...]]]


class LaneRows(msgspec.Struct):
    """What was read for a batch: rows by hot table, columns as in `schema`."""

    grants: Rows = ()
    accounts: Rows = ()
    carries: Rows = ()
    subscriptions: Rows = ()
    open_holds: Rows = ()
    rules: Rows = ()
    counters: Rows = ()
    tiers: Rows = ()
    chains: Rows = ()
    events: Rows = ()
    fees: Rows = ()
    transactions: Rows = ()
    holds: Rows = ()
    outcomes: Rows = ()
    payments: Rows = ()
    grants_by_id: Rows = ()


Pair = tuple[str, str]


class Paid(NamedTuple):
    """Which transfers to read: those that paid fees of an event, from the first to the last of
    them, between these two numbers."""

    customer_id: str
    after_seq: int
    before_seq: int
    first_fee_id: str
    last_fee_id: str


PAYMENT: Final = "seq, reference, from_account, units"
"""What is read of a transfer that paid a fee."""


class Wanted(msgspec.Struct, frozen=True):
    """What to read of a lane: the states of customers, and what is kept under keys, each with its
    customer: events by their ids, transactions by the caller's ids, holds by their own and by the
    caller's. `outcomes` and `grants` are (customer, id)."""

    customers: Sequence[str] = ()
    events: Sequence[Pair] = ()
    transactions: Sequence[Pair] = ()
    holds: Sequence[Pair] = ()
    holds_asked: Sequence[Pair] = ()
    counters: Sequence[tuple[str, str, str]] = ()
    tiers: Sequence[tuple[str, str, int]] = ()
    outcomes: Sequence[Pair] = ()
    payments: Sequence[Paid] = ()
    grants: Sequence[Pair] = ()


class Queries(Protocol):
    """Runs SQL with `$1` placeholders."""

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        """Return all rows. Raises `DuplicateKey` or `StoreUnavailable`."""
        ...


class Store(Queries, Protocol):
    """A database, open."""

    url: str

    async def close(self) -> None:
        """Let go of all connections."""
        ...

    async def migrate(self) -> None:
        """Bring the schema to this version."""
        ...

    async def schema_version(self) -> str | None:
        """Return the schema's revision; None if the database is empty."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Queries]:
        """Begin a durable transaction for catalog and directory rows."""
        ...

    def snapshot(self, *, for_lane: bool = False) -> AbstractAsyncContextManager[Queries]:
        """Begin a read that sees one instant of the database and disturbs no writer.

        `for_lane` as in `load`.
        """
        ...

    async def take_lease(self, seen: Lease, holder: str, lease_until_us: int) -> Lease | None:
        """Take the lane from the state `seen`; None if somebody else was faster."""
        ...

    async def leases(self) -> list[Lease]:
        """Return every lane's row."""
        ...

    async def load(self, lane: int, wanted: Wanted, *, for_lane: bool = False) -> LaneRows:
        """Read states and rows of a lane.

        `for_lane` says that charges wait for it: it must not queue behind other readers.
        """
        ...

    async def commit(self, commit: LaneCommit) -> None:
        """Write a batch, durably and whole.

        Raises `FenceFailed`, `DuplicateKey`, `BadRows` or `StoreUnavailable`.
        """
        ...
