"""Taking lines of files over REST: what `faregate import` sends, a batch at a time. Each line has
an outcome of its own, and a batch may be sent again: what was booked is a repeat.
"""

from __future__ import annotations

from faregate.core.mapping import MappingRules, check_rules
from faregate.core.problems import FORBIDDEN, FaregateError, Problem
from faregate.ingestion.imported import ImportLines, LinesImported, result_of, told_of
from faregate.operations.operation import INGEST, Call, Operation


async def _import(call: Call) -> LinesImported:
    request: ImportLines = call.body
    engine, context = call.engine, call.context
    own = (await engine.get_ingestion_rules("import", context=context)).rules
    rules = request.rules or own
    _check_rules(call, rules, own)
    outcomes = await engine.ingest("import", told_of(request.lines), rules=rules, context=context)
    results = [result_of(outcome) for outcome in outcomes.outcomes]
    return LinesImported(context.account_id, context.environment, rules, results)


def _check_rules(call: Call, rules: MappingRules, own: MappingRules) -> None:
    """Refuse rules that cannot be, and those that make customers where neither the key may nor the
    account's own rules do."""
    wrong = check_rules(rules)
    if wrong is not None:
        raise FaregateError(wrong.under("rules"))
    creates = rules.unknown_customer == "create" and own.unknown_customer != "create"
    if creates and call.key.role != "admin":
        detail = "rules.unknown_customer: the key's role is 'ingest', which may not make customers"
        raise FaregateError(Problem(FORBIDDEN, f"{detail}: send 'refuse', or use an admin's key"))


OPERATIONS = (
    Operation(
        "POST",
        "/ingestion/import",
        _import,
        "Ingestion",
        "Send lines of a file, of any customers: each is charged once, by its id",
        INGEST,
        body=ImportLines,
        answer=LinesImported,
    ),
)
