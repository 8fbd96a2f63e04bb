"""Over which time a limit counts. A *calendar* window begins with the hour, day, week (on Monday)
or month of a timezone and ends where the next one begins, also where clocks are changed: a day of
23 or 25 hours is one day. A *rolling* window is the last 60 minutes, 24 hours, 7 or 30 days; what
has happened is kept in sixtieths of it, and each counts until all of it has left the window, so
that no stretch of that length ever has more than the limit. A *lifetime* ends never.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from faregate.core.instants import from_us, to_us

Period = Literal["hour", "day", "week", "month", "lifetime"]
WindowKind = Literal["calendar", "rolling"]

ROLLING_SECONDS: Final = {"hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000}
"""How long a rolling window is; a month has 30 days."""
STEPS: Final = 60
"""Into how many parts a rolling window is cut."""
_HOUR: Final = timedelta(hours=1)
_MINUTE_US: Final = 60_000_000


def window_at(
    period: Period, kind: WindowKind, timezone: str, now: datetime
) -> tuple[int, datetime | None]:
    """Return what counts from when on, in microseconds since 1970, and when the window ends (None:
    never; a rolling one has no end of its own)."""
    return _window_of_minute(period, kind, timezone, to_us(now) // _MINUTE_US)


@lru_cache(maxsize=10_000)
def _window_of_minute(
    period: Period, kind: WindowKind, timezone: str, minute: int
) -> tuple[int, datetime | None]:
    """Return the window of a minute since 1970. Windows and their parts begin, and clocks are
    changed, on whole minutes, and what is decided in one minute mostly asks for the same few
    windows."""
    if period == "lifetime":
        return 0, None
    now = from_us(minute * _MINUTE_US)
    if kind == "rolling":
        return rolling_begins_us(period, now), None
    begins, ends = calendar_window(period, timezone, now)
    return to_us(begins), ends


def find_zone(name: str) -> ZoneInfo | None:
    """Return an IANA timezone by its name (`Europe/Berlin`), None if there is none."""
    try:
        return _zone(name)
    except (KeyError, ValueError, OSError):
        return None


_zone = lru_cache(maxsize=1_000)(ZoneInfo)


def calendar_window(period: Period, timezone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the UTC instants at which the window of `now` began and ends; not for `lifetime`."""
    zone = _zone(timezone)
    local = now.astimezone(zone)
    if period == "hour":
        # Counted on the clock that is in force now: it may be changed within the hour.
        offset = local.utcoffset() or timedelta()
        begins = _floor(now, offset)
        return begins, begins + _HOUR
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if period == "day":
        first, after = day, day + timedelta(days=1)
    elif period == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    return _at(first, zone), _at(after, zone)


def _floor(now: datetime, offset: timedelta) -> datetime:
    shifted = now + offset
    return shifted.replace(minute=0, second=0, microsecond=0) - offset


def _at(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant of a local time; of one that comes twice the first."""
    return local.replace(tzinfo=zone).astimezone(UTC)


def rolling_step_us(period: Period) -> int:
    """Return how long a part of a rolling window is, in microseconds."""
    return ROLLING_SECONDS[period] * 1_000_000 // STEPS


def rolling_begins_us(period: Period, now: datetime) -> int:
    """Return since when a rolling window counts, in microseconds since 1970: the beginning of the
    oldest part of which some is in the window."""
    step = rolling_step_us(period)
    oldest = to_us(now) - ROLLING_SECONDS[period] * 1_000_000
    return oldest // step * step
