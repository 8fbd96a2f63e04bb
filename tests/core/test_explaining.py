"""What is wrong with JSON of another shape: the field, the value, and what to send."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from faregate.core.amounts import Number
from faregate.core.codec import decode_request
from faregate.core.given import Instant
from faregate.core.problems import FaregateError


class Cat(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="cat"):
    lives: Annotated[int, Meta(ge=1, le=9)]


class Dog(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="dog"):
    size: Literal["large", "small"]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)] = "x"
    code: Annotated[str, Meta(pattern="^[a-z]+$", description="small letters")] = "x"
    plain: Annotated[str, Meta(pattern="^[a-z]+$")] = "x"
    count: int = 0
    at_least: Annotated[int, Meta(ge=1)] = 1
    price: Number | None = None
    at: Instant | None = None
    is_open: bool = False
    version: int | Literal["default"] = 1
    pets: Annotated[list[Cat | Dog], Meta(max_length=2)] = []
    labels: dict[str, Annotated[str, Meta(min_length=1)]] = {}


@pytest.mark.parametrize(
    ("sent", "field", "message"),
    [
        ({"name": ""}, "name", 'is "": send at least 1 character'),
        ({"name": "abcdef"}, "name", "has 6 characters: send at most 5 characters"),
        ({"name": None}, "name", "is null: send a text"),
        ({"name": ["x"]}, "name", "is an array: send a text"),
        ({"code": "A B"}, "code", 'is "A B": send small letters'),
        ({"plain": "A"}, "plain", 'is "A": send a text that matches ^[a-z]+$'),
        ({"count": "1"}, "count", 'is "1": send a whole number'),
        ({"count": 1.5}, "count", "is 1.5: send a whole number"),
        ({"at_least": 0}, "at_least", "is 0: send a whole number"),
        ({"price": "1.50"}, "price", 'is "1.50": send a number'),
        ({"price": {}}, "price", "is an object: send a number"),
        ({"at": "now"}, "at", 'is "now": send an instant such as 2026-01-31T12:00:00Z'),
        (
            {"at": "2026-01-31T12:00:00"},
            "at",
            'is "2026-01-31T12:00:00", which has no timezone: add Z, for UTC, or an offset',
        ),
        ({"is_open": 1}, "is_open", "is 1: send true or false"),
        ({"version": "new"}, "version", 'is "new": send a whole number or "default"'),
        ({"pets": [{}]}, "pets[0].type", 'is missing: send one of "cat", "dog"'),
        ({"pets": [{"type": "cow"}]}, "pets[0].type", 'is "cow": send one of "cat", "dog"'),
        (
            {"pets": [{"type": "cat", "lives": 10}]},
            "pets[0].lives",
            "is 10: send a whole number from 1 to 9",
        ),
        (
            {"pets": [{"type": "dog", "size": "huge"}]},
            "pets[0].size",
            'is "huge": send one of "large", "small"',
        ),
        (
            {"pets": [{"type": "dog", "size": "small", "lives": 9}]},
            "pets[0].lives",
            "is not a field here: remove it; there are: type, size",
        ),
        (
            {"pets": [{"type": "cat", "lives": 1}] * 3},
            "pets",
            "has 3 entries: send at most 2 entries",
        ),
        ({"labels": {"a": "x", "b": 1}}, "labels.b", "is 1: send a text"),
        ({"labels": {"a": "x", "b": ""}}, "labels.b", 'is "": send at least 1 character'),
        ({"labels": {"a": 1, "b": 2}}, "labels[...]", "does not fit: send a text"),
        (
            {"xxx": 1},
            "xxx",
            f"is not a field here: remove it; there are: {', '.join(Order.__struct_fields__)}",
        ),
        ([], "body", "is an array: send an object"),
    ],
)
def test_the_message_says_what_was_sent_and_what_to_send(
    sent: Any, field: str, message: str
) -> None:
    with pytest.raises(FaregateError) as caught:
        decode_request(Order, json.dumps(sent).encode())
    assert caught.value.problem.errors == {field: [message]}
    assert caught.value.problem.detail == f"{field} {message}"


def test_a_long_value_is_cut_off() -> None:
    with pytest.raises(FaregateError) as caught:
        decode_request(Order, b'{"count": "' + b"x" * 100_000 + b'"}')
    assert len(caught.value.problem.detail) < 200


def test_what_cannot_be_read_to_its_end_is_explained_without_the_value() -> None:
    with pytest.raises(FaregateError) as caught:
        decode_request(Order, b'{"count": "x", nonsense')
    assert caught.value.problem.errors == {"count": ["does not fit: send a whole number"]}


def test_a_number_of_thousands_of_digits_is_not_shown() -> None:
    with pytest.raises(FaregateError) as caught:
        decode_request(Order, b'{"count": ' + b"9" * 5000 + b"}")
    said = "is a number with too many digits: send a shorter one"
    assert caught.value.problem.errors == {"count": [said]}
