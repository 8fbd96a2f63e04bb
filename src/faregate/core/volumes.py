"""What an event's data says: how much it used, a number that is counted in whole parts, and what
kind of use it was, a text."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from faregate.core.amounts import AmountError, plain, scaled
from faregate.core.problems import Problem, invalid

VOLUME_DECIMALS: Final = 12
"""Decimals that a volume in an event's data may have."""
MAX_VOLUME: Final = 10**15
VOLUME_ONE: Final = 10**VOLUME_DECIMALS
"""One of a volume, or of the uses that a tier counts, in the parts in which they are counted."""


def measure_volume(field: str, volume: object) -> int | Problem:
    """Return the volume in `data[field]` in 10^-12 parts, or say why it is none."""
    if type(volume) is int and 0 <= volume <= MAX_VOLUME:
        return volume * VOLUME_ONE
    parts = read_parts(field, volume, "a volume")
    if isinstance(parts, Problem) or parts >= 0:
        return parts
    return invalid(f"data.{field}", f"is {volume}: send a number from 0 to {MAX_VOLUME}")


def read_parts(field: str, value: object, what: str) -> int | Problem:
    """Return a number in the data, which may be below 0, in parts; or say why it is not `what` is
    wanted."""
    if type(value) is int:
        if -MAX_VOLUME <= value <= MAX_VOLUME:
            return value * VOLUME_ONE
    elif isinstance(value, Decimal):
        try:
            parts = scaled(value, VOLUME_DECIMALS)
        except AmountError as error:
            return invalid(f"data.{field}", str(error))
        if parts is None:
            return invalid(f"data.{field}", f"{value} has more than {VOLUME_DECIMALS} decimals")
        if abs(parts) <= MAX_VOLUME * VOLUME_ONE:
            return parts
    else:
        shown = "true or false" if isinstance(value, bool) else f"{value!r:.60}"
        return invalid(f"data.{field}", f"is {shown}: it is {what}, so send a JSON number")
    return invalid(f"data.{field}", f"is {value}: send a number from 0 to {MAX_VOLUME}")


def dimension_text(value: object) -> str | None:
    """Write an event's value as the text that dimensions are matched by; None for no match.

    Numbers lose trailing zeros (`1.50` is `1.5`), booleans are `true` and `false`.
    """
    if type(value) is str:
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal) and abs(value.adjusted()) < 100:
        return plain(value)
    return None
