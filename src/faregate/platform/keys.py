"""API keys. A key is 32 random bytes that only its holder knows; the database has its SHA-256,
which is enough for a secret of that length, and finding it by that hash compares nothing secret.
The prefix says which environment the key opens: `fg_test_…` or `fg_live_…`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from typing import Final, Literal

import msgspec

from faregate.core.ids import IdSource
from faregate.core.instants import from_us, to_us
from faregate.core.problems import CONFLICT, NOT_FOUND, FaregateError, Problem, invalid
from faregate.platform.environments import AccountContext, Mode
from faregate.store.protocol import DuplicateKey, Queries

Role = Literal["admin", "ingest", "read"]
ROLES: Final[tuple[Role, ...]] = ("admin", "ingest", "read")
MAX_NAME: Final = 100
KEY: Final = re.compile(r"^fg_(test|live)_[A-Za-z0-9_-]{20,128}$")


class ApiKey(msgspec.Struct, frozen=True):
    """What is known of a key; `hint` is its beginning, to tell keys apart by."""

    id: str
    hint: str
    role: Role
    name: str
    created_at: datetime
    revoked_at: datetime | None
    context: AccountContext


def new_secret(mode: Mode) -> str:
    """Make a key from the system's randomness."""
    return f"fg_{mode}_{secrets.token_urlsafe(32)}"


def hash_key(secret: str) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


def mode_of(secret: str) -> Mode:
    """Return the mode that a key's prefix names. Raises 422 if it is not a key."""
    match = KEY.fullmatch(secret)
    if match is None:
        raise FaregateError(
            invalid("key", "is not of the form fg_test_… or fg_live_… with 20 to 128 characters")
        )
    return "test" if match[1] == "test" else "live"


async def store_key(
    queries: Queries,
    context: AccountContext,
    secret: str,
    role: str,
    name: str,
    ids: IdSource,
    now: datetime,
) -> ApiKey:
    """Write a key's hash. Raises 409 if the key exists, revoked or not, 422."""
    if role not in ROLES:
        raise FaregateError(invalid("role", f"{role[:50]!r} is no role: use {', '.join(ROLES)}"))
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        shown = f"has {len(name)} characters" if name.isprintable() else "has odd characters"
        raise FaregateError(invalid("name", f"{shown}: say in 1 to {MAX_NAME} what it is for"))
    key_id, hint = ids.next("key"), secret[:12] + "…"
    try:
        await queries.fetch(
            "INSERT INTO api_keys "
            "(id, environment_id, key_hash, hint, role, name, created_at, revoked_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)",
            key_id,
            context.environment_id,
            hash_key(secret),
            hint,
            role,
            name,
            to_us(now),
        )
    except DuplicateKey:
        detail = f"the key {hint} was used before (it may be revoked): choose another one"
        raise FaregateError(Problem(CONFLICT, detail)) from None
    known: Role = "admin" if role == "admin" else "ingest" if role == "ingest" else "read"
    return ApiKey(key_id, hint, known, name, now, None, context)


_SELECT: Final = """
    SELECT k.id, k.hint, k.role, k.name, k.created_at, k.revoked_at,
           e.id, e.account_id, e.mode, e.account_name
    FROM api_keys k JOIN environments e ON e.id = k.environment_id
"""


def _read(row: tuple[object, ...]) -> ApiKey:
    identifier, hint, role, name, created, revoked, *context = row
    return msgspec.convert(
        {
            "id": identifier,
            "hint": hint,
            "role": role,
            "name": name,
            "created_at": from_us(int(str(created))),
            "revoked_at": None if revoked is None else from_us(int(str(revoked))),
            "context": AccountContext(*context),  # type: ignore[arg-type]
        },
        ApiKey,
    )


async def find_key(queries: Queries, secret: str) -> ApiKey | None:
    """Find a key that is in force."""
    sql = f"{_SELECT} WHERE k.key_hash = $1 AND k.revoked_at IS NULL"
    rows = await queries.fetch(sql, hash_key(secret))
    return _read(tuple(rows[0])) if rows else None


async def list_keys(queries: Queries) -> list[ApiKey]:
    """Return all keys, revoked ones too, the oldest first."""
    return [_read(tuple(row)) for row in await queries.fetch(f"{_SELECT} ORDER BY k.id")]


async def revoke_key(queries: Queries, key_id: str, now: datetime) -> None:
    """End a key. Raises 404; a repeat is harmless."""
    if not await queries.fetch("SELECT id FROM api_keys WHERE id = $1", key_id):
        raise FaregateError(Problem(NOT_FOUND, f"there is no key {key_id!r}"))
    await queries.fetch(
        "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        to_us(now),
        key_id,
    )
