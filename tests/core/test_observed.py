"""What is told has ids that no two different things share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faregate.core.observed import MAX_ID, Ingested, Outcome, told_id
from faregate.core.problems import invalid

parts = st.lists(st.text(max_size=120), min_size=1, max_size=4)


def test_an_id_of_two_parts_can_be_read() -> None:
    assert told_id("/orders", "7") == "/orders 7"


@given(parts, parts)
def test_different_parts_have_different_ids_of_a_length_that_is_kept(
    one: list[str], other: list[str]
) -> None:
    assert (told_id(*one) == told_id(*other)) is (one == other)
    assert 1 <= len(told_id(*one)) <= MAX_ID


def test_parts_that_only_read_the_same_when_joined_are_told_apart() -> None:
    ids = {told_id("a b", "c"), told_id("a", "b c"), told_id("a", "b", "c"), told_id("a b c")}
    assert len(ids) == 4


def test_what_became_of_things_is_counted() -> None:
    refused = Outcome("[1]", "b", "refused", problem=invalid("customer", "is unknown"))
    ingested = Ingested((Outcome("[0]", "a", "booked"), refused, Outcome("[2]", "c", "booked")))
    assert ingested.counts == {"booked": 2, "refused": 1}
    assert ingested.refused == [refused]
