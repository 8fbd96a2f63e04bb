"""Sends what is ready, at least once each: who sends what when, and what becomes of it.

A destination begins with one webhook at a time, and gets more with each that arrives, fewer after
a failure. Those that are slow, or do not answer, have room of their own, so that they take none
from the others. Whoever waits for room gets it in turn, one webhook at a time, as soon as there is
some. What has been sent is noted in batches, in the transactions that fan out, so that charges wait
for few of them.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from faregate.core.ids import IdSource
from faregate.core.instants import from_us
from faregate.core.problems import FaregateError
from faregate.store.protocol import Queries, Store
from faregate.webhooks import deliveries, destinations, fanning, pruning
from faregate.webhooks.deliveries import Outcome, Ready
from faregate.webhooks.destinations import Destination
from faregate.webhooks.fanning import Audience, Place
from faregate.webhooks.posting import Answer
from faregate.webhooks.retrying import GIVE_UP_SECONDS, next_delay_us, pause_us
from faregate.webhooks.signing import sign

POLL_SECONDS: Final = 0.2
"""How often it is looked whether a lane has told something."""
LOOK_AGAIN_SECONDS: Final = 15.0
"""How often it is looked whether another process has put something on its way."""
GATHER_SECONDS: Final = 0.05
"""For how long outcomes are gathered while more are to come, and so many are enough."""
GATHER_COUNT: Final = 200
PRUNE_SECONDS: Final = 60.0
SLOW_SECONDS: Final = 1.0
"""A destination that takes longer shares the room of those that are slow."""
MAX_AT_ONCE: Final = 256
"""Webhooks under way to destinations that are not slow, and to those that are, each."""
MAX_WIDTH: Final = 8
"""Webhooks under way to one destination."""
MAX_QUEUE: Final = 32
"""Webhooks to one destination that are kept in memory until it has room."""

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Answer]]
Clock = Callable[[], int]

log = structlog.get_logger(__name__)


class Lane(Protocol):
    """A lane, of which it matters only which one it is and whether it is this process's."""

    number: int

    @property
    def has_lease(self) -> bool:
        """Tell whether the lane is this process's."""
        ...


class _Line(msgspec.Struct, eq=False):
    """A destination in a lane: what waits in memory, what is under way (by position), and how the
    last attempts went. `more` is false if the database has nothing that is due and not here."""

    destination: Destination
    state: _State
    queue: deque[Ready] = msgspec.field(default_factory=deque)
    busy: set[int] = msgspec.field(default_factory=set)
    under_way: int = 0
    more: bool = False
    retry_at_us: int | None = None
    width: int = 1
    failures: int = 0
    paused_until_us: int = 0
    is_slow: bool = False
    is_gone: bool = False

    def may_send(self, now_us: int) -> bool:
        """Tell whether it has something to send, and is to be sent it now."""
        has_place = bool(self.queue) and self.under_way < self.width
        return has_place and not self.is_gone and now_us >= self.paused_until_us

    def give(self, ready: Ready) -> None:
        """Take what is ready into memory, or know that there is more in the database."""
        if not self.more and len(self.queue) < MAX_QUEUE:
            self.queue.append(ready)
        else:
            self.more = True


class _State(msgspec.Struct, eq=False):
    """What is known of a lane. `looks`: it is to be looked in the database what is due."""

    lane: Lane
    lines: dict[str, _Line] = {}
    outbox_seq: int = 0
    version: int = -1
    results: list[Outcome] = []
    is_fresh: bool = True
    looks: bool = True

    def forget(self) -> None:
        """Send nothing more of what is in memory."""
        for line in self.lines.values():
            line.is_gone = True


class _Room(msgspec.Struct, eq=False):
    """How many webhooks are under way, and the lines that wait for room, in their order."""

    under_way: int = 0
    waiting: dict[_Line, None] = {}


