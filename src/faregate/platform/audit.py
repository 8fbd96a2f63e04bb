"""The audit log: who changed what, when, and how it ended. An entry is written before a change is
tried and its outcome after, so that no change is without an entry, also if the process dies in
between; an entry without an outcome says just that. Rows are only added. Each has a hash of itself
and of the row before, like a customer's transfers (`core.chain`): whoever changes, removes or adds
one must make every later hash anew, and a head that was kept elsewhere does not fit any more.

A hash is SHA-256, in hexadecimal digits, of a JSON array: the hash before, the row's number, and
its columns in their order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.redacting import redacted, redacted_text
from faregate.store.protocol import Queries, Row

ActorKind = Literal["operator", "key", "command line"]
Outcome = Literal["done", "refused", "failed", "unknown"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("done", "refused", "failed", "unknown")
MAX_REQUEST: Final = 16 * 1024
CHUNK: Final = 500
MAX_PAGE: Final = 200


class Actor(msgspec.Struct, frozen=True):
    """Who does something: an operator, an API key (its name and beginning), or whoever has the
    command line of the server."""

    kind: ActorKind
    id: str
    name: str


COMMAND_LINE: Final = Actor("command line", "command line", "the command line of the server")


class Change(msgspec.Struct, frozen=True):
    """What is about to be done: `action` in a few words, `object_id` of what it changes (empty: of
    something that is to be made), in which account and mode (empty: in none), with what request,
    from which network address."""

    action: str
    object_id: str = ""
    account_id: str = ""
    mode: str = ""
    request: Any = None
    address: str = ""


class AuditEntry(msgspec.Struct, frozen=True):
    """An entry with its outcome. `request` is JSON without secrets; `unknown` is the outcome of
    what has not ended, or of which the end could not be written."""

    seq: int
    id: str
    at: datetime
    actor: Actor
    action: str
    object_id: str
    account_id: str
    mode: str
    request: Any
    address: str
    outcome: Outcome
    detail: str
    ended_at: datetime | None


class AuditFilter(msgspec.Struct, frozen=True):
    """Which entries: `who` is an actor's id, or a part of the name; `action` a part of it;
    `object_id` whole; from `since` to before `until`."""

    who: str = ""
    action: str = ""
    object_id: str = ""
    mode: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def _append(queries: Queries, seal: Any) -> tuple[int, str]:
    """Take the next number and hash; `seal(seq)` are the columns. Whoever is second waits here."""
    rows = await queries.fetch(
        "UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash"
    )
    seq, before = int(rows[0][0]), str(rows[0][1])
    digest = link(before, seq, seal)
    await queries.fetch("UPDATE audit_head SET hash = $1 WHERE id = 1", digest)
    return seq, digest


def link(before: str, seq: int, columns: Any) -> str:
    """Return a row's hash, given the hash before it."""
    return sha256(msgspec.json.encode((before, seq, *columns))).hexdigest()


async def begin_entry(
    queries: Queries, actor: Actor, change: Change, ids: IdSource, now: datetime
) -> str:
    """Write that somebody is about to change something; returns the entry's id."""
    request = encode(redacted(decode(Any, encode(change.request)))).decode()
    if len(request) > MAX_REQUEST:
        request = encode({"…": f"{len(request)} characters: too many to keep"}).decode()
    columns = (
        ids.next("aud"),
        to_us(now),
        actor.kind,
        actor.id,
        redacted_text(actor.name),
        change.action,
        redacted_text(change.object_id),
        change.account_id,
        change.mode,
        request,
        change.address[:100],
    )
    seq, digest = await _append(queries, columns)
    await queries.fetch(
        "INSERT INTO audit_entries (seq, id, at, actor_kind, actor_id, actor_name, action, "
        "object_id, account_id, mode, request, address, hash) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        seq,
        *columns,
        digest,
    )
    return columns[0]


async def end_entry(
    queries: Queries, entry_id: str, outcome: Outcome, detail: str, object_id: str, now: datetime
) -> None:
    """Write how it ended; `object_id` is of what it has made."""
    columns = (entry_id, to_us(now), outcome, redacted_text(detail), redacted_text(object_id))
    seq, digest = await _append(queries, columns)
    await queries.fetch(
        "INSERT INTO audit_outcomes (entry_id, seq, at, outcome, detail, object_id, hash) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        entry_id,
        seq,
        *columns[1:],
        digest,
    )


_SELECT: Final = (
    "SELECT e.seq, e.id, e.at, e.actor_kind, e.actor_id, e.actor_name, e.action, e.object_id, "
    "e.account_id, e.mode, e.request, e.address, o.outcome, o.detail, o.object_id, o.at "
    "FROM audit_entries e LEFT JOIN audit_outcomes o ON o.entry_id = e.id"
)


