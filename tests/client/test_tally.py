"""What is used is added up exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.client.tally import Tally

NUMBERS = st.integers(-(10**30), 10**30) | st.decimals(-(10**20), 10**20, places=30)


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_numbers_of_many_digits_are_added_without_rounding(numbers: list[Any]) -> None:
    tally = Tally({})
    for number in numbers:
        tally.add({"n": number})
    assert Fraction(tally.data["n"]) == sum(Fraction(number) for number in numbers)


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ([1, 2], 3),
        ([0.1, 0.2], Decimal("0.3")),
        ([Decimal("1.50"), 1], Decimal("2.50")),
        (["a", "b"], "b"),
        ([True, False], False),
        ([1, True], True),
        ([True, 1], 1),
        (["x", 1], 1),
        ([1, "x"], "x"),
        ([[1], [2]], [2]),
        ([1, None], None),
    ],
)
def test_numbers_are_added_and_other_values_replace(values: list[Any], left: Any) -> None:
    tally = Tally({})
    for value in values:
        tally.add({"n": value})
    assert tally.data["n"] == left
    assert type(tally.data["n"]) is type(left)


def test_a_number_that_is_none_adds_nothing() -> None:
    tally = Tally({"model": "small"})
    for bad in (float("nan"), float("-inf"), Decimal("NaN")):
        with pytest.raises(ValueError, match=r"b is .*: use a finite number"):
            tally.add({"a": 1, "b": bad})
    assert (tally.data, tally.is_used) == ({"model": "small"}, False)
