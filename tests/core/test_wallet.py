"""Balances and transfers: the books always close, and time gives one result however one looks."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from faregate.core.accounts import (
    BREAKAGE,
    REVENUE,
    Account,
    Movement,
    OverdraftPolicy,
    Transfer,
    account_id,
    open_account,
    restore_account,
)
from faregate.core.amounts import MAX_UNITS
from faregate.core.grants import PURPOSES, Grant, order_of_use
from faregate.core.problems import INSUFFICIENT_FUNDS, INVALID, Problem
from faregate.core.timeline import advance
from faregate.core.wallet import check_credit, credit, debit

from .builders import DAY, MINUTE, T0, grant, ledger

properties = settings(deadline=None, max_examples=100)
GIFT = "adjustments:gift"
USD = "default:USD"


def account(
    *grants: Grant,
    at: datetime = T0,
    policy: OverdraftPolicy = "allow",
    limit: int = 0,
    overdraft: int = 0,
) -> Account:
    """Make an account that has these grants, as of an instant."""
    stored = restore_account(USD, list(grants), overdraft, policy, limit)
    return advance(stored, at).account


def take(source: Account, units: int, at: datetime = T0) -> Movement:
    moved = debit(source, units, REVENUE, "fee_1", at, 9)
    assert isinstance(moved, Movement), moved
    return moved


def refusal(source: Account, units: int) -> Problem:
    problem = debit(source, units, REVENUE, "fee_1", T0, 9)
    assert isinstance(problem, Problem), problem
    return problem


def moves(transfers: tuple[Transfer, ...]) -> list[tuple[str, str, int]]:
    return [(t.from_account, t.to_account, t.units) for t in transfers]


def test_an_account_is_named_by_its_name_and_asset() -> None:
    assert account_id("default", "USD") == USD
    one = open_account("team.a:EUR")
    assert (one.name, one.asset, one.overdraft_account) == ("team.a", "EUR", "overdraft:team.a:EUR")
    assert one.available_units == 0
    assert one.next_change_at is None


def test_a_credit_comes_from_its_source_and_is_spendable_at_once() -> None:
    moved = credit(open_account(USD), grant(100), GIFT, "adj_1", T0)
    assert moved.transfers == (Transfer("USD", GIFT, "grt_one", 100, "adj_1", T0),)
    assert moved.account.available_units == 100
    assert moved.grants == (grant(100),)


def test_a_debit_takes_from_the_grants_in_their_order_of_use_then_from_the_overdraft() -> None:
    paid = grant(10, "grt_a", "paid")
    gift = grant(5, "grt_b", "promotion")
    moved = take(account(paid, gift), 18)
    assert moves(moved.transfers) == [
        ("grt_b", REVENUE, 5),
        ("grt_a", REVENUE, 10),
        ("overdraft:default:USD", REVENUE, 3),
    ]
    assert moved.account.available_units == -3
    assert moved.account.overdraft_units == 3
    assert moved.account.grants == ()
    assert [(g.id, g.remaining_units) for g in moved.grants] == [("grt_b", 0), ("grt_a", 0)]


def test_every_transfer_of_a_debit_says_what_for_and_when() -> None:
    moved = take(account(grant(3, "grt_a"), grant(4, "grt_b")), 9, T0 + MINUTE)
    assert [(t.units, t.asset, t.reference, t.at) for t in moved.transfers] == [
        (units, "USD", "fee_1", T0 + MINUTE) for units in (3, 4, 2)
    ]


def test_what_the_ledger_cannot_hold_is_refused_with_the_field_and_the_reason() -> None:
    deep = replace(account(), overdraft_units=MAX_UNITS)
    full = account(grant(MAX_UNITS))
    problems = [
        (refusal(full, MAX_UNITS + 1), "more than the ledger can hold in one movement"),
        (refusal(deep, 1), "below what the ledger can hold"),
        (check_credit(full, 1), "beyond what the ledger can hold"),
    ]
    for problem, reason in problems:
        assert problem is not None
        assert problem.kind is INVALID
        assert list(problem.errors) == ["amount"]
        assert reason in problem.errors["amount"][0]
    assert take(full, MAX_UNITS).account.available_units == 0


def test_a_debit_of_nothing_moves_nothing_whatever_the_policy() -> None:
    policies: tuple[OverdraftPolicy, ...] = ("allow", "limit", "reject")
    for policy in policies:
        one = account(policy=policy, overdraft=7)
        assert take(one, 0) == Movement(one)


@pytest.mark.parametrize(
    ("offset", "available"),
    [
        (-timedelta(microseconds=1), 0),
        (timedelta(0), 100),
        (DAY - timedelta(microseconds=1), 100),
        (DAY, 0),
        (2 * DAY, 0),
    ],
)
def test_a_grant_counts_from_its_beginning_until_before_its_expiry(
    offset: timedelta, available: int
) -> None:
    one = grant(100, effective_at=T0, expires_at=T0 + DAY)
    start = credit(open_account(USD), one, GIFT, "adj_1", T0 - DAY).account
    assert start.available_units == 0
    assert advance(start, T0 + offset).account.available_units == available


def test_what_is_left_at_expiry_breaks_at_that_instant_however_late_somebody_looks() -> None:
    one = account(grant(100, expires_at=T0 + DAY))
    left = take(one, 30).account
    moved = advance(left, T0 + 9 * DAY)
    assert moved.transfers == (Transfer("USD", "grt_one", BREAKAGE, 70, "grt_one", T0 + DAY),)
    assert [g.remaining_units for g in moved.grants] == [0]
    assert moved.account.available_units == 0
    assert moved.account.next_change_at is None


def test_what_expires_exactly_at_the_reset_is_gone_and_what_begins_then_counts() -> None:
    reset = T0 + 30 * DAY
    march = grant(100, "grt_march", "bundled", expires_at=reset)
    april = grant(40, "grt_april", "bundled", effective_at=reset, expires_at=reset + 30 * DAY)
    one = take(account(march, april), 10).account
    assert advance(one, reset - timedelta(microseconds=1)).account.available_units == 90
    moved = advance(one, reset)
    assert moved.account.available_units == 40
    assert [g.id for g in moved.account.grants] == ["grt_april"]
    assert moves(moved.transfers) == [("grt_march", BREAKAGE, 90)]


def test_a_used_up_grant_does_not_break() -> None:
    one = take(account(grant(100, expires_at=T0 + DAY)), 100).account
    moved = advance(one, T0 + 2 * DAY)
    assert moved.transfers == ()
    assert moved.account.available_units == 0


def test_a_grant_that_begins_repays_the_overdraft_first() -> None:
    one = take(account(grant(100, "grt_next", effective_at=T0 + DAY)), 30).account
    assert one.available_units == -30
    moved = advance(one, T0 + DAY)
    assert moved.transfers == (
        Transfer("USD", "grt_next", one.overdraft_account, 30, "grt_next", T0 + DAY),
    )
    assert (moved.account.available_units, moved.account.overdraft_units) == (70, 0)


def test_a_grant_smaller_than_the_overdraft_is_used_up_by_it() -> None:
    one = take(open_account(USD), 30).account
    moved = credit(one, grant(20), GIFT, "adj_1", T0)
    assert moves(moved.transfers) == [
        (GIFT, "grt_one", 20),
        ("grt_one", "overdraft:default:USD", 20),
    ]
    assert moved.account.grants == ()
    assert (moved.account.available_units, moved.account.overdraft_units) == (-10, 10)
    assert [(g.amount_units, g.remaining_units) for g in moved.grants] == [(20, 0)]


def test_a_backdated_credit_repays_the_overdraft_when_it_arrives_not_before() -> None:
    one = take(open_account(USD), 30, T0).account
    later = T0 + MINUTE
    moved = credit(one, grant(20, effective_at=T0 - DAY, created_at=later), GIFT, "adj_1", later)
    assert [t.at for t in moved.transfers] == [later, later]


@pytest.mark.parametrize(
    ("policy", "limit", "units", "available"),
    [
        ("allow", 0, 1_000, -900),
        ("limit", 50, 100, 0),
        ("limit", 50, 150, -50),
        ("reject", 0, 100, 0),
        ("limit", 0, 100, 0),
    ],
)
def test_an_account_may_be_used_as_far_as_its_policy_allows(
    policy: OverdraftPolicy, limit: int, units: int, available: int
) -> None:
    one = account(grant(100), policy=policy, limit=limit)
    assert take(one, units).account.available_units == available


@pytest.mark.parametrize(
    ("policy", "limit", "units", "missing"),
    [
        ("limit", 50, 151, "0.000000001"),
        ("limit", 0, 101, "0.000000001"),
        ("reject", 0, 101, "0.000000001"),
        ("reject", 50, 101, "0.000000001"),
        ("reject", 0, 10**9, "0.9999999"),
    ],
)
def test_a_debit_beyond_the_policy_is_refused_with_what_is_missing(
    policy: OverdraftPolicy, limit: int, units: int, missing: str
) -> None:
    problem = refusal(account(grant(100), policy=policy, limit=limit), units)
    assert problem.kind is INSUFFICIENT_FUNDS
    assert problem.kind.status == 402
    assert f"top up at least {missing} USD" in problem.detail
    assert "default:USD has 0.0000001" in problem.detail


def test_a_limit_counts_the_overdraft_that_is_there_already() -> None:
    one = account(policy="limit", limit=50, overdraft=40)
    assert take(one, 10).account.overdraft_units == 50
    assert refusal(one, 11).kind is INSUFFICIENT_FUNDS


def test_an_account_deep_below_a_lowered_limit_may_still_spend_its_grants() -> None:
    one = account(policy="reject", overdraft=40)
    funded = credit(one, grant(100), GIFT, "adj_1", T0).account
    assert funded.available_units == 60
    assert take(funded, 60).account.available_units == 0


def test_no_account_goes_beyond_what_the_ledger_can_hold() -> None:
    deepest = take(open_account(USD), MAX_UNITS).account
    assert refusal(deepest, 1).kind is INVALID
    full = account(grant(MAX_UNITS - 10, "grt_a"), grant(10, "grt_b", effective_at=T0 + DAY))
    assert check_credit(full, 1) is not None
    assert check_credit(take(full, 1).account, 1) is None


def test_advancing_to_before_the_next_change_changes_nothing() -> None:
    one = account(grant(100, expires_at=T0 + DAY))
    assert advance(one, T0 + DAY - MINUTE) == Movement(one)


def test_grants_that_begin_together_repay_in_the_order_of_their_ids() -> None:
    pair = [grant(20, name, effective_at=T0 + DAY) for name in ("grt_b", "grt_a")]
    one = take(account(*pair), 30).account
    assert moves(advance(one, T0 + DAY).transfers) == [
        ("grt_a", one.overdraft_account, 20),
        ("grt_b", one.overdraft_account, 10),
    ]


Credit = tuple[int, int, int | None, str, int]
Step = tuple[int, Credit | int]

credits_ = st.tuples(
    st.integers(1, 100),
    st.integers(-3, 8),
    st.none() | st.integers(1, 12),
    st.sampled_from(PURPOSES),
    st.integers(1, 3),
)
steps = st.lists(
    st.tuples(st.integers(0, 5), credits_ | st.integers(0, 120)), min_size=1, max_size=25
)


class History:
    """An account on which random commands were run, with everything that a store would keep."""

    def __init__(self, policy: OverdraftPolicy = "allow", limit: int = 0) -> None:
        self.account = replace(
            open_account(USD), overdraft_policy=policy, overdraft_limit_units=limit
        )
        self.now = T0
        self.grants: dict[str, Grant] = {}
        self.transfers: list[Transfer] = []
        self.made = 0

    def keep(self, moved: Movement) -> None:
        self.account = moved.account
        self.transfers += moved.transfers
        self.grants |= {g.id: g for g in moved.grants}

    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE
        self.keep(advance(self.account, self.now))

    def run(self, step: Step) -> None:
        minutes, command = step
        self.wait(minutes)
        if isinstance(command, int):
            moved = debit(self.account, command, REVENUE, "fee_1", self.now, 9)
            if isinstance(moved, Movement):
                self.keep(moved)
            return
        units, delay, life, purpose, priority = command
        begins = self.now + delay * MINUTE
        expires = None if life is None else max(begins, self.now) + life * MINUTE
        self.made += 1
        one = grant(
            units, f"grt_{self.made:03d}", purpose, priority, begins, expires, created_at=self.now
        )
        self.keep(credit(self.account, one, GIFT, f"adj_{self.made}", self.now))

    def check(self) -> None:
        """What must hold after every command."""
        now, one = self.now, self.account
        in_force = [
            g
            for g in self.grants.values()
            if g.effective_at <= now and (g.expires_at is None or now < g.expires_at)
        ]
        held = sum(g.remaining_units for g in in_force)
        assert one.available_units == held - one.overdraft_units
        assert list(one.grants) == sorted(
            (g for g in in_force if g.remaining_units), key=order_of_use
        )
        assert one.overdraft_units >= 0
        assert not (one.overdraft_units and one.grants)
        assert all(t.units > 0 for t in self.transfers)
        assert all(0 <= g.remaining_units <= g.amount_units for g in self.grants.values())
        books = ledger(self.transfers)
        assert sum(books.values()) == 0
        assert books["USD", one.overdraft_account] == -one.overdraft_units
        for g in self.grants.values():
            assert books["USD", g.id] == g.remaining_units

    def restored(self) -> Account:
        """Rebuild the account from what the store has of it."""
        stored = [g for g in self.grants.values() if g.remaining_units]
        one = self.account
        return restore_account(
            USD, stored, one.overdraft_units, one.overdraft_policy, one.overdraft_limit_units
        )


policies = st.sampled_from([("allow", 0), ("limit", 50), ("reject", 0)])


@properties
@given(steps, policies)
def test_the_books_close_and_the_balance_is_grants_less_overdraft_at_every_instant(
    commands: list[Step], policy: tuple[OverdraftPolicy, int]
) -> None:
    history = History(*policy)
    for step in commands:
        history.run(step)
        history.check()
        if policy[0] != "allow":
            assert history.account.overdraft_units <= policy[1]
    for _ in range(25):
        history.wait(1)
        history.check()


@properties
@given(steps)
def test_many_small_steps_in_time_are_one_large_step(commands: list[Step]) -> None:
    history = History()
    for step in commands:
        history.run(step)
    end = history.now + 30 * MINUTE
    once = advance(history.account, end)
    walked = history.account
    transfers: list[Transfer] = []
    grants: dict[str, Grant] = {}
    for minute in range(1, 31):
        moved = advance(walked, history.now + minute * MINUTE)
        walked = moved.account
        transfers += moved.transfers
        grants |= {g.id: g for g in moved.grants}
    assert tuple(transfers) == once.transfers
    assert walked == once.account
    assert grants == {g.id: g for g in once.grants}
    assert all(a.at <= b.at for a, b in pairwise(once.transfers))


@properties
@given(steps, policies, st.integers(0, 200))
def test_a_restored_account_is_the_live_one(
    commands: list[Step], policy: tuple[OverdraftPolicy, int], units: int
) -> None:
    history = History(*policy)
    for step in commands:
        history.run(step)
    again = advance(history.restored(), history.now)
    assert again.transfers == ()
    # `next_change_at` of the live one may be that of a grant which is used up by now.
    assert replace(again.account, next_change_at=None) == replace(
        history.account, next_change_at=None
    )
    live = debit(history.account, units, REVENUE, "fee_2", history.now, 9)
    other = debit(again.account, units, REVENUE, "fee_2", history.now, 9)
    if isinstance(live, Problem) or isinstance(other, Problem):
        assert live == other
    else:
        assert live.transfers == other.transfers
        end = history.now + 30 * MINUTE
        assert advance(live.account, end).transfers == advance(other.account, end).transfers
        assert advance(live.account, end).account.available_units == (
            advance(other.account, end).account.available_units
        )


@properties
@given(steps, st.integers(1, 60))
def test_an_account_restored_late_catches_up_as_the_live_one_does(
    commands: list[Step], minutes: int
) -> None:
    history = History()
    for step in commands:
        history.run(step)
    later = history.now + minutes * MINUTE
    live, again = advance(history.account, later), advance(history.restored(), later)
    assert again.transfers == live.transfers
    assert replace(again.account, next_change_at=None) == replace(live.account, next_change_at=None)


def test_a_grant_stored_unexpired_breaks_when_the_account_is_restored_after_its_expiry() -> None:
    stored = restore_account(USD, [grant(100, expires_at=T0 + DAY)], 0, "allow", 0)
    moved = advance(stored, T0 + 2 * DAY)
    assert moved.transfers == (Transfer("USD", "grt_one", BREAKAGE, 100, "grt_one", T0 + DAY),)
    assert moved.account.available_units == 0
