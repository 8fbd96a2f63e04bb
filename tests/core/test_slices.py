"""A use that is paid in slices costs what it costs in one piece, to the last unit and to what
rounding leaves over; and whatever a capture comes to is paid in the same order.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.accounts import REVENUE
from faregate.core.amounts import plain, to_decimal
from faregate.core.decision import SetOverdraft
from faregate.core.gate import VoidHold
from faregate.core.prices import UsageBasedPrice
from faregate.core.problems import INVALID

from .builders import (
    CUSTOMER,
    ONE_USD,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    event,
    ledger,
    price,
    record,
    update,
    value,
)

USD = "default:USD"


def sold(usage_type: str = "volume", **numbers: str) -> UsageBasedPrice:
    return price(value(**numbers), usage_type=usage_type, event_type="llm", model=None, id="prc_l")


PRICES: dict[str, tuple[UsageBasedPrice, ...]] = {
    "flat": (sold(volume_rate="0.000003"),),
    "less than a unit": (sold(volume_rate="0.0000000004"),),
    "a third": (sold(volume_rate="1", package_size="3"),),
    "both parts": (sold("unit_and_volume", unit_price="0.0000000013", volume_rate="0.01"),),
    "at least": (sold(volume_rate="0.01", min_amount="7.77"),),
    "at most": (sold(volume_rate="0.01", max_amount="3.0000000005"),),
    "per use": (sold("unit", unit_price="0.35"),),
    "package": (
        price(
            value(volume_rate="0.000000000333333333", package_size="7", min_amount="0.00000001"),
            usage_type="volume",
            event_type="llm",
            model="package",
            id="prc_l",
        ),
    ),
    "two prices": (
        sold("unit_and_volume", unit_price="0.1", volume_rate="0.0000000007"),
        price(
            value(volume_rate="0.02", package_size="9", max_amount="4"),
            usage_type="volume",
            event_type="llm",
            model="package",
            id="prc_two",
        ),
    ),
}
VOLUMES = st.integers(0, 900) | st.decimals(0, 900, places=3)


def used(number: int, volume: int | Decimal) -> Any:
    return event(f"e{number}", event_type="llm", volume=volume)


def credited(*prices: UsageBasedPrice) -> Book:
    book = Book(catalog(*prices))
    book.do(adjust("100000", "credit"))
    # Something is left over from before.
    book.book(event("before", event_type="llm", volume=1))
    return book


@pytest.mark.parametrize("name", PRICES)
@given(st.data())
def test_slices_cost_what_one_event_costs_to_the_remainder(name: str, data: st.DataObject) -> None:
    volumes = data.draw(st.lists(VOLUMES, min_size=1, max_size=6))
    cuts = data.draw(st.lists(st.booleans(), min_size=len(volumes), max_size=len(volumes)))
    whole = credited(*PRICES[name])
    whole.book(used(0, sum(volumes)))
    book = credited(*PRICES[name])
    hold = book.hold(authorize(event_type="llm", data={"volume": 1}))
    book.do(update(hold.id, want={"volume": 10}, transaction_id="first"))
    waiting: list[Any] = []
    for number, volume in enumerate(volumes[:-1]):
        waiting.append(used(number, volume))
        if cuts[number]:
            command = update(
                hold.id, *waiting, want={"volume": volumes[-1]}, transaction_id=f"u{number}"
            )
            book.do(command)
            # A repeat counts nothing twice.
            book.do(command)
            waiting = []
    book.do(capture(hold.id, None, *waiting, used(len(volumes), volumes[-1])))
    assert book.pending_out() == 0
    assert exact(book) == exact(whole)
    assert book.available() == whole.available()
    cost = credited(*PRICES[name]).available() - book.available()
    assert book.holds[hold.id].captured_units == cost


def test_half_a_unit_is_rounded_in_slices_as_it_is_in_one_use() -> None:
    half = price(
        value(volume_rate="0.5"), usage_type="volume", event_type="llm", asset="POINTS", id="prc_l"
    )
    for size in range(1, 12):
        whole, book = Book(catalog(half)), Book(catalog(half))
        for one in (whole, book):
            one.do(adjust("100", "credit", "POINTS"))
        whole.book(used(0, size))
        hold = book.hold(authorize(event_type="llm", data={"volume": 1}))
        for number in range(size):
            command = update(
                hold.id, used(number, 1), want={"volume": 1}, transaction_id=f"u{number}"
            )
            book.do(command)
        book.do(VoidHold(CUSTOMER, hold.id))
        assert book.available("default:POINTS") == whole.available("default:POINTS")
        assert book.state.carries == whole.state.carries


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=30))
def test_no_slice_ever_gives_something_back(steps: list[tuple[bool, int]]) -> None:
    half = price(
        value(volume_rate="0.5"), usage_type="volume", event_type="llm", asset="POINTS", id="prc_l"
    )
    book = Book(catalog(half))
    book.do(adjust("1000", "credit", "POINTS"))
    hold = book.hold(authorize(event_type="llm", data={"volume": 1}))
    for number, (is_slice, volume) in enumerate(steps):
        if is_slice:
            want: dict[str, object] = {"volume": 1}
            command = update(hold.id, used(number, volume), want=want, transaction_id=f"u{number}")
            results = book.do(command).results
        else:
            results = book.book(used(number, volume))
        assert results[0].fees[0].units >= 0
    book.do(VoidHold(CUSTOMER, hold.id))
    total = Fraction(sum(volume for _, volume in steps), 2)
    carried = sum(book.state.carries.values(), 0)
    denominator = book.catalog.prices["prc_l"].assets[0].denominator
    assert 1000 - book.available("default:POINTS") == total - Fraction(carried, denominator)


def exact(book: Book) -> Fraction:
    """What the wallet would have if fees were never rounded, in units."""
    left_over = [
        Fraction(numerator, book.catalog.prices[price_id].assets[0].denominator)
        for (price_id, _), numerator in book.state.carries.items()
    ]
    return book.available() - sum(left_over, Fraction())


def test_a_refused_slice_counts_for_nothing() -> None:
    book = credited(*PRICES["both parts"])
    hold = book.hold(authorize(event_type="llm", data={"volume": 1}))
    book.do(update(hold.id, used(1, 10), want={"volume": 10}))
    meters = book.holds[hold.id].meters
    wrong = event("wrong", event_type="llm", volume="many")
    for command in (
        update(hold.id, used(2, 10), wrong, want={"volume": 1}, transaction_id="u2"),
        update(hold.id, used(2, 10), want={"volume": -1}, transaction_id="u2"),
        update(hold.id, used(2, 10), want="0.0000000001", transaction_id="u2"),
        capture(hold.id, None, used(2, 10), wrong),
    ):
        assert book.refused(command).kind is INVALID
        assert book.state.account(USD).holds[hold.id].meters == meters


@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 20),
    st.booleans(),
)
def test_a_capture_is_paid_by_the_hold_then_its_run_then_the_balance_then_the_overdraft(
    own: int, run: int, balance: int, amount: int, final: bool
) -> None:
    book = Book(catalog())
    total = own + run + balance
    if total:
        book.do(adjust(f"{total}", "credit"))
    parent = book.hold(authorize(f"{own + run}", "run"))
    hold = book.hold(authorize(f"{own}", "own", parent_id=parent.id))
    decision = book.decide(capture(hold.id, f"{amount}", final=final))
    paid = [(t.from_account[:4], t.units // ONE_USD) for t in decision.transfers]
    paid = [p for p, t in zip(paid, decision.transfers, strict=True) if t.to_account == REVENUE]
    expected, missing = [], amount
    for name, there in (("hld_", own), ("hld_", run), ("grt_", balance), ("over", missing)):
        part = min(missing, there)
        if part:
            expected.append((name, part))
        missing -= part
    assert paid == expected
    book.do(VoidHold(CUSTOMER, parent.id))
    assert (book.available(), book.pending_out()) == ((total - amount) * ONE_USD, 0)
    assert ledger(book.transfers)["USD", REVENUE] == amount * ONE_USD


@given(st.integers(0, 12), st.integers(0, 8), st.integers(0, 14))
def test_money_that_was_lent_to_a_hold_is_never_more_than_the_limit(
    credit: int, limit: int, wanted: int
) -> None:
    book = Book(catalog())
    if credit:
        book.do(adjust(f"{credit}", "credit"))
    book.do(SetOverdraft(CUSTOMER, USD, "limit", limit * ONE_USD))
    hold = book.hold(authorize(f"{wanted}", allow_partial=True))
    assert hold.amount_units == min(wanted, credit + limit) * ONE_USD
    assert book.state.account(USD).overdraft_units <= limit * ONE_USD
    book.do(VoidHold(CUSTOMER, hold.id))
    assert book.available() == credit * ONE_USD
    assert book.state.account(USD).overdraft_units == 0


def test_an_event_of_another_asset_is_not_paid_by_the_hold() -> None:
    in_credits = price(value(unit_price="1"), asset="CREDITS", id="prc_credits")
    book = Book(catalog(in_credits))
    book.do(adjust("5", "money"))
    book.do(adjust("5", "credits", "CREDITS"))
    hold = book.hold(authorize("3"))
    done = book.do(capture(hold.id, None, event("e1")))
    assert (done.captured_units, done.released_units) == (0, 3 * ONE_USD)
    assert (book.available(), book.available("default:CREDITS")) == (5 * ONE_USD, 400)


def test_an_event_that_was_booked_before_its_session_is_no_slice_of_it() -> None:
    book = credited(*PRICES["at least"])
    hold = book.hold(authorize(event_type="llm", data={"volume": 1}))
    book.do(record(used(1, 10)))
    answer = book.do(update(hold.id, used(1, 10), want={"volume": 1}))
    assert (answer.captured_units, book.holds[hold.id].meters) == (0, ())
    done = book.do(capture(hold.id, None, used(2, 10)))
    assert plain(to_decimal(done.captured_units, 9)) == "7.77"
