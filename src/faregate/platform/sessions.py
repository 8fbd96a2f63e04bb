"""Operators' sessions: who signed in, and until when that counts. The browser has 24 random bytes,
made anew at each sign-in, so a session that somebody had put into the browser before is worth
nothing; the database has their SHA-256. A session ends at an instant that is fixed when it
begins, earlier if it is not used for a while, and at once when its operator ends it.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Final

import msgspec

from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.platform.links import hashed, new_secret
from faregate.platform.operators import Operator, columns_of, read_operator
from faregate.store.protocol import Queries

LASTS: Final = timedelta(days=14)
IDLE: Final = timedelta(hours=12)
NOTED_EVERY: Final = timedelta(minutes=5)
"""How exactly it is known when a session was used last: a page costs no write."""
MAX_OF_ONE: Final = 20
MAX_AGENT: Final = 200


class SessionSummary(msgspec.Struct, frozen=True):
    """A session as its operator sees it in a list; `agent` is what the browser calls itself."""

    id: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    address: str
    agent: str


class OperatorSession(msgspec.Struct, frozen=True):
    """A session in force. `csrf` is what each form of it carries."""

    id: str
    operator: Operator
    csrf: str
    created_at: datetime
    expires_at: datetime

    def is_csrf(self, shown: str) -> bool:
        """Tell whether a form carries what those of this session do, in the same time for any."""
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self.csrf.encode())

    def __repr__(self) -> str:
        """Show it without what its forms carry."""
        return f"OperatorSession({self.id!r}, {self.operator.id!r})"


def csrf_of(secret: str) -> str:
    """Return what a session's forms carry: it proves that we have made the form, and does not give
    the session away."""
    return hmac.new(secret.encode(), b"faregate dashboard form", hashlib.sha256).hexdigest()


async def begin_session(
    queries: Queries, operator_id: str, address: str, agent: str, ids: IdSource, now: datetime
) -> str:
    """Write a session; returns its secret. Those that are over are taken away, and of one operator
    the oldest beyond `MAX_OF_ONE`."""
    await queries.fetch(
        "DELETE FROM operator_sessions WHERE expires_at <= $1 OR used_at <= $2",
        to_us(now),
        to_us(now - IDLE),
    )
    await queries.fetch(
        "DELETE FROM operator_sessions WHERE operator_id = $1 AND id NOT IN ("
        "SELECT id FROM operator_sessions WHERE operator_id = $1 ORDER BY id DESC "
        f"LIMIT {MAX_OF_ONE - 1})",
        operator_id,
    )
    secret = new_secret()
    await queries.fetch(
        "INSERT INTO operator_sessions "
        "(secret_hash, id, operator_id, created_at, used_at, expires_at, address, agent) "
        "VALUES ($1, $2, $3, $4, $4, $5, $6, $7)",
        hashed(secret),
        ids.next("ses"),
        operator_id,
        to_us(now),
        to_us(now + LASTS),
        _shown(address),
        _shown(agent),
    )
    return secret


def _shown(text: str) -> str:
    return "".join(c for c in text[:MAX_AGENT] if c.isprintable())


async def find_session(
    queries: Queries, secret: str, now: datetime
) -> tuple[OperatorSession, datetime] | None:
    """Find a session in force, and when it was used last."""
    rows = await queries.fetch(
        f"SELECT s.id, s.created_at, s.used_at, s.expires_at, {columns_of('o')} "
        "FROM operator_sessions s JOIN operators o ON o.id = s.operator_id "
        "WHERE s.secret_hash = $1 AND s.expires_at > $2 AND s.used_at > $3 "
        "AND o.disabled_at IS NULL",
        hashed(secret),
        to_us(now),
        to_us(now - IDLE),
    )
    if not rows:
        return None
    identifier, created, used, expires, *operator = rows[0]
    session = OperatorSession(
        identifier, read_operator(operator), csrf_of(secret), from_us(created), from_us(expires)
    )
    return session, from_us(used)


async def note_use(queries: Queries, secret: str, now: datetime) -> None:
    """Write down that a session is used."""
    await queries.fetch(
        "UPDATE operator_sessions SET used_at = $2 WHERE secret_hash = $1 AND used_at < $2",
        hashed(secret),
        to_us(now),
    )


async def list_sessions(queries: Queries, operator_id: str, now: datetime) -> list[SessionSummary]:
    """Return an operator's sessions in force, the newest first."""
    rows = await queries.fetch(
        "SELECT id, created_at, used_at, expires_at, address, agent FROM operator_sessions "
        "WHERE operator_id = $1 AND expires_at > $2 AND used_at > $3 ORDER BY id DESC",
        operator_id,
        to_us(now),
        to_us(now - IDLE),
    )
    return [
        SessionSummary(one, from_us(made), from_us(used), from_us(until), address, agent)
        for one, made, used, until, address, agent in rows
    ]


async def end_by_secret(queries: Queries, secret: str) -> None:
    """End a session that somebody holds; a repeat is harmless."""
    await queries.fetch("DELETE FROM operator_sessions WHERE secret_hash = $1", hashed(secret))


async def end_session(queries: Queries, operator_id: str, session_id: str) -> bool:
    """End a session of this operator; False if there is none of this id."""
    sql = "DELETE FROM operator_sessions WHERE operator_id = $1 AND id = $2 RETURNING id"
    return bool(await queries.fetch(sql, operator_id, session_id))


async def end_all(queries: Queries, operator_id: str, except_id: str = "") -> None:
    """End all sessions of an operator, but for one."""
    await queries.fetch(
        "DELETE FROM operator_sessions WHERE operator_id = $1 AND id <> $2", operator_id, except_id
    )
