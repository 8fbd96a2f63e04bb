"""JSON in and out: numbers keep every digit, strings are no numbers, messages name the field."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core import codec
from faregate.core.amounts import AmountError, Number, to_units
from faregate.core.events import UsageEvent
from faregate.core.prices import PriceValue
from faregate.core.problems import INVALID, MALFORMED, FaregateError, Problem
from faregate.core.transactions import ChargeRequest

properties = settings(deadline=None, max_examples=100)


class Line(msgspec.Struct, forbid_unknown_fields=True):
    amount: Number
    data: dict[str, Any] | None = None


class Lines(msgspec.Struct, forbid_unknown_fields=True):
    lines: list[Line]


def read(text: str) -> Line:
    return codec.decode_request(Line, text.encode())


def refusal(kind: type, body: bytes) -> Problem:
    with pytest.raises(FaregateError) as caught:
        codec.decode_request(kind, body)
    return caught.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.1",
        "1e-9",
        "9999999.999999999",
        "-5",
        "0.123456789012345678",
        "100000000000000000000000000001",
        "-100000000000000000000000000001.5",
        "1E30",
    ],
)
def test_a_number_is_read_digit_by_digit(text: str) -> None:
    amount = read(f'{{"amount": {text}}}').amount
    assert type(amount) is Number
    assert amount == Decimal(text)


def test_a_number_inside_free_data_is_no_float() -> None:
    data = read('{"amount": 1, "data": {"a": 0.1, "b": [2.50, 3], "c": {"d": 1e-7}}}').data
    assert data == {"a": Decimal("0.1"), "b": [Decimal("2.50"), 3], "c": {"d": Decimal("1E-7")}}
    assert type(data["a"]) is Decimal
    assert type(data["b"][1]) is int


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('"1.5"', '"1.5"'),
        ('""', '""'),
        ('"NaN"', '"NaN"'),
        ("true", "true"),
        ("null", "null"),
        ("[1]", "an array"),
        ("{}", "an object"),
    ],
)
def test_what_is_not_a_json_number_is_refused_by_name(text: str, seen: str) -> None:
    problem = refusal(Line, f'{{"amount": {text}}}'.encode())
    assert problem.kind is INVALID
    assert problem.errors == {"amount": [f"is {seen}: send a number"]}


@pytest.mark.parametrize("text", ["1e30", "1e999999999", "-1e999999999"])
def test_a_huge_number_is_read_at_once_and_refused_as_an_amount(text: str) -> None:
    amount = read(f'{{"amount": {text}}}').amount
    with pytest.raises(AmountError):
        to_units(amount, 9)


@pytest.mark.parametrize("text", ["1e99999999999999999999999", "1" * 5000])
def test_a_number_beyond_reading_is_refused_by_field(text: str) -> None:
    problem = refusal(Line, f'{{"amount": {text}}}'.encode())
    assert problem.kind is INVALID
    assert list(problem.errors) == ["amount"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"amount": 01}',
        b'{"amount": .5}',
        b"\xff",
        b'{"data": {"a": "\xff"}, "amount": 1}',
        b'{"amount": 1, "data": {"a": ' + b"[" * 100_000 + b"}}",
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert refusal(Line, body).kind is MALFORMED


@pytest.mark.parametrize(
    ("kind", "body", "path"),
    [
        (Line, b"[]", "body"),
        (Line, b"{}", "amount"),
        (Line, b'{"amount": 1, "amuont": 2}', "amuont"),
        (Lines, b'{"lines": [{"amount": 1}, {"amount": "2"}]}', "lines[1].amount"),
        (Lines, b'{"lines": [{"amount": 1, "note": 2}]}', "lines[0].note"),
        (Lines, b'{"lines": [{}]}', "lines[0].amount"),
        (PriceValue, b'{"values": [{"unit_prize": 1}]}', "values[0].unit_prize"),
        (
            UsageEvent,
            b'{"id": "e", "event_type": "call", "occurred_at": "2026-03-01T12:00:00"}',
            "occurred_at",
        ),
        (
            UsageEvent,
            b'{"id": "e", "event_type": "call", "occurred_at": "yesterday"}',
            "occurred_at",
        ),
        (
            UsageEvent,
            b'{"id": "", "event_type": "call", "occurred_at": "2026-03-01T12:00:00Z"}',
            "id",
        ),
    ],
)
def test_the_field_that_is_wrong_is_named(kind: type, body: bytes, path: str) -> None:
    problem = refusal(kind, body)
    assert problem.kind is INVALID
    assert list(problem.errors) == [path]
    assert problem.detail.startswith(path)


def test_a_wrong_key_of_a_map_is_named_by_the_map() -> None:
    problem = refusal(PriceValue, b'{"dimensions": {"": "x"}}')
    assert list(problem.errors) == ["dimensions"]


def test_an_unknown_field_is_refused_with_what_to_do() -> None:
    problem = refusal(Line, b'{"amount": 1, "currency": "USD"}')
    known = "amount, data"
    assert problem.errors == {"currency": [f"is not a field here: remove it; there are: {known}"]}


def test_a_missing_field_is_refused_with_what_to_do() -> None:
    assert refusal(Line, b"{}").errors == {"amount": ["is missing: send a number"]}


@pytest.mark.parametrize("kind", [Decimal, Number])
def test_decimals_go_out_as_json_numbers(kind: type[Decimal]) -> None:
    assert codec.encode({"amount": kind("0.10")}) == b'{"amount":0.10}'


def test_what_has_no_json_form_is_not_written() -> None:
    with pytest.raises(TypeError, match="no JSON form"):
        codec.encode({"amount": object()})


@properties
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_numbers_survive_the_way_out_and_in(number: Decimal) -> None:
    line = Line(Number(number), {"same": number})
    again = codec.decode(Line, codec.encode(line))
    assert again.amount == number
    assert again.data == {"same": number}


def test_a_float_of_an_embedding_program_is_the_number_that_it_shows() -> None:
    event = UsageEvent("e", "t", datetime(2026, 1, 1, tzinfo=UTC), data={"ratio": 0.1})
    assert codec.checked(event).data == {"ratio": Decimal("0.1")}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_float_that_is_no_number_is_refused_because_json_would_drop_it(number: float) -> None:
    event = UsageEvent("e", "t", datetime(2026, 1, 1, tzinfo=UTC), data={"a": [{"b": number}]})
    with pytest.raises(FaregateError) as refused:
        codec.checked(event)
    assert list(refused.value.problem.errors) == ["data.a[0].b"]


def test_a_float_is_no_amount() -> None:
    with pytest.raises(FaregateError) as refused:
        codec.checked(ChargeRequest("t", "USD", 0.1))  # type: ignore[arg-type]
    assert list(refused.value.problem.errors) == ["amount"]
    assert "Decimal('0.1')" in str(refused.value)
