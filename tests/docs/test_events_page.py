"""The page about events: its columns, bounds and sentence are those of the code."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

from faregate.core.assets import CURRENCIES
from faregate.core.reasons import money
from faregate.insights.exported import COLUMNS, DECIMALS
from faregate.insights.spreadsheets import harmless
from faregate.platform.export_folder import MAX_BYTES
from faregate.platform.jobs import FILE_DAYS, MAX_KEPT, MAX_OPEN

PAGE = (Path(__file__).parents[2] / "docs/events.md").read_text()


def test_every_column_is_described_in_its_order() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, re.M)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == [name for name, _ in COLUMNS]


def test_its_numbers_are_those_of_the_code() -> None:
    assert {int(d) for d in re.findall(r"decimal128\(38, (\d+)\)", PAGE)} == set(DECIMALS.values())
    assert f"kept for {FILE_DAYS} days" in PAGE
    assert f"at most {MAX_BYTES // 1024**3} GB" in PAGE
    assert f"At most {MAX_OPEN} wait" in PAGE
    assert f"newest {MAX_KEPT} that" in PAGE
    assert money(Decimal("0.001104"), CURRENCIES["USD"]) in PAGE
    begins = re.search(r"that begins with (.*?) has an apostrophe", PAGE, re.S)
    assert begins
    for sign in re.findall(r"`(.)`", begins[1]):
        assert harmless(f"{sign}1") == f"'{sign}1"
