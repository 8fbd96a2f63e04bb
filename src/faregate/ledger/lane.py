"""A lane: one writer for a fixed share of the customers, one transaction at a time.

While a commit is on its way to the disk, the lane decides what has come in since, on top of what
that commit will have changed; when it has landed, its callers are answered and the next one goes
off at once. So the disk and the rules work side by side. There is no timer: an idle lane commits
a single command at once, a busy one grows its batches by itself.

What a commit did not confirm is never answered with success: its batch fails whole, and the one
that was decided on top of it is decided again.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Protocol

import structlog

from faregate.core.authorizing import may_go_on
from faregate.core.decision import Answer, Command
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import INTERNAL, OVERLOADED, UNAVAILABLE, FaregateError, Problem
from faregate.core.subscriptions import CatalogView
from faregate.ledger.batch import Batch, Moment, Pending
from faregate.ledger.event_index import AT_LATEST, WHEN_IDLE, EventIndex, read_missing
from faregate.ledger.lease import (
    LEASE_SECONDS,
    LaneHeld,
    lease_clock_us,
    release_lane,
    take_lane,
)
from faregate.ledger.memory import Memory
from faregate.ledger.statistics import LaneStatistics
from faregate.store.protocol import (
    BadRows,
    DuplicateKey,
    FenceFailed,
    LaneCommit,
    Lease,
    Store,
    StoreUnavailable,
)

MAX_QUEUED: Final = 20_000
"""Commands' weights (an event weighs 1) that may wait; more are refused with 429."""
RELIEVED: Final = MAX_QUEUED * 3 // 4
"""Once the queue was full, the lane counts as overloaded until no more than so much waits."""
MAX_BATCH: Final = 2_000
"""Weight of one transaction, so that nobody waits long behind a huge one."""
WORTH_A_COMMIT: Final = 24
"""A commit takes about as much work as deciding so many charges. With less at hand, the lane lets
the event loop turn once for those who are just arriving; with twice as much and the disk idle, it
sends half off first and decides the rest meanwhile."""
READ_IDS_BATCHES: Final = 100
"""After a repeat of an id that the lane had forgotten, ids are read first for so many batches."""
MAX_ATTEMPTS: Final = 5
CLOCK_JUMP_SECONDS: Final = 300
"""A clock that moves by so much more or less than time has passed is logged as an error. Charges
go on: the lane's own clock stands still until a clock that was set back has caught up."""
IDLE_SECONDS: Final = 0.1
"""A lane is idle when nothing came in for so long. An empty queue alone says nothing: callers who
have just been answered are about to send their next command."""
RETRY_SECONDS: Final = 1
STANDBY_SECONDS: Final = 0.25
"""A lane without its lease looks so often whether it can be had, also when nobody asks it to."""

log = structlog.get_logger(__name__)


class CatalogSource(Protocol):
    """Where a lane gets the catalog from."""

    epoch: int

    def view(self, environment_id: int) -> CatalogView:
        """Return the newest snapshot that this process knows."""
        ...

    async def refresh(self, *, for_lane: bool = False) -> None:
        """Read the catalog again; charges wait for it if it is `for_lane`."""
        ...


class Waiting(Protocol):
    """Who waits for customers' credit, as far as a lane must know it."""

    def among(self, customer_ids: Iterable[str]) -> Sequence[str]:
        """Return those of these customers for whom somebody waits."""
        ...

    def wake(self, customer_id: str) -> None:
        """Let all who wait for a customer ask again."""
        ...


def unavailable(detail: str) -> FaregateError:
    """Make the error that says: nothing is certain, send the same request again."""
    return FaregateError(Problem(UNAVAILABLE, detail, {}, RETRY_SECONDS))


