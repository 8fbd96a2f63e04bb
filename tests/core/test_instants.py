"""Instants as whole microseconds: exact both ways, also before the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core import instants

properties = settings(deadline=None, max_examples=100)


def test_instants_count_microseconds_from_1970() -> None:
    assert instants.to_us(instants.EPOCH) == 0
    assert instants.to_us(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1_000_000
    assert instants.to_us(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_the_zone_of_an_instant_does_not_matter() -> None:
    there = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert instants.to_us(there) == instants.to_us(datetime(2026, 3, 1, 12, tzinfo=UTC))


@properties
@given(st.datetimes(timezones=st.just(UTC)))
def test_instants_survive_the_way_to_storage_and_back(moment: datetime) -> None:
    stored = instants.to_us(moment)
    assert instants.from_us(stored) == moment
    assert instants.from_us(stored).tzinfo is UTC


@properties
@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_stored_instants_sort_as_instants_do(a: datetime, b: datetime) -> None:
    assert (a < b) == (instants.to_us(a) < instants.to_us(b))
