"""Rows as files: CSV for spreadsheets, Parquet for data frames. Both are written as the rows come.

In CSV a text from outside that a spreadsheet would take for a formula has an apostrophe before it
(owasp.org, "CSV Injection"). Parquet needs `pyarrow`, an extra.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, Final, Protocol

from faregate.core.amounts import plain
from faregate.core.problems import FaregateError, invalid
from faregate.insights.exported import COLUMNS, DECIMALS, Kind, Row, Value

FORMATS: Final = ("csv", "parquet")
ROW_GROUP: Final = 5_000
"""Rows that are in memory at the same time, in Parquet."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def check_format(name: str) -> None:
    """Raise 422 if a format is not known, or what it needs is not installed."""
    if name not in FORMATS:
        raise FaregateError(invalid("format", f"is {name[:50]!r}: choose csv or parquet"))
    if name == "parquet" and find_spec("pyarrow") is None:
        remedy = "pip install 'faregate[parquet]'"
        raise FaregateError(invalid("format", f"parquet needs pyarrow: install it: {remedy}"))


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula.

    >>> harmless("=1+1"), harmless("a=1")
    ("'=1+1", 'a=1')
    """
    # Some of them cut off spaces in front; a tab or a line's end in front is enough by itself.
    return f"'{text}" if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else text


class Sheet(Protocol):
    """A file on its way."""

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows; may take some milliseconds."""
        ...

    def end(self) -> None:
        """Write what is left."""
        ...

    def give_up(self) -> None:
        """Let go of a file that nobody will read."""
        ...


class CsvSheet:
    """Comma-separated values (RFC 4180), in UTF-8, with names in the first line."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file
        self._write([[name for name, _ in COLUMNS]])

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        kinds = [kind for _, kind in COLUMNS]
        self._write([list(map(_cell, row, kinds)) for row in rows])

    def end(self) -> None:
        """Nothing is left."""

    def give_up(self) -> None:
        """Nothing is held."""

    def _write(self, lines: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        self._file.write(text.getvalue().encode(errors="replace"))


def _cell(value: Value, kind: Kind) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return harmless(value) if kind == "sent" and isinstance(value, str) else str(value)


class ParquetSheet:
    """Parquet: amounts as `decimal128`, instants as UTC timestamps, JSON as text."""

    def __init__(self, file: io.BufferedWriter) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        kinds: dict[str, Any] = {
            "count": pa.int64(),
            "instant": pa.timestamp("us", tz="UTC"),
            **{kind: pa.decimal128(38, decimals) for kind, decimals in DECIMALS.items()},
        }
        self._pa = pa
        self._schema = pa.schema([(name, kinds.get(kind, pa.string())) for name, kind in COLUMNS])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows, some thousands at a time."""
        self._rows += rows
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def end(self) -> None:
        """Write the last rows, and what the file begins to be read with."""
        self._flush()
        self._writer.close()

    def give_up(self) -> None:
        """Close the writer while there is a file: later it would do so by itself, and fail. So it
        does now on a full disk, which whoever gives up knows."""
        with suppress(OSError):
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            columns = [
                self._pa.array(values, type=field.type)
                for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            self._writer.write_table(self._pa.table(columns, schema=self._schema))
            self._rows = []


def open_sheet(name: str, file: io.BufferedWriter) -> Sheet:
    """Begin a file of this format. Raises as `check_format` does."""
    check_format(name)
    return CsvSheet(file) if name == "csv" else ParquetSheet(file)
