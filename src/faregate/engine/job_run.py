"""A job that is being done: what whoever does it has, and how he lets others have their turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from faregate.platform.environments import AccountContext
from faregate.platform.jobs import Job, JobFile

REST: Final = 2.0
"""For each moment of work so many of rest."""
MAX_REST_SECONDS: Final = 0.05


class JobRun:
    """A job with its request, decoded, and the account in whose name it is done. What it counts
    (`done` of `total`, `words`) is written down about once a second. `stop` ends it before it is
    done, and when it has ended, so is written down, `ended` is set."""

    def __init__(self, job: Job, request: Any, context: AccountContext) -> None:
        self.job = job
        self.request = request
        self.context = context
        self.done = 0
        self.total: int | None = None
        self.words = ""
        self.stop: Callable[[], object] = lambda: None
        self.ended = asyncio.Event()
        self._since = time.thread_time()

    def progress(self, done: int, total: int | None, words: str | None = None) -> None:
        """Say how far it has come."""
        self.done, self.total = done, total
        if words is not None:
            self.words = words

    async def breathe(self) -> None:
        """Let everybody else have their turn: charges must not notice the job. To be called every
        few milliseconds of work; rests for longer than that work has taken."""
        spent = max(0.0, time.thread_time() - self._since)
        await asyncio.sleep(min(spent * REST, MAX_REST_SECONDS))
        self._since = time.thread_time()


Done = tuple[msgspec.Struct, JobFile | None]
"""What a job answers with: its result, and the file that it has made."""


class JobKind(msgspec.Struct, frozen=True):
    """A kind of long work: the type of its request; `check` refuses one that cannot be done, before
    it is queued; `run` does it. It may be begun again from its beginning, and must have its effect
    once; it is ended by being cancelled."""

    name: str
    request: type[Any]
    check: Callable[[Any, AccountContext], Awaitable[None]]
    run: Callable[[JobRun], Awaitable[Done]]
