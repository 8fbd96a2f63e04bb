"""A lane: one writer for a fixed share of the customers, one transaction at a time.

While a commit waits for the disk, commands queue up; the next batch takes all of them (up to a
bound), loads what the lane does not remember, decides one command after another, writes all rows
in one durable transaction, and only then answers each caller. There is no timer: an idle lane
commits a single command at once, a busy one grows its batches by itself.

The lane remembers wallets and its newest ids, which only the lease's holder may change. What a
batch decided is remembered when it is durable; a batch that fails is forgotten whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import structlog

from faregate.core.customers import CustomerState
from faregate.core.decide import NOTHING_KNOWN, Answer, Command, Decision, Known, decide
from faregate.core.events import BookedEvent, RecordEvents
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import INTERNAL, OVERLOADED, UNAVAILABLE, FaregateError, Problem
from faregate.core.subscriptions import CatalogView
from faregate.core.transactions import Adjust, BookedTransaction, Charge
from faregate.ledger import rows
from faregate.ledger.lease import LEASE_SECONDS, lease_clock_us, release_lane, take_lane
from faregate.ledger.statistics import LaneStatistics
from faregate.store.protocol import (
    DuplicateKey,
    FenceFailed,
    LaneCommit,
    Lease,
    Store,
    StoreUnavailable,
)

MAX_QUEUED: Final = 20_000
"""Commands' weights (an event weighs 1) that may wait; more are refused with 429."""
MAX_BATCH: Final = 2_000
"""Weight of one transaction, so that nobody waits long behind a huge one."""
MAX_CUSTOMERS: Final = 50_000
MAX_RECENT_IDS: Final = 200_000
READ_IDS_BATCHES: Final = 100
"""After a repeat of an id that the lane had forgotten, ids are read first for so many batches."""
MAX_ATTEMPTS: Final = 5
INDEX_WHEN_IDLE: Final = 500
IDLE_SECONDS: Final = 0.1
"""A lane is idle when nothing came in for so long. An empty queue alone says nothing: callers who
have just been answered are about to send their next command."""
INDEX_AT_LATEST: Final = 10_000
RETRY_SECONDS: Final = 1

log = structlog.get_logger(__name__)


class CatalogSource(Protocol):
    """Where a lane gets the catalog from."""

    epoch: int

    def view(self, environment_id: int) -> CatalogView:
        """Return the newest snapshot that this process knows."""
        ...

    async def refresh(self) -> None:
        """Read the catalog again."""
        ...


class _Pending:
    """A command that waits for its answer."""

    __slots__ = ("command", "environment_id", "future", "weight")

    def __init__(
        self, command: Command, environment_id: int, future: asyncio.Future[Answer], weight: int
    ) -> None:
        self.command = command
        self.environment_id = environment_id
        self.future = future
        self.weight = weight


class _Outcome:
    """What one batch decided: answers by position, rows, and what to remember once durable."""

    __slots__ = ("answers", "ids", "rows", "states")

    def __init__(self, last_seq: int) -> None:
        self.answers: list[Answer | Problem] = []
        self.rows = rows.BatchRows(last_seq)
        self.states: dict[str, CustomerState] = {}
        self.ids: list[tuple[str, str]] = []


def unavailable(detail: str) -> FaregateError:
    """Make the error that says: nothing is certain, send the same request again."""
    return FaregateError(Problem(UNAVAILABLE, detail, {}, RETRY_SECONDS))


