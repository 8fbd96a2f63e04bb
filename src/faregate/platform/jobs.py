"""Long work as it is kept: what was asked for and by whom, how far it has come, and how it ended.

    queued -> running -> done | failed | cancelled

Whoever does a job has claimed it for a while, and claims it anew as long as he lives. One that
nobody claims any more is taken up again from its beginning, a few times; so doing it twice must
have its effect once. It ends once: only for who has claimed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from faregate.core.instants import from_us, to_us
from faregate.core.problems import NOT_FOUND, FaregateError, Problem, conflict
from faregate.store.protocol import Queries, Row

CLAIM_SECONDS: Final = 15
MAX_ATTEMPTS: Final = 3
"""How often a job is begun whose server has ended in the middle."""
MAX_OPEN: Final = 20
"""Jobs of one account that are not done."""
MAX_KEPT: Final = 200
"""Jobs of one account that have ended."""
FILE_DAYS: Final = 7

Status = Literal["queued", "running", "done", "failed", "cancelled"]
_COLUMNS: Final = (
    "id, environment_id, kind, asked_by, request, status, is_cancelled, done, total, words, "
    "result, problem, created_at, started_at, finished_at, file_name, file_bytes, file_until, "
    "attempts"
)
_OPEN: Final = "status IN ('queued', 'running')"


class Job(msgspec.Struct, frozen=True):
    """A job. `done` of `total` are what it counts (None: nobody knows how many), `words` say what
    it does. `request` and `result` are JSON. `is_cancelled` says that somebody wants it to end."""

    id: str
    environment_id: int
    kind: str
    asked_by: str
    request: str
    status: Status
    is_cancelled: bool
    done: int
    total: int | None
    words: str
    result: str | None
    problem: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    file_name: str | None
    file_bytes: int | None
    file_until: datetime | None
    attempts: int

    @property
    def is_open(self) -> bool:
        """Whether it waits or is being done."""
        return self.status in ("queued", "running")

    @property
    def percent(self) -> int | None:
        """How much of it is done, in percent; None: nobody knows."""
        if self.status == "done":
            return 100
        return min(99, self.done * 100 // self.total) if self.total else None


class JobFile(msgspec.Struct, frozen=True):
    """A file that a job has made: its name in the folder for exports."""

    name: str
    bytes: int


def _instant(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _read(row: Row) -> Job:
    values = list(row)
    values[6] = bool(values[6])
    values[12] = from_us(values[12])
    for place in (13, 14, 17):
        values[place] = _instant(values[place])
    return Job(*values)


async def add(
    queries: Queries,
    identifier: str,
    environment_id: int,
    kind: str,
    asked_by: str,
    request: str,
    now: datetime,
) -> Job:
    """Queue a job. Raises 409 if too many wait already. Use in a transaction."""
    rows = await queries.fetch(
        f"SELECT count(*) FROM jobs WHERE environment_id = $1 AND {_OPEN}", environment_id
    )
    if rows[0][0] >= MAX_OPEN:
        detail = f"{rows[0][0]} jobs wait or are being done: wait for one, or cancel one"
        raise FaregateError(conflict("kind", detail))
    rows = await queries.fetch(
        "INSERT INTO jobs (id, environment_id, kind, asked_by, request, status, is_cancelled, "
        "done, words, created_at, claimed_by, claimed_until, attempts) "
        f"VALUES ($1, $2, $3, $4, $5, 'queued', 0, 0, '', $6, '', 0, 0) RETURNING {_COLUMNS}",
        identifier,
        environment_id,
        kind,
        asked_by,
        request,
        to_us(now),
    )
    return _read(rows[0])


async def find(queries: Queries, environment_id: int, identifier: str) -> Job:
    """Return a job. Raises 404."""
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM jobs WHERE id = $1 AND environment_id = $2",
        identifier,
        environment_id,
    )
    if not rows:
        raise FaregateError(Problem(NOT_FOUND, f"there is no job {identifier[:100]!r}"))
    return _read(rows[0])


async def list_jobs(
    queries: Queries, environment_id: int, limit: int, offset: int
) -> tuple[list[Job], int]:
    """Return a page of an account's jobs, the newest first, and how many there are."""
    counted = await queries.fetch(
        "SELECT count(*) FROM jobs WHERE environment_id = $1", environment_id
    )
    rows = await queries.fetch(
        f"SELECT {_COLUMNS} FROM jobs WHERE environment_id = $1 ORDER BY id DESC "
        f"LIMIT {int(limit)} OFFSET {int(offset)}",
        environment_id,
    )
    return [_read(row) for row in rows], int(counted[0][0])


