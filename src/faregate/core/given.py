"""What callers choose themselves: ids, texts, and data of their own shape (`data`, `metadata`). It
is kept as it is, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from faregate.core.codec import encode
from faregate.core.problems import Problem, invalid

MAX_FREE_KEYS: Final = 50
MAX_FREE_BYTES: Final = 16 * 1024
MAX_FREE_DEPTH: Final = 10

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Instant = Annotated[datetime, Meta(tz=True)]
ShortText = Annotated[str, Meta(max_length=500)]
FreeData = Annotated[dict[str, Any], Meta(max_length=MAX_FREE_KEYS)]


def check_free(path: str, value: Mapping[str, Any] | None) -> Problem | None:
    """Refuse free data that is nested too deeply, or larger than `MAX_FREE_BYTES` as JSON."""
    if value is None:
        return None
    for inner in value.values():
        if type(inner) in (dict, list) and _depth_exceeds(inner, MAX_FREE_DEPTH - 1):
            return invalid(path, f"is nested more than {MAX_FREE_DEPTH} deep: make it flatter")
    size = len(encode(value))
    if size <= MAX_FREE_BYTES:
        return None
    return invalid(path, f"has {size} bytes as JSON: send at most {MAX_FREE_BYTES}")


def _depth_exceeds(value: object, levels: int) -> bool:
    """Tell whether arrays and objects lie in each other more than so many levels deep."""
    if isinstance(value, dict):
        inner: Iterable[object] = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return not levels or any(_depth_exceeds(item, levels - 1) for item in inner)
