"""Money as integers: nothing is lost on the way in or out, and nothing absurd gets in."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.amounts import (
    FIAT_SCALE,
    MAX_NUMBER_DIGITS,
    MAX_UNITS,
    AmountError,
    Number,
    half_even,
    plain,
    power_of_ten,
    scaled,
    to_decimal,
    to_units,
)

properties = settings(deadline=None, max_examples=100)


@pytest.mark.parametrize(
    ("text", "scale", "units"),
    [
        ("0", 9, 0),
        ("-0.0", 9, 0),
        ("0E+999999999", 9, 0),
        ("0.1", 9, 100_000_000),
        ("1e-9", 9, 1),
        ("0.000000001", 9, 1),
        ("9999999.999999999", 9, 9_999_999_999_999_999),
        ("-1.5", 9, -1_500_000_000),
        ("-0.000000001", 9, -1),
        ("1.0000000000000", 9, 1_000_000_000),
        ("1e3", 0, 1000),
        ("12.34", 2, 1234),
        ("7.00", 0, 7),
        ("9000000000.000000000", 9, MAX_UNITS),
        ("-9000000000", 9, -MAX_UNITS),
    ],
)
def test_a_number_becomes_exactly_its_units(text: str, scale: int, units: int) -> None:
    assert to_units(Number(text), scale) == units


def test_a_tenth_and_two_tenths_are_three_tenths() -> None:
    total = to_units(Number("0.1"), FIAT_SCALE) + to_units(Number("0.2"), FIAT_SCALE)
    assert to_decimal(total, FIAT_SCALE) == Decimal("0.3")


def test_a_plain_integer_becomes_its_units() -> None:
    assert to_units(5, 9) == 5_000_000_000
    assert to_units(-5, 0) == -5


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match="finite"):
        to_units(Number(text), FIAT_SCALE)


@pytest.mark.parametrize("text", ["1e30", "-1e30", "9000000000.000000001", "-9000000001"])
def test_an_amount_beyond_the_ledger_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(AmountError, match="at most 9000000000"):
        to_units(Number(text), FIAT_SCALE)


@pytest.mark.parametrize("text", ["1e40", "1e999999999", "-1e999999999", "9" * 41])
def test_an_absurd_number_is_refused_without_writing_it_out(text: str) -> None:
    with pytest.raises(AmountError, match="below 1e40"):
        to_units(Number(text), FIAT_SCALE)


@pytest.mark.parametrize("integer", [10**40, -(10**40), 10**4000])
def test_an_absurd_integer_is_refused(integer: int) -> None:
    with pytest.raises(AmountError, match="below 1e40"):
        scaled(integer, 9)


@pytest.mark.parametrize(
    ("text", "scale", "remedy"),
    [
        ("0.0000000001", 9, "at most 9 decimals"),
        ("1.0000000001", 9, "at most 9 decimals"),
        ("1e-999999999", 9, "at most 9 decimals"),
        ("1.005", 2, "at most 2 decimals"),
        ("0.5", 0, "no decimals"),
    ],
)
def test_too_many_decimals_are_refused_not_rounded(text: str, scale: int, remedy: str) -> None:
    with pytest.raises(AmountError, match=remedy):
        to_units(Number(text), scale)


def test_sixty_digits_are_read_and_sixty_one_are_refused() -> None:
    longest = "0." + "1" * MAX_NUMBER_DIGITS
    assert scaled(Decimal(longest), 60) == int("1" * MAX_NUMBER_DIGITS)
    with pytest.raises(AmountError, match="61 digits"):
        scaled(Decimal(longest + "1"), 60)


@properties
@given(st.integers(-(10**25), 10**25), st.integers(-60, 14), st.integers(0, 30))
def test_scaling_is_exact_or_says_none(digits: int, exponent: int, decimals: int) -> None:
    number = Decimal(digits).scaleb(exponent)
    exact = Fraction(digits) * Fraction(10) ** (exponent + decimals)
    assert scaled(number, decimals) == (exact if exact.denominator == 1 else None)


@properties
@given(st.integers(1, 9), st.integers(-(10**17), 10**17))
def test_no_exponent_is_too_large_to_be_judged(digit: int, exponent: int) -> None:
    try:
        units = scaled(Decimal((0, (digit,), exponent)), FIAT_SCALE)
    except AmountError:
        assert exponent >= 40
    else:
        assert (units is None) == (exponent < -FIAT_SCALE)


@properties
@given(st.integers(-MAX_UNITS, MAX_UNITS), st.integers(0, 9))
def test_units_survive_the_way_out_and_in(units: int, scale: int) -> None:
    amount = to_decimal(units, scale)
    assert Fraction(amount) == Fraction(units, 10**scale)
    assert to_units(amount, scale) == units
    assert to_units(Number(plain(amount)), scale) == units


@properties
@given(st.integers(-MAX_UNITS, MAX_UNITS), st.integers(0, 9))
def test_amounts_go_out_without_exponent_or_trailing_zeros(units: int, scale: int) -> None:
    text = plain(to_decimal(units, scale))
    assert "e" not in text.lower()
    assert "." not in text or text[-1] not in "0."


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1E-9", "0.000000001"),
        ("1E+3", "1000"),
        ("1.50", "1.5"),
        ("100", "100"),
        ("2.0", "2"),
        ("-0.10", "-0.1"),
        ("0.00", "0"),
    ],
)
def test_a_number_is_written_plainly(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded", "rest"),
    [
        (0, 10, 0, 0),
        (4, 10, 0, 4),
        (5, 10, 0, 5),
        (6, 10, 1, -4),
        (15, 10, 2, -5),
        (25, 10, 2, 5),
        (35, 10, 4, -5),
        (20, 10, 2, 0),
        (-4, 10, 0, -4),
        (-5, 10, 0, -5),
        (-6, 10, -1, 4),
        (-15, 10, -2, 5),
        (-25, 10, -2, -5),
        (7, 1, 7, 0),
        (1, 3, 0, 1),
        (2, 3, 1, -1),
    ],
)
def test_ties_go_to_the_even_neighbour(
    numerator: int, denominator: int, rounded: int, rest: int
) -> None:
    assert half_even(numerator, denominator) == (rounded, rest)


@properties
@given(st.integers(-(10**60), 10**60), st.integers(1, 10**30))
def test_rounding_loses_nothing_and_leaves_at_most_half(numerator: int, denominator: int) -> None:
    rounded, rest = half_even(numerator, denominator)
    assert numerator == rounded * denominator + rest
    assert abs(rest) * 2 <= denominator
    assert rounded == round(Fraction(numerator, denominator))


@pytest.mark.parametrize("exponent", [0, 1, 9, 30])
def test_powers_of_ten_are_integers(exponent: int) -> None:
    assert power_of_ten(exponent) == int("1" + "0" * exponent)
