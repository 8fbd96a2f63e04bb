"""Which amounts customers are offered."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.amounts import Number
from faregate.core.offers import MOST, suggested_amounts
from faregate.core.payment_rules import TopUpBounds


@pytest.mark.parametrize(
    ("least", "most", "precision", "amounts"),
    [
        (None, None, 2, [10, 20, 50, 100]),
        (None, None, 0, [1000, 2000, 5000, 10000]),
        (5, 500, 2, [10, 20, 50, 100]),
        (25, 100, 2, [25, 50, 100]),
        (15, None, 2, [20, 50, 100, 200]),
        (3, 4, 2, [3]),
        (None, 5, 2, [5]),
        (1000, None, 2, [1000, 2000, 5000, 10000]),
        (100_000, 200_000, 2, [100_000, 200_000]),
    ],
)
def test_amounts_fit_the_currency_and_what_the_account_allows(
    least: int | None, most: int | None, precision: int, amounts: list[int]
) -> None:
    bounds = TopUpBounds(
        None if least is None else Number(least), None if most is None else Number(most)
    )
    assert suggested_amounts(bounds, precision) == amounts


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.sampled_from([0, 2, 3]))
def test_there_is_always_an_amount_and_none_that_would_be_refused(
    least: int, more: int, precision: int
) -> None:
    bounds = TopUpBounds(Number(least), Number(least + more))
    found = suggested_amounts(bounds, precision)
    assert 0 < len(found) <= MOST
    assert found == sorted(set(found))
    assert all(Decimal(least) <= amount <= least + more for amount in found)
