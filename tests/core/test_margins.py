"""Amounts in one currency, and what is left of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import T0

from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES, custom_asset
from faregate.core.margins import ONE, Exchange, Sums, divided, shown_amount, shown_margin
from faregate.core.rates import Rate

DAY = timedelta(days=1)
ASSETS = {**CURRENCIES, "GEMS": custom_asset("GEMS", "Gems", 2)}


def test_a_price_holds_from_its_beginning_until_its_end_or_the_next() -> None:
    exchange = Exchange(
        "USD",
        ASSETS,
        [
            ("EUR", Rate("USD", T0 + 2 * DAY, T0 + 3 * DAY, Number("1.5"))),
            ("EUR", Rate("USD", T0, T0 + 1 * DAY, Number("1.25"))),
        ],
    )
    found = [exchange.price_at("EUR", T0 + half * DAY / 2) for half in range(-1, 7)]
    low, high = Fraction(5, 4), Fraction(3, 2)
    assert found == [None, low, low, None, None, high, high, None]
    assert exchange.price_since("EUR", T0) == low
    assert exchange.price_since("EUR", T0 + DAY) is None
    assert exchange.price_since("EUR", None) is None
    assert exchange.price_at("GBP", T0) is None


def test_the_currency_itself_needs_no_rate() -> None:
    exchange = Exchange("USD", ASSETS, [])
    assert exchange.price_at("USD", T0) is ONE
    assert exchange.price_since("USD", None) is ONE


def test_a_price_is_for_units_of_either_scale() -> None:
    # 1 GEMS costs 0.1 USD: one of its hundredths is a thousandth of a dollar, a million units.
    exchange = Exchange("USD", ASSETS, [("GEMS", Rate("USD", T0, None, Number("0.1")))])
    assert exchange.price_at("GEMS", T0) == 1_000_000


@pytest.mark.parametrize(
    ("asset", "rate", "currency", "other", "price"),
    [
        ("EUR", Rate("USD", T0, None, Number("1.25")), "USD", "EUR", Fraction(5, 4)),
        ("EUR", Rate("USD", T0, None, None, Number("0.8")), "USD", "EUR", Fraction(5, 4)),
        ("USD", Rate("EUR", T0, None, Number("0.8")), "USD", "EUR", Fraction(5, 4)),
        ("USD", Rate("EUR", T0, None, None, Number("1.25")), "USD", "EUR", Fraction(5, 4)),
        ("EUR", Rate("USD", T0, None, Number("3")), "EUR", "USD", Fraction(1, 3)),
    ],
)
def test_rates_count_in_both_directions(
    asset: str, rate: Rate, currency: str, other: str, price: Fraction
) -> None:
    assert Exchange(currency, ASSETS, [(asset, rate)]).price_at(other, T0) == price


def test_rates_of_other_currencies_and_unknown_assets_are_left_out() -> None:
    rates = [
        ("EUR", Rate("GBP", T0, None, Number("1"))),
        ("GONE", Rate("USD", T0, None, Number("1"))),
    ]
    exchange = Exchange("USD", ASSETS, rates)
    assert exchange.price_at("EUR", T0) is exchange.price_at("GONE", T0) is None


def test_sums_are_exact_and_what_is_not_converted_stays_in_its_own_units() -> None:
    sums, other = Sums(), Sums()
    for _ in range(3):
        sums.add_revenue("EUR", 1, Fraction(1, 3))
    sums.add_costs("USD", 4, ONE)
    sums.add_revenue("GBP", 7, None)
    other.add_costs("GBP", 2, None)
    other.add_costs("JPY", 0, None)
    sums.add(other)
    assert (sums.revenue, sums.costs, sums.net, sums.margin) == (1, 4, -3, -300)
    assert sums.unconverted == {"GBP": (7, 2)}


def test_a_margin_of_whole_units_is_no_float() -> None:
    sums = Sums()
    sums.add_revenue("USD", 3, ONE)
    sums.add_costs("USD", 1, ONE)
    assert type(sums.margin) is Fraction
    assert sums.margin == Fraction(200, 3)
    assert Sums().margin is None


@pytest.mark.parametrize(
    ("percent", "shown"),
    [
        (Fraction(200, 3), "66.67"),
        (Fraction("0.005"), "0"),
        (Fraction("0.015"), "0.02"),
        (Fraction("-0.015"), "-0.02"),
        (Fraction("-0.025"), "-0.02"),
        (Fraction(-150), "-150"),
    ],
)
def test_margins_are_shown_half_even(percent: Fraction, shown: str) -> None:
    assert f"{shown_margin(percent):f}" == shown


def test_amounts_are_rounded_once_where_they_are_shown() -> None:
    assert shown_amount(Fraction(5, 2)) == Decimal("0.000000002")
    assert shown_amount(Fraction(7, 2)) == Decimal("0.000000004")
    assert shown_amount(150, 2) == Decimal("1.5")
    assert shown_margin(None) is None


@given(
    st.integers(0, 10**18),
    st.lists(st.integers(0, 10**18) | st.fractions(0, 10**6, max_denominator=999), min_size=1),
)
def test_parts_are_the_whole_and_each_is_within_a_unit_per_part_of_its_share(
    units: int, shares: list[Fraction | int]
) -> None:
    parts = divided(units, shares)
    assert sum(parts) == units
    assert len(parts) == len(shares)
    assert all(part >= 0 for part in parts)
    whole = sum(shares)
    if whole:
        for part, share in zip(parts, shares, strict=True):
            assert abs(part - Fraction(units) * share / whole) < len(parts)
            assert share or not part
