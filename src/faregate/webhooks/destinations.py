"""Destinations as rows. Each change takes the lanes' cursors, so that whoever fans out notices it
with the next event and never in the middle of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict, invalid
from faregate.core.topics import BY_NAME
from faregate.store.protocol import Queries, Row
from faregate.webhooks.types import (
    ALL,
    MAX_DESTINATIONS,
    CreateDestination,
    DestinationCreated,
    ListedDestination,
    RotateSecret,
    ShownDestination,
    UpdateDestination,
)

_COLUMNS: Final = (
    "id, environment_id, url, topics, connect, enabled, secret, old_secret, old_secret_until, "
    "disabled_reason, failing_since, since, created_at, updated_at"
)
_CHUNK: Final = 200
SWITCHED_OFF: Final = "switched off by request"


class Destination(msgspec.Struct):
    """A destination as it is kept. `since` has the last number of each lane when it was made: it
    hears of nothing before. `environments` whose events it hears are not kept."""

    id: str
    environment_id: int
    url: str
    topics: frozenset[str]
    connect: bool
    enabled: bool
    secret: str
    old_secret: str | None
    old_secret_until_us: int | None
    disabled_reason: str | None
    failing_since_us: int | None
    since: dict[str, int]
    created_at_us: int
    updated_at_us: int

    def secrets(self, now_us: int) -> list[str]:
        """Return the secrets that sign now, the newest first."""
        old, until = self.old_secret, self.old_secret_until_us
        return [self.secret] + ([old] if old and until is not None and now_us < until else [])

    def wants(self, topic: str) -> bool:
        """Tell whether it wants to hear of a topic."""
        return ALL in self.topics or topic in self.topics

    def listed(self) -> ListedDestination:
        """Return it as lists show it."""
        failing = self.failing_since_us
        return ListedDestination(
            self.id,
            self.url,
            sorted(self.topics),
            self.connect,
            self.enabled,
            from_us(self.created_at_us),
            from_us(self.updated_at_us),
            self.disabled_reason,
            None if failing is None else from_us(failing),
        )

    def shown(self, now: datetime) -> ShownDestination:
        """Return it with its secret."""
        until = self.old_secret_until_us
        has_old = until is not None and to_us(now) < until
        return ShownDestination(
            *msgspec.structs.astuple(self.listed()),
            secret=self.secret,
            previous_secret_until=from_us(until) if has_old and until is not None else None,
        )


def _read(row: Row) -> Destination:
    values = list(row)
    values[3] = frozenset(decode(list[str], row[3]))
    values[4], values[5] = bool(row[4]), bool(row[5])
    values[11] = decode(dict[str, int], row[11])
    return Destination(*values)


async def lock(queries: Queries) -> None:
    """Keep everybody from fanning out until this transaction ends, and let them look again."""
    await queries.fetch("UPDATE webhook_cursors SET version = version + 1")


async def insert(
    queries: Queries,
    environment_id: int,
    request: CreateDestination,
    secret: str,
    ids: IdSource,
    now: datetime,
) -> DestinationCreated:
    """Write a destination. Raises 409 if there are too many, 422."""
    await lock(queries)
    topics = _checked_topics(request.topics or [ALL])
    counted = await queries.fetch(
        "SELECT count(*) FROM webhook_destinations WHERE environment_id = $1", environment_id
    )
    if counted[0][0] >= MAX_DESTINATIONS:
        detail = f"there are {MAX_DESTINATIONS} destinations already: delete one first"
        raise FaregateError(conflict("url", detail))
    lanes = await queries.fetch("SELECT lane, last_seq FROM lanes ORDER BY lane")
    made = DestinationCreated(ids.next("whd"), secret, now)
    marks = ", ".join(f"${n}" for n in range(1, 15))
    await queries.fetch(
        f"INSERT INTO webhook_destinations ({_COLUMNS}) VALUES ({marks})",
        made.id,
        environment_id,
        request.url,
        encode(topics).decode(),
        int(bool(request.connect)),
        1,
        secret,
        None,
        None,
        None,
        None,
        encode({str(row[0]): row[1] for row in lanes}).decode(),
        to_us(now),
        to_us(now),
    )
    return made


def _checked_topics(topics: Iterable[str]) -> list[str]:
    topics = sorted(set(topics))
    for topic in topics:
        if topic != ALL and topic not in BY_NAME:
            known = ", ".join([ALL, *sorted(BY_NAME)])
            raise FaregateError(invalid("topics", f"has {topic!r}: there are {known}"))
    return topics


async def find(queries: Queries, environment_id: int, destination_id: str) -> Destination:
    """Find a destination. Raises 404."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM webhook_destinations WHERE environment_id = $1 AND id = $2",
        environment_id,
        destination_id,
    )
    if not rows:
        detail = f"there is no webhook destination {destination_id[:100]!r}"
        raise FaregateError(Problem(NOT_FOUND, detail))
    return _read(rows[0])


