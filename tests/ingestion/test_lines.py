"""When a line's use was, and which id it has."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.ingestion.lines import Line, Lines, Reading, read_instant
from faregate.ingestion.records import unpacked

CSV = Reading("csv")
HEADER = "occurred_at,customer\n"
ONE = "2026-11-01T10:00:00Z,acme\n"
TWO = "2026-11-01T10:00:01Z,acme\n"


def read(text: str | bytes, reading: Reading = CSV, name: str = "u.csv") -> list[Line]:
    body = text.encode() if isinstance(text, str) else text
    return list(Lines(name, reading).read(unpacked(io.BytesIO(body))))


def ids(text: str | bytes, reading: Reading = CSV, name: str = "u.csv") -> list[str]:
    return [line.observed.id for line in read(text, reading, name) if line.observed is not None]


def test_a_line_tells_when_what_and_where():
    (line,) = read(HEADER + ONE)
    assert line.observed is not None
    assert line.observed.occurred_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert line.observed.place == "u.csv:2"
    assert line.observed.fields["customer"] == "acme"


def test_a_line_has_the_id_that_its_id_column_says():
    assert ids("id,occurred_at\n 7,2026-11-01T10:00:00Z\n") == [" 7"]
    named = Reading("csv", id_field="request")
    assert ids("id,request,occurred_at\n7,r-1,2026-11-01T10:00:00Z\n", named) == ["r-1"]


def test_a_line_without_an_id_in_the_column_that_was_named_is_refused():
    (line,) = read(
        "request,occurred_at\n,2026-11-01T10:00:00Z\n", Reading("csv", id_field="request")
    )
    assert line.observed is None
    assert line.problem.startswith("request is empty: give every line an id")


@pytest.mark.parametrize(("long", "length"), [("1e300", 301), (f'"{"x" * 201}"', 201)])
def test_an_id_that_no_event_may_have_is_refused_on_its_line_and_does_not_stop_the_others(
    long: str, length: int
):
    at = '"timestamp":"2026-11-01T10:00:00Z"'
    refused, other = read(f'{{"id":{long},{at}}}\n{{"id":"b",{at}}}\n', Reading("jsonl"))
    assert refused.observed is None
    assert refused.problem == f"id has {length} characters: at most 200 fit"
    assert other.observed is not None


def test_a_file_that_was_renamed_packed_or_appended_to_keeps_the_ids_of_its_lines():
    first = ids(HEADER + ONE + TWO)
    assert ids(HEADER + ONE + TWO, name="other.csv") == first
    assert ids(gzip.compress((HEADER + ONE + TWO).encode())) == first
    assert ids((HEADER + ONE + TWO).replace("\n", "\r\n")) == first
    assert ids(HEADER + ONE + TWO + ONE)[:2] == first
    assert ids("\ufeff" + HEADER + "\n" + ONE + TWO.rstrip("\n")) == first


def test_equal_lines_of_one_file_are_two_uses():
    first, second = ids(HEADER + ONE + ONE)
    assert first != second


def test_a_line_that_was_changed_changes_the_ids_below_it_and_the_mark():
    before, after = ids(HEADER + ONE + TWO), ids(HEADER + TWO + TWO)
    assert before[1] != after[1]


def test_what_cannot_be_read_counts_in_the_mark_of_what_was_read():
    one, other = Lines("a", CSV), Lines("a", CSV)
    assert [line.problem != "" for line in one.read(io.BytesIO(b"occurred_at,b\nx\n"))] == [True]
    assert [line.problem != "" for line in other.read(io.BytesIO(b"occurred_at,b\ny\n"))] == [True]
    assert (one.count, other.count) == (1, 1)
    assert one.mark != other.mark


@pytest.mark.parametrize(
    ("text", "reading", "instant"),
    [
        ("2026-11-01T10:00:00Z", CSV, "2026-11-01T10:00:00+00:00"),
        ("2026-11-01t10:00:00z", CSV, "2026-11-01T10:00:00+00:00"),
        ("2026-11-01 10:00:00+01:00", CSV, "2026-11-01T09:00:00+00:00"),
        ("2026-11-01T10:00:00.123456789Z", CSV, "2026-11-01T10:00:00.123456+00:00"),
        (" 2026-11-01T10:00:00Z ", CSV, "2026-11-01T10:00:00+00:00"),
        ("2026-11-01 10:00:00.5", Reading("csv", is_utc=True), "2026-11-01T10:00:00.500000+00:00"),
        ("2026-11-01T10:00:00-02:00", Reading("csv", is_utc=True), "2026-11-01T12:00:00+00:00"),
        ("1793527200", Reading("csv", epoch="s"), "2026-11-01T10:00:00+00:00"),
        ("1793527200.25", Reading("csv", epoch="s"), "2026-11-01T10:00:00.250000+00:00"),
        ("1793527200123", Reading("csv", epoch="ms"), "2026-11-01T10:00:00.123000+00:00"),
        ("1793527200123456", Reading("csv", epoch="us"), "2026-11-01T10:00:00.123456+00:00"),
        ("1793527200123456999", Reading("csv", epoch="ns"), "2026-11-01T10:00:00.123456+00:00"),
    ],
)
def test_an_instant_is_read_to_the_microsecond(text: str, reading: Reading, instant: str):
    assert read_instant("at", text, reading).isoformat() == instant


@pytest.mark.parametrize(
    ("text", "reading", "said"),
    [
        ("2026-11-01T10:00:00", CSV, "without an offset: say --utc"),
        ("01.11.2026 10:00", CSV, "write an instant as 2026-11-01T10:00:00Z"),
        ("2026-11-01", CSV, "write an instant as"),
        ("1793527200", CSV, "say its unit with --epoch"),
        ("2026-13-01T10:00:00Z", CSV, "month must be in 1..12"),
        ("2026-11-01T10:00:60Z", CSV, "second must be in 0..59"),
        ("0001-01-01T00:00:00+14:00", CSV, "outside the years 1970 to 8999"),
        ("9999-12-31T23:59:59-14:00", CSV, "outside the years"),
        ("٢٠٢٦-11-01T10:00:00Z", CSV, "write an instant as"),
        ("2026-11-01T10:00:00Z", Reading("csv", epoch="s"), "leave --epoch out"),
        ("1793527200123456", Reading("csv", epoch="s"), "is --epoch s its unit?"),
        ("-1", Reading("csv", epoch="s"), "outside the years 1970 to 8999"),
        ("1e9", Reading("csv", epoch="s"), "no number"),
        ("NaN", Reading("csv", epoch="s"), "no number"),
    ],
)
def test_an_instant_that_is_none_is_refused_with_the_remedy(text: str, reading: Reading, said: str):
    with pytest.raises(ValueError, match=r"^at is ") as refused:
        read_instant("at", text, reading)
    assert said in str(refused.value)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(st.datetimes(datetime(1970, 1, 1), datetime(8999, 1, 1), timezones=st.just(UTC)))
def test_a_number_since_1970_is_the_instant_that_it_was_made_from(unit: str, moment: datetime):
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    places = {"s": 6, "ms": 3, "us": 0, "ns": -3}[unit]
    text = f"{microseconds:07d}"
    text = (
        text + "000" if places < 0 else text if not places else f"{text[:-places]}.{text[-places:]}"
    )
    reading = msgspec.structs.replace(CSV, epoch=unit)
    assert read_instant("at", text, reading) == moment


def test_the_numbers_of_json_may_be_ids_and_instants():
    (line,) = read('{"id": 12, "timestamp": 1793527200.5}', Reading("jsonl", epoch="s"))
    assert line.observed is not None
    assert line.observed.id == "12"
    assert line.observed.occurred_at == datetime(2026, 11, 1, 10, 0, 0, 500000, tzinfo=UTC)
