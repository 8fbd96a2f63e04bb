"""One hour of a real code-completion service, so that the demo's tokens have the bursts and the
long tail that made-up ones lack. The published trace names no customers: who makes which requests,
and when, is decided elsewhere (`using`, `crowd`). The source and its licence are in
`data/ATTRIBUTION.md`.
"""

from __future__ import annotations

import csv
import gzip
import io
from importlib import resources
from typing import Final, NamedTuple

_DATA_FILE: Final = "azure-llm-2023-code.csv.gz"


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
