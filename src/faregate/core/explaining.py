"""What is wrong with JSON that does not fit a type: the field, the value, and what to send instead.
The decoder says where it stopped and what it wanted (``Expected `int` >= 1 - at
`$.trial.days` ``); the value is looked up in what was sent, and what may be there in the type.

    >>> class Trial(msgspec.Struct):
    ...     days: Annotated[int, Meta(ge=1, le=31)]
    >>> explain("Expected `int` >= 1 - at `$.days`", Trial, {"days": 0}).errors
    {'days': ['is 0: send a whole number from 1 to 31']}

Only refusals come here, so it may take its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from faregate.core.problems import INVALID, Problem

UNKNOWN: Final = object()
"""In place of what was sent, where that cannot be read."""
MAX_SHOWN: Final = 60
"""Characters of a value that a message shows."""
_ITEM: Final = "..."
"""How the decoder names a value of an object with free keys."""
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_FIELD: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`")
_OF_TYPES: Final = ("Expected `", "Invalid ", "Number out of range")
"""How what the decoder says of types begins; the rest it has from us."""
_WANTED: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "number": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
    "datetime": "an instant such as 2026-01-31T12:00:00Z",
    "date": "a day such as 2026-01-31",
}

Step = str | int


class Digits(str):
    """A number with a point or an exponent, as it was written."""

    __slots__ = ()


def explain(message: str, kind: Any, sent: Any = UNKNOWN) -> Problem:
    """Turn what the decoder says of JSON that should be a `kind` into a problem with a field's
    path. `sent` is the JSON, decoded without a type."""
    text, _, place = message.partition(" - at `")
    is_key = place.startswith("key` in `")
    steps = _steps(place.removeprefix("key` in `").rstrip("`").removeprefix("$"))
    field = _FIELD.fullmatch(text)
    if field is not None:
        steps.append(field[2])
        if field[1] == "missing required":
            remedy = _remedy(_types(kind, steps, sent)) or ": it is required"
            return _problem(steps, f"is missing{remedy}")
        known = ", ".join(_fields(_types(kind, steps[:-1], sent))) or "none"
        return _problem(steps, f"is not a field here: remove it; there are: {known}")
    value = _value(sent, steps, text)
    if is_key:
        return _problem(steps, f"has a name that does not fit: {_of_length(text) or text}")
    return _problem(steps, _said(text, value, _types(kind, steps, sent)))


def _problem(steps: Sequence[Step], said: str) -> Problem:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) or step == _ITEM else f".{step}"
    path = path.removeprefix(".") or "body"
    return Problem(INVALID, f"{path} {said}", {path: [said]})


def _steps(place: str) -> list[Step]:
    """Split a path: `.events[2].id` is `events`, 2, `id`."""
    return [
        name or (int(index) if index.isdigit() else _ITEM) for name, index in _STEP.findall(place)
    ]


def _value(sent: Any, steps: list[Step], text: str) -> Any:
    """Look up what lies at a path; where it goes through free keys, put the one that it is about
    into the path, if that can be told."""
    for place, step in enumerate(steps):
        if isinstance(sent, dict) and step == _ITEM:
            wrong = [key for key, inner in sent.items() if _is_seen(text, inner)]
            if len(wrong) != 1:
                return UNKNOWN
            step = steps[place] = wrong[0]
        try:
            sent = sent[step]
        except (KeyError, IndexError, TypeError):
            return UNKNOWN
    return sent


def _is_seen(text: str, value: Any) -> bool:
    """Tell whether a value may be the one of which the decoder speaks."""
    _, got, seen = text.partition(", got `")
    if got:
        return _type_name(value) == seen.rstrip("`")
    return isinstance(value, str) and (not value if ">=" in text else len(value) > 100)


_SEEN: Final[dict[type, str]] = {
    bool: "bool",
    int: "int",
    Digits: "float",
    Decimal: "float",
    str: "str",
    list: "array",
    tuple: "array",
    dict: "object",
}


def _type_name(value: Any) -> str:
    return _SEEN.get(type(value), "null")


def _shown(value: Any) -> str:
    """Show a value as it was sent, or what it is."""
    if value is UNKNOWN:
        return "does not fit"
    name = _type_name(value)
    if name in ("array", "object"):
        return f"is {_WANTED[name]}"
    if name == "null":
        return "is null" if value is None else f"is a {type(value).__name__}"
    text = str(value)
    if name in ("str", "bool"):
        text = msgspec.json.encode(value).decode()
    return f"is {text}" if len(text) <= MAX_SHOWN else f"is {text[:MAX_SHOWN]}…"


def _said(text: str, value: Any, types: Sequence[inspect.Type]) -> str:
    if "timezone component" in text:
        return f"{_shown(value)}, which has no timezone: add Z, for UTC, or an offset"
    if text == "Integer value out of range":
        return "is a number with too many digits: send a shorter one"
    length = _of_length(text)
    if length:
        if isinstance(value, (str, list, dict)) and value:
            unit = {str: "characters", list: "entries"}.get(type(value), "keys")
            return f"has {len(value)} {unit}: {length}"
        return (
            f"{_shown(value)}: {length}" if value != [] and value != {} else f"is empty: {length}"
        )
    if not text.startswith(_OF_TYPES):
        return text
    if "exponent" in text:
        return f"{_shown(value)}: send a number with a smaller exponent"
    remedy = _remedy(types)
    return f"{_shown(value)}{remedy}" if remedy else text


def _of_length(text: str) -> str:
    """Say how long something may be, if that is what the decoder says."""
    found = re.fullmatch(r"Expected `(\w+)` of length (>=|<=) (\d+)", text)
    if found is None:
        return ""
    unit = {"str": "character", "array": "entry"}.get(found[1], "key")
    many = {"entry": "entries"}.get(unit, f"{unit}s")
    bound = "at least" if found[2] == ">=" else "at most"
    return f"send {bound} {found[3]} {unit if found[3] == '1' else many}"


def _remedy(types: Sequence[inspect.Type]) -> str:
    """Say what to send where one of these types is wanted."""
    wanted = list(dict.fromkeys(filter(None, [_wanted(kind) for kind in types])))
    return f": send {' or '.join(wanted)}" if wanted else ""


def _wanted(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        described = (kind.extra_json_schema or {}).get("description")
        return str(described) if described else _wanted(kind.type)
    if isinstance(kind, inspect.LiteralType):
        shown = [msgspec.json.encode(value).decode() for value in kind.values]
        return shown[0] if len(shown) == 1 else f"one of {', '.join(sorted(shown))}"
    if isinstance(kind, inspect.IntType):
        if kind.ge is not None and kind.le is not None:
            return f"a whole number from {kind.ge} to {kind.le}"
        return _WANTED["int"]
    if isinstance(kind, inspect.StrType) and kind.pattern is not None:
        return f"a text that matches {kind.pattern}"
    return _WANTED.get(_NAMES.get(type(kind), ""), "")


_NAMES: Final[dict[type, str]] = {
    inspect.StrType: "str",
    inspect.BoolType: "bool",
    inspect.CustomType: "number",
    inspect.DecimalType: "number",
    inspect.ListType: "array",
    inspect.VarTupleType: "array",
    inspect.DictType: "object",
    inspect.StructType: "object",
    inspect.DateTimeType: "datetime",
    inspect.DateType: "date",
}


@cache
def _whole(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _types(kind: Any, steps: Sequence[Step], sent: Any) -> list[inspect.Type]:
    """Return what may lie at a path, null aside: a union has several."""
    found = _tagged(list(_alternatives([_whole(kind)])), sent)
    for step in steps:
        found = list(_alternatives(_inside(found, step)))
        try:
            sent = sent[step]
        except (KeyError, IndexError, TypeError):
            sent = UNKNOWN
        found = _tagged(found, sent)
    return found


def _tagged(types: list[inspect.Type], sent: Any) -> list[inspect.Type]:
    """Of structs with tags, return the one whose tag was sent; all if it is none's."""
    found: list[inspect.Type] = [
        kind
        for kind in types
        if isinstance(kind, inspect.StructType)
        and isinstance(sent, dict)
        and kind.tag_field is not None
        and sent.get(kind.tag_field) == kind.tag
    ]
    return found or types


