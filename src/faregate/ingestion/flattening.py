"""JSON as flat fields: objects and arrays in each other become dotted names, such as
`usage.details.0.tokens`. Numbers stay exactly what was written; what is null is not there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.codec import decode
from faregate.core.observed import Scalar
from faregate.core.problems import MALFORMED, TOO_LARGE, FaregateError, Problem, invalid

MAX_FIELDS: Final = 1_000
MAX_DEPTH: Final = 10
MAX_ITEMS: Final = 10_000
"""How many things may be told in one body."""
MAX_COMMAS: Final = 2_000_000
"""What stands between commas takes memory, of which a body of nothing else would need much."""


def read_json(body: bytes | str | msgspec.Raw, kind: Any = Any) -> Any:
    """Read JSON that comes from outside, numbers as they are written. Raises `FaregateError`
    (400, 413)."""
    sent = body.encode() if isinstance(body, str) else bytes(body)
    refuse_many_commas(sent)
    try:
        return decode(kind, sent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        detail = f"it is not valid JSON: {error}"
        raise FaregateError(Problem(MALFORMED, detail)) from None


def refuse_many_commas(body: bytes) -> None:
    """Refuse JSON that would take much more memory than it has bytes. Raises `FaregateError`
    (413)."""
    if body.count(b",") > MAX_COMMAS:
        detail = f"the body has more than {MAX_COMMAS} commas: send less at once"
        raise FaregateError(Problem(TOO_LARGE, detail))


def read_items(body: bytes) -> list[bytes]:
    """Read a JSON array, and return its items as they were sent. Raises `FaregateError` (400, 413
    for more than `MAX_ITEMS`)."""
    items: list[msgspec.Raw] = read_json(body, list[msgspec.Raw])
    refuse_many(len(items))
    return [bytes(item) for item in items]


def refuse_many(count: int) -> None:
    """Refuse to look at so many things one by one. Raises `FaregateError` (413)."""
    if count > MAX_ITEMS:
        detail = f"{count} things were told at once: send at most {MAX_ITEMS}"
        raise FaregateError(Problem(TOO_LARGE, detail))


def flatten(fields: dict[str, Scalar], name: str, value: Any) -> None:
    """Add what a JSON value says to the fields, under its name. Raises `FaregateError` (422) where
    it has more than `MAX_FIELDS`, or is deeper than `MAX_DEPTH`."""
    _flatten(fields, name, value, MAX_DEPTH)


def _flatten(fields: dict[str, Scalar], name: str, value: Any, levels: int) -> None:
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(str(index), item) for index, item in enumerate(value[: MAX_FIELDS + 1])]
    else:
        if isinstance(value, (str, bool, int, Decimal)):
            if len(fields) >= MAX_FIELDS:
                raise FaregateError(invalid(name, f"is beyond the first {MAX_FIELDS} fields"))
            fields[name] = value
        return
    if not levels:
        raise FaregateError(invalid(name, f"is nested more than {MAX_DEPTH} deep: make it flatter"))
    for key, inner in pairs:
        _flatten(fields, f"{name}.{key}" if name else key, inner, levels - 1)