def _read(row: Row) -> AuditEntry:
    seq, identifier, at, kind, actor_id, name, action, object_id = row[:8]
    account_id, mode, request, address, outcome, detail, made, ended = row[8:]
    return AuditEntry(
        seq,
        identifier,
        from_us(at),
        Actor(kind, actor_id, name),
        action,
        object_id or made or "",
        account_id,
        mode,
        decode(Any, request),
        address,
        outcome or "unknown",
        detail or "",
        None if ended is None else from_us(ended),
    )


def _where(wanted: AuditFilter) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    given: list[Any] = []

    def mark(value: Any) -> str:
        # No database compares a text with a NUL in it.
        given.append(value.replace("\x00", "") if isinstance(value, str) else value)
        return f"${len(given)}"

    if wanted.who:
        one = mark(wanted.who)
        like = mark(_contains(wanted.who))
        conditions.append(f"(e.actor_id = {one} OR lower(e.actor_name) LIKE {like} ESCAPE '\\')")
    if wanted.action:
        conditions.append(f"lower(e.action) LIKE {mark(_contains(wanted.action))} ESCAPE '\\'")
    if wanted.object_id:
        one = mark(wanted.object_id)
        conditions.append(
            f"(e.object_id = {one} OR e.id IN "
            f"(SELECT entry_id FROM audit_outcomes WHERE object_id = {one}))"
        )
    if wanted.mode:
        conditions.append(f"e.mode = {mark(wanted.mode)}")
    if wanted.since is not None:
        conditions.append(f"e.at >= {mark(to_us(wanted.since))}")
    if wanted.until is not None:
        conditions.append(f"e.at < {mark(to_us(wanted.until))}")
    return " AND ".join(conditions), given


def _contains(text: str) -> str:
    escaped = text.lower()[:200]
    for character in "\\%_":
        escaped = escaped.replace(character, f"\\{character}")
    return f"%{escaped}%"


async def list_entries(
    queries: Queries, wanted: AuditFilter, limit: int, before: int | None
) -> list[AuditEntry]:
    """Return entries, the newest first, of those with a smaller number than `before`."""
    where, given = _where(wanted)
    if before is not None:
        given.append(before)
        where = f"{where} AND " if where else ""
        where += f"e.seq < ${len(given)}"
    condition = f" WHERE {where}" if where else ""
    sql = f"{_SELECT}{condition} ORDER BY e.seq DESC LIMIT {min(int(limit), MAX_PAGE)}"
    return [_read(row) for row in await queries.fetch(sql, *given)]


async def last_uses(queries: Queries, actor_ids: list[str]) -> dict[str, datetime]:
    """Return when each of these actors last began to change something."""
    found: dict[str, datetime] = {}
    for actor_id in actor_ids:
        rows = await queries.fetch(
            "SELECT at FROM audit_entries WHERE actor_id = $1 ORDER BY seq DESC LIMIT 1", actor_id
        )
        if rows:
            found[actor_id] = from_us(rows[0][0])
    return found


async def _rows(queries: Queries) -> AsyncIterator[tuple[int, tuple[Any, ...], str]]:
    """Walk all rows in the order of their numbers: number, columns, hash."""
    last = 0
    while True:
        upto = last + CHUNK
        entries = await queries.fetch(
            "SELECT seq, id, at, actor_kind, actor_id, actor_name, action, object_id, account_id, "
            "mode, request, address, hash FROM audit_entries WHERE seq > $1 AND seq <= $2",
            last,
            upto,
        )
        outcomes = await queries.fetch(
            "SELECT seq, entry_id, at, outcome, detail, object_id, hash FROM audit_outcomes "
            "WHERE seq > $1 AND seq <= $2",
            last,
            upto,
        )
        for row in sorted((tuple(row) for row in (*entries, *outcomes)), key=lambda row: row[0]):
            yield row[0], row[1:-1], row[-1]
        last = upto
        head = await queries.fetch("SELECT seq FROM audit_head WHERE id = 1")
        if last >= head[0][0]:
            return


async def check_chain(queries: Queries) -> tuple[int, list[str]]:
    """Recompute the chain, in one snapshot; returns how many rows there are and, in words, the
    first thing that is not as it was written (nothing: all is)."""
    before, expected = "", 1
    async for seq, columns, digest in _rows(queries):
        if seq != expected:
            return expected - 1, [f"row {expected} of the audit log is missing"]
        if link(before, seq, columns) != digest:
            return expected - 1, [f"row {seq} of the audit log ({columns[0]}) was changed"]
        before, expected = digest, expected + 1
    rows = await queries.fetch("SELECT seq, hash FROM audit_head WHERE id = 1")
    if (int(rows[0][0]), str(rows[0][1])) != (expected - 1, before):
        return expected - 1, [f"the end of the audit log is missing, after row {expected - 1}"]
    return expected - 1, []