async def of_environment(queries: Queries, environment_id: int) -> list[Destination]:
    """Return an environment's destinations, the oldest first; they are bounded in number."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM webhook_destinations WHERE environment_id = $1 ORDER BY id",
        environment_id,
    )
    return [_read(row) for row in rows]


async def all_enabled(queries: Queries) -> list[Destination]:
    """Return every enabled destination of all accounts."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM webhook_destinations WHERE enabled = 1 ORDER BY id"
    )
    return [_read(row) for row in rows]


async def may_hear(queries: Queries, environment_id: int) -> list[Destination]:
    """Return an environment's enabled destinations, and all that hear of connected accounts."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM webhook_destinations "
        "WHERE enabled = 1 AND (environment_id = $1 OR connect = 1) ORDER BY id",
        environment_id,
    )
    return [_read(row) for row in rows]


async def update(
    queries: Queries, found: Destination, request: UpdateDestination, now: datetime
) -> None:
    """Change a destination (inside a transaction that has the lock). Raises 422.

    One that is enabled again begins with a clean slate, and with what it has not had.
    """
    topics = found.topics if request.topics is None else _checked_topics(request.topics)
    enabled = found.enabled if request.enabled is None else request.enabled
    reason = found.disabled_reason
    if enabled:
        reason = None
    elif found.enabled:
        reason = SWITCHED_OFF
    is_fresh = enabled and not found.enabled
    await queries.fetch(
        "UPDATE webhook_destinations SET url = $2, topics = $3, enabled = $4, "
        "disabled_reason = $5, failing_since = $6, updated_at = $7 WHERE id = $1",
        found.id,
        found.url if request.url is None else request.url,
        encode(sorted(topics)).decode(),
        int(enabled),
        reason,
        None if is_fresh else found.failing_since_us,
        to_us(now),
    )


async def disable(queries: Queries, destination_id: str, reason: str, now_us: int) -> bool:
    """Disable a destination that takes nothing; False if it was not enabled any more."""
    rows = await queries.fetch(
        "UPDATE webhook_destinations SET enabled = 0, disabled_reason = $2, updated_at = $3 "
        "WHERE id = $1 AND enabled = 1 RETURNING id",
        destination_id,
        reason,
        now_us,
    )
    return bool(rows)


async def set_failing_since(queries: Queries, since_us: Mapping[str, int | None]) -> None:
    """Note since when nothing has arrived at destinations; None: something has."""
    names = list(since_us)
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        rows = ", ".join(
            f"(${n}, CAST({'NULL' if at_us is None else int(at_us)} AS BIGINT))"
            for n, at_us in enumerate((since_us[name] for name in chunk), 1)
        )
        await queries.fetch(
            f"WITH changed (name, since_us) AS (VALUES {rows}) "
            "UPDATE webhook_destinations SET failing_since = changed.since_us "
            "FROM changed WHERE id = changed.name",
            *chunk,
        )


async def rotate(
    queries: Queries, found: Destination, request: RotateSecret, secret: str, now: datetime
) -> None:
    """Put a new secret in force (inside a transaction that has the lock)."""
    until = now + timedelta(seconds=request.overlap_seconds)
    await queries.fetch(
        "UPDATE webhook_destinations SET secret = $2, old_secret = $3, old_secret_until = $4, "
        "updated_at = $5 WHERE id = $1",
        found.id,
        secret,
        found.secret if request.overlap_seconds else None,
        to_us(until) if request.overlap_seconds else None,
        to_us(now),
    )


async def delete(queries: Queries, found: Destination) -> None:
    """Take a destination away (inside the lock). Nobody is shown or sent any more what was on its
    way to it; the rows, which may be many, are taken away by `pruning`."""
    await queries.fetch("DELETE FROM webhook_destinations WHERE id = $1", found.id)
    await queries.fetch("INSERT INTO webhook_deletions (destination_id) VALUES ($1)", found.id)
