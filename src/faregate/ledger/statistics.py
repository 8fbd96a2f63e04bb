"""What a lane did, counted as it works: for the metrics page and the dashboard. Counts only; what
is shown, and how, is for the faces to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

COMMIT_BOUNDS_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Histogram:
    """Counts of observations up to each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class LaneStatistics:
    """Counters of one lane since it started."""

    __slots__ = (
        "batch_sizes",
        "commands",
        "commit_seconds",
        "events",
        "failed_commits",
        "refused",
        "refused_overload",
    )

    def __init__(self) -> None:
        self.events = 0
        self.commands = 0
        self.refused = 0
        self.refused_overload = 0
        self.failed_commits = 0
        self.commit_seconds = Histogram(COMMIT_BOUNDS_SECONDS)
        self.batch_sizes = Histogram(BATCH_BOUNDS)

    def commit_took(self, seconds: float) -> None:
        """Count one durable commit."""
        self.commit_seconds.observe(seconds)

    def batch_done(self, commands: int, events: int) -> None:
        """Count one answered batch."""
        self.commands += commands
        self.events += events
        if commands:
            self.batch_sizes.observe(commands)
