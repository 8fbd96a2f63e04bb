"""The page about webhooks shows every topic. Run this file as a module to print the table anew."""

from __future__ import annotations

from pathlib import Path

from faregate.core.codec import encode
from faregate.core.topics import TOPICS

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"
HEAD = "| Topic | Told when | `data`, for example |\n|---|---|---|\n"


def table() -> str:
    rows = (f"| `{t.name}` | {t.description} | `{encode(t.sample).decode()}` |\n" for t in TOPICS)
    return HEAD + "".join(rows)


def test_the_page_has_every_topic() -> None:
    assert table() in PAGE.read_text()


if __name__ == "__main__":
    print(table(), end="")
