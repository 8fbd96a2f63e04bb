"""What two commitments have not in common, in words: the least and the most that is asked for use
in each period, and what counts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from faregate.core.prices import Commitment
from faregate.core.wording import Amount, every, listed


def describe_commitment(commitment: Commitment) -> str:
    """Say how much is to be used: `at least 50.00 USD every month (any use)`."""
    ends = (("at least", commitment.minimum), ("at most", commitment.maximum))
    asked = [
        f"{what} {Amount(value, commitment.asset)}" for what, value in ends if value is not None
    ]
    return f"{listed(asked)} {_often(commitment)} ({_counted(commitment)})"


def compare_commitments(was: Commitment, now: Commitment) -> Iterator[str]:
    """Say how two commitments differ; each sentence is about the later one."""
    if was.name != now.name:
        yield f'was called "{was.name}"'
    for what, noun, one, other in (
        ("at least", "minimum", was.minimum, now.minimum),
        ("at most", "cap", was.maximum, now.maximum),
    ):
        before, after = _amount(was, one), _amount(now, other)
        if before is None and after is not None:
            yield f"has a {noun} now: {what} {after}"
        elif before is not None and after is None:
            yield f"has no {noun} any more (was {what} {before})"
        elif before is not None and after is not None and before != after:
            yield f"{what} {before.became(after)}"
    if _counted(was) != _counted(now):
        yield f"counts {_counted(was)} → {_counted(now)}"


def _amount(commitment: Commitment, value: Decimal | None) -> Amount | None:
    return None if value is None else Amount(value, commitment.asset, _often(commitment))


def _often(commitment: Commitment) -> str:
    recurring = commitment.recurring
    return f"every {every(recurring.interval, recurring.interval_count)}"


def _counted(commitment: Commitment) -> str:
    if not commitment.event_types:
        return "any use"
    return f"events {listed(sorted(set(commitment.event_types)))}"
