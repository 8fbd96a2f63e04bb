"""Who is asking. A key is looked up by its hash and remembered for a few seconds, so that a revoked
one ends soon in every process.
"""

from __future__ import annotations

from typing import Final

from faregate.core.problems import UNAUTHENTICATED, FaregateError, Problem
from faregate.engine import Engine
from faregate.platform.keys import ApiKey, hash_key

REMEMBER_SECONDS: Final = 5.0
MAX_REMEMBERED: Final = 10_000

Headers = list[tuple[bytes, bytes]]


def secret_of(headers: Headers) -> str:
    """Return the key that the headers carry, in either of its places; empty if none."""
    for name, value in headers:
        if name == b"x-credyt-api-key":
            return value.decode("latin-1")
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return ""


class Authenticator:
    """Finds keys; `now` is a monotonic number of seconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # By hash, so that no secret stays in memory.
        self._known: dict[str, tuple[ApiKey, float]] = {}

    async def authenticate(self, headers: Headers, now: float) -> ApiKey:
        """Return the caller's key. Raises `FaregateError` (401), the same for every reason."""
        secret = secret_of(headers)
        hashed = hash_key(secret)
        found = self._known.get(hashed)
        if found is not None and now < found[1]:
            return found[0]
        key = await self._engine.find_key(secret)
        if key is None:
            self._known.pop(hashed, None)
            raise FaregateError(Problem(UNAUTHENTICATED, UNAUTHENTICATED.meaning))
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[hashed] = (key, now + REMEMBER_SECONDS)
        return key
