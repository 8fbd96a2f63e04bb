"""What was typed into a form as the values that the engine takes: whole numbers, exact numbers,
days. What cannot be read is refused by the field's name, with what was typed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from faregate.core.amounts import Number
from faregate.core.problems import FaregateError, invalid
from faregate.web.forms import Form

MAX_DIGITS: Final = 60


def whole(form: Form, name: str, otherwise: int | None = None) -> int | None:
    """Read a whole number; `otherwise` if nothing was typed. Raises 422."""
    text = form.get(name).replace(",", "")
    if not text:
        return otherwise
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        raise FaregateError(invalid(name, f"is {text[:50]!r}: write a whole number"))
    if len(text) > MAX_DIGITS:
        raise FaregateError(invalid(name, "is too large: write a smaller number"))
    return int(text)


def number(form: Form, name: str) -> Number | None:
    """Read an exact number, e.g. an amount; None if nothing was typed. Raises 422."""
    text = form.get(name)
    if not text:
        return None
    try:
        value = Number(text.replace(",", "") if "." in text else text)
    except InvalidOperation:
        value = Number("NaN")
    if not Decimal(value).is_finite() or "_" in text or len(text) > MAX_DIGITS:
        raise FaregateError(invalid(name, f"is {text[:50]!r}: write a number like 12.50"))
    return value


def day(form: Form, name: str) -> datetime | None:
    """Read a day, as the instant at which it begins in UTC; None if nothing was typed. Raises
    422."""
    text = form.get(name)
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        message = f"is {text[:50]!r}: write a day like 2026-11-27"
        raise FaregateError(invalid(name, message)) from None
