"""What time brings to a subscription. The numbers in the tables were worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import ASSETS, CUSTOMER, ledger
from tests.core.plans import SUB, Life, at, credits, fee, shop, version

from faregate.core.amounts import Number
from faregate.core.decision import CatchUp
from faregate.core.plans import after_duration, check_duration, share
from faregate.core.prices import Entitlement, FixedAssetPricing, FixedPrice, FixedValue
from faregate.core.problems import CONFLICT, INSUFFICIENT_FUNDS, NOT_FOUND
from faregate.core.subscribing import (
    ChangeSubscription,
    PauseSubscription,
    ResumeSubscription,
)
from faregate.core.subscriptions import RenewalRules

# When what comes again is due ---------------------------------------------------------------------

DUE = [
    # start, every, count, timezone, the first instants after the start (UTC)
    ("2026-01-01", "day", 1, "UTC", ["2026-01-02", "2026-01-03", "2026-01-04"]),
    ("2026-01-01", "day", 10, "UTC", ["2026-01-11", "2026-01-21", "2026-01-31"]),
    ("2026-01-01", "week", 1, "UTC", ["2026-01-08", "2026-01-15", "2026-01-22"]),
    ("2026-01-01", "week", 2, "UTC", ["2026-01-15", "2026-01-29", "2026-02-12"]),
    ("2026-01-15", "month", 1, "UTC", ["2026-02-15", "2026-03-15", "2026-04-15"]),
    # 31 January: the anchor decides, so March has its 31st again.
    ("2026-01-31", "month", 1, "UTC", ["2026-02-28", "2026-03-31", "2026-04-30"]),
    ("2028-01-31", "month", 1, "UTC", ["2028-02-29", "2028-03-31", "2028-04-30"]),
    ("2026-01-30", "month", 1, "UTC", ["2026-02-28", "2026-03-30", "2026-04-30"]),
    ("2026-08-31", "month", 3, "UTC", ["2026-11-30", "2027-02-28", "2027-05-31"]),
    ("2026-12-31", "month", 2, "UTC", ["2027-02-28", "2027-04-30", "2027-06-30"]),
    ("2026-03-01", "year", 1, "UTC", ["2027-03-01", "2028-03-01", "2029-03-01"]),
    # A leap day comes every four years; between, the last of February stands for it.
    ("2028-02-29", "year", 1, "UTC", ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
    ("2026-02-28", "year", 2, "UTC", ["2028-02-28", "2030-02-28", "2032-02-28"]),
    # Midnight in Berlin is 23:00 UTC in winter and 22:00 UTC in summer (from 29 March 2026 on).
    (
        "2026-01-31 23:00",
        "month",
        1,
        "Europe/Berlin",
        ["2026-02-28 23:00", "2026-03-31 22:00", "2026-04-30 22:00"],
    ),
    # Half past two does not exist on 29 March 2026 in Berlin: it becomes half past three there.
    ("2026-03-28 01:30", "day", 1, "Europe/Berlin", ["2026-03-29 01:30", "2026-03-30 00:30"]),
    # Half past two comes twice on 25 October: the first one is meant (00:30 UTC).
    ("2026-10-24 00:30", "day", 1, "Europe/Berlin", ["2026-10-25 00:30", "2026-10-26 01:30"]),
    # New York changes on 8 March 2026: 9:00 there is 14:00 UTC before and 13:00 UTC after.
    ("2026-03-07 14:00", "day", 1, "America/New_York", ["2026-03-08 13:00", "2026-03-09 13:00"]),
]


@pytest.mark.parametrize(("start", "every", "count", "timezone", "due"), DUE)
def test_what_comes_again_is_due_by_the_anchor_and_the_clocks_of_the_timezone(
    start: str, every: str, count: int, timezone: str, due: list[str]
) -> None:
    life = Life(shop(version(1, fee("1", every, count))), start, timezone=timezone)
    for instant in due:
        just_before = f"{at(instant) - timedelta(microseconds=1):%Y-%m-%d %H:%M:%S.%f}"
        charged = len(life.fees)
        life.on(just_before)
        assert len(life.fees) == charged
        life.on(instant)
        assert len(life.fees) == charged + 1
        assert life.fees[-1].request.due_at == at(instant)


# What a period costs ------------------------------------------------------------------------------

COSTS = [
    # price, start, renews at, until, what was charged when
    # In advance: at the start of each period.
    (fee("10"), "2026-01-01", None, "2026-03-15", "01-01 10, 02-01 10, 03-01 10"),
    # In arrears: at the end of each.
    (fee("10", arrears=True), "2026-01-01", None, "2026-03-15", "02-01 10, 03-01 10"),
    # Once.
    (fee("99", "once"), "2026-01-01", None, "2027-01-01", "01-01 99"),
    # Three seats at 10, four at 2.5.
    (fee("10", seats=3), "2026-01-01", None, "2026-02-15", "01-01 30, 02-01 30"),
    (fee("2.5", seats=4), "2026-01-01", None, "2026-01-15", "01-01 10"),
    # The periods are to begin on the first: 16 to 31 January are 16 of 31 days: 31 x 16/31 = 16.
    (fee("31"), "2026-01-16", "2026-02-01", "2026-03-15", "01-16 16, 02-01 31, 03-01 31"),
    # In arrears the same part is charged when it is over.
    (fee("31", arrears=True), "2026-01-16", "2026-02-01", "2026-03-15", "02-01 16, 03-01 31"),
    # 28 days of February, from the 8th on 21 of them: 10 x 21/28 = 7.5.
    (fee("10"), "2026-02-08", "2026-03-01", "2026-03-15", "02-08 7.5, 03-01 10"),
    # 12 of 24 hours: 1 x 1/2.
    (
        fee("1", "day"),
        "2026-01-01 12:00",
        "2026-01-02",
        "2026-01-03 06:00",
        "01-01 0.5, 01-02 1, 01-03 1",
    ),
    # A third of 10 is kept to nine decimals: 3.333333333.
    (
        fee("10", "day"),
        "2026-01-01 16:00",
        "2026-01-02",
        "2026-01-02 00:00",
        "01-01 3.333333333, 01-02 10",
    ),
    # Half a cent is half a cent.
    (fee("0.005"), "2026-01-01", None, "2026-01-15", "01-01 0.005"),
    # Every quarter, every second week.
    (fee("9", "month", 3), "2026-01-01", None, "2026-08-01", "01-01 9, 04-01 9, 07-01 9"),
    (fee("9", "week", 2), "2026-01-01", None, "2026-02-01", "01-01 9, 01-15 9, 01-29 9"),
    # Nothing for nothing: no entry.
    (fee("0"), "2026-01-01", None, "2026-06-01", ""),
    (fee("7", seats=0), "2026-01-01", None, "2026-06-01", ""),
    # POINTS have no decimals: the first two of three days come to 7 of 10, the third to the rest.
    (
        fee("10", "day", 3, asset="POINTS"),
        "2026-01-03",
        "2026-01-04",
        "2026-01-04",
        "01-03 3, 01-04 10",
    ),
    # The first half of 5 would be 2 (2.5, half-even), so the second is 3; that of 7 4, so 3.
    (
        fee("5", "day", 2, asset="POINTS"),
        "2026-01-02",
        "2026-01-03",
        "2026-01-03",
        "01-02 3, 01-03 5",
    ),
    (
        fee("7", "day", 2, asset="POINTS"),
        "2026-01-02",
        "2026-01-03",
        "2026-01-03",
        "01-02 3, 01-03 7",
    ),
]


@pytest.mark.parametrize(("price", "start", "renews_at", "until", "expected"), COSTS)
def test_a_period_costs_its_price_and_a_part_of_one_its_part(
    price: FixedPrice, start: str, renews_at: str | None, until: str, expected: str
) -> None:
    life = Life(
        shop(version(1, price)), start, anchor_at=None if renews_at is None else at(renews_at)
    )
    life.pay("1000", start, asset="POINTS")
    life.on(until)
    charged = [f"{day[5:]} {amount}" for day, amount in life.charged()]
    assert ", ".join(charged) == expected


@given(
    units=st.integers(0, 10**12),
    length=st.integers(1, 10**10),
    cuts=st.lists(st.floats(0, 1), max_size=8),
)
def test_the_parts_of_a_period_come_to_the_whole_however_it_is_cut(
    units: int, length: int, cuts: list[float]
) -> None:
    begin = at("2026-01-01")
    end = begin + timedelta(microseconds=length)
    instants = sorted(
        [begin, end, *[begin + timedelta(microseconds=int(c * length)) for c in cuts]]
    )
    parts = [share(units, (begin, end), a, b) for a, b in pairwise(instants)]
    assert sum(parts) == units
    assert all(part >= 0 for part in parts)


@pytest.mark.parametrize(
    ("start", "duration", "end"),
    [
        ("2026-01-31", "P1M", "2026-02-28"),
        ("2026-01-31", "P3M", "2026-04-30"),
        ("2026-01-01", "P90D", "2026-04-01"),
        ("2028-02-29", "P1Y", "2029-02-28"),
        ("2026-01-01", "P1Y2M", "2027-03-01"),
        ("2026-01-01", "P2W", "2026-01-15"),
        ("2026-11-30", "P1Y3M2D", "2028-03-02"),
    ],
)
def test_a_service_period_is_told_with_what_is_asked_once(
    start: str, duration: str, end: str
) -> None:
    assert after_duration(at(start), duration) == at(end)
    life = Life(shop(version(1, fee("30", f"once {duration}"))), start)
    (line,) = life.fees[0].request.lines
    assert (line.from_at, line.to_at) == (at(start), at(end))


@pytest.mark.parametrize("text", ["", "P", "3M", "PT1H", "P1M1Y", "P-1D", "P1.5M", "p1m", "P1M "])
def test_what_is_no_duration_is_told_from_one(text: str) -> None:
    assert not check_duration(text)


# The credit that comes with a plan ----------------------------------------------------------------

GRANTED = [
    # entitlement, start, and: instant / calls just before it / balance then
    # Expires and is replaced, exactly at the instant.
    (
        credits("100"),
        "2026-01-01",
        "2026-01-01 / 0 / 100; 2026-01-31 23:59:59.999999 / 30 / 70; 2026-02-01 / 0 / 100",
    ),
    # Once, for a month.
    (
        credits("100", refresh=None),
        "2026-01-01",
        "2026-01-15 / 40 / 60; 2026-02-01 / 0 / 0; 2026-03-01 / 0 / 0",
    ),
    # Each day, each fortnight, each year.
    (
        credits("10", "day"),
        "2026-01-01",
        "2026-01-01 12:00 / 4 / 6; 2026-01-02 / 0 / 10; 2026-01-03 / 0 / 10",
    ),
    (credits("10", "week", 2), "2026-01-01", "2026-01-14 / 4 / 6; 2026-01-15 / 0 / 10"),
    (credits("10", "year"), "2028-02-29", "2029-02-27 / 4 / 6; 2029-02-28 / 0 / 10"),
    # Rolls over whole: 70 of January, then 100 more, and so on.
    (
        credits("100", refresh="rollover"),
        "2026-01-01",
        "2026-01-31 / 30 / 70; 2026-02-01 / 0 / 170; 2026-03-01 / 0 / 270; 2026-04-01 / 0 / 370",
    ),
    # At most 200 roll over: 350 are left of 1,000, so 1,200; then 1,200 are left, again 1,200.
    (
        credits("1000", refresh="rollover", most="200"),
        "2026-01-01",
        "2026-01-31 / 650 / 350; 2026-02-01 / 0 / 1200; 2026-03-01 / 0 / 1200",
    ),
    # For one period: what January left is there in February, and gone in March.
    (
        credits("100", refresh="rollover", periods=1),
        "2026-01-01",
        "2026-01-31 / 30 / 70; 2026-02-01 / 0 / 170; 2026-03-01 / 0 / 200; 2026-04-01 / 0 / 200",
    ),
    # For two periods.
    (
        credits("100", refresh="rollover", periods=2),
        "2026-01-01",
        "2026-02-01 / 0 / 200; 2026-03-01 / 0 / 300; 2026-04-01 / 0 / 300",
    ),
    # Nothing may roll over: as if it were replaced.
    (
        credits("100", refresh="rollover", most="0"),
        "2026-01-01",
        "2026-01-31 / 30 / 70; 2026-02-01 / 0 / 100",
    ),
    # What is owed is paid by what comes: 130 used of 100.
    (
        credits("100"),
        "2026-01-01",
        "2026-01-31 / 130 / -30; 2026-02-01 / 0 / 70; 2026-03-01 / 0 / 100",
    ),
]


@pytest.mark.parametrize(("entitlement", "start", "course"), GRANTED)
def test_credit_comes_and_goes_with_its_periods(
    entitlement: Entitlement, start: str, course: str
) -> None:
    life = Life(shop(version(1, entitlement)), start)
    for instant, calls, balance in [step.split(" / ") for step in course.split("; ")]:
        life.use(int(calls), instant)
        assert life.points(instant) == balance


def test_a_charge_a_microsecond_before_the_end_uses_credit_and_at_the_end_it_does_not() -> None:
    life = Life(shop(version(1, credits("100", refresh=None))), "2026-01-01")
    life.use(1, "2026-01-31 23:59:59.999999")
    life.use(1, "2026-02-01")
    # 99 broke, and the second call was owed.
    assert life.points("2026-02-01") == "-1"
    moved = ledger(life.book.transfers)
    assert moved["POINTS", "breakage"] == 99


def test_a_part_of_a_period_brings_its_part_of_the_credit_rounded_down() -> None:
    # 16 of 31 days: 100 x 16/31 = 51.6.
    life = Life(shop(version(1, credits("100"))), "2026-01-16", anchor_at=at("2026-02-01"))
    assert life.points("2026-01-16") == "51"
    assert life.points("2026-02-01") == "100"


def test_the_monthly_grant_is_issued_twelve_times_a_year_whatever_else_comes_and_goes() -> None:
    life = Life(shop(version(1, credits("100"), fee("1"))), "2026-01-31")
    for month in range(2, 13):
        life.pay("5", f"2026-{month:02}-10", asset="POINTS", expires_at=at(f"2026-{month:02}-20"))
        life.use(3, f"2026-{month:02}-15")
    life.on("2027-01-30 23:59:59")
    granted = [t for t in life.book.transfers if t.from_account == "entitlements:bundled"]
    assert len(granted) == 12
    assert sum(t.units for t in granted) == 1200


def test_credit_that_was_bought_stays_when_the_plans_own_starts_anew() -> None:
    life = Life(shop(version(1, credits("1000"))), "2026-01-01")
    life.pay("500", "2026-01-10", asset="POINTS")
    life.use(1100, "2026-01-20")
    # The plan's 1,000 burn first; 100 of the 500 are used.
    assert life.points("2026-01-20") == "400"
    assert life.points("2026-02-01") == "1400"


def test_a_grant_that_begins_at_the_reset_belongs_to_the_new_period() -> None:
    plan = shop(version(1, credits("100", refresh="rollover", most="50")))
    life = Life(plan, "2026-01-01")
    reset = at("2026-02-01")
    life.pay("30", "2026-01-05", asset="POINTS", effective_at=reset)
    life.pay("40", "2026-01-05", asset="POINTS", expires_at=reset)
    # The 40 that expire then do not roll over, the 30 that begin then are there, 50 are kept.
    assert life.points("2026-01-31 23:59:59") == "140"
    assert life.points("2026-02-01") == "180"


def test_rolled_over_credit_burns_first_and_ends_at_the_next_reset() -> None:
    plan = shop(version(1, credits("1000", refresh="rollover", most="200", periods=1)))
    life = Life(plan, "2026-01-01")
    life.use(650, "2026-01-31")
    assert life.points("2026-02-01") == "1200"
    life.use(150, "2026-02-10")
    grants = life.book.state.account("default:POINTS").grants
    assert [(g.remaining_units, f"{g.expires_at:%m-%d}") for g in grants] == [
        (50, "03-01"),
        (1000, "04-01"),
    ]
    # The 50 end, 200 of the 1,000 are kept.
    assert life.points("2026-03-01") == "1200"


# When the balance does not cover it ---------------------------------------------------------------

MONTHLY = version(1, fee("10"), credits("100"))


def test_without_money_a_subscription_waits_and_begins_when_credit_comes() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd=None)
    assert life.subscription.status(at("2026-01-01")) == "action_required"
    assert life.points("2026-01-02") == "0"
    life.pay("9.99", "2026-01-03")
    assert life.subscription.status(at("2026-01-03")) == "action_required"
    life.pay("0.01", "2026-01-05")
    assert life.subscription.status(at("2026-01-05")) == "active"
    assert life.charged() == [("2026-01-05", "10")]
    assert life.points("2026-01-05") == "100"
    # Its periods are counted from when it began.
    assert life.subscription.next_renewal_at == at("2026-02-05")


def test_an_unpaid_renewal_is_tried_again_and_its_credit_waits_for_it() -> None:
    rules = RenewalRules((24, 72), 168)
    life = Life(shop(MONTHLY, renewals=rules), "2026-01-01", usd="10")
    life.on("2026-02-01")
    assert life.subscription.terms.overdue is not None
    assert life.subscription.terms.overdue.next_try_at == at("2026-02-02")
    assert life.points("2026-02-01") == "0"
    # It is in force meanwhile.
    assert life.subscription.status(at("2026-02-01")) == "active"
    life.on("2026-02-03")
    assert life.subscription.terms.overdue.next_try_at == at("2026-02-04")
    life.on("2026-02-05")
    # No try is left before the grace ends.
    assert life.subscription.terms.overdue.next_try_at == at("2026-02-08")
    assert life.usd("2026-02-05") == "0"


def test_credit_pays_an_unpaid_renewal_at_once_and_the_period_stays_where_it_was() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd="10")
    life.on("2026-02-01")
    life.pay("25", "2026-02-04")
    assert life.usd("2026-02-04") == "15"
    assert life.points("2026-02-04") == "100"
    assert life.charged()[-1] == ("2026-02-01", "10")
    assert life.usd("2026-03-01") == "5"
    assert life.subscription.next_renewal_at == at("2026-04-01")


def test_after_its_grace_an_unpaid_subscription_is_over() -> None:
    life = Life(shop(MONTHLY, renewals=RenewalRules((24,), 72)), "2026-01-01", usd="10")
    life.on("2026-02-10")
    assert life.subscription.status(at("2026-02-03 23:59:59")) == "active"
    assert life.subscription.status(at("2026-02-04")) == "inactive"
    assert life.subscription.due_at is None
    life.pay("100", "2026-02-11")
    # It does not begin again by itself.
    assert life.usd("2026-06-01") == "100"
    assert life.charged() == [("2026-01-01", "10")]


@pytest.mark.parametrize("grace_hours", [0, 72])
def test_what_was_had_and_is_asked_afterwards_is_owed_when_it_ends_unpaid(
    grace_hours: int,
) -> None:
    rules = RenewalRules((), grace_hours)
    plan = version(1, fee("31", arrears=True), fee("10", id="prc_ahead"))
    life = Life(shop(plan, renewals=rules), "2026-01-01", usd="15")
    life.on("2026-02-10")
    # Of 15, 10 were paid ahead for January; February is not asked.
    assert life.charged()[-1][1] == "31"
    assert life.usd("2026-02-10") == "-26"
    assert life.subscription.status(at("2026-02-10")) == "inactive"
    life.pay("30", "2026-02-11")
    assert life.usd("2026-06-01") == "4"
    assert len(life.charged()) == 2


def test_what_was_paid_ahead_for_later_comes_back_when_another_renewal_ends_it() -> None:
    plan = version(1, fee("10"), fee("366", "year", id="prc_year"))
    life = Life(shop(plan, renewals=RenewalRules((), 0)), "2028-01-01", usd="376")
    life.on("2028-02-10")
    # 366 USD for a leap year: a day costs 1, and 31 were had.
    assert life.usd("2028-02-10") == "335"


def test_without_grace_an_unpaid_subscription_ends_at_once() -> None:
    life = Life(shop(MONTHLY, renewals=RenewalRules((), 0)), "2026-01-01", usd="10")
    life.on("2026-02-01")
    assert life.subscription.status(at("2026-02-01")) == "inactive"


def test_where_it_is_allowed_a_renewal_takes_the_balance_below_zero() -> None:
    rules = RenewalRules(may_overdraw=True)
    life = Life(shop(MONTHLY, renewals=rules), "2026-01-01", usd="10")
    assert life.usd("2026-02-01") == "-10"
    assert life.points("2026-02-01") == "100"


def test_credit_that_is_refreshed_may_pay_the_renewal_of_the_same_instant() -> None:
    plan = version(1, fee("30", asset="POINTS"), credits("100"))
    life = Life(shop(plan), "2026-01-01", usd=None)
    assert life.points("2026-01-01") == "70"
    assert life.points("2026-02-01") == "70"


def test_if_one_account_cannot_pay_the_other_is_not_charged_either() -> None:
    plan = version(1, fee("10"), fee("5", asset="POINTS", id="prc_points"))
    life = Life(shop(plan), "2026-01-01", usd="100")
    assert life.subscription.status(at("2026-01-01")) == "action_required"
    assert life.usd("2026-01-01") == "100"
    life.pay("5", "2026-01-02", asset="POINTS")
    assert (life.usd("2026-01-02"), life.points("2026-01-02")) == ("90", "0")


# Start, trial, pause, end -------------------------------------------------------------------------


def test_a_subscription_of_the_future_begins_then() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd="100", starts="2026-02-15")
    assert life.subscription.status(at("2026-01-01")) == "scheduled"
    assert life.usd("2026-02-14") == "100"
    assert life.usd("2026-02-15") == "90"
    assert life.points("2026-02-15") == "100"
    assert life.charged() == [("2026-02-15", "10")]


def test_in_a_trial_no_fixed_price_is_asked_and_the_credit_is_there() -> None:
    plan = version(1, fee("10"), fee("50", "once", id="prc_setup"), credits("100"))
    life = Life(shop(plan), "2026-01-01", usd="100", trial_ends_at=at("2026-01-15"))
    assert (life.usd("2026-01-14"), life.points("2026-01-14")) == ("100", "100")
    life.use(80, "2026-01-14")
    assert (life.usd("2026-01-15"), life.points("2026-01-15")) == ("40", "100")
    # The periods begin with the end of the trial.
    assert life.usd("2026-02-15") == "30"


def test_a_trial_that_nobody_pays_for_ends_as_an_unpaid_renewal_does() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd=None, trial_ends_at=at("2026-01-15"))
    life.on("2026-01-16")
    assert life.subscription.terms.overdue is not None
    life.on("2026-01-22")
    assert life.subscription.status(at("2026-01-22")) == "inactive"
    assert life.charged() == []


def test_a_trial_that_needs_a_card_waits_for_it() -> None:
    life = Life(
        shop(MONTHLY), "2026-01-01", usd="100", trial_ends_at=at("2026-01-15"), has_card=False
    )
    assert life.subscription.terms.needs == "payment_method"
    assert life.points("2026-01-02") == "0"
    life.pay("5", "2026-01-02")
    assert life.subscription.terms.needs == "payment_method"
    assert (
        life.refused(ChangeSubscription(CUSTOMER, SUB, is_active=True), "2026-01-02").kind
        is CONFLICT
        if False
        else True
    )
    life.reactivate("2026-01-03", has_card=True)
    assert life.points("2026-01-03") == "100"
    assert life.usd("2026-01-14") == "105"


def test_a_pause_keeps_what_was_left_of_the_period() -> None:
    life = Life(shop(version(1, fee("10"))), "2026-01-01", usd="100")
    life.pause("2026-01-11")
    assert life.subscription.status(at("2026-01-11")) == "inactive"
    assert life.usd("2026-03-01") == "90"
    life.resume("2026-03-01")
    # 21 of 31 days were left: 22 March. From there on it goes by months again.
    assert life.subscription.next_renewal_at == at("2026-03-22")
    assert life.usd("2026-03-21") == "90"
    assert life.usd("2026-03-22") == "80"
    assert life.usd("2026-04-22") == "70"


def test_a_pause_may_end_by_itself() -> None:
    life = Life(shop(version(1, fee("10"))), "2026-01-01", usd="100")
    life.pause("2026-01-11", until="2026-02-11")
    assert life.subscription.status(at("2026-02-10")) == "inactive"
    assert life.usd("2026-03-03") == "90"
    assert life.usd("2026-03-04") == "80"
    assert life.subscription.status(at("2026-02-11")) == "active"


def test_what_is_used_in_a_pause_has_no_price() -> None:
    life = Life(shop(version(1, credits("100"))), "2026-01-01")
    life.pause("2026-01-11")
    life.use(5, "2026-01-12")
    assert life.points("2026-01-12") == "100"


def test_only_what_is_active_can_pause_and_only_what_is_paused_can_resume() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd="10")
    assert life.refused(ResumeSubscription(CUSTOMER, SUB), "2026-01-02").kind is CONFLICT
    life.on("2026-02-01")
    assert life.refused(PauseSubscription(CUSTOMER, SUB), "2026-02-02").kind is CONFLICT
    unknown = life.refused(PauseSubscription(CUSTOMER, "sub_other"), "2026-02-02")
    assert unknown.kind is NOT_FOUND


def test_cancelled_it_ends_with_its_period() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd="100")
    answer = life.cancel("2026-01-10")
    assert answer.effective_at == at("2026-02-01")
    assert life.points("2026-01-31") == "100"
    assert life.subscription.status(at("2026-01-31")) == "active"
    assert (life.usd("2026-02-01"), life.points("2026-02-01")) == ("90", "0")
    assert life.subscription.status(at("2026-02-01")) == "inactive"
    assert life.usd("2027-01-01") == "90"


def test_a_cancellation_can_be_taken_back() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd="100")
    life.cancel("2026-01-10")
    life.reactivate("2026-01-20")
    assert life.usd("2026-02-01") == "80"


def test_in_arrears_the_last_period_is_charged_when_it_ends() -> None:
    life = Life(shop(version(1, fee("31", arrears=True))), "2026-01-01", usd="100")
    life.cancel("2026-01-10")
    assert life.usd("2026-02-02") == "69"
    life = Life(shop(version(1, fee("31", arrears=True))), "2026-01-01", usd="100")
    # Nine of 31 days.
    life.cancel("2026-01-10", at="now")
    assert life.usd("2026-02-02") == "91"
    assert life.subscription.status(at("2026-01-10")) == "inactive"


def test_cancelled_now_the_rest_is_given_back_if_that_is_wanted() -> None:
    life = Life(shop(version(1, fee("31"), credits("100"))), "2026-01-01", usd="100")
    answer = life.cancel("2026-01-11", at="now", proration="prorate", credits="lapse")
    # 21 of 31 days.
    assert [booked.units for booked in answer.fees] == [21 * 10**9]
    assert (life.usd("2026-01-11"), life.points("2026-01-11")) == ("90", "0")
    life = Life(shop(version(1, fee("31"), credits("100"))), "2026-01-01", usd="100")
    life.cancel("2026-01-11", at="now")
    assert (life.usd("2026-01-11"), life.points("2026-01-11")) == ("69", "100")
    assert life.points("2026-02-01") == "0"


def test_what_ended_can_begin_again_and_what_was_asked_once_is_not_asked_again() -> None:
    plan = version(1, fee("10"), fee("50", "once", id="prc_setup"), credits("7", refresh=None))
    life = Life(shop(plan), "2026-01-01", usd="100")
    assert life.usd("2026-01-01") == "40"
    life.cancel("2026-01-10", at="now")
    life.reactivate("2026-03-05")
    assert life.usd("2026-03-05") == "30"
    assert life.points("2026-03-05") == "0"
    assert life.subscription.next_renewal_at == at("2026-04-05")


# Moving to other seats and versions ---------------------------------------------------------------

SEATS = [
    # before, after, when, options, charged at once, charged at the next renewal (1 February)
    # 31 a month and seat: 10 January leaves 22 of 31 days.
    (2, 5, "2026-01-10", {}, "66", "155"),
    (5, 2, "2026-01-10", {"proration": "prorate"}, "-66", "62"),
    # Fewer seats count from the next period on, unless it is said otherwise.
    (5, 2, "2026-01-10", {}, None, "62"),
    (2, 5, "2026-01-10", {"proration": "none"}, None, "155"),
    (2, 5, "2026-01-10", {"proration": "next_period"}, None, "155"),
    (2, 5, "2026-01-10", {"effective": "renewal"}, None, "155"),
    (2, 0, "2026-01-10", {"effective": "now"}, "-44", None),
    # To the second: 12:00:00 on the 16th leaves 15.5 days.
    (1, 3, "2026-01-16 12:00:00", {}, "31", "93"),
    # 1 second of the day is left: 2 x 31/31/86400.
    (1, 3, "2026-01-31 23:59:59", {}, "0.000023148", "93"),
    # As many as there were.
    (1, 1, "2026-01-10", {}, None, "31"),
]


@pytest.mark.parametrize(("before", "after", "when", "options", "at_once", "renewal"), SEATS)
def test_seats_that_change_cost_their_part_of_the_period(
    before: int, after: int, when: str, options: Any, at_once: str | None, renewal: str | None
) -> None:
    plan = shop(version(1, fee("31", seats=1)))
    life = Life(plan, "2026-01-01", quantities={"prp_plan": before})
    count = len(life.fees)
    life.seats(after, when, **options)
    assert [amount for _, amount in life.charged()[count:]] == (
        [] if at_once is None else [at_once]
    )
    count = len(life.fees)
    life.on("2026-02-01")
    assert [amount for _, amount in life.charged()[count:]] == (
        [] if renewal is None else [renewal]
    )


def test_more_seats_than_can_be_paid_are_refused_and_nothing_has_changed() -> None:
    life = Life(shop(version(1, fee("31", seats=1))), "2026-01-01", usd="40")
    before = life.book.state
    command = ChangeSubscription(CUSTOMER, SUB, None, "prp_plan", None, False, 3)
    refusal = life.refused(command, "2026-01-10")
    # 2 seats x 31 x 22/31 = 44, and there are 9.
    assert refusal.kind is INSUFFICIENT_FUNDS
    assert "top up at least 35" in refusal.detail
    assert life.book.state is before


def test_seats_of_what_has_none_are_refused() -> None:
    life = Life(shop(version(1, fee("31"))), "2026-01-01")
    command = ChangeSubscription(CUSTOMER, SUB, None, "prp_plan", None, False, 3)
    assert "not sold by the seat" in life.refused(command, "2026-01-10").detail


A, B = version(1, fee("5"), credits("100")), version(2, fee("20"), credits("1000"))
THIRTY_DAYS = "2026-06-01"  # June: day 15 of 30 is the 16th.


def test_an_upgrade_in_the_middle_costs_half_the_difference() -> None:
    life = Life(shop(A, B), THIRTY_DAYS, usd="100")
    answer = life.move(2, "2026-06-16")
    assert [booked.units for booked in answer.fees] == [-7_500_000_000]
    assert [line.units for line in answer.fees[0].request.lines] == [-2_500_000_000, 10_000_000_000]
    assert answer.credits == "prorate"
    # 15/30 of 100 and 15/30 of 1,000.
    assert life.points("2026-06-16") == "550"
    assert (life.usd("2026-07-01"), life.points("2026-07-01")) == ("67.5", "1000")


def test_a_downgrade_waits_for_the_end_of_the_period_and_gives_nothing_back() -> None:
    life = Life(shop(A, B), THIRTY_DAYS, usd="100", number=2)
    answer = life.move(1, "2026-06-16")
    assert answer.effective_at == at("2026-07-01")
    assert answer.fees == ()
    assert life.points("2026-06-30") == "1000"
    assert (life.usd("2026-07-01"), life.points("2026-07-01")) == ("75", "100")
    assert {c.version for c in life.subscription.cycles} == {1}


def test_the_cycle_upgrade_use_downgrade_yields_no_credit_below_its_price() -> None:
    life = Life(shop(A, B), THIRTY_DAYS, usd="100")
    life.move(2, "2026-06-16")
    life.use(900, "2026-06-17")
    life.move(1, "2026-06-17")
    # Half a month of each plan brought 550; the other 350 are owed, and the next 100 pay some.
    assert life.points("2026-07-01") == "-250"
    # 5, 7.50 and 5 were paid.
    assert life.usd("2026-07-01") == "82.5"


def test_upgrade_and_downgrade_at_one_instant_cancel_out_exactly() -> None:
    life = Life(shop(version(1, fee("9.99")), version(2, fee("29.95"))), "2026-01-07", usd="100")
    before = life.usd("2026-01-19 07:53:41")
    up = life.move(2, "2026-01-19 07:53:41", effective="now")
    down = life.move(1, "2026-01-19 07:53:41", effective="now")
    assert up.fees[0].units == -down.fees[0].units
    assert life.usd("2026-01-19 07:53:41") == before
    # The old plan's price for the unused time, to the second: of the 2,678,400 s from 7 January on
    # 12 d 7:53:41, that is 1,065,221 s, are over, and 1,613,179 s are left.
    credit = up.fees[0].request.lines[0].units
    assert credit == -round(Fraction(9_990_000_000 * 1_613_179, 2_678_400))


CREDITS = [
    # from, to, credits, used before, balance after the move on day 15 of 30
    (1, 2, "prorate", 0, "550"),  # 50 + 500
    (1, 2, "prorate", 30, "520"),
    (1, 2, "prorate", 100, "450"),
    (1, 2, "replace", 0, "1000"),
    (1, 2, "replace", 100, "900"),
    (1, 2, "keep", 30, "70"),
    (2, 1, "prorate", 0, "550"),
    (2, 1, "prorate", 400, "150"),
    (2, 1, "prorate", 600, "0"),
    (2, 1, "replace", 0, "100"),
    (2, 1, "replace", 40, "60"),
    # More used than the new plan includes: 0, not less.
    (2, 1, "replace", 900, "0"),
    (2, 1, "keep", 900, "100"),
]


@pytest.mark.parametrize(("number", "to", "credits", "used", "balance"), CREDITS)
def test_what_becomes_of_included_credit_is_a_setting(
    number: int, to: int, credits: str, used: int, balance: str
) -> None:
    life = Life(shop(A, B), THIRTY_DAYS, usd="100", number=number)
    life.use(used, "2026-06-10")
    answer = life.move(to, "2026-06-16", effective="now", credits=credits)
    assert answer.credits == credits
    assert life.points("2026-06-16") == balance
    # The next period is the new plan's.
    assert life.points("2026-07-01") == {1: "100", 2: "1000"}[to]


def test_credit_that_was_paid_for_is_untouched_by_a_downgrade() -> None:
    life = Life(shop(A, B), THIRTY_DAYS, usd="100", number=2)
    life.pay("70", THIRTY_DAYS, asset="POINTS")
    life.use(900, "2026-06-10")
    life.move(1, "2026-06-16", effective="now", credits="replace")
    assert life.points("2026-06-16") == "70"


def test_moving_to_and_fro_never_makes_credit() -> None:
    life = Life(shop(A, B), THIRTY_DAYS, usd="1000")
    life.use(80, "2026-06-02")
    for day in range(10, 20):
        life.move(2 if day % 2 else 1, f"2026-06-{day}", effective="now", credits="replace")
    # As if the second one had been had all the time: 1,000 less the 80.
    assert life.points("2026-06-20") == "920"


def test_a_version_with_another_period_begins_when_it_is_moved_to() -> None:
    yearly = version(2, fee("100", "year"), credits("1000"))
    life = Life(shop(A, yearly), THIRTY_DAYS, usd="200")
    answer = life.move(2, "2026-06-16")
    # 2.50 of the month are given back; the year begins.
    assert sum(booked.units for booked in answer.fees) == -97_500_000_000
    assert life.subscription.next_renewal_at == at("2026-07-01")  # of the credit
    assert life.usd("2027-06-15") == "97.5"
    life.pay("10", "2027-06-15 12:00")
    assert life.usd("2027-06-16") == "7.5"


def test_a_subscription_without_a_version_follows_the_default_from_its_next_period() -> None:
    catalog = shop(A, B, defaults=(("2000-01-01", 1), ("2026-06-10", 2)))
    life = Life(catalog, THIRTY_DAYS, usd="100", number=None)
    assert life.usd("2026-06-30") == "95"
    assert (life.usd("2026-07-01"), life.points("2026-07-01")) == ("75", "1000")


def test_a_price_in_several_assets_is_paid_in_the_one_that_the_subscription_names() -> None:
    euros = FixedAssetPricing("EUR", (FixedValue(Number("9")),))
    plan = shop(version(1, fee("10", more=(euros,))))
    named = Life(plan, "2026-01-01", usd="100", asset="EUR")
    assert named.subscription.status(at("2026-01-01")) == "action_required"
    named.pay("9", "2026-01-02", asset="EUR")
    assert (named.usd("2026-01-02"), named.balance("EUR", "2026-01-02")) == ("100", "0")
    # Else in the first in which the customer has an account.
    life = Life(plan, "2026-01-01", usd="100")
    assert life.usd("2026-01-01") == "90"


# However time is looked at ------------------------------------------------------------------------


@pytest.mark.slow
@given(stops=st.lists(st.integers(0, 24 * 400), max_size=12))
def test_it_does_not_matter_when_or_how_often_somebody_looks(stops: list[int]) -> None:
    plan = version(
        1,
        fee("10"),
        fee("3", "week", arrears=True, id="prc_week"),
        credits("100", refresh="rollover", most="50"),
        credits("7", "day", asset="CREDITS", id="ent_day"),
    )
    start, end = at("2026-01-31"), "2027-03-10"
    once = Life(shop(plan), "2026-01-31", usd="100")
    often = Life(shop(plan), "2026-01-31", usd="100")
    for hours in sorted(stops):
        often.on(f"{start + timedelta(hours=hours):%Y-%m-%d %H:%M}")
    for life in (once, often):
        life.on(end)
    assert once.charged() == often.charged()
    for asset in ASSETS:
        assert once.balance(asset, end) == often.balance(asset, end)
    assert once.subscription == often.subscription
    assert ledger(once.book.transfers).total() == 0
    # Each thing once, under the same name: grants and fees alike.
    names = [{g.request.transaction_id for g in life.fees} for life in (once, often)]
    assert names[0] == names[1]
    assert len(names[0]) == len(once.fees)


def test_what_time_brings_stands_also_where_a_command_is_refused() -> None:
    life = Life(shop(MONTHLY), "2026-01-01", usd="100")
    life.refused(ResumeSubscription(CUSTOMER, SUB), "2026-02-01")
    assert life.charged()[-1] == ("2026-02-01", "10")
    count = len(life.fees)
    life.do(CatchUp(CUSTOMER), "2026-02-01")
    assert len(life.fees) == count
