"""Paying in another asset, wherever else an amount is counted: limits, holds, coupons, plans with
prices in several assets, costs, simulations. The numbers were worked out by hand."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st
from msgspec import structs
from tests.core.builders import (
    ASSETS,
    CUSTOMER,
    DAY,
    ONE_USD,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    compiled,
    event,
    ledger,
    price,
    record,
    value,
    volume_price,
)
from tests.core.plans import Life, coupon, fee, given, shop, version
from tests.core.test_conversion import funded, rate, selling
from tests.core.test_costs import cost, markup, spent
from tests.core.test_limits import limit

from faregate.core.amounts import MAX_UNITS, Number
from faregate.core.assets import CURRENCIES, custom_asset
from faregate.core.checks import check_common
from faregate.core.conversion import exact_units, paid_units, rounded_up, worth
from faregate.core.prices import (
    AssetPricing,
    BalanceCollection,
    FixedAssetPricing,
    FixedValue,
    FundingDestination,
)
from faregate.core.problems import LIMIT_EXCEEDED, Problem
from faregate.core.rules import SetLimit
from faregate.core.simulating import simulate
from faregate.core.subscribing import CancelSubscription
from faregate.core.transactions import ConvertTo

USD, EUR, JPY = [CURRENCIES[code] for code in ("USD", "EUR", "JPY")]
POINTS, CREDITS = ASSETS["POINTS"], ASSETS["CREDITS"]
"""Without decimals; with two."""
FINE = custom_asset("FINE", "Fine", 9)
TENTH = rate("USD", "0.10")
PAY_IN_POINTS = FundingDestination("default:POINTS")

WORKED_OUT: list[tuple[Any, Any, Any, str, int, int]] = [
    # from, to, rate of the one that has one, amount paid for, units paid one by one, and the times
    # it is paid
    # A USD is 10 points: 0.25 are 2.5, and four of them 10.
    (USD, POINTS, {"POINTS": (TENTH,)}, "0.25", 10, 4),
    # The other way round: 3 points are 0.30 USD.
    (POINTS, USD, {"POINTS": (TENTH,)}, "3", 300_000_000, 1),
    # A USD buys 3: a point is a third, 0.333333333, and three of them one USD.
    (POINTS, USD, {"POINTS": (rate("USD", inverse="3"),)}, "1", 333_333_333, 1),
    (POINTS, USD, {"POINTS": (rate("USD", inverse="3"),)}, "1", 1_000_000_000, 3),
    (USD, POINTS, {"POINTS": (rate("USD", inverse="3"),)}, "0.1", 3, 10),
    # A point costs 3 USD: a third of a point each, 99,999 of them 33,333.
    (USD, POINTS, {"POINTS": (rate("USD", "3"),)}, "1", 33_333, 99_999),
    # Two decimals: 0.0001 USD at 0.03 is a three-hundredth of a credit, a third of its cent.
    (USD, CREDITS, {"CREDITS": (rate("USD", "0.03"),)}, "0.0001", 1, 3),
    (USD, CREDITS, {"CREDITS": (rate("USD", "0.03"),)}, "0.0001", 3333, 10_000),
    # Nine decimals lose nothing that USD has.
    (USD, FINE, {"FINE": (rate("USD", "1"),)}, "0.000000001", 1, 1),
    (USD, FINE, {"FINE": (rate("USD", "4"),)}, "0.000000001", 1, 4),
    # 100,000 of 0.000000001 USD are 0.0001 USD: a thousandth of a point, nothing yet.
    (USD, POINTS, {"POINTS": (TENTH,)}, "0.000000001", 0, 100_000),
    # A million of 0.0000005: 0.5 USD, 5 points.
    (USD, POINTS, {"POINTS": (TENTH,)}, "0.0000005", 5, 1_000_000),
    # Yen have no decimals that people see, and nine in the ledger: 0.01 USD at 150 are 1.5.
    (USD, JPY, {"JPY": (rate("USD", inverse="150"),)}, "0.01", 1_500_000_000, 1),
    (JPY, USD, {"JPY": (rate("USD", inverse="150"),)}, "1", 6_666_667, 1),
    (JPY, USD, {"JPY": (rate("USD", inverse="150"),)}, "1", 1_000_000_000, 150),
    # A rate of USD from JPY says the same.
    (JPY, USD, {"USD": (rate("JPY", "150"),)}, "300", 2_000_000_000, 1),
    (EUR, USD, {"EUR": (rate("USD", "1.25"),)}, "0.8", 1_000_000_000, 1),
    (USD, EUR, {"EUR": (rate("USD", "1.25"),)}, "1", 800_000_000, 1),
    # A rate with all of its 18 decimals.
    (USD, FINE, {"FINE": (rate("USD", "0.000000000000000001"),)}, "0.000000001", 10**18, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "target", "rates", "amount", "units", "times"), WORKED_OUT)
def test_fees_come_to_what_was_worked_out_by_hand(
    source: Any, target: Any, rates: Any, amount: str, units: int, times: int
) -> None:
    found = worth(rates, source.code, target.code, T0)
    assert found is not None
    each = int(Decimal(amount) * 10**source.scale)
    paid = carried = 0
    for _ in range(times):
        more, carried = paid_units(each, source, target, found, carried)
        paid += more
    assert paid == units


@given_(
    paid=st.integers(1, 10**12),
    per_unit=st.decimals("0.000001", 10**6, places=6),
    is_inverse=st.booleans(),
    target=st.sampled_from([POINTS, CREDITS, FINE]),
)
def test_a_payment_that_became_credit_is_worth_no_more_when_it_is_turned_back(
    paid: int, per_unit: Decimal, *, is_inverse: bool, target: Any
) -> None:
    given_rate = rate("USD", inverse=str(per_unit)) if is_inverse else rate("USD", str(per_unit))
    rates = {target.code: (given_rate,)}
    there, back = worth(rates, "USD", target.code, T0), worth(rates, target.code, "USD", T0)
    assert there is not None
    assert back is not None
    bought = exact_units(paid, USD, target, there).__floor__()
    assert exact_units(bought, target, USD, back) <= paid
    assert there * back == 1


@given_(
    parts=st.lists(st.integers(1, 999), min_size=1, max_size=20),
    per_unit=st.decimals("0.001", 1000, places=3),
)
def test_a_volume_costs_the_same_in_one_event_and_in_many(
    parts: list[int], per_unit: Decimal
) -> None:
    source = funded(volume_price("0.0123456789"), "default:POINTS")
    view = selling(source, POINTS=(rate("USD", str(per_unit)),))
    whole, many = Book(view), Book(view)
    whole.book(event("all", volume=sum(parts)))
    many.book(*[event(f"e{n}", volume=part) for n, part in enumerate(parts)])
    one, other = [book.available("default:POINTS") for book in (whole, many)]
    # What is carried: up to half a unit of USD's ninth decimal, and up to half a point.
    assert abs(one - other) <= 1


# -- limits ----------------------------------------------------------------------------------------


def in_points(unit_price: str = "0.25", *rates: Any) -> Book:
    source = funded(price(value(unit_price=unit_price)), "default:POINTS")
    return Book(selling(source, POINTS=rates or (TENTH,)))


def test_a_limit_counts_what_is_taken_from_the_account_held_or_captured_or_reported() -> None:
    book = in_points("1")
    book.do(adjust("100", asset="POINTS"))
    book.do(SetLimit(CUSTOMER, limit("25", asset="POINTS")))
    asked = [authorize(event_type="call", transaction_id=f"h{n}") for n in range(3)]
    # A call takes 10 points: two of them fit, whether they are held or captured.
    first = book.hold(asked[0])
    book.do(capture(first.id, None, event("e1")))
    assert book.counters["lim_1", ""].used_units(0) == 10
    assert [book.hold(one).status for one in asked[1:]] == ["authorized", "declined"]


def test_a_limit_that_rejects_events_counts_them_in_the_paying_asset() -> None:
    book = in_points("1")
    book.do(SetLimit(CUSTOMER, limit("15", asset="POINTS", rejects_events=True)))
    book.do(SetLimit(CUSTOMER, limit("0.5", asset="USD", id="lim_usd", rejects_events=True)))
    book.book(event("e1"))
    assert book.counters["lim_usd", ""].used_units(0) == 0
    assert book.refused(record(event("e2"))).kind is LIMIT_EXCEEDED


# -- holds -----------------------------------------------------------------------------------------


def test_a_hold_covers_what_its_event_costs_also_with_what_others_left_over() -> None:
    book = in_points("0.25")
    book.do(adjust("6", asset="POINTS"))
    book.book(event("before"))  # 2.5: 2, and half a point is left over.
    hold = book.hold(authorize(event_type="call"))
    assert hold.held_units == 3
    (result,) = book.do(capture(hold.id, None, event("e1"))).results
    assert result.fees[0].paid_units == 3
    assert book.available("default:POINTS") == 1


@given_(
    before=st.integers(0, 10**6),
    units=st.integers(0, 10**12),
    ratio=st.fractions(Fraction(1, 1000), Fraction(1000)),
    scale=st.integers(0, 9),
)
def test_what_is_held_is_never_less_than_what_is_paid(
    before: int, units: int, ratio: Fraction, scale: int
) -> None:
    target = custom_asset("BB", "B", scale)
    _, carried = paid_units(before, USD, target, ratio)
    paid, _ = paid_units(units, USD, target, ratio, carried)
    assert paid <= rounded_up(units, USD, target, ratio, carried) <= paid + 1


def test_a_hold_without_a_rate_is_declined_and_says_which_is_missing() -> None:
    book = Book(catalog(funded(price(value(unit_price="1")), "default:POINTS")))
    hold = book.hold(authorize(event_type="call"))
    assert hold.decline is not None
    assert hold.decline.code == "no_price"
    assert "no rate between USD and POINTS at 2026-03-01T12:00:00" in hold.decline.detail


# -- events ----------------------------------------------------------------------------------------


def test_an_event_that_says_something_impossible_is_refused_with_or_without_a_rate() -> None:
    source = funded(volume_price("1"), "default:POINTS")
    for rates in ({}, {"POINTS": (TENTH,)}):
        book = Book(selling(source, **rates))
        problem = book.refused(record(event("e1", volume="many")))
        assert list(problem.errors) == ["events[0].data.volume"]


def test_between_two_rates_nothing_is_charged_and_before_and_after_each_its_own() -> None:
    rates = (rate("USD", "0.5", since=T0), rate("USD", "0.1", until=T0 - DAY))
    book = in_points("1", *rates)
    results = book.book(event("before", T0 - DAY * 2), event("gap", T0 - DAY), event("after", T0))
    assert [[fee.paid_units for fee in result.fees] for result in results] == [[10], [], [2]]
    assert "no rate between USD and POINTS" in results[1].warnings[0]


def test_a_chain_of_rates_is_not_used() -> None:
    # EUR cost USD and POINTS cost EUR: that says nothing of POINTS in USD.
    rates = {"EUR": (rate("USD", "1.1"),), "POINTS": (rate("EUR", "0.1"),)}
    source = funded(price(value(unit_price="1")), "default:POINTS")
    (result,) = Book(selling(source, **rates)).book(event("e1"))
    assert result.fees == ()


def test_a_fee_that_the_ledger_cannot_hold_in_its_own_asset_is_refused() -> None:
    # 10^13 USD are beyond 9 x 10^18 units; at a millionth of a point each they would be payable.
    source = funded(price(value(unit_price="10000000000000")), "default:POINTS", "0.000001")
    problem = Book(catalog(source)).refused(record(event("e1")))
    assert list(problem.errors) == ["events[0].data"]


def test_what_is_paid_moves_in_the_paying_asset_alone_and_sums_to_zero() -> None:
    book = in_points("0.25")
    book.do(adjust("5", asset="POINTS"))
    book.book(*[event(f"e{n}") for n in range(4)])
    books = ledger(book.transfers)
    assert books["POINTS", "revenue"] == 10
    assert {asset for asset, _ in books} == {"POINTS"}
    assert sum(books.values()) == 0


def test_a_price_in_several_assets_is_paid_by_what_each_is_worth() -> None:
    # 1 USD or 0.9 EUR a call; the subscription has none named: the first one counts.
    source = funded(price(value(unit_price="1")), "default:POINTS")
    euros = AssetPricing("EUR", (value(unit_price="0.9"),))
    source = structs.replace(source, pricing=(*source.pricing, euros))
    rates = (TENTH, rate("EUR", "0.09"))
    (result,) = Book(selling(source, POINTS=rates)).book(event("e1"))
    assert (result.fees[0].asset, result.fees[0].paid_units) == ("USD", 10)


# -- plans -----------------------------------------------------------------------------------------


def plan_in(*pricing: FixedAssetPricing, amount: str = "10") -> Any:
    return structs.replace(fee(amount, more=pricing), funding_destination=PAY_IN_POINTS)


def life_with(plan: Any, *rates: Any, start: str = "2026-01-01", **options: Any) -> Life:
    view = structs.replace(shop(version(1, plan), **options.pop("shop", {})))
    life = Life(structs.replace(view, rates={"POINTS": rates}), start, usd=None, **options)
    life.pay("1000", start, asset="POINTS")
    return life


def test_a_plan_with_prices_in_several_assets_is_charged_the_one_that_was_agreed() -> None:
    plan = plan_in(FixedAssetPricing("EUR", (FixedValue(Number("8")),)))
    rates = (rate("USD", "0.10"), rate("EUR", "0.20"))
    life = life_with(plan, *rates, asset="EUR")
    # 8 EUR at 0.20 are 40 points; 10 USD would be 100.
    assert life.points("2026-01-01") == "960"
    line = life.fees[0].request.lines[0]
    assert (line.units, line.price_units, line.price_asset) == (40, 8 * ONE_USD, "EUR")


def test_a_plan_of_nothing_needs_no_rate() -> None:
    life = life_with(plan_in(amount="0"))
    assert life.subscription.terms.needs is None


def test_a_plan_that_waits_for_a_rate_says_so_and_begins_when_there_is_one() -> None:
    life = life_with(plan_in())
    assert life.subscription.terms.needs == "payment"
    (told,) = [n for n in life.book.notices if n.topic == "subscription.action_required"][:1]
    assert "no rate between USD and POINTS at 2026-01-01T00:00:00" in told.data.detail  # type: ignore[union-attr]
    life.book.catalog = structs.replace(life.book.catalog, rates={"POINTS": (TENTH,)})
    life.pay("1", "2026-01-02", asset="POINTS")
    assert life.subscription.terms.needs is None
    assert life.points("2026-01-02") == "901"


def test_a_renewal_without_a_rate_is_overdue_and_paid_at_the_rate_of_when_it_was_due() -> None:
    due = "2026-02-01"
    ends = rate("USD", "0.10", until=T0 - DAY * 29)  # On 31 January at noon.
    life = life_with(plan_in(), ends)
    assert life.points(due) == "900"
    assert life.subscription.terms.overdue is not None
    failed = [n for n in life.book.notices if n.topic == "subscription.payment_failed"]
    assert "no rate between USD and POINTS at 2026-02-01" in failed[0].data.detail  # type: ignore[union-attr]
    # One that is valid from later on does not say what it cost then; one from before does.
    later, then = [rate("USD", "0.20", since=T0 - DAY * days) for days in (25, 29)]
    for found, points in (((later, ends), "901"), ((then, ends), "852")):
        life.book.catalog = structs.replace(life.book.catalog, rates={"POINTS": found})
        life.pay("1", "2026-02-05", asset="POINTS")
        assert life.balance("POINTS", "2026-02-05") == points


def test_what_coupons_take_off_is_judged_in_the_prices_asset() -> None:
    off = coupon(amount="4")
    view = {"coupons": (off, coupon(amount="4", asset="POINTS", code="P"))}
    start = "2026-01-01"
    discounts = given(*view["coupons"], since=start)
    life = life_with(plan_in(), TENTH, shop=view, discounts=discounts)
    # 10 USD less 4; the coupon of 4 POINTS is not for a price in USD.
    assert life.points(start) == "940"


def test_a_bill_of_which_everything_is_taken_off_costs_nothing_however_it_is_rounded() -> None:
    # 0.15 USD are 1.5 points, which is 2; each of the three thirds is half a point, which is 0.
    thirds = [coupon(amount="0.05", code=f"C{n}") for n in range(3)]
    start = "2026-01-01"
    discounts = given(*thirds, since=start)
    plan = plan_in(amount="0.15")
    life = life_with(plan, TENTH, shop={"coupons": tuple(thirds)}, discounts=discounts)
    assert life.points(start) == "1000"


def test_what_is_left_of_a_period_is_given_back_at_the_rate_of_the_moment() -> None:
    life = life_with(plan_in(), TENTH, start="2026-04-01")
    assert life.points("2026-04-01") == "900"
    # Half of April is left: 5 USD.
    life.do(CancelSubscription(CUSTOMER, "sub_one", at="now", proration="prorate"), "2026-04-16")
    assert life.balance("POINTS", "2026-04-16") == "950"


# -- costs, simulations ----------------------------------------------------------------------------

DOLLARS = rate("USD", "1.25")


def test_a_markup_on_costs_in_another_currency_is_taken_at_the_rate_of_the_use() -> None:
    change = T0 - DAY
    rates = (rate("USD", "2", since=change), rate("USD", "1.25", until=change))
    book = Book(selling(markup(), EUR=rates))
    used = [spent("now", cost("4", currency="EUR"), cost("1"))]
    used.append(structs.replace(spent("then", cost("4", currency="EUR")), occurred_at=T0 - 2 * DAY))
    fees = [result.fees[0].units for result in book.book(*used)]
    # (4 EUR x 2 + 1) x 1.25 and 4 EUR x 1.25 x 1.25.
    assert fees == [11_250_000_000, 6_250_000_000]


def test_a_markup_in_credits_takes_costs_in_a_currency() -> None:
    source = markup(value(volume_rate="2"), asset="CREDITS")
    book = Book(selling(source, CREDITS=(rate("USD", "0.01"),)))
    (result,) = book.book(spent("e1", cost("0.03")))
    # 0.03 USD are 3 credits: 6, with two decimals.
    assert result.fees[0].units == 600


def test_a_markup_on_costs_without_a_rate_stays_a_warning() -> None:
    (result,) = Book(catalog(markup())).book(spent("e1", cost("4", currency="EUR")))
    assert (result.fees, len(result.warnings)) == ((), 1)
    assert "is in EUR, the price in USD" in result.warnings[0]


def test_a_simulation_converts_as_a_booking_does() -> None:
    sources = (
        funded(price(value(unit_price="0.25")), "default:POINTS"),
        markup(event_type="paid", id="prc_two"),
    )
    rates = {"POINTS": (TENTH,), "EUR": (DOLLARS,)}
    events = [event("e1"), event("e2"), spent("e3", cost("4", currency="EUR"))]
    events[2] = structs.replace(events[2], event_type="paid")
    prices = tuple(compiled(source) for source in sources)
    found = simulate(prices, events, rates=rates)
    assert not isinstance(found, Problem)
    book = Book(structs.replace(catalog(*sources), rates=rates))
    booked = [fee for result in book.book(*events) for fee in result.fees]
    assert [(f.units, f.paid_units, f.exchange_rate) for f in found[0]] == [
        (f.units, f.paid_units, f.exchange_rate) for f in booked
    ]
    assert [fee.paid_units for fee in found[0]] == [2, 3, None]
    without = simulate(prices[:1], events[:1])
    assert not isinstance(without, Problem)
    assert without[0] == []
    assert "no rate between USD and POINTS" in without[1][0]


# -- what is refused -------------------------------------------------------------------------------

REFUSED: list[tuple[FundingDestination, tuple[str, ...], str]] = [
    (FundingDestination("default:NOPE"), ("USD",), "funding_destination.address"),
    (FundingDestination("POINTS"), ("USD",), "funding_destination.address"),
    (FundingDestination("a b:POINTS"), ("USD",), "funding_destination.address"),
    (FundingDestination("default:USD"), ("USD",), "funding_destination.address"),
    (FundingDestination("default:POINTS", "USD"), ("USD",), "funding_destination.currency"),
    *[
        (
            FundingDestination("default:POINTS", None, Number(number)),
            ("USD",),
            "funding_destination.exchange_rate",
        )
        for number in ("0", "-1", "1e-19", "1e19", "1e-999999999")
    ],
    (
        FundingDestination("bonus:USD", None, Number("2")),
        ("USD",),
        "funding_destination.exchange_rate",
    ),
    (
        FundingDestination("default:POINTS", None, Number("2")),
        ("USD", "EUR"),
        "funding_destination.exchange_rate",
    ),
]


@pytest.mark.parametrize(("funding", "assets", "field"), REFUSED)
def test_a_funding_that_cannot_be_is_named_by_its_field(
    funding: FundingDestination, assets: tuple[str, ...], field: str
) -> None:
    source = price(value(unit_price="1"))
    pricing = tuple([AssetPricing(code, source.pricing[0].values) for code in assets])
    source = structs.replace(source, id=None, pricing=pricing, funding_destination=funding)
    assert {path for path, _ in check_common(source, ASSETS)} == {field}


@pytest.mark.parametrize(
    "funding",
    [
        FundingDestination("default:POINTS"),
        FundingDestination("default:POINTS", "POINTS"),
        FundingDestination("bonus:USD"),
        FundingDestination("default:POINTS", "POINTS", Number("0.000000000000000001")),
        FundingDestination("default:EUR", None, Number("1e18")),
    ],
)
def test_a_funding_that_can_be_is_accepted(funding: FundingDestination) -> None:
    source = structs.replace(price(value(unit_price="1")), id=None, funding_destination=funding)
    assert list(check_common(source, ASSETS)) == []


def test_who_pays_is_said_once() -> None:
    source = structs.replace(
        price(value(unit_price="1")),
        id=None,
        collection=BalanceCollection(address="bonus:USD"),
        funding_destination=PAY_IN_POINTS,
    )
    assert [path for path, _ in check_common(source, ASSETS)] == ["funding_destination"]


@pytest.mark.parametrize("given_rate", ["0", "-1", "1e-19", "1e-999999999", "1e19"])
def test_a_rate_for_a_payment_that_cannot_be_is_refused(given_rate: str) -> None:
    book = Book(catalog())
    convert_to = ConvertTo("POINTS", None, Number(given_rate))
    problem = book.refused(adjust("1", convert_to=convert_to))
    assert list(problem.errors) == ["convert_to.exchange_rate"]


def test_a_payment_becomes_no_more_than_the_ledger_can_hold() -> None:
    book = Book(catalog())
    convert_to = ConvertTo("POINTS", None, Number("1e18"))
    assert book.do(adjust("9", "t1", convert_to=convert_to)).units == MAX_UNITS
    assert list(book.refused(adjust("1", "t2", convert_to=convert_to)).errors) == ["amount"]


def test_a_payment_in_another_currency_is_rounded_down_to_the_decimals_that_people_see() -> None:
    book = Book(selling(price(value(unit_price="1")), EUR=(rate("USD", "1.5"),)))
    booked = book.do(adjust("1", convert_to=ConvertTo("EUR", "travel")))
    # Two thirds: 0.66.
    assert (booked.account_id, booked.units) == ("travel:EUR", 660_000_000)
    assert booked.converted.is_rounded_down
