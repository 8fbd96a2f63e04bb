"""Rows of files that people open in a spreadsheet: comma-separated (RFC 4180), exact, and without
anything that a spreadsheet would take for a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from faregate.insights.spreadsheets import harmless

Cell = str | Decimal | datetime | None


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
    return harmless(cell)
