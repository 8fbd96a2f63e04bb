"""Sends what is ready, at least once each: who sends what when, and what becomes of it.

A destination begins with one webhook at a time, and gets more with each that arrives, fewer after
a failure. Those that are slow, or do not answer, have room of their own, so that they take none
from the others. What has been sent is noted in batches, in the transactions that fan out, so that
charges wait for few of them.
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


class _Line(msgspec.Struct):
    """A destination in a lane: what waits in memory, what is under way (by position), and how the
    last attempts went. `more` is false if the database has nothing that is due and not here."""

    destination: Destination
    queue: deque[Ready] = msgspec.field(default_factory=deque)
    busy: set[int] = msgspec.field(default_factory=set)
    under_way: int = 0
    more: bool = True
    retry_at_us: int | None = None
    width: int = 1
    failures: int = 0
    paused_until_us: int = 0
    is_slow: bool = False


class _State(msgspec.Struct):
    """What is known of a lane."""

    lines: dict[str, _Line] = {}
    outbox_seq: int = 0
    version: int = -1
    results: list[Outcome] = []
    is_fresh: bool = True


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
                if not lane.has_lease:
                    self._states.pop(lane.number, None)
                    continue
                state = self._states.setdefault(lane.number, _State({}, results=[]))
                if is_time or state.is_fresh:
                    for line in state.lines.values():
                        line.more = True
                is_busy |= await self._write(lane.number, state)
                await self._start(lane.number, state)
        return is_busy

    async def _write(self, lane: int, state: _State) -> bool:
        """In one transaction: note outcomes, notice changes of destinations, fan out."""
        has_news = await fanning.has_news(self._store, lane, state.outbox_seq)
        if not (state.results or state.is_fresh or has_news):
            return False
        results, self._states[lane].results = state.results, []
        try:
            async with self._store.transaction() as queries:
                cursor = await deliveries.lock_lane(queries, lane)
                if cursor.version != state.version:
                    await self._reload(queries, state, cursor.version)
                changed = await self._record(queries, lane, state, results)
                now_us = self._clock()
                self._ids.tick(from_us(now_us))
                told = await fanning.fan_out(
                    queries, lane, cursor.outbox_seq, self._audience, self._ids, now_us
                )
        except BaseException:
            state.results = [*results, *state.results]
            state.version = -1
            raise
        if changed:
            # Seen by ourselves with the next turn.
            state.version = -1
        state.is_fresh = False
        state.outbox_seq = told.outbox_seq
        self._settle(state, results)
        for ready in told.ready:
            line = state.lines.get(ready.destination_id)
            if line is None:
                continue
            if not line.more and len(line.queue) < MAX_QUEUE:
                line.queue.append(ready)
            else:
                line.more = True
        return told.rows > 0 or changed

    async def _reload(self, queries: Queries, state: _State, version: int) -> None:
        found = await destinations.all_enabled(queries)
        self._audience = Audience(found, self._places)
        lines = {}
        for destination in found:
            line = state.lines.get(destination.id) or _Line(destination)
            if line.destination.url != destination.url:
                line.failures, line.paused_until_us, line.more = 0, 0, True
            line.destination = destination
            lines[destination.id] = line
        state.lines = lines
        state.version = version

    async def _record(
        self, queries: Queries, lane: int, state: _State, results: Sequence[Outcome]
    ) -> bool:
        """Write outcomes; returns whether a destination was disabled."""
        if not results:
            return False
        await deliveries.record(queries, lane, results)
        is_changed = False
        for outcome in results:
            line = state.lines.get(outcome.delivery.destination_id)
            if line is None:
                continue
            d = line.destination
            if not outcome.problem:
                if d.failing_since_us is not None:
                    d.failing_since_us = None
                    await destinations.set_failing_since(queries, d.id, None)
            elif d.failing_since_us is None:
                d.failing_since_us = outcome.at_us
                await destinations.set_failing_since(queries, d.id, outcome.at_us)
            elif outcome.at_us - d.failing_since_us >= GIVE_UP_SECONDS * 1_000_000:
                is_changed |= await self._disable(queries, d, outcome)
        if is_changed:
            await destinations.lock(queries)
        return is_changed

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
        """Forget what has been noted; where a line has moved, there is more to send."""
        for outcome in results:
            line = state.lines.get(outcome.delivery.destination_id)
            if line is None:
                continue
            line.busy.discard(outcome.delivery.position)
            if outcome.problem and outcome.delay_us is not None:
                at_us = outcome.at_us + outcome.delay_us
                line.retry_at_us = min(line.retry_at_us or at_us, at_us)
            else:
                line.more = True

    async def _start(self, lane: int, state: _State) -> None:
        now_us = self._clock()
        slow = sum(line.under_way for line in state.lines.values() if line.is_slow)
        quick = sum(line.under_way for line in state.lines.values() if not line.is_slow)
        for line in list(state.lines.values()):
            if line.retry_at_us is not None and line.retry_at_us <= now_us:
                line.retry_at_us, line.more = None, True
            if now_us < line.paused_until_us:
                continue
            while line.under_way < line.width:
                if (slow if line.is_slow else quick) >= MAX_AT_ONCE:
                    break
                if not line.queue and not (line.more and await self._refill(lane, line, now_us)):
                    break
                self._send(state, line, line.queue.popleft())
                if line.is_slow:
                    slow += 1
                else:
                    quick += 1

    async def _refill(self, lane: int, line: _Line, now_us: int) -> bool:
        """Read what is due for a destination; returns whether there was anything new."""
        limit = MAX_QUEUE + len(line.busy)
        found = await deliveries.ready_for(self._store, lane, line.destination.id, now_us, limit)
        line.more = len(found) == limit
        line.queue.extend([ready for ready in found if ready.position not in line.busy])
        if not line.more:
            due_us = await deliveries.next_due_us(self._store, lane, line.destination.id)
            if due_us is not None and due_us > now_us:
                line.retry_at_us = due_us
        return bool(line.queue)

    def _send(self, state: _State, line: _Line, ready: Ready) -> None:
        line.busy.add(ready.position)
        line.under_way += 1
        self._sent += 1
        task = asyncio.create_task(self._attempt(state, line, ready))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _attempt(self, state: _State, line: _Line, ready: Ready) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        timer = loop.call_later(SLOW_SECONDS, self._is_slow, line)
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
            line.is_slow = loop.time() - begun > SLOW_SECONDS
        state.results.append(Outcome(ready, at_us, answer.status, answer.problem, delay_us))
        self._wake.set()

    def _is_slow(self, line: _Line) -> None:
        line.is_slow = True
        line.width = 1
        # There is room now for those that are not.
        self._wake.set()

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
