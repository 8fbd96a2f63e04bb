"""What was said and done in a story, as a page to read: the calls as they were made, of the answers
what matters, and in place of ids that are made anew each time, short ones that stay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from tests.scenarios.scripted import Did, Said

from faregate.core.codec import encode

_ID: Final = re.compile(r"\b([a-z]{3,4})_(01[0-9a-hjkmnp-tv-z]{24})\b")
_HOST: Final = re.compile(r"http://127\.0\.0\.1:\d+")
_LINK: Final = re.compile(r"\?link=[\w.-]+")
_REQUEST: Final = re.compile(r'"request_id": "[^"]*"')
_LEFT_OUT: Final = frozenset(
    [
        "created_at",
        "expires_at",
        "started_at",
        "updated_at",
        "pending_in",
        "overdraft",
        "low_balance_threshold",
        "label",
        "price_id",
        "price_name",
        "usage_id",
        "usage_type",
        "fee_id",
        "parts",
        "paid_by",
        "is_default",
        "limit",
        "offset",
        "transaction_id",
        "held_amount",
        "account_id",
        "kind",
        "provider",
        "billing_model",
    ]
)
"""What says nothing in a story."""
_MOST: Final = 420
"""So many characters of an answer are shown."""


def page(head: str, story: Iterable[Did | Said]) -> str:
    """Return a story as Markdown."""
    names = _Names()
    parts = [head.strip()]
    parts += [_said(line) if isinstance(line, Said) else _did(line, names) for line in story]
    return names.put_into("\n\n".join(parts)) + "\n"


def _said(line: Said) -> str:
    return f"## {line.words}" if line.who == "section" else f"**{line.who}:** {line.words}"


def _did(line: Did, names: _Names) -> str:
    sent = names.put_into(_written(line.arguments))
    answer = names.put_into(_written(_short(line.answer)))
    if len(answer) > _MOST:
        answer = answer[:_MOST].rstrip() + " …"
    return f"```text\n{line.tool} {sent}\n→ {'refused: ' if line.is_error else ''}{answer}\n```"


def _written(value: Any) -> str:
    """Write JSON, with exact amounts as the numbers that they are."""
    return encode(value).decode().replace('":', '": ').replace(',"', ', "')


def _short(answer: Any) -> Any:
    if isinstance(answer, dict):
        kept = {key: _short(value) for key, value in answer.items() if key not in _LEFT_OUT}
        return {key: value for key, value in kept.items() if value not in (None, [], {})}
    if isinstance(answer, list):
        return [_short(value) for value in answer]
    return answer


class _Names:
    """Short names for ids, in the order in which they come up."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, count[int]] = {}

    def put_into(self, text: str) -> str:
        """Return a text that is the same whenever it is made."""
        text = _LINK.sub("?link=…", _HOST.sub("http://127.0.0.1:8080", text))
        return _ID.sub(self._name, _REQUEST.sub('"request_id": "…"', text))

    def _name(self, found: re.Match[str]) -> str:
        if found[0] not in self._names:
            kind = found[1]
            number = next(self._counts.setdefault(kind, count(1)))
            self._names[found[0]] = f"{kind}_{number}"
        return self._names[found[0]]
