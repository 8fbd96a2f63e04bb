"""JSON in and out, exactly. Numbers that are typed `Number` or untyped arrive as `Decimal` (or
`int`) straight from the digits of the text; no float is made on the way. Unknown fields of
types that say so are refused, and every message names the field's path.

msgspec alone is not enough for money: a field typed `Decimal` also accepts JSON strings, and an
untyped number becomes a float unless `float_hook` says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec

from faregate.core.amounts import Number
from faregate.core.explaining import UNKNOWN, Digits, explain
from faregate.core.problems import INVALID, MALFORMED, FaregateError, Problem, invalid

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


def _from_json(kind: type, value: object) -> object:
    if kind is Number:
        if type(value) is int or type(value) is Decimal:
            return Number(value)
        raise ValueError(f"Expected `number`, got `{_json_type(value)}`")
    return value


def _json_type(value: object) -> str:
    names = {str: "string", bool: "boolean", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value), "number")


def _to_json(value: object) -> object:
    if isinstance(value, Decimal):
        return Decimal(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _float(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("Expected `number` with a smaller exponent") from None


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast(Any, kind), dec_hook=_from_json, float_hook=_float)


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_to_json)

encode = _encoder.encode
"""Encode to JSON bytes; every `Decimal` becomes a JSON number."""


def decode(kind: type[T], body: bytes | str) -> T:
    """Decode JSON that we wrote ourselves. Raises `msgspec.DecodeError` if it is not."""
    result: T = _decoder(cast(Hashable, kind)).decode(body)
    return result


def from_dict(kind: type[T], value: Mapping[str, Any]) -> T:
    """Build a request from Python values, checked as if it had come as JSON.

    Numbers are `int` or `Decimal`; a `float` is refused, because it is not the number that was
    written. Raises `FaregateError` (422) naming the field.
    """
    try:
        result: T = msgspec.convert(value, kind, dec_hook=_from_python)
        return result
    except msgspec.ValidationError as error:
        raise FaregateError(explain(str(error), kind, value)) from None


def _from_python(kind: type, value: object) -> object:
    if kind is Number and isinstance(value, float):
        raise ValueError(f"{value} is a float, which is not exact: write Decimal('{value}')")
    return _from_json(kind, value)


def checked(request: S) -> S:
    """Return a request that was built in Python as it would be had it come as JSON.

    A float in free data becomes the decimal that it shows; in an amount it is refused. Raises
    `FaregateError` (422) naming the field that has no JSON form, or that the API would refuse.
    """
    _refuse_floats(request, "", is_free=False)
    try:
        body = encode(request)
    except (TypeError, ValueError, OverflowError):
        raise FaregateError(_without_json(request)) from None
    return decode_request(type(request), body)


def _refuse_floats(value: object, path: str, *, is_free: bool) -> None:
    """Refuse floats: in free data those that are no number, elsewhere all."""
    if isinstance(value, float):
        if not is_free:
            message = f"is the float {value}, which is not exact: write Decimal('{value}')"
            raise FaregateError(invalid(path, message))
        if not math.isfinite(value):
            raise FaregateError(invalid(path, f"is {value}, which JSON cannot say: leave it out"))
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            item = getattr(value, field)
            if type(item) not in _NO_FLOATS:
                _refuse_floats(item, f"{path}.{field}" if path else field, is_free=is_free)
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(item) not in _NO_FLOATS:
                _refuse_floats(item, f"{path}.{key}", is_free=True)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            if type(item) not in _NO_FLOATS:
                _refuse_floats(item, f"{path}[{index}]", is_free=is_free)


_NO_FLOATS: Final = frozenset((str, int, bool, type(None), datetime, Decimal, Number))


def _without_json(request: msgspec.Struct) -> Problem:
    """Name the first field that has no JSON form."""
    for field in request.__struct_fields__:
        try:
            encode(getattr(request, field))
        except (TypeError, ValueError, OverflowError) as error:
            message = f"has no JSON form: {error}"
            return Problem(INVALID, f"{field} {message}", {field: [message]})
    raise AssertionError("every field has a JSON form, but not all together")


def decode_request(kind: type[T], body: bytes) -> T:
    """Decode a caller's JSON.

    Raises `FaregateError`: 400 if it is not JSON, 422 naming the field if it has a wrong type.
    """
    try:
        result: T = _decoder(cast(Hashable, kind)).decode(body)
        if b"\\u0000" in body:
            _refuse_nul(msgspec.json.decode(body), "")
        return result
    except msgspec.ValidationError as error:
        raise FaregateError(explain(str(error), kind, _sent(body))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        detail = f"The body is not valid JSON: {error}"
        raise FaregateError(Problem(MALFORMED, detail)) from None


def _refuse_nul(value: object, path: str) -> None:
    """Refuse the NUL character, which no database keeps in a text."""
    if isinstance(value, str) and "\x00" in value:
        path = path or "body"
        message = "has a NUL character (\\u0000): remove it"
        raise FaregateError(Problem(INVALID, f"{path} {message}", {path: [message]}))
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_nul(key, path)
            _refuse_nul(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_nul(inner, f"{path}[{index}]")


_untyped = msgspec.json.Decoder(float_hook=Digits)


def _sent(body: bytes) -> Any:
    """Read what was sent without a type, to show it; `UNKNOWN` if that is not possible."""
    try:
        return _untyped.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UNKNOWN


def same_json(one: Any, other: Any) -> bool:
    """Tell whether two decoded JSON values mean the same.

    Numbers compare by value (1 and 1.0 are equal), but `true` is not 1, as it is in Python.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def differing_fields(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of which only one JSON object has a value, or another one than the other."""
    return [
        name
        for name in dict.fromkeys((*one, *other))
        if name not in one or name not in other or not same_json(one[name], other[name])
    ]
