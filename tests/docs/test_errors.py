"""The page of errors lists every kind of problem that there is."""

from __future__ import annotations

from pathlib import Path

from faregate.rest.problems import problems_page

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_of_errors_has_the_table_of_all_kinds() -> None:
    assert PAGE.read_text().endswith(f"{problems_page()}\n")
