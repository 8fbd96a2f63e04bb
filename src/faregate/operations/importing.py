"""Taking lines of files over REST: what `faregate import` sends, a batch at a time. Each line has
an outcome of its own, and a batch may be sent again: what was booked is a repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from faregate.core.given import Id, Instant
from faregate.core.mapping import MappingRules
from faregate.core.mapping_defaults import DEFAULT_RULES
from faregate.core.observed import Became, Observed, Outcome, Told, Unreadable
from faregate.core.problems import FORBIDDEN, FaregateError, Problem, invalid
from faregate.operations.operation import INGEST, Call, Operation
from faregate.platform.environments import Mode

MAX_LINES: Final = 1_000
MAX_FIELDS: Final = 1_000
KIND: Final = "line"
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
    `rules`. No lines: only says for which account and mode they would be."""

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
    """The account and mode that the lines are of, and a result for each, in order: durable."""

    account_id: str
    mode: Mode
    results: list[LineResult]


async def _import(call: Call) -> LinesImported:
    request: ImportLines = call.body
    await _check_rules(call, request.rules)
    results: list[LineResult] = []
    if request.lines:
        told = [_told(line, index) for index, line in enumerate(request.lines)]
        done = await call.engine.ingest("import", told, rules=request.rules, context=call.context)
        results = [show_outcome(outcome) for outcome in done.outcomes]
    return LinesImported(call.context.account_id, call.context.environment, results)


async def _check_rules(call: Call, rules: MappingRules | None) -> None:
    """Refuse rules that make customers where neither the key may nor the account's own rules do."""
    if rules is None or rules.unknown_customer != "create" or call.key.role == "admin":
        return
    own = DEFAULT_RULES["import"]
    if own.unknown_customer != "create":
        detail = "rules.unknown_customer: the key's role is 'ingest', which may not make customers"
        raise FaregateError(Problem(FORBIDDEN, f"{detail}: send 'refuse', or use an admin's key"))


def _told(line: ImportedLine, index: int) -> Told:
    place = line.place or f"lines[{index}]"
    for name, value in line.fields.items():
        if not isinstance(value, _SCALARS):
            said = "is no text, number or boolean: send nested values under dotted names"
            return Unreadable(place, invalid(f"lines[{index}].fields.{name:.100}", said), line.id)
    return Observed(line.id, line.occurred_at, KIND, line.fields, place)


def show_outcome(outcome: Outcome) -> LineResult:
    """Show what became of a line."""
    if outcome.problem is not None:
        problem = outcome.problem
        return LineResult(outcome.id, "refused", problem.detail, problem.errors)
    return LineResult(outcome.id, outcome.status, outcome.why or "", {}, outcome.warnings)


OPERATIONS = (
    Operation(
        "POST",
        "/ingestion/import",
        _import,
        "Events",
        "Send lines of a file, of any customers: each is charged once, by its id",
        INGEST,
        body=ImportLines,
        answer=LinesImported,
    ),
)
