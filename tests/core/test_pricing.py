"""What one event costs: exact to the last digit, and refused or warned of by name."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.amounts import Number
from faregate.core.compiled import compile_price
from faregate.core.prices import AssetPricing, PriceValue, UsageBasedPrice
from faregate.core.pricing import (
    Match,
    dimension_text,
    fee_units,
    find_entry,
    price_event,
)
from faregate.core.problems import INVALID, Problem
from faregate.core.volumes import MAX_VOLUME

from .builders import ASSETS, compiled, dimensional, price, value, volume_price

properties = settings(deadline=None, max_examples=100)


def outcome(source: UsageBasedPrice, **data: object) -> Match | str | Problem:
    one = compiled(source)
    return price_event(one, one.assets[0], data)


def cost(source: UsageBasedPrice, **data: object) -> Fraction:
    """Return what an event with this data costs, in units, exactly."""
    one = compiled(source)
    match = price_event(one, one.assets[0], data)
    assert isinstance(match, Match), match
    return Fraction(match.numerator, one.assets[0].denominator)


UNIT = price(value(unit_price="0.25"))
VOLUME = volume_price("0.002")
BOTH = price(value(unit_price="0.5", volume_rate="0.01"), usage_type="unit_and_volume")
PER_THOUSAND = price(value(volume_rate="3", package_size="1000"), usage_type="volume")
PACKAGE = price(value(volume_rate="3", package_size="1000"), usage_type="volume", model="package")
BOUNDED = price(value(volume_rate="0.001", min_amount="0.05", max_amount="2"), usage_type="volume")
FINEST = volume_price("0.000000000000000001")
IN_POINTS = price(value(unit_price="2.5"), asset="POINTS")
IN_CREDITS = price(value(unit_price="1.25"), asset="CREDITS")


@pytest.mark.parametrize(
    ("source", "volume", "amount"),
    [
        (UNIT, None, "0.25"),
        (UNIT, 1000, "0.25"),
        (VOLUME, 0, "0"),
        (VOLUME, 1, "0.002"),
        (VOLUME, Decimal("2.5"), "0.005"),
        (VOLUME, Decimal("0.000000000001"), "0.000000000000002"),
        (VOLUME, MAX_VOLUME, "2000000000000"),
        (BOTH, 10, "0.6"),
        (BOTH, 0, "0.5"),
        (BOTH, None, "0.5"),
        (PER_THOUSAND, 1, "0.003"),
        (PER_THOUSAND, 1500, "4.5"),
        (PER_THOUSAND, 2000, "6"),
        (PACKAGE, 0, "0"),
        (PACKAGE, Decimal("0.000000000001"), "3"),
        (PACKAGE, 1, "3"),
        (PACKAGE, 1000, "3"),
        (PACKAGE, Decimal("1000.000000000001"), "6"),
        (PACKAGE, 1001, "6"),
        (BOUNDED, 0, "0.05"),
        (BOUNDED, 49, "0.05"),
        (BOUNDED, 50, "0.05"),
        (BOUNDED, 51, "0.051"),
        (BOUNDED, 2000, "2"),
        (BOUNDED, 2001, "2"),
        (FINEST, 1, "0.000000000000000001"),
        (FINEST, Decimal("0.000000000001"), "1e-30"),
        (IN_POINTS, None, "2.5"),
        (IN_CREDITS, None, "1.25"),
    ],
)
def test_an_event_costs_exactly_its_price(
    source: UsageBasedPrice, volume: object, amount: str
) -> None:
    scale = ASSETS[source.pricing[0].asset].scale
    data = {} if volume is None else {"volume": volume}
    assert cost(source, **data) == Fraction(amount) * 10**scale


def test_a_third_of_a_package_is_charged_exactly() -> None:
    source = price(value(volume_rate="1", package_size="3"), usage_type="volume")
    assert cost(source, volume=1) == Fraction(10**9, 3)


def test_an_event_without_volume_costs_nothing_and_is_warned_of() -> None:
    for data in ({}, {"volume": None}):
        warning = outcome(VOLUME, **data)
        assert isinstance(warning, str)
        assert "data.volume is missing" in warning


@pytest.mark.parametrize(
    "volume",
    [
        "12",
        "",
        True,
        False,
        [1],
        {"n": 1},
        -1,
        Decimal("-0.5"),
        Decimal("0.0000000000001"),
        Decimal("1E-999999999"),
        Decimal("1E+999999999"),
        Decimal("1E+16"),
        MAX_VOLUME + 1,
        10**50,
    ],
)
@pytest.mark.parametrize("source", [VOLUME, BOTH, PACKAGE], ids=["volume", "both", "package"])
def test_an_impossible_volume_is_refused_by_its_field(
    source: UsageBasedPrice, volume: object
) -> None:
    problem = outcome(source, volume=volume)
    assert isinstance(problem, Problem)
    assert problem.kind is INVALID
    assert list(problem.errors) == ["data.volume"]


def test_a_volume_that_is_not_asked_for_may_be_anything() -> None:
    assert isinstance(outcome(UNIT, volume="many"), Match)


NAMES = ("model", "region")
DIMENSIONAL = price(
    dimensional({"model": "*", "region": "*"}, unit_price="1"),
    dimensional({"model": "*", "region": "eu"}, unit_price="2"),
    dimensional({"model": "large", "region": "*"}, unit_price="3"),
    dimensional({"model": "large", "region": "eu"}, unit_price="4"),
    dimensional({"model": "large", "region": "eu"}, unit_price="5"),
    dimensions=NAMES,
)
CLOSED = price(
    dimensional({"model": "large"}, unit_price="3"),
    dimensional({"region": "eu"}, unit_price="2"),
    dimensions=NAMES,
)


@pytest.mark.parametrize(
    ("source", "data", "amount"),
    [
        (DIMENSIONAL, {"model": "large", "region": "eu"}, 4),
        (DIMENSIONAL, {"model": "large", "region": "us"}, 3),
        (DIMENSIONAL, {"model": "small", "region": "eu"}, 2),
        (DIMENSIONAL, {"model": "small", "region": "us"}, 1),
        (DIMENSIONAL, {"model": "large"}, 3),
        (DIMENSIONAL, {"region": "eu"}, 2),
        (DIMENSIONAL, {"model": None, "region": "eu"}, 2),
        (DIMENSIONAL, {}, 1),
        (CLOSED, {"model": "large", "region": "eu"}, 3),
        (CLOSED, {"model": "large"}, 3),
        (CLOSED, {"region": "eu"}, 2),
    ],
)
def test_the_value_with_fewest_wildcards_wins_then_the_first_listed(
    source: UsageBasedPrice, data: dict[str, object], amount: int
) -> None:
    assert cost(source, **data) == amount * 10**9


@pytest.mark.parametrize("data", [{"model": "small"}, {"model": "*"}, {"model": ["large"]}, {}])
def test_an_event_that_no_value_fits_is_warned_of(data: dict[str, object]) -> None:
    warning = outcome(CLOSED, **data)
    assert isinstance(warning, str)
    assert warning.startswith(f"no price for model={data.get('model')}")
    assert "'Calls'" in warning


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ("eu", "eu"),
        ("1.50", "1.50"),
        (3, "3"),
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+2"), "100"),
        (Decimal("3.0"), "3"),
        (True, "true"),
        (False, "false"),
        (None, None),
        ([], None),
        ({}, None),
        (Decimal("1E+999999999"), None),
        (Decimal("1E-999999999"), None),
    ],
)
def test_dimensions_are_matched_as_text(seen: object, text: str | None) -> None:
    assert dimension_text(seen) == text


def test_a_number_in_the_data_matches_the_text_in_the_price() -> None:
    source = price(dimensional({"seats": "1.5"}, unit_price="7"), dimensions=("seats",))
    assert cost(source, seats=Decimal("1.50")) == 7 * 10**9


def test_a_price_with_dimensions_may_have_one_value_for_all() -> None:
    source = price(value(unit_price="7"), dimensions=("model",))
    assert cost(source, model="any") == 7 * 10**9
    assert cost(source) == 7 * 10**9


def test_a_match_remembers_which_value_applied_and_what_was_measured() -> None:
    source = price(
        dimensional({"model": "*"}, volume_rate="1"),
        dimensional({"model": "large"}, volume_rate="2"),
        usage_type="volume",
        dimensions=("model",),
    )
    match = outcome(source, model="large", volume=Decimal("2.50"))
    assert isinstance(match, Match)
    assert match.value.index == 1
    assert match.value.source.volume_rate == Number("2")
    assert match.volume == Decimal("2.50")


def test_fees_go_to_the_address_of_the_price_and_its_asset_only() -> None:
    both = (
        AssetPricing("USD", (value(unit_price="1"),)),
        AssetPricing("CREDITS", (value(unit_price="10"),)),
    )
    fields = {f: getattr(UNIT, f) for f in UNIT.__struct_fields__}
    open_price = UsageBasedPrice(**{**fields, "pricing": both})
    bound = price(value(unit_price="1"), address="bonus:CREDITS", asset="CREDITS")
    bound = UsageBasedPrice(**{**fields, "pricing": both, "collection": bound.collection})
    opened = [a.account_id for a in compile_price(open_price, ASSETS, "prp_x", "x", 1).assets]
    assert opened == ["default:USD", "default:CREDITS"]
    addressed = [a.account_id for a in compile_price(bound, ASSETS, "prp_x", "x", 1).assets]
    assert addressed == ["bonus:CREDITS"]


rates = st.decimals(0, 10**6, places=18) | st.decimals(0, 10**6, places=2)
volumes = st.integers(0, MAX_VOLUME) | st.decimals(0, 10**12, places=12)
sizes = st.sampled_from([None, 1, 3, 7, 10, 1000, 10**6, 999_983])


@st.composite
def priced_events(draw: Any) -> tuple[UsageBasedPrice, PriceValue, object]:
    usage_type = draw(st.sampled_from(["unit", "volume", "unit_and_volume"]))
    model = draw(st.sampled_from([None, "flat", "package"]))
    size = draw(sizes)
    if model == "package" and size is None:
        size = 10
    low, high = sorted([draw(rates), draw(rates)])
    one = PriceValue(
        unit_price=Number(draw(rates)) if usage_type != "volume" else None,
        volume_rate=Number(draw(rates)) if usage_type != "unit" else None,
        package_size=None if size is None else Number(size),
        min_amount=Number(low) if draw(st.booleans()) else None,
        max_amount=Number(high) if draw(st.booleans()) else None,
    )
    # A neighbour with another package size makes the common denominator differ from its own.
    neighbour = value(unit_price="1", volume_rate="1", package_size=str(draw(sizes) or 1))
    source = price(
        PriceValue(dimensions={"model": "a"}, values=(one,)),
        PriceValue(dimensions={"model": "*"}, values=(neighbour,)),
        usage_type=usage_type,
        model=model,
        dimensions=("model",),
        asset=draw(st.sampled_from(sorted(ASSETS))),
    )
    return source, one, draw(volumes)


@properties
@given(priced_events())
def test_a_cost_is_the_exact_fraction_that_its_price_says(
    case: tuple[UsageBasedPrice, PriceValue, object],
) -> None:
    source, one, volume = case
    kind = source.usage_calculation.usage_type
    expected = Fraction(0)
    if kind != "volume":
        expected += Fraction(one.unit_price or 0)
    if kind != "unit":
        packages = Fraction(volume) / Fraction(one.package_size or 1)  # type: ignore[call-overload]
        if source.pricing_model == "package":
            packages = Fraction(ceil(packages))
        expected += packages * Fraction(one.volume_rate or 0)
    if one.min_amount is not None:
        expected = max(expected, Fraction(one.min_amount))
    if one.max_amount is not None:
        expected = min(expected, Fraction(one.max_amount))
    scale = ASSETS[source.pricing[0].asset].scale
    assert cost(source, model="a", volume=volume) == expected * 10**scale


texts = st.sampled_from(["a", "b", "*"])
entries = st.lists(st.dictionaries(st.sampled_from(["x", "y", "z"]), texts), min_size=1, max_size=8)


@properties
@given(entries, st.dictionaries(st.sampled_from(["x", "y", "z"]), st.sampled_from("abc")))
def test_the_most_specific_entry_that_fits_is_chosen(
    listed: list[dict[str, str]], data: dict[str, str]
) -> None:
    source = price(
        *(dimensional(dimensions, unit_price="1") for dimensions in listed),
        dimensions=("x", "y", "z"),
    )
    one = compiled(source)
    found = find_entry(one, one.assets[0], data)
    fitting = [
        (sum(d.get(name, "*") == "*" for name in "xyz"), index)
        for index, d in enumerate(listed)
        if all(wanted in ("*", data.get(name)) for name, wanted in d.items())
    ]
    assert (found.index if found else None) == (min(fitting)[1] if fitting else None)


def test_a_million_events_of_a_fraction_of_a_unit_cost_what_they_should() -> None:
    one = compiled(volume_price("0.0000000004"))
    match = price_event(one, one.assets[0], {"volume": 1})
    assert isinstance(match, Match)
    total = carried = 0
    for _ in range(1_000_000):
        units, carried = fee_units(match.numerator, one.assets[0].denominator, carried)
        total += units
    assert total == 400_000
    assert carried == 0


@pytest.mark.parametrize(
    ("numerator", "carried", "fee", "carry"),
    [
        (0, 0, 0, 0),
        (4, 0, 0, 4),
        (4, 4, 1, -2),
        (0, -5, 0, -5),
        (0, 5, 0, 5),
        (10, -5, 0, 5),
        (5, 0, 0, 5),
        (15, 0, 2, -5),
    ],
)
def test_a_fee_takes_up_what_rounding_left_over(
    numerator: int, carried: int, fee: int, carry: int
) -> None:
    assert fee_units(numerator, 10, carried) == (fee, carry)


@properties
@given(
    st.lists(st.integers(0, 10**12), max_size=60), st.integers(1, 10**9), st.randoms(), st.data()
)
def test_any_order_of_the_same_fees_is_within_half_a_unit_of_their_sum(
    numerators: list[int], denominator: int, random: Any, data: st.DataObject
) -> None:
    exact = Fraction(sum(numerators), denominator)
    shuffled = list(numerators)
    random.shuffle(shuffled)
    cut = data.draw(st.integers(0, len(numerators)))
    for order in (numerators, shuffled, numerators[cut:] + numerators[:cut]):
        total = carried = 0
        for numerator in order:
            units, carried = fee_units(numerator, denominator, carried)
            assert units >= 0
            assert abs(carried) * 2 <= denominator
            total += units
        assert abs(total - exact) <= Fraction(1, 2)
        assert total + Fraction(carried, denominator) == exact
