"""Answers as texts that hide nothing. What somebody has written may have characters that are not
seen, or turn around what is: in JSON each of them can be an escape, which means the same and is
there for everybody to see.
"""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(
    "["
    "\u0080-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    # Spaces without width, marks of direction, ends of lines.
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    # Tags and selectors, in which whole texts have been hidden.
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\x7f]"
)
"""Format characters (Unicode's Cf), separators of lines, controls beyond those that JSON escapes
anyway, and letters and selectors without a shape."""


def visible(encoded: bytes) -> str:
    """Return JSON as a text in which unseen characters are escapes. Between its strings JSON has
    none."""
    text = encoded.decode()
    return text if text.isascii() and "\x7f" not in text else _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
