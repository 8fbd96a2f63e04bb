"""What is in the portal's menu: a page's path, the English words of its entry, and its icon. Words
that are translated where they are shown, and not where they stand, are marked with `mark`.
"""

from __future__ import annotations

from typing import Final


def mark(sentence: str) -> str:
    """Return a sentence as it is: it is translated later, so it belongs to the catalogs."""
    return sentence


MENU: Final[tuple[tuple[str, str, str], ...]] = (
    ("", mark("Overview"), "house"),
    ("top-up", mark("Top up"), "wallet"),
    ("payment", mark("Payment"), "credit-card"),
    ("plans", mark("Plans"), "package"),
    ("history", mark("History"), "clipboard-list"),
    ("limits", mark("Limits"), "bell"),
)
