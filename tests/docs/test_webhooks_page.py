"""The page about webhooks shows every topic. Run this file as a module to print the table anew."""

from __future__ import annotations

from pathlib import Path

from faregate.core.topics import topics_page

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"


def test_the_page_has_every_topic() -> None:
    assert topics_page() in PAGE.read_text()


if __name__ == "__main__":
    print(topics_page())
