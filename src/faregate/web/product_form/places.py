"""Which field of the form an error is about. While a form is read, each path of the request that a
field became is noted; an error about something deeper, or about a whole, is shown at the nearest
place around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_LAST: Final = re.compile(r"(?:\.[^.\[\]]+|\[\d+\])\Z")


class Places:
    """Fields by the path of the request that they became."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def note(self, path: str, field: str) -> None:
        """Say that a path comes from a field; of several fields the first is shown."""
        self._fields.setdefault(path, field)

    def field(self, path: str) -> tuple[str, str]:
        """Return the field that a path comes from, or the nearest one around it (empty: none, the
        error is about the form as a whole), and what of the path lies inside it."""
        around = path
        while around:
            found = self._fields.get(around)
            if found is not None:
                return found, path[len(around) :].lstrip(".")
            shorter = _LAST.sub("", around)
            around = "" if shorter == around else shorter
        return "", path

    def fields(self, errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return errors by the form's fields; each says what inside the field it is about."""
        found: dict[str, list[str]] = {}
        for path, messages in errors.items():
            field, rest = self.field(path)
            said = [f"{rest} {message}" if rest else message for message in messages]
            found.setdefault(field, []).extend(said)
        return found
