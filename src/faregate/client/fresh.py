"""Ids of the client's own making, and events with them. An id is made once, before the first try,
so that whatever is sent again is the same thing and is charged once.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.ids import IdSource


class FreshIds:
    """Rising ids (UUIDv7) for all threads of a process."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: a forked process must not go on with its parent's numbers, nor its lock."""
        self._lock = threading.Lock()
        self._source = IdSource(secrets.randbits)

    def next(self, prefix: str) -> str:
        """Make the next id, e.g. `evt_01k8zq4w2h7p8v3c5d6e7f8g9h`."""
        with self._lock:
            self._source.tick(datetime.now(UTC))
            return self._source.next(prefix)


_ids = FreshIds()
os.register_at_fork(after_in_child=_ids.renew)


def new_id(prefix: str) -> str:
    """Make an id that nobody has used."""
    return _ids.next(prefix)


def new_event(
    event_type: str,
    data: Mapping[str, Any] | None = None,
    *,
    id: str | None = None,
    occurred_at: datetime | None = None,
    subject: str | None = None,
    description: str | None = None,
    costs: list[Cost] | None = None,
    outcome: Literal["pending"] | None = None,
) -> UsageEvent:
    """Make an event: under a new id and as of now, unless you say otherwise. One whose outcome is
    pending costs nothing until `settle_outcome` says what became of it.

    >>> new_event("llm", {"input_tokens": 1200, "output_tokens": 340}).event_type
    'llm'
    """
    return UsageEvent(
        id=new_id("evt") if id is None else id,
        event_type=event_type,
        occurred_at=datetime.now(UTC) if occurred_at is None else occurred_at,
        subject=subject,
        description=description,
        data=None if data is None else dict(data),
        costs=costs,
        outcome=outcome,
    )
