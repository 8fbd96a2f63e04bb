"""Customers may be stricter with themselves than the seller is, and never less strict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from faregate.core.limits import Limit
from faregate.core.own_limits import check_own_limit, own
from faregate.core.rules import (
    MAX_OWN_LIMITS,
    ChangeLimit,
    CustomerRules,
    RemoveLimit,
    SetLimit,
    change_rules,
)

AT = datetime(2026, 3, 2, tzinfo=UTC)


def limit(units: int, identifier: str = "lim_1", **more: Any) -> Limit:
    given = {"asset": "USD", **more}
    return Limit(identifier, AT, units, 0, given.pop("period", "month"), **given)


@pytest.mark.parametrize(
    "other",
    [
        limit(100),
        limit(100, subject="*"),
        limit(100, subject="ada"),
    ],
)
def test_a_limit_above_the_sellers_for_the_same_is_refused(other: Limit) -> None:
    asked = own(limit(101, subject="ada"))
    refused = check_own_limit(asked, [other])
    assert refused is not None
    assert "100 USD per month" in refused.detail
    assert check_own_limit(own(limit(100, subject="ada")), [other]) is None


@pytest.mark.parametrize(
    "other",
    [
        limit(100, mode="soft"),
        limit(100, asset="EUR"),
        limit(100, period="day"),
        limit(100, window="rolling"),
        limit(100, event_type="image"),
        limit(100, dimensions={"model": "large"}),
        limit(100, subject="bob"),
        limit(100, measure="events", asset=None),
        own(limit(100)),
    ],
)
def test_a_limit_for_something_else_is_in_nobodys_way(other: Limit) -> None:
    assert check_own_limit(own(limit(101, subject="ada")), [other]) is None


def test_customers_change_and_remove_their_own_limits_and_no_others() -> None:
    theirs, mine = limit(100, "lim_seller"), own(limit(50, "lim_mine"))
    rules = CustomerRules(limits=(theirs, mine))
    for command in (
        RemoveLimit("c", "lim_seller", "customer"),
        ChangeLimit("c", "lim_seller", None, "customer"),  # type: ignore[arg-type]
    ):
        refused = change_rules(rules, command)
        assert not isinstance(refused, tuple)
        assert "of their own" in refused.detail
    kept = change_rules(rules, RemoveLimit("c", "lim_mine", "customer"))
    assert isinstance(kept, tuple)
    assert kept[0].limits == (theirs,)
    # The seller may take away any.
    assert isinstance(change_rules(rules, RemoveLimit("c", "lim_mine")), tuple)


def test_a_customer_has_only_so_many_of_their_own_and_takes_no_room_from_the_seller() -> None:
    rules = CustomerRules()
    for number in range(MAX_OWN_LIMITS):
        changed = change_rules(rules, SetLimit("c", own(limit(1, f"lim_{number}"))))
        assert isinstance(changed, tuple)
        rules = changed[0]
    assert not isinstance(change_rules(rules, SetLimit("c", own(limit(1, "lim_more")))), tuple)
    assert isinstance(change_rules(rules, SetLimit("c", limit(1, "lim_seller"))), tuple)
