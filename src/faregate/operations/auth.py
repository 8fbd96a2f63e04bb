"""Who is asking. A key is looked up by its hash and remembered for a few seconds, so that a revoked
one ends soon in every process.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from faregate.core.problems import UNAUTHENTICATED, FaregateError, Problem
from faregate.engine import Engine
from faregate.platform.keys import ApiKey

REMEMBER_SECONDS: Final = 5.0
MAX_REMEMBERED: Final = 10_000


class OwnKey(NamedTuple):
    """A key of this process alone, which is in no database, and its secret."""

    secret: str
    key: ApiKey


class Authenticator:
    """Finds keys; `now` is a monotonic number of seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # By hash, so that no secret stays in memory.
        self._known: dict[bytes, tuple[ApiKey, float]] = {}
        self._own: dict[bytes, ApiKey] = {}

    def admit(self, own: OwnKey) -> None:
        """Let a key in that is known here alone, for as long as this lives."""
        self._own[hashlib.sha256(own.secret.encode()).digest()] = own.key

    def remembered(self, secret: bytes, now: float) -> ApiKey | None:
        """Return the key with this secret if it was found a moment ago."""
        return self._remembered(hashlib.sha256(secret).digest(), now)

    def _remembered(self, hashed: bytes, now: float) -> ApiKey | None:
        found = self._known.get(hashed)
        return found[0] if found is not None and now < found[1] else None

    async def authenticate(self, secret: bytes, now: float) -> ApiKey:
        """Return the caller's key. Raises `FaregateError` (401), the same for every reason."""
        hashed = hashlib.sha256(secret).digest()
        known = self._own.get(hashed) or self._remembered(hashed, now)
        if known is not None:
            return known
        key = await self._engine.find_key(secret.decode("latin-1"))
        if key is None:
            self._known.pop(hashed, None)
            raise FaregateError(Problem(UNAUTHENTICATED, UNAUTHENTICATED.meaning))
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[hashed] = (key, now + REMEMBER_SECONDS)
        return key
