"""Closed-loop load: so many callers, each sends its next call when it has its last answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter
from typing import NamedTuple

Call = Callable[[int], Awaitable[object]]


class Rate(NamedTuple):
    """Charges per second, and latencies of calls in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def measure(call: Call, callers: int, seconds: float) -> Rate:
    """Run `callers` that each make one call after another. A call that fails ends the run."""
    took: list[float] = []
    numbers = iter(range(1 << 60))
    start = perf_counter()
    end = start + seconds

    async def caller() -> None:
        before = perf_counter()
        while before < end:
            await call(next(numbers))
            after = perf_counter()
            took.append(after - before)
            before = after

    await asyncio.gather(*(caller() for _ in range(callers)))
    duration = perf_counter() - start
    took.sort()
    return Rate(len(took) / duration, at(took, 0.5) * 1000, at(took, 0.99) * 1000)


def at(ordered: list[float], share: float) -> float:
    """Return the value that this share of the ordered values does not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def middle(rates: list[Rate]) -> Rate:
    """Return the medians of several rounds."""
    return Rate(*(median(values) for values in zip(*rates, strict=True)))
