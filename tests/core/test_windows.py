"""When windows of limits begin and end, in timezones and on the days when clocks change. Instants
were worked out by hand from the zones' rules.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.instants import from_us, to_us
from faregate.core.windows import (
    ROLLING_SECONDS,
    STEPS,
    calendar_window,
    find_zone,
    rolling_begins_us,
    window_at,
)

PERIODS: Any = ("hour", "day", "week", "month")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "timezone", "now", "begins", "ends"),
    [
        ("hour", "UTC", "2026-03-01T12:34", "2026-03-01T12:00", "2026-03-01T13:00"),
        # India is 5:30 ahead: its hours begin at half past.
        ("hour", "Asia/Kolkata", "2026-03-01T12:34", "2026-03-01T12:30", "2026-03-01T13:30"),
        ("day", "UTC", "2026-03-01T00:00", "2026-03-01T00:00", "2026-03-02T00:00"),
        ("day", "America/New_York", "2026-03-01T03:00", "2026-02-28T05:00", "2026-03-01T05:00"),
        # 29 March 2026 has 23 hours in Berlin, 25 October has 25.
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        # Midnight itself did not come on 29 March 2026 in Beirut: the day begins at one o'clock.
        ("day", "Asia/Beirut", "2026-03-29T09:00", "2026-03-28T22:00", "2026-03-29T21:00"),
        # In Havana midnight comes twice on 1 November 2026: the day begins with the first.
        ("day", "America/Havana", "2026-11-01T05:30", "2026-11-01T04:00", "2026-11-02T05:00"),
        # 1 March 2026 is a Sunday.
        ("week", "UTC", "2026-03-01T12:00", "2026-02-23T00:00", "2026-03-02T00:00"),
        ("week", "UTC", "2026-03-02T00:00", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "Europe/Berlin", "2026-03-31T22:30", "2026-03-31T22:00", "2026-04-30T22:00"),
    ],
)
def test_a_calendar_window_follows_the_clocks_of_its_timezone(
    period: Any, timezone: str, now: str, begins: str, ends: str
) -> None:
    assert calendar_window(period, timezone, utc(now)) == (utc(begins), utc(ends))


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(
        ("UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Beirut")
    ),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_every_instant_lies_in_its_window_and_the_next_one_begins_where_it_ends(
    period: Any, timezone: str, now: datetime
) -> None:
    begins, ends = calendar_window(period, timezone, now)
    assert begins <= now < ends
    last = ends - timedelta(microseconds=1)
    assert calendar_window(period, timezone, begins) == (begins, ends)
    # Where a clock is moved by half an hour, an hour may be cut short: but never overlap.
    after = calendar_window(period, timezone, ends)
    if period != "hour":
        assert calendar_window(period, timezone, last) == (begins, ends)
        assert after[0] == ends


@given(
    st.sampled_from(PERIODS),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_a_rolling_window_reaches_back_all_of_its_length_and_less_than_a_step_more(
    period: Any, now: datetime
) -> None:
    length = timedelta(seconds=ROLLING_SECONDS[period])
    begins = from_us(rolling_begins_us(period, now))
    assert now - length - length / STEPS < begins <= now - length


@given(
    st.sampled_from(PERIODS),
    st.sampled_from(("UTC", "Asia/Kolkata", "Australia/Lord_Howe")),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_all_instants_of_a_minute_have_the_same_window(
    period: Any, timezone: str, now: datetime
) -> None:
    begins, ends = calendar_window(period, timezone, now)
    assert window_at(period, "calendar", timezone, now) == (to_us(begins), ends)
    rolling = (rolling_begins_us(period, now), None)
    assert window_at(period, "rolling", timezone, now) == rolling
    assert window_at("lifetime", "calendar", timezone, now) == (0, None)


@pytest.mark.parametrize("name", ["", "Europe/Atlantis", "../etc/passwd", "/etc/passwd", "a\x00b"])
def test_what_is_no_timezone_is_none(name: str) -> None:
    assert find_zone(name) is None


def test_a_timezone_is_found_by_its_name() -> None:
    assert find_zone("Europe/Berlin") is not None
