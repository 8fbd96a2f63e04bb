"""What one asset costs in another, over time: which rate is valid, what it buys, what it closes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.problems import CONFLICT, INVALID, Problem
from faregate.core.rates import Rate, convert, rate_at, schedule

from .builders import DAY, T0

properties = settings(deadline=None, max_examples=100)
ONE = Decimal(1)


def since(day: int, to: int | None = None, source: str = "USD", rate: str = "1") -> Rate:
    ends = None if to is None else T0 + to * DAY
    return Rate(source, T0 + day * DAY, ends, Decimal(rate))


@pytest.mark.parametrize(
    ("rate", "inverse", "amount", "precision", "buys", "is_rounded"),
    [
        # A credit costs 0.10: 5 buy 50.
        ("0.1", None, "5", 0, "50", False),
        # 0.99 would buy 9.9 credits; they have no parts.
        ("0.1", None, "0.99", 0, "9", True),
        ("0.1", None, "0.99", 1, "9.9", False),
        # One buys 100 credits.
        (None, "100", "0.5", 0, "50", False),
        (None, "100", "0.009", 0, "0", True),
        # A third is kept as what was given, not as 0.333: 1 / 3 x 3 buys exactly one.
        ("3", None, "3", 9, "1", False),
        ("3", None, "1", 9, "0.333333333", True),
        (None, "3", "0.333333333", 9, "0.999999999", False),
        ("1", None, "0", 2, "0", False),
    ],
)
def test_an_amount_buys_rounded_down(
    rate: str | None, inverse: str | None, amount: str, precision: int, buys: str, is_rounded: bool
) -> None:
    given = Rate("USD", T0, None, rate and Decimal(rate), inverse and Decimal(inverse))  # type: ignore[arg-type]
    found = convert(given, Decimal(amount), precision)
    assert (found.amount, found.is_rounded) == (Decimal(buys), is_rounded)


@properties
@given(
    st.decimals("0.000001", 10**6, places=6),
    st.decimals(0, 10**9, places=9),
    st.integers(0, 9),
)
def test_what_is_bought_is_never_worth_more_than_what_was_paid(
    price: Decimal, amount: Decimal, precision: int
) -> None:
    found = convert(Rate("USD", T0, None, price), amount, precision)
    worth = Fraction(found.amount) * Fraction(price)
    assert 0 <= Fraction(amount) - worth < Fraction(price) / 10**precision
    assert found.is_rounded == (worth != Fraction(amount))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (T0 - timedelta(microseconds=1), None),
        (T0, "1"),
        (T0 + 10 * DAY - timedelta(microseconds=1), "1"),
        (T0 + 10 * DAY, "2"),
        (T0 + 12 * DAY, None),
        (T0 + 20 * DAY, "3"),
        (T0 + 2000 * DAY, "3"),
    ],
)
def test_a_rate_is_valid_from_its_beginning_until_before_its_end(
    at: datetime, expected: str | None
) -> None:
    rates = [since(20, rate="3"), since(10, 12, rate="2"), since(0, 10), since(0, source="EUR")]
    found = rate_at(rates, "USD", at)
    assert (None if found is None else str(found.rate)) == expected


@pytest.mark.parametrize(
    ("kept", "new", "stands", "closed"),
    [
        # The first one.
        ([], since(0), since(0), None),
        # The one before is closed.
        ([since(0)], since(5), since(5), since(0, 5)),
        ([since(0, 10)], since(5), since(5), since(0, 5)),
        ([since(0), since(-9, 0)], since(5, 7), since(5, 7), since(0, 5)),
        # One that has ended already is not.
        ([since(0, 3)], since(5), since(5), None),
        ([since(0, 5)], since(5), since(5), None),
        # It ends where the next begins.
        ([since(9)], since(5), since(5, 9), None),
        ([since(9)], since(5, 9), since(5, 9), None),
        ([since(0), since(9)], since(5), since(5, 9), since(0, 5)),
        # Another source is another matter.
        ([since(0, source="EUR")], since(5), since(5), None),
    ],
)
def test_a_new_rate_closes_the_one_before(
    kept: list[Rate], new: Rate, stands: Rate, closed: Rate | None
) -> None:
    assert schedule(kept, new) == (stands, closed)


@pytest.mark.parametrize(
    ("kept", "new", "status", "field"),
    [
        ([since(5)], since(5), CONFLICT, "valid_from"),
        ([], since(5, 5), INVALID, "valid_to"),
        ([], since(5, 4), INVALID, "valid_to"),
        ([since(9)], since(5, 10), INVALID, "valid_to"),
    ],
)
def test_rates_that_overlap_are_refused(
    kept: list[Rate], new: Rate, status: object, field: str
) -> None:
    found = schedule(kept, new)
    assert isinstance(found, Problem)
    assert found.kind is status
    assert list(found.errors) == [field]


@properties
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.none() | st.integers(1, 30)), min_size=1, max_size=12
    ),
    st.integers(-5, 65),
)
def test_at_no_instant_two_rates_are_valid(added: list[tuple[int, int | None]], day: int) -> None:
    rates: list[Rate] = []
    for begins, length in added:
        outcome = schedule(rates, since(begins, None if length is None else begins + length))
        if isinstance(outcome, Problem):
            continue
        new, closed = outcome
        rates = [rate for rate in rates if closed is None or rate.valid_from != closed.valid_from]
        rates += [new] if closed is None else [closed, new]
    at = T0 + day * DAY
    valid = [r for r in rates if r.valid_from <= at and (r.valid_to is None or at < r.valid_to)]
    assert len(valid) <= 1
    assert [rate_at(rates, "USD", at)] == (valid or [None])
