"""The rules of the gate, as a table of small stories: USD, of which one unit is 10^-9; the numbers
were worked out by hand. A call costs 2 USD, tokens cost 0.001 USD each.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from faregate.core.amounts import Number
from faregate.core.decision import SetOverdraft
from faregate.core.gate import Authorize, ExtendHold, HoldCaptured, HoldUpdated, VoidHold
from faregate.core.hold_requests import ExtendRequest, HoldRequest
from faregate.core.holds import MAX_OPEN_HOLDS
from faregate.core.problems import CONFLICT, INSUFFICIENT_FUNDS, INVALID, NOT_FOUND

from .builders import (
    CUSTOMER,
    DAY,
    MINUTE,
    ONE_USD,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    customer,
    event,
    ledger,
    price,
    record,
    subscription,
    update,
    value,
    volume_price,
)

CALL = price(value(unit_price="2"))
TOKENS = volume_price("0.001", event_type="llm", name="Tokens", id="prc_llm")
USD = "default:USD"
SECOND = timedelta(seconds=1)


def book_with(credit: str = "10", *prices: Any) -> Book:
    """A customer with this much paid credit."""
    book = Book(catalog(*(prices or (CALL, TOKENS))))
    if credit != "0":
        book.do(adjust(credit, "credit"))
    return book


def tokens(identifier: str, count: int, **more: Any) -> Any:
    return event(identifier, event_type="llm", volume=count, **more)


def test_a_hold_takes_from_what_is_available_until_it_is_captured() -> None:
    book = book_with("10")
    hold = book.hold(authorize(event_type="call"))
    assert (hold.status, hold.amount_units) == ("authorized", 2 * ONE_USD)
    assert (hold.available_units, hold.pending_out_units) == (8 * ONE_USD, 2 * ONE_USD)
    done = book.do(capture(hold.id, None, event("e1")))
    assert (done.captured_units, done.released_units) == (2 * ONE_USD, 0)
    assert (book.available(), book.pending_out()) == (8 * ONE_USD, 0)
    assert done.hold.status == "captured"


@pytest.mark.parametrize(
    ("request_", "code", "missing"),
    [
        ({"amount": "10.000000001"}, "insufficient_funds", 1),
        ({"event_type": "llm", "data": {"volume": 10_001}}, "insufficient_funds", 1_000_000),
        ({"event_type": "painting"}, "no_price", None),
        ({"event_type": "llm", "data": {}}, "no_price", None),
    ],
)
def test_a_decline_says_why_and_what_would_help(
    request_: dict[str, Any], code: str, missing: int | None
) -> None:
    book = book_with("10")
    hold = book.hold(authorize(**request_))
    assert hold.decline is not None
    assert (hold.status, hold.decline.code, hold.decline.top_up_units) == (
        "declined",
        code,
        missing,
    )
    assert hold.decline.detail
    assert (book.available(), book.pending_out()) == (10 * ONE_USD, 0)


def test_a_subscription_that_has_ended_declines_by_name() -> None:
    book = Book(catalog(CALL), customer(subscription(to_at=T0 - DAY)))
    hold = book.hold(authorize(event_type="call"))
    assert hold.decline is not None
    assert hold.decline.code == "subscription_inactive"


@pytest.mark.parametrize(
    ("policy", "limit", "largest"),
    [("allow", 0, 10), ("reject", 0, 10), ("limit", 5 * ONE_USD, 15)],
)
def test_a_hold_reaches_into_a_limited_overdraft_only(
    policy: Any, limit: int, largest: int
) -> None:
    book = book_with("10")
    book.do(SetOverdraft(CUSTOMER, USD, policy, limit))
    assert book.hold(authorize(f"{largest}.000000001", "too much")).status == "declined"
    hold = book.hold(authorize(str(largest), "enough"))
    assert hold.status == "authorized"
    assert book.available() == (10 - largest) * ONE_USD
    book.do(VoidHold(CUSTOMER, hold.id))
    assert (book.available(), book.pending_out()) == (10 * ONE_USD, 0)


def test_what_is_captured_beyond_the_hold_comes_from_the_balance_then_the_overdraft() -> None:
    book = book_with("10")
    hold = book.hold(authorize("3"))
    book.do(capture(hold.id, "12"))
    assert (book.available(), book.pending_out()) == (-2 * ONE_USD, 0)
    moved = ledger(book.transfers)
    assert moved["USD", "revenue"] == 12 * ONE_USD
    assert moved["USD", hold.id] == 0
    assert moved["USD", f"overdraft:{USD}"] == -2 * ONE_USD


def test_a_capture_that_the_overdraft_policy_forbids_changes_nothing() -> None:
    book = book_with("10")
    book.do(SetOverdraft(CUSTOMER, USD, "reject"))
    hold = book.hold(authorize("3"))
    assert book.refused(capture(hold.id, "10.000000001")).kind is INSUFFICIENT_FUNDS
    assert book.do(capture(hold.id, "10")).captured_units == 10 * ONE_USD
    assert book.available() == 0


def test_captures_in_parts_end_with_the_final_one() -> None:
    book = book_with("10")
    hold = book.hold(authorize("6"))
    first = book.do(capture(hold.id, "1", final=False, transaction_id="c1"))
    assert (first.hold.status, first.hold.held_units) == ("authorized", 5 * ONE_USD)
    second = book.do(capture(hold.id, None, event("e"), final=False, transaction_id="c2"))
    assert second.hold.held_units == 3 * ONE_USD
    last = book.do(capture(hold.id, "0.5", transaction_id="c3"))
    assert (last.released_units, last.hold.captured_units) == (2_500_000_000, 3_500_000_000)
    assert (book.available(), book.pending_out()) == (6_500_000_000, 0)
    assert book.refused(capture(hold.id, "1", transaction_id="c4")).kind is CONFLICT


def test_a_grant_that_expires_while_it_is_held_pays_for_the_capture_and_its_rest_breaks() -> None:
    book = book_with("0")
    book.do(adjust("5", "gift", reason="gift", expires_at=T0 + MINUTE))
    book.do(adjust("5", "paid"))
    hold = book.hold(authorize("4"))
    # The gift's 1 that is not held expires at its instant; its 4 that are held stay.
    late = T0 + 2 * MINUTE
    done = book.do(capture(hold.id, "3"), late)
    assert (done.captured_units, done.released_units) == (3 * ONE_USD, ONE_USD)
    assert book.available() == 5 * ONE_USD
    moved = ledger(book.transfers)
    assert (moved["USD", "revenue"], moved["USD", "breakage"]) == (3 * ONE_USD, 2 * ONE_USD)


def test_a_hold_that_nobody_settles_goes_back_at_its_instant() -> None:
    book = book_with("10")
    hold = book.hold(authorize("4", expires_in_seconds=60))
    book.decide(record(event("before", at=T0)), T0 + MINUTE - SECOND)
    assert book.pending_out() == 4 * ONE_USD
    book.decide(record(event("after", at=T0)), T0 + MINUTE)
    assert (book.available(), book.pending_out()) == (6 * ONE_USD, 0)
    assert book.holds[hold.id].status == "expired"
    back = [t for t in book.transfers if t.from_account == hold.id]
    assert [(t.units, t.at) for t in back] == [(4 * ONE_USD, T0 + MINUTE)]


@pytest.mark.parametrize("late", ["charge", "reject"])
def test_a_late_capture_is_a_plain_charge_or_refused(late: Any) -> None:
    book = book_with("10")
    hold = book.hold(authorize("4", expires_in_seconds=60, late_capture=late))
    command = capture(hold.id, "3")
    if late == "reject":
        assert book.decide(command, T0 + DAY).answer.kind is CONFLICT  # type: ignore[union-attr]
        return
    done = book.do(command, T0 + DAY)
    assert (done.hold.status, done.captured_units, done.released_units) == (
        "expired",
        3 * ONE_USD,
        0,
    )
    assert (book.available(), book.pending_out()) == (7 * ONE_USD, 0)


def test_released_credit_first_repays_what_was_used_beyond_the_grants() -> None:
    book = book_with("10")
    hold = book.hold(authorize("10"))
    book.book(event("e1"))
    assert book.available() == -2 * ONE_USD
    book.do(VoidHold(CUSTOMER, hold.id))
    account = book.state.account(USD)
    assert (account.available_units, account.overdraft_units) == (8 * ONE_USD, 0)
    assert sum(grant.remaining_units for grant in account.grants) == 8 * ONE_USD


def test_two_holds_on_one_overdraft_come_back_in_any_order() -> None:
    for first in (0, 1):
        book = book_with("10")
        book.do(SetOverdraft(CUSTOMER, USD, "limit", 10 * ONE_USD))
        holds = [book.hold(authorize("7", "a")), book.hold(authorize("8", "b"))]
        assert book.available() == -5 * ONE_USD
        book.do(VoidHold(CUSTOMER, holds[first].id))
        book.do(VoidHold(CUSTOMER, holds[1 - first].id))
        account = book.state.account(USD)
        assert (account.available_units, account.overdraft_units) == (10 * ONE_USD, 0)
        assert ledger(book.transfers)["USD", f"overdraft:{USD}"] == 0


def test_what_was_held_beyond_the_grants_is_paid_by_credit_that_has_come_meanwhile() -> None:
    book = book_with("10")
    book.do(SetOverdraft(CUSTOMER, USD, "limit", 10 * ONE_USD))
    hold = book.hold(authorize("15"))
    book.do(adjust("20", "more"))
    # The 5 beyond the grants are a promise, not a debt: the new credit is all there.
    assert book.available() == 15 * ONE_USD
    book.do(capture(hold.id, "15"))
    account = book.state.account(USD)
    assert (account.available_units, account.overdraft_units) == (15 * ONE_USD, 0)


def test_part_of_what_was_asked_is_granted_where_that_is_enough() -> None:
    book = book_with("10")
    options: dict[str, Any] = {"allow_partial": True}
    declined = book.hold(authorize("50", "a", **options, min_amount=Number("10.000000001")))
    assert declined.status == "declined"
    hold = book.hold(authorize("50", "b", **options))
    assert (hold.status, hold.amount_units) == ("authorized", 10 * ONE_USD)
    assert book.hold(authorize("1", "c", **options)).status == "declined"


def test_a_repeat_gets_the_first_answer_whatever_happened_since() -> None:
    book = book_with("10")
    asked = authorize("4")
    hold = book.hold(asked)
    captured = book.do(capture(hold.id, "1"))
    assert book.hold(asked) == hold
    assert book.do(capture(hold.id, "1")) == captured
    declined = book.hold(authorize("100", "big"))
    book.do(adjust("1000", "rich"))
    assert book.hold(authorize("100", "big")) == declined
    assert book.available() == 1_009 * ONE_USD


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (authorize("5"), ["max_amount"]),
        (authorize("4", subject="ada", allow_partial=True), ["subject", "allow_partial"]),
        (authorize(event_type="call"), ["event_type", "max_amount", "asset"]),
    ],
)
def test_a_transaction_id_that_was_used_for_another_hold_is_a_conflict(
    other: Authorize, fields: list[str]
) -> None:
    book = book_with("10")
    book.hold(authorize("4"))
    problem = book.refused(other)
    assert problem.kind is CONFLICT
    assert sorted(problem.errors) == sorted(fields)


def test_an_event_that_was_booked_before_is_not_charged_again_by_a_capture() -> None:
    book = book_with("10")
    hold = book.hold(authorize("4"))
    book.book(event("e1"))
    done = book.do(capture(hold.id, None, event("e1"), event("e2")))
    assert [result.status for result in done.results] == ["repeat", "booked"]
    assert done.captured_units == 2 * ONE_USD
    assert book.available() == 6 * ONE_USD


def test_a_run_cannot_be_given_more_than_its_budget() -> None:
    book = book_with("10")
    run = book.hold(authorize("5", "run"))
    first = book.hold(authorize("3", "one", parent_id=run.id))
    assert (first.status, book.pending_out()) == ("authorized", 5 * ONE_USD)
    second = book.hold(authorize("3", "two", parent_id=run.id))
    assert second.decline is not None
    assert second.decline.code == "insufficient_funds"
    assert run.id in second.decline.detail
    # The first needs less than it was given: the rest goes back to the run.
    book.do(capture(first.id, "1"))
    third = book.hold(authorize("3", "three", parent_id=run.id))
    assert third.status == "authorized"
    done = book.do(capture(run.id, "0.5", transaction_id="end"))
    assert (done.hold.captured_units, done.released_units) == (1_500_000_000, 3_500_000_000)
    assert book.holds[third.id].status == "voided"
    assert (book.available(), book.pending_out()) == (8_500_000_000, 0)


def test_a_child_that_needs_more_than_it_was_given_draws_on_the_rest_of_the_run() -> None:
    book = book_with("10")
    run = book.hold(authorize("5", "run"))
    child = book.hold(authorize("1", "one", parent_id=run.id))
    book.do(capture(child.id, "4"))
    assert book.available() == 5 * ONE_USD
    assert book.holds[run.id].held_units == ONE_USD
    assert book.holds[run.id].captured_units == 4 * ONE_USD


def test_a_child_ends_with_its_run() -> None:
    book = book_with("10")
    run = book.hold(authorize("5", "run", expires_in_seconds=60))
    child = book.hold(authorize("2", "one", parent_id=run.id, expires_in_seconds=86_400))
    assert child.expires_at == T0 + MINUTE
    book.decide(record(event("e", at=T0)), T0 + MINUTE)
    assert {book.holds[h.id].status for h in (run, child)} == {"expired"}
    assert (book.available(), book.pending_out()) == (8 * ONE_USD, 0)


def test_extending_moves_the_expiry_later_and_never_earlier() -> None:
    book = book_with("10")
    hold = book.hold(authorize("4", expires_in_seconds=600))
    short = ExtendHold(CUSTOMER, hold.id, ExtendRequest(60))
    assert book.do(short).expires_at == T0 + 10 * MINUTE
    long = ExtendHold(CUSTOMER, hold.id, ExtendRequest(1200))
    assert book.do(long).expires_at == T0 + 20 * MINUTE
    book.decide(record(event("e", at=T0)), T0 + 15 * MINUTE)
    assert book.pending_out() == 4 * ONE_USD
    assert book.decide(long, T0 + 20 * MINUTE).answer.kind is CONFLICT  # type: ignore[union-attr]


def test_voiding_twice_is_harmless_and_voiding_what_was_captured_is_not() -> None:
    book = book_with("10")
    hold, other = book.hold(authorize("4", "a")), book.hold(authorize("4", "b"))
    for _ in range(2):
        assert book.do(VoidHold(CUSTOMER, hold.id)).status == "voided"
    assert book.available() == 6 * ONE_USD
    book.do(capture(other.id, "1"))
    assert book.refused(VoidHold(CUSTOMER, other.id)).kind is CONFLICT
    assert book.refused(VoidHold(CUSTOMER, "hld_unknown")).kind is NOT_FOUND


@pytest.mark.parametrize("slices", [1, 3, 7, 100])
@pytest.mark.parametrize(
    "sold",
    [
        volume_price("0.0000000004", event_type="llm", id="prc_llm"),
        price(
            value(volume_rate="1", package_size="1000"),
            usage_type="volume",
            event_type="llm",
            model="package",
            id="prc_llm",
        ),
        price(
            value(unit_price="0.5", volume_rate="0.01"),
            usage_type="unit_and_volume",
            event_type="llm",
            id="prc_llm",
        ),
        price(
            value(volume_rate="0.00001", min_amount="0.5", max_amount="0.75"),
            usage_type="volume",
            event_type="llm",
            id="prc_llm",
        ),
    ],
    ids=["tiny", "package", "unit and volume", "bounds"],
)
def test_a_use_in_slices_costs_what_it_costs_in_one(sold: Any, slices: int) -> None:
    whole = book_with("10000", sold)
    whole.book(tokens("all", 100_000))
    book = book_with("10000", sold)
    hold = book.hold(authorize(event_type="llm", data={"volume": 1}))
    sizes = [100_000 // slices] * (slices - 1)
    sizes.append(100_000 - sum(sizes))
    for number, size in enumerate(sizes[:-1]):
        command = update(
            hold.id,
            tokens(f"s{number}", size),
            want={"volume": size},
            transaction_id=f"u{number}",
        )
        answer = book.do(command)
        assert isinstance(answer, HoldUpdated)
        assert not answer.is_final
    if slices == 1:
        book.do(update(hold.id, want={"volume": 100_000}))
    done = book.do(capture(hold.id, None, tokens("last", sizes[-1])))
    assert isinstance(done, HoldCaptured)
    assert (book.available(), book.pending_out()) == (whole.available(), 0)
    assert book.state.carries == whole.state.carries


def test_a_stream_is_stopped_within_one_slice_of_an_empty_wallet() -> None:
    book = book_with("2.5")
    hold = book.hold(authorize(event_type="llm", data={"volume": 1000}, final_action="restrict"))
    answers = []
    for number in range(5):
        used = tokens(f"s{number}", 1000)
        command = update(hold.id, used, want={"volume": 1000}, transaction_id=f"u{number}")
        answers.append(book.do(command))
        if answers[-1].is_final:
            break
    # Two slices of 1 USD are paid; 0.5 is left, which is no third.
    assert [a.granted_units for a in answers] == [ONE_USD, 0]
    assert answers[-1].final_action == "restrict"
    assert answers[-1].decline.top_up_units == 500_000_000
    assert (book.available(), book.pending_out()) == (500_000_000, 0)


def test_the_last_slice_is_what_there_is_where_that_is_allowed() -> None:
    book = book_with("2.5")
    hold = book.hold(authorize("1", allow_partial=True))
    first = book.do(update(hold.id, used="1", want="2", transaction_id="u1"))
    assert (first.granted_units, first.is_final) == (1_500_000_000, True)
    done = book.do(capture(hold.id, "1.5"))
    assert (done.hold.captured_units, book.available()) == (2_500_000_000, 0)


def test_a_smaller_slice_gives_back_what_it_does_not_need_and_renews_the_hold() -> None:
    book = book_with("10")
    hold = book.hold(authorize("6", expires_in_seconds=60))
    later = T0 + MINUTE - SECOND
    answer = book.do(update(hold.id, used="1", want="2"), later)
    assert (answer.granted_units, answer.is_final) == (2 * ONE_USD, False)
    assert (book.available(), book.pending_out()) == (7 * ONE_USD, 2 * ONE_USD)
    assert answer.hold.expires_at == later + MINUTE


def test_an_update_after_expiry_charges_what_was_used_and_is_final() -> None:
    book = book_with("10")
    hold = book.hold(authorize("4", expires_in_seconds=60))
    answer = book.do(update(hold.id, used="1", want="2"), T0 + DAY)
    assert (answer.granted_units, answer.is_final, answer.hold.status) == (0, True, "expired")
    assert (book.available(), book.pending_out()) == (9 * ONE_USD, 0)


def test_an_upper_bound_is_what_the_use_may_cost_at_most() -> None:
    book = book_with("10")
    data = {"max_volume": 4000, "model": "m"}
    hold = book.hold(authorize(event_type="llm", data=data, estimate="upper_bound"))
    assert hold.amount_units == 4 * ONE_USD
    refused = book.refused(authorize(None, "h2", event_type="llm", estimate="upper_bound"))
    assert list(refused.errors) == ["data.max_volume"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "event_type"),
        ({"amount": "-1"}, "max_amount"),
        ({"amount": "0.0000000001"}, "max_amount"),
        ({"amount": "1", "asset": "XXX"}, "asset"),
        ({"amount": "1", "event_type": "call"}, "max_amount"),
        ({"amount": "1", "data": {"volume": 1}}, "data"),
        ({"amount": "1", "min_amount": Number("1")}, "min_amount"),
        ({"amount": "1", "parent_id": "hld_none"}, "parent_id"),
        ({"event_type": "llm", "data": {"volume": -1}}, "data.volume"),
        ({"event_type": "llm", "data": {"volume": "many"}}, "data.volume"),
        ({"event_type": "call", "account_name": "other"}, "account_name"),
    ],
)
def test_a_request_that_cannot_be_is_refused_by_field(request_: dict[str, Any], field: str) -> None:
    book = book_with("10")
    problem = book.refused(authorize(**request_))
    assert problem.kind is INVALID
    assert list(problem.errors) == [field]


def test_one_wrong_request_of_a_batch_refuses_all_by_its_place() -> None:
    book = book_with("10")
    good = HoldRequest("a", event_type="call")
    batch = Authorize(CUSTOMER, (good, HoldRequest("b")), is_batch=True)
    assert list(book.refused(batch).errors) == ["holds[1].event_type"]
    many = tuple(HoldRequest(f"h{n}", event_type="call") for n in range(8))
    answer = book.do(Authorize(CUSTOMER, many, is_batch=True))
    counted = Counter(hold.status for hold in answer.holds)
    assert counted == {"authorized": 5, "declined": 3}


def test_an_account_has_a_bounded_number_of_open_holds() -> None:
    book = book_with("10000")
    many = [HoldRequest(f"h{n}", event_type="call") for n in range(MAX_OPEN_HOLDS)]
    for start in range(0, MAX_OPEN_HOLDS, 100):
        book.do(Authorize(CUSTOMER, tuple(many[start : start + 100]), is_batch=True))
    assert book.refused(authorize("1", "one more")).kind is CONFLICT
    book.do(VoidHold(CUSTOMER, next(iter(book.holds))))
    assert book.hold(authorize("1", "one more")).status == "authorized"


@pytest.mark.parametrize(("policy", "limit"), [("allow", 0), ("limit", 1), ("reject", 0)])
def test_a_decline_on_an_overdrawn_account_asks_for_what_was_overdrawn_too(
    policy: Any, limit: int
) -> None:
    book = book_with("1")
    book.book(event("e1"), event("e2"), event("e3"))
    book.do(SetOverdraft(CUSTOMER, USD, policy, limit * ONE_USD))
    run = book.hold(authorize("0", "run"))
    declined = book.hold(authorize("2", "h1")).decline
    assert declined is not None
    assert declined.top_up_units == (7 - limit) * ONE_USD
    # So it is where a slice is asked for.
    final = book.do(update(run.id, want="2")).decline
    assert final.top_up_units == declined.top_up_units
    book.do(adjust(f"{7 - limit}", "top-up"))
    assert book.hold(authorize("2", "h2")).status == "authorized"


def test_what_comes_back_to_a_run_is_used_in_the_order_of_its_grants() -> None:
    book = book_with("0")
    book.do(adjust("5", "paid"))
    book.do(adjust("5", "gift", reason="gift"))
    run = book.hold(authorize("10", "run"))
    child = book.hold(authorize("6", "child", parent_id=run.id))
    book.do(VoidHold(CUSTOMER, child.id))
    book.do(capture(run.id, "5"))
    assert [grant.purpose for grant in book.state.account(USD).grants] == ["paid"]


def test_a_slice_uses_credit_that_has_come_meanwhile_in_the_order_of_use() -> None:
    book = book_with("5")
    hold = book.hold(authorize("2"))
    book.do(adjust("1", "gift", reason="gift"))
    book.do(update(hold.id, want="3"))
    book.do(capture(hold.id, "1"))
    assert [grant.purpose for grant in book.state.account(USD).grants] == ["paid"]
    assert book.available() == 5 * ONE_USD


def test_the_last_capture_of_a_run_is_paid_by_what_its_children_have_not_used() -> None:
    book = book_with("10")
    book.do(SetOverdraft(CUSTOMER, USD, "reject"))
    run = book.hold(authorize("10", "run"))
    child = book.hold(authorize("6", "one", parent_id=run.id))
    book.hold(authorize("3", "two", parent_id=child.id))
    # While its children may still need it, it is theirs.
    assert book.refused(capture(run.id, "5", final=False)).kind is INSUFFICIENT_FUNDS
    done = book.do(capture(run.id, "5"))
    assert (done.captured_units, done.released_units) == (5 * ONE_USD, 5 * ONE_USD)
    assert (book.available(), book.pending_out()) == (5 * ONE_USD, 0)
    assert {hold.status for hold in book.holds.values()} == {"captured", "voided"}
    assert book.refused(capture(run.id, "5", transaction_id="c2")).kind is CONFLICT


@pytest.mark.parametrize("by_event", [False, True])
def test_a_late_capture_is_paid_by_the_run_that_the_hold_drew_from(by_event: bool) -> None:
    book = book_with("5")
    book.do(SetOverdraft(CUSTOMER, USD, "reject"))
    run = book.hold(authorize("5", "run", expires_in_seconds=600))
    child = book.hold(authorize("2", "one", parent_id=run.id, expires_in_seconds=60))
    late = T0 + 2 * MINUTE
    used = capture(child.id, None, event("e")) if by_event else capture(child.id, "2")
    done = book.do(used, late)
    assert (done.hold.status, done.captured_units) == ("expired", 2 * ONE_USD)
    assert book.holds[run.id].held_units == 3 * ONE_USD
    assert {book.holds[h.id].captured_units for h in (run, child)} == {2 * ONE_USD}
    # When the run has ended too, it is a plain charge.
    again = capture(child.id, "1", transaction_id="c2")
    assert book.do(again, T0 + 20 * MINUTE).captured_units == ONE_USD
    assert book.holds[run.id].captured_units == 2 * ONE_USD
    assert (book.available(), book.pending_out()) == (2 * ONE_USD, 0)


def test_what_a_hold_has_captured_or_set_aside_never_outgrows_the_ledger() -> None:
    most = "9000000000"
    book = book_with(most)
    run = book.hold(authorize("1", "run"))
    hold = book.hold(authorize("0", "h1", parent_id=run.id))
    book.do(capture(hold.id, most, final=False))
    book.do(adjust(most, "more"))
    problem = book.refused(capture(hold.id, "1", final=False, transaction_id="c2"))
    assert (problem.kind, list(problem.errors)) == (INVALID, ["amount"])
    book.do(update(run.id, want="8999999999"))
    book.do(update(run.id, want="0", transaction_id="u2"))
    problem = book.refused(update(run.id, want="1", transaction_id="u3"))
    assert (problem.kind, list(problem.errors)) == (INVALID, ["want"])
    # They can still be let go of.
    book.do(capture(run.id, "0", transaction_id="end"))
    assert book.available() == 9 * 10**18
