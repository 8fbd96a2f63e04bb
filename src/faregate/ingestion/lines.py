"""What a line of a file tells: when it happened, and which id it has, so that it is charged once
however often the file is read. The rest of its fields are for the rules (`core.mapping`).

A line's id is what its own id field says. One without has an id made of everything that the file
says up to it, itself included, and not of the file's name: a file that is renamed, packed, or has
lines appended keeps the ids of its lines; two equal lines of one file are two uses; and a line
that is changed or put in gives those below it other ids, for which reason who imports a file again
must first look whether it still begins as it did (`Lines.mark`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import BinaryIO, Final, Literal, NamedTuple

import msgspec

from faregate.core.instants import EPOCH, is_in_range, out_of_range
from faregate.core.observed import MAX_ID, Observed, Scalar
from faregate.ingestion.records import Format, Record, read_records

Epoch = Literal["s", "ms", "us", "ns"]

KIND: Final = "line"
GIVEN_ID: Final = "line_"
"""How the ids of lines begin that have none of their own."""
ID_FIELDS: Final = ("id",)
OCCURRED_AT_FIELDS: Final = ("occurred_at", "timestamp")
_MICROSECONDS: Final[dict[Epoch, Decimal]] = {
    "s": Decimal(1_000_000),
    "ms": Decimal(1_000),
    "us": Decimal(1),
    "ns": Decimal("0.001"),
}
_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,12})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_NUMBER: Final = re.compile(r"-?\d{1,25}(\.\d{1,12})?", re.ASCII)


class Reading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file is read. Where no `id_field` and `occurred_at_field` are named, it is `id`, and
    `occurred_at` or `timestamp`; a field that is named has to be on every line.

    `epoch`: instants are numbers since 1970 in that unit. `is_utc`: instants without an offset are
    in UTC. `delimiter` separates columns (None: as the format says).
    """

    format: Format
    delimiter: str | None = None
    id_field: str | None = None
    occurred_at_field: str | None = None
    epoch: Epoch | None = None
    is_utc: bool = False


class Line(NamedTuple):
    """One line: what it tells, or why it cannot be read. `raw` is how it stands in the file."""

    number: int
    raw: str
    observed: Observed | None
    problem: str = ""


class Lines:
    """Reads what a file's lines tell, one after the other. `name` is the file's, for places."""

    def __init__(self, name: str, reading: Reading) -> None:
        self._name = name
        self._reading = reading
        self._so_far = hashlib.blake2b(digest_size=20)
        self.count = 0
        self.columns = ""
        """What stands for the names of a table's columns, once the first line is read."""

    @property
    def mark(self) -> str:
        """What stands for all lines that were read so far: other lines, another mark."""
        return self._so_far.hexdigest()

    def read(self, file: BinaryIO) -> Iterator[Line]:
        """Read an unpacked file. Raises `FaregateError` (422) as `read_records` does."""
        reading = self._reading
        for record in read_records(file, reading.format, reading.delimiter, self._named):
            self.count += 1
            self._so_far.update(record.raw.encode("utf-8", "surrogatepass") + b"\n")
            yield self._line(record)

    def _named(self, header: Sequence[str]) -> None:
        # Under other names the same lines say something else.
        self._so_far.update(msgspec.json.encode(header) + b"\n")
        self.columns = self.mark

    def _line(self, record: Record) -> Line:
        if record.problem:
            return Line(record.line, record.raw, None, record.problem)
        try:
            line_id = self._id(record.fields)
            occurred_at = self._occurred_at(record.fields)
        except ValueError as wrong:
            return Line(record.line, record.raw, None, str(wrong))
        place = f"{self._name}:{record.line}"
        observed = Observed(line_id, occurred_at, KIND, record.fields, place)
        return Line(record.line, record.raw, observed)

    def _id(self, fields: dict[str, Scalar]) -> str:
        named = self._reading.id_field
        for field in ID_FIELDS if named is None else (named,):
            value = fields.get(field)
            if value is not None and value != "":
                text = as_text(value)
                if len(text) > MAX_ID:
                    raise ValueError(f"{field} has {len(text)} characters: at most {MAX_ID} fit")
                return text
        if named is not None:
            raise ValueError(f"{named} is empty: give every line an id, or name no --id column")
        # Numbers first: ids that rise are put beside each other in the index of events.
        return f"{GIVEN_ID}{self.count:09d}_{self.mark}"

    def _occurred_at(self, fields: dict[str, Scalar]) -> datetime:
        named = self._reading.occurred_at_field
        names = OCCURRED_AT_FIELDS if named is None else (named,)
        for field in names:
            value = fields.get(field)
            if value is not None and value != "":
                return read_instant(field, as_text(value), self._reading)
        raise ValueError(f"{' or '.join(names)} is empty: it says when the use was (--occurred-at)")


def as_text(value: Scalar) -> str:
    """Write a value as it would stand in a table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def read_instant(field: str, text: str, reading: Reading) -> datetime:
    """Read an instant: RFC 3339, or a number since 1970. What is finer than a microsecond is cut
    off. Raises `ValueError` saying what to do.

        >>> read_instant("at", "2026-11-01T10:00:00+01:00", Reading("csv")).isoformat()
        '2026-11-01T09:00:00+00:00'
    """
    text = text.strip()
    moment = _since_1970(field, text, reading.epoch) if reading.epoch else _written(field, text)
    if moment.tzinfo is None:
        if not reading.is_utc:
            raise ValueError(f"{field} is {text}, without an offset: say --utc if it is in UTC")
        moment = moment.replace(tzinfo=UTC)
    if not is_in_range(moment):
        raise ValueError(f"{field} {out_of_range(moment)}")
    return moment.astimezone(UTC)


def _written(field: str, text: str) -> datetime:
    wanted = "write an instant as 2026-11-01T10:00:00Z"
    if not _RFC_3339.fullmatch(text):
        if _NUMBER.fullmatch(text):
            wanted = "if it is a number since 1970, say its unit with --epoch s, ms, us or ns"
        raise ValueError(f"{field} is {text!r:.60}: {wanted}")
    try:
        return datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{field} is {text!r:.60} ({error}): {wanted}") from None


def _since_1970(field: str, text: str, unit: Epoch) -> datetime:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{field} is {text!r:.60}, no number: leave --epoch out if it is a date")
    try:
        whole = (Decimal(text) * _MICROSECONDS[unit]).to_integral_value(ROUND_FLOOR)
        return EPOCH + timedelta(microseconds=int(whole))
    except (OverflowError, InvalidOperation):
        said = f"{field} is {text}, beyond all years: is --epoch {unit} its unit?"
        raise ValueError(said) from None
