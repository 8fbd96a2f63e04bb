"""Events that wait to be sent, by customer, each customer's in order. No I/O, no clock, no lock:
both batchers are made of this.

An event leaves in one of two ways: the server has it, or it is handed back as undelivered. Until
then it counts against the bound, also while it is on its way.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Final, NamedTuple

import msgspec

from faregate.client.answers import BookedResult, ProblemDetails, UsageBooked
from faregate.client.errors import FaregateClientError, unreadable
from faregate.client.requests import EACH_ALONE, JSON, Request, checked_event
from faregate.core.codec import encode
from faregate.core.events import MAX_EVENTS, UsageEvent

TEMPORARY: Final = frozenset((0, 408, 429, 500, 502, 503, 504))
"""Statuses (0: no answer) after which the same events may be accepted later."""


log = logging.getLogger("faregate.client")


class Payer(NamedTuple):
    """A customer by id or by external id."""

    customer_id: str | None
    external_id: str | None

    @property
    def field(self) -> dict[str, str]:
        """The field that names the customer in a request."""
        if self.customer_id is not None:
            return {"customer_id": self.customer_id}
        return {"customer_external_id": self.external_id or ""}


class Undelivered(msgspec.Struct, frozen=True):
    """An event that the server does not have, and why: it was refused, or nobody answered."""

    customer_id: str | None
    external_id: str | None
    event: UsageEvent
    problem: ProblemDetails


class EventsUndelivered(Exception):
    """Events could not be delivered. `events` has each with its problem; they are not queued any
    more: send them again under their ids, or write them down."""

    def __init__(self, events: list[Undelivered]) -> None:
        first = events[0]
        more = f" (and {len(events) - 1} more)" if len(events) > 1 else ""
        super().__init__(
            f"event {first.event.id!r}{more} could not be delivered: {first.problem.detail}"
        )
        self.events = events

    def tell(self, error: BaseException) -> None:
        """Say so while another exception passes on: in the log, and on that exception."""
        log.error("%s", self)
        error.add_note(str(self))


class QueueFull(Exception):
    """There is no room for another event: the server is slower than what is sent to it."""

    def __init__(self, bound: int) -> None:
        super().__init__(
            f"{bound} events wait to be sent already: send this one later, or use when_full='block'"
        )


class Waiting(NamedTuple):
    """An event as it is and as it travels."""

    event: UsageEvent
    body: bytes


class Batch:
    """Events of one customer that travel together."""

    def __init__(self, payer: Payer, waiting: list[Waiting]) -> None:
        self.payer = payer
        self.waiting = waiting

    def request(self) -> Request[UsageBooked]:
        """Return the request. Each event stands alone in it: a bad one takes no other with it."""
        events = [msgspec.Raw(waiting.body) for waiting in self.waiting]
        body: dict[str, Any] = {**self.payer.field, "events": events}
        return Request("POST", "/events", UsageBooked, encode(body), {**JSON, **EACH_ALONE})

    def read(self, booked: UsageBooked) -> list[BookedResult]:
        """Return one result per event. Raises `FaregateClientError` if some are missing."""
        if len(booked.events) != len(self.waiting):
            reason = f"{len(self.waiting)} events were sent, {len(booked.events)} answered"
            raise unreadable(0, reason, "")
        return booked.events


class Backlog:
    """The queue."""

    def __init__(self, max_events: int, max_batch_bytes: int) -> None:
        self._max_events = max_events
        self._max_batch_bytes = max_batch_bytes
        self._queues: dict[Payer, deque[Waiting]] = {}
        self._away: list[Batch] = []
        self._queued = 0
        self._undelivered: list[Undelivered] = []

    @property
    def queued(self) -> int:
        """Events that wait for their turn."""
        return self._queued

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another event."""
        away = sum(len(batch.waiting) for batch in self._away)
        return self._queued + away + len(self._undelivered) >= self._max_events

    def put(self, payer: Payer, event: UsageEvent) -> None:
        """Queue an event. Raises `FaregateClientError` (422) where the API would refuse it."""
        event, body = checked_event(event)
        self._queues.setdefault(payer, deque()).append(Waiting(event, body))
        self._queued += 1

    def take(self) -> Batch | None:
        """Take the next batch: of the customer whose turn it is, as many events as may travel."""
        for payer, queue in self._queues.items():
            size = 0
            waiting: list[Waiting] = []
            while queue and len(waiting) < MAX_EVENTS:
                size += len(queue[0].body) + 1
                if waiting and size > self._max_batch_bytes:
                    break
                waiting.append(queue.popleft())
            del self._queues[payer]
            if queue:
                self._queues[payer] = queue
            self._queued -= len(waiting)
            batch = Batch(payer, waiting)
            self._away.append(batch)
            return batch
        return None

    def delivered(self, batch: Batch, results: list[BookedResult]) -> None:
        """Note what became of a batch that was answered: one result per event, in their order."""
        self._away.remove(batch)
        for waiting, result in zip(batch.waiting, results, strict=True):
            if result.problem is not None:
                self._give_up(batch.payer, waiting, result.problem)

    def failed(self, batch: Batch, failure: FaregateClientError) -> bool:
        """Note a batch that failed as a whole. Returns whether it waits for another try."""
        if failure.problem.status in TEMPORARY:
            self.recall(batch)
            return True
        self._away.remove(batch)
        for waiting in batch.waiting:
            self._give_up(batch.payer, waiting, failure.problem)
        return False

    def recall(self, batch: Batch) -> None:
        """Put a batch back, before what came after it."""
        self._away.remove(batch)
        queue = self._queues.setdefault(batch.payer, deque())
        queue.extendleft(reversed(batch.waiting))
        self._queued += len(batch.waiting)

    def recall_all(self) -> None:
        """Put back all that is on its way, where nobody waits for its answer any more."""
        for batch in self._away[::-1]:
            self.recall(batch)

    def give_up_all(self, problem: ProblemDetails) -> None:
        """Give up what is still queued."""
        for payer, queue in self._queues.items():
            for waiting in queue:
                self._give_up(payer, waiting, problem)
        self._queues.clear()
        self._queued = 0

    def _give_up(self, payer: Payer, waiting: Waiting, problem: ProblemDetails) -> None:
        self._undelivered.append(Undelivered(*payer, waiting.event, problem))

    def take_undelivered(self) -> list[Undelivered]:
        """Take what could not be delivered."""
        taken, self._undelivered = self._undelivered, []
        return taken
