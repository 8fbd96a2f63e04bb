"""Prices that are a markup on what a use costs the seller."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from msgspec import structs

from faregate.core.amounts import Number
from faregate.core.costs import Cost, measure_costs
from faregate.core.events import UsageEvent
from faregate.core.prices import CostFilter, PriceValue, UsageBasedPrice
from faregate.core.problems import Problem
from faregate.core.simulating import simulate
from faregate.core.volumes import MAX_VOLUME, VOLUME_ONE

from .builders import (
    ONE_USD,
    Book,
    adjust,
    authorize,
    catalog,
    compiled,
    event,
    price,
    update,
    value,
)


def cost(amount: str, vendor: str = "acme", **more: Any) -> Cost:
    return Cost(f"c{amount}", Number(amount), vendor_external_id=vendor, **more)


def spent(id: str, *costs: Cost, **data: object) -> UsageEvent:
    return structs.replace(event(id, **data), costs=list(costs))


def markup(*values: PriceValue, costs: CostFilter | None = None, **more: Any) -> UsageBasedPrice:
    """Costs and a quarter on top, unless told otherwise."""
    source = price(*(values or (value(volume_rate="1.25"),)), usage_type="cost", **more)
    calculation = structs.replace(source.usage_calculation, volume_field=None, costs=costs)
    return structs.replace(source, usage_calculation=calculation)


def charged(book: Book, *events: UsageEvent) -> list[list[int]]:
    return [[fee.units for fee in result.fees] for result in book.book(*events)]


def funded(*prices: UsageBasedPrice) -> Book:
    book = Book(catalog(*prices))
    book.do(adjust("1000"))
    return book


@pytest.mark.parametrize(
    ("source", "costs", "fee"),
    [
        # 0.02 x 1.25.
        (markup(), [cost("0.02")], "0.025"),
        # (0.02 + 0.01) x 1.25, whoever charges it.
        (markup(), [cost("0.02"), cost("0.01", "other")], "0.0375"),
        # Nothing was paid: nothing is charged, and a least amount is.
        (markup(), [cost("0")], "0"),
        (markup(value(volume_rate="1.25", min_amount="0.01")), [cost("0")], "0.01"),
        (markup(value(volume_rate="1.25", min_amount="0.01")), [cost("0.004")], "0.01"),
        (markup(value(volume_rate="1.25", min_amount="0.01")), [cost("0.1")], "0.125"),
        (markup(value(volume_rate="2", max_amount="1")), [cost("3")], "1"),
        # One vendor's, one category's, both.
        (
            markup(costs=CostFilter(vendor_external_id="a")),
            [cost("1", "a"), cost("2", "b")],
            "1.25",
        ),
        (
            markup(costs=CostFilter(category="gpu")),
            [cost("1", category="gpu"), cost("2", category="llm"), cost("4")],
            "1.25",
        ),
        (
            markup(costs=CostFilter(vendor_external_id="a", category="gpu")),
            [cost("1", "a", category="gpu"), cost("2", "b", category="gpu"), cost("4", "a")],
            "1.25",
        ),
        # The smallest amount that a cost can have.
        (markup(value(volume_rate="2")), [cost("0.000000001")], "0.000000002"),
    ],
)
def test_a_markup_on_costs(source: UsageBasedPrice, costs: list[Cost], fee: str) -> None:
    ((units,),) = charged(funded(source), spent("e", *costs))
    assert Fraction(units, ONE_USD) == Fraction(fee)


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ((), "the event has no such costs"),
        ((cost("1", "b"),), "the event has no such costs"),
        ((cost("1", "a", currency="EUR"),), "cost c1 is in EUR, the price in USD"),
    ],
)
def test_an_event_whose_costs_say_nothing_has_no_fee_and_says_so(
    costs: tuple[Cost, ...], says: str
) -> None:
    book = funded(markup(costs=CostFilter(vendor_external_id="a")))
    (result,) = book.book(spent("e", *costs))
    assert (result.fees, result.warnings) == ((), (f"no fee under 'Calls': {says}",))


def test_costs_beyond_all_bounds_are_not_priced() -> None:
    many = [cost(str(MAX_VOLUME)), cost("1")]
    assert measure_costs(None, many[1:], "USD") == VOLUME_ONE
    assert measure_costs(None, many, "USD") == f"its costs are above {MAX_VOLUME}"


def test_vendors_have_markups_of_their_own() -> None:
    book = funded(
        markup(costs=CostFilter(vendor_external_id="a"), id="prc_a", name="A"),
        markup(
            value(volume_rate="2"), costs=CostFilter(vendor_external_id="b"), id="prc_b", name="B"
        ),
    )
    (fees,) = charged(book, spent("e", cost("1", "a"), cost("3", "b")))
    assert fees == [5 * ONE_USD // 4, 6 * ONE_USD]


def test_the_fee_shows_what_the_costs_came_to() -> None:
    (result,) = funded(markup()).book(spent("e", cost("0.5"), cost("0.25", "b")))
    assert result.fees[0].volume == Decimal("0.75")


def test_more_spending_earns_a_smaller_markup() -> None:
    tiers = (value(up_to="100", volume_rate="1.5"), value(volume_rate="1.1"))
    book = funded(markup(*tiers, model="tiered", basis="volume"))
    fees = charged(book, spent("a", cost("90")), spent("b", cost("20")))
    # 90 x 1.5; 10 x 1.5 + 10 x 1.1.
    assert fees == [[135 * ONE_USD], [26 * ONE_USD]]


def test_a_hold_cannot_be_priced_by_costs_that_nobody_knows() -> None:
    book = funded(markup())
    refused = book.refused(authorize(event_type="call", data={}))
    assert "hold max_amount" in str(refused.errors["event_type"])
    held = book.hold(authorize("5"))
    answer = book.do(update(held.id, spent("s", cost("2")), want="1"))
    assert answer.captured_units == 5 * ONE_USD // 2


def test_markups_are_simulated_as_they_are_charged() -> None:
    events = [spent("a", cost("0.02")), spent("b", cost("0.07"), cost("1"))]
    outcome = simulate((compiled(markup()),), events)
    assert not isinstance(outcome, Problem)
    fees = charged(funded(markup()), *events)
    assert [[fee.units] for fee in outcome[0]] == fees
