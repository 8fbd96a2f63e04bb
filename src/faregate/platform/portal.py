"""Links that open the customers' portal once, and the sessions that they open. Whoever has the
secret of one may come in, so the database has only its SHA-256, which is enough for a secret of 256
random bits: to find one by its hash compares nothing secret.

A session belongs to one customer in one environment, for ever: nothing that a browser sends says
whose data it is.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

import msgspec

from faregate.core.instants import from_us, to_us
from faregate.core.portal import Locale
from faregate.store.protocol import Queries, Row

LINK_LIFE: Final = timedelta(minutes=15)
"""How long a link that nobody has opened works."""
SESSION_LIFE: Final = timedelta(hours=12)
IDLE_LIFE: Final = timedelta(hours=1)
"""How long a session lasts in which nothing happens."""
SEEN_EVERY: Final = timedelta(minutes=1)
"""How often it is written down that something has happened."""
KEPT: Final = timedelta(days=7)
"""How long one that has ended is kept, so that we can say why it does not work."""


class PortalLink(msgspec.Struct, frozen=True):
    """A link for one customer, and where they are led when they are done."""

    environment_id: int
    customer_id: str
    return_url: str
    failure_url: str
    locale: Locale | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class PortalRow(msgspec.Struct, frozen=True):
    """A session as it is kept."""

    environment_id: int
    customer_id: str
    return_url: str
    failure_url: str
    locale: Locale | None
    is_embedded: bool
    created_at: datetime
    seen_at: datetime
    expires_at: datetime

    @property
    def ends_at(self) -> datetime:
        """When it is over, if nothing more happens in it."""
        return min(self.expires_at, self.seen_at + IDLE_LIFE)


def new_secret() -> str:
    """Make a secret from the system's randomness."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def insert_link(queries: Queries, secret: str, link: PortalLink) -> None:
    """Write a link, and take away those that have ended long ago."""
    await queries.fetch(
        "DELETE FROM portal_links WHERE expires_at < $1", to_us(link.created_at - KEPT)
    )
    await queries.fetch(
        "INSERT INTO portal_links (token_hash, environment_id, customer_id, return_url, "
        "failure_url, locale, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        hash_secret(secret),
        link.environment_id,
        link.customer_id,
        link.return_url,
        link.failure_url,
        link.locale,
        to_us(link.created_at),
        to_us(link.expires_at),
    )


async def find_link(queries: Queries, secret: str) -> PortalLink | None:
    """Find a link, whether it still works or not."""
    rows = await queries.fetch(
        "SELECT environment_id, customer_id, return_url, failure_url, locale, created_at, "
        "expires_at, used_at FROM portal_links WHERE token_hash = $1",
        hash_secret(secret),
    )
    if not rows:
        return None
    environment, customer_id, back, failed, locale, created_at, expires_at, used_at = rows[0]
    return PortalLink(
        environment,
        customer_id,
        back,
        failed,
        locale,
        from_us(created_at),
        from_us(expires_at),
        None if used_at is None else from_us(used_at),
    )


async def use_link(queries: Queries, secret: str, now: datetime) -> bool:
    """Use a link up; False if it does not work, or no longer. Of several who try at once one
    succeeds."""
    rows = await queries.fetch(
        "UPDATE portal_links SET used_at = $2 "
        "WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING used_at",
        hash_secret(secret),
        to_us(now),
    )
    return bool(rows)


async def insert_session(queries: Queries, secret: str, row: PortalRow) -> None:
    """Write a session, and take away those that have ended long ago."""
    await queries.fetch(
        "DELETE FROM portal_sessions WHERE expires_at < $1", to_us(row.created_at - KEPT)
    )
    await queries.fetch(
        "INSERT INTO portal_sessions (token_hash, environment_id, customer_id, return_url, "
        "failure_url, locale, is_embedded, created_at, seen_at, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        hash_secret(secret),
        row.environment_id,
        row.customer_id,
        row.return_url,
        row.failure_url,
        row.locale,
        int(row.is_embedded),
        to_us(row.created_at),
        to_us(row.seen_at),
        to_us(row.expires_at),
    )


async def find_session(queries: Queries, secret: str) -> PortalRow | None:
    """Find a session, whether it has ended or not."""
    rows = await queries.fetch(
        "SELECT environment_id, customer_id, return_url, failure_url, locale, is_embedded, "
        "created_at, seen_at, expires_at FROM portal_sessions WHERE token_hash = $1",
        hash_secret(secret),
    )
    return _read(rows[0]) if rows else None


def _read(row: Row) -> PortalRow:
    environment, customer_id, back, failed, locale, is_embedded, *moments = row
    created_at, seen_at, expires_at = map(from_us, moments)
    return PortalRow(
        environment,
        customer_id,
        back,
        failed,
        locale,
        bool(is_embedded),
        created_at,
        seen_at,
        expires_at,
    )


async def note_seen(queries: Queries, secret: str, now: datetime) -> None:
    """Say that something happens in a session."""
    await queries.fetch(
        "UPDATE portal_sessions SET seen_at = $2 WHERE token_hash = $1 AND seen_at < $2",
        hash_secret(secret),
        to_us(now),
    )


async def set_locale(queries: Queries, secret: str, locale: Locale | None) -> None:
    """Say in which language a session is."""
    await queries.fetch(
        "UPDATE portal_sessions SET locale = $2 WHERE token_hash = $1", hash_secret(secret), locale
    )


async def end_session(queries: Queries, secret: str) -> None:
    """End a session."""
    await queries.fetch("DELETE FROM portal_sessions WHERE token_hash = $1", hash_secret(secret))


async def end_all(queries: Queries, environment_id: int, customer_id: str) -> None:
    """End a customer's sessions, and their links that nobody has opened."""
    for table in ("portal_sessions", "portal_links"):
        await queries.fetch(
            f"DELETE FROM {table} WHERE customer_id = $2 AND environment_id = $1",
            environment_id,
            customer_id,
        )