class Sender:
    """Fans out and sends, for the lanes that this process serves. `clock` returns microseconds
    since 1970 UTC; `luck` random numbers from 0 to 1."""

    def __init__(
        self,
        store: Store,
        lanes: Sequence[Lane],
        places: Callable[[], Awaitable[Sequence[Place]]],
        post: Post,
        clock: Clock,
        ids: IdSource,
        luck: Callable[[], float],
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._places = places
        self._post = post
        self._clock = clock
        self._ids = ids
        self._luck = luck
        self._states: dict[int, _State] = {}
        self._audience = Audience([], places)
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._attempts: set[asyncio.Task[None]] = set()
        self._quick, self._slow = _Room(), _Room()
        self._sent = 0
        self._looked_at = 0.0
        self._pruned_at = 0.0

    def wake(self) -> None:
        """Say that something was put on its way."""
        for state in self._states.values():
            state.is_fresh = True
        self._wake.set()

    async def close(self) -> None:
        """Stop; what is under way counts as not sent."""
        for state in self._states.values():
            state.forget()
        for task in self._attempts:
            task.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)

    async def run(self) -> None:
        """Fan out and send for ever."""
        while True:
            try:
                is_busy = await self.turn()
                await self._prune()
            except FaregateError as error:
                log.warning("webhooks wait", reason=str(error))
                is_busy = False
                await asyncio.sleep(1)
            except Exception:
                log.error("webhooks failed", trace=traceback.format_exc())
                is_busy = False
                await asyncio.sleep(1)
            if not is_busy:
                await self._rest(POLL_SECONDS)

    async def drain(self) -> int:
        """Fan out and send until nothing is due any more; returns how many were sent."""
        before = self._sent
        self.wake()
        while True:
            self._wake.clear()
            is_busy = await self.turn()
            if not is_busy and not self._attempts and not self._has_results():
                return self._sent - before
            if not is_busy:
                await self._rest(POLL_SECONDS)

    def _has_results(self) -> bool:
        return any(state.results for state in self._states.values())

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        is_more_to_come = self._quick.under_way > 0
        noted = sum(len(state.results) for state in self._states.values())
        if is_more_to_come and 0 < noted < GATHER_COUNT:
            await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()

    async def turn(self) -> bool:
        """Note what has been sent, fan out, and send what there is room for; returns whether there
        was anything to fan out."""
        now = asyncio.get_running_loop().time()
        is_time = now - self._looked_at > LOOK_AGAIN_SECONDS
        if is_time:
            self._looked_at = now
        is_busy = False
        async with self._turn:
            for lane in self._lanes:
                state = self._states.get(lane.number)
                if not lane.has_lease:
                    if state is not None:
                        state.forget()
                        del self._states[lane.number]
                    continue
                if state is None:
                    state = self._states[lane.number] = _State(lane)
                state.looks |= is_time or state.is_fresh
                is_busy |= await self._write(lane.number, state)
                await self._start(lane.number, state)
        return is_busy

    async def _write(self, lane: int, state: _State) -> bool:
        """In one transaction: note outcomes, notice changes of destinations, fan out."""
        has_news = await fanning.has_news(self._store, lane, state.outbox_seq)
        if not (state.results or state.is_fresh or has_news):
            return False
        results, state.results = state.results, []
        try:
            async with self._store.transaction() as queries:
                cursor = await deliveries.lock_lane(queries, lane)
                if cursor.version != state.version:
                    await self._reload(queries, state, cursor.version)
                moved, changed = await self._record(queries, lane, state, results)
                now_us = self._clock()
                self._ids.tick(from_us(now_us))
                told = await fanning.fan_out(
                    queries, lane, cursor.outbox_seq, self._audience, self._ids, now_us
                )
        except BaseException:
            state.results = [*results, *state.results]
            # It may have been written all the same.
            state.version, state.looks = -1, True
            raise
        if changed:
            # Seen by ourselves with the next turn.
            state.version = -1
        state.is_fresh = False
        state.outbox_seq = told.outbox_seq
        self._settle(state, results)
        for ready in (*moved, *told.ready):
            if (line := state.lines.get(ready.destination_id)) is not None:
                line.give(ready)
        return told.rows > 0 or changed

    async def _reload(self, queries: Queries, state: _State, version: int) -> None:
        found = await destinations.all_enabled(queries)
        self._audience = Audience(found, self._places)
        lines = {}
        for destination in found:
            line = state.lines.get(destination.id)
            if line is None:
                line, state.looks = _Line(destination, state), True
            if line.destination.url != destination.url:
                line.failures, line.paused_until_us, line.more = 0, 0, True
            line.destination = destination
            lines[destination.id] = line
        for name, line in state.lines.items():
            line.is_gone = name not in lines
        state.lines = lines
        state.version = version

    async def _record(
        self, queries: Queries, lane: int, state: _State, results: Sequence[Outcome]
    ) -> tuple[list[Ready], bool]:
        """Write outcomes; returns what has moved up, and whether a destination was disabled."""
        if not results:
            return [], False
        moved = await deliveries.record(queries, lane, results)
        is_changed = False
        failing: dict[str, int | None] = {}
        for outcome in results:
            line = state.lines.get(outcome.delivery.destination_id)
            if line is None:
                continue
            d = line.destination
            if not outcome.problem:
                if d.failing_since_us is not None:
                    d.failing_since_us = failing[d.id] = None
            elif d.failing_since_us is None:
                d.failing_since_us = failing[d.id] = outcome.at_us
            elif outcome.at_us - d.failing_since_us >= GIVE_UP_SECONDS * 1_000_000:
                is_changed |= await self._disable(queries, d, outcome)
        await destinations.set_failing_since(queries, failing)
        if is_changed:
            await destinations.lock(queries)
        return moved, is_changed

    async def _disable(self, queries: Queries, d: Destination, outcome: Outcome) -> bool:
        since = from_us(d.failing_since_us or outcome.at_us)
        reason = (
            f"nothing has arrived since {since:%Y-%m-%d %H:%M} UTC; at last it {outcome.problem}"
        )
        if not await destinations.disable(queries, d.id, reason, outcome.at_us):
            return False
        log.error("webhook destination disabled", destination=d.id, reason=reason)
        return True

    def _settle(self, state: _State, results: Sequence[Outcome]) -> None:
        """Forget what has been noted."""
        for outcome in results:
            line = state.lines.get(outcome.delivery.destination_id)
            if line is None:
                continue
            line.busy.discard(outcome.delivery.position)
            if outcome.problem and outcome.delay_us is not None:
                at_us = outcome.at_us + outcome.delay_us
                line.retry_at_us = min(line.retry_at_us or at_us, at_us)

    async def _look(self, lane: int, state: _State) -> None:
        """See in one read what is due of each destination, and when."""
        state.looks = False
        due = await deliveries.due_by_destination(self._store, lane)
        now_us = self._clock()
        for name, at_us in due.items():
            line = state.lines.get(name)
            if line is None:
                continue
            if at_us <= now_us:
                line.more = True
            else:
                line.retry_at_us = min(line.retry_at_us or at_us, at_us)

    async def _start(self, lane: int, state: _State) -> None:
        if state.looks:
            await self._look(lane, state)
        now_us = self._clock()
        for line in list(state.lines.values()):
            if line.retry_at_us is not None and line.retry_at_us <= now_us:
                line.retry_at_us, line.more = None, True
            if now_us < line.paused_until_us:
                continue
            if line.more and not line.queue and line.under_way < line.width:
                await self._refill(lane, line, now_us)
            self._offer(line, now_us)
        self._fill(self._quick)
        self._fill(self._slow)

    async def _refill(self, lane: int, line: _Line, now_us: int) -> None:
        """Read what is due for a destination."""
        limit = MAX_QUEUE + len(line.busy)
        found = await deliveries.ready_for(self._store, lane, line.destination.id, now_us, limit)
        line.more = len(found) == limit
        line.queue.extend([ready for ready in found if ready.position not in line.busy])
        if not line.more:
            due_us = await deliveries.next_due_us(self._store, lane, line.destination.id)
            if due_us is not None and due_us > now_us:
                line.retry_at_us = due_us

    def _room(self, line: _Line) -> _Room:
        return self._slow if line.is_slow else self._quick

    def _offer(self, line: _Line, now_us: int) -> None:
        """Let a line that has something to send wait for room."""
        if line.may_send(now_us):
            self._room(line).waiting.setdefault(line)

    def _fill(self, room: _Room) -> None:
        """Send while there is room, from each line that waits one after the other."""
        now_us = self._clock()
        while room.waiting and room.under_way < MAX_AT_ONCE:
            line = next(iter(room.waiting))
            del room.waiting[line]
            if line.may_send(now_us) and line.state.lane.has_lease:
                self._send(line, line.queue.popleft())
                self._offer(line, now_us)

    def _send(self, line: _Line, ready: Ready) -> None:
        line.busy.add(ready.position)
        line.under_way += 1
        self._room(line).under_way += 1
        self._sent += 1
        task = asyncio.create_task(self._attempt(line, ready))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _attempt(self, line: _Line, ready: Ready) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        timer = loop.call_later(SLOW_SECONDS, self._found_slow, line)
        d, body, now_us = line.destination, ready.body.encode(), self._clock()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Faregate-Webhooks/1",
            **sign(d.secrets(now_us), ready.event_id, now_us // 1_000_000, body),
        }
        try:
            answer = await self._post(d.url, headers, body)
        except Exception as error:
            log.error("a webhook could not be sent", trace=traceback.format_exc())
            answer = Answer(None, f"could not be sent: {type(error).__name__}")
        finally:
            timer.cancel()
            line.under_way -= 1
            self._room(line).under_way -= 1
        at_us = self._clock()
        attempts = ready.attempts + 1
        delay_us = next_delay_us(attempts, self._luck()) if answer.problem else None
        if answer.problem:
            line.failures += 1
            line.width = 1
            line.paused_until_us = at_us + pause_us(line.failures)
        else:
            line.failures, line.paused_until_us = 0, 0
            line.width = min(MAX_WIDTH, line.width * 2)
            self._move(line, is_slow=loop.time() - begun > SLOW_SECONDS)
        line.state.results.append(Outcome(ready, at_us, answer.status, answer.problem, delay_us))
        self._wake.set()
        self._offer(line, at_us)
        self._fill(self._quick)
        self._fill(self._slow)

    def _found_slow(self, line: _Line) -> None:
        line.width = 1
        self._move(line, is_slow=True)
        # There is room now for those that are not.
        self._fill(self._quick)

    def _move(self, line: _Line, *, is_slow: bool) -> None:
        """Let a line have room of the one kind or the other."""
        if line.is_slow == is_slow:
            return
        before = self._room(line)
        before.under_way -= line.under_way
        before.waiting.pop(line, None)
        line.is_slow = is_slow
        self._room(line).under_way += line.under_way
        self._offer(line, self._clock())

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._pruned_at < PRUNE_SECONDS:
            return
        for lane in self._lanes:
            if lane.has_lease:
                async with self._store.transaction() as queries:
                    is_more = await pruning.prune(queries, lane.number, self._clock())
                if is_more:
                    return
        self._pruned_at = now
