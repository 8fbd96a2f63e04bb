"""What an import would do with the first lines of a file: the events that they would be. Nothing
is sent."""

from __future__ import annotations

import asyncio
import itertools
from typing import BinaryIO

from faregate.cli.import_run import Asked, opened
from faregate.cli.import_target import Target
from faregate.core.codec import encode
from faregate.core.events import GRACE_PERIOD
from faregate.core.mapping import MappedEvent, MappingRules, Skipped, map_observed
from faregate.ingestion.lines import Line, Lines
from faregate.ingestion.records import unpacked


async def preview(asked: Asked, target: Target, rules: MappingRules, shown: int) -> int:
    """Print what the first lines would be; returns 1 if any would be refused, else 0."""
    rules = asked.apply(rules)
    lines = Lines(asked.shown, asked.reading)
    with opened(asked) as file:
        first = await asyncio.to_thread(_first, lines, file, shown)
    told = [_tell(asked, line, rules) for line in first]
    for line, (became, said) in zip(first, told, strict=True):
        print(f"{asked.shown}:{line.number}: {became}: {said}")
    print(f"These are the first {len(first)} lines, for {target.name}. Nothing was changed.")
    return 1 if any(became == "refused" for became, _ in told) else 0


def _first(lines: Lines, file: BinaryIO, shown: int) -> list[Line]:
    return list(itertools.islice(lines.read(unpacked(file)), shown))


def _tell(asked: Asked, line: Line, rules: MappingRules) -> tuple[str, str]:
    observed = line.observed
    if observed is None:
        return "refused", line.problem
    if observed.occurred_at < asked.now - GRACE_PERIOD:
        return "too old", f"more than {GRACE_PERIOD.days} days ago"
    made = map_observed(rules, observed)
    if isinstance(made, Skipped):
        return "skipped", made.why
    if isinstance(made, MappedEvent):
        return f"event of {made.customer}", encode(made.event).decode()
    return "refused", made.detail
