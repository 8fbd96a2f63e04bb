"""Where events wait that nobody waits for, and the thread that sends them in batches. Both clients'
batchers put events here: on asyncio, too, a thread empties it, which outlives the loop.

A forked child begins with an empty one: what was queued before is its parent's to send.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Literal, TypedDict

import msgspec

from faregate.client.backlog import (
    Backlog,
    EventsUndelivered,
    Payer,
    QueueFull,
    Undelivered,
    Waiting,
)
from faregate.client.errors import FaregateClientError, unknown
from faregate.client.transport import Transport
from faregate.customers.wire import ProblemDetails

log = logging.getLogger("faregate.client")

Wait = Callable[[threading.Condition, float], object]
"""Waits on a condition, at most so many seconds."""


class BatchingOptions(TypedDict, total=False):
    """The fields of `Batching`."""

    flush_at: int
    flush_every_seconds: float
    max_queued: int
    max_batch_bytes: int
    when_full: Literal["block", "raise"]
    on_undelivered: Callable[[list[Undelivered]], object] | None


class Batching(msgspec.Struct, frozen=True):
    """When a batch is sent, and what happens where one cannot be.

    `flush_at`: that many events wait. `flush_every_seconds`: so long after the first of them came.
    `max_queued` bounds the events that wait or are on their way; then adding one blocks or raises
    (`when_full`). `on_undelivered` is given what could not be delivered, by the batcher's thread or
    by whoever flushes; without it that is raised. Raises `ValueError`.
    """

    flush_at: int = 500
    flush_every_seconds: float = 1.0
    max_queued: int = 10_000
    max_batch_bytes: int = 512 * 1024
    when_full: Literal["block", "raise"] = "block"
    on_undelivered: Callable[[list[Undelivered]], object] | None = None

    def __post_init__(self) -> None:
        for field in ("flush_at", "max_queued", "max_batch_bytes"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}: give 1 or more")
        if not 0 <= self.flush_every_seconds <= threading.TIMEOUT_MAX:
            raise ValueError(f"flush_every_seconds is {self.flush_every_seconds}: give 0 or more")
        if self.when_full not in ("block", "raise"):
            raise ValueError(f"when_full is {self.when_full!r}: give 'block' or 'raise'")


class Outbox:
    """A queue, and the thread that empties it. Any thread may call it; nothing here waits: what may
    take long is a future."""

    def __init__(
        self,
        transport: Transport,
        batching: Batching,
        wait: Wait = threading.Condition.wait,
    ) -> None:
        self._transport = transport
        self._batching = batching
        self._wait = wait
        self.is_closed = False
        self.begin()
        _open.add(self)
        atexit.register(self._at_exit)

    def begin(self) -> None:
        """Begin with an empty queue."""
        self._backlog = Backlog(self._batching.max_queued, self._batching.max_batch_bytes)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._due = threading.Condition(self._lock)
        self._rooms: list[Future[None]] = []
        self._flushes: list[Future[None]] = []
        self._thread: threading.Thread | None = None

    def put(self, payer: Payer, waiting: Waiting) -> Future[None] | None:
        """Queue an event, or return what tells when there may be room for it. Raises `QueueFull`,
        and `EventsUndelivered` where what could not be delivered has filled the queue."""
        with self._lock:
            if self.is_closed:
                raise RuntimeError("the batcher is closed: make another one")
            if self._backlog.is_full:
                undelivered = self._backlog.take_undelivered()
                if undelivered:
                    raise EventsUndelivered(undelivered)
                if self._batching.when_full == "raise":
                    raise QueueFull(self._batching.max_queued)
                room: Future[None] = Future()
                self._rooms.append(room)
                return room
            self._backlog.put(payer, waiting)
            self._start()
            self._work.notify()
            if self._is_due():
                self._due.notify()
            return None

    def flush(self, *, is_last: bool = False) -> Future[None]:
        """Send all that is queued now. `is_last`: and take nothing more."""
        with self._lock:
            self.is_closed = self.is_closed or is_last
            done: Future[None] = Future()
            if self._thread is None:
                done.set_result(None)
            else:
                self._flushes.append(done)
                self._work.notify()
                self._due.notify()
            return done

    def hand_over(self) -> None:
        """Hand over what could not be delivered: to the callback, or as `EventsUndelivered`."""
        callback = self._batching.on_undelivered
        with self._lock:
            undelivered = self._backlog.take_undelivered()
            self._look_again()
        if not undelivered:
            return
        if callback is None:
            raise EventsUndelivered(undelivered)
        try:
            callback(undelivered)
        except BaseException:
            log_names(undelivered)
            raise

    def end(self) -> None:
        """Nothing is left to do at the program's end."""
        _open.discard(self)
        atexit.unregister(self._at_exit)

    def _is_due(self) -> bool:
        """Tell whether a batch is to be sent before the interval ends."""
        return self._backlog.queued >= self._batching.flush_at or self._backlog.is_full

    def _start(self) -> None:
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="faregate", daemon=True)
        self._thread.start()
        # A process of `multiprocessing` ends without atexit.
        processes = sys.modules.get("multiprocessing.process")
        if processes is not None and processes.parent_process() is not None:
            finalize = sys.modules["multiprocessing.util"].Finalize
            finalize(None, self._at_exit, exitpriority=10)

    def _run(self) -> None:
        must_pause = False
        while True:
            with self._lock:
                while not (self._backlog.queued or self._flushes):
                    if self.is_closed:
                        self._thread = None
                        return
                    self._work.wait()
                if not self._flushes and (must_pause or not self._is_due()):
                    self._wait(self._due, self._batching.flush_every_seconds)
                flushes, self._flushes = self._flushes, []
            problem = self._send_round()
            must_pause = problem is not None
            with self._lock:
                if problem is not None and flushes:
                    self._backlog.give_up_all(problem)
                self._look_again()
            if self._batching.on_undelivered is not None and not flushes:
                try:
                    self.hand_over()
                except BaseException:
                    # The thread must live: whoever flushes waits for it.
                    log.exception("on_undelivered failed")
            _settle(flushes)

    def _send_round(self) -> ProblemDetails | None:
        """Send what waits now, until nobody answers. Returns why it stopped."""
        with self._lock:
            lengths = self._backlog.lengths()
        for payer, length in lengths.items():
            while length:
                with self._lock:
                    batch = self._backlog.take(payer, length)
                length -= len(batch.waiting)
                try:
                    results = self._transport.send(batch.request())
                except FaregateClientError as error:
                    failure = error
                except Exception as error:
                    log.exception("a batch of events could not be sent")
                    failure = unknown(error)
                else:
                    with self._lock:
                        self._backlog.delivered(batch, results)
                        self._look_again()
                    continue
                with self._lock:
                    if self._backlog.failed(batch, failure):
                        return failure.problem
        return None

    def _look_again(self) -> None:
        """Let those who wait for room look: there is some, or what takes it is undelivered."""
        rooms, self._rooms = self._rooms, []
        _settle(rooms)

    def _at_exit(self) -> None:
        """Send what is left; if that fails, say the name of every event."""
        try:
            self.flush(is_last=True).result()
        finally:
            with self._lock:
                self._backlog.give_up_all(_ended())
            try:
                self.hand_over()
            except EventsUndelivered as undelivered:
                log_names(undelivered.events)
                raise


_open: set[Outbox] = set()


def _begin_anew() -> None:
    """Leave to the parent process what was queued before the fork."""
    for outbox in _open:
        outbox.begin()


os.register_at_fork(after_in_child=_begin_anew)


def _settle(futures: list[Future[None]]) -> None:
    for future in futures:
        if future.set_running_or_notify_cancel():
            future.set_result(None)


def _ended() -> ProblemDetails:
    return unknown(RuntimeError("the program ended before it was sent")).problem


def log_names(undelivered: Sequence[Undelivered]) -> None:
    """Write down the name of every event that nobody will send any more."""
    for lost in undelivered:
        payer = lost.customer_id or lost.external_id
        log.error("event %r of %s is undelivered: %s", lost.event.id, payer, lost.problem.detail)
