"""What became of what sources told lately: how many came to what since this process began, the last
things that were refused, and what was said of those that were booked. It is in memory alone and
bounded: to see what to mend, not to bill by.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from faregate.core.observed import Became, Ingested, Source

MAX_REFUSALS: Final = 50
MAX_WARNINGS: Final = 50
MAX_SOURCES: Final = 1_000
"""Sources of accounts' modes that are remembered; who told nothing for longest is forgotten."""


class Refusal(msgspec.Struct, frozen=True):
    """One thing that was refused, when, and why. Nothing of what was sent is kept beside its id."""

    at: datetime
    place: str
    id: str
    detail: str


class Warned(msgspec.Struct):
    """What was said of events that were booked all the same (that nothing prices them, say): how
    often, and when last."""

    count: int
    at: datetime


class Lately(msgspec.Struct):
    """What a source has told since this process began; the newest refusals come first, and the
    newest warnings last."""

    counts: Counter[Became] = msgspec.field(default_factory=Counter)
    refusals: deque[Refusal] = msgspec.field(default_factory=lambda: deque(maxlen=MAX_REFUSALS))
    warnings: dict[str, Warned] = msgspec.field(default_factory=dict)


class Recently:
    """Remembers it for every source of every account's modes."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Source], Lately] = {}

    def note(self, environment_id: int, source: Source, ingested: Ingested, at: datetime) -> None:
        """Remember what became of one call."""
        lately = self._touch(environment_id, source)
        lately.counts.update(ingested.counts)
        said = Counter(
            warning
            for outcome in ingested.outcomes
            if outcome.status == "booked"
            for warning in outcome.warnings
        )
        for warning, count in said.items():
            before = lately.warnings.pop(warning, None)
            lately.warnings[warning] = Warned(count + (before.count if before else 0), at)
        while len(lately.warnings) > MAX_WARNINGS:
            del lately.warnings[next(iter(lately.warnings))]
        self._refused(
            lately,
            (
                Refusal(at, outcome.place, outcome.id, outcome.problem.detail)
                for outcome in ingested.refused[-MAX_REFUSALS:]
                if outcome.problem is not None
            ),
        )

    def note_unreadable(
        self, environment_id: int, source: Source, detail: str, at: datetime
    ) -> None:
        """Remember a call of which nothing could be read."""
        self._refused(self._touch(environment_id, source), [Refusal(at, "body", "", detail)])

    def look(self, environment_id: int, source: Source) -> Lately:
        """Return what is remembered of a source."""
        return self._known.get((environment_id, source)) or Lately()

    def _touch(self, environment_id: int, source: Source) -> Lately:
        key = (environment_id, source)
        lately = self._known.pop(key, None) or Lately()
        if len(self._known) >= MAX_SOURCES:
            del self._known[next(iter(self._known))]
        self._known[key] = lately
        return lately

    def _refused(self, lately: Lately, refusals: Iterable[Refusal]) -> None:
        for refusal in refusals:
            lately.refusals.appendleft(refusal)
