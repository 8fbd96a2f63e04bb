"""What senders of JSON are told of what became of what they sent, so that those who send again
after 5xx and 429, and give up after 4xx, do the right thing: nothing that cannot be accepted is
sent for ever, and nothing that was accepted is taken for lost.
"""

from __future__ import annotations

from typing import Final

import msgspec

from faregate.core.codec import encode
from faregate.core.observed import Ingested, Outcome
from faregate.core.problems import INVALID, FaregateError, Problem
from faregate.ingestion.way import Reply, Sent

MAX_SHOWN: Final = 100


class RefusedOne(msgspec.Struct, frozen=True):
    """One thing that was refused: where it stood, its id, and what to do about it."""

    place: str
    id: str
    type: str
    status: int
    detail: str
    errors: dict[str, list[str]]


class Taken(msgspec.Struct, frozen=True):
    """How many things came to what, and the first that were refused."""

    booked: int
    repeat: int
    skipped: int
    refused: int
    refusals: list[RefusedOne]


def answer_json(sent: Sent, ingested: Ingested) -> Reply:
    """Answer 204 if nothing was refused; 207 with the refusals if some things were. Raises
    `FaregateError` if all were: with the problem of the only one, or 422 with the place of each."""
    refused = ingested.refused
    if not refused:
        return Reply(204)
    if len(refused) == len(ingested.outcomes):
        raise FaregateError(_problem_of_all(refused))
    counts = ingested.counts
    taken = Taken(
        counts["booked"],
        counts["repeat"],
        counts["skipped"],
        counts["refused"],
        [_shown(outcome) for outcome in refused[:MAX_SHOWN]],
    )
    return Reply(207, encode(taken))


def _problem_of_all(refused: list[Outcome]) -> Problem:
    if len(refused) == 1 and refused[0].problem is not None:
        return refused[0].problem
    errors: dict[str, list[str]] = {}
    for outcome in refused[:MAX_SHOWN]:
        if outcome.problem is not None:
            errors[outcome.place] = [outcome.problem.detail]
    place, said = next(iter(errors.items()))
    detail = f"all {len(refused)} were refused; {place}: {said[0]}"
    return Problem(INVALID, detail, errors)


def _shown(outcome: Outcome) -> RefusedOne:
    problem = outcome.problem or Problem(INVALID, "it was refused")
    kind = problem.kind
    return RefusedOne(
        outcome.place, outcome.id, kind.urn, kind.status, problem.detail, problem.errors
    )
