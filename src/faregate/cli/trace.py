"""The demo's traffic: one hour of a real code-completion service, so that the numbers on the
screen have the bursts and the long tail that made-up ones lack. The published trace names no
customers; `choose_customers` deals its requests out to a few heavy ones and many light ones. What
a request costs, and when it is replayed, is decided elsewhere. The source and its licence are in
`data/ATTRIBUTION.md`.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from bisect import bisect_right
from importlib import resources
from itertools import accumulate
from typing import Final, NamedTuple

_DATA_FILE: Final = "azure-llm-2023-code.csv.gz"
_HASH_BYTES: Final = 8
# The heaviest customer's weight. The others' are whole-number fractions of it: with integers only,
# every machine deals the same customers.
_TOP_WEIGHT: Final = 1_000_000_000

CUSTOMERS_LIMIT: Final = 100_000


class TraceRequest(NamedTuple):
    """One request: milliseconds since the trace's first, tokens read, tokens written."""

    offset_ms: int
    context_tokens: int
    generated_tokens: int


def load_trace() -> list[TraceRequest]:
    """Read all 8,819 requests, oldest first; the first one's `offset_ms` is 0."""
    packed = (resources.files("faregate.cli") / "data" / _DATA_FILE).read_bytes()
    rows = csv.reader(io.StringIO(gzip.decompress(packed).decode("ascii")))
    next(rows)
    requests: list[TraceRequest] = []
    offset_ms = 0
    for delta_ms, context_tokens, generated_tokens in rows:
        offset_ms += int(delta_ms)
        requests.append(TraceRequest(offset_ms, int(context_tokens), int(generated_tokens)))
    return requests


def choose_customers(count: int, customers: int, seed: int) -> list[int]:
    """Give each of `count` rows a customer from 0 (the heaviest) to `customers - 1`.

    The choice follows Zipf's law: customer k is drawn 1/(k + 1) times as often as customer 0. Of
    `choose_customers(8819, 40, seed)`, about 23% of the rows are customer 0's and 0.6% are
    customer 39's. A row's customer depends on its number, `customers` and `seed` alone, so a
    longer trace begins with the same customers as a shorter one.

    Raises ValueError if `count` is negative or `customers` is not from 1 to `CUSTOMERS_LIMIT`.
    """
    if count < 0:
        raise ValueError(f"count is {count}: give the number of rows, 0 or more")
    if not 1 <= customers <= CUSTOMERS_LIMIT:
        raise ValueError(f"customers is {customers}: give a number from 1 to {CUSTOMERS_LIMIT}")
    bounds = list(accumulate(_TOP_WEIGHT // rank for rank in range(1, customers + 1)))
    total = bounds[-1]
    return [bisect_right(bounds, _hash(seed, row) % total) for row in range(count)]


def _hash(seed: int, row: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{row}".encode("ascii"), digest_size=_HASH_BYTES).digest()
    return int.from_bytes(digest, "big")
