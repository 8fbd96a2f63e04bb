"""When a hold that waits for credit should be asked for again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec import structs

from faregate.core.accounts import open_account
from faregate.core.authorizing import may_go_on
from faregate.core.collecting import AutoTopUp, Collecting, InFlight
from faregate.core.customers import CustomerState
from faregate.core.rules import CustomerRules

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
USD = "default:USD"
TERMS = AutoTopUp("USD", threshold_units=10, amount_units=50)
ASKED = Collecting(TERMS, InFlight("tup_1", 50, NOON))


def state(
    available: int = 10, collecting: Collecting = ASKED, policy: str = "reject", limit: int = 0
) -> CustomerState:
    account = structs.replace(
        open_account(USD),
        available_units=available,
        overdraft_policy=policy,
        overdraft_limit_units=limit,
    )
    return CustomerState(
        "cust_1", accounts={USD: account}, rules=CustomerRules(collecting={USD: collecting})
    )


@pytest.mark.parametrize(
    ("after", "may"),
    [
        (state(), False),
        (state(11), True),
        (state(9), False),
        (state(policy="limit", limit=1), True),
        (state(policy="allow", limit=1), False),
        (state(9, policy="limit", limit=1), False),
        (state(collecting=structs.replace(ASKED, in_flight=None)), True),
        (state(collecting=structs.replace(ASKED, failures=1)), False),
        (state(9, structs.replace(ASKED, in_flight=None)), True),
    ],
)
def test_it_is_asked_again_when_there_is_more_or_nothing_is_to_come(after, may):
    assert may_go_on(state(), after) is may


def test_a_new_account_with_credit_is_more():
    assert may_go_on(CustomerState("cust_1"), state(1, structs.replace(ASKED, in_flight=None)))


def test_what_was_asked_for_just_now_changes_nothing():
    assert not may_go_on(state(collecting=Collecting(TERMS)), state())
