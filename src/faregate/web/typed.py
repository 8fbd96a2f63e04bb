"""What was typed into a form, read as values: exact numbers, whole numbers, instants. What cannot
be read is noted beside its field, in words, and nothing is sent on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from faregate.core.problems import FaregateError, Problem, invalid_fields
from faregate.web.forms import Form

MAX_NUMBER_LENGTH = 60


class Typed:
    """A form's values; `errors` has what is wrong with them, by field. Empty fields are None."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self.errors: dict[str, list[str]] = {}

    def text(self, name: str) -> str | None:
        """Return a text."""
        return self._form.get(name) or None

    def number(self, name: str) -> Decimal | None:
        """Return an exact number; commas between thousands are taken away."""
        shown = self._form.get(name)
        text = shown.replace(",", "").replace(" ", "")
        if not text:
            return None
        try:
            number = Decimal(text) if len(text) <= MAX_NUMBER_LENGTH else None
        except InvalidOperation:
            number = None
        # `1e999999999` is short, and no sum with it can be worked out.
        if number is None or not number.is_finite() or abs(number.adjusted()) > MAX_NUMBER_LENGTH:
            self._wrong(name, f"is {shown[:60]!r}: write a number, e.g. 12.50")
            return None
        return number

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        number = self.number(name)
        if number is None:
            return None
        if number != number.to_integral_value() or abs(number) > 10**12:
            self._wrong(name, f"is {self._form.get(name)[:60]!r}: write a whole number")
            return None
        return int(number)

    def instant(self, name: str) -> datetime | None:
        """Return an instant, typed as a day or a day with a time, in UTC."""
        text = self._form.get(name)
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self._wrong(name, f"is {text[:60]!r}: write a day such as 2026-11-27T14:00 (UTC)")
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

    def is_ticked(self, name: str) -> bool:
        """Tell whether a box is ticked."""
        return name in self._form

    def refuse(self, name: str, words: str) -> None:
        """Note what is wrong with a field."""
        self._wrong(name, words)

    def check(self) -> None:
        """Raise 422 if something could not be read."""
        if self.errors:
            raise FaregateError(invalid_fields(self.errors))

    def _wrong(self, name: str, words: str) -> None:
        self.errors.setdefault(name, []).append(words)


def beside(problem: Problem, names: dict[str, str] | None = None) -> dict[str, list[str]]:
    """Return a refusal's reasons by the form's fields; `names` says how those are called whose
    names differ."""
    names = names or {}
    return {names.get(field, field): reasons for field, reasons in problem.errors.items()}


def given(**values: object) -> dict[str, object]:
    """Return the values that are there: empty fields are left out of a request."""
    return {name: value for name, value in values.items() if value is not None}
