"""Lives at random: whatever a customer does and whenever somebody looks, it comes to the same; the
books balance, everything has a name of its own, and each moment is paid once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.builders import ASSETS, CUSTOMER, ledger
from tests.core.hearing import assert_heard
from tests.core.plans import SUB, Life, at, commitment, coupon, credits, fee, shop, version
from tests.core.plans import given as discounted

from faregate.core.decision import CatchUp
from faregate.core.problems import Problem
from faregate.core.subscribing import (
    CancelSubscription,
    ChangeSubscription,
    PauseSubscription,
    ReactivateSubscription,
    ResumeSubscription,
)
from faregate.core.subscriptions import CatalogView

START = at("2024-01-31 23:30")
END = START + timedelta(days=200)
PLANS = shop(
    version(
        1,
        fee("31", seats=2),
        fee("7", "week", id="prc_week"),
        fee("50", "once", id="prc_once"),
        credits("100", refresh="rollover", most="150", periods=2),
        credits("9", "day", asset="CREDITS", id="ent_day"),
        commitment("5", "40"),
    ),
    version(
        2,
        fee("62.000000001", seats=2, id="prc_two"),
        fee("11", "week", arrears=True, id="prc_week2"),
        credits("333", id="ent_two"),
        credits("50", refresh=None, purpose="promotion", id="ent_gift"),
        commitment("7", id="cmt_two"),
    ),
    version(3, fee("400", "year", id="prc_year"), fee("3", asset="EUR", id="prc_eur")),
    version(4, fee("31", arrears=True, seats=1, id="prc_arrears"), credits("1", id="ent_four")),
    defaults=(("2000-01-01", 1), ("2024-03-20", 2)),
    coupons=(coupon("33.3333", periods=2), coupon(amount="5", periods=3, code="FIVE")),
)
COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        ChangeSubscription,
        st.just(CUSTOMER),
        st.just(SUB),
        st.none(),
        st.just("prp_plan"),
        st.sampled_from([None, 1, 2, 3, 4]),
        st.booleans(),
        st.sampled_from([None, None, 1, 2, 5]),
        st.sampled_from([None, "now", "renewal"]),
        st.sampled_from([None, "prorate", "none", "next_period"]),
        st.sampled_from([None, "keep", "prorate", "replace"]),
    ),
    st.just(PauseSubscription(CUSTOMER, SUB)),
    st.just(ResumeSubscription(CUSTOMER, SUB)),
    st.builds(
        CancelSubscription,
        st.just(CUSTOMER),
        st.just(SUB),
        st.sampled_from(["period_end", "now"]),
        st.sampled_from(["prorate", "none"]),
        st.sampled_from(["keep", "lapse"]),
    ),
    st.just(ReactivateSubscription(CUSTOMER, SUB)),
    st.sampled_from(["pay 20", "pay 500", "use 3", "spend 4", "spend 60"]),
)
STEPS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 13, 24, 24 * 7, 24 * 29, 24 * 31]), COMMANDS), max_size=12
)


def live(steps: list[tuple[int, Any]], looks: list[int], **terms: Any) -> Life:
    """Live through commands, each so many hours after the one before, with looks in between."""
    life = Life(PLANS, f"{START:%Y-%m-%d %H:%M}", usd="300", **terms)
    life.pay("50", f"{START:%Y-%m-%d %H:%M}", asset="EUR")
    had: set[str] = set()
    assert_heard(life.book, had)
    plan: list[tuple[datetime, Any]] = []
    now = START
    for hours, command in steps:
        now += timedelta(hours=hours)
        plan.append((now, command))
    plan += [(START + timedelta(hours=hours), None) for hours in looks]
    for when, command in sorted(plan, key=lambda one: one[0]):
        text = f"{when:%Y-%m-%d %H:%M}"
        if command is None:
            life.on(text)
        elif not isinstance(command, str):
            life.fees += life.book.decide(command, when).plan_fees
        elif command.startswith("pay"):
            life.pay(command[4:], text)
        elif command.startswith("use"):
            life.use(3, text)
        else:
            life.spend(command[6:], text)
        assert_sound(life)
        assert_heard(life.book, had)
    life.on(f"{END:%Y-%m-%d %H:%M}")
    assert_sound(life)
    assert_heard(life.book, had)
    return life


def assert_sound(life: Life) -> None:
    balances = ledger(life.book.transfers)
    assert balances.total() == 0
    for account in life.book.state.accounts.values():
        grants = [*account.grants, *account.scheduled]
        assert len({g.id for g in grants}) == len(grants)
        for one in grants:
            assert balances[account.asset, one.id] == one.remaining_units
    assert len({one.id for one in life.fees}) == len(life.fees)
    for one in life.fees:
        assert one.units == -sum(line.units for line in one.request.lines)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    STEPS,
    st.lists(st.integers(0, 200 * 24), max_size=8),
    st.sampled_from([None, 1, 2, 3, 4]),
    st.sampled_from([None, START + timedelta(days=14)]),
    st.sampled_from(["UTC", "America/New_York", "Pacific/Apia"]),
    st.booleans(),
)
def test_it_does_not_matter_who_looks_when(
    steps: list[tuple[int, Any]],
    looks: list[int],
    number: int | None,
    trial: datetime | None,
    timezone: str,
    has_coupons: bool,
) -> None:
    offers = tuple(PLANS.coupons.values()) if has_coupons else ()
    terms = {
        "number": number,
        "trial_ends_at": trial,
        "timezone": timezone,
        "discounts": discounted(*offers, since="2024-01-31 23:30"),
    }
    once, often = live(steps, [], **terms), live(steps, looks, **terms)
    assert once.subscription == often.subscription
    assert [(f.request.due_at, f.units) for f in once.fees] == [
        (f.request.due_at, f.units) for f in often.fees
    ]
    end = f"{END:%Y-%m-%d %H:%M}"
    for asset in ASSETS:
        assert once.balance(asset, end) == often.balance(asset, end)


def paid_times(life: Life) -> Counter[datetime]:
    """Return how often each hour was paid: what is given back counts below zero."""
    hours: Counter[datetime] = Counter()
    for one in life.fees:
        for line in one.request.lines:
            if line.from_at is None or line.to_at is None or not line.units:
                continue
            moment = line.from_at
            while moment < line.to_at:
                hours[moment] += 1 if line.units > 0 else -1
                moment += timedelta(hours=1)
    return hours


SIMPLE: CatalogView = shop(
    version(1, fee("31", seats=2)),
    version(2, fee("62", seats=2, id="prc_two")),
    version(3, fee("17", "week", id="prc_week")),
    version(4, fee("31", arrears=True, seats=1, id="prc_arrears")),
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 13, 24, 24 * 7, 24 * 29, 24 * 31]),
            st.one_of(
                st.sampled_from([1, 2, 3, 4]),
                st.sampled_from(["cancel", "reactivate", "seats 1", "seats 4", "pay 1000"]),
            ),
            st.sampled_from([None, "now", "renewal"]),
        ),
        max_size=9,
    ),
    st.sampled_from(["40", "100000"]),
    st.sampled_from([1, 2, 3, 4]),
)
def test_each_moment_of_a_life_is_paid_once(
    steps: list[tuple[int, Any, Any]], usd: str, number: int
) -> None:
    start = "2024-01-31"
    life = Life(SIMPLE, start, usd=usd, number=number)
    now = at(start)
    for hours, what, effective in steps:
        now += timedelta(hours=hours)
        text = f"{now:%Y-%m-%d %H:%M}"
        command: Any = None
        if what == "pay 1000":
            life.pay("1000", text)
        elif what == "cancel":
            command = CancelSubscription(CUSTOMER, SUB)
        elif what == "reactivate":
            command = ReactivateSubscription(CUSTOMER, SUB)
        elif isinstance(what, str):
            command = ChangeSubscription(
                CUSTOMER, SUB, None, "prp_plan", None, False, int(what[6:]), effective
            )
        else:
            command = ChangeSubscription(CUSTOMER, SUB, None, "prp_plan", what, effective=effective)
        if command is not None:
            life.fees += life.book.decide(command, now).plan_fees
    end = now + timedelta(days=60)
    life.fees += life.book.decide(CatchUp(CUSTOMER), end).plan_fees
    overdue = life.subscription.terms.overdue
    paid = paid_times(life)
    assert set(paid.values()) <= {0, 1}
    # In arrears the period under way is not paid yet; an unpaid one is not, either.
    until = min([c.from_at for c in life.subscription.cycles if c.from_at] or [end])
    if overdue is not None:
        until = min(until, overdue.since_at)
    for stretch in life.subscription.stretches:
        moment = stretch.from_at
        while moment < min(stretch.to_at or end, until):
            is_paid = paid[moment] == 1
            assert is_paid or _was_given_up(life, moment), (moment, life.charged())
            moment += timedelta(hours=1)


def _was_given_up(life: Life, moment: datetime) -> bool:
    """Tell whether it lies in the grace of a renewal that was never paid."""
    unpaid = timedelta(days=7)
    ends: list[Any] = [
        notice.data for notice in life.book.notices if notice.topic == "subscription.deactivated"
    ]
    return any(end.detail and end.at - unpaid <= moment < end.at for end in ends)


def test_a_refusal_is_a_problem_and_no_fault() -> None:
    life = live([(0, CancelSubscription(CUSTOMER, SUB, "now"))], [])
    answer = life.book.decide(PauseSubscription(CUSTOMER, SUB), END).answer
    assert isinstance(answer, Problem)
