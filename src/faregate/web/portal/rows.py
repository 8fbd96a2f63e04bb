"""Rows of files that people open in a spreadsheet: comma-separated (RFC 4180), exact, and without
anything that a spreadsheet would take for a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

Cell = str | Decimal | datetime | None
_BEGINS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""With what a cell begins that a spreadsheet might run (OWASP, "CSV Injection")."""


def csv_line(cells: Sequence[Cell]) -> str:
    """Write a row. Text that begins like a formula gets an apostrophe in front, which spreadsheets
    take as "this is text"; numbers are numbers, also below zero.

    >>> csv_line(["=1+1", Decimal("-0.50"), None])
    "'=1+1,-0.50,\\r\\n"
    """
    line = io.StringIO()
    csv.writer(line).writerow([_text(cell) for cell in cells])
    return line.getvalue()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, datetime):
        return cell.isoformat()
    # Spaces in front are cut off by some of them.
    return f"'{cell}" if cell.lstrip().startswith(_BEGINS_FORMULA) else cell
