"""JSON as flat fields: objects and arrays in each other become dotted names, such as
`usage.details.0.tokens`. Numbers stay exactly what was written; what is null is not there."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.codec import decode
from faregate.core.observed import Scalar
from faregate.core.problems import MALFORMED, FaregateError, Problem, invalid

MAX_FIELDS: Final = 1_000
MAX_DEPTH: Final = 10


def read_json(body: bytes | str | msgspec.Raw, kind: Any = Any) -> Any:
    """Read JSON that comes from outside, numbers as they are written. Raises `FaregateError`
    (400)."""
    try:
        return decode(kind, bytes(body) if isinstance(body, msgspec.Raw) else body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        detail = f"it is not valid JSON: {error}"
        raise FaregateError(Problem(MALFORMED, detail)) from None


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
