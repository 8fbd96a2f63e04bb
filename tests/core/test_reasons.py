"""Why a fee is what it is: sentences worked out by hand, and that the parts always come to it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.core.builders import (
    CUSTOMER,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    dimensional,
    event,
    outcome,
    price,
    record,
    update,
    value,
    volume_price,
)
from tests.core.plans import at, commitment, coupon
from tests.core.test_discounts import MIDDLE, living
from tests.core.test_limits import book_with, limit
from tests.core.test_pricing import priced_events

from faregate.core.accounts import REVENUE
from faregate.core.amounts import Number
from faregate.core.prices import FundingDestination, UsageBasedPrice
from faregate.core.reasons import EventReason, FeeReason, explain_event
from faregate.core.refunds import Payment, payments_of

TOKENS = {"usage_type": "volume", "volume_field": "output_tokens"}
PER_MILLION = value(volume_rate="0.60", package_size="1000000")


def reason(book: Book, name: str) -> EventReason:
    """What the engine finds for an event: the event as it stands, and who paid."""
    booked = book.events[name]
    stands = book.outcomes.get(name)
    payments: dict[str, tuple[Payment, ...]] = {}
    if stands is not None:
        result = structs.replace(booked.result, fees=tuple([one.fee for one in stands.fees]))
        booked = structs.replace(booked, result=result, outcome=stands.outcome)
        payments = {one.fee.id: one.payments for one in stands.fees}
    else:
        booked = structs.replace(booked, outcome=booked.event.outcome)
        paid = [t for t in book.transfers if t.to_account == REVENUE]
        payments = {o.fee.id: o.payments for o in payments_of(booked.result.fees, paid)}
    return explain_event(CUSTOMER, booked, payments, book.grants, book.catalog)


def charged(*prices: UsageBasedPrice, credit: str = "100", **data: Any) -> FeeReason:
    """The reason of the only fee of one event, paid from one gift."""
    book = Book(catalog(*prices))
    book.do(adjust(credit, "gift", reason="gift"))
    book.book(event("e", T0, **data))
    (fee,) = reason(book, "e").fees
    assert fee.untold == ()
    return fee


@pytest.mark.parametrize(
    ("one", "data", "said"),
    [
        (
            price(PER_MILLION, **TOKENS),
            {"output_tokens": 1840},
            "1,840 output tokens × $0.60 per 1M = $0.001104, from promotion grant",
        ),
        (price(value(unit_price="0.02")), {}, "1 use × $0.02 = $0.02, from promotion grant"),
        (
            price(
                value(unit_price="0.01", volume_rate="2", package_size="1000"),
                usage_type="unit_and_volume",
            ),
            {"volume": 1500},
            "1 use × $0.01 + 1,500 volume × $2.00 per 1,000 = $3.01, from promotion grant",
        ),
        (
            price(
                value(volume_rate="2", package_size="1000"), usage_type="volume", model="package"
            ),
            {"volume": 1500},
            "1,500 volume × $2.00 per 1,000 = $4.00, from promotion grant",
        ),
        (
            price(value(volume_rate="2", min_amount="5"), usage_type="volume"),
            {"volume": 1},
            "1 volume × $2.00, at least $5.00 = $5.00, from promotion grant",
        ),
        (
            price(value(volume_rate="2", max_amount="5"), usage_type="volume"),
            {"volume": 7},
            "7 volume × $2.00, at most $5.00 = $5.00, from promotion grant",
        ),
        (
            price(
                dimensional({"model": "large", "region": "*"}, volume_rate="2"),
                dimensional({"model": "*", "region": "*"}, volume_rate="1"),
                usage_type="volume",
                dimensions=("model", "region"),
            ),
            {"volume": 3, "model": "large", "region": "eu"},
            "3 volume × $2.00, for model=large = $6.00, from promotion grant",
        ),
        (
            price(
                value(up_to="10", volume_rate="2"),
                value(volume_rate="1"),
                usage_type="volume",
                model="tiered",
                basis="volume",
            ),
            {"volume": 14},
            "10 volume × $2.00 (tier 1) + 4 volume × $1.00 (tier 2) = $24.00, from promotion grant",
        ),
        (
            price(
                value(up_to="10", volume_rate="2"),
                value(volume_rate="1"),
                usage_type="volume",
                model="bulk",
                basis="volume",
            ),
            {"volume": 14},
            "14 volume × $1.00 (tier 2) = $14.00, from promotion grant",
        ),
    ],
    ids=["flat", "per use", "both", "package", "least", "most", "dimensions", "tiers", "bulk"],
)
def test_a_fee_says_how_it_was_worked_out(one: UsageBasedPrice, data: Any, said: str) -> None:
    assert charged(one, **data).sentence == said


def test_who_paid_is_named_in_the_order_of_use_with_the_overdraft_last() -> None:
    book = Book(catalog(volume_price("1")))
    book.do(adjust("2", "paid", reason="external_topup"))
    book.do(adjust("3", "gift", reason="gift"))
    book.book(event("e", T0, volume=7))
    (fee,) = reason(book, "e").fees
    end = "from promotion grant ($3.00), paid grant ($2.00), beyond the balance (overdraft) ($2.00)"
    assert fee.sentence.endswith(f"= $7.00, {end}")
    shares = [(one.kind, one.purpose, one.amount) for one in fee.paid_by]
    assert shares == [("grant", "promotion", 3), ("grant", "paid", 2), ("overdraft", None, 2)]


def test_a_fee_out_of_a_hold_says_who_filled_the_hold() -> None:
    book = Book(catalog(volume_price("1")))
    book.do(adjust("5", "gift", reason="gift"))
    hold = book.do(authorize("5", "h"))
    book.do(capture(hold.holds[0].id, None, event("e", T0, volume=4)))
    (fee,) = reason(book, "e").fees
    assert fee.sentence == "4 volume × $1.00 = $4.00, from promotion grant"


def test_what_is_no_longer_known_is_said_and_not_guessed() -> None:
    book = Book(catalog(volume_price("1")))
    book.book(event("e", T0, volume=4))
    booked = book.events["e"]
    (fee,) = explain_event(CUSTOMER, booked, {}, {}, book.catalog).fees
    assert fee.paid_by == ()
    assert fee.untold == ("who paid it can no longer be told to the last unit",)
    assert fee.sentence == "4 volume × $1.00 = $4.00"
    gone = structs.replace(book.catalog, prices={})
    (fee,) = explain_event(CUSTOMER, booked, {}, {}, gone).fees
    assert fee.sentence == "$4.00"
    assert "no longer in the catalog" in fee.untold[0]
    # Somebody edited the row: the parts are not made to fit.
    other = structs.replace(booked.result.fees[0], units=5 * 10**9)
    edited = structs.replace(booked, result=structs.replace(booked.result, fees=(other,)))
    (fee,) = explain_event(CUSTOMER, edited, {}, {}, book.catalog).fees
    assert fee.parts == ()
    assert "differs" in fee.untold[0]


def test_an_event_without_a_fee_says_why() -> None:
    book = Book(catalog(volume_price("1")))
    book.book(event("none", T0, "nothing"), structs.replace(event("p", T0), outcome="pending"))
    said = reason(book, "none")
    assert said.sentence == "No fee: no price for event_type=nothing: no fee."
    assert reason(book, "p").sentence == "No fee yet: its outcome is pending."
    book.do(outcome("p", "withdrawn"))
    assert "given back" in reason(book, "p").sentence


def test_discounts_and_a_cap_are_named_with_what_they_took_off() -> None:
    life = living(
        coupon("50"),
        coupon(amount="1", code="B"),
        items=(commitment(most="3"),),
    )
    life.do(record(event("a", at(MIDDLE), "tokens", volume=6)), MIDDLE)
    life.do(record(event("b", at(MIDDLE), "tokens", volume=8)), MIDDLE)
    (first,) = reason(life.book, "a").fees
    # Half of 6 is 3, less 1 is 2.
    said = "6 volume × $1.00, $3.00 less by coupon ONE (50%), $1.00 less by coupon B = $2.00"
    assert first.sentence == f"{said}, from paid grant"
    # Half of 8 is 4, of which 1 is within the cap of 3.
    (second,) = reason(life.book, "b").fees
    said = "$4.00 less by coupon ONE (50%), $3.00 less because a cap is reached = $1.00"
    assert second.sentence == f"8 volume × $1.00, {said}, from paid grant"
    for fee in (first, second):
        assert sum([part.amount for part in fee.parts]) == fee.amount
        assert fee.untold == ()


def test_a_fee_paid_in_another_asset_names_the_rate() -> None:
    one = structs.replace(
        volume_price("1"),
        funding_destination=FundingDestination("default:POINTS", exchange_rate=Number("10")),
    )
    book = Book(catalog(one))
    book.do(adjust("100", "gift", "POINTS", reason="gift"))
    book.book(event("e", T0, volume=3))
    (fee,) = reason(book, "e").fees
    paid = "paid as 30 POINTS at 10 POINTS for 1 USD, from promotion grant"
    assert fee.sentence == f"3 volume × $1.00 = $3.00, {paid}"
    assert (fee.paid_amount, fee.paid_asset) == (30, "POINTS")


def test_what_rounding_left_over_is_a_part() -> None:
    book = Book(catalog(volume_price("0.6", asset="POINTS")))
    book.do(adjust("9", "gift", "POINTS", reason="gift"))
    for name in "abc":
        book.book(event(name, T0, volume=1))
    fees = [reason(book, name).fees[0] for name in "abc"]
    # 0.6 each: 1, then 0.2 of 1.2 are carried, then 1.8 less 1 paid.
    assert [fee.amount for fee in fees] == [1, 0, 1]
    parts = [[(part.kind, part.amount) for part in fee.parts] for fee in fees]
    assert parts[0] == [("volume", Decimal("0.6")), ("rounding", Decimal("0.4"))]
    assert parts[1] == [("volume", Decimal("0.6")), ("rounding", Decimal("-0.6"))]
    assert all(fee.untold == () for fee in fees)


@settings(max_examples=100)
@given(st.lists(priced_events(), min_size=1, max_size=4))
def test_the_parts_of_any_fee_come_to_it(cases: list[Any]) -> None:
    for source, _, volume in cases:
        book = Book(catalog(source))
        for name in "abc":
            done = book.decide(record(event(name, T0, volume=volume, model="a"), lenient=True))
            if done.events:
                _assert_it_adds_up(reason(book, name))


RATES = st.sampled_from(["0", "0.5", "1", "0.0000000003", "7"])


@settings(max_examples=100)
@given(
    st.sampled_from(["tiered", "bulk"]),
    st.sampled_from(["volume", "unit"]),
    st.lists(RATES, min_size=3, max_size=3),
    st.lists(st.integers(0, 9) | st.decimals(0, 9, places=2), min_size=1, max_size=6),
)
def test_the_parts_of_fees_in_tiers_come_to_them(
    model: str, basis: str, rates: list[str], volumes: list[Any]
) -> None:
    tiers = [
        value(unit_price=rate, volume_rate=rate, **({} if end is None else {"up_to": end}))
        for rate, end in zip(rates, ("3", "10", None), strict=True)
    ]
    one = price(*tiers, usage_type="unit_and_volume", model=model, basis=basis)
    book = Book(catalog(one))
    for number, volume in enumerate(volumes):
        book.book(event(str(number), T0, volume=volume))
        _assert_it_adds_up(reason(book, str(number)))


def test_what_a_limit_left_free_is_named() -> None:
    tokens = {"mode": "free", "measure": "volume", "volume_field": "volume"}
    book = book_with(limit("1000", "month", **tokens))
    for name, volume in (("all", 600), ("part", 700), ("none", 5)):
        book.book(event(name, T0, "llm", volume=volume))
    said = [reason(book, name).fees[0].sentence.partition(" =")[0] for name in ("all", "part")]
    assert said[0] == "600 volume, all of it free by a limit"
    assert said[1] == "300 volume × $0.001, after 400 that a limit left free"
    assert "free" not in reason(book, "none").sentence


def test_a_slice_of_a_longer_use_says_that_the_whole_was_priced() -> None:
    book = Book(catalog(volume_price("1")))
    book.do(adjust("9", "gift", reason="gift"))
    hold = book.do(authorize(None, "h", event_type="call", data={"volume": 3})).holds[0]
    book.do(update(hold.id, event("a", T0, volume=2), want={"volume": 3}))
    (fee,) = reason(book, "a").fees
    assert fee.sentence == "2 volume, as a part of a longer use = $2.00, from promotion grant"
    assert fee.untold == ("it is a slice of a longer use, of which the whole was priced",)


def _assert_it_adds_up(said: EventReason) -> None:
    for fee in said.fees:
        assert fee.untold == ()
        assert sum([part.amount for part in fee.parts]) == fee.amount
        assert sum([one.amount for one in fee.paid_by]) == fee.amount
