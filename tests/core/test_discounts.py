"""What discounts take off. The numbers in the tables were worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st
from tests.core.builders import CUSTOMER, ONE_USD, authorize, capture, event, ledger, record, update
from tests.core.plans import PLAN, SUB, Life, at, commitment, coupon, fee, given, shop, version

from faregate.core.amounts import Number, half_even
from faregate.core.discounts import WHOLE, Coupon, percent_off
from faregate.core.prices import FixedPrice
from faregate.core.problems import CONFLICT, INVALID, NOT_FOUND
from faregate.core.subscribing import GiveDiscount, TakeDiscount

START = "2026-01-01"
MIDDLE = "2026-01-16 12:00"
"""Half of January."""


def living(*coupons: Coupon, items: tuple[Any, ...] = (), start: str = START, **terms: Any) -> Life:
    """A life that begins with these coupons."""
    return Life(
        shop(version(1, *items), coupons=coupons),
        start,
        usd="10000",
        discounts=given(*coupons, since=start),
        **terms,
    )


MONTHLY = fee("10")
HALF = coupon("50")

BILLS = [
    # What it is, coupons, prices, terms, what is charged (the days and the net amounts)
    ("half for ever", (HALF,), (MONTHLY,), {}, ["01-01 5", "02-01 5", "03-01 5"]),
    ("half, once", (coupon("50", periods=1),), (MONTHLY,), {}, ["01-01 5", "02-01 10"]),
    (
        "half, for three months",
        (coupon("50", periods=3),),
        (MONTHLY,),
        {},
        ["01-01 5", "02-01 5", "03-01 5", "04-01 10"],
    ),
    # 33.3333 percent of 10 are 3.33333.
    ("a third", (coupon("33.3333"),), (MONTHLY,), {}, ["01-01 6.66667"]),
    ("the least", (coupon("0.0001"),), (MONTHLY,), {}, ["01-01 9.99999"]),
    ("all", (coupon("100"),), (MONTHLY,), {}, ["01-01 0", "02-01 0"]),
    ("an amount", (coupon(amount="4"),), (MONTHLY,), {}, ["01-01 6", "02-01 6"]),
    (
        "an amount, for two months",
        (coupon(amount="4", periods=2),),
        (MONTHLY,),
        {},
        ["01-01 6", "02-01 6", "03-01 10"],
    ),
    ("more than is asked", (coupon(amount="12"),), (MONTHLY,), {}, ["01-01 0", "02-01 0"]),
    # Half of 10 is 5, a fifth less is 4.
    ("two percentages", (HALF, coupon("20", code="TWO")), (MONTHLY,), {}, ["01-01 4"]),
    # Half of 10 is 5, less 2 is 3; the amount comes last, whatever was given first.
    ("both", (HALF, coupon(amount="2", code="TWO")), (MONTHLY,), {}, ["01-01 3"]),
    ("both, turned", (coupon(amount="2"), coupon("50", code="TWO")), (MONTHLY,), {}, ["01-01 3"]),
    # 2 and then 9, of which 8 are left.
    (
        "two amounts",
        (coupon(amount="2"), coupon(amount="9", code="B")),
        (MONTHLY,),
        {},
        ["01-01 0"],
    ),
    ("of the product", (coupon("50", products=(PLAN,)),), (MONTHLY,), {}, ["01-01 5"]),
    ("of another product", (coupon("50", products=("prp_x",)),), (MONTHLY,), {}, ["01-01 10"]),
    ("in another asset", (coupon(amount="4", asset="EUR"),), (MONTHLY,), {}, ["01-01 10"]),
    # An amount is one for all lines of a period: 4 off 3 + 2.
    (
        "two prices share an amount",
        (coupon(amount="4"),),
        (fee("3"), fee("2", id="prc_two")),
        {},
        ["01-01 1", "02-01 1"],
    ),
    # In arrears January is charged on 1 February, and belongs to January.
    (
        "in arrears, once",
        (coupon("50", periods=1),),
        (fee("10", arrears=True),),
        {},
        ["02-01 5", "03-01 10"],
    ),
    # January's amount is for what is charged for January, February's for what is for February.
    (
        "in arrears and in advance",
        (coupon(amount="4"),),
        (fee("3"), fee("10", arrears=True, id="prc_two")),
        {},
        # 3 - 3; (10 - the 1 that is left of January's 4) + (3 - 3)
        ["01-01 0", "02-01 9"],
    ),
    # From 15 January to 1 February: 17 of 31 days. It is the first period.
    (
        "a short first month",
        (coupon("50", periods=1),),
        (fee("31"),),
        {"start": "2026-01-15", "anchor_at": at("2026-02-01")},
        ["01-15 8.5", "02-01 31"],
    ),
    # Periods are counted from the first that is paid.
    (
        "after a trial",
        (coupon("50", periods=1),),
        (MONTHLY,),
        {"trial_ends_at": at("2026-01-15")},
        ["01-15 5", "02-15 10"],
    ),
    # The periods are those of what comes most often: two weeks.
    (
        "by the week",
        (coupon("50", periods=2),),
        (MONTHLY, fee("1", "week", id="prc_week")),
        {},
        ["01-01 5.5", "01-08 0.5", "01-15 1", "01-22 1"],
    ),
    ("asked once", (HALF,), (fee("7", "once"),), {}, ["01-01 3.5"]),
]


@pytest.mark.parametrize(
    ("coupons", "prices", "terms", "charged"), [b[1:] for b in BILLS], ids=[b[0] for b in BILLS]
)
def test_a_bill_is_what_is_asked_less_what_is_taken_off(
    coupons: tuple[Coupon, ...],
    prices: tuple[FixedPrice, ...],
    terms: dict[str, Any],
    charged: list[str],
) -> None:
    life = living(*coupons, items=prices, **terms)
    life.on(f"2026-{charged[-1].split()[0]}")
    assert [f"{day[5:]} {amount}" for day, amount in life.charged()] == charged
    for booked in life.fees:
        assert sum(line.units for line in booked.request.lines) == -booked.units
    assert sum(ledger(life.book.transfers).values()) == 0


def test_a_bill_shows_what_was_asked_and_what_each_coupon_took_off() -> None:
    life = living(coupon(amount="2"), coupon("50", code="TWO"), items=(MONTHLY,))
    assert [(line.coupon, line.units) for line in life.fees[0].request.lines] == [
        (None, 10 * ONE_USD),
        ("TWO", -5 * ONE_USD),
        ("ONE", -2 * ONE_USD),
    ]


# Given, and taken, while a subscription lives -----------------------------------------------------


def give(life: Life, when: str, code: str = "ONE") -> None:
    life.do(GiveDiscount(CUSTOMER, SUB, code), when)


def selling(*coupons: Coupon, items: tuple[Any, ...] = (MONTHLY,)) -> Life:
    return Life(shop(version(1, *items), coupons=coupons), START, usd="10000")


GIVEN = [
    # when, for how many periods, what is charged from February on: the rest of the period under
    # way comes first, then so many whole ones.
    ("2026-01-16", 1, ["5", "10", "10"]),
    ("2026-01-16", 2, ["5", "5", "10"]),
    ("2026-01-31 23:59:59.999999", 1, ["5", "10", "10"]),
    # On the instant of a renewal, that is charged first.
    ("2026-02-01", 1, ["10", "5", "10"]),
    ("2026-02-16", None, ["10", "5", "5"]),
]


@pytest.mark.parametrize(("when", "periods", "amounts"), GIVEN)
def test_a_discount_that_is_given_on_the_way_counts_for_whole_periods(
    when: str, periods: int | None, amounts: list[str]
) -> None:
    life = selling(coupon("50", periods=periods))
    give(life, when)
    life.on("2026-04-01")
    assert [amount for _, amount in life.charged()] == ["10", *amounts]


def test_a_discount_that_is_there_is_given_once_and_not_again_when_it_is_over() -> None:
    life = selling(coupon("50", periods=1))
    give(life, MIDDLE)
    before = life.subscription
    give(life, "2026-01-20")
    assert life.subscription == before
    again = life.refused(GiveDiscount(CUSTOMER, SUB, "ONE"), "2026-03-01")
    assert again.kind is CONFLICT


def test_a_coupon_that_cannot_be_had_is_refused_and_says_why() -> None:
    late = Coupon("LATE", percent=1, redeem_by=at("2026-01-10"))
    life = selling(late, coupon("5", code="X", products=("prp_x",)))
    for code, said in (("NONE", "unknown"), ("LATE", "until"), ("X", "prp_x only")):
        problem = life.refused(GiveDiscount(CUSTOMER, SUB, code), "2026-01-10")
        assert problem.kind is INVALID
        assert said in problem.errors["coupon"][0]
    life.cancel(MIDDLE, at="now")
    assert life.refused(GiveDiscount(CUSTOMER, SUB, "X"), MIDDLE).kind is CONFLICT


def test_a_discount_that_is_taken_away_counts_no_more_and_begins_anew_when_given_again() -> None:
    life = selling(coupon("50"))
    give(life, "2026-01-02")
    life.on("2026-02-01").do(TakeDiscount(CUSTOMER, SUB, "ONE"), "2026-02-02")
    assert life.refused(TakeDiscount(CUSTOMER, SUB, "ONE"), "2026-02-02").kind is NOT_FOUND
    life.on("2026-03-01")
    give(life, "2026-03-02")
    life.on("2026-04-01")
    assert [amount for _, amount in life.charged()] == ["10", "5", "10", "5"]


def test_a_subscription_has_so_many_discounts_and_no_more() -> None:
    coupons = [coupon("1", code=f"C{number}") for number in range(21)]
    life = selling(*coupons)
    for one in coupons[:20]:
        give(life, MIDDLE, one.code)
    assert life.refused(GiveDiscount(CUSTOMER, SUB, "C20"), MIDDLE).kind is CONFLICT
    life.do(TakeDiscount(CUSTOMER, SUB, "C0"), MIDDLE)
    give(life, MIDDLE, "C20")
    # Twenty times one percent less than what the one before left, of 10: 10 x 0.99^20.
    life.on("2026-02-01")
    assert life.charged()[-1][1].startswith("8.17906937")


def test_what_becomes_of_a_coupon_changes_nothing_for_who_has_it() -> None:
    life = living(HALF, items=(MONTHLY,))
    life.book.catalog = shop(version(1, MONTHLY))
    life.on("2026-02-01")
    assert life.charged() == [("2026-01-01", "5"), ("2026-02-01", "5")]


def test_periods_stand_still_while_a_subscription_rests() -> None:
    life = living(coupon("50", periods=2), coupon(amount="1", code="B"), items=(MONTHLY,))
    life.pause("2026-01-16")
    life.resume("2026-01-26")
    # The month ends ten days later, and so does the second one.
    life.on("2026-03-11")
    assert life.charged() == [("2026-01-01", "4"), ("2026-02-11", "4"), ("2026-03-11", "9")]


# A period that is left early ----------------------------------------------------------------------

LEFT = [
    # Half a month of 31 is 15.5. Paid were 15.5: half of it, 7.75, comes back.
    ("half", (HALF,), "7.75"),
    ("all", (coupon("100"),), "0"),
    # Paid were 21: 10.5 come back.
    ("an amount", (coupon(amount="10"),), "10.5"),
    # Paid were 31 / 2 - 10 = 5.5: 2.75 come back.
    ("both", (HALF, coupon(amount="10", code="TWO")), "2.75"),
]


@pytest.mark.parametrize(
    ("coupons", "back"), [row[1:] for row in LEFT], ids=[row[0] for row in LEFT]
)
def test_only_what_was_paid_is_given_back(coupons: tuple[Coupon, ...], back: str) -> None:
    life = living(*coupons, items=(fee("31"),))
    life.cancel(MIDDLE, at="now", proration="prorate")
    assert life.charged()[-1][1] == ("0" if back == "0" else f"-{back}")


def test_what_was_paid_before_a_discount_came_is_given_back_whole() -> None:
    life = selling(coupon("50"), items=(fee("31"),))
    give(life, "2026-01-02")
    life.cancel(MIDDLE, at="now", proration="prorate")
    assert life.charged()[-1][1] == "-15.5"


def test_a_discount_that_was_taken_away_is_not_given_back() -> None:
    life = living(HALF, items=(fee("31"),))
    life.do(TakeDiscount(CUSTOMER, SUB, "ONE"), "2026-01-02")
    life.cancel(MIDDLE, at="now", proration="prorate")
    assert life.charged()[-1][1] == "-7.75"


MOVED = [
    # From 31 to 62 in the middle: back 15.5 less its discount, on top 31 less its own.
    (HALF, "7.75", "31"),  # -15.5 + 7.75 + 31 - 15.5; then 62 / 2
    # The amount is 10 for the month, however it is cut: back 15.5 - 5, on top 31 - 5.
    (coupon(amount="10"), "15.5", "52"),
    (coupon("100"), "0", "0"),
]


@pytest.mark.parametrize(("one", "moved", "after"), MOVED)
def test_a_move_within_a_period_is_discounted_on_both_sides(
    one: Coupon, moved: str, after: str
) -> None:
    life = Life(
        shop(version(1, fee("31")), version(2, fee("62", id="prc_two"))),
        START,
        discounts=given(one, since=START),
    )
    life.move(2, MIDDLE, effective="now")
    life.on("2026-02-01")
    assert [amount for _, amount in life.charged()][1:] == [moved, after]


# Usage --------------------------------------------------------------------------------------------


def nets(life: Life, *volumes: str, when: str = MIDDLE) -> list[int]:
    return [life.spend(volume, when).fees[0].units for volume in volumes]


USES = [
    # 10 percent of 0.000000001 each: nothing, until more than half a unit has come together.
    ("a tenth of units", (coupon("10"),), ["0.000000001"] * 6, [1, 1, 1, 1, 1, 0]),
    # A half of a unit goes to the even one: after 1 it is 0, after 3 it is 2.
    ("half of units", (HALF,), ["0.000000001"] * 4, [1, 0, 0, 1]),
    ("all of it", (coupon("100"),), ["3", "0.000000001"], [0, 0]),
    ("an amount", (coupon(amount="4"),), ["3", "3", "3"], [0, 2 * ONE_USD, 3 * ONE_USD]),
    (
        "both",
        (HALF, coupon(amount="1", code="B")),
        ["4", "4"],
        [1 * ONE_USD, 2 * ONE_USD],
    ),
]


@pytest.mark.parametrize(
    ("coupons", "volumes", "units"), [row[1:] for row in USES], ids=[row[0] for row in USES]
)
def test_a_use_costs_less_by_what_is_taken_off(
    coupons: tuple[Coupon, ...], volumes: list[str], units: list[int]
) -> None:
    life = living(*coupons)
    assert nets(life, *volumes) == units
    assert sum(ledger(life.book.transfers).values()) == 0


def test_a_fee_says_what_was_taken_off_and_by_whom() -> None:
    life = living(coupon("50"), coupon(amount="1", code="B"))
    (booked,) = life.spend("4", MIDDLE).fees
    assert booked.reduced is not None
    assert booked.reduced.discounts == (("ONE", 2 * ONE_USD), ("B", ONE_USD))
    assert (booked.units, booked.gross_units) == (ONE_USD, 4 * ONE_USD)


def test_an_amount_begins_anew_with_each_period() -> None:
    life = living(coupon(amount="4"), items=(fee("1"),))
    # 1 of the 4 went to the fixed price.
    assert nets(life, "5") == [2 * ONE_USD]
    assert nets(life, "5", when="2026-02-16") == [2 * ONE_USD]


def test_a_use_is_judged_by_when_it_occurred() -> None:
    life = selling(coupon("50", periods=1))
    give(life, MIDDLE)
    late = [
        ("2026-01-16 11:50", 10),  # before it was given
        ("2026-01-16 11:56", 5),  # by a clock that may be five minutes slow
        ("2026-01-20", 5),
        ("2026-02-28 23:59:59", 5),
        ("2026-03-01", 10),
    ]
    life.on("2026-03-02")
    for number, (when, usd) in enumerate(late):
        use = event(f"late {number}", at(when), "tokens", volume=10)
        (result,) = life.do(record(use), "2026-02-17").results if when < "2026-02-17" else (None,)
        if result is None:
            (result,) = life.do(record(use), "2026-03-02").results
        assert result.fees[0].units == usd * ONE_USD, when


def test_a_refused_event_of_a_lenient_batch_takes_nothing_of_an_amount() -> None:
    life = living(coupon(amount="4"))
    bad = event("bad", at("2020-01-01"), "tokens", volume=1)
    good = event("good", at(MIDDLE), "tokens", volume=3)
    life.do(record(bad, good, lenient=True), MIDDLE)
    assert nets(life, "3") == [2 * ONE_USD]
    # One that is refused after it was priced, too: it costs more than the ledger can hold.
    huge = event("huge", at(MIDDLE), "tokens", volume=10**18)
    life.do(record(huge, lenient=True), MIDDLE)
    assert life.subscription.terms.discounts[0].used_units == 4 * ONE_USD


AMOUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=30)


@given_(AMOUNTS, st.integers(1, WHOLE))
def test_fees_that_are_split_are_discounted_as_their_sum(units: list[int], percent: int) -> None:
    before = total = 0
    for one in units:
        off, before = percent_off(before, one, percent)
        assert 0 <= off <= one
        total += off
    assert total == percent_off(0, sum(units), percent)[0]
    assert total == half_even(sum(units) * percent, WHOLE)[0]


@given_(
    st.lists(st.integers(1, 10**4), min_size=1, max_size=8),
    st.integers(1, WHOLE),
    st.integers(0, 10**4),
)
def test_uses_that_are_split_cost_what_one_use_costs(
    parts: list[int], percent: int, amount: int
) -> None:
    coupons = [Coupon("P", None, percent)]
    if amount:
        coupons.append(Coupon("A", None, 0, amount, "USD", 9))
    split, whole = living(*coupons), living(*coupons)
    volumes = [f"{Number(part) / ONE_USD:f}" for part in parts]
    total = f"{Number(sum(parts)) / ONE_USD:f}"
    assert sum(nets(split, *volumes)) == sum(nets(whole, total))


@given_(
    st.lists(st.integers(1, 10**4), min_size=1, max_size=6),
    st.integers(1, WHOLE),
    st.integers(0, 10**4),
    st.integers(1, 3 * 10**4),
)
def test_slices_of_a_use_cost_together_what_the_whole_costs(
    parts: list[int], percent: int, amount: int, most: int
) -> None:
    coupons = [Coupon("P", None, percent)]
    if amount:
        coupons.append(Coupon("A", None, 0, amount, "USD", 9))
    capped = commitment(most=f"{Number(most) / ONE_USD:f}")
    sliced, whole = [living(*coupons, items=(capped,)) for _ in range(2)]
    ask = {"event_type": "tokens", "data": {"volume": 1}}
    hold = sliced.do(authorize(**ask, transaction_id="h"), MIDDLE).holds[0]
    for number, part in enumerate(parts):
        use = event(f"s{number}", at(MIDDLE), "tokens", volume=Number(part) / ONE_USD)
        want = {"volume": 1}
        sliced.do(update(hold.id, use, want=want, transaction_id=f"u{number}"), MIDDLE)
    sliced.do(capture(hold.id, "0", transaction_id="end"), MIDDLE)
    whole.spend(f"{Number(sum(parts)) / ONE_USD:f}", MIDDLE)
    assert sliced.balance("USD", MIDDLE) == whole.balance("USD", MIDDLE)


@pytest.mark.parametrize("percent", ["10", "33.3333", "100"])
def test_a_hold_sets_aside_what_its_capture_charges(percent: str) -> None:
    life = living(coupon(percent), coupon(amount="0.5", code="B"), items=(commitment(most="2"),))
    for number, volume in enumerate(("0.7", "0.000000003", "4", "3")):
        ask = {"event_type": "tokens", "data": {"volume": Number(volume)}}
        asked = authorize(**ask, transaction_id=f"h{number}")
        hold = life.do(asked, MIDDLE).holds[0]
        use = event(f"e{number}", at(MIDDLE), "tokens", volume=Number(volume))
        done = life.do(capture(hold.id, None, use, transaction_id=f"c{number}"), MIDDLE)
        assert done.captured_units == hold.amount_units
        assert done.released_units == 0
