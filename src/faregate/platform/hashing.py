"""Passwords, hashed with Argon2id. Hashing is slow on purpose, so it runs in threads, few at once:
the server's loop goes on with charges, and a flood of sign-ins can take neither all processors nor
all memory.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from faregate.core.passwords import normal_password
from faregate.core.problems import OVERLOADED, FaregateError, Problem

AT_ONCE: Final = 2
MAX_WAITING: Final = 32
MEMORY_KIB: Final = 19 * 1024
ROUNDS: Final = 2
LANES: Final = 1
"""What OWASP's cheat sheet on password storage recommends as the least: 19 MiB, two rounds."""


class Passwords:
    """Hashes passwords and checks them."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=LANES
        )
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Return what is stored of a password. Raises `FaregateError` (429)."""
        return await self._run(password, None)

    async def is_right(self, password: str, stored: str | None) -> bool:
        """Tell whether this is the password; with None, of nobody, the answer is no and takes as
        long. Raises `FaregateError` (429)."""
        if self._nobodys is None:
            # For everybody's first try, so that it says nothing about whose it is.
            self._nobodys = await self._run(secrets.token_urlsafe(), None)
        answer = await self._run(password, self._nobodys if stored is None else stored)
        return answer == "" and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Tell whether a hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def _run(self, password: str, stored: str | None) -> str:
        if self._waiting >= MAX_WAITING:
            detail = "many people sign in at this moment: try again in a few seconds"
            raise FaregateError(Problem(OVERLOADED, detail, {}, 2))
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(self._work, normal_password(password), stored)
        finally:
            self._waiting -= 1

    def _work(self, password: str, stored: str | None) -> str:
        """Hash a password, or compare it with a hash: empty if it fits."""
        if stored is None:
            return self._hasher.hash(password)
        try:
            self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return "wrong"
        return ""
