"""What is said of two grants is what the order of use decides by."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from faregate.core.grants import Grant, GrantTerms, order_of_use
from faregate.core.order_in_words import places, why_before
from faregate.core.prices import GrantScope

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def grant(name: str, **more: Any) -> Grant:
    given: dict[str, Any] = {
        "purpose": "paid",
        "priority": 100,
        "amount_units": 10,
        "remaining_units": 10,
        "effective_at": NOON,
        "expires_at": None,
        "created_at": NOON,
        **more,
    }
    return Grant(name, **given)


@dataclass
class Case:
    first: Grant
    second: Grant
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Case(
            grant("b", priority=5),
            grant("a", priority=1000, purpose="promotion"),
            "priority 5 goes before 1,000",
        ),
        Case(grant("b", purpose="promotion"), grant("a"), "promotion goes before paid"),
        Case(
            grant("b", purpose="bundled"),
            grant("a", expires_at=NOON + timedelta(days=1)),
            "bundled goes before paid",
        ),
        Case(
            grant("b", expires_at=NOON + timedelta(days=1)),
            grant("a", expires_at=NOON + timedelta(days=2)),
            "what expires first goes first",
        ),
        Case(
            grant("b", expires_at=NOON + timedelta(days=1)),
            grant("a"),
            "what expires goes before what does not",
        ),
        Case(
            grant("b", created_at=NOON - timedelta(days=1)), grant("a"), "what is older goes first"
        ),
    ],
)
def test_the_reason_is_the_rule_that_decides(case: Case):
    assert order_of_use(case.first) < order_of_use(case.second)
    assert why_before(case.first, case.second) == case.said


def test_each_grant_of_an_account_has_its_place_in_words():
    scope = GrantScope(event_types=["image"], dimensions={"model": "large"})
    gift = grant("gift", purpose="promotion", terms=GrantTerms(limited_to=scope))
    assert places([gift, grant("bought")]) == [
        "Used first: promotion goes before paid. "
        "Only for events image with model=large: everything else passes it by.",
        "After the one above: promotion goes before paid.",
    ]
    assert places([grant("alone")]) == ["Used first: there is no other."]
    assert places([]) == []