class _Flight:
    """A batch whose commit is on its way, and the lease under which it was sent off."""

    __slots__ = ("batch", "lease", "task")

    def __init__(self, batch: Batch, task: asyncio.Task[None], lease: Lease | None) -> None:
        self.batch = batch
        self.task = task
        self.lease = lease


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
        waiting: Waiting,
    ) -> None:
        self.number = number
        self.statistics = LaneStatistics()
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._ids = ids
        self._holder = holder
        self._waiting = waiting
        self._lease: Lease | None = None
        self._clock_us = 0
        self._last_seq = 0
        self._index = EventIndex(0)
        self._queue: deque[Pending] = deque()
        self._queued = 0
        self._was_full = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._memory = Memory()
        self._read_ids = 0
        self._seen: tuple[int, int] | None = None

    # -- from outside -------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Weight of the commands that wait."""
        return self._queued

    @property
    def is_overloaded(self) -> bool:
        """Tell whether the queue was full, and has not emptied enough since then."""
        self._was_full = self._was_full and self._queued > RELIEVED
        return self._was_full

    def overloaded(self) -> FaregateError:
        """Count a refusal for want of room, and make the error that says it."""
        self.statistics.refused_overload += 1
        detail = f"{self._queued} commands are waiting, at most {MAX_QUEUED} may"
        return FaregateError(Problem(OVERLOADED, detail, {}, RETRY_SECONDS))

    def now(self) -> datetime:
        """Return the ledger's present instant, which never lies before one that it has used."""
        return max(self._clock(), from_us(self._clock_us))

    def follow(self, lease: Lease) -> None:
        """Take over the time of a lane that another process serves."""
        self._clock_us = max(self._clock_us, lease.clock_us)

    @property
    def has_lease(self) -> bool:
        """Tell whether the lane may write."""
        return self._lease is not None

    def may_write(self, lease: Lease) -> bool:
        """Tell whether this is the lease that the lane has: nobody else has taken it since."""
        return self._lease is not None and self._lease.epoch == lease.epoch

    async def start(self, wait_seconds: float, *, stands_by: bool = False) -> None:
        """Take the lease and begin to work.

        If another process holds it and this one `stands_by`, begin without it: commands are
        refused with 503 until it can be taken. Raises `LaneHeld` otherwise.
        """
        try:
            await self._take_lease(0 if stands_by else wait_seconds)
        except LaneHeld as error:
            if not stands_by:
                raise
            log.info("standing by", lane=self.number, reason=str(error))
        self._task = asyncio.create_task(self._run(), name=f"lane-{self.number}")

    async def stop(self) -> None:
        """Finish what is queued, let go of the lease."""
        self._is_closing = True
        self._wake.set()
        # Whoever is told not to wait any longer must not take the lane's work down with it.
        if self._task is not None:
            await asyncio.shield(self._task)
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
        if self._is_closing or self._task is None or self._task.done():
            raise unavailable("this process does not serve the database, or is stopping")
        if self._queued + weight > MAX_QUEUED:
            self._was_full = True
            raise self.overloaded()
        future: asyncio.Future[Answer] = self._task.get_loop().create_future()
        if not self._queue:
            self._wake.set()
        self._queue.append(Pending(command, environment_id, future, weight))
        self._queued += weight
        return future

    # -- the loop -----------------------------------------------------------------------------

    async def _run(self) -> None:
        """Work until the lane is closed and everything is answered."""
        flight: _Flight | None = None
        batch = Batch(self._memory, None)
        while True:
            try:
                flight, batch = await self._turn(flight, batch)
            except Exception:
                log.error("batch failed", lane=self.number, trace=traceback.format_exc())
                self._let_go()
                detail = "an unexpected fault: it is not known whether the request was applied"
                error = FaregateError(Problem(INTERNAL, detail))
                if flight is not None:
                    flight.task.cancel()
                    await asyncio.wait([flight.task])
                    _fail(flight.batch.pendings, error)
                _fail(batch.pendings, error)
                flight, batch = None, Batch(self._memory, None)
            if self._is_closing and flight is None and not (batch.pendings or self._queue):
                return

    async def _turn(self, flight: _Flight | None, batch: Batch) -> tuple[_Flight | None, Batch]:
        """Decide what came in, wait for what must be waited for, send off what is ready."""
        if flight is None:
            is_half_enough = self._queued >= 2 * WORTH_A_COMMIT
            await self._fill(batch, self._queued // 2 if is_half_enough else MAX_BATCH)
        elif not flight.task.done():
            if self._lease is flight.lease and self._has_room(batch):
                await self._fill(batch, MAX_BATCH)
            else:
                self._wake.clear()
                await self._wake.wait()
            return flight, batch
        elif not await self._land(flight):
            return None, self._put_back(batch)
        elif batch.weight >= WORTH_A_COMMIT:
            # The disk first: callers are answered while it works.
            batch.before = None
            launched = self._launch(batch)
            self._answer(flight.batch)
            return launched
        else:
            batch.before = None
            self._answer(flight.batch)
        if batch.weight < WORTH_A_COMMIT:
            await asyncio.sleep(0)
            await self._fill(batch, MAX_BATCH)
        if batch.pendings and self._lease is None:
            return None, self._put_back(batch)
        if batch.pendings:
            launched = self._launch(batch)
            # Let the commit begin before more is decided.
            await asyncio.sleep(0)
            return launched
        await self._idle()
        return None, batch

    async def _idle(self) -> None:
        """Wait for work; keep the lease alive and the index of events current meanwhile. Without
        a lease, wait for it as well."""
        if self._lease is None:
            if not await self._wakes(STANDBY_SECONDS):
                await self._try_to_take_over()
            return
        if await self._wakes(IDLE_SECONDS):
            return
        if await self._writes_index(WHEN_IDLE) and not await self._wakes(LEASE_SECONDS / 3):
            await self._commit_again([])
            # Nobody waits: the rest too, so that the end of every chain is kept.
            await self._writes_index(1)

    async def _writes_index(self, behind: int) -> bool:
        """Write the index of events if it is so many numbers behind; False if somebody came, who
        can carry on with it, or if it cannot be written now."""
        while self._index.begin(self._last_seq, behind):
            is_written = await self._commit_again([])
            if not is_written or self._queue or self._is_closing:
                return False
        return True

    async def _wakes(self, seconds: float) -> bool:
        """Wait for a command, or to be stopped; False if neither came in that time."""
        self._wake.clear()
        if self._queue or self._is_closing:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _has_room(self, batch: Batch) -> bool:
        """Tell whether the next command in the queue, if any, fits into the batch."""
        queue = self._queue
        return bool(queue) and (not batch.weight or batch.weight + queue[0].weight <= MAX_BATCH)

    def _take(self, batch: Batch, weight: int) -> list[Pending]:
        """Take commands from the queue that bring the batch to this weight, at least one if it
        is empty."""
        taken: list[Pending] = []
        queue, total = self._queue, batch.weight
        while queue and (not total or total + queue[0].weight <= weight):
            pending = queue.popleft()
            total += pending.weight
            taken.append(pending)
        self._queued -= total - batch.weight
        return taken

    def _put_back(self, batch: Batch) -> Batch:
        """Queue a batch's commands again, in front: what it was decided on does not stand.

        Returns an empty batch in its place.
        """
        self._queue.extendleft(reversed(batch.pendings))
        self._queued += batch.weight
        return Batch(self._memory, None)

    # -- deciding -----------------------------------------------------------------------------

    def _tick(self) -> int:
        """Bring the lane's clock forward; returns it. Logs a clock that has jumped."""
        clock_us, elapsed_us = to_us(self._clock()), round(time.monotonic() * 1_000_000)
        expected_us = clock_us if self._seen is None else self._seen[0] + elapsed_us - self._seen[1]
        if abs(clock_us - expected_us) > CLOCK_JUMP_SECONDS * 1_000_000:
            jump_seconds = (clock_us - expected_us) // 1_000_000
            ahead_seconds = max(0, self._clock_us - clock_us) // 1_000_000
            log.error(
                "the clock has jumped",
                lane=self.number,
                jump_seconds=jump_seconds,
                ledger_is_ahead_seconds=ahead_seconds,
            )
        self._seen = (clock_us, elapsed_us)
        self._clock_us = max(self._clock_us, clock_us)
        return self._clock_us

    async def _fill(self, batch: Batch, weight: int) -> None:
        """Decide commands from the queue until the batch has this weight.

        If the database cannot be read, those that were taken fail. Nothing is put on top of what
        was decided under a lease that is gone.
        """
        if self._lease is None and (batch.pendings or batch.before is not None):
            return
        pendings = self._take(batch, weight)
        if not pendings:
            return
        try:
            if self._lease is None:
                await self._take_lease(0)
            await self._decide(batch, pendings)
        except LaneHeld as error:
            _fail(pendings, error)
        except FaregateError as error:
            self._not_confirmed(pendings, error)
        except BaseException:
            _fail(pendings, FaregateError(Problem(INTERNAL, "an unexpected fault")))
            raise

    async def _decide(self, batch: Batch, pendings: list[Pending]) -> None:
        if not batch.pendings:
            batch.begin(self._last_seq, self._catalog.epoch)
        if not pendings:
            return
        doubtful = await self._decide_on(batch, pendings, reads_ids=self._read_ids > 0)
        while doubtful:
            try:
                doubtful = await self._decide_on(batch, doubtful, reads_ids=True)
            except FaregateError as error:
                self._not_confirmed(doubtful, error)
                return

    async def _decide_on(
        self, batch: Batch, pendings: list[Pending], *, reads_ids: bool
    ) -> list[Pending]:
        """Decide commands on what is in memory and what has to be read; see `Batch.decide`."""
        # As of before the reading: what is read belongs to these catalogs' limits.
        environments = {pending.environment_id for pending in pendings}
        views = {number: self._catalog.view(number) for number in environments}
        loaded = await batch.load(self._store, self.number, pendings, views, reads_ids=reads_ids)
        now_us = self._tick()
        now = from_us(now_us)
        self._ids.tick(now)
        moment = Moment(now, now_us, views)
        return batch.decide(pendings, loaded, moment, self._ids, has_read_ids=reads_ids)

    # -- committing ---------------------------------------------------------------------------

    def _launch(self, batch: Batch) -> tuple[_Flight, Batch]:
        """Send a batch off; returns it with the one that is decided meanwhile."""
        if self._read_ids:
            self._read_ids -= 1
        task = asyncio.ensure_future(self._commit(batch, self._lease))
        task.add_done_callback(lambda _: self._wake.set())
        return _Flight(batch, task, self._lease), Batch(self._memory, batch)

    async def _land(self, flight: _Flight) -> bool:
        """See what became of a batch whose commit has come back.

        True: it is durable, and to be answered. False: what was decided on top of it does not
        stand, because it was not written as it was decided, or because the lane was let go of
        meanwhile; its callers have been told.
        """
        batch = flight.batch
        try:
            flight.task.result()
        except (BadRows, DuplicateKey, FenceFailed) as error:
            await self._commit_again(batch.pendings, error)
            return False
        except StoreUnavailable as error:
            self._not_confirmed(batch.pendings, error)
            return False
        if self._lease is not flight.lease:
            self._answer(batch)
            return False
        self._remember(batch)
        return True

    async def _commit(self, batch: Batch, lease: Lease | None) -> None:
        if lease is None:
            raise StoreUnavailable("the lane has no lease")
        started = asyncio.get_running_loop().time()
        index = self._index
        carried = index.take(batch.rows.last_seq - self._last_seq)
        await self._store.commit(
            LaneCommit(
                self.number,
                lease.epoch,
                batch.catalog_epoch,
                batch.rows.last_seq,
                self._clock_us,
                lease_clock_us() + LEASE_SECONDS * 1_000_000,
                index.seq_after,
                {**batch.rows.lists(), **carried},
            )
        )
        if index.landed() and self._index is index:
            self._memory.settle(index.indexed_seq)
        self.statistics.commit_took(asyncio.get_running_loop().time() - started)

    async def _commit_again(self, pendings: list[Pending], reason: Exception | None = None) -> bool:
        """Decide commands anew, with nothing else on its way, and commit until it holds.

        `reason` says why nothing was written the last time. False: the database does not confirm.
        """
        try:
            for _ in range(MAX_ATTEMPTS):
                if isinstance(reason, BadRows):
                    return await self._commit_each(pendings, reason)
                if reason is not None:
                    await self._recover(reason)
                if self._lease is None:
                    await self._take_lease(0)
                batch = Batch(self._memory, None)
                await self._decide(batch, pendings)
                try:
                    await self._commit(batch, self._lease)
                except (BadRows, DuplicateKey, FenceFailed) as error:
                    reason = error
                else:
                    self._answer(batch)
                    self._remember(batch)
                    return True
            raise StoreUnavailable("the batch could not be decided: its keys keep changing")
        except FaregateError as error:
            self._not_confirmed(pendings, error)
            return False

    async def _commit_each(self, pendings: list[Pending], reason: BadRows) -> bool:
        """Commit commands one by one, so that only the one fails whose rows are refused.

        When the database does not answer any more, the rest is not tried one by one as well.
        """
        if len(pendings) == 1:
            log.error("rows refused", lane=self.number, reason=str(reason))
            detail = "an unexpected fault; nothing was applied"
            _fail(pendings, FaregateError(Problem(INTERNAL, detail)))
            return True
        for number, pending in enumerate(pendings, 1):
            if not await self._commit_again([pending]):
                rest = pendings[number:]
                self._not_confirmed(rest, unavailable("the database did not confirm a commit"))
                return False
        return True

    async def _recover(self, reason: Exception) -> None:
        """Find out why nothing was written: a repeat, a newer catalog, or a lost lane."""
        if isinstance(reason, DuplicateKey):
            # An id that the lane did not remember: read all of them, decide again.
            self._read_ids = READ_IDS_BATCHES
            return
        lease = next(lease for lease in await self._store.leases() if lease.lane == self.number)
        if self._lease is None or lease.epoch != self._lease.epoch:
            await self._take_lease(0)
        await self._catalog.refresh(for_lane=True)

    def _remember(self, batch: Batch) -> None:
        for customer_id in self._waiting.among(batch.states):
            before = self._memory.states.get(customer_id)
            if before is None or may_go_on(before, batch.states[customer_id]):
                self._waiting.wake(customer_id)
        self._last_seq = batch.rows.last_seq
        self._memory.learn(
            batch.states, batch.heads, batch.booked.names(), batch.counters, batch.tiers
        )
        self._index.add(batch.rows.numbered_events, batch.rows.numbered_holds, batch.heads)
        self._index.begin(self._last_seq, AT_LATEST)

    def _answer(self, batch: Batch) -> None:
        """Answer everybody: what was decided is durable now."""
        self.statistics.batch_done(len(batch.pendings), len(batch.rows.events))
        for pending, answer in zip(batch.pendings, batch.answers, strict=True):
            future = pending.future
            if future.done():
                continue
            if isinstance(answer, Problem):
                self.statistics.refused += 1
                future.set_exception(FaregateError(answer))
            else:
                future.set_result(answer)

    def _not_confirmed(self, pendings: list[Pending], error: FaregateError) -> None:
        """Fail commands of which it is not known whether they were booked.

        What was remembered may be wrong, and a statement may still be on its way: a new epoch
        settles both.
        """
        log.warning("commit failed", lane=self.number, reason=str(error))
        self.statistics.failed_commits += 1
        self._let_go()
        if isinstance(error, StoreUnavailable):
            # The inside's own words (hosts, files) are for the log.
            error = unavailable("the database did not confirm the commit")
        _fail(pendings, error)

    # -- the lease ----------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Believe nothing any more until the lease is taken anew."""
        self._memory.forget()
        self._lease = None

    async def _take_lease(self, wait_seconds: float) -> None:
        self._let_go()
        lease = await take_lane(self._store, self.number, self._holder, wait_seconds)
        index = await read_missing(self._store, lease)
        self._memory.begin(lease.indexed_seq, index.heads)
        self._index = index
        self._lease = lease
        self._last_seq = lease.last_seq
        self._clock_us = max(self._clock_us, lease.clock_us)
        # What an earlier holder booked is not among the recent ids.
        self._read_ids = READ_IDS_BATCHES

    async def _try_to_take_over(self) -> None:
        """Take the lease if nobody else has it, without a word if somebody has."""
        with suppress(FaregateError):
            await self._take_lease(0)
            log.info("took over", lane=self.number)


def _fail(pendings: list[Pending], error: FaregateError) -> None:
    for pending in pendings:
        if not pending.future.done():
            pending.future.set_exception(error)
