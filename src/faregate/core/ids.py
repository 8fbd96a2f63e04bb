"""Public ids: a prefix that says what a thing is, and a UUIDv7 (RFC 9562) in 26 letters of
Crockford's base32, so that ids sort by the time at which they were made. Within one `IdSource`
they rise strictly, also inside one millisecond and when the clock goes back (RFC 9562, section
6.2, method 2: the random tail counts up), because rows that are written in key order are what
keeps a B-tree append-only.

    cust_01k8zq4w2h7p8v3c5d6e7f8g9h
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from faregate.core.instants import EPOCH

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
_LETTERS: Final = 26
_TAIL_BITS: Final = 60
_LAST_LETTERS: Final = (1 << 20) - 1
_MILLISECOND: Final = timedelta(milliseconds=1)
_PUBLIC_ID: Final = re.compile(r"^[a-z]{3,4}_[0-7][0-9a-hjkmnp-tv-z]{25}$")


def encode_base32(number: int) -> str:
    """Write a 128-bit number as 26 letters, most significant first, so that order is kept."""
    pairs = _PAIRS
    return "".join([pairs[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def is_public_id(text: str, prefix: str) -> bool:
    """Tell whether `text` looks like an id of this kind, e.g. `is_public_id(x, "cust")`."""
    return text.startswith(prefix + "_") and _PUBLIC_ID.fullmatch(text) is not None


def derived_id(prefix: str, at: datetime, *parts: str) -> str:
    """Make the one id of something that happens once, at an instant: whoever works it out, and how
    often, it is the same. It sorts by its instant among the ids of an `IdSource`.

    >>> derived_id("fee", EPOCH, "sub_1", "prc_1") == derived_id("fee", EPOCH, "sub_1", "prc_1")
    True
    """
    digest = int.from_bytes(sha256("\0".join(parts).encode()).digest()[:10], "big")
    millisecond = max(0, (at - EPOCH) // _MILLISECOND)
    head, tail = digest >> 62 & 0xFFF, digest & (1 << 62) - 1
    return f"{prefix}_{encode_base32(millisecond << 80 | 7 << 76 | head << 64 | 2 << 62 | tail)}"


def instant_of(identifier: str) -> datetime | None:
    """Return when a public id was made, to the millisecond; None: it is none of ours.

    >>> instant_of(derived_id("fee", EPOCH, "sub_1")) == EPOCH
    True
    """
    if _PUBLIC_ID.fullmatch(identifier) is None:
        return None
    number = 0
    for letter in identifier[-_LETTERS:]:
        number = number << 5 | _ALPHABET.index(letter)
    return EPOCH + (number >> 80) * _MILLISECOND


class IdSource:
    """Makes rising ids. `random_bits(n)` returns n random bits; tests pass a seeded one."""

    __slots__ = ("_head", "_letters", "_millisecond", "_random_bits", "_tail")

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits
        self._millisecond = 0
        self._tail = 0
        self._head = ""
        self._letters = ""
        self._start(0)

    def tick(self, now: datetime) -> None:
        """Say what time it is. A time that is not later than the last one changes nothing."""
        millisecond = (now - EPOCH) // _MILLISECOND
        if millisecond > self._millisecond:
            self._start(millisecond)

    def _start(self, millisecond: int) -> None:
        self._millisecond = millisecond
        # 48 bits of time, version 7, 12 random bits, variant 0b10, then 62 random bits, of which
        # the first two go to the head and the last 60 are the tail that counts up.
        head = (millisecond << 20) | (7 << 16) | (self._random_bits(12) << 4) | (2 << 2)
        head |= self._random_bits(2)
        self._head = encode_base32(head << _TAIL_BITS)[:14]
        # The top bit of the tail starts at 0: 2^59 ids fit before it could run over.
        self._tail = self._random_bits(_TAIL_BITS - 1)
        self._spell()

    def _spell(self) -> None:
        """Spell all but the last four letters, which change once in a million ids."""
        tail, p = self._tail, _PAIRS
        self._letters = (
            f"{self._head}{p[(tail >> 50) & 1023]}{p[(tail >> 40) & 1023]}"
            f"{p[(tail >> 30) & 1023]}{p[(tail >> 20) & 1023]}"
        )

    def next(self, prefix: str) -> str:
        """Return the next id, greater than every one before it with the same prefix."""
        self._tail += 1
        tail = self._tail
        if not tail & _LAST_LETTERS:
            if tail >> _TAIL_BITS:
                self._start(self._millisecond + 1)
                tail = self._tail
            else:
                self._spell()
        return f"{prefix}_{self._letters}{_PAIRS[(tail >> 10) & 1023]}{_PAIRS[tail & 1023]}"
