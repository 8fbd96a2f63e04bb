"""Events that nobody waits for: they are queued and sent in batches, in the background.

    with client.events() as events:
        events.add(customer, new_event("llm", {"tokens": 12}))

Nothing is lost in silence. What a server that is away for a while does not take stays queued and
is tried again; what is refused is handed to `on_undelivered`, or raised by the next `flush` or
`close`, together with what those could not deliver. The end of the program closes too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from faregate.client.backlog import EventsUndelivered, payer_of, waiting_of
from faregate.client.outbox import Outbox, log_names
from faregate.core.events import UsageEvent


class Batcher:
    """Sends events in batches, from a thread of its own. Any thread may add to it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more events."""
        return self._outbox.is_closed

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with telling(error):
            self.close()

    def add(
        self, customer_id: str | None, event: UsageEvent, *, external_id: str | None = None
    ) -> None:
        """Queue an event. Raises, and queues nothing: `FaregateClientError` where the API would
        refuse it, `QueueFull`, and `EventsUndelivered` where others have filled the queue that
        could not be delivered."""
        payer, waiting = payer_of(customer_id, external_id), waiting_of(event)
        while (room := self._outbox.put(payer, waiting)) is not None:
            room.result()

    def flush(self) -> None:
        """Send all that is queued and wait for the answers. Raises `EventsUndelivered`."""
        self._outbox.flush().result()
        self._outbox.hand_over()

    def close(self) -> None:
        """Send all that is queued and end. Raises `EventsUndelivered`. A repeat is harmless."""
        self._outbox.flush(is_last=True).result()
        self._outbox.end()
        self._outbox.hand_over()


class AsyncBatcher:
    """Sends events in batches, without blocking the loop."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more events."""
        return self._outbox.is_closed

    async def __aenter__(self) -> AsyncBatcher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with telling(error):
            await self.close()

    async def add(
        self, customer_id: str | None, event: UsageEvent, *, external_id: str | None = None
    ) -> None:
        """Queue an event. Raises, and queues nothing: `FaregateClientError` where the API would
        refuse it, `QueueFull`, and `EventsUndelivered` where others have filled the queue that
        could not be delivered."""
        payer, waiting = payer_of(customer_id, external_id), waiting_of(event)
        while (room := self._outbox.put(payer, waiting)) is not None:
            await asyncio.wrap_future(room)

    async def flush(self) -> None:
        """Send all that is queued and wait for the answers. Raises `EventsUndelivered`."""
        await asyncio.wrap_future(self._outbox.flush())
        self._outbox.hand_over()

    async def close(self) -> None:
        """Send all that is queued and end. Raises `EventsUndelivered`. A repeat is harmless."""
        await asyncio.wrap_future(self._outbox.flush(is_last=True))
        self._outbox.end()
        self._outbox.hand_over()


@contextmanager
def telling(error: BaseException | None) -> Iterator[None]:
    """Where another exception passes on, say on it and in the log what could not be delivered."""
    try:
        yield
    except EventsUndelivered as undelivered:
        if error is None:
            raise
        log_names(undelivered.events)
        error.add_note(str(undelivered))