class Lane:
    """One lane of this process. Start it with `start`, feed it with `submit`."""

    def __init__(
        self,
        store: Store,
        number: int,
        catalog: CatalogSource,
        clock: Callable[[], datetime],
        ids: IdSource,
        holder: str,
    ) -> None:
        self.number = number
        self.statistics = LaneStatistics()
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._ids = ids
        self._holder = holder
        self._lease: Lease | None = None
        self._clock_us = 0
        self._last_seq = 0
        self._indexed_seq = 0
        self._queue: deque[_Pending] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._states: dict[str, CustomerState] = {}
        self._recent: dict[tuple[str, str], None] = {}
        self._read_ids = 0

    @property
    def queued(self) -> int:
        """Weight of the commands that wait."""
        return self._queued

    @property
    def has_lease(self) -> bool:
        """Tell whether the lane may write."""
        return self._lease is not None

    async def start(self, wait_seconds: float) -> None:
        """Take the lease and begin to work."""
        await self._take_lease(wait_seconds)
        self._task = asyncio.create_task(self._run(), name=f"lane-{self.number}")

    async def stop(self) -> None:
        """Finish what is queued, let go of the lease."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._lease is not None:
            lease, self._lease = self._lease, None
            try:
                await release_lane(self._store, lease)
            except StoreUnavailable as error:
                log.warning("lease not released", lane=self.number, reason=str(error))

    def submit(
        self, command: Command, environment_id: int, weight: int = 1
    ) -> asyncio.Future[Answer]:
        """Queue a command. The future's result is its answer, once durable.

        The future raises `FaregateError` if the command is refused. Raises it at once (429) if
        the queue is full, (503) if the lane is closing.
        """
        if self._is_closing or self._task is None:
            raise unavailable("this process does not serve the database, or is stopping")
        if self._queued + weight > MAX_QUEUED:
            self.statistics.refused_overload += 1
            detail = f"{self._queued} commands are waiting, at most {MAX_QUEUED} may"
            raise FaregateError(Problem(OVERLOADED, detail, {}, RETRY_SECONDS))
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if not self._queue:
            self._wake.set()
        self._queue.append(_Pending(command, environment_id, future, weight))
        self._queued += weight
        return future

    async def _take_lease(self, wait_seconds: float) -> None:
        self._lease = None
        self._states.clear()
        self._recent.clear()
        lease = await take_lane(self._store, self.number, self._holder, wait_seconds)
        self._lease = lease
        self._last_seq = lease.last_seq
        self._indexed_seq = lease.indexed_seq
        self._clock_us = max(self._clock_us, lease.clock_us)
        # What an earlier holder booked is not among the recent ids.
        self._read_ids = READ_IDS_BATCHES

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._is_closing:
                    return
                await self._idle()
                continue
            batch = self._take_batch()
            try:
                await self._process(batch)
            except Exception:
                log.exception("batch failed", lane=self.number, commands=len(batch))
                self._states.clear()
                self._lease = None
                detail = "an unexpected fault: it is not known whether the request was applied"
                self._fail(batch, FaregateError(Problem(INTERNAL, detail)))
            if self._last_seq - self._indexed_seq >= INDEX_AT_LATEST:
                await self._index_events()

    async def _idle(self) -> None:
        """Wait for work; keep the lease alive and the index of events current meanwhile."""
        if await self._wakes(IDLE_SECONDS):
            return
        if self._last_seq - self._indexed_seq >= INDEX_WHEN_IDLE:
            await self._index_events()
        if not await self._wakes(LEASE_SECONDS / 3):
            await self._process([])

    async def _wakes(self, seconds: float) -> bool:
        """Wait for a command, or to be stopped; False if neither came in that time."""
        self._wake.clear()
        if self._queue or self._is_closing:
            return True
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _take_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        weight = 0
        queue = self._queue
        while queue and (not batch or weight + queue[0].weight <= MAX_BATCH):
            pending = queue.popleft()
            weight += pending.weight
            batch.append(pending)
        self._queued -= weight
        return batch

    def _fail(self, batch: list[_Pending], error: FaregateError) -> None:
        for pending in batch:
            if not pending.future.done():
                pending.future.set_exception(error)

    async def _process(self, batch: list[_Pending]) -> None:
        """Decide and commit a batch, again if the ground moved under it; then answer."""
        try:
            if self._lease is None:
                await self._take_lease(0)
            for _ in range(MAX_ATTEMPTS):
                outcome = await self._decide(batch)
                try:
                    await self._commit(outcome)
                except DuplicateKey:
                    # An id that the lane did not remember: read all of them, decide again.
                    self._states.clear()
                    self._read_ids = READ_IDS_BATCHES
                except FenceFailed:
                    self._states.clear()
                    await self._check_fence()
                else:
                    self._remember(outcome)
                    self._answer(batch, outcome)
                    return
            raise StoreUnavailable("the batch could not be decided: its keys keep changing")
        except StoreUnavailable as error:
            # Whether or not it was written, what was remembered may be wrong, and a statement
            # may still be on its way: a new epoch settles both.
            log.warning("commit failed", lane=self.number, reason=str(error))
            self._states.clear()
            self._lease = None
            self.statistics.failed_commits += 1
            self._fail(batch, unavailable("the database did not confirm the commit"))
        except FaregateError as error:
            self._lease = None
            self._fail(batch, error)

    async def _check_fence(self) -> None:
        """Find out why the fence failed: the catalog has moved on, or the lane is lost."""
        lease = next(lease for lease in await self._store.leases() if lease.lane == self.number)
        if self._lease is None or lease.epoch != self._lease.epoch:
            await self._take_lease(0)
        await self._catalog.refresh()

    async def _decide(self, batch: list[_Pending]) -> _Outcome:
        """Load what is missing and decide every command, each on the state the last one left."""
        now_us = max(self._clock_us, to_us(self._clock()))
        self._clock_us = now_us
        now = from_us(now_us)
        self._ids.tick(now)
        outcome = _Outcome(self._last_seq)
        known_events, known_transactions = await self._load(batch)
        states = outcome.states
        views: dict[int, CatalogView] = {}
        for pending in batch:
            command = pending.command
            customer_id = command.customer_id
            state = states.get(customer_id) or self._states[customer_id]
            events = known_events.get(customer_id)
            transactions = known_transactions.get(customer_id)
            known = (
                Known(events or {}, transactions or {}) if events or transactions else NOTHING_KNOWN
            )
            environment_id = pending.environment_id
            catalog = views.get(environment_id)
            if catalog is None:
                catalog = views[environment_id] = self._catalog.view(environment_id)
            try:
                decision = decide(state, known, command, catalog, now, self._ids)
            except Exception:
                # A fault of ours must not take the neighbours with it: nothing of it is kept.
                log.exception("command failed", lane=self.number, customer=customer_id)
                detail = "an unexpected fault; nothing was applied"
                decision = Decision(state, Problem(INTERNAL, detail))
            outcome.answers.append(decision.answer)
            if decision.state is state:
                continue
            states[customer_id] = decision.state
            outcome.rows.add(decision, environment_id, now, now_us)
            _learn(decision, known_events, known_transactions, outcome.ids)
        return outcome

    async def _load(
        self, batch: list[_Pending]
    ) -> tuple[dict[str, dict[str, BookedEvent]], dict[str, dict[str, BookedTransaction]]]:
        """Read states that are not in memory, and what is booked under the batch's keys.

        A key that the lane has not seen lately is taken for new: if it is not, the commit fails
        on it and the batch comes back with `_read_ids` set.
        """
        missing: dict[str, None] = {}
        event_keys: list[tuple[str, str]] = []
        transaction_keys: list[tuple[str, str]] = []
        read_all = self._read_ids > 0
        recent = self._recent
        for pending in batch:
            command = pending.command
            customer_id = command.customer_id
            if customer_id not in self._states:
                missing[customer_id] = None
            if isinstance(command, RecordEvents):
                for event in command.events:
                    key = (event.id, customer_id)
                    if read_all or key in recent:
                        event_keys.append(key)
            elif isinstance(command, (Adjust, Charge)):
                transaction_keys.append((command.request.transaction_id, customer_id))
        if self._read_ids:
            self._read_ids -= 1
        known_events: dict[str, dict[str, BookedEvent]] = {}
        known_transactions: dict[str, dict[str, BookedTransaction]] = {}
        if missing or event_keys or transaction_keys:
            customers = list(missing)
            loaded = await self._store.load(
                self.number,
                customers,
                list(dict.fromkeys(event_keys)),
                list(dict.fromkeys(transaction_keys)),
            )
            self._states.update(rows.read_customers(customers, loaded))
            for customer_id, booked in rows.read_events(loaded.events, loaded.fees):
                known_events.setdefault(customer_id, {})[booked.event.id] = booked
            for row in loaded.transactions:
                known_transactions.setdefault(row[1], {})[row[0]] = rows.read_transaction(row)
        return known_events, known_transactions

    async def _commit(self, outcome: _Outcome) -> None:
        lease = self._lease
        if lease is None:
            raise StoreUnavailable("the lane has no lease")
        until_us = lease_clock_us() + LEASE_SECONDS * 1_000_000
        started = asyncio.get_running_loop().time()
        await self._store.commit(
            LaneCommit(
                self.number,
                lease.epoch,
                self._catalog.epoch,
                outcome.rows.last_seq,
                self._clock_us,
                until_us,
                outcome.rows.lists(),
            )
        )
        self.statistics.commit_took(asyncio.get_running_loop().time() - started)

    def _remember(self, outcome: _Outcome) -> None:
        self._last_seq = outcome.rows.last_seq
        states = self._states
        for customer_id, state in outcome.states.items():
            states[customer_id] = state
        recent = self._recent
        for key in outcome.ids:
            recent[key] = None
        while len(states) > MAX_CUSTOMERS:
            del states[next(iter(states))]
        while len(recent) > MAX_RECENT_IDS:
            del recent[next(iter(recent))]

    def _answer(self, batch: list[_Pending], outcome: _Outcome) -> None:
        self.statistics.batch_done(len(batch), outcome.rows.events)
        for pending, answer in zip(batch, outcome.answers, strict=True):
            future = pending.future
            if future.done():
                continue
            if isinstance(answer, Problem):
                self.statistics.refused += 1
                future.set_exception(FaregateError(answer))
            else:
                future.set_result(answer)

    async def _index_events(self) -> None:
        """Write down which customer has the newest events; see `customer_events`.

        A failure costs nothing: readers look at what is not indexed yet by themselves.
        """
        if self._lease is None:
            return
        upto = min(self._last_seq, self._indexed_seq + 2 * INDEX_AT_LATEST)
        try:
            async with self._store.transaction() as transaction:
                mine = await transaction.fetch(
                    "UPDATE lanes SET indexed_seq = $1 "
                    "WHERE lane = $2 AND epoch = $3 RETURNING lane",
                    upto,
                    self.number,
                    self._lease.epoch,
                )
                if mine:
                    await transaction.fetch(
                        "INSERT INTO customer_events (lane, customer_id, seq) "
                        "SELECT lane, customer_id, seq FROM events "
                        "WHERE lane = $1 AND seq > $2 AND seq <= $3 ORDER BY customer_id, seq",
                        self.number,
                        self._indexed_seq,
                        upto,
                    )
            self._indexed_seq = upto
        except (StoreUnavailable, DuplicateKey) as error:
            log.warning("events not indexed", lane=self.number, reason=str(error))
            self._lease = None


def _learn(
    decision: Decision,
    known_events: dict[str, dict[str, BookedEvent]],
    known_transactions: dict[str, dict[str, BookedTransaction]],
    ids: list[tuple[str, str]],
) -> None:
    """Let the batch's later commands see what this one books."""
    customer_id = decision.state.customer_id
    if decision.events:
        events = known_events.get(customer_id)
        if events is None:
            events = known_events[customer_id] = {}
        for booked in decision.events:
            events[booked.event.id] = booked
            ids.append((booked.event.id, customer_id))
    transaction = decision.transaction
    if transaction is not None:
        transactions = known_transactions.setdefault(customer_id, {})
        transactions[transaction.request.transaction_id] = transaction
