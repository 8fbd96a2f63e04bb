"""The rules of limits and free tiers, as small stories. A call costs 2 USD, a token 0.001 USD."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from faregate.core.amounts import Number, scaled
from faregate.core.gate import VoidHold
from faregate.core.instants import to_us
from faregate.core.limiting import LimitReached
from faregate.core.limits import (
    MAX_LIMITS,
    NOTHING_COUNTED,
    Limit,
    LimitChange,
    LimitRequest,
    changed_limit,
    new_limit,
)
from faregate.core.problems import CONFLICT, INVALID, LIMIT_EXCEEDED, NOT_FOUND, Problem
from faregate.core.rules import (
    BlockCustomer,
    ChangeLimit,
    DescribeCustomer,
    RemoveLimit,
    SetLimit,
)
from faregate.core.volumes import MAX_VOLUME
from faregate.core.windows import ROLLING_SECONDS

from .builders import (
    ASSETS,
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
    event,
    price,
    record,
    update,
    value,
    volume_price,
)

CALL = price(value(unit_price="2"))
TOKENS = volume_price("0.001", event_type="llm", name="Tokens", id="prc_llm")
HOUR = timedelta(hours=1)
ONE_VOLUME = 10**12


def limit(amount: str, period: Any = "day", id: str = "lim_1", **more: Any) -> Limit:
    """A limit, of USD unless `measure` says otherwise."""
    if more.get("measure", "fees") == "fees":
        more = {"asset": "USD", **more}
    made = new_limit(LimitRequest(Number(amount), period, **more), ASSETS, "UTC", id, T0)
    assert isinstance(made, Limit), made
    return made


def book_with(*limits: Limit, credit: str = "1000", general: tuple[Limit, ...] = ()) -> Book:
    """A customer with much credit and these limits."""
    book = Book(structs.replace(catalog(CALL, TOKENS), limits=general))
    book.do(adjust(credit, "credit"))
    for one in limits:
        book.do(SetLimit(CUSTOMER, one))
    return book


def tokens(identifier: str, count: Any, **more: Any) -> Any:
    return event(identifier, event_type="llm", volume=count, **more)


def by(subject: str, one: Any) -> Any:
    return structs.replace(one, subject=subject)


def ask(number: int, **more: Any) -> Any:
    """Ask for a call, 2 USD."""
    return authorize(event_type="call", transaction_id=f"call {number}", **more)


def used(book: Book, limit_id: str, subject: str = "") -> int:
    """What a limit has counted since ever."""
    return book.counters[limit_id, subject].used_units(0)


def held(book: Book, limit_id: str, subject: str = "") -> int:
    """What open holds have set aside at a limit."""
    return book.state.account("default:USD").counted.get((limit_id, subject), 0)


# -- holds -----------------------------------------------------------------------------------------


def test_holds_pass_until_the_limit_and_not_beyond() -> None:
    book = book_with(limit("5"))
    assert [book.hold(ask(n)).status for n in range(4)] == [
        "authorized",
        "authorized",
        "declined",
        "declined",
    ]


def test_a_decline_names_the_limit_what_is_used_the_cap_and_when_it_resets() -> None:
    book = book_with(limit("5", name="daily cap"))
    book.book(event("e1"))
    book.hold(ask(1))
    declined = book.hold(ask(2))
    decline = declined.decline
    assert decline is not None
    assert decline.limit is not None
    assert (decline.code, decline.limit.id, decline.limit.name) == (
        "limit_exceeded",
        "lim_1",
        "daily cap",
    )
    assert (decline.limit.used_units, decline.limit.amount_units) == (4 * ONE_USD, 5 * ONE_USD)
    assert decline.limit.resets_at == datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    for word in ("daily cap", "allows 5 USD per day", "4 is used", "2 is needed", "2026-03-02"):
        assert word in decline.detail


def test_what_a_hold_lets_go_of_may_be_held_again() -> None:
    book = book_with(limit("2"))
    first = book.hold(ask(1))
    assert book.hold(ask(2)).status == "declined"
    book.do(VoidHold(CUSTOMER, first.id))
    assert book.hold(ask(3)).status == "authorized"


def test_a_hold_that_the_clock_has_ended_counts_no_longer() -> None:
    book = book_with(limit("2"))
    book.hold(ask(1, expires_in_seconds=60))
    assert book.hold(ask(2), T0 + MINUTE - timedelta(microseconds=1)).status == "declined"
    assert book.hold(ask(3), T0 + MINUTE).status == "authorized"


def test_what_was_captured_counts_and_not_what_was_held() -> None:
    book = book_with(limit("10"))
    hold = book.hold(authorize("10", event_type=None))
    book.do(capture(hold.id, None, event("e1")))
    assert book.hold(authorize("8", "h2")).status == "authorized"
    assert book.hold(authorize("0.000000001", "h3")).status == "declined"


def test_a_captured_amount_counts_on_the_limits_of_its_hold() -> None:
    book = book_with(limit("3", event_type="call"))
    hold = book.hold(ask(1))
    book.do(capture(hold.id, "2"))
    assert book.hold(ask(2)).status == "declined"


def test_a_new_window_begins_with_nothing_used() -> None:
    book = book_with(limit("2", timezone="Europe/Berlin"))
    book.book(event("e1"))
    midnight = datetime.fromisoformat("2026-03-01T23:00:00+00:00")
    assert book.hold(ask(1), midnight - timedelta(microseconds=1)).status == "declined"
    assert book.hold(ask(2), midnight).status == "authorized"


def test_a_lifetime_never_ends() -> None:
    book = book_with(limit("2", "lifetime"))
    book.book(event("e1"))
    declined = book.hold(ask(1), T0 + 30 * DAY)
    assert declined.decline is not None
    assert declined.decline.limit is not None
    assert declined.decline.limit.resets_at is None
    assert "in all" in declined.decline.detail


def test_a_partial_hold_takes_what_the_limit_leaves() -> None:
    book = book_with(limit("3"))
    hold = book.hold(authorize("5", allow_partial=True, min_amount=Number(1)))
    assert (hold.status, hold.amount_units) == ("authorized", 3 * ONE_USD)
    again = book.hold(authorize("5", "h2", allow_partial=True))
    assert again.decline is not None
    assert again.decline.code == "limit_exceeded"


def test_the_smallest_room_of_several_limits_counts() -> None:
    book = book_with(limit("100", "month", "lim_m"), limit("3", "hour", "lim_h"))
    hold = book.hold(authorize("5", allow_partial=True))
    assert hold.amount_units == 3 * ONE_USD


def test_a_limit_of_another_asset_is_not_in_the_way() -> None:
    book = book_with(limit("0", asset="EUR"))
    assert book.hold(ask(1)).status == "authorized"


def test_a_limit_of_zero_lets_nothing_pass_but_what_costs_nothing() -> None:
    book = book_with(limit("0"))
    assert book.hold(ask(1)).status == "declined"
    assert book.hold(authorize("0", "h2")).status == "authorized"


def test_money_is_asked_for_after_the_limit() -> None:
    book = book_with(limit("5"), credit="1")
    assert (book.hold(ask(1)).decline or Any).code == "insufficient_funds"
    assert (book.hold(authorize("6", "h2")).decline or Any).code == "limit_exceeded"


# -- whose use, and of what ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "request_", "is_limited"),
    [
        ({"subject": "ada"}, {"subject": "ada"}, True),
        ({"subject": "ada"}, {"subject": "bob"}, False),
        ({"subject": "ada"}, {}, False),
        ({"subject": "*"}, {"subject": "anybody"}, True),
        ({"subject": "*"}, {}, False),
        ({"subject": "*"}, {"subject": ""}, False),
        ({"event_type": "call"}, {}, True),
        ({"event_type": "llm"}, {}, False),
        ({"dimensions": {"model": "big"}}, {"data": {"model": "big"}}, True),
        ({"dimensions": {"model": "big"}}, {"data": {"model": "small"}}, False),
        ({"dimensions": {"model": "*"}}, {"data": {"model": "small"}}, True),
        ({"dimensions": {"model": "*"}}, {}, False),
        ({"dimensions": {"n": "1.5"}}, {"data": {"n": Decimal("1.50")}}, True),
        ({"dimensions": {"fast": "true"}}, {"data": {"fast": True}}, True),
        ({"measure": "events"}, {}, True),
        ({"measure": "volume", "volume_field": "n"}, {"data": {"n": 1}}, True),
        ({"measure": "volume", "volume_field": "n"}, {}, False),
    ],
)
def test_a_limit_counts_only_what_it_says(
    terms: dict[str, Any], request_: dict[str, Any], is_limited: bool
) -> None:
    book = book_with(limit("0", **terms))
    assert (book.hold(ask(1, **request_)).status == "declined") == is_limited


def test_each_subject_is_counted_by_itself() -> None:
    book = book_with(limit("2", subject="*"))
    for number, subject in enumerate(("ada", "bob", "ada", "bob")):
        status = book.hold(ask(number, subject=subject)).status
        assert status == ("authorized" if number < 2 else "declined")
    declined = book.hold(ask(9, subject="ada"))
    assert declined.decline is not None
    assert "for subject 'ada'" in declined.decline.detail


def test_what_is_captured_counts_for_the_subject_of_the_hold_unless_the_event_has_one() -> None:
    book = book_with(limit("3", subject="*"))
    hold = book.hold(authorize("1", subject="ada"))
    book.do(capture(hold.id, None, event("e1"), by("bob", event("e2"))))
    for number, subject in enumerate(("ada", "bob")):
        assert book.hold(ask(10 + number, subject=subject)).status == "declined"
    assert book.hold(ask(12, subject="eve")).status == "authorized"


def test_a_limit_of_events_counts_uses_and_one_of_a_volume_what_they_measure() -> None:
    book = book_with(
        limit("2", id="lim_e", measure="events", event_type="call"),
        limit("100", id="lim_v", measure="volume", volume_field="volume"),
    )
    book.book(event("e1"), tokens("t1", 60))
    assert book.hold(ask(1)).status == "authorized"
    assert book.hold(ask(2)).status == "declined"
    llm = {"event_type": "llm", "transaction_id": "h3"}
    assert book.hold(authorize(**llm, data={"volume": 41})).status == "declined"
    llm["transaction_id"] = "h4"
    assert book.hold(authorize(**llm, data={"volume": 40})).status == "authorized"


def test_an_upper_bound_is_held_against_a_limit_of_volume_and_the_real_use_counts() -> None:
    book = book_with(limit("100", measure="volume", volume_field="volume"))
    bound = {"event_type": "llm", "estimate": "upper_bound", "data": {"max_volume": 80}}
    hold = book.hold(authorize(**bound))
    assert book.hold(authorize(**{**bound, "transaction_id": "h2"})).status == "declined"
    book.do(capture(hold.id, None, tokens("t1", 10)))
    assert book.hold(authorize(**{**bound, "transaction_id": "h3"})).status == "authorized"


def test_what_was_used_of_a_hold_is_no_longer_held_against_a_limit_of_volume() -> None:
    book = book_with(limit("100", measure="volume", volume_field="volume"))
    hold = book.hold(authorize(event_type="llm", data={"volume": 90}))
    book.do(capture(hold.id, None, tokens("t1", 50), final=False))
    # 50 used, 40 still held: 10 are left.
    rest = {"event_type": "llm", "transaction_id": "h2"}
    assert book.hold(authorize(**rest, data={"volume": 11})).status == "declined"
    rest["transaction_id"] = "h3"
    assert book.hold(authorize(**rest, data={"volume": 10})).status == "authorized"


def test_a_child_needs_no_more_of_the_limit_than_its_run_holds_already() -> None:
    book = book_with(limit("10"))
    run = book.hold(authorize("10"))
    assert book.hold(ask(1, parent_id=run.id)).status == "authorized"
    assert book.hold(ask(2)).status == "declined"


def test_a_child_is_held_against_limits_that_its_run_does_not_count_for() -> None:
    book = book_with(limit("3", subject="ada"))
    run = book.hold(authorize("10"))
    assert book.hold(ask(1, parent_id=run.id, subject="ada")).status == "authorized"
    assert book.hold(ask(2, parent_id=run.id, subject="ada")).status == "declined"
    assert book.hold(ask(3, parent_id=run.id, subject="bob")).status == "authorized"


def test_what_a_child_has_drawn_still_counts_where_its_run_does() -> None:
    book = book_with(limit("10", subject="team"))
    run = book.hold(authorize("10", subject="team"))
    child = book.hold(authorize("10", "h2", parent_id=run.id, subject="bob"))
    assert book.hold(authorize("1", "h3", subject="team")).status == "declined"
    # It goes back to the run, which holds all of it again.
    book.do(VoidHold(CUSTOMER, child.id))
    assert held(book, "lim_1") == 10 * ONE_USD
    assert book.hold(authorize("1", "h4", subject="team")).status == "declined"


@pytest.mark.parametrize("by_amount", [True, False])
def test_what_a_childs_child_spends_counts_where_the_run_does_and_where_it_does_itself(
    by_amount: bool,
) -> None:
    book = book_with(limit("10", subject="*"))
    run = book.hold(authorize("10", subject="team"))
    between = book.hold(authorize("6", "h2", parent_id=run.id))
    call = book.hold(ask(1, parent_id=between.id, subject="bob"))
    if by_amount:
        book.do(capture(call.id, "2"))
    else:
        book.do(capture(call.id, None, event("e1")))
    assert used(book, "lim_1", "team") == used(book, "lim_1", "bob") == 2 * ONE_USD
    assert held(book, "lim_1", "team") == 8 * ONE_USD
    assert book.hold(ask(2, subject="team")).status == "declined"
    assert book.hold(authorize("8", "h3", subject="bob")).status == "authorized"


def test_what_a_child_spends_of_its_run_counts_once_where_both_count() -> None:
    book = book_with(limit("10"))
    run = book.hold(authorize("10"))
    call = book.hold(ask(1, parent_id=run.id))
    book.do(capture(call.id, None, event("e1")))
    assert (used(book, "lim_1"), held(book, "lim_1")) == (2 * ONE_USD, 8 * ONE_USD)


def test_what_a_hold_expected_of_a_volume_counts_once_however_often_amounts_are_captured() -> None:
    per_token = {"measure": "volume", "volume_field": "volume"}
    book = book_with(limit("100", **per_token), limit("9", id="lim_e", measure="events"))
    asked = authorize(event_type="llm", data={"volume": 40}, expires_in_seconds=60)
    hold = book.hold(asked)
    later = T0 + 2 * MINUTE
    for number in range(3):
        book.do(capture(hold.id, "0.01", transaction_id=f"late {number}"), later)
    assert (used(book, "lim_1"), used(book, "lim_e")) == (40 * ONE_VOLUME, 1)


# -- slices ----------------------------------------------------------------------------------------


def test_a_slice_that_is_wanted_as_an_amount_is_held_against_what_the_use_counts_for() -> None:
    book = book_with(limit("5", dimensions={"model": "big"}))
    hold = book.hold(ask(1, data={"model": "big"}))
    last = book.do(update(hold.id, want="6"))
    assert (last.is_final, last.decline.code) == (True, "limit_exceeded")
    # Nothing more is promised; what it came to all the same is counted.
    book.do(capture(hold.id, "5"))
    assert used(book, "lim_1") == 5 * ONE_USD
    assert book.hold(ask(2, data={"model": "big"})).status == "declined"


def test_a_session_that_is_settled_by_amounts_uses_the_volume_that_it_asked_for() -> None:
    book = book_with(limit("100", measure="volume", volume_field="volume"))
    hold = book.hold(authorize(event_type="llm", data={"volume": 40}))
    want: dict[str, object] = {"volume": 40}
    assert not book.do(update(hold.id, used="0.04", want=want)).is_final
    assert (used(book, "lim_1"), held(book, "lim_1")) == (40 * ONE_VOLUME, 40 * ONE_VOLUME)
    third = book.do(update(hold.id, used="0.04", want=want, transaction_id="u2"))
    assert (third.is_final, third.decline.code) == (True, "limit_exceeded")
    assert (used(book, "lim_1"), held(book, "lim_1")) == (80 * ONE_VOLUME, 0)


def test_a_session_is_stopped_within_one_slice_of_the_limit() -> None:
    book = book_with(limit("5"))
    hold = book.hold(authorize(event_type="llm", data={"volume": 2000}))
    want: dict[str, object] = {"volume": 2000}
    second = book.do(update(hold.id, tokens("t1", 2000), want=want))
    assert (second.granted_units, second.is_final) == (2 * ONE_USD, False)
    third = book.do(update(hold.id, tokens("t2", 2000), want=want, transaction_id="u2"))
    assert (third.granted_units, third.is_final) == (0, True)
    assert third.decline.code == "limit_exceeded"
    assert third.decline.limit.used_units == 4 * ONE_USD


def test_a_partial_session_gets_what_the_limit_leaves() -> None:
    book = book_with(limit("3"))
    hold = book.hold(authorize(event_type="llm", data={"volume": 2000}, allow_partial=True))
    want: dict[str, object] = {"volume": 2000}
    second = book.do(update(hold.id, tokens("t1", 2000), want=want))
    assert (second.granted_units, second.is_final) == (1 * ONE_USD, True)


# -- events ----------------------------------------------------------------------------------------


def test_events_pass_a_hard_limit_unless_it_rejects_them() -> None:
    book = book_with(limit("3"))
    book.book(event("e1"), event("e2"))
    strict = book_with(limit("3", rejects_events=True))
    strict.book(event("e1"))
    problem = strict.refused(record(event("e2")))
    assert problem.kind is LIMIT_EXCEEDED
    assert "lim_1" in problem.detail
    # What costs nothing passes.
    strict.book(event("free", event_type="unpriced"))


def test_a_rejected_event_of_a_lenient_batch_leaves_its_neighbours_and_nothing_of_itself() -> None:
    book = book_with(limit("5", rejects_events=True))
    results = book.book(*[event(f"e{n}") for n in range(4)], lenient=True)
    assert [result.status for result in results] == ["booked", "booked", "refused", "refused"]
    assert book.available() == 996 * ONE_USD
    assert book.counters["lim_1", ""].used_units(0) == 4 * ONE_USD


def test_what_open_holds_have_set_aside_is_not_there_for_events() -> None:
    book = book_with(limit("3", rejects_events=True))
    hold = book.hold(ask(1))
    assert book.refused(record(event("e1"))).kind is LIMIT_EXCEEDED
    # What a hold has promised is never rejected, also if it is more than was held.
    book.do(capture(hold.id, None, event("e2"), event("e3")))
    assert book.counters["lim_1", ""].used_units(0) == 4 * ONE_USD


def test_a_soft_limit_lets_everything_pass_and_says_so_once_in_a_window() -> None:
    book = book_with(limit("3", mode="soft", name="watch"))
    first, second = book.book(event("e1"), event("e2"))
    assert first.warnings == ()
    assert second.warnings == ("soft limit watch: 4 of 3 USD used",)
    book.book(event("e3"))
    assert book.hold(ask(1)).status == "authorized"
    (notice,) = book.told("limit.reached")
    told = notice.data
    assert isinstance(told, LimitReached)
    assert (told.limit_id, told.mode, told.used, told.amount) == ("lim_1", "soft", 4, 3)
    book.book(event("e4", T0 + DAY), event("e5", T0 + DAY), now=T0 + DAY)
    assert len(book.told("limit.reached")) == 2


def test_a_hard_limit_says_once_that_it_is_in_the_way() -> None:
    book = book_with(limit("3"))
    book.hold(ask(1))
    for number in range(2, 5):
        assert book.hold(ask(number)).status == "declined"
    assert len(book.told("limit.reached")) == 1


ODD_VOLUMES = ("1000", True, -1, Decimal("0.0000000000001"), MAX_VOLUME + 1, Decimal("1e39"))


@pytest.mark.parametrize("volume", ODD_VOLUMES, ids=str)
def test_a_volume_that_is_none_slips_past_no_hard_limit_although_nothing_prices_it(
    volume: Any,
) -> None:
    per_token = {"measure": "volume", "volume_field": "tokens"}
    book = book_with(limit("10", rejects_events=True, **per_token))
    problem = book.refused(record(event("e1", tokens=volume)))
    assert list(problem.errors) == ["events[0].data.tokens"]
    assert list(book.refused(ask(1, data={"tokens": volume})).errors) == ["data.tokens"]
    hold = book.hold(ask(2, data={"tokens": 1}))
    problem = book.refused(update(hold.id, want={"tokens": volume}))
    assert list(problem.errors) == ["want.data.tokens"]
    # What has happened is booked, and what was not counted is said.
    done = book.do(capture(hold.id, None, event("e2", tokens=volume)))
    assert "counts nothing" in done.results[0].warnings[0]
    assert used(book, "lim_1") == 0


@pytest.mark.parametrize("volume", [MAX_VOLUME, Decimal("0.000000000001"), Decimal("1.50"), 0])
def test_a_volume_is_counted_exactly(volume: Any) -> None:
    book = book_with(limit(str(MAX_VOLUME), measure="volume", volume_field="tokens"))
    book.book(event("e1", tokens=volume))
    assert used(book, "lim_1") == scaled(volume, 12)
    hold = book.hold(ask(1, data={"tokens": MAX_VOLUME - volume}))
    assert hold.status == "authorized"
    assert used(book, "lim_1") + held(book, "lim_1") == MAX_VOLUME * ONE_VOLUME
    assert book.hold(ask(2, data={"tokens": Decimal("0.000000000001")})).status == "declined"


# -- rolling windows -------------------------------------------------------------------------------


def test_a_rolling_window_frees_what_has_left_it() -> None:
    book = book_with(limit("4", "hour", window="rolling"))
    book.book(event("e1"))
    book.book(event("e2"), now=T0 + 30 * MINUTE)
    declined = book.hold(ask(1), T0 + HOUR)
    assert declined.decline is not None
    assert declined.decline.limit is not None
    resets_at = declined.decline.limit.resets_at
    assert resets_at == T0 + HOUR + MINUTE
    assert book.hold(ask(2), resets_at - timedelta(microseconds=1)).status == "declined"
    assert book.hold(ask(3), resets_at).status == "authorized"


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 5)), min_size=1, max_size=40),
    st.integers(0, 59),
)
def test_no_stretch_of_a_rolling_window_ever_has_more_than_the_limit(
    uses: list[tuple[int, int]], seconds: int
) -> None:
    capped = limit("10", "hour", window="rolling", measure="events")
    counter, now = NOTHING_COUNTED, T0 + timedelta(seconds=seconds)
    granted: list[tuple[datetime, int]] = []
    for minutes, units in uses:
        now += timedelta(minutes=minutes)
        if counter.used_units(capped.window_at(now)[0]) + units <= 10:
            counter = counter.plus(capped, now, units)
            granted.append((now, units))
    length = timedelta(seconds=ROLLING_SECONDS["hour"])
    for end, _ in granted:
        assert sum(units for at, units in granted if end - length < at <= end) <= 10
    assert len(counter.counts) <= 62


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=20))
def test_what_frees_is_free_when_it_says_and_not_before(uses: list[tuple[int, int]]) -> None:
    capped = limit("1000", "hour", window="rolling", measure="events")
    counter, now = NOTHING_COUNTED, T0
    for minutes, units in uses:
        now += timedelta(minutes=minutes)
        counter = counter.plus(capped, now, units)
    used = counter.used_units(capped.window_at(now)[0])
    frees_at = counter.frees_at(capped, now, 1)
    assert frees_at is not None
    assert counter.used_units(capped.window_at(frees_at)[0]) < used
    before = frees_at - timedelta(microseconds=1)
    assert before < now or counter.used_units(capped.window_at(before)[0]) == used
    assert counter.frees_at(capped, now, used + 1) is None


# -- free tiers ------------------------------------------------------------------------------------


def test_the_first_units_of_a_window_are_free_and_the_rest_has_its_price() -> None:
    book = book_with(limit("1000", "month", mode="free", measure="volume", volume_field="volume"))
    first, second, third = book.book(tokens("t1", 600), tokens("t2", 600), tokens("t3", 100))
    assert [fee.units for r in (first, second, third) for fee in r.fees] == [
        0,
        ONE_USD // 5,
        ONE_USD // 10,
    ]
    (april,) = book.book(tokens("t4", 1000, at=T0 + 31 * DAY), now=T0 + 31 * DAY)
    assert april.fees[0].units == 0


def test_the_first_events_of_a_window_are_free() -> None:
    book = book_with(limit("2", mode="free", measure="events", event_type="call"))
    results = book.book(event("e1"), tokens("t1", 1000), event("e2"), event("e3"))
    assert [fee.units for r in results for fee in r.fees] == [0, ONE_USD, 0, 2 * ONE_USD]


def test_an_event_without_a_price_takes_nothing_of_a_free_tier() -> None:
    book = book_with(limit("1", mode="free", measure="events"))
    book.book(event("e1", event_type="unpriced"))
    (result,) = book.book(event("e2"))
    assert result.fees[0].units == 0


def test_what_no_price_measures_takes_nothing_of_a_free_tier() -> None:
    book = book_with(limit("100", mode="free", measure="volume", volume_field="volume"))
    # A call is priced by the use, whatever volume it says it has.
    book.book(event("e1", volume=100))
    hold = book.hold(ask(1, data={"volume": 100}))
    assert hold.amount_units == 2 * ONE_USD
    (result,) = book.book(tokens("t1", 100))
    assert result.fees[0].units == 0


def test_a_free_tier_makes_no_volume_right_that_is_out_of_bounds() -> None:
    book = book_with(limit("100", mode="free", measure="volume", volume_field="volume"))
    problem = book.refused(record(tokens("t1", MAX_VOLUME + 1)))
    assert list(problem.errors) == ["events[0].data.volume"]


def test_a_hold_needs_nothing_for_what_is_free_and_keeps_it_for_itself() -> None:
    tier = limit("1000", mode="free", measure="volume", volume_field="volume")
    book = book_with(tier, credit="1")
    hold = book.hold(authorize(event_type="llm", data={"volume": 1000}))
    assert (hold.status, hold.amount_units) == ("authorized", 0)
    # Somebody else's event finds the free tier taken.
    (other,) = book.book(tokens("t1", 500))
    assert other.fees[0].units == ONE_USD // 2
    done = book.do(capture(hold.id, None, tokens("t2", 1000)))
    assert done.captured_units == 0
    # What a hold lets go of is free again.
    second = book.hold(authorize(event_type="llm", data={"volume": 100}, transaction_id="h2"))
    assert second.amount_units == ONE_USD // 10
    book.do(VoidHold(CUSTOMER, second.id))


def test_what_a_hold_did_not_use_of_a_free_tier_is_there_again() -> None:
    tier = limit("1000", mode="free", measure="volume", volume_field="volume")
    book = book_with(tier)
    hold = book.hold(authorize(event_type="llm", data={"volume": 1000}))
    book.do(capture(hold.id, None, tokens("t1", 400)))
    (result,) = book.book(tokens("t2", 700))
    assert result.fees[0].units == ONE_USD // 10


def test_slices_of_a_free_tier_cost_what_one_use_costs() -> None:
    tier = limit("1500", mode="free", measure="volume", volume_field="volume")
    one, sliced = book_with(tier), book_with(tier)
    one.book(tokens("whole", 4000))
    want: dict[str, object] = {"volume": 1000}
    hold = sliced.hold(authorize(event_type="llm", data=want))
    for number in range(4):
        used = tokens(f"s{number}", 1000)
        sliced.do(update(hold.id, used, want=want, transaction_id=f"u{number}"))
    sliced.do(VoidHold(CUSTOMER, hold.id))
    assert sliced.available() == one.available() == 1000 * ONE_USD - 25 * ONE_USD // 10


def test_free_tiers_and_limits_of_a_cohort_hold_for_its_members_alone() -> None:
    trial = {"cohort": "trial"}
    tier = limit("1", mode="free", measure="events", customer_metadata={"verified": "yes"})
    cap = limit("4", id="lim_2", customer_metadata=trial, rejects_events=True)
    book = book_with(general=(tier, cap))
    (anybody,) = book.book(event("e1"))
    assert anybody.fees[0].units == 2 * ONE_USD
    book.do(DescribeCustomer(CUSTOMER, {**trial, "verified": "yes"}))
    (member,) = book.book(event("e2"))
    assert member.fees[0].units == 0
    book.book(event("e3"), event("e4"))
    assert book.refused(record(event("e5"))).kind is LIMIT_EXCEEDED
    book.do(DescribeCustomer(CUSTOMER, {"verified": "yes"}))
    book.book(event("e5"))


# -- setting them ----------------------------------------------------------------------------------


def test_limits_are_set_changed_and_removed() -> None:
    book = book_with(limit("2"))
    assert book.do(SetLimit(CUSTOMER, limit("99"))) == limit("2")
    book.book(event("e1"))
    assert book.hold(ask(1)).status == "declined"
    changed = book.do(ChangeLimit(CUSTOMER, "lim_1", LimitChange(Number(4))))
    assert changed.amount_units == 4 * ONE_USD
    assert book.hold(ask(2)).status == "authorized"
    assert book.hold(ask(3)).status == "declined"
    book.do(RemoveLimit(CUSTOMER, "lim_1"))
    assert book.hold(ask(4)).status == "authorized"
    assert book.refused(RemoveLimit(CUSTOMER, "lim_1")).kind is NOT_FOUND
    assert book.refused(ChangeLimit(CUSTOMER, "lim_9", LimitChange(Number(4)))).kind is NOT_FOUND


def test_a_customer_has_a_bounded_number_of_limits() -> None:
    book = book_with(*[limit("1", id=f"lim_{n}") for n in range(MAX_LIMITS)])
    assert book.refused(SetLimit(CUSTOMER, limit("1", id="lim_more"))).kind is CONFLICT


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"amount": "-1"}, "amount"),
        ({"amount": "0.0000000001"}, "amount"),
        ({"amount": "1e16"}, "amount"),
        ({"asset": None}, "asset"),
        ({"asset": "NOPE"}, "asset"),
        ({"volume_field": "n"}, "volume_field"),
        ({"measure": "volume"}, "asset"),
        ({"measure": "volume", "asset": None}, "volume_field"),
        ({"measure": "events"}, "asset"),
        ({"measure": "events", "asset": None, "amount": "1.5"}, "amount"),
        ({"mode": "free"}, "measure"),
        ({"mode": "soft", "rejects_events": True}, "rejects_events"),
        ({"window": "rolling", "period": "lifetime"}, "window"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_a_wrong_limit_is_refused_by_field(terms: dict[str, Any], field: str) -> None:
    fields = {"amount": "1", "period": "day", "asset": "USD", **terms}
    amount = Number(fields.pop("amount"))
    problem = new_limit(LimitRequest(amount, **fields), ASSETS, "UTC", "lim_1", T0)
    assert isinstance(problem, Problem)
    assert problem.kind is INVALID
    assert list(problem.errors) == [field]


@pytest.mark.parametrize(
    ("terms", "change", "field"),
    [
        ({}, LimitChange(amount=Number(-1)), "amount"),
        ({"rejects_events": True}, LimitChange(mode="soft"), "rejects_events"),
        ({"mode": "soft"}, LimitChange(rejects_events=True), "rejects_events"),
        ({"mode": "free", "measure": "events"}, LimitChange(mode="hard"), "mode"),
    ],
)
def test_a_wrong_change_is_refused_by_field(
    terms: dict[str, Any], change: LimitChange, field: str
) -> None:
    problem = changed_limit(limit("1", **terms), change)
    assert isinstance(problem, Problem)
    assert list(problem.errors) == [field]


def test_a_change_of_everything_is_kept() -> None:
    change = LimitChange(Number(3), "hard", True, "new name")
    changed = changed_limit(limit("1", mode="soft"), change)
    assert isinstance(changed, Limit)
    assert (changed.amount_units, changed.mode, changed.rejects_events, changed.name) == (
        3 * ONE_USD,
        "hard",
        True,
        "new name",
    )


# -- blocked customers -----------------------------------------------------------------------------


def test_a_blocked_customer_gets_no_hold_and_is_charged_for_what_was_used() -> None:
    book = book_with()
    hold = book.hold(authorize(event_type="llm", data={"volume": 1000}))
    book.do(BlockCustomer(CUSTOMER, "chargebacks"))
    declined = book.hold(ask(1))
    assert declined.decline is not None
    assert declined.decline.code == "customer_blocked"
    assert "chargebacks" in declined.decline.detail
    last = book.do(update(hold.id, tokens("t1", 1000), want={"volume": 1000}))
    assert (last.is_final, last.granted_units) == (True, 0)
    assert last.decline.code == "customer_blocked"
    assert last.captured_units == ONE_USD
    book.book(event("e1"))
    book.do(BlockCustomer(CUSTOMER, None))
    assert book.hold(ask(2)).status == "authorized"


# -- together --------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(("hold", "capture", "void", "event", "wait")),
        st.sampled_from(("ada", "bob", None)),
        st.integers(1, 3),
    ),
    max_size=40,
)


@given(STEPS, st.sampled_from(("calendar", "rolling")), st.booleans())
def test_what_is_used_and_held_never_passes_hard_limits_by_what_was_granted(
    steps: list[tuple[str, str | None, int]], window: Any, each: bool
) -> None:
    capped = limit("10", "hour", window=window, subject="*" if each else None, rejects_events=True)
    book = book_with(capped)
    now, open_holds = T0, dict[str, tuple[str | None, int]]()
    spent: list[tuple[datetime, str | None, int]] = []
    for number, (step, subject, units) in enumerate(steps):
        amount = str(units)
        if step == "wait":
            now += timedelta(minutes=7 * units)
            open_holds = {}  # All of them live for a minute.
        elif step == "hold":
            command = authorize(amount, f"h{number}", subject=subject, expires_in_seconds=60)
            hold = book.hold(command, now)
            if hold.status == "authorized":
                open_holds[hold.id] = (subject, units)
        elif step == "event":
            used = (
                by(subject or "", event(f"e{number}", now)) if subject else event(f"e{number}", now)
            )
            (result,) = book.book(used, lenient=True, now=now)
            if result.status == "booked":
                spent.append((now, subject, 2))
        elif open_holds:
            hold_id, (whose, held) = open_holds.popitem()
            if step == "void":
                book.do(VoidHold(CUSTOMER, hold_id), now)
            else:
                book.do(capture(hold_id, str(held), transaction_id=f"c{number}"), now)
                spent.append((now, whose, held))
        since = now.replace(minute=0) if window == "calendar" else now - timedelta(hours=1)
        for whose in {"ada", "bob"} if each else {None}:
            mine = [u for at, who, u in spent if at >= since and whose in (None, who)]
            held_now = [u for who, u in open_holds.values() if whose in (None, who)]
            assert sum(mine) + sum(held_now) <= 10
            if window == "calendar":
                counter = book.counters["lim_1", whose or ""]
                assert counter.used_units(to_us(since)) == sum(mine) * ONE_USD


def test_a_limit_has_the_timezone_that_it_names_or_else_the_accounts() -> None:
    own = LimitRequest(Number(1), "day", asset="USD", timezone="Asia/Tokyo")
    for request, zone in (
        (own, "Asia/Tokyo"),
        (structs.replace(own, timezone=None), "Europe/Rome"),
    ):
        made = new_limit(request, ASSETS, "Europe/Rome", "lim_1", T0)
        assert isinstance(made, Limit)
        assert made.timezone == zone
