"""Problems as the API shows them (RFC 9457)."""

from __future__ import annotations

from faregate.core.problems import Problem
from faregate.customers.wire import ProblemDetails


def problem_details(problem: Problem, path: str, request_id: str) -> ProblemDetails:
    """Return a problem as the API shows it."""
    kind = problem.kind
    return ProblemDetails(
        kind.urn, kind.title, kind.status, problem.detail, path, request_id, problem.errors
    )