def _fields(types: Iterable[inspect.Type]) -> list[str]:
    """Return the fields that an object of one of these types may have."""
    found: dict[str, None] = {}
    for kind in types:
        if isinstance(kind, inspect.StructType):
            if kind.tag_field is not None:
                found[kind.tag_field] = None
            found |= dict.fromkeys([field.encode_name for field in kind.fields])
    return list(found)


def _inside(types: Iterable[inspect.Type], step: Step) -> Iterator[inspect.Type]:
    tags: list[str] = []
    for kind in types:
        kind = kind.type if isinstance(kind, inspect.Metadata) else kind
        if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
            yield kind.item_type
        elif isinstance(kind, inspect.DictType):
            yield kind.value_type
        elif isinstance(kind, inspect.StructType):
            if step == kind.tag_field:
                tags.append(cast(str, kind.tag))
            for field in kind.fields:
                if field.encode_name == step:
                    yield field.type
    if tags:
        yield inspect.LiteralType(tuple(dict.fromkeys(tags)))


def _alternatives(types: Iterable[inspect.Type]) -> Iterator[inspect.Type]:
    for kind in types:
        if isinstance(kind, inspect.UnionType):
            yield from _alternatives(kind.types)
        elif not isinstance(kind, inspect.NoneType):
            yield kind
