"""Thresholds of balances, set over a real port, and refused where they are none."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from tests.api.caller import Caller, assert_refused, calling, product
from tests.api.conftest import LIVE_KEY, RunningServer

USD = "default:USD"


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def test_an_account_says_below_what_its_balances_are_low(me: Caller) -> None:
    before = me.get("accounts/self").body["alerts"]
    asked = '{"alerts": {"low_balances": {"USD": 2.5}, "grant_expiring_hours": 24}}'
    assert me.patch("accounts/self", asked).status == 204
    alerts = me.get("accounts/self").body["alerts"]
    assert alerts == {"low_balances": {"USD": Decimal("2.5")}, "grant_expiring_hours": 24}
    assert me.patch("accounts/self", {"alerts": before}).status == 204
    assert me.get("accounts/self").body["alerts"] == before


def test_one_account_has_a_threshold_of_its_own_until_it_is_taken_away(me: Caller) -> None:
    path = f"customers/{me.customer()}/wallet/{USD}"
    assert me.get(path).body["low_balance_threshold"] is None
    limited = '{"low_balance_threshold": 0.75, "overdraft": {"policy": "reject"}}'
    shown = me.patch(path, limited).body
    assert shown["low_balance_threshold"] == Decimal("0.75")
    assert shown["overdraft"] == {"policy": "reject"}
    assert me.get(path).body == shown
    cleared = me.patch(path, {"low_balance_threshold": None}).body
    assert cleared == {**shown, "low_balance_threshold": None}


@pytest.mark.parametrize("amount", [-1, 0.0000000001, 10**30, True, "5"])
def test_a_threshold_that_is_no_amount_is_refused_and_changes_nothing(
    me: Caller, amount: object
) -> None:
    path = f"customers/{me.customer()}/wallet/{USD}"
    before = me.get(path).body
    body = {"overdraft": {"policy": "reject"}, "low_balance_threshold": amount}
    assert_refused(me.patch(path, body), "low_balance_threshold")
    assert me.get(path).body == before


def test_a_change_of_nothing_is_refused(me: Caller) -> None:
    path = f"customers/{me.customer()}/wallet/{USD}"
    assert_refused(me.patch(path, {}), "overdraft")
    assert_refused(me.patch("accounts/self", {}), "timezone")


def test_another_mode_does_not_see_the_account(me: Caller, shared_server: RunningServer) -> None:
    path = f"customers/{me.customer()}/wallet/{USD}"
    with calling(shared_server, LIVE_KEY) as other:
        assert other.patch(path, {"low_balance_threshold": 1}).status == 404
