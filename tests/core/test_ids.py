"""Ids rise strictly, whatever the clock does, and are UUIDv7 inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.ids import IdSource, derived_id, encode_base32, instant_of, is_public_id
from faregate.core.instants import EPOCH

from .builders import MINUTE, T0, id_source

properties = settings(deadline=None, max_examples=100)
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def number_of(public_id: str) -> int:
    number = 0
    for letter in public_id.partition("_")[2]:
        number = number * 32 + ALPHABET.index(letter)
    return number


def test_ids_within_one_millisecond_rise_strictly() -> None:
    source = id_source()
    made = [source.next("evt") for _ in range(5_000)]
    assert made == sorted(set(made))


def test_ids_rise_also_when_the_clock_goes_back() -> None:
    source = id_source(now=T0)
    first = source.next("evt")
    source.tick(T0 - 60 * MINUTE)
    second = source.next("evt")
    source.tick(T0 + MINUTE)
    third = source.next("evt")
    assert first < second < third


@properties
@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30), st.integers(0, 2**32))
def test_ids_rise_whatever_the_clock_says(milliseconds: list[int], seed: int) -> None:
    source = id_source(seed)
    made = [source.next("fee")]
    for offset in milliseconds:
        source.tick(T0 + timedelta(milliseconds=offset))
        made += [source.next("fee"), source.next("fee")]
    assert made == sorted(set(made))


def test_ids_rise_also_when_the_counter_runs_over() -> None:
    source = id_source()
    source._tail = 2**60 - 2
    last = source.next("evt")
    after = source.next("evt")
    assert last < after
    assert is_public_id(after, "evt")
    assert number_of(after) >> 80 == (number_of(last) >> 80) + 1


@pytest.mark.parametrize("bits", [lambda n: 0, lambda n: 2**n - 1])
def test_an_id_is_a_uuid_of_version_7(bits: object) -> None:
    source = IdSource(bits)  # type: ignore[arg-type]
    source.tick(T0)
    number = number_of(source.next("cust"))
    assert number < 2**128
    assert (number >> 76) & 0b1111 == 7
    assert (number >> 62) & 0b11 == 0b10
    assert number >> 80 == (T0 - EPOCH) // timedelta(milliseconds=1)


@properties
@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    st.integers(0, 2**32),
)
def test_version_variant_and_time_stand_in_every_id(now: datetime, seed: int) -> None:
    number = number_of(id_source(seed, now).next("cust"))
    assert (number >> 76) & 0b1111 == 7
    assert (number >> 62) & 0b11 == 0b10
    assert number >> 80 == (now - EPOCH) // timedelta(milliseconds=1)


@pytest.mark.parametrize("prefix", ["cust", "prp", "grt", "evt", "fee"])
def test_an_id_is_its_prefix_and_26_letters(prefix: str) -> None:
    made = id_source().next(prefix)
    head, _, letters = made.partition("_")
    assert head == prefix
    assert len(letters) == 26
    assert set(letters) <= set(ALPHABET)
    assert is_public_id(made, prefix)


def test_the_same_randomness_makes_the_same_ids() -> None:
    one, two, other = id_source(7), id_source(7), id_source(8)
    first = [one.next("evt") for _ in range(3)]
    assert first == [two.next("evt") for _ in range(3)]
    assert other.next("evt") not in first


@properties
@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_letters_sort_as_their_numbers_do(a: int, b: int) -> None:
    assert len(encode_base32(a)) == 26
    assert (encode_base32(a) < encode_base32(b)) == (a < b)
    assert number_of("x_" + encode_base32(a)) == a


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cust",
        "cust_",
        "cust_01k8zq4w2h7p8v3c5d6e7f8g9",
        "cust_01k8zq4w2h7p8v3c5d6e7f8g9hh",
        "cust_81k8zq4w2h7p8v3c5d6e7f8g9h",
        "cust_01K8ZQ4W2H7P8V3C5D6E7F8G9H",
        "cust_01k8zq4w2h7p8v3c5d6e7f8gil",
        "prp_01k8zq4w2h7p8v3c5d6e7f8g9h",
        " cust_01k8zq4w2h7p8v3c5d6e7f8g9h",
        "cust_01k8zq4w2h7p8v3c5d6e7f8g9h\n",
    ],
)
def test_other_texts_are_not_ids_of_a_customer(text: str) -> None:
    assert is_public_id("cust_01k8zq4w2h7p8v3c5d6e7f8g9h", "cust")
    assert not is_public_id(text, "cust")
    assert instant_of(text) is None or text.startswith("prp_")


def test_an_id_tells_when_it_was_made() -> None:
    source = id_source()
    source.tick(T0)
    assert instant_of(source.next("tup")) == T0
    assert instant_of(derived_id("fee", T0 + MINUTE, "a")) == T0 + MINUTE
