"""Which of a customer's newest events are priced anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.ledger.shop import NOON

from faregate.core.instants import to_us
from faregate.ledger.recent_use import MAX_EVENTS, recent_use

START = NOON - timedelta(days=30)


def row(name: str, days: float, booked: float | None = None) -> tuple[Any, ...]:
    """A row of an event that occurred, and was booked, so many days after the start."""
    at, created = [to_us(START + timedelta(days=n)) for n in (days, booked or days)]
    return (name, "call", at, None, None, created)


def test_events_come_in_the_order_in_which_they_occurred_and_not_from_before() -> None:
    newest_first = [
        row("late", 1, 9),
        row("same-2", 8),
        row("same-1", 8),
        row("edge", 0),
        row("old", -1),
    ]
    use = recent_use(newest_first, START)
    assert [event.id for event in use.events] == ["edge", "late", "same-1", "same-2"]
    assert not use.is_partial


def test_of_more_than_are_looked_at_the_newest_count_and_it_is_said() -> None:
    many = [row(f"e{n}", 10 - n / MAX_EVENTS) for n in range(MAX_EVENTS)]
    assert not recent_use(many, START).is_partial
    use = recent_use([*many, row("one more", 1)], START)
    assert (len(use.events), use.is_partial) == (MAX_EVENTS, True)
    assert use.events[-1].id == "e0"
    # What is beyond was booked before the time that is looked at: nothing is missing.
    use = recent_use([*many, row("long ago", -1)], START)
    assert (len(use.events), use.is_partial) == (MAX_EVENTS, False)
