"""When what comes again is due. Instants were worked out by hand from the calendar and the zones'
rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.instants import LATEST
from faregate.core.periods import Cadence

properties = settings(deadline=None, max_examples=150)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cadence(anchor: str, interval: Any, count: int = 1, timezone: str = "UTC") -> Cadence:
    return Cadence(interval, utc(anchor), count, timezone)


@pytest.mark.parametrize(
    ("source", "begins"),
    [
        (cadence("2026-01-31", "month"), ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
        # In a leap year the last of February is the 29th.
        (cadence("2028-01-31", "month"), ["2028-01-31", "2028-02-29", "2028-03-31"]),
        (cadence("2026-01-30", "month"), ["2026-01-30", "2026-02-28", "2026-03-30"]),
        (cadence("2026-11-30", "month"), ["2026-11-30", "2026-12-30", "2027-01-30", "2027-02-28"]),
        (
            cadence("2026-08-31", "month", 3),
            ["2026-08-31", "2026-11-30", "2027-02-28", "2027-05-31"],
        ),
        (
            cadence("2028-02-29", "year"),
            ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"],
        ),
        (cadence("2026-12-31T23:59:59", "month"), ["2026-12-31T23:59:59", "2027-01-31T23:59:59"]),
        (
            cadence("2026-02-27T12:00", "day"),
            ["2026-02-27T12:00", "2026-02-28T12:00", "2026-03-01T12:00"],
        ),
        (cadence("2026-12-28", "week", 2), ["2026-12-28", "2027-01-11", "2027-01-25"]),
        (cadence("2026-01-01", "year", 2), ["2026-01-01", "2028-01-01", "2030-01-01"]),
        # Noon in Berlin is 11:00 UTC in winter and 10:00 in summer.
        (
            cadence("2026-02-28T11:00", "month", timezone="Europe/Berlin"),
            ["2026-02-28T11:00", "2026-03-28T11:00", "2026-04-28T10:00"],
        ),
        # The day of the change has 23 hours.
        (
            cadence("2026-03-28T11:00", "day", timezone="Europe/Berlin"),
            ["2026-03-28T11:00", "2026-03-29T10:00", "2026-03-30T10:00"],
        ),
        # 02:30 does not come on 29 March: 03:30, and the next day 02:30 again.
        (
            cadence("2026-03-28T01:30", "day", timezone="Europe/Berlin"),
            ["2026-03-28T01:30", "2026-03-29T01:30", "2026-03-30T00:30"],
        ),
        # 02:30 comes twice on 25 October: the first is meant.
        (
            cadence("2026-10-24T00:30", "day", timezone="Europe/Berlin"),
            ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"],
        ),
        # The anchor may be the second one; it stays what it was, and is 02:30 from then on.
        (
            cadence("2026-10-25T01:30", "day", timezone="Europe/Berlin"),
            ["2026-10-25T01:30", "2026-10-26T01:30"],
        ),
        # Midnight of the first in Auckland is noon, or eleven, of the day before in UTC.
        (
            cadence("2026-02-28T11:00", "month", timezone="Pacific/Auckland"),
            ["2026-02-28T11:00", "2026-03-31T11:00", "2026-04-30T12:00"],
        ),
    ],
)
def test_periods_begin(source: Cadence, begins: list[str]) -> None:
    assert [source.begins_at(number) for number in range(len(begins))] == [utc(b) for b in begins]


@pytest.mark.parametrize(
    ("source", "at", "begins", "ends"),
    [
        (cadence("2026-01-31", "month"), "2026-01-31", "2026-01-31", "2026-02-28"),
        (cadence("2026-01-31", "month"), "2026-02-27T23:59:59.999999", "2026-01-31", "2026-02-28"),
        (cadence("2026-01-31", "month"), "2026-02-28", "2026-02-28", "2026-03-31"),
        (cadence("2026-01-31", "month"), "2026-01-30", "2025-12-31", "2026-01-31"),
        (cadence("2026-01-31", "month"), "2031-07-15", "2031-06-30", "2031-07-31"),
        (cadence("2028-02-29", "year"), "2032-02-28", "2031-02-28", "2032-02-29"),
        (cadence("2026-05-05", "day", 10), "2026-05-14T23:00", "2026-05-05", "2026-05-15"),
    ],
)
def test_an_instant_lies_in_its_period(source: Cadence, at: str, begins: str, ends: str) -> None:
    assert source.period_at(utc(at)) == (utc(begins), utc(ends))


def test_what_lies_beyond_all_time_never_comes() -> None:
    source = cadence("8999-06-01", "year", 1000)
    assert source.begins_at(1) == LATEST
    assert source.begins_at(2) == LATEST
    assert source.period_at(utc("8999-12-31")) == (utc("8999-06-01"), LATEST)


cadences = st.builds(
    Cadence,
    st.sampled_from(["day", "week", "month", "year"]),
    st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.integers(1, 14),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata"]
    ),
)


@properties
@given(cadences, st.integers(-50, 200))
def test_periods_follow_each_other_without_a_gap(source: Cadence, number: int) -> None:
    begins, ends = source.begins_at(number), source.begins_at(number + 1)
    assert begins < ends
    last = ends - timedelta(microseconds=1)
    for at in (begins, begins + (ends - begins) / 2, last):
        assert source.number_at(at) == number
        assert source.period_at(at) == (begins, ends)


@properties
@given(cadences, st.integers(0, 200))
def test_months_and_years_keep_the_anchors_day_or_end_the_month(
    source: Cadence, number: int
) -> None:
    if source.interval in ("day", "week") or source.timezone != "UTC":
        return
    begins = source.begins_at(number)
    is_last_day = (begins + timedelta(days=1)).day == 1
    assert begins.day == source.anchor_at.day or (is_last_day and begins.day < source.anchor_at.day)
    assert begins.time() == source.anchor_at.time()
    months = (begins.year - source.anchor_at.year) * 12 + begins.month - source.anchor_at.month
    assert months == number * source.count * (12 if source.interval == "year" else 1)
