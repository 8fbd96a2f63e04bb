"""Problems as RFC 9457 answers (`application/problem+json`)."""

from __future__ import annotations

from faregate.core.codec import encode
from faregate.core.problems import KINDS, Problem
from faregate.operations.problems import problem_details

PROBLEM_TYPE = b"application/problem+json"


def problem_body(problem: Problem, path: str, request_id: str) -> bytes:
    """Write a problem as JSON."""
    return encode(problem_details(problem, path, request_id))


def problem_headers(problem: Problem) -> list[tuple[bytes, bytes]]:
    """Return the headers that belong to a problem."""
    headers = [(b"content-type", PROBLEM_TYPE)]
    if problem.retry_after_seconds is not None:
        headers.append((b"retry-after", str(problem.retry_after_seconds).encode()))
    if problem.kind.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def problems_page() -> str:
    """Write the page that lists every kind of problem (Markdown)."""
    rows = [f"| `{k.urn}` | {k.status} | {k.title}. {k.meaning} |" for k in KINDS]
    return "\n".join(["| type | status | meaning and remedy |", "|---|---|---|", *rows])