async def open_claims(queries: Queries) -> Sequence[tuple[str, str, int]]:
    """Return the jobs that are not done, the oldest first: id, who has claimed it, until when."""
    rows = await queries.fetch(
        f"SELECT id, claimed_by, claimed_until FROM jobs WHERE {_OPEN} ORDER BY id"
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def claim(
    queries: Queries,
    identifier: str,
    seen_holder: str,
    seen_until: int,
    holder: str,
    until: int,
    now: datetime,
) -> Job | None:
    """Claim a job that was seen so; None if somebody else was faster."""
    rows = await queries.fetch(
        "UPDATE jobs SET claimed_by = $4, claimed_until = $5, status = 'running', "
        "attempts = attempts + 1, started_at = coalesce(started_at, $6), done = 0, total = NULL "
        f"WHERE id = $1 AND claimed_by = $2 AND claimed_until = $3 AND {_OPEN} "
        f"RETURNING {_COLUMNS}",
        identifier,
        seen_holder,
        seen_until,
        holder,
        until,
        to_us(now),
    )
    return _read(rows[0]) if rows else None


async def renew(
    queries: Queries,
    identifier: str,
    holder: str,
    until: int,
    done: int,
    total: int | None,
    words: str,
) -> bool | None:
    """Claim a job anew and say how far it has come. Returns whether somebody wants it to end; None
    if it is no longer the holder's."""
    rows = await queries.fetch(
        "UPDATE jobs SET claimed_until = $3, done = $4, total = $5, words = $6 "
        "WHERE id = $1 AND claimed_by = $2 AND status = 'running' RETURNING is_cancelled",
        identifier,
        holder,
        until,
        done,
        total,
        words,
    )
    return bool(rows[0][0]) if rows else None


async def let_go(queries: Queries, identifier: str, holder: str) -> None:
    """Leave a job to whoever comes next, as if it had not been begun."""
    await queries.fetch(
        "UPDATE jobs SET claimed_by = '', claimed_until = 0, status = 'queued', "
        "attempts = attempts - 1 WHERE id = $1 AND claimed_by = $2 AND status = 'running' "
        "RETURNING id",
        identifier,
        holder,
    )


async def finish(
    queries: Queries,
    identifier: str,
    holder: str,
    status: Status,
    now: datetime,
    words: str,
    *,
    done: int = 0,
    total: int | None = None,
    result: str | None = None,
    problem: str | None = None,
    file: JobFile | None = None,
) -> bool:
    """End a job; tells whether it was the holder's to end."""
    until = None if file is None else to_us(now) + FILE_DAYS * 86_400_000_000
    rows = await queries.fetch(
        "UPDATE jobs SET status = $3, finished_at = $4, words = $5, result = $6, problem = $7, "
        "file_name = $8, file_bytes = $9, file_until = $10, done = $11, total = $12, "
        "claimed_by = '', claimed_until = 0 "
        "WHERE id = $1 AND claimed_by = $2 AND status = 'running' RETURNING id",
        identifier,
        holder,
        status,
        to_us(now),
        words,
        result,
        problem,
        None if file is None else file.name,
        None if file is None else file.bytes,
        until,
        done,
        total,
    )
    return bool(rows)


async def ask_to_end(queries: Queries, environment_id: int, identifier: str, now: datetime) -> Job:
    """Want a job to end: one that waits has ended, one that is being done will. Raises 404, and 409
    for one that has ended."""
    job = await find(queries, environment_id, identifier)
    if not job.is_open:
        raise FaregateError(conflict("status", f"the job is {job.status}: there is nothing to end"))
    rows = await queries.fetch(
        "UPDATE jobs SET is_cancelled = 1, "
        "finished_at = CASE WHEN status = 'queued' THEN $2 ELSE finished_at END, "
        "status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END "
        f"WHERE id = $1 AND {_OPEN} RETURNING {_COLUMNS}",
        identifier,
        to_us(now),
    )
    return _read(rows[0]) if rows else job


async def forget(queries: Queries, environment_id: int, identifier: str) -> Job:
    """Take away a job that has ended. Raises 404, and 409 for one that has not."""
    job = await find(queries, environment_id, identifier)
    if job.is_open:
        raise FaregateError(conflict("status", f"the job is {job.status}: cancel it first"))
    await queries.fetch("DELETE FROM jobs WHERE id = $1 RETURNING id", identifier)
    return job


async def drop_old_files(queries: Queries, now: datetime) -> list[str]:
    """Say of jobs whose files are to go that they have none; returns the files."""
    rows = await queries.fetch(
        "SELECT id, file_name FROM jobs WHERE file_until <= $1 LIMIT 100", to_us(now)
    )
    for identifier, _ in rows:
        await queries.fetch(
            "UPDATE jobs SET file_name = NULL, file_until = NULL WHERE id = $1 RETURNING id",
            identifier,
        )
    return [row[1] for row in rows]


async def drop_oldest(queries: Queries, environment_id: int) -> list[str]:
    """Take away jobs that have ended and are beyond those that are kept; returns their files."""
    rows = await queries.fetch(
        f"SELECT id, file_name FROM jobs WHERE environment_id = $1 AND NOT {_OPEN} "
        f"ORDER BY id DESC LIMIT 100 OFFSET {MAX_KEPT}",
        environment_id,
    )
    for identifier, _ in rows:
        await queries.fetch("DELETE FROM jobs WHERE id = $1 RETURNING id", identifier)
    return [row[1] for row in rows if row[1] is not None]


async def known_files(queries: Queries) -> set[str]:
    """Return the files that jobs have."""
    rows = await queries.fetch("SELECT file_name FROM jobs WHERE file_name IS NOT NULL")
    return {row[0] for row in rows}
