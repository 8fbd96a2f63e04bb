"""What an import would do with the first lines of a file: the events that they would be, and what
each would cost. Nothing is changed."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import BinaryIO, Final

from faregate.cli.import_run import Asked, Refusal, Unreadable, lines_of, opened
from faregate.cli.import_screen import shown as visible
from faregate.cli.import_target import Target
from faregate.client.errors import FaregateClientError
from faregate.core.amounts import plain
from faregate.core.codec import encode
from faregate.core.events import GRACE_PERIOD
from faregate.core.mapping import MappedEvent, MappingRules, Skipped, map_observed
from faregate.core.observed import Observed
from faregate.ingestion.lines import Line, Lines
from faregate.ingestion.records import unpacked
from faregate.operations.ingesting import ShownPreview

REFUSED: Final = "refused"
_FORBIDDEN: Final = 403


async def preview(asked: Asked, target: Target, shown: int) -> int:
    """Print what the first lines would be; returns 1 if any would be refused, else 0.

    A key that may only send events sees the events and not what they would cost. Raises `Refusal`
    for a file that breaks off among them.
    """
    rules = asked.apply(target.rules)
    lines = Lines(asked.shown, asked.reading)
    with opened(asked) as file:
        try:
            first = await asyncio.to_thread(_first, lines, file, shown)
        except Unreadable as error:
            raise Refusal(f"{asked.name}: {error}") from None
    sent = [line.observed for line in first if _is_sent(asked, line)]
    observed = [one for one in sent if one is not None]
    try:
        found = deque(await target.preview(observed, rules) if observed else ())
    except FaregateClientError as error:
        if error.problem.status != _FORBIDDEN:
            raise
        print("The key may not see what events would cost: its role is 'ingest'.")
        found = deque(_mapped(one, rules) for one in observed)
    is_refused = False
    for line in first:
        said = _said(asked, line, found.popleft() if _is_sent(asked, line) else None)
        is_refused = is_refused or said.startswith(REFUSED)
        print(visible(f"{asked.shown}:{line.number}: {said}"))
    told = "The first line" if len(first) == 1 else f"The first {len(first)} lines"
    print(f"{told}, for {target.name}. Nothing was changed.")
    return 1 if is_refused else 0


def _first(lines: Lines, file: BinaryIO, shown: int) -> list[Line]:
    return list(itertools.islice(lines_of(lines, unpacked(file)), shown))


def _is_sent(asked: Asked, line: Line) -> bool:
    observed = line.observed
    return observed is not None and observed.occurred_at >= asked.now - GRACE_PERIOD


def _mapped(observed: Observed, rules: MappingRules) -> ShownPreview:
    """Say what is known without asking anybody."""
    made = map_observed(rules, observed)
    place, line_id = observed.place, observed.id
    if isinstance(made, MappedEvent):
        return ShownPreview(place, line_id, "event", made.customer, event=made.event)
    if isinstance(made, Skipped):
        return ShownPreview(place, line_id, "skipped", why=made.why)
    return ShownPreview(place, line_id, "refused", why=made.detail)


def _said(asked: Asked, line: Line, found: ShownPreview | None) -> str:
    if found is None:
        if line.observed is None:
            return f"{REFUSED}: {line.problem}"
        at = line.observed.occurred_at
        return f"too old: {at:%Y-%m-%d} is more than {GRACE_PERIOD.days} days ago"
    if found.event is None or found.status not in ("event", "repeat"):
        why = found.why if found.problem is None else found.problem.detail
        return f"{found.status}: {why}"
    fees = ", ".join(f"{plain(fee.amount)} {fee.currency}" for fee in found.fees or ())
    said = [
        "booked before" if found.status == "repeat" else "event",
        f"of {found.customer}{'' if found.customer_id else ' (whom it would create)'}",
        f"costs {fees}" if fees else "costs nothing",
        encode(found.event).decode(),
        *(found.warnings or ()),
    ]
    return "; ".join(said)
