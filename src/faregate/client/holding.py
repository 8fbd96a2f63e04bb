"""Work under a hold, as a `with` block: asked for on the way in, settled on the way out.

    with client.hold(customer, event_type="llm", data={"tokens": 500}) as hold:
        answer = model(prompt)
        hold.use(tokens=answer.tokens)

However the block ends, what was used by then is captured, because it has happened: also when an
exception ends it. A block in which nothing was used voids its hold. An exception passes on as it
is; if the capture fails as well, the log and a note on the exception say so.

On asyncio, a task that is cancelled, as a web server does when its caller hangs up, still settles:
the request goes on in a task of its own, and closing the client waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar

from faregate.client.errors import FaregateClientError
from faregate.client.slices import Data, Pace
from faregate.client.transport import AsyncTransport, Steps, Transport
from faregate.client.use import Use
from faregate.core.costs import Cost
from faregate.customers.types import Hold
from faregate.customers.wire import HoldCaptured, HoldUpdated

T = TypeVar("T")

log = logging.getLogger("faregate.client")


class HoldInUse:
    """What a `hold` block is given; the same for both clients but for what must wait."""

    def __init__(self, use: Use) -> None:
        self._use = use
        self._is_entered = False

    @property
    def id(self) -> str:
        """The hold's id, e.g. as the `parent_id` of the holds of a run."""
        return self._use.hold.id

    @property
    def hold(self) -> Hold:
        """The hold, as of its last answer."""
        return self._use.hold

    @property
    def captured(self) -> HoldCaptured | None:
        """What the last capture charged, after the block; None if nothing was captured."""
        return self._use.captured

    @property
    def final(self) -> HoldUpdated | None:
        """The answer that said that no more will be granted, with `final_action` and
        `top_up_needed`; None as long as none has."""
        return self._use.final

    def use(self, data: Data | None = None, /, **more: Any) -> None:
        """Say that this was used: numbers are added up, other values replace what was there.

        What the hold's own `data` says in words (a model's name) is in the event already.
        """
        self._use.add({**(data or {}), **more})

    def use_amount(self, amount: Decimal | int) -> None:
        """Say that this amount of whole assets was used, instead of an event's data."""
        self._use.add_amount(amount)

    def cost(self, cost: Cost) -> None:
        """Say what a vendor charges you for it; it goes into the event."""
        self._use.add_cost(cost)

    def _enter(self) -> None:
        if self._is_entered:
            raise RuntimeError("a hold is used once: ask for another one")
        self._is_entered = True

    def _tell(self, failure: BaseException, error: BaseException | None) -> None:
        """Say that what was used could not be captured; also on the exception that passes on."""
        log.error("what was used under hold %s could not be captured: %s", self.id, failure)
        if error is not None:
            error.add_note(f"What was used until then could not be captured: {failure}")


class HeldWork(HoldInUse):
    """A `with` block under a hold. Threads may share it: its requests go one after the other."""

    def __init__(self, use: Use, transport: Transport) -> None:
        super().__init__(use)
        self._transport = transport
        self._turn = threading.Lock()

    def _run(self, steps: Steps[T]) -> T:
        with self._turn:
            return self._transport.run(steps)

    def __enter__(self) -> HeldWork:
        self._enter()
        self._run(self._use.begin())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.settle()
        except FaregateClientError as failure:
            self._tell(failure, error)
            if error is None:
                raise
        except BaseException as interrupt:
            self._tell(interrupt, error)
            raise

    def settle(self) -> None:
        """Charge what was used and end the hold. The block's end does it; if that failed, it may be
        done again: what was charged already is not charged twice."""
        self._run(self._use.settle())

    def update(
        self, data: Data | None = None, *, amount: Decimal | int | None = None
    ) -> HoldUpdated:
        """Settle what was used so far and set the next slice aside, in one step.

        Say what the slice is expected to be: `data` of the hold's event type, or an `amount`. If
        the answer is `final`, finish: nothing more will be granted.
        """
        return self._run(self._use.update(data, amount))

    def extend(self, expires_in_seconds: int) -> Hold:
        """Let the hold expire so many seconds from now, if that is later than it would."""
        return self._run(self._use.extend(expires_in_seconds))

    def stream(
        self, items: Iterable[T], usage: Callable[[T], Data | None], *, slice: Data | None = None
    ) -> Iterator[T]:
        """Pass on what a model streams, paid slice by slice: `usage` finds what an item used.

        A slice is what the hold was asked for (or `slice`). When one is used up, the next is asked
        for; when no more is granted the items end, and `final` says why.
        """
        pace = Pace(self._use, slice)
        with ExitStack() as stack:
            if hasattr(items, "close"):
                stack.callback(items.close)
            for item in items:
                pace.count(usage(item))
                yield item
                if pace.is_used_up() and self.update(pace.slice).final:
                    return


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
    """An `async with` block under a hold. Tasks may share it."""

    def __init__(self, use: Use, transport: AsyncTransport, background: Background) -> None:
        super().__init__(use)
        self._transport = transport
        self._background = background
        self._turn = asyncio.Lock()

    async def _run(self, steps: Steps[T]) -> T:
        async def work() -> T:
            async with self._turn:
                return await self._transport.run(steps)

        return await self._background.run(work())

    async def __aenter__(self) -> AsyncHeldWork:
        self._enter()
        try:
            await self._run(self._use.begin())
        except asyncio.CancelledError:
            self._background.start(self._abandon())
            raise
        return self

    async def _abandon(self) -> None:
        """Let go of a hold that was granted when nobody waited for it any more."""
        async with self._turn:
            if self._use.is_granted:
                await self._transport.run(self._use.settle())

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
            await self.settle()
        except FaregateClientError as failure:
            self._tell(failure, error)
            return failure
        return None

    async def settle(self) -> None:
        """Charge what was used and end the hold. The block's end does it; if that failed, it may be
        done again: what was charged already is not charged twice."""
        await self._run(self._use.settle())

    async def update(
        self, data: Data | None = None, *, amount: Decimal | int | None = None
    ) -> HoldUpdated:
        """Settle what was used so far and set the next slice aside, in one step.

        Say what the slice is expected to be: `data` of the hold's event type, or an `amount`. If
        the answer is `final`, finish: nothing more will be granted.
        """
        return await self._run(self._use.update(data, amount))

    async def extend(self, expires_in_seconds: int) -> Hold:
        """Let the hold expire so many seconds from now, if that is later than it would."""
        return await self._run(self._use.extend(expires_in_seconds))

    async def stream(
        self,
        items: AsyncIterable[T],
        usage: Callable[[T], Data | None],
        *,
        slice: Data | None = None,
    ) -> AsyncIterator[T]:
        """Pass on what a model streams, paid slice by slice: `usage` finds what an item used.

        A slice is what the hold was asked for (or `slice`). When one is used up, the next is asked
        for; when no more is granted the items end, and `final` says why.
        """
        pace = Pace(self._use, slice)
        async with AsyncExitStack() as stack:
            if hasattr(items, "aclose"):
                stack.push_async_callback(items.aclose)
            async for item in items:
                pace.count(usage(item))
                yield item
                if pace.is_used_up() and (await self.update(pace.slice)).final:
                    return
