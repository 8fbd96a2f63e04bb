"""Files of many lines, as records one after the other: CSV and its kin, and JSON lines; packed with
gzip or not. What cannot be read is a record all the same, with what is wrong with it, so that
nobody loses a line in silence. What a record means is not known here (`lines`).

However large a file is, one line of it is in memory, and a line is bounded.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, Literal, NamedTuple, cast

import msgspec

from faregate.core.codec import decode_request
from faregate.core.observed import Scalar
from faregate.core.problems import FaregateError, invalid
from faregate.ingestion.flattening import flatten

Format = Literal["csv", "tsv", "jsonl"]

MAX_LINE_BYTES: Final = 1024 * 1024
"""How long a line may be, and a record of several lines."""
MAX_COLUMNS: Final = 1_000
_SHOWN: Final = 2_000
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_SUFFIXES: Final[Mapping[str, Format]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_OTHER_DELIMITERS: Final = (";", "\t", "|")


class Record(NamedTuple):
    """One record: the number of its first line (from 1), as it stands in the file, and its fields,
    in which those that are empty or null are left out; or what is wrong with it."""

    line: int
    raw: str
    fields: dict[str, Scalar]
    problem: str = ""


def format_of(name: str) -> Format | None:
    """Return what a file's name says of its format; None if nothing."""
    lower = name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in _SUFFIXES.items() if lower.endswith(suffix)), None)


def unpacked(file: BinaryIO) -> BinaryIO:
    """Return what is in a file that may be packed with gzip, which its first bytes say."""
    peekable = cast(BinaryIO, io.BufferedReader(cast(Any, file), 256 * 1024))
    if cast(io.BufferedReader, peekable).peek(2)[:2] == _GZIP:
        return cast(BinaryIO, gzip.open(peekable))
    return peekable


def read_records(
    file: BinaryIO,
    kind: Format,
    delimiter: str | None = None,
    named: Callable[[Sequence[str]], None] | None = None,
) -> Iterator[Record]:
    """Read the records of an unpacked file; `named` is called with the names of a table's columns.
    Raises `FaregateError` (422) where the file as a whole is not what it is said to be."""
    lines = _Lines(file)
    if kind == "jsonl":
        return _read_json(lines)
    return _read_table(lines, delimiter or ("\t" if kind == "tsv" else ","), named)


class _Lines:
    """A file's lines as text, and those of the present record."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.taken: list[str] = []
        self.problem = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        if self.number == 0:
            if line.startswith(_UTF_16):
                raise FaregateError(invalid("file", "is UTF-16: save it as UTF-8"))
            line = line.removeprefix(_BOM)
        self.number += 1
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            self._pass_over()
            self.problem = f"is longer than {MAX_LINE_BYTES} bytes"
            line = line[:_SHOWN] + b"\n"
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            self.problem = self.problem or f"is not UTF-8 ({error.reason}, byte {error.start + 1})"
            text = line.decode(errors="backslashreplace")
        if "\x00" in text:
            self.problem = self.problem or "has a NUL character: remove it"
        self.taken.append(text)
        return text

    def _pass_over(self) -> None:
        """Read on to the end of a line that is too long."""
        while True:
            more = self._file.readline(MAX_LINE_BYTES)
            if not more or more.endswith(b"\n"):
                return

    def begin(self) -> int:
        """Begin a record, and return the number of its first line."""
        self.taken.clear()
        self.problem = ""
        return self.number + 1

    @property
    def raw(self) -> str:
        """The record's lines, without the end of the last one."""
        return "".join(self.taken).rstrip("\r\n")


def _read_json(lines: _Lines) -> Iterator[Record]:
    while True:
        number = lines.begin()
        text = next(lines, None)
        if text is None:
            return
        if not text.strip():
            continue
        if lines.problem:
            yield Record(number, lines.raw, {}, lines.problem)
            continue
        fields: dict[str, Scalar] = {}
        try:
            flatten(fields, "", decode_request(dict[str, Any], text.encode()))
        except FaregateError as error:
            yield Record(number, lines.raw, {}, error.problem.detail)
        else:
            yield Record(number, lines.raw, fields)


def _read_table(
    lines: _Lines, delimiter: str, named: Callable[[Sequence[str]], None] | None
) -> Iterator[Record]:
    csv.field_size_limit(MAX_LINE_BYTES)
    rows = csv.reader(cast(Any, lines), delimiter=delimiter, strict=True)
    header = _read_header(rows, lines, delimiter)
    if named is not None:
        named(header)
    width = len(header)
    while True:
        number = lines.begin()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            said = f"is not CSV ({error}): is a quote not closed?"
            yield Record(number, lines.raw, {}, lines.problem or said)
            continue
        if lines.problem:
            yield Record(number, lines.raw, {}, lines.problem)
        elif len(row) == width:
            # What has no name is not meant: tables are often written with their rows' numbers.
            cells = zip(header, row, strict=True)
            fields: dict[str, Scalar] = {name: cell for name, cell in cells if cell and name}
            yield Record(number, lines.raw, fields)
        elif row:
            said = f"has {len(row)} columns, the header {width}: quote what has a {delimiter!r}"
            yield Record(number, lines.raw, {}, said)


def _read_header(rows: Iterator[list[str]], lines: _Lines, delimiter: str) -> Sequence[str]:
    """Read the names of the columns. Raises `FaregateError` (422)."""
    header: list[str] = []
    try:
        while not header:
            lines.begin()
            header = [name.strip() for name in next(rows)]
    except StopIteration:
        raise FaregateError(invalid("file", "is empty: the first line names columns")) from None
    except csv.Error as error:
        raise FaregateError(invalid("file", f"has a header that is not CSV: {error}")) from None
    if lines.problem:
        raise FaregateError(invalid("file", f"has a header that {lines.problem}"))
    if len(header) > MAX_COLUMNS:
        raise FaregateError(invalid("file", f"has {len(header)} columns: at most {MAX_COLUMNS}"))
    if len(header) == 1:
        for other in _OTHER_DELIMITERS:
            if other in header[0] and other != delimiter:
                said = f"has one column only, {header[0]!r}: say what separates columns"
                raise FaregateError(invalid("file", f"{said}, --delimiter {other!r}"))
    names = [name for name in header if name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FaregateError(invalid("file", f"has two columns {twice!r}: give each another name"))
    return header


def as_json(raw: str, place: str, reason: str) -> bytes:
    """Return a line of JSON that tells of a record that was refused."""
    return msgspec.json.encode({"place": place, "reason": reason, "line": raw}) + b"\n"
