"""Links that let somebody in once: the first admin's, invitations, new passwords, and signing in
without a password (the demo's). A link has 24 random bytes, of which the database keeps the
SHA-256; it is taken away by whoever uses it, in one statement, so two cannot.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from faregate.core.instants import from_us, to_us
from faregate.platform.operators import OperatorRole
from faregate.store.protocol import Queries

LinkKind = Literal["first", "invitation", "reset", "sign_in"]
LASTS: Final[dict[LinkKind, timedelta]] = {
    "first": timedelta(hours=24),
    "invitation": timedelta(hours=24),
    "reset": timedelta(hours=24),
    "sign_in": timedelta(hours=1),
}
MAX_SECRET: Final = 200


class Link(msgspec.Struct, frozen=True):
    """What a link is for: `email` and `role` of whoever is invited (no e-mail for the first admin),
    or the operator who gets a new password or is signed in."""

    kind: LinkKind
    operator_id: str | None
    email: str
    role: OperatorRole
    created_at: datetime
    expires_at: datetime


class Invitation(msgspec.Struct, frozen=True):
    """A link that was just made; `secret` is shown this once."""

    secret: str
    link: Link

    @property
    def email(self) -> str:
        """Whose it is; empty for the first admin, who is not known yet."""
        return self.link.email

    @property
    def role(self) -> OperatorRole:
        """In what role."""
        return self.link.role

    @property
    def expires_at(self) -> datetime:
        """From when on it opens nothing."""
        return self.link.expires_at

    def __repr__(self) -> str:
        """Show it without its secret, wherever it may be printed."""
        return f"Invitation({self.link!r})"


def new_secret() -> str:
    """Make a secret from the system's randomness."""
    return secrets.token_urlsafe(24)


def hashed(secret: str) -> str:
    """Return what is stored of a link's or a session's secret."""
    return hashlib.sha256(secret[:MAX_SECRET].encode("utf-8", "replace")).hexdigest()


async def make_link(
    queries: Queries,
    kind: LinkKind,
    operator_id: str | None,
    email: str,
    role: OperatorRole,
    now: datetime,
) -> Invitation:
    """Write a link. Earlier ones of its kind for the same person open nothing any more, but for
    those that only sign in."""
    await queries.fetch("DELETE FROM operator_links WHERE expires_at <= $1", to_us(now))
    if kind != "sign_in":
        await queries.fetch(
            "DELETE FROM operator_links WHERE kind = $1 AND email = $2", kind, email
        )
    secret = new_secret()
    link = Link(kind, operator_id, email, role, now, now + LASTS[kind])
    await queries.fetch(
        "INSERT INTO operator_links "
        "(secret_hash, kind, operator_id, email, role, created_at, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        hashed(secret),
        kind,
        operator_id,
        email,
        role,
        to_us(now),
        to_us(link.expires_at),
    )
    return Invitation(secret, link)


_COLUMNS: Final = "kind, operator_id, email, role, created_at, expires_at"


def _read(row: tuple[object, ...]) -> Link:
    kind, operator_id, email, role, created, expires = row
    return msgspec.convert(
        {
            "kind": kind,
            "operator_id": operator_id,
            "email": email,
            "role": role,
            "created_at": from_us(int(str(created))),
            "expires_at": from_us(int(str(expires))),
        },
        Link,
    )


async def find_link(queries: Queries, secret: str, now: datetime) -> Link | None:
    """Find a link that is still good, without using it."""
    sql = f"SELECT {_COLUMNS} FROM operator_links WHERE secret_hash = $1 AND expires_at > $2"
    rows = await queries.fetch(sql, hashed(secret), to_us(now))
    return _read(tuple(rows[0])) if rows else None


async def use_link(queries: Queries, secret: str, now: datetime) -> Link | None:
    """Take a link; None if it was taken before, or never was."""
    sql = (
        f"DELETE FROM operator_links WHERE secret_hash = $1 AND expires_at > $2 "
        f"RETURNING {_COLUMNS}"
    )
    rows = await queries.fetch(sql, hashed(secret), to_us(now))
    return _read(tuple(rows[0])) if rows else None


async def list_invitations(queries: Queries, now: datetime) -> list[Link]:
    """Return invitations that nobody has accepted yet, the newest first."""
    sql = (
        f"SELECT {_COLUMNS} FROM operator_links WHERE kind = 'invitation' AND expires_at > $1 "
        "ORDER BY created_at DESC, email"
    )
    return [_read(tuple(row)) for row in await queries.fetch(sql, to_us(now))]


async def withdraw_links(queries: Queries, email: str) -> None:
    """Take all links away that were made for an e-mail address."""
    await queries.fetch("DELETE FROM operator_links WHERE email = $1", email)
