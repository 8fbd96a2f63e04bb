"""Heads of the ledger: one line that stands for every transfer so far, to be kept where whoever can
edit the database cannot edit it. Later the chains are walked again up to the same numbers. If the
same digest comes out, the ledger still begins with what it was then; if transfers were cut off, or
a chain was made anew from some edit on, it does not, and nothing in the database can hide that.

A digest is SHA-256 of a line for each customer who has transfers, in the order of lanes, then of
customer ids (by code point), each ended by a newline:

    customer_id hash-of-the-newest-transfer number-of-transfers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import msgspec

_FORMAT: Final = "faregate-head/1"
_LINE: Final = re.compile(
    _FORMAT
    + r" at=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) lanes=(\d{1,19}:\d{1,19}(?:,\d{1,19}:\d{1,19})*)"
    r" transfers=(\d{1,19}) sha256=([0-9a-f]{64})",
    re.ASCII,
)


class LedgerHead(msgspec.Struct, frozen=True):
    """What stands for all transfers as of an instant.

    `last_seqs` has, by lane, the last number that was given out; `transfers` how many there are up
    to these. As text it is one line, for example

        faregate-head/1 at=2026-03-02T12:00:00Z lanes=0:6 transfers=4 sha256=7d37…
    """

    at: datetime
    last_seqs: dict[int, int]
    transfers: int
    digest: str

    def __str__(self) -> str:
        lanes = ",".join(f"{lane}:{seq}" for lane, seq in sorted(self.last_seqs.items()))
        at = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{_FORMAT} at={at} lanes={lanes} transfers={self.transfers} sha256={self.digest}"


def read_head(text: str) -> LedgerHead:
    """Read a head that was written down. Raises `ValueError` if it is none."""
    found = _LINE.fullmatch(text.strip())
    try:
        if found is None:
            raise ValueError(text)
        at, lanes, transfers, digest = found.groups()
        pairs = [pair.split(":") for pair in lanes.split(",")]
        last_seqs = {int(lane): int(seq) for lane, seq in pairs}
        return LedgerHead(datetime.fromisoformat(at), last_seqs, int(transfers), digest)
    except ValueError:
        raise ValueError(
            f"{text.strip()[:200]!r} is not a head of a ledger: give the whole line that "
            f"`faregate verify --head` printed, from {_FORMAT} to the end of its digest"
        ) from None


class KeptHead(msgspec.Struct, frozen=True):
    """A head from elsewhere, and what became of it: whether the ledger still begins with it, and
    how many transfers there are now up to the same numbers."""

    head: LedgerHead
    is_kept: bool
    transfers: int


class HeadSum:
    """Adds up the chains as they stand at a number of each lane."""

    def __init__(self, last_seqs: Mapping[int, int]) -> None:
        self.last_seqs = dict(last_seqs)
        self.transfers = 0
        self.is_broken = False
        self._whole = sha256()

    def add(self, customer_id: str, newest: str, length: int) -> None:
        """Add a customer's chain, in the order of lanes, then of customers."""
        self.transfers += length
        self._whole.update(f"{customer_id} {newest} {length}\n".encode())

    def total(self, at: datetime) -> LedgerHead:
        """Return the head that it comes to."""
        return LedgerHead(at, self.last_seqs, self.transfers, self._whole.hexdigest())

    def compare(self, head: LedgerHead, given_out: Mapping[int, int]) -> KeptHead:
        """Say whether this is what the head says. `given_out` has the lanes' last numbers now."""
        reaches = all(given_out.get(lane, -1) >= seq for lane, seq in self.last_seqs.items())
        is_same = (self.total(head.at).digest, self.transfers) == (head.digest, head.transfers)
        return KeptHead(head, is_same and reaches and not self.is_broken, self.transfers)
