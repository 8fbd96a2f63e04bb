"""The rules that accounts have set for their sources, in each of their modes: a row each, until it
is taken away and the source's own rules hold again."""

from __future__ import annotations

from datetime import datetime

from faregate.core.codec import decode, encode
from faregate.core.instants import to_us
from faregate.core.mapping import MappingRules
from faregate.core.observed import Source
from faregate.store.protocol import Queries


async def read_rules(queries: Queries, environment_id: int, source: Source) -> MappingRules | None:
    """Return the rules that are set for a source; None: there are none."""
    rows = await queries.fetch(
        "SELECT rules FROM ingestion_rules WHERE environment_id = $1 AND source = $2",
        environment_id,
        source,
    )
    return decode(MappingRules, rows[0][0]) if rows else None


async def write_rules(
    queries: Queries, environment_id: int, source: Source, rules: MappingRules, now: datetime
) -> None:
    """Keep rules in place of those that were set."""
    await queries.fetch(
        "INSERT INTO ingestion_rules (environment_id, source, rules, updated_at) "
        "VALUES ($1, $2, $3, $4) ON CONFLICT (environment_id, source) "
        "DO UPDATE SET rules = excluded.rules, updated_at = excluded.updated_at",
        environment_id,
        source,
        encode(rules).decode(),
        to_us(now),
    )


async def delete_rules(queries: Queries, environment_id: int, source: Source) -> None:
    """Take the rules of a source away, if some were set."""
    await queries.fetch(
        "DELETE FROM ingestion_rules WHERE environment_id = $1 AND source = $2",
        environment_id,
        source,
    )
