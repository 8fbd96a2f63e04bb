"""Events that nobody waits for, sent in batches by a task; see `batcher` for what is promised.

    async with client.events() as events:
        await events.add(customer, new_event("llm", {"tokens": 12}))

A program that ends with events still queued has no loop left to send them in: they are then sent
the blocking way.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Awaitable, Callable
from types import TracebackType

from faregate.client.answers import BookedResult, ProblemDetails
from faregate.client.backlog import Backlog, Batch, EventsUndelivered, QueueFull
from faregate.client.batcher import Batcher
from faregate.client.batching import Batching, payer_of
from faregate.client.errors import FaregateClientError, unknown
from faregate.client.transport import AsyncTransport, Transport, log
from faregate.core.events import UsageEvent

Wait = Callable[[asyncio.Condition, float], Awaitable[object]]
"""Waits on a condition, at most so many seconds."""


async def wait(condition: asyncio.Condition, seconds: float) -> None:
    """Wait on a condition, at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await condition.wait()
    except TimeoutError:
        return


class AsyncBatcher:
    """Sends events in batches, from a task of its own."""

    def __init__(
        self,
        transport: AsyncTransport,
        batching: Batching,
        blocking: Callable[[], Transport],
        wait: Wait = wait,
    ) -> None:
        self._transport = transport
        self._batching = batching
        self._blocking = blocking
        self._wait = wait
        self._backlog = Backlog(batching.max_queued, batching.max_batch_bytes)
        self._lock = asyncio.Lock()
        self._work = asyncio.Condition(self._lock)
        self._due = asyncio.Condition(self._lock)
        self._room = asyncio.Condition(self._lock)
        self._sending = asyncio.Lock()
        self.is_closed = False
        self._task: asyncio.Task[None] | None = None
        atexit.register(self._at_exit)

    async def __aenter__(self) -> AsyncBatcher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except EventsUndelivered as undelivered:
            if error is None:
                raise
            undelivered.tell(error)

    async def add(
        self, customer_id: str | None, event: UsageEvent, *, external_id: str | None = None
    ) -> None:
        """Queue an event. Raises `FaregateClientError` where the API would refuse it, `QueueFull`,
        and `EventsUndelivered` where what could not be delivered has filled the queue."""
        payer = payer_of(customer_id, external_id)
        async with self._lock:
            self._refuse_if_closed()
            if self._task is None:
                self._task = asyncio.create_task(self._run())
            while self._backlog.is_full:
                await self._make_room()
            self._backlog.put(payer, event)
            self._work.notify()
            if self._is_due():
                self._due.notify()

    def _is_due(self) -> bool:
        """Tell whether a batch is to be sent before the interval ends."""
        return self._backlog.queued >= self._batching.flush_at or self._backlog.is_full

    def _refuse_if_closed(self) -> None:
        if self.is_closed:
            raise RuntimeError("the batcher is closed: make another one")

    async def _make_room(self) -> None:
        undelivered = self._backlog.take_undelivered()
        if undelivered:
            raise EventsUndelivered(undelivered)
        if self._batching.when_full == "raise":
            raise QueueFull(self._batching.max_queued)
        await self._room.wait()
        self._refuse_if_closed()

    async def flush(self) -> None:
        """Send all that is queued and wait for the answers. Raises `EventsUndelivered`."""
        problem = await self._send_all()
        if problem is not None:
            self._backlog.give_up_all(problem)
        await self._hand_over(must_raise=True)

    async def close(self) -> None:
        """Send all that is queued and end. Raises `EventsUndelivered`. A repeat is harmless."""
        async with self._lock:
            self.is_closed = True
            for condition in (self._work, self._due, self._room):
                condition.notify_all()
        if self._task is not None:
            await self._task
        await self.flush()
        atexit.unregister(self._at_exit)

    async def _run(self) -> None:
        must_pause = False
        while True:
            async with self._lock:
                while not self._backlog.queued and not self.is_closed:
                    await self._work.wait()
                if not self.is_closed and (must_pause or not self._is_due()):
                    await self._wait(self._due, self._batching.flush_every_seconds)
                if self.is_closed:
                    return
            must_pause = await self._send_all() is not None
            try:
                await self._hand_over(must_raise=False)
            except Exception:
                log.exception("on_undelivered failed")

    async def _send_all(self) -> ProblemDetails | None:
        """Send batches until none is left, or until nobody answers. Returns why it stopped."""
        async with self._sending:
            while (batch := self._backlog.take()) is not None:
                answer: list[BookedResult] | FaregateClientError | None = None
                try:
                    answer = await self._sent(batch)
                finally:
                    if answer is None:
                        self._backlog.recall(batch)
                if isinstance(answer, list):
                    self._backlog.delivered(batch, answer)
                elif self._backlog.failed(batch, answer):
                    return answer.problem
                async with self._lock:
                    self._room.notify_all()
            return None

    async def _sent(self, batch: Batch) -> list[BookedResult] | FaregateClientError:
        try:
            return batch.read(await self._transport.send(batch.request()))
        except FaregateClientError as failure:
            return failure
        except Exception as error:
            log.exception("a batch of events could not be sent")
            return unknown(error)

    async def _hand_over(self, *, must_raise: bool) -> None:
        """Hand over what could not be delivered."""
        callback = self._batching.on_undelivered
        if callback is None and not must_raise:
            return
        undelivered = self._backlog.take_undelivered()
        if not undelivered:
            return
        async with self._lock:
            self._room.notify_all()
        if callback is None:
            raise EventsUndelivered(undelivered)
        callback(undelivered)

    def _at_exit(self) -> None:
        """Send what is left without a loop."""
        self._backlog.recall_all()
        if not self._backlog.queued:
            return
        transport = self._blocking()
        try:
            Batcher(transport, self._batching, backlog=self._backlog).close()
        finally:
            transport.close()
