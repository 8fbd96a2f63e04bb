"""What the columns of an import mean, as it is said on the command line, put into the rules that
the account has for imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from faregate.cli.settings import refuse
from faregate.core.codec import decode_request, encode
from faregate.core.mapping import MappingRules
from faregate.core.problems import FaregateError


class Columns(NamedTuple):
    """The options, as they were typed; None: the account's rules say it."""

    customer: str | None
    event_type: str | None
    subject: str | None
    description: str | None
    data: str | None


def put_into(columns: Columns) -> Callable[[MappingRules], MappingRules]:
    """Return what puts the options into rules. Ends the program if an option makes no rule."""
    said = _said(columns)
    if not said:
        return lambda rules: rules

    def apply(rules: MappingRules) -> MappingRules:
        try:
            return decode_request(MappingRules, encode(msgspec.structs.replace(rules, **said)))
        except FaregateError as error:
            refuse("what the columns mean", str(error))

    return apply


def _said(columns: Columns) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name in ("customer", "subject", "description"):
        value = getattr(columns, name)
        if value is not None:
            said[name] = (value,)
    if columns.event_type is not None:
        is_constant = columns.event_type.startswith("=")
        said["event_type"] = () if is_constant else (columns.event_type,)
        said["default_event_type"] = columns.event_type[1:] if is_constant else None
    if columns.data is not None:
        said["data"] = _data(columns.data)
        said["data_below"] = None
        said["read_numbers"] = True
    return said


def _data(text: str) -> dict[str, tuple[str, ...]]:
    """Read `input_tokens,model` and `units=usage.total` as which field each key comes from."""
    data: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, is_other, field = part.partition("=")
        if key in data:
            refuse("--data", f"has {key!r} twice")
        data[key] = (field if is_other else key,)
    return data
