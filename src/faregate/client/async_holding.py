"""Work under a hold, as an `async with` block; see `holding` for how it ends.

A task that is cancelled, as a web server does when its caller hangs up, still settles: the request
goes on in a task of its own, and closing the client waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar

from faregate.client.answers import Hold, HoldCaptured, HoldUpdated
from faregate.client.errors import FaregateClientError
from faregate.client.holding import HoldInUse, log, tell_unreleased, tell_unsettled
from faregate.client.requests import Request, extend, void
from faregate.client.transport import AsyncTransport
from faregate.client.using import Use

T = TypeVar("T")


class Background:
    """Tasks that outlive who waits for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for this; if the waiting is cancelled, the work is not."""
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin to do this."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Wait for all that is still being done."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class AsyncHeldWork(HoldInUse):
    """An `async with` block under a hold."""

    def __init__(self, use: Use, transport: AsyncTransport, background: Background) -> None:
        super().__init__(use)
        self._transport = transport
        self._background = background
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> AsyncHeldWork:
        self._begin()
        asking = self._background.start(self._transport.send(self._use.authorization))
        try:
            hold = await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._background.start(self._abandon(asking))
            raise
        self._use.begin(hold)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failure = await self._background.run(self._end(error))
        if failure is not None and error is None:
            raise failure

    async def _end(self, error: BaseException | None) -> FaregateClientError | None:
        """Settle, whether somebody still waits for it or not. Returns what went wrong."""
        try:
            await self._settle()
        except FaregateClientError as failure:
            tell_unsettled(failure, error)
            return failure
        return None

    async def settle(self) -> None:
        """Charge what was used and end the hold. The block's end does it; if that failed, it may be
        done again: what was charged already is not charged twice."""
        await self._background.run(self._settle())

    async def _settle(self) -> None:
        async with self._turn:
            await self._send_unanswered()
            settlement = self._use.settlement()
            if settlement is not None:
                captured = await self._transport.send(settlement)
                self._use.ended(captured)
                return
            try:
                self._use.ended(await self._release())
            except FaregateClientError as failure:
                tell_unreleased(failure, self._use.hold)

    async def _abandon(self, asking: asyncio.Task[Hold]) -> None:
        """Let go of a hold that was granted when nobody waited for it any more."""
        try:
            hold = await asking
            if hold.status != "declined":
                self._use.begin(hold)
                await self._settle()
        except FaregateClientError as failure:
            log.warning("a hold was asked for in vain: %s", failure)

    async def update(
        self, data: Mapping[str, Any] | None = None, *, amount: Decimal | int | None = None
    ) -> HoldUpdated:
        """Settle what was used so far and set the next slice aside, in one step.

        Say what the slice is expected to be: `data` of the hold's event type, or an `amount`. If
        the answer is `final`, finish: nothing more will be granted.
        """
        return await self._background.run(self._update(data, amount))

    async def _update(
        self, data: Mapping[str, Any] | None, amount: Decimal | int | None
    ) -> HoldUpdated:
        async with self._turn:
            await self._send_unanswered()
            return await self._send_update(self._use.next_slice(data, amount))

    async def _release(self) -> HoldCaptured | Hold:
        use = self._use
        if use.has_slices:
            return await self._transport.send(use.nothing_more())
        return await self._transport.send(void(use.customer_id, use.hold.id))

    async def _send_unanswered(self) -> None:
        """Learn what became of an update to which no answer came."""
        if self._use.unanswered is None:
            return
        try:
            await self._send_update(self._use.unanswered)
        except FaregateClientError:
            if self._use.unanswered is not None:
                raise

    async def _send_update(self, update: Request[HoldUpdated]) -> HoldUpdated:
        try:
            updated = await self._transport.send(update)
        except FaregateClientError as failure:
            self._use.not_sliced(failure, update)
            raise
        self._use.sliced(updated)
        return updated

    async def extend(self, expires_in_seconds: int) -> Hold:
        """Let the hold expire so many seconds from now, if that is later than it would."""
        use = self._use
        request = extend(use.customer_id, use.hold.id, expires_in_seconds)
        use.hold = await self._transport.send(request)
        return use.hold
