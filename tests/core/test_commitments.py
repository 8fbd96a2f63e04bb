"""What commitments ask, and what they leave free. The numbers were worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st
from tests.core.builders import ASSETS, CUSTOMER, ONE_USD, event, ledger, price, record, value
from tests.core.plans import Life, at, commitment, coupon, fee, given, shop, version

from faregate.core.amounts import Number
from faregate.core.commitments import validate_commitments
from faregate.core.prices import Commitment
from faregate.core.subscribing import ChangeSubscription

START = "2026-01-01"
MIDDLE = "2026-01-16 12:00"
"""Half of January."""


def living(*items: Any, start: str = START, usd: str | None = "10000", **terms: Any) -> Life:
    return Life(shop(version(1, *items)), start, usd=usd, **terms)


# At most ------------------------------------------------------------------------------------------

CAPPED = [
    # at most, what is used, what is charged for it
    ("10", ["10"], ["10"]),
    ("10", ["10.000000001"], ["10"]),
    ("10", ["9.999999999", "0.000000001", "0.000000001"], ["9.999999999", "0.000000001", "0"]),
    ("10", ["11"], ["10"]),
    ("10", ["4", "4", "4", "4"], ["4", "4", "2", "0"]),
    ("0.000000001", ["1", "1"], ["0.000000001", "0"]),
]


def usd(text: str) -> int:
    return int(Number(text) * ONE_USD)


@pytest.mark.parametrize(("most", "used", "charged"), CAPPED)
def test_what_is_over_the_maximum_is_free(most: str, used: list[str], charged: list[str]) -> None:
    life = living(commitment(most=most))
    for volume, amount in zip(used, charged, strict=True):
        booked = life.spend(volume, MIDDLE)
        (one,) = booked.fees
        assert (one.units, one.gross_units) == (usd(amount), usd(volume))
        is_cut = volume != amount
        assert [w.split(" under")[0] for w in booked.warnings] == [
            f"cap of {most} USD reached"
        ] * is_cut
    assert sum(ledger(life.book.transfers).values()) == 0


def test_the_maximum_is_there_again_in_the_next_period() -> None:
    life = living(commitment(most="10"))
    assert life.spend("12", "2026-01-31 23:59:59").fees[0].units == usd("10")
    assert life.spend("12", "2026-02-01").fees[0].units == usd("10")
    assert life.spend("12", "2026-02-02").fees[0].units == 0


def test_a_maximum_in_an_asset_leaves_others_alone() -> None:
    life = living(commitment(most="1"), commitment(most="2", asset="POINTS", id="cmt_two"))
    life.pay("100", START, asset="POINTS")
    assert life.spend("3", MIDDLE).fees[0].units == usd("1")
    life.use(5, MIDDLE)
    assert life.balance("POINTS", MIDDLE) == "98"


def test_a_maximum_of_some_event_types_leaves_others_alone() -> None:
    life = living(commitment(most="1", types=("images",)))
    assert life.spend("3", MIDDLE).fees[0].units == usd("3")
    assert life.spend("3", MIDDLE, "images").fees[0].units == usd("1")


def test_of_several_maxima_the_one_that_is_reached_first_counts() -> None:
    life = living(
        commitment(most="5", id="cmt_all"), commitment(most="3", types=("images",), id="cmt_img")
    )
    # 3 of the 4 images; of 4 tokens the 2 that are left of 5; nothing.
    assert life.spend("4", MIDDLE, "images").fees[0].units == usd("3")
    assert life.spend("4", MIDDLE).fees[0].units == usd("2")
    assert life.spend("4", MIDDLE, "images").fees[0].units == 0


def test_a_use_that_is_reported_late_counts_where_it_is_booked() -> None:
    life = living(commitment(most="10"))
    life.spend("10", "2026-01-20")
    late = event("late", at("2026-01-21"), "tokens", volume=4)
    (result,) = life.do(record(late), "2026-02-02").results
    assert result.fees[0].units == usd("4")
    assert life.spend("10", "2026-02-03").fees[0].units == usd("6")


def test_the_maximum_is_of_what_is_left_after_discounts() -> None:
    life = living(commitment(most="10"), discounts=given(coupon("50"), since=START))
    assert life.spend("16", MIDDLE).fees[0].units == usd("8")
    (one,) = life.spend("16", MIDDLE).fees
    assert one.reduced is not None
    # 8 are taken off by the coupon, 6 are over.
    assert (one.units, one.reduced.discount_units, one.reduced.capped_units) == (
        usd("2"),
        usd("8"),
        usd("6"),
    )


def test_an_event_that_is_refused_counts_nothing() -> None:
    life = living(commitment(most="10"))
    bad = event("bad", at("2020-01-01"), "tokens", volume=1)
    good = event("good", at(MIDDLE), "tokens", volume=7)
    assert life.refused(record(good, bad), MIDDLE)
    assert life.spend("10", MIDDLE).fees[0].units == usd("10")


# At least -----------------------------------------------------------------------------------------

MISSED = [
    # at least, what is used in January, what is charged on 1 February
    ("100", ["100"], None),
    ("100", ["40", "60"], None),
    ("100", ["99.999999999"], "0.000000001"),
    ("100", ["100.000000001"], None),
    ("100", ["40"], "60"),
    ("100", [], "100"),
    ("0.000000001", [], "0.000000001"),
]


@pytest.mark.parametrize(("least", "used", "charged"), MISSED)
def test_what_is_missing_is_charged_when_the_period_is_over(
    least: str, used: list[str], charged: str | None
) -> None:
    life = living(commitment(least))
    for volume in used:
        life.spend(volume, MIDDLE)
    assert life.on("2026-01-31 23:59:59").charged() == []
    life.on("2026-02-01")
    assert life.charged() == ([] if charged is None else [("2026-02-01", charged)])
    # February begins with nothing.
    life.on("2026-03-01")
    assert life.charged()[-1] == ("2026-03-01", least)


def test_the_line_says_for_what_it_is() -> None:
    life = living(fee("10"), commitment("100"))
    life.spend("40", MIDDLE)
    life.on("2026-02-01")
    price_, minimum = life.fees[1].request.lines
    assert (price_.name, price_.units) == ("prc_fee", usd("10"))
    assert (minimum.name, minimum.units) == ("minimum commitment: cmt_one", usd("60"))
    assert (minimum.from_at, minimum.to_at) == (at("2026-01-01"), at("2026-02-01"))


def test_discounts_take_nothing_off_a_minimum_but_what_they_take_off_uses_is_not_spent() -> None:
    life = living(commitment("100"), discounts=given(coupon("50"), since=START))
    life.spend("40", MIDDLE)
    life.on("2026-02-01")
    assert life.charged() == [("2026-02-01", "80")]


SHORT = [
    # From 15 January to 1 February: 17 of 31 days of 31 are 17.
    (["17"], None),
    (["16.999999999"], "0.000000001"),
    ([], "17"),
]


@pytest.mark.parametrize(("used", "charged"), SHORT)
def test_a_short_first_period_asks_its_part(used: list[str], charged: str | None) -> None:
    life = living(commitment("31"), start="2026-01-15", anchor_at=at("2026-02-01"))
    for volume in used:
        life.spend(volume, "2026-01-20")
    life.on("2026-02-01")
    assert life.charged() == ([] if charged is None else [("2026-02-01", charged)])


def test_nothing_is_asked_and_nothing_capped_in_a_trial() -> None:
    life = living(commitment("31", "40"), trial_ends_at=at("2026-01-15"))
    assert life.spend("50", "2026-01-10").fees[0].units == usd("50")
    assert life.spend("50", "2026-01-20").fees[0].units == usd("40")
    life.on("2026-03-15")
    assert life.charged() == [("2026-03-15", "31")]


def test_who_leaves_now_owes_the_part_until_now() -> None:
    # Half of 31 is 15.5, of which 5 are spent.
    life = living(commitment("31"))
    life.spend("5", "2026-01-10")
    life.cancel(MIDDLE, at="now")
    assert life.charged() == [("2026-01-16", "10.5")]
    assert life.on("2026-06-01").charged() == [("2026-01-16", "10.5")]


def test_who_leaves_with_the_period_owes_it_whole() -> None:
    life = living(commitment("31"))
    life.spend("5", "2026-01-10")
    life.cancel(MIDDLE)
    life.on("2026-06-01")
    assert life.charged() == [("2026-02-01", "26")]
    assert life.subscription.status(at("2026-06-01")) == "inactive"


def test_what_is_missing_and_cannot_be_paid_waits_like_a_price() -> None:
    life = living(commitment("100", "120"), usd="130")
    life.spend("90", MIDDLE)
    life.spend("36", "2026-01-20")  # 30 of it
    life.on("2026-02-02")
    assert life.charged() == []  # 120 are spent: nothing is missing
    life.on("2026-03-02")  # February's 100 are missing, and 10 are there
    assert life.subscription.terms.overdue is not None
    # What is used meanwhile counts in March.
    assert life.spend("15", "2026-03-03").fees[0].units == usd("15")
    life.pay("200", "2026-03-04")
    assert life.charged() == [("2026-03-01", "100")]
    life.spend("80", "2026-03-05")
    assert life.on("2026-04-01").charged()[1:] == [("2026-04-01", "5")]


def test_a_pause_makes_the_period_longer_and_the_minimum_stays() -> None:
    life = living(commitment("31"))
    life.spend("1", "2026-01-10")
    life.pause("2026-01-16")
    life.resume("2026-01-26")
    assert life.on("2026-02-10").charged() == []
    assert life.on("2026-02-11").charged() == [("2026-02-11", "30")]


# Another version ----------------------------------------------------------------------------------


def moving(old: tuple[Any, ...], new: tuple[Any, ...]) -> Life:
    return Life(shop(version(1, *old), version(2, *new)), START, usd="10000")


MOVES = [
    # Half of 31 and half of 62 are 46.5; 20 are spent before, 6.5 after.
    ("more", (commitment("31"),), (commitment("62", id="cmt_two"),), [], ["20"]),
    ("less", (commitment("62"),), (commitment("31", id="cmt_two"),), [], ["20"]),
    # Not asked any more: half of 31 is 15.5, and 20 are spent.
    ("none", (commitment("31"),), (), [], []),
    # Half of 62 is 31, of which 20 are spent.
    ("none, and missed", (commitment("62"),), (), ["11"], []),
    # Asked from now on: half of 62, of which 6.5 are spent.
    ("new", (fee("0"),), (fee("0", id="prc_two"), commitment("62")), [], ["24.5"]),
    # By the year: the month's is settled, and a year begins.
    ("by the year", (commitment("62"),), (commitment("62", every="year", id="y"),), ["11"], []),
]


@pytest.mark.parametrize(
    ("old", "new", "moved", "after"), [row[1:] for row in MOVES], ids=[row[0] for row in MOVES]
)
def test_another_version_in_the_middle_asks_each_for_its_part(
    old: tuple[Any, ...], new: tuple[Any, ...], moved: list[str], after: list[str]
) -> None:
    life = moving(old, new)
    life.spend("20", "2026-01-10")
    before = len(life.fees)
    life.move(2, MIDDLE, effective="now")
    assert [amount for _, amount in life.charged()][before:] == moved
    life.spend("6.5", "2026-01-20")
    life.on("2026-02-01")
    assert [amount for _, amount in life.charged()][before + len(moved) :] == after


def test_what_was_spent_counts_for_the_maximum_of_another_version() -> None:
    life = moving((commitment(most="10"),), (commitment(most="12", id="cmt_two"),))
    life.spend("10", "2026-01-10")
    life.move(2, MIDDLE, effective="now")
    assert life.spend("10", "2026-01-20").fees[0].units == usd("2")


def test_a_version_that_begins_with_the_period_begins_anew() -> None:
    life = moving((fee("1"), commitment("10")), (fee("2", id="two"), commitment("20", id="cmt_2")))
    life.spend("4", "2026-01-10")
    life.move(2, MIDDLE, effective="renewal")
    life.on("2026-03-01")
    # The first month, 6 that are missing with the new price, and 20 with it again.
    assert life.charged() == [("2026-01-01", "1"), ("2026-02-01", "8"), ("2026-03-01", "22")]


def test_other_seats_leave_a_commitment_as_it_is() -> None:
    life = living(fee("1", seats=1), commitment("31", "40"))
    life.spend("20", "2026-01-10")
    life.seats(3, MIDDLE, effective="now")
    assert life.spend("30", "2026-01-20").fees[0].units == usd("20")
    assert life.on("2026-02-01").charged()[-1] == ("2026-02-01", "3")


def test_a_subscription_that_is_switched_off_is_not_billed_any_more() -> None:
    life = living(commitment("31"))
    life.do(ChangeSubscription(CUSTOMER, "sub_one", False), MIDDLE)
    assert life.on("2026-06-01").charged() == []


# Whatever is used ---------------------------------------------------------------------------------

USES = st.lists(st.tuples(st.integers(1, 40 * 86_400), st.integers(0, 3 * 10**9)), max_size=25)


@given_(USES, st.integers(1, 5 * 10**9), st.integers(0, 5 * 10**9), st.integers(0, 10**6))
def test_what_is_charged_for_a_period_is_no_less_than_the_minimum_and_uses_no_more_than_the_maximum(
    uses: list[tuple[int, int]], most: int, least: int, percent: int
) -> None:
    least = min(least, most)
    number = [f"{Number(units) / ONE_USD:f}" for units in (least, most)]
    discounts = given(coupon(f"{Number(percent) / 10_000:f}"), since=START) if percent else ()
    life = living(commitment(number[0] if least else None, number[1]), discounts=discounts)
    starts = [at(day) for day in (START, "2026-02-01", "2026-03-01", "2026-04-01")]
    instant = at(START)
    spent = dict.fromkeys(starts, 0)
    for seconds, units in uses:
        instant += timedelta(seconds=seconds)
        if instant >= starts[-1]:
            break
        result = life.spend(f"{Number(units) / ONE_USD:f}", f"{instant:%Y-%m-%d %H:%M:%S}")
        spent[max(s for s in starts if s <= instant)] += result.fees[0].units
    life.on("2026-04-01")
    missing = {booked.request.due_at: -booked.units for booked in life.fees}
    for begin, end in pairwise(starts):
        assert spent[begin] <= most
        assert spent[begin] + missing.get(end, 0) == max(spent[begin], least)
    assert sum(ledger(life.book.transfers).values()) == 0


@pytest.mark.slow
@given_(
    USES,
    st.lists(st.integers(0, 100 * 86_400), max_size=6),
    st.integers(1, 5 * 10**9),
    st.booleans(),
)
def test_it_does_not_matter_when_somebody_looks(
    uses: list[tuple[int, int]], looks: list[int], most: int, is_poor: bool
) -> None:
    def lived(looks: list[int]) -> list[Any]:
        amount = f"{Number(most) / ONE_USD:f}"
        off = given(coupon("12.5", periods=2), coupon(amount="1", code="B"), since=START)
        items = (fee("3"), commitment(amount, amount), commitment("2", "9", "week", id="w"))
        life = living(*items, discounts=off, usd="20" if is_poor else "10000")
        instants = [(seconds, None) for seconds in looks]
        passed = 0
        for seconds, units in uses:
            passed += seconds
            instants.append((passed, units))
        found: list[Any] = []
        for passed, units in sorted(instants, key=lambda one: one[0]):
            when = f"{at(START) + timedelta(seconds=passed):%Y-%m-%d %H:%M:%S}"
            if units is None:
                life.on(when)
            else:
                found.append(life.spend(f"{Number(units) / ONE_USD:f}", when).fees)
        life.on("2029-01-01")
        assert sum(ledger(life.book.transfers).values()) == 0
        units_of = [[(one.units, one.reduced) for one in fees] for fees in found]
        return [units_of, life.charged(), life.subscription, life.balance("USD", "2029-01-01")]

    assert lived([]) == lived(looks)


# Bad ones -----------------------------------------------------------------------------------------

WRONG = [
    (commitment("1", asset="GOLD"), "asset", "unknown"),
    (commitment(), "minimum", "at least one"),
    (commitment("2", "1"), "maximum", "less than the minimum"),
    (commitment("0"), "minimum", "more than 0"),
    (commitment("-1"), "minimum", "more than 0"),
    (commitment(most="0"), "maximum", "more than 0"),
    (commitment("0.0000000001"), "minimum", "more decimals"),
    (commitment("0.5", asset="POINTS"), "minimum", "more decimals"),
    (commitment("1e30"), "minimum", "out of range"),
    (commitment("1", types=("images",)), "event_types[0]", "no usage price"),
]


def unnamed(one: Commitment) -> Commitment:
    return Commitment(one.name, one.asset, one.recurring, one.minimum, one.maximum, one.event_types)


@pytest.mark.parametrize(("wrong", "path", "said"), WRONG)
def test_a_commitment_that_cannot_be_kept_is_refused_by_field(
    wrong: Commitment, path: str, said: str
) -> None:
    prices = (price(value(unit_price="1")),)
    errors = validate_commitments((unnamed(commitment("1")), unnamed(wrong)), prices, ASSETS)
    assert list(errors) == [f"commitments[1].{path}"]
    assert said in errors[f"commitments[1].{path}"][0]


def test_a_commitment_needs_something_to_count() -> None:
    errors = validate_commitments((unnamed(commitment("1")),), (), ASSETS)
    assert list(errors) == ["commitments[0].name"]
