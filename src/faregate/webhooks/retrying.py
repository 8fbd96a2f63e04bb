"""When a webhook that failed is sent again: soon at first, then ever less often, for three days.
Each delay grows by up to a tenth at random, so that what failed together does not come back
together."""

from __future__ import annotations

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
DELAYS: Final[tuple[int, ...]] = (
    5,
    30,
    2 * _MINUTE,
    10 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    2 * _HOUR,
    4 * _HOUR,
    8 * _HOUR,
    12 * _HOUR,
    12 * _HOUR,
    12 * _HOUR,
    12 * _HOUR,
    9 * _HOUR,
)
"""Seconds between one attempt and the next; 72 hours and some minutes in all."""
GIVE_UP_SECONDS: Final = 3 * 24 * _HOUR
"""A destination that has taken nothing for so long is disabled."""
JITTER: Final = 0.1
_PAUSE_AFTER: Final = 3
_LONGEST_PAUSE: Final = 60


def next_delay_us(attempts: int, luck: float) -> int | None:
    """Return microseconds until the next attempt after so many; None: no further one. `luck` is a
    random number from 0 to 1."""
    if attempts > len(DELAYS):
        return None
    return int(DELAYS[attempts - 1] * (1 + JITTER * luck) * 1_000_000)


def pause_us(failures: int) -> int:
    """Return for how long (microseconds) a destination is left alone altogether after so many
    failures in a row: one that does not answer is not asked for each customer."""
    if failures < _PAUSE_AFTER:
        return 0
    return min(_LONGEST_PAUSE, 5 << min(failures - _PAUSE_AFTER, 10)) * 1_000_000
