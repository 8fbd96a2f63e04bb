"""Events that nobody waits for: they are queued here and a thread sends them in batches.

    with client.events() as events:
        events.add(customer, new_event("llm", {"tokens": 12}))

Nothing is lost in silence. What a server that is away for a while does not take stays queued and
is tried again; what is refused is handed to `on_undelivered`, or raised by the next `flush` or
`close`, together with what those could not deliver. The end of the program closes too.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from types import TracebackType

from faregate.client.answers import BookedResult, ProblemDetails
from faregate.client.backlog import Backlog, Batch, EventsUndelivered, QueueFull
from faregate.client.batching import Batching, payer_of
from faregate.client.errors import FaregateClientError, unknown
from faregate.client.transport import Transport, log
from faregate.core.events import UsageEvent

Wait = Callable[[threading.Condition, float], object]
"""Waits on a condition, at most so many seconds."""


class Batcher:
    """Sends events in batches, from a thread of its own. Any thread may add to it."""

    def __init__(
        self,
        transport: Transport,
        batching: Batching,
        wait: Wait = threading.Condition.wait,
        backlog: Backlog | None = None,
    ) -> None:
        self._transport = transport
        self._batching = batching
        self._wait = wait
        self._backlog = backlog or Backlog(batching.max_queued, batching.max_batch_bytes)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._due = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._sending = threading.Lock()
        self.is_closed = False
        self._thread: threading.Thread | None = None
        atexit.register(self.close)

    def __enter__(self) -> Batcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except EventsUndelivered as undelivered:
            if error is None:
                raise
            undelivered.tell(error)

    def add(
        self, customer_id: str | None, event: UsageEvent, *, external_id: str | None = None
    ) -> None:
        """Queue an event. Raises `FaregateClientError` where the API would refuse it, `QueueFull`,
        and `EventsUndelivered` where what could not be delivered has filled the queue."""
        payer = payer_of(customer_id, external_id)
        with self._lock:
            self._refuse_if_closed()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="faregate", daemon=True)
                self._thread.start()
            while self._backlog.is_full:
                self._make_room()
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

    def _make_room(self) -> None:
        undelivered = self._backlog.take_undelivered()
        if undelivered:
            raise EventsUndelivered(undelivered)
        if self._batching.when_full == "raise":
            raise QueueFull(self._batching.max_queued)
        self._room.wait()
        self._refuse_if_closed()

    def flush(self) -> None:
        """Send all that is queued and wait for the answers. Raises `EventsUndelivered`."""
        problem = self._send_all()
        with self._lock:
            if problem is not None:
                self._backlog.give_up_all(problem)
        self._hand_over(must_raise=True)

    def close(self) -> None:
        """Send all that is queued and end. Raises `EventsUndelivered`. A repeat is harmless."""
        with self._lock:
            self.is_closed = True
            for condition in (self._work, self._due, self._room):
                condition.notify_all()
        atexit.unregister(self.close)
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        must_pause = False
        while True:
            with self._lock:
                while not self._backlog.queued and not self.is_closed:
                    self._work.wait()
                if not self.is_closed and (must_pause or not self._is_due()):
                    self._wait(self._due, self._batching.flush_every_seconds)
                if self.is_closed:
                    return
            must_pause = self._send_all() is not None
            try:
                self._hand_over(must_raise=False)
            except Exception:
                log.exception("on_undelivered failed")

    def _send_all(self) -> ProblemDetails | None:
        """Send batches until none is left, or until nobody answers. Returns why it stopped."""
        with self._sending:
            while True:
                with self._lock:
                    batch = self._backlog.take()
                if batch is None:
                    return None
                answer = self._sent(batch)
                with self._lock:
                    self._room.notify_all()
                    if isinstance(answer, list):
                        self._backlog.delivered(batch, answer)
                    elif self._backlog.failed(batch, answer):
                        return answer.problem

    def _sent(self, batch: Batch) -> list[BookedResult] | FaregateClientError:
        try:
            return batch.read(self._transport.send(batch.request()))
        except FaregateClientError as failure:
            return failure
        except Exception as error:
            log.exception("a batch of events could not be sent")
            return unknown(error)

    def _hand_over(self, *, must_raise: bool) -> None:
        """Hand over what could not be delivered."""
        callback = self._batching.on_undelivered
        if callback is None and not must_raise:
            return
        with self._lock:
            undelivered = self._backlog.take_undelivered()
            self._room.notify_all()
        if not undelivered:
            return
        if callback is None:
            raise EventsUndelivered(undelivered)
        callback(undelivered)
