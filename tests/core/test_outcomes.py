"""What a use costs once its outcome is known: examples worked out by hand, in points, of a price of
one point per unit of volume; and that whatever was said, only the last of it counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.core.builders import (
    DAY,
    MINUTE,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    customer,
    event,
    ledger,
    outcome,
    price,
    record,
    subscription,
    update,
    value,
    volume_price,
)

from faregate.core.accounts import REVENUE
from faregate.core.amounts import Number
from faregate.core.decision import SetOverdraft
from faregate.core.events import PENDING_WARNING, UsageEvent
from faregate.core.limits import Limit
from faregate.core.outcomes import SETTLE_WITHIN, OutcomeSettled
from faregate.core.prices import FundingDestination
from faregate.core.problems import CONFLICT, INSUFFICIENT_FUNDS, INVALID, NOT_FOUND, Problem
from faregate.core.refunds import GRANTED_ANEW_FOR
from faregate.core.rules import NO_RULES
from faregate.core.volumes import VOLUME_ONE

POINTS = "default:POINTS"


def pending(name: str = "e", **data: object) -> UsageEvent:
    return structs.replace(event(name, T0, **data), outcome="pending")


def shop(*credit: int | tuple[int, dict[str, Any]], **options: Any) -> Book:
    """A customer with grants of so many points, used in this order."""
    book = Book(catalog(volume_price("1", asset="POINTS", **options)))
    for number, one in enumerate(credit):
        units, more = one if isinstance(one, tuple) else (one, {})
        given = adjust(str(units), f"credit {number}", "POINTS", priority=number, **more)
        book.do(given)
    return book


def left(book: Book) -> list[int]:
    """What grants have left that are in force, in their order of use."""
    return [grant.remaining_units for grant in book.state.account(POINTS).grants]


def said(book: Book, name: str, word: str, now: Any = T0, tid: str | None = None, **data: object):
    answer = book.do(outcome(name, word, tid, **data), now)
    assert isinstance(answer, OutcomeSettled)
    assert answer.balances.get(POINTS, 0) == book.available(POINTS)
    return answer


def revenue(book: Book) -> int:
    return ledger(book.transfers)["POINTS", REVENUE]


# -- pending ----------------------------------------------------------------------------------


def test_a_pending_event_is_booked_and_costs_nothing():
    book = shop(10)
    (result,) = book.book(pending(volume=4))
    assert (result.status, result.fees, result.warnings) == ("booked", (), (PENDING_WARNING,))
    assert book.available(POINTS) == 10
    (again,) = book.book(pending(volume=4))
    assert again.status == "repeat"
    assert book.refused(record(event("e", T0, volume=4))).kind is CONFLICT


def test_pending_then_confirmed_costs_what_it_would_have():
    book = shop(10)
    book.book(pending(volume=4))
    answer = said(book, "e", "confirmed", T0 + DAY)
    # 4 x 1 of 10.
    assert [fee.units for fee in answer.fees] == [4]
    assert (answer.reversed, answer.net_units, answer.balances) == ((), {"POINTS": 4}, {POINTS: 6})
    assert left(book) == [6]
    assert [fee.fee.units for fee in book.outcomes["e"].fees] == [4]


def test_pending_then_confirmed_with_data_replaces_keys():
    book = shop(10)
    book.book(pending(volume=4, model="a"))
    answer = said(book, "e", "confirmed", volume=7)
    assert answer.net_units == {"POINTS": 7}
    assert book.outcomes["e"].data == {"volume": 7, "model": "a"}


def test_pending_then_withdrawn_never_costs():
    book = shop(10)
    book.book(pending(volume=4))
    answer = said(book, "e", "withdrawn")
    assert (answer.fees, answer.reversed, answer.net_units) == ((), (), {})
    assert len(book.transfers) == 1
    problem = book.refused(outcome("e", "confirmed"))
    assert problem.kind is CONFLICT
    assert "final" in problem.detail


def test_a_confirmation_is_priced_by_what_was_in_force_when_it_occurred():
    # The subscription ends before it is confirmed, not before it occurred.
    prices = catalog(volume_price("1", asset="POINTS"))
    book = Book(prices, customer(subscription(to_at=T0 + DAY)))
    book.book(pending(volume=4))
    assert said(book, "e", "confirmed", T0 + 2 * DAY).net_units == {"POINTS": 4}


# -- charged ----------------------------------------------------------------------------------


def test_charged_over_two_grants_then_withdrawn_both_have_all_again():
    book = shop(3, 10)
    book.book(event("e", T0, volume=5))
    # 3 of the first, which is used up, and 2 of the second.
    assert left(book) == [8]
    answer = said(book, "e", "withdrawn")
    assert left(book) == [3, 10]
    assert [(fee.units, fee.account_id) for fee in answer.reversed] == [(5, POINTS)]
    assert answer.net_units == {"POINTS": -5}
    assert revenue(book) == 0
    assert "withdrawn already" in said(book, "e", "withdrawn", tid="again").warnings[0]


@pytest.mark.parametrize(
    ("volume", "grants", "net"),
    [
        # 3 + 2 go back, then 7 are taken: 3 + 4.
        (7, [6], 2),
        # 3 + 2 go back, then 2 are taken of the first.
        (2, [1, 10], -3),
        (5, [8], 0),
        (0, [3, 10], -5),
    ],
)
def test_charged_then_changed_costs_what_the_new_data_say(volume: int, grants: list[int], net: int):
    book = shop(3, 10)
    book.book(event("e", T0, volume=5))
    answer = said(book, "e", "changed", volume=volume)
    assert left(book) == grants
    assert [fee.units for fee in answer.fees] == [volume]
    assert [fee.units for fee in answer.reversed] == [5]
    assert answer.net_units == {"POINTS": net}
    # And once more, from what it was changed to.
    assert said(book, "e", "changed", volume=1, other=1).net_units == {"POINTS": 1 - volume}
    assert left(book) == [2, 10]
    assert said(book, "e", "withdrawn").net_units == {"POINTS": -1}
    assert revenue(book) == 0


def test_what_came_from_the_overdraft_repays_it():
    book = shop(3)
    book.book(event("e", T0, volume=5))
    assert book.available(POINTS) == -2
    said(book, "e", "withdrawn")
    account = book.state.account(POINTS)
    assert (account.overdraft_units, left(book)) == (0, [3])


def test_a_grant_that_gets_something_back_repays_what_others_have_overdrawn():
    book = shop(3)
    book.book(event("e", T0, volume=3), event("later", T0, volume=2))
    assert book.available(POINTS) == -2
    said(book, "e", "withdrawn")
    # 3 go back to the grant, 2 of them repay what the later use has overdrawn.
    assert (book.state.account(POINTS).overdraft_units, left(book)) == (0, [1])


def test_what_an_overdraft_paid_that_was_repaid_meanwhile_is_the_customers_for_good():
    book = shop()
    book.book(event("e", T0, volume=5))
    book.do(adjust("8", "pay", "POINTS", reason="external_topup"))
    # 5 of the 8 have repaid the overdraft.
    assert left(book) == [3]
    answer = said(book, "e", "withdrawn")
    assert book.available(POINTS) == 8
    assert "repaid since" in answer.warnings[0]
    newest = book.state.account(POINTS).grants[-1]
    assert (newest.purpose, newest.remaining_units, newest.expires_at) == ("paid", 5, None)


def test_a_used_up_grant_is_revived_in_its_old_place():
    book = shop(3, 10)
    book.book(event("e", T0, volume=3))
    assert left(book) == [10]
    decision = book.decide(outcome("e", "withdrawn"))
    assert len(decision.revived) == 1
    assert left(book) == [3, 10]
    book.book(event("next", T0, volume=4))
    assert left(book) == [9]


def test_what_a_grant_has_paid_that_has_expired_is_granted_anew_for_30_days():
    book = shop((3, {"expires_at": T0 + DAY, "reason": "gift"}), 10)
    book.book(event("e", T0, volume=5))
    late = T0 + 2 * DAY
    answer = said(book, "e", "withdrawn", late)
    anew, other = book.state.account(POINTS).grants
    assert (anew.amount_units, anew.remaining_units, other.remaining_units) == (3, 3, 10)
    assert (anew.purpose, anew.priority) == ("promotion", 0)
    assert anew.expires_at == late + GRANTED_ANEW_FOR == late + timedelta(days=30)
    assert anew.terms is not None
    assert anew.terms.instead_of is not None
    assert answer.warnings == (
        f"3 POINTS came from {anew.terms.instead_of}, which has expired: granted anew as "
        f"{anew.id}, until {anew.expires_at.isoformat()}",
    )


def test_confirming_what_is_charged_changes_nothing():
    book = shop(10)
    book.book(event("e", T0, volume=4))
    answer = said(book, "e", "confirmed")
    assert ([fee.units for fee in answer.fees], answer.net_units) == ([4], {"POINTS": 0})
    assert answer.warnings == ("the event was charged already: nothing has changed",)
    assert book.available(POINTS) == 6
    problem = book.refused(outcome("e", "confirmed", volume=3))
    assert problem.kind is CONFLICT
    assert "changed" in problem.detail


def test_what_rounding_carries_is_given_back_too():
    # 0.4 of a point each: the second event pays the point, and 0.2 are carried after three.
    book = Book(catalog(volume_price("0.4", asset="POINTS")))
    book.do(adjust("10", "credit", "POINTS"))
    results = book.book(*[event(f"e{n}", T0, volume=1) for n in range(3)])
    assert [fee.units for result in results for fee in result.fees] == [0, 1, 0]
    assert said(book, "e1", "withdrawn").net_units == {"POINTS": -1}
    # The two that are left are worth 0.8, of which nothing was charged: a use of nothing does not
    # pay that, the next one does: 0.8 + 0.4 = 1.2.
    (nothing,) = book.book(event("nothing", T0, volume=0))
    (last,) = book.book(event("last", T0, volume=1))
    assert (nothing.fees[0].units, last.fees[0].units) == (0, 1)
    for name in ("e0", "e2", "nothing", "last"):
        said(book, name, "withdrawn")
    assert (book.state.carries, book.available(POINTS)) == ({}, 10)


def test_uses_that_are_withdrawn_make_no_other_dearer():
    book = Book(catalog(volume_price("0.4", asset="POINTS")))
    book.do(adjust("100", "credit", "POINTS"))
    for number in range(50):
        book.book(event(f"gone {number}", T0, volume=1), event(f"e {number}", T0, volume=1))
        said(book, f"gone {number}", "withdrawn")
    # 50 x 0.4 of 100, to half a point; what is left over is carried.
    book.book(event("last", T0, volume=5))
    assert book.available(POINTS) == 100 - 22


def test_the_carry_of_a_payment_in_another_asset_is_given_back_too():
    # 0.25 USD are 6.25 points: 6, 6, 7.
    funding = FundingDestination("default:POINTS", exchange_rate=Number("25"))
    image = structs.replace(price(value(unit_price="0.25")), funding_destination=funding)
    book = Book(catalog(image))
    book.do(adjust("100", "credit", "POINTS"))
    results = book.book(*[event(f"e{n}", T0) for n in range(3)])
    assert [fee.paid_units for result in results for fee in result.fees] == [6, 6, 7]
    answer = said(book, "e2", "withdrawn")
    assert (answer.net_units, book.available(POINTS)) == ({"POINTS": -7}, 88)
    # 12.5 were owed for 12; 0.5 and 6.25 are 6.75.
    (again,) = book.book(event("e3", T0))
    assert again.fees[0].paid_units == 7
    for name in ("e0", "e1", "e3"):
        said(book, name, "withdrawn")
    assert (book.state.carries, book.available(POINTS)) == ({}, 100)


# -- tiers and limits -------------------------------------------------------------------------


def test_tiers_count_no_longer_what_was_withdrawn():
    # Up to 10 at 1, then at 2.
    tiers = (value(up_to="10", volume_rate="1"), value(volume_rate="2"))
    options = {"usage_type": "volume", "model": "tiered", "basis": "volume", "asset": "POINTS"}
    book = Book(catalog(price(*tiers, **options)))
    book.do(adjust("100", "credit", "POINTS"))
    book.book(pending("p", volume=9))
    (first,) = book.book(event("e", T0, volume=8))
    # The pending one has counted nothing.
    assert [fee.units for fee in first.fees] == [8]
    assert said(book, "p", "confirmed").net_units == {"POINTS": 2 * 1 + 7 * 2}
    (key,) = book.tiers
    assert book.tiers[key] == {("POINTS", 0): 17 * VOLUME_ONE}
    said(book, "e", "withdrawn")
    assert book.tiers[key] == {("POINTS", 0): 9 * VOLUME_ONE}
    # 9 are uncounted, so 12 are 10 x 1 + 2 x 2, as if it had been so from the beginning.
    assert said(book, "p", "changed", volume=12).net_units == {"POINTS": 14 - 16}
    assert book.tiers[key] == {("POINTS", 0): 12 * VOLUME_ONE}


def limited(book: Book, **options: Any) -> Limit:
    limit = Limit("lim_1", T0, 10, 0, "day", asset="POINTS", **options)
    rules = structs.replace(NO_RULES, limits=(limit,))
    book.state = structs.replace(book.state, rules=rules)
    return limit


def test_limits_count_no_longer_what_was_withdrawn_while_their_window_is_open():
    book = shop(100)
    limit = limited(book)
    book.book(event("e", T0, volume=4), pending("p", volume=5))
    used = lambda: book.counters["lim_1", ""].used_units(limit.window_at(T0)[0])  # noqa: E731
    assert used() == 4
    said(book, "p", "confirmed")
    assert used() == 9
    said(book, "e", "changed", volume=1)
    assert used() == 6
    said(book, "e", "withdrawn")
    assert used() == 5
    # Tomorrow's window has counted nothing of it.
    said(book, "p", "withdrawn", T0 + DAY)
    assert book.counters["lim_1", ""].used_units(limit.window_at(T0 + DAY)[0]) == 0


def test_a_free_use_that_is_changed_is_still_free():
    book = shop(100)
    rules = structs.replace(
        NO_RULES, limits=(Limit("lim_1", T0, 1, 0, "day", mode="free", measure="events"),)
    )
    book.state = structs.replace(book.state, rules=rules)
    book.book(event("e", T0, volume=4))
    said(book, "e", "changed", volume=9)
    assert book.available(POINTS) == 100
    said(book, "e", "withdrawn")
    # The free one is there again.
    book.book(event("next", T0, volume=4))
    assert book.available(POINTS) == 100


def test_a_confirmation_that_an_account_refuses_changes_nothing():
    book = shop(10)
    book.do(SetOverdraft(book.state.customer_id, POINTS, "reject"))
    book.book(pending(volume=11), event("charged", T0, volume=2))
    assert book.refused(outcome("e", "confirmed")).kind is INSUFFICIENT_FUNDS
    assert book.refused(outcome("charged", "changed", volume=11)).kind is INSUFFICIENT_FUNDS
    assert left(book) == [8]
    assert said(book, "e", "confirmed", volume=8).net_units == {"POINTS": 8}


# -- refusals and repeats ---------------------------------------------------------------------


def test_a_repeat_gets_the_first_answer_whatever_happened_since():
    book = shop(10)
    book.book(pending(volume=4))
    first = said(book, "e", "confirmed", tid="t")
    said(book, "e", "withdrawn")
    decision = book.decide(outcome("e", "confirmed", "t"))
    assert (decision.answer, decision.transfers, decision.transaction) == (first, [], None)


def test_another_body_under_the_same_transaction_id_is_a_conflict_that_names_the_fields():
    book = shop(10)
    book.book(pending(volume=4), pending("other", volume=4))
    said(book, "e", "confirmed", tid="t")
    assert list(book.refused(outcome("other", "confirmed", "t")).errors) == ["event_id"]
    problem = book.refused(outcome("e", "changed", "t", volume=1))
    assert list(problem.errors) == ["outcome", "data"]
    assert "outcome, data" in problem.detail
    taken = book.refused(outcome("e", "withdrawn", "credit 0"))
    assert (taken.kind, list(taken.errors)) == (CONFLICT, ["transaction_id"])
    assert book.refused(adjust("1", "t", "POINTS")).kind is CONFLICT


def test_what_makes_no_sense_is_refused_with_its_field():
    book = shop(10)
    book.book(pending(volume=4))
    assert book.refused(outcome("nobody's", "confirmed")).kind is NOT_FOUND
    assert list(book.refused(outcome("e", "changed")).errors) == ["data"]
    assert list(book.refused(outcome("e", "withdrawn", volume=1)).errors) == ["data"]
    many = {f"k{n}": n for n in range(50)}
    assert list(book.refused(outcome("e", "confirmed", **many)).errors) == ["data"]
    assert book.refused(outcome("e", "confirmed", volume=-1)).kind is INVALID
    assert book.refused(outcome("e", "confirmed", volume="many")).kind is INVALID


def test_an_event_can_be_settled_for_90_days():
    book = shop(10)
    book.book(pending(volume=4), pending("late", volume=4))
    assert timedelta(days=90) == SETTLE_WITHIN
    said(book, "e", "confirmed", T0 + SETTLE_WITHIN)
    too_late = T0 + SETTLE_WITHIN + timedelta(microseconds=1)
    assert list(book.refused(outcome("late", "confirmed"), too_late).errors) == ["outcome"]


def test_what_a_hold_has_paid_goes_back_to_where_the_hold_had_it_from():
    book = shop(3, 10)
    hold = book.hold(authorize("5", asset="POINTS"))
    book.do(capture(hold.id, None, event("e", T0, volume=4)))
    # 3 of the first grant and 1 of the second.
    assert left(book) == [9]
    (fee,) = book.events["e"].result.fees
    assert fee.reduced is not None
    assert [units for _, units in fee.reduced.paid_by] == [3, 1]
    assert said(book, "e", "changed", volume=2).net_units == {"POINTS": -2}
    assert left(book) == [1, 10]
    said(book, "e", "withdrawn")
    assert left(book) == [3, 10]
    assert revenue(book) == 0


def test_more_than_was_held_goes_back_to_whoever_paid_the_rest():
    book = shop(3, 4)
    hold = book.hold(authorize("5", asset="POINTS"))
    book.do(capture(hold.id, None, event("e", T0, volume=9)))
    assert book.available(POINTS) == -2
    said(book, "e", "withdrawn")
    assert (left(book), book.state.account(POINTS).overdraft_units) == ([3, 4], 0)


def test_what_a_hold_below_another_has_paid_goes_back_as_well():
    book = shop(3, 10)
    run = book.hold(authorize("8", asset="POINTS"))
    step = book.hold(authorize("5", "h2", "POINTS", parent_id=run.id))
    book.do(capture(step.id, None, event("e", T0, volume=6)))
    book.do(capture(run.id, None, event("f", T0, volume=1), transaction_id="c2"))
    assert left(book) == [6]
    said(book, "f", "withdrawn")
    said(book, "e", "withdrawn")
    assert (left(book), revenue(book)) == ([3, 10], 0)


def test_what_a_hold_has_paid_of_a_grant_that_has_expired_is_granted_anew():
    book = shop((3, {"expires_at": T0 + 5 * MINUTE, "reason": "gift"}), 10)
    hold = book.hold(authorize("5", asset="POINTS"))
    late = T0 + 10 * MINUTE
    book.do(capture(hold.id, None, event("e", T0, volume=5)), late)
    answer = said(book, "e", "withdrawn", late)
    assert "has expired" in answer.warnings[0]
    assert left(book) == [3, 10]


def test_what_a_hold_had_from_the_overdraft_repays_it():
    book = shop(3)
    book.do(SetOverdraft(book.state.customer_id, POINTS, "limit", 10))
    hold = book.hold(authorize("8", asset="POINTS"))
    book.do(capture(hold.id, None, event("e", T0, volume=6), final=False))
    # 3 of the grant and 3 beyond it; 2 more are set aside beyond it, which is no use.
    assert (book.available(POINTS), book.pending_out(POINTS)) == (-5, 2)
    said(book, "e", "withdrawn")
    assert (book.available(POINTS), left(book)) == (1, [3])
    book.do(capture(hold.id, None, event("f", T0, volume=0), transaction_id="c2"))
    assert (book.available(POINTS), book.state.account(POINTS).overdraft_units) == (3, 0)


def test_a_slice_is_withdrawn_but_not_changed():
    book = shop(10)
    asked = authorize(None, event_type="call", data={"volume": 3})
    hold = book.hold(asked)
    book.do(update(hold.id, event("e", T0, volume=2), want={"volume": 3}))
    problem = book.refused(outcome("e", "changed", volume=1))
    assert problem.kind is CONFLICT
    assert "slice" in problem.detail
    said(book, "e", "withdrawn")
    assert (book.available(POINTS), book.pending_out(POINTS)) == (7, 3)
    book.do(capture(hold.id, None, event("f", T0, volume=3)))
    assert book.available(POINTS) == 7


def test_who_paid_out_of_a_hold_is_not_guessed_where_it_was_not_kept():
    book = shop(10)
    hold = book.hold(authorize("5", asset="POINTS"))
    book.do(capture(hold.id, None, event("e", T0, volume=4)))
    booked = book.events["e"]
    (fee,) = booked.result.fees
    result = structs.replace(booked.result, fees=(structs.replace(fee, reduced=None),))
    book.events["e"] = structs.replace(booked, result=result)
    problem = book.refused(outcome("e", "withdrawn"))
    assert problem.kind is CONFLICT
    assert hold.id in problem.detail
    assert "adjustment" in problem.detail


def test_a_capture_has_no_pending_events():
    book = shop(10)
    hold = book.hold(authorize("5", asset="POINTS"))
    problem = book.refused(capture(hold.id, None, event("a", T0, volume=1), pending(volume=4)))
    assert list(problem.errors) == ["events[1].outcome"]


# -- whatever is said -------------------------------------------------------------------------

AMOUNTS = st.integers(0, 30)
WORDS = st.tuples(st.sampled_from(["confirmed", "changed", "withdrawn"]), AMOUNTS)


@settings(max_examples=150)
@given(
    credit=st.lists(st.integers(1, 20), max_size=4),
    is_pending=st.booleans(),
    volume=AMOUNTS,
    words=st.lists(WORDS, max_size=6),
    after=AMOUNTS,
)
def test_only_the_last_that_was_said_of_an_event_counts(
    credit: list[int], is_pending: bool, volume: int, words: list[tuple[str, int]], after: int
):
    first = (pending if is_pending else lambda **data: event("e", T0, **data))(volume=volume)
    book = shop(*credit)
    book.book(first)
    costs: int | None = None if is_pending else volume
    for number, (word, units) in enumerate(words):
        data = {"volume": units} if word == "changed" else {}
        decision = book.decide(outcome("e", word, f"t{number}", **data))
        if isinstance(decision.answer, Problem):
            continue
        if word == "confirmed":
            costs = volume if costs is None else costs
        else:
            costs = units if word == "changed" else 0
    # Another world, in which only the last was ever said.
    plain = shop(*credit)
    if costs:
        plain.book(event("e", T0, volume=costs))
    assert left(book) == left(plain)
    assert book.available(POINTS) == plain.available(POINTS)
    assert revenue(book) == revenue(plain)
    # And the next use is paid in the same way.
    book.book(event("next", T0, volume=after))
    plain.book(event("next", T0, volume=after))
    assert left(book) == left(plain)
    assert book.available(POINTS) == plain.available(POINTS)


@settings(max_examples=100)
@given(
    credit=st.lists(st.integers(1, 20), max_size=3),
    volumes=st.lists(AMOUNTS, min_size=1, max_size=4),
    words=st.lists(st.tuples(st.integers(0, 3), WORDS), max_size=10),
)
def test_several_events_leave_the_balance_that_their_last_outcomes_say(
    credit: list[int], volumes: list[int], words: list[tuple[int, tuple[str, int]]]
):
    book = shop(*credit)
    costs: dict[str, int] = {}
    for number, volume in enumerate(volumes):
        book.book(event(f"e{number}", T0, volume=volume))
        costs[f"e{number}"] = volume
    for number, (index, (word, units)) in enumerate(words):
        name = f"e{index % len(volumes)}"
        data = {"volume": units} if word == "changed" else {}
        decision = book.decide(outcome(name, word, f"t{number}", **data))
        if not isinstance(decision.answer, Problem) and word != "confirmed":
            costs[name] = units if word == "changed" else 0
    assert book.available(POINTS) == sum(credit) - sum(costs.values())
    assert revenue(book) == sum(costs.values())
    account = book.state.account(POINTS)
    assert not (account.overdraft_units and account.grants)
    assert all(g.remaining_units <= g.amount_units for g in account.grants)
