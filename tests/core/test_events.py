"""Usage events: booked once, priced by what was in force, all of a batch or nothing of it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core import codec
from faregate.core.amounts import Number
from faregate.core.decision import SetOverdraft
from faregate.core.events import GRACE_PERIOD, Cost, RecordEvents, UsageEvent
from faregate.core.prices import AssetPricing
from faregate.core.problems import CONFLICT, INSUFFICIENT_FUNDS, INVALID, FaregateError, Problem
from faregate.core.simulating import simulate
from faregate.core.subscriptions import CLOCK_SKEW

from .builders import (
    CUSTOMER,
    DAY,
    MINUTE,
    ONE_USD,
    T0,
    Book,
    adjust,
    catalog,
    catalog_of,
    charge,
    compiled,
    customer,
    dimensional,
    event,
    ledger,
    price,
    product,
    record,
    subscription,
    value,
    volume_price,
)

properties = settings(deadline=None, max_examples=100)
MICROSECOND = timedelta(microseconds=1)
CALLS = catalog(price(value(unit_price="0.25")))
TOKENS = catalog(volume_price("0.002"))


def rejecting(book: Book, *accounts: str) -> Book:
    for identifier in accounts or ("default:USD",):
        book.do(SetOverdraft(CUSTOMER, identifier, "reject"))
    return book


def test_an_event_is_priced_debited_and_answered() -> None:
    book = Book(CALLS)
    book.do(adjust("1"))
    (result,) = book.book(event("e1"))
    (fee,) = result.fees
    assert (result.event_id, result.status, result.warnings) == ("e1", "booked", ())
    assert (fee.price_id, fee.asset, fee.account_id) == ("prc_one", "USD", "default:USD")
    assert (fee.units, fee.value_index, fee.volume) == (ONE_USD // 4, 0, None)
    assert result.balances == {"default:USD": ONE_USD * 3 // 4}
    assert book.transfers[-1].reference == fee.id
    assert ledger(book.transfers)["USD", "revenue"] == fee.units


def test_each_result_has_the_balance_after_its_own_event() -> None:
    book = Book(CALLS)
    book.do(adjust("1"))
    results = book.book(event("e1"), event("e2"))
    assert [r.balances["default:USD"] for r in results] == [ONE_USD * 3 // 4, ONE_USD // 2]


def test_an_event_takes_the_balance_below_zero_because_it_has_happened() -> None:
    book = Book(CALLS)
    (result,) = book.book(event("e1"))
    assert result.balances == {"default:USD": -ONE_USD // 4}


def test_a_repeat_gives_the_first_answer_whatever_happened_since() -> None:
    book = Book(TOKENS)
    book.do(adjust("5"))
    (first,) = book.book(event("e1", volume=100))
    book.do(charge("3", "t2"))
    before = book.state
    decision = book.decide(record(event("e1", volume=100)), T0 + 90 * DAY)
    (again,) = decision.answer.results  # type: ignore[union-attr]
    assert again.status == "repeat"
    assert (again.fees, again.warnings, again.balances) == (
        first.fees,
        first.warnings,
        first.balances,
    )
    assert not decision.transfers
    assert not decision.events
    assert decision.state == before


def test_a_repeat_within_one_batch_is_booked_once() -> None:
    book = Book(CALLS)
    results = book.book(event("e1"), event("e1"), event("e2"))
    assert [r.status for r in results] == ["booked", "repeat", "booked"]
    assert results[1].fees == results[0].fees
    assert book.available() == -ONE_USD // 2


def test_a_repeat_may_write_the_same_numbers_and_instants_differently() -> None:
    book = Book(TOKENS)
    first = codec.decode(
        UsageEvent,
        '{"id":"e1","event_type":"call","occurred_at":"2026-03-01T12:00:00Z","data":{"volume":2}}',
    )
    again = codec.decode(
        UsageEvent,
        '{"id":"e1","event_type":"call","occurred_at":"2026-03-01T13:00:00+01:00",'
        '"data":{"volume":2.0}}',
    )
    book.book(first)
    assert book.book(again)[0].status == "repeat"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"data": {"volume": 2}}, ["data"]),
        ({"data": None}, ["data"]),
        ({"event_type": "search"}, ["event_type"]),
        ({"occurred_at": T0 - MINUTE}, ["occurred_at"]),
        ({"subject": "agent-7", "description": "x"}, ["subject", "description"]),
        ({"costs": [Cost("c1", Number("0.1"), vendor_id="v")]}, ["costs"]),
    ],
)
def test_a_changed_repeat_is_a_conflict_that_names_the_fields(
    changes: dict[str, Any], fields: list[str]
) -> None:
    book = Book(TOKENS)
    first = event("e1", volume=1)
    book.book(first)
    problem = book.refused(record(msgspec.structs.replace(first, **changes)))
    assert problem.kind is CONFLICT
    assert list(problem.errors) == [f"events[0].{field}" for field in fields]
    assert ", ".join(fields) in problem.detail


def test_true_is_not_a_repeat_of_one() -> None:
    book = Book(CALLS)
    book.book(event("e1", cached=1))
    problem = book.refused(record(event("e1", cached=True)))
    assert list(problem.errors) == ["events[0].data"]


def test_a_changed_repeat_within_one_batch_is_a_conflict() -> None:
    problem = Book(TOKENS).refused(record(event("e1", volume=1), event("e1", volume=2)))
    assert problem.kind is CONFLICT
    assert list(problem.errors) == ["events[1].data"]


@pytest.mark.parametrize(
    "at",
    [T0 - GRACE_PERIOD - MICROSECOND, T0 + CLOCK_SKEW + MICROSECOND, T0 - 900 * DAY, T0 + DAY],
)
def test_an_event_too_old_or_in_the_future_is_refused_by_its_instant(at: Any) -> None:
    problem = Book(CALLS).refused(record(event("e1", at)))
    assert problem.kind is INVALID
    assert problem.kind.status == 422
    assert list(problem.errors) == ["events[0].occurred_at"]


@pytest.mark.parametrize("at", [T0 - timedelta(days=34), T0, T0 + timedelta(minutes=5)])
def test_an_event_at_the_edge_of_its_time_is_booked(at: Any) -> None:
    (result,) = Book(CALLS).book(event("e1", at))
    assert result.status == "booked"
    assert len(result.fees) == 1


BAD = [
    (event("bad", T0 + DAY, volume=1), "occurred_at"),
    (event("bad", volume="many"), "data.volume"),
    (event("bad", volume=-1), "data.volume"),
    (event("bad", volume=Decimal("1e-13")), "data.volume"),
    (event("e0", volume=999), "data"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
@pytest.mark.parametrize("place", [1, 2])
def test_one_bad_event_refuses_its_whole_batch_by_name(
    bad: UsageEvent, field: str, place: int
) -> None:
    book = Book(TOKENS)
    book.book(event("e0", volume=1))
    good = [event("e1", volume=Decimal("0.1")), event("e2", volume=3)]
    good.insert(place, bad)
    problem = book.refused(record(*good))
    assert list(problem.errors) == [f"events[{place}].{field}"]
    assert problem.detail.startswith(f"events[{place}]: ")
    assert book.state.carries == {}
    assert [r.status for r in book.book(event("e1", volume=7))] == ["booked"]


@pytest.mark.parametrize(("bad", "field"), BAD)
def test_a_lenient_batch_books_the_good_and_names_the_bad(bad: UsageEvent, field: str) -> None:
    book = Book(TOKENS)
    book.book(event("e0", volume=1))
    results = book.book(event("e1", volume=2), bad, event("e2", volume=3), lenient=True)
    assert [r.status for r in results] == ["booked", "refused", "booked"]
    problem = results[1].problem
    assert problem is not None
    assert list(problem.errors) == [f"events[1].{field}"]
    assert results[1].fees == ()
    assert set(book.events) == {"e0", "e1", "e2"}
    assert book.available() == -(1 + 2 + 3) * 2_000_000


def test_a_batch_beyond_the_balance_is_refused_whole_and_its_ids_stay_free() -> None:
    book = rejecting(Book(CALLS))
    book.do(adjust("0.3"))
    problem = book.refused(record(event("e1"), event("e2")))
    assert problem.kind is INSUFFICIENT_FUNDS
    assert problem.kind.status == 402
    assert problem.detail.startswith("events[1]: ")
    assert book.available() == ONE_USD * 3 // 10
    book.do(adjust("1", "t2"))
    assert [r.status for r in book.book(event("e1"), event("e2"))] == ["booked", "booked"]


def test_a_lenient_batch_books_what_the_balance_pays() -> None:
    book = rejecting(Book(TOKENS))
    book.do(adjust("0.01"))
    results = book.book(
        event("e1", volume=3),
        event("e2", volume=3),
        event("e3", volume=2),
        event("e2", volume=1),
        lenient=True,
    )
    assert [r.status for r in results] == ["booked", "refused", "booked", "refused"]
    assert results[1].problem is not None
    assert results[1].problem.kind is INSUFFICIENT_FUNDS
    assert book.available() == 0
    assert set(book.events) == {"e1", "e3"}


TWO_PRICES = catalog(
    price(value(unit_price="0.1"), id="prc_a", address="a:USD"),
    volume_price("0.0000000004", id="prc_b"),
    price(value(unit_price="1"), id="prc_c"),
)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("others", [0, 1])
def test_an_event_refused_at_its_last_price_leaves_nothing_of_its_first(
    lenient: bool, others: int
) -> None:
    book = rejecting(Book(TWO_PRICES))
    before = book.state
    events = [event("e1", volume=1), event("e2", volume=1)][: 1 + others]
    decision = book.decide(record(*events, lenient=lenient))
    assert decision.transfers == []
    assert decision.events == []
    assert not decision.carries
    assert not decision.grants
    assert not decision.accounts
    assert decision.state == before


def test_a_lenient_event_alone_is_refused_in_its_own_result() -> None:
    (result,) = rejecting(Book(CALLS)).book(event("e1"), lenient=True)
    assert result.status == "refused"
    assert result.problem is not None
    assert result.problem.kind is INSUFFICIENT_FUNDS


@properties
@given(
    st.lists(st.integers(0, 50) | st.decimals(0, 50, places=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
    st.booleans(),
)
def test_the_same_events_cost_the_same_however_they_are_split(
    volumes: list[Any], cuts: list[int], lenient: bool
) -> None:
    rates = catalog(
        volume_price("0.0000000004", id="prc_a"),
        price(value(volume_rate="0.00000001", package_size="7"), usage_type="volume", id="prc_b"),
    )
    events = [event(f"e{i}", volume=v) for i, v in enumerate(volumes)]
    whole = Book(rates)
    results = whole.book(*events)
    split, edges = Book(rates), sorted({0, len(events), *(min(c, len(events)) for c in cuts)})
    pieces: list[Any] = []
    for start, end in pairwise(edges):
        pieces += split.book(*events[start:end], lenient=lenient)
    assert [[f.units for f in r.fees] for r in pieces] == [
        [f.units for f in r.fees] for r in results
    ]
    assert [r.balances for r in pieces] == [r.balances for r in results]
    assert split.state.accounts == whole.state.accounts
    assert split.state.carries == whole.state.carries
    assert ledger(split.transfers).total() == 0


VERSIONS = catalog_of(
    product(
        {
            1: (price(value(unit_price="1"), id="prc_v1"),),
            2: (price(value(unit_price="2"), id="prc_v2"),),
        },
        defaults=((T0 - 60 * DAY, 1), (T0 - DAY, 2)),
    )
)


@pytest.mark.parametrize(
    ("at", "dollars"),
    [(T0 - 2 * DAY, 1), (T0 - DAY - MICROSECOND, 1), (T0 - DAY, 2), (T0, 2)],
)
def test_a_late_event_is_priced_by_the_version_that_was_the_default_then(
    at: Any, dollars: int
) -> None:
    (result,) = Book(VERSIONS).book(event("e1", at))
    assert [fee.units for fee in result.fees] == [dollars * ONE_USD]


def test_a_product_with_two_subscriptions_counts_once() -> None:
    state = customer(subscription(version=1, id="sub_a"), subscription(version=2, id="sub_b"))
    (result,) = Book(VERSIONS, state).book(event("e1"))
    assert [fee.price_id for fee in result.fees] == ["prc_v1"]


@pytest.mark.parametrize(
    ("sent", "warning"),
    [
        (event("e1", event_type="search"), "no price for event_type=search: no fee"),
        (event("e1", at=T0 - 5 * DAY), "no price for event_type=call when it occurred: no fee"),
        (event("e1"), "data.volume is missing"),
    ],
)
def test_an_event_that_nothing_prices_is_booked_with_a_warning(
    sent: UsageEvent, warning: str
) -> None:
    book = Book(TOKENS, customer(subscription(from_at=T0 - DAY)))
    (result,) = book.book(sent)
    assert result.status == "booked"
    assert result.fees == ()
    assert len(result.warnings) == 1
    assert warning in result.warnings[0]
    assert not book.transfers
    assert book.events["e1"].event is sent
    assert book.book(sent)[0].warnings == result.warnings


def test_a_value_for_no_dimension_is_warned_of_and_the_other_price_still_counts() -> None:
    book = Book(
        catalog(
            price(dimensional({"model": "a"}, unit_price="1"), dimensions=("model",), id="prc_a"),
            price(value(unit_price="2"), id="prc_b"),
        )
    )
    (result,) = book.book(event("e1", model="b"))
    assert [fee.price_id for fee in result.fees] == ["prc_b"]
    assert result.warnings == ("no price for model=b under 'Calls'",)


def test_an_event_of_no_price_is_booked_also_where_overdraft_is_rejected() -> None:
    book = rejecting(Book(catalog(price(value(unit_price="0")))))
    (result,) = book.book(event("e1"))
    assert [fee.units for fee in result.fees] == [0]


@pytest.mark.parametrize(("asset", "expected"), [(None, "USD"), ("EUR", "EUR"), ("USD", "USD")])
def test_a_price_in_many_assets_takes_the_first_that_the_customer_has(
    asset: str | None, expected: str
) -> None:
    both = price(value(unit_price="1"))
    both = msgspec.structs.replace(
        both, pricing=(*both.pricing, AssetPricing("EUR", (value(unit_price="2"),)))
    )
    book = Book(catalog(both))
    if asset is not None:
        book.do(adjust("10", asset=asset))
    (result,) = book.book(event("e1"))
    assert [fee.asset for fee in result.fees] == [expected]


def test_credit_that_expired_before_the_event_arrives_does_not_pay_for_it() -> None:
    book = Book(CALLS)
    book.do(adjust("1", reason="gift", expires_at=T0 + MINUTE))
    (result,) = book.book(event("e1", T0), now=T0 + MINUTE)
    assert result.balances == {"default:USD": -ONE_USD // 4}
    assert ledger(book.transfers)["USD", "breakage"] == ONE_USD


def test_an_event_at_an_impossible_price_is_refused_not_lost() -> None:
    book = Book(catalog(price(value(unit_price="1e18"))))
    assert book.refused(record(event("e1"))).kind is INVALID


@pytest.mark.parametrize(
    "body",
    [
        '{"id":"e1","event_type":"call","occurred_at":"2026-03-01T12:00:00Z","extra":1}',
        '{"event_type":"call","occurred_at":"2026-03-01T12:00:00Z"}',
        '{"id":"e1","event_type":"call","occurred_at":"2026-03-01T12:00:00"}',
        '{"id":"e1","event_type":"call","occurred_at":"2026-03-01T12:00:00Z",'
        '"costs":[{"id":"c","amount":"0.1"}]}',
    ],
    ids=["unknown field", "no id", "naive instant", "cost as text"],
)
def test_a_badly_shaped_event_is_refused_before_any_rule(body: str) -> None:
    with pytest.raises(FaregateError):
        codec.decode_request(UsageEvent, body.encode())


def test_an_empty_batch_changes_nothing() -> None:
    book = Book(CALLS)
    before = book.state
    decision = book.decide(RecordEvents(CUSTOMER, ()))
    assert decision.state == before
    assert not decision.events


@properties
@given(st.lists(st.integers(0, 50) | st.just(None), min_size=1, max_size=12))
def test_a_simulation_gives_the_fees_that_booking_gives_a_new_customer(volumes: list[Any]) -> None:
    sources = (
        volume_price("0.0000000004", id="prc_a"),
        price(value(unit_price="0.0000000007"), id="prc_b"),
    )
    events = [event(f"e{i}", volume=v) for i, v in enumerate(volumes)]
    simulated = simulate(tuple(compiled(s) for s in sources), events)
    assert not isinstance(simulated, Problem)
    fees, warnings = simulated
    booked = Book(catalog(*sources)).book(*events)
    assert [(f.event_id, f.compiled.id, f.units) for f in fees] == [
        (r.event_id, f.price_id, f.units) for r in booked for f in r.fees
    ]
    assert warnings == [f"events[{i}]: {w}" for i, r in enumerate(booked) for w in r.warnings]


def test_a_simulation_names_the_event_that_would_be_refused() -> None:
    rates = (compiled(volume_price("1")),)
    problem = simulate(rates, [event("e1", volume=1), event("e2", volume=-1)])
    assert isinstance(problem, Problem)
    assert list(problem.errors) == ["events[1].data.volume"]
