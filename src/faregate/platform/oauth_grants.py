"""What operators have allowed assistants: a grant says which client, in whose name, in which
account and mode, and in what role. It begins when a code is exchanged (once, within a minute), and
lives on by tokens: one that opens the tools for an hour, and one that brings the next pair and is
then worth nothing. Whoever brings a code or such a token a second time ends the whole grant: one of
the two has stolen it. Secrets are kept as hashes.

A grant counts only while its operator may sign in and has the role for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.platform.environments import AccountContext
from faregate.platform.keys import Role
from faregate.platform.links import hashed, new_secret
from faregate.platform.operators import OperatorRole
from faregate.store.protocol import Queries, Row

CODE_LASTS: Final = timedelta(seconds=60)
ACCESS_LASTS: Final = timedelta(hours=1)
REFRESH_LASTS: Final = timedelta(days=30)
ACCESS_PREFIX: Final = "fga_"
REFRESH_PREFIX: Final = "fgr_"
"""How tokens begin: nobody takes one for an API key, and who finds one knows what it is."""
ENDED_KEPT: Final = timedelta(days=90)
MAX_ENDED: Final = 20
MAX_OF_ONE: Final = 20
"""So many grants an operator may have in force: the oldest gives way."""
ROLES_OF: Final[dict[OperatorRole, tuple[Role, ...]]] = {
    "admin": ("read", "ingest", "admin"),
    "finance": ("read",),
    "support": ("read",),
}
"""What an operator may allow: no more than what they may do."""
_IN_FORCE: Final = (
    "g.ended_at IS NULL AND o.disabled_at IS NULL AND (o.role = 'admin' OR g.role = 'read')"
)


class Consent(msgspec.Struct, frozen=True):
    """What an operator has allowed, before it is a grant. `challenge` is the hash of what the
    client has to bring with the code."""

    client_id: str
    redirect_uri: str
    challenge: str
    operator_id: str
    environment_id: int
    role: Role


class Grant(msgspec.Struct, frozen=True):
    """What an assistant may do, and in whose name."""

    id: str
    client_id: str
    client_name: str
    operator_id: str
    operator_name: str
    context: AccountContext
    role: Role
    created_at: datetime
    ended_at: datetime | None
    ended_because: str


class Code(msgspec.Struct, frozen=True):
    """A code that can be exchanged."""

    grant_id: str
    consent: Consent


class TokenPair(msgspec.Struct, frozen=True):
    """The secrets of a grant, shown this once."""

    access: str
    refresh: str
    role: Role

    def __repr__(self) -> str:
        """Show it without its secrets."""
        return "TokenPair()"


_GRANT: Final = (
    "g.id, g.client_id, g.client_name, g.operator_id, o.name, e.id, e.account_id, e.mode, "
    "e.account_name, g.role, g.created_at, g.ended_at, g.ended_because FROM oauth_grants g "
    "JOIN operators o ON o.id = g.operator_id JOIN environments e ON e.id = g.environment_id"
)


def _read(row: Row) -> Grant:
    identifier, client, client_name, operator, name, *context, role, created, ended, why = row
    return Grant(
        identifier,
        client,
        client_name,
        operator,
        name,
        AccountContext(*context),
        role,
        from_us(created),
        None if ended is None else from_us(ended),
        why or "",
    )


async def make_code(queries: Queries, consent: Consent, ids: IdSource, now: datetime) -> str:
    """Write down what was allowed; returns the code for it."""
    # Those that were used stay for as long as their tokens may: for whoever brings one again.
    await queries.fetch("DELETE FROM oauth_codes WHERE expires_at < $1", to_us(now - REFRESH_LASTS))
    code = new_secret()
    await queries.fetch(
        "INSERT INTO oauth_codes (code_hash, grant_id, client_id, redirect_uri, challenge, "
        "operator_id, environment_id, role, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        hashed(code),
        ids.next("ogr"),
        *msgspec.structs.astuple(consent),
        to_us(now + CODE_LASTS),
    )
    return code


async def find_code(queries: Queries, code: str, client_id: str, now: datetime) -> Code | None:
    """Find a code of this client that can be exchanged. One that was exchanged already ends its
    grant, whoever brings it."""
    rows = await queries.fetch(
        "SELECT grant_id, client_id, redirect_uri, challenge, operator_id, environment_id, role, "
        "expires_at, used_at FROM oauth_codes WHERE code_hash = $1",
        hashed(code),
    )
    if not rows:
        return None
    grant_id, *consent, expires_at, used_at = rows[0]
    if used_at is not None:
        await end_grant(queries, grant_id, "its code was brought a second time", now)
        return None
    found = Code(grant_id, Consent(*consent))
    return found if found.consent.client_id == client_id and to_us(now) < expires_at else None


async def exchange_code(
    queries: Queries, code: str, client_name: str, now: datetime
) -> TokenPair | None:
    """Make a grant of a code, once; None if somebody was faster, or it is too old."""
    rows = await queries.fetch(
        "UPDATE oauth_codes SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL "
        "AND expires_at > $2 RETURNING grant_id, client_id, operator_id, environment_id, role",
        hashed(code),
        to_us(now),
    )
    if not rows:
        return None
    grant_id, client_id, operator_id, environment_id, role = rows[0]
    await queries.fetch(
        "INSERT INTO oauth_grants (id, client_id, client_name, operator_id, environment_id, role, "
        "created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        grant_id,
        client_id,
        client_name,
        operator_id,
        environment_id,
        role,
        to_us(now),
    )
    await queries.fetch("DELETE FROM oauth_grants WHERE ended_at < $1", to_us(now - ENDED_KEPT))
    await _end_oldest(queries, operator_id, now)
    if not await _is_in_force(queries, grant_id):
        return None
    return await _new_pair(queries, grant_id, role, now)


async def _end_oldest(queries: Queries, operator_id: str, now: datetime) -> None:
    await queries.fetch(
        "UPDATE oauth_grants SET ended_at = $2, ended_because = 'newer ones took its place' "
        "WHERE operator_id = $1 AND ended_at IS NULL AND id NOT IN ("
        "SELECT id FROM oauth_grants WHERE operator_id = $1 AND ended_at IS NULL "
        f"ORDER BY id DESC LIMIT {MAX_OF_ONE})",
        operator_id,
        to_us(now),
    )


async def _is_in_force(queries: Queries, grant_id: str) -> bool:
    sql = f"SELECT {_GRANT} WHERE g.id = $1 AND {_IN_FORCE}"
    return bool(await queries.fetch(sql, grant_id))


async def _new_pair(queries: Queries, grant_id: str, role: Role, now: datetime) -> TokenPair:
    await queries.fetch(
        "DELETE FROM oauth_tokens WHERE expires_at <= $1 OR (grant_id = $2 AND kind = 'access')",
        to_us(now),
        grant_id,
    )
    pair = TokenPair(ACCESS_PREFIX + new_secret(), REFRESH_PREFIX + new_secret(), role)
    lifetimes: tuple[tuple[str, str, timedelta], ...] = (
        ("access", pair.access, ACCESS_LASTS),
        ("refresh", pair.refresh, REFRESH_LASTS),
    )
    for kind, secret, lasts in lifetimes:
        await queries.fetch(
            "INSERT INTO oauth_tokens (token_hash, kind, grant_id, expires_at) "
            "VALUES ($1, $2, $3, $4)",
            hashed(secret),
            kind,
            grant_id,
            to_us(now + lasts),
        )
    return pair


async def find_grant(
    queries: Queries, token: str, kind: Literal["access", "refresh"], now: datetime
) -> Grant | None:
    """Find the grant in force that a token is of. A token for the next pair that was used already
    ends its grant, whoever brings it."""
    rows = await queries.fetch(
        "SELECT grant_id, used_at FROM oauth_tokens "
        "WHERE token_hash = $1 AND kind = $2 AND expires_at > $3",
        hashed(token),
        kind,
        to_us(now),
    )
    if not rows:
        return None
    grant_id, used_at = rows[0]
    if used_at is not None:
        await end_grant(queries, grant_id, "a token of it was brought a second time", now)
        return None
    found = await queries.fetch(f"SELECT {_GRANT} WHERE g.id = $1 AND {_IN_FORCE}", grant_id)
    return _read(found[0]) if found else None


async def next_pair(queries: Queries, refresh: str, now: datetime) -> TokenPair | None:
    """Make the next tokens of a grant, once; None if the token is used or too old, or the grant
    has ended."""
    rows = await queries.fetch(
        "UPDATE oauth_tokens SET used_at = $2 WHERE token_hash = $1 AND kind = 'refresh' "
        "AND used_at IS NULL AND expires_at > $2 RETURNING grant_id",
        hashed(refresh),
        to_us(now),
    )
    if not rows or not await _is_in_force(queries, rows[0][0]):
        return None
    role = await queries.fetch("SELECT role FROM oauth_grants WHERE id = $1", rows[0][0])
    return await _new_pair(queries, rows[0][0], role[0][0], now)


async def list_grants(queries: Queries, now: datetime) -> list[Grant]:
    """Return all grants in force that have a token, the newest first."""
    rows = await queries.fetch(
        f"SELECT {_GRANT} WHERE {_IN_FORCE} AND EXISTS (SELECT 1 FROM oauth_tokens t "
        "WHERE t.grant_id = g.id AND t.expires_at > $1 AND t.used_at IS NULL) ORDER BY g.id DESC",
        to_us(now),
    )
    return [_read(row) for row in rows]


async def list_ended(queries: Queries) -> list[Grant]:
    """Return the grants that were ended last, with why, the latest first."""
    rows = await queries.fetch(
        f"SELECT {_GRANT} WHERE g.ended_at IS NOT NULL ORDER BY g.ended_at DESC LIMIT {MAX_ENDED}"
    )
    return [_read(row) for row in rows]


async def end_grant(queries: Queries, grant_id: str, because: str, now: datetime) -> bool:
    """End a grant and all its tokens; False if it has ended already. Tokens stay until they are too
    old, so that one that is brought again is known."""
    ended = await queries.fetch(
        "UPDATE oauth_grants SET ended_at = $2, ended_because = $3 "
        "WHERE id = $1 AND ended_at IS NULL RETURNING id",
        grant_id,
        to_us(now),
        because,
    )
    return bool(ended)


async def end_grants_of(
    queries: Queries, operator_id: str, because: str, now: datetime, *, but_readers: bool = False
) -> None:
    """End all grants of an operator; with `but_readers`, those that may do more than read."""
    await queries.fetch(
        "UPDATE oauth_grants SET ended_at = $2, ended_because = $3 "
        f"WHERE operator_id = $1 AND ended_at IS NULL{' AND role <> $4' if but_readers else ''}",
        operator_id,
        to_us(now),
        because,
        *(("read",) if but_readers else ()),
    )
