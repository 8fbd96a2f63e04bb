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

    def field(self, path: str) -> str:
        """Return the field that a path comes from, or the nearest one around it; empty if there is
        none: the error is about the form as a whole."""
        while path:
            found = self._fields.get(path)
            if found is not None:
                return found
            shorter = _LAST.sub("", path)
            path = "" if shorter == path else shorter
        return ""

    def fields(self, errors: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Return errors by the form's fields."""
        found: dict[str, list[str]] = {}
        for path, messages in errors.items():
            field = self.field(path)
            # Where an error is about the form as a whole, it says itself what it is about.
            said = messages if field else [f"{path} {message}" for message in messages]
            found.setdefault(field, []).extend(said)
        return found
