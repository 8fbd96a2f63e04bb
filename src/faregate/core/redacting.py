"""What may be written down of a request: everything but secrets. A value is one by the name of its
field (`password`, `secret`, `token`…) or by its own look (an API key, a signing secret, the part of
a URL that lets somebody in), and is replaced by dots. What is left is cut to a bounded size, so
that no request makes the log grow without end.

>>> redacted({"name": "Ada", "password": "correct horse", "url": "https://u:p@x.example/hook?k=1"})
{'name': 'Ada', 'password': '•••', 'url': 'https://•••@x.example/hook?•••'}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

HIDDEN: Final = "•••"
MAX_TEXT: Final = 4_000
MAX_ITEMS: Final = 50
MAX_DEPTH: Final = 6

_NAMES: Final = re.compile(
    r"(?:^|[^a-z])(?:password|passwd|passphrase|secret|token|csrf|api[-_]?key|signature"
    r"|authorization|cookie|credential|cvc|cvv|card[-_]?number)s?(?:$|[^a-z])"
)
# Not a key's hint, which is its first four letters.
_SECRETS: Final = re.compile(
    r"\b(?:fg_(?:test|live)_|fg[ar]_|whsec_|[sr]k_(?:test|live)_)[A-Za-z0-9_+/=-]{8,}"
    r"|\b(?:test|live)_[A-Za-z0-9]{30,}"
)
_USER_OF_URL: Final = re.compile(r"(?<=://)[^/\s?#@]*@")
_WORD: Final = re.compile(r"\S+")
_QUERY: Final = re.compile(r"[?#]")


def redacted(value: Any, depth: int = 0) -> Any:
    """Return a JSON value without its secrets, cut to a bounded size."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        if depth >= MAX_DEPTH:
            return "…"
        shown: dict[str, Any] = {}
        for name, item in list(value.items())[:MAX_ITEMS]:
            key = redacted_text(str(name))
            is_secret = is_secret_name(str(name)) and item not in (None, "")
            shown[key] = HIDDEN if is_secret else redacted(item, depth + 1)
        if len(value) > MAX_ITEMS:
            shown["…"] = f"{len(value) - MAX_ITEMS} more"
        return shown
    if isinstance(value, (list, tuple)):
        if depth >= MAX_DEPTH:
            return "…"
        items = [redacted(item, depth + 1) for item in value[:MAX_ITEMS]]
        return [*items, f"… {len(value) - MAX_ITEMS} more"] if len(value) > MAX_ITEMS else items
    return value


def redacted_text(text: str) -> str:
    """Return a text without the secrets in it that look like ours or a provider's."""
    # No database keeps a NUL in a text.
    text = _SECRETS.sub(HIDDEN, text.replace("\x00", "\\0"))
    if "://" in text:
        text = _WORD.sub(_without_query, _USER_OF_URL.sub(f"{HIDDEN}@", text))
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def _without_query(word: re.Match[str]) -> str:
    """Return a word without what comes after `?` or `#`, if it is a URL. By hand: an expression
    that looks from each `://` on to the end takes the square of a hostile text's length."""
    text = word[0]
    begin = text.find("://")
    query = None if begin < 0 else _QUERY.search(text, begin + len("://") + 1)
    if query is None or query.end() == len(text):
        return text
    return f"{text[: query.start()]}?{HIDDEN}"


def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name has a secret in it: `new_password`, `csrf`, `apiKey`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return _NAMES.search(words) is not None
