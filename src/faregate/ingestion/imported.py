"""Lines of files on their way to a server: what is sent of each, and what a server answers. A
sample of a file, with which rules are tried, may be such lines or some lines of the file itself.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.codec import decode_request
from faregate.core.given import Id, Instant
from faregate.core.mapping import MappingRules
from faregate.core.observed import Became, Observed, Outcome, Told, Unreadable
from faregate.core.problems import invalid
from faregate.ingestion.lines import KIND, Lines, Reading
from faregate.ingestion.records import Format
from faregate.ingestion.way import Sent

MAX_LINES: Final = 1_000
MAX_FIELDS: Final = 1_000
_SCALARS: Final = (str, int, Decimal, bool)


class ImportedLine(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A line: its event's id, when the use was, and its fields under flat names. `place` says where
    it stands, for errors."""

    id: Id
    occurred_at: Instant
    fields: Annotated[dict[str, Any], Meta(max_length=MAX_FIELDS)]
    place: Annotated[str, Meta(max_length=500)] = ""


class ImportLines(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Lines in the order of their file, to be read by the rules that are set for imports or by
    `rules`. No lines: only says whose they would be, and by which rules."""

    lines: Annotated[list[ImportedLine], Meta(max_length=MAX_LINES)]
    rules: MappingRules | None = None


class LineResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a line: booked now, booked before, skipped or refused (`reason`)."""

    id: str
    status: Became
    reason: str = ""
    errors: Mapping[str, list[str]] = {}
    warnings: tuple[str, ...] = ()


class LinesImported(msgspec.Struct, frozen=True):
    """The account and mode that the lines are of, the rules that they were read by, and a result
    for each, in order. What is booked is durable."""

    account_id: str
    mode: Literal["test", "live"]
    rules: MappingRules
    results: list[LineResult]


def told_of(lines: Sequence[ImportedLine]) -> list[Told]:
    """Return what lines tell, in order."""
    return [_told(line, index) for index, line in enumerate(lines)]


def _told(line: ImportedLine, index: int) -> Told:
    place = line.place or f"lines[{index}]"
    for name, value in line.fields.items():
        if not isinstance(value, _SCALARS):
            said = "is no text, number or boolean: send nested values under dotted names"
            return Unreadable(place, invalid(f"lines[{index}].fields.{name:.100}", said), line.id)
    return Observed(line.id, line.occurred_at, KIND, line.fields, place)


def result_of(outcome: Outcome) -> LineResult:
    """Return what became of a line, as it is answered."""
    if outcome.problem is not None:
        problem = outcome.problem
        return LineResult(outcome.id, "refused", problem.detail, problem.errors)
    return LineResult(outcome.id, outcome.status, outcome.why or "", {}, outcome.warnings)


def read_sample(sent: Sent) -> Sequence[Told]:
    """Read a sample of a file: `{"lines": […]}` as it is sent, JSON lines, or a table with its
    header. Raises `FaregateError` (400, 422)."""
    body = sent.body.lstrip()
    if body.startswith(b"{"):
        if b'"lines"' in body.partition(b"\n")[0]:
            return told_of(decode_request(ImportLines, body).lines)
        kind: Format = "jsonl"
    else:
        kind = "tsv" if b"\t" in body.partition(b"\n")[0] else "csv"
    told: list[Told] = []
    for line in Lines("sample", Reading(kind)).read(io.BytesIO(body)):
        if line.observed is not None:
            told.append(line.observed)
        else:
            told.append(Unreadable(f"sample:{line.number}", invalid("line", line.problem)))
    return told
