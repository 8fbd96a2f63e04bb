"""The page of topics lists each topic that there is, with a sample of what it says."""

from __future__ import annotations

from pathlib import Path

from faregate.core.topics import topics_page

PAGE = Path(__file__).parents[2] / "docs" / "topics.md"


def test_the_page_of_topics_has_the_table_of_all_topics() -> None:
    assert PAGE.read_text().endswith(f"{topics_page()}\n")
