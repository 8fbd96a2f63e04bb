"""Quantities that are computed from several fields: what can be written, what it comes to, and what
is refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.expressions import (
    MAX_DEPTH,
    MAX_TEXT,
    ExpressionError,
    measure_expression,
    parse_expression,
)
from faregate.core.pricing import Match, price_event
from faregate.core.problems import Problem
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


def quantity(text: str, **data: object) -> int | str | Problem:
    return measure_expression(parse_expression(text), data)


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("7", {}, "7"),
        ("0.25", {}, "0.25"),
        ("a", {"a": 3}, "3"),
        ("a", {"a": Decimal("0.000000000001")}, "0.000000000001"),
        ("a + 4 * b", {"a": 2, "b": 3}, "14"),
        ("(a + 4) * b", {"a": 2, "b": 3}, "18"),
        # From left to right.
        ("10 - 3 - 2", {}, "5"),
        ("16 / 4 / 2", {}, "2"),
        ("a - -3", {"a": 1}, "4"),
        ("-a + 5", {"a": 2}, "3"),
        # Exact on the way: a third, three times, is one.
        ("a / 3 * 3", {"a": 1}, "1"),
        ("0.1 + 0.2", {}, "0.3"),
        # A third has no end: it is rounded at the twelfth decimal, and two thirds up.
        ("a / 3", {"a": 1}, "0.333333333333"),
        ("a / 3", {"a": 2}, "0.666666666667"),
        ("min(a, b)", {"a": 2, "b": 3}, "2"),
        ("max(a, b, 9)", {"a": 2, "b": 3}, "9"),
        ("ceil(a / 60)", {"a": 61}, "2"),
        ("ceil(a / 60)", {"a": 60}, "1"),
        ("floor(a / 60)", {"a": 119}, "1"),
        ("ceil(max(0, s - 30) / 60)", {"s": 20}, "0"),
        ("ceil(max(0, s - 30) / 60)", {"s": 91}, "2"),
        ("max(0, a)", {"a": -5}, "0"),
        ("floor(-a) + 3", {"a": Decimal("1.5")}, "1"),
        # A name that is a function's too, and names that are no words.
        ("min + max(min, 1)", {"min": 2}, "4"),
        ('"input-tokens" + "größe"', {"input-tokens": 1, "größe": 2}, "3"),
        ("  a\t+\nb ", {"a": 1, "b": 2}, "3"),
        ("a", {"a": 10**15}, "1000000000000000"),
    ],
)
def test_an_expression_comes_to(text: str, data: dict[str, Any], expected: str) -> None:
    found = quantity(text, **data)
    assert isinstance(found, int), found
    assert Fraction(found, VOLUME_ONE) == Fraction(expected)


@pytest.mark.parametrize(
    ("text", "data", "says"),
    [
        ("a + b", {"a": 1}, "data.b is missing"),
        ("a + b", {"a": 1, "b": None}, "data.b is missing"),
        ("1 / a", {"a": 0}, "divides by zero"),
        ("a - 2", {"a": 1}, "below 0"),
        ("a * a", {"a": 10**15}, f"above {MAX_VOLUME}"),
    ],
)
def test_an_event_without_a_quantity_is_warned_of(
    text: str, data: dict[str, Any], says: str
) -> None:
    found = quantity(text, **data)
    assert isinstance(found, str)
    assert says in found


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("1", "send a JSON number"),
        (True, "true or false"),
        ([1], "send a JSON number"),
        (Decimal("1e-13"), "more than 12 decimals"),
        (Decimal("1e40"), "too large"),
        (10**15 + 1, "1000000000000001"),
        (-(10**15) - 1, "-1000000000000001"),
    ],
)
def test_a_field_that_is_no_number_is_refused_by_name(field: object, says: str) -> None:
    found = quantity("a + 1", a=field)
    assert isinstance(found, Problem)
    assert says in str(found.errors["data.a"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "its end where a number or a field"),
        ("   ", "its end where a number or a field"),
        ("a +", "its end where a number or a field"),
        ("a b", "'b' at character 3 where the end or an operator"),
        ("(a", "its end where ')'"),
        ("a)", "')' at character 2 where the end"),
        ("* a", "'*' at character 1 where a number"),
        ("a ** b", "'*' at character 4 where a number"),
        ("a // b", "'/' at character 4 where a number"),
        ("1.", "cannot be read from '.'"),
        (".5", "cannot be read from '.5'"),
        ("1e5", "'e5' at character 2"),
        ("a % b", "cannot be read from '% b'"),
        ("a.b", "cannot be read from '.b'"),
        ("__import__('os')", "cannot be read from"),
        ("pow(a, 2)", "calls 'pow', which is no function: there are min, max, ceil, floor"),
        ("a(1)", "calls 'a'"),
        ("min(a)", "gives min 1 arguments: it takes 2 to 20"),
        ("ceil(a, b)", "gives ceil 2 arguments: it takes 1"),
        ("ceil()", "')' at character 6 where a number"),
        ("min(a,)", "')' at character 7 where a number"),
        ('"open', "cannot be read"),
        ('""', "cannot be read"),
        ("1" * 41, "41 digits"),
        ("a" * (MAX_TEXT + 1), f"use at most {MAX_TEXT}"),
        ("(" * (MAX_DEPTH + 2) + "a", "make it flatter"),
        ("-" * (MAX_DEPTH + 2) + "a", "make it flatter"),
        ("ceil(" * (MAX_DEPTH + 2), "make it flatter"),
    ],
)
def test_a_text_that_is_no_expression_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse_expression(text)
    assert says in str(raised.value)


def test_the_longest_expressions_can_be_computed() -> None:
    long = "+".join(["a"] * (MAX_TEXT // 2))
    assert quantity(long, a=1) == (MAX_TEXT // 2) * VOLUME_ONE
    deep = "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    assert quantity(deep, a=1) == VOLUME_ONE
    assert (
        quantity("*".join(["a"] * (MAX_TEXT // 2)), a=10**15)
        == f"its quantity is above {MAX_VOLUME}"
    )


# -- properties -------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
OPERATIONS: dict[str, Any] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
}


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> tuple[str, Any]:
    """An expression in full parentheses, and what computes it."""
    kind = draw(
        st.sampled_from(["number", "name"] if depth > 3 else ["number", "name", "two", "call"])
    )
    if kind == "number":
        number = draw(st.decimals(0, 1000, places=2))
        return f"{number:f}", lambda _: Fraction(number)
    if kind == "name":
        name = draw(st.sampled_from(NAMES))
        return name, lambda data: Fraction(data[name])
    one, compute_one = draw(trees(depth + 1))
    if kind == "call" and draw(st.booleans()):
        function: Any = draw(st.sampled_from([ceil, floor]))
        return f"{function.__name__}({one})", lambda data: Fraction(function(compute_one(data)))
    two, compute_two = draw(trees(depth + 1))
    if kind == "call":
        function = draw(st.sampled_from([min, max]))
        text = f"{function.__name__}({one}, {two})"
        return text, lambda data: function(compute_one(data), compute_two(data))
    sign = draw(st.sampled_from(sorted(OPERATIONS)))
    text = f"({one} {sign} {two})"
    return text, lambda data: OPERATIONS[sign](compute_one(data), compute_two(data))


@settings(deadline=None, max_examples=200)
@given(trees(), st.fixed_dictionaries({n: st.integers(-1000, 1000) for n in NAMES}))
def test_whatever_is_written_is_computed_exactly(
    tree: tuple[str, Any], data: dict[str, int]
) -> None:
    text, compute = tree
    if len(text) > MAX_TEXT:
        return
    found = quantity(text, **data)
    try:
        expected = compute(data)
    except ZeroDivisionError:
        assert found == "its quantity divides by zero"
        return
    if expected < 0 or expected > MAX_VOLUME:
        assert isinstance(found, str)
    else:
        assert isinstance(found, int)
        assert abs(Fraction(found, VOLUME_ONE) - expected) <= Fraction(1, 2 * VOLUME_ONE)


# -- in prices --------------------------------------------------------------------------------


def computed(text: str, *values: Any, **more: Any) -> Any:
    """A price of 0.5 per quantity, unless told otherwise."""
    source = price(*(values or (value(volume_rate="0.5"),)), usage_type="custom", **more)
    calculation = source.usage_calculation
    changed = type(calculation)(calculation.event_type, "custom", volume_aggregation=text)
    return type(source)(
        source.name,
        changed,
        source.billing_model,
        source.pricing,
        source.id,
        source.pricing_model,
        source.tiering,
    )


WEIGHTED = computed("input + 4 * output")


def test_a_computed_quantity_is_priced_and_shown() -> None:
    one = compiled(WEIGHTED)
    match = price_event(one, one.assets[0], {"input": 10, "output": Decimal("2.5")})
    assert isinstance(match, Match)
    # (10 + 4 x 2.5) x 0.5.
    assert Fraction(match.numerator, one.assets[0].denominator) == 10 * ONE_USD
    assert match.volume == 20


def test_an_event_without_its_fields_is_booked_without_a_fee() -> None:
    book = Book(catalog(WEIGHTED))
    (result,) = book.book(event("e", input=1))
    assert (result.fees, result.warnings) == ((), ("no fee under 'Calls': data.output is missing",))


def test_a_field_that_is_no_number_refuses_the_event() -> None:
    book = Book(catalog(WEIGHTED))
    book.do(adjust("10"))
    (result,) = book.book(event("e", input=1, output="many"), lenient=True)
    assert result.problem is not None
    assert list(result.problem.errors) == ["events[0].data.output"]


def test_computed_quantities_have_tiers() -> None:
    tiers = (value(up_to="10", volume_rate="1"), value(volume_rate="0.5"))
    book = Book(catalog(computed("a + b", *tiers, model="tiered", basis="custom")))
    book.do(adjust("100"))
    results = book.book(event("e1", a=4, b=4), event("e2", a=2, b=2))
    # 8 x 1; 2 x 1 + 2 x 0.5.
    assert [fee.units for result in results for fee in result.fees] == [8 * ONE_USD, 3 * ONE_USD]


def test_a_stream_in_slices_costs_what_its_quantities_come_to() -> None:
    book = Book(
        catalog(
            computed(
                "input + 4 * output", value(volume_rate="1", package_size="100"), model="package"
            )
        )
    )
    book.do(adjust("100"))
    data = {"input": 10, "output": 10}
    held = book.hold(authorize(event_type="call", data=data))
    assert held.held_units == ONE_USD
    paid = 0
    for number in range(5):
        slice_ = event(f"s{number}", input=10, output=10)
        command = update(held.id, slice_, want=data, transaction_id=slice_.id)
        paid += book.do(command).captured_units
    # 250 in all: three packages.
    assert paid == 3 * ONE_USD


def test_an_upper_bound_reads_the_bounds_of_all_fields_that_are_missing() -> None:
    book = Book(catalog(WEIGHTED))
    book.do(adjust("100"))
    data = {"input": 10, "max_output": 5}
    held = book.hold(authorize(event_type="call", data=data, estimate="upper_bound"))
    # (10 + 4 x 5) x 0.5.
    assert held.held_units == 15 * ONE_USD
    missing = authorize(
        transaction_id="h2", event_type="call", data={"input": 1}, estimate="upper_bound"
    )
    assert list(book.refused(missing).errors) == ["data.max_output"]
