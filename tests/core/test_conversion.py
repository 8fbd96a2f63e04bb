"""Paying in another asset than the one that a price is in. The numbers were worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.core.builders import (
    CUSTOMER,
    DAY,
    T0,
    Book,
    adjust,
    catalog,
    event,
    price,
    value,
    volume_price,
)
from tests.core.plans import Life, at, fee, shop, version

from faregate.core.amounts import Number
from faregate.core.assets import CURRENCIES, custom_asset
from faregate.core.conversion import in_currency, paid_units, rounded_up, worth
from faregate.core.costs import Cost
from faregate.core.gate import Authorize
from faregate.core.hold_requests import HoldRequest
from faregate.core.prices import FundingDestination, UsageBasedPrice
from faregate.core.rates import Rate
from faregate.core.subscriptions import CatalogView
from faregate.core.transactions import ConvertTo

USD, JPY = CURRENCIES["USD"], CURRENCIES["JPY"]
LONG_AGO = T0 - 1000 * DAY


def rate(
    source: str,
    per_unit: str | None = None,
    inverse: str | None = None,
    since: Any = LONG_AGO,
    until: Any = None,
) -> Rate:
    return Rate(
        source,
        since,
        until,
        None if per_unit is None else Decimal(per_unit),
        None if inverse is None else Decimal(inverse),
    )


WORTH = [
    # rates of assets, source, target, one of the source is worth so many of the target
    ({}, "USD", "USD", Fraction(1)),
    ({}, "USD", "CREDITS", None),
    # A credit costs 0.10 USD: a USD buys 10, a credit is worth a tenth.
    ({"CREDITS": (rate("USD", "0.10"),)}, "USD", "CREDITS", Fraction(10)),
    ({"CREDITS": (rate("USD", "0.10"),)}, "CREDITS", "USD", Fraction(1, 10)),
    # A USD buys 3: exactly, not 1 / 0.333.
    ({"CREDITS": (rate("USD", inverse="3"),)}, "USD", "CREDITS", Fraction(3)),
    ({"CREDITS": (rate("USD", inverse="3"),)}, "CREDITS", "USD", Fraction(1, 3)),
    # A credit costs 3 USD.
    ({"CREDITS": (rate("USD", "3"),)}, "USD", "CREDITS", Fraction(1, 3)),
    # Between currencies, either way round.
    ({"EUR": (rate("USD", "1.25"),)}, "USD", "EUR", Fraction(4, 5)),
    ({"EUR": (rate("USD", "1.25"),)}, "EUR", "USD", Fraction(5, 4)),
    # Never through a third asset.
    ({"CREDITS": (rate("USD", "1"),), "EUR": (rate("USD", "1"),)}, "EUR", "CREDITS", None),
    # Only while it is valid.
    ({"CREDITS": (rate("USD", "1", until=T0),)}, "USD", "CREDITS", None),
    ({"CREDITS": (rate("USD", "1", since=T0 + DAY),)}, "USD", "CREDITS", None),
    ({"CREDITS": (rate("USD", "1", since=T0),)}, "USD", "CREDITS", Fraction(1)),
    (
        {"CREDITS": (rate("USD", "2", since=T0), rate("USD", "1", until=T0))},
        "USD",
        "CREDITS",
        Fraction(1, 2),
    ),
]


@pytest.mark.parametrize(("rates", "source", "target", "expected"), WORTH)
def test_what_one_asset_is_worth_in_another(
    rates: Any, source: str, target: str, expected: Fraction | None
) -> None:
    assert worth(rates, source, target, T0) == expected


PAID = [
    # units of the source, its decimals, the target's, rate, units paid, carried in 10^-18
    (10**9, 9, 0, Fraction(10), 10, 0),
    (10**9, 9, 9, Fraction(4, 5), 8 * 10**8, 0),
    # 0.25 USD are 2.5 credits: 2, and half a one is carried.
    (250_000_000, 9, 0, Fraction(10), 2, 5 * 10**17),
    # 0.35 USD are 3.5: the even 4, and half a one too much is carried.
    (350_000_000, 9, 0, Fraction(10), 4, -5 * 10**17),
    # A third: 3 credits at 1/3 USD are 1 USD, 1 is 0.333333333 and a third of a unit.
    (3, 0, 9, Fraction(1, 3), 10**9, 0),
    (1, 0, 9, Fraction(1, 3), 333_333_333, 333_333_333_333_333_333),
    # 1 USD at 150 is 150 yen, kept with nine decimals.
    (10**9, 9, 9, Fraction(150), 150 * 10**9, 0),
    # The smallest there is.
    (1, 9, 0, Fraction(1), 0, 10**9),
    (0, 9, 0, Fraction(10), 0, 0),
]


@pytest.mark.parametrize(("units", "scale", "kept", "ratio", "paid", "carried"), PAID)
def test_a_fee_is_paid_by_what_it_is_worth(
    units: int, scale: int, kept: int, ratio: Fraction, paid: int, carried: int
) -> None:
    source, target = custom_asset("AA", "A", scale), custom_asset("BB", "B", kept)
    assert paid_units(units, source, target, ratio) == (paid, carried)
    up = rounded_up(units, source, target, ratio)
    assert up - 1 < units * ratio * Fraction(10) ** (kept - scale) <= up


@given(
    parts=st.lists(st.integers(0, 10**12), min_size=1, max_size=30),
    ratio=st.fractions(Fraction(1, 10**6), Fraction(10**6)),
    kept=st.integers(0, 9),
)
def test_however_a_fee_is_split_it_comes_to_the_same(
    parts: list[int], ratio: Fraction, kept: int
) -> None:
    target = custom_asset("BB", "B", kept)
    total, carried = 0, 0
    for units in parts:
        paid, carried = paid_units(units, USD, target, ratio, carried)
        total += paid
    exact = sum(parts) * ratio * Fraction(10) ** (kept - USD.scale)
    assert abs(total - exact) <= Fraction(1, 2) + len(parts) * Fraction(1, 10**18)


def funded(source: UsageBasedPrice, address: str, at_rate: str | None = None) -> UsageBasedPrice:
    given_rate = None if at_rate is None else Number(at_rate)
    return structs.replace(
        source, funding_destination=FundingDestination(address, None, given_rate)
    )


def selling(source: UsageBasedPrice, **rates: tuple[Rate, ...]) -> CatalogView:
    return structs.replace(catalog(source), rates=rates)


def test_a_price_in_usd_is_paid_from_a_credit_account() -> None:
    tenth = rate("USD", "0.10")
    calls = funded(price(value(unit_price="0.25")), "default:POINTS")
    book = Book(selling(calls, POINTS=(tenth,)))
    book.do(adjust("100", asset="POINTS"))
    first, second = [book.book(event(f"e{n}", T0))[0].fees[0] for n in range(2)]
    # 2.5 each: 2, then 3.
    assert (first.units, first.asset, first.paid_units, first.exchange_rate) == (
        250_000_000,
        "USD",
        2,
        10,
    )
    assert second.paid_units == 3
    assert book.available("default:POINTS") == 95
    assert "default:USD" not in book.state.accounts


def test_a_price_in_credits_is_paid_in_usd() -> None:
    tenth = rate("USD", "0.10")
    calls = funded(price(value(unit_price="3"), asset="POINTS"), "main:USD")
    book = Book(selling(calls, POINTS=(tenth,)))
    (result,) = book.book(event("e1", T0))
    assert (result.fees[0].units, result.fees[0].paid_units) == (3, 300_000_000)
    assert book.available("main:USD") == -300_000_000


def test_a_use_is_paid_at_the_rate_of_when_it_happened() -> None:
    change = T0 - timedelta(hours=1)
    rates = (rate("USD", "0.20", since=change), rate("USD", "0.10", until=change))
    book = Book(selling(funded(price(value(unit_price="1")), "default:POINTS"), POINTS=rates))
    late, now = book.book(event("late", change - timedelta(seconds=1)), event("now", T0))
    assert (late.fees[0].paid_units, now.fees[0].paid_units) == (10, 5)


def test_without_a_rate_nothing_is_charged_and_the_warning_says_which_is_missing() -> None:
    book = Book(catalog(funded(price(value(unit_price="1")), "default:POINTS")))
    (result,) = book.book(event("e1", T0))
    assert result.fees == ()
    assert "no rate between USD and POINTS" in result.warnings[0]


def test_a_price_may_say_the_rate_itself() -> None:
    book = Book(catalog(funded(price(value(unit_price="2")), "default:POINTS", "7.5")))
    (result,) = book.book(event("e1", T0))
    assert (result.fees[0].paid_units, result.fees[0].exchange_rate) == (15, Decimal("7.5"))


def test_a_million_fees_of_a_fraction_come_to_the_exact_sum() -> None:
    tenth = rate("USD", "0.10")
    source = funded(volume_price("0.0000001"), "default:POINTS")
    book = Book(selling(source, POINTS=(tenth,)))
    # Each 0.0000001 USD, a millionth of a credit: 20,000 of them are a fiftieth.
    for start in range(0, 20_000, 1000):
        book.book(*[event(f"e{start + n}", T0, volume=100) for n in range(1000)])
    # 20,000 x 0.00001 USD are 0.2 USD, 2 credits.
    assert book.available("default:POINTS") == -2


def test_a_hold_sets_aside_what_the_use_costs_in_the_paying_asset_and_is_captured_so() -> None:
    tenth = rate("USD", "0.10")
    book = Book(selling(funded(price(value(unit_price="0.25")), "default:POINTS"), POINTS=(tenth,)))
    book.do(adjust("5", asset="POINTS"))
    holds = [
        book.hold(Authorize(CUSTOMER, (HoldRequest(f"h{n}", event_type="call"),))) for n in range(2)
    ]
    # 2.5 are rounded up to 3: the second one finds 2.
    assert [hold.status for hold in holds] == ["authorized", "declined"]
    assert (holds[0].held_units, holds[0].account_id) == (3, "default:POINTS")


def test_a_fixed_price_is_paid_at_the_rate_of_when_it_is_due() -> None:
    change = at("2026-02-15")
    rates = (
        rate("USD", "0.20", since=change),
        rate("USD", "0.10", since=at("2020-01-01"), until=change),
    )
    plan = structs.replace(fee("10"), funding_destination=FundingDestination("default:POINTS"))
    life = Life(structs.replace(shop(version(1, plan)), rates={"POINTS": rates}), "2026-01-01")
    # Waits for credit: USD do not pay it.
    assert life.subscription.terms.needs == "payment"
    life.pay("300", "2026-01-01", asset="POINTS")
    assert life.points("2026-01-01") == "200"
    assert life.points("2026-02-01") == "100"
    assert life.points("2026-03-01") == "50"
    line = life.fees[-1].request.lines[0]
    assert (line.units, line.price_units, line.price_asset, line.exchange_rate) == (
        50,
        10 * 10**9,
        "USD",
        5,
    )


def test_a_fixed_price_without_a_rate_waits_for_one() -> None:
    plan = structs.replace(fee("10"), funding_destination=FundingDestination("default:POINTS"))
    life = Life(shop(version(1, plan)), "2026-01-01")
    life.pay("300", "2026-01-01", asset="POINTS")
    assert life.subscription.terms.needs == "payment"


CONVERTED = [
    # paid, rates of POINTS (no decimals), rate given, what it becomes, is it rounded down?
    ("10", (rate("USD", "0.10"),), None, 100, False),
    ("10.05", (rate("USD", "0.10"),), None, 100, True),
    ("1", (rate("USD", inverse="3"),), None, 3, False),
    ("1", (rate("USD", "3"),), "100", 100, False),
    ("10", (rate("USD", "3"),), None, 3, True),
    # 0.999999 is less than one; 1.00 x 1.000001 is one.
    ("1", (), "1.000001", 1, True),
    ("0.99", (), "2", 1, True),
]


@pytest.mark.parametrize(("paid", "rates", "given_rate", "units", "is_rounded"), CONVERTED)
def test_a_payment_becomes_credit_rounded_down(
    paid: str, rates: tuple[Rate, ...], given_rate: str | None, units: int, is_rounded: bool
) -> None:
    view = selling(price(value(unit_price="1")), POINTS=rates)
    book = Book(view)
    convert_to = ConvertTo("POINTS", None, None if given_rate is None else Number(given_rate))
    booked = book.do(adjust(paid, "t1", reason="external_topup", convert_to=convert_to))
    assert (booked.units, booked.account_id) == (units, "default:POINTS")
    assert booked.converted.is_rounded_down is is_rounded
    assert book.available("default:POINTS") == units
    assert "default:USD" not in book.state.accounts
    # A repeat gets the first answer, whatever the rate is by then.
    book.catalog = structs.replace(view, rates={})
    assert book.do(adjust(paid, "t1", reason="external_topup", convert_to=convert_to)) == booked


BAD = [
    ({"convert_to": ConvertTo("NOTHING")}, "10", "convert_to.asset"),
    ({"convert_to": ConvertTo("USD")}, "10", "convert_to.asset"),
    ({"convert_to": ConvertTo("CREDITS")}, "10", "convert_to.asset"),
    ({"convert_to": ConvertTo("POINTS")}, "-10", "convert_to"),
    ({"convert_to": ConvertTo("POINTS"), "account_name": "main"}, "10", "account_name"),
    ({"convert_to": ConvertTo("POINTS", None, Number("0"))}, "10", "convert_to.exchange_rate"),
    ({"convert_to": ConvertTo("POINTS")}, "0.01", "amount"),
    ({"convert_to": ConvertTo("POINTS", None, Number("1000000000000000000"))}, "1000", "amount"),
]


@pytest.mark.parametrize(("more", "amount", "field"), BAD)
def test_what_cannot_be_converted_is_refused_by_field(more: Any, amount: str, field: str) -> None:
    book = Book(selling(price(value(unit_price="1")), POINTS=(rate("USD", "0.10"),)))
    problem = book.refused(adjust(amount, "t1", **more))
    assert list(problem.errors) == [field]


def test_costs_in_another_currency_are_taken_at_the_rate_of_the_use() -> None:
    costs = [
        Cost("c1", Number("2"), "ven_1"),
        Cost("c2", Number("3"), "ven_1", currency="EUR"),
        Cost("c3", Number("300"), "ven_1", currency="JPY"),
    ]
    rates = {"EUR": (rate("USD", "1.25"),), "JPY": (rate("USD", inverse="150"),)}
    found = [(c.currency, Decimal(c.amount)) for c in in_currency(costs, "USD", rates, T0)]
    assert found == [(None, 2), ("USD", Decimal("3.75")), ("USD", 2)]
    # Without a rate they stay as they are.
    assert in_currency(costs, "USD", {}, T0) == costs


@given(units=st.integers(1, 10**15), ratio=st.fractions(Fraction(1, 1000), Fraction(1000)))
def test_there_and_back_never_gains_more_than_a_rounding(units: int, ratio: Fraction) -> None:
    there, _ = paid_units(units, USD, JPY, ratio)
    back, _ = paid_units(there, JPY, USD, 1 / ratio)
    assert abs(back - units) <= 1 + 1 / ratio
