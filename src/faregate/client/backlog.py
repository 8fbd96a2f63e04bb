"""Events that wait to be sent, by customer, each customer's in order. No I/O, no clock, no lock.

An event leaves in one of two ways: the server has it, or it is handed back as undelivered. Until
then it counts against the bound, also while it is on its way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from faregate.client.calls import Request, record_written, write_event
from faregate.client.errors import FaregateClientError, unreadable
from faregate.core.events import MAX_EVENTS, UsageEvent
from faregate.customers.wire import BookedResult, ProblemDetails

TEMPORARY: Final = frozenset((0, 408, 429, 500, 502, 503, 504))
"""Statuses (0: no answer) after which the same events may be accepted later."""
MAX_NAMED: Final = 20
"""Events that a message names; `EventsUndelivered.events` has all."""


class Payer(NamedTuple):
    """A customer by id or by external id: one of the two."""

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

    def __init__(self, events: Sequence[Undelivered]) -> None:
        names = ", ".join(repr(lost.event.id) for lost in events[:MAX_NAMED])
        more = f" and {len(events) - MAX_NAMED} more" if len(events) > MAX_NAMED else ""
        noun = "event" if len(events) == 1 else f"{len(events)} events"
        super().__init__(
            f"{noun} could not be delivered: {names}{more}: {events[0].problem.detail}"
        )
        self.events = list(events)


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


def waiting_of(event: UsageEvent) -> Waiting:
    """Return an event that is about to wait. Raises `FaregateClientError` (422) where the API would
    refuse it."""
    return Waiting(*write_event(event))


def payer_of(customer_id: str | None, external_id: str | None) -> Payer:
    """Return who pays. Raises `ValueError` unless one of the two is given."""
    if (customer_id is None) == (external_id is None):
        raise ValueError("name the customer by customer_id or by external_id: give one of the two")
    return Payer(customer_id, external_id)


class Batch:
    """Events of one customer that travel together."""

    def __init__(self, payer: Payer, waiting: list[Waiting]) -> None:
        self.payer = payer
        self.waiting = waiting

    def request(self) -> Request[list[BookedResult]]:
        """Return the request. Each event stands alone in it: a bad one takes no other with it."""
        return record_written(self.payer.field, [waiting.body for waiting in self.waiting])


class Backlog:
    """The queue."""

    def __init__(self, max_events: int, max_batch_bytes: int) -> None:
        self._max_events = max_events
        self._max_batch_bytes = max_batch_bytes
        self._queues: dict[Payer, deque[Waiting]] = {}
        self._queued = 0
        self._away: Batch | None = None
        self._undelivered: list[Undelivered] = []

    @property
    def queued(self) -> int:
        """Events that wait for their turn."""
        return self._queued

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another event."""
        away = len(self._away.waiting) if self._away is not None else 0
        return self._queued + away + len(self._undelivered) >= self._max_events

    def put(self, payer: Payer, waiting: Waiting) -> None:
        """Queue an event."""
        self._queues.setdefault(payer, deque()).append(waiting)
        self._queued += 1

    def lengths(self) -> dict[Payer, int]:
        """Return how many events wait for each customer, in the order of their turns."""
        return {payer: len(queue) for payer, queue in self._queues.items()}

    def take(self, payer: Payer, at_most: int) -> Batch:
        """Take a customer's next batch: as many events as may travel. One is away at a time; the
        turn of what is left comes after the others'."""
        queue = self._queues.pop(payer)
        size = 0
        waiting: list[Waiting] = []
        while queue and len(waiting) < min(at_most, MAX_EVENTS):
            size += len(queue[0].body) + 1
            if waiting and size > self._max_batch_bytes:
                break
            waiting.append(queue.popleft())
        if queue:
            self._queues[payer] = queue
        self._queued -= len(waiting)
        self._away = Batch(payer, waiting)
        return self._away

    def delivered(self, batch: Batch, results: list[BookedResult]) -> None:
        """Note what became of a batch that was answered, one result per event, in their order."""
        if len(results) != len(batch.waiting):
            reason = f"{len(batch.waiting)} events were sent, {len(results)} answered"
            self.failed(batch, unreadable(200, reason, ""))
            return
        self._away = None
        for waiting, result in zip(batch.waiting, results, strict=True):
            if result.problem is not None:
                self._give_up(batch.payer, waiting, result.problem)

    def failed(self, batch: Batch, failure: FaregateClientError) -> bool:
        """Note a batch that failed as a whole. Returns whether it waits for another try, before
        what came after it."""
        self._away = None
        if failure.problem.status in TEMPORARY:
            queue = self._queues.setdefault(batch.payer, deque())
            queue.extendleft(reversed(batch.waiting))
            self._queued += len(batch.waiting)
            return True
        for waiting in batch.waiting:
            self._give_up(batch.payer, waiting, failure.problem)
        return False

    def give_up_all(self, problem: ProblemDetails) -> None:
        """Give up what is still queued, and what is on its way."""
        if self._away is not None:
            self._queues.setdefault(self._away.payer, deque()).extendleft(
                reversed(self._away.waiting)
            )
            self._away = None
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
