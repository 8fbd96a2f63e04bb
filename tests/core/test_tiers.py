"""What a use costs where the price depends on how much was used before. The tables' sums were
worked out by hand, as the comments show."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.gate import Authorize
from faregate.core.instants import to_us
from faregate.core.prices import PriceValue, UsageBasedPrice
from faregate.core.pricing import Match, price_event
from faregate.core.problems import Problem
from faregate.core.simulating import simulate
from faregate.core.tiers import period_from_us
from faregate.core.volumes import VOLUME_ONE

from .builders import (
    DAY,
    ONE_USD,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    compiled,
    customer,
    event,
    price,
    subscription,
    update,
    value,
)

properties = settings(deadline=None, max_examples=100)


def tier(up_to: str | None = None, **numbers: str) -> PriceValue:
    return value(**numbers) if up_to is None else value(up_to=up_to, **numbers)


def by_volume(*tiers: PriceValue, model: str = "tiered", **more: Any) -> UsageBasedPrice:
    options = {"usage_type": "volume", "basis": "volume", **more}
    return price(*tiers, model=model, **options)


# Up to 100 at 1, the next 400 at 0.5, what is beyond at 0.1.
RATES = (
    tier("100", volume_rate="1"),
    tier("500", volume_rate="0.5"),
    tier(volume_rate="0.1"),
)
GRADUATED = by_volume(*RATES)
BULK = by_volume(*RATES, model="bulk")
# The first 2 calls at 3, up to 5 at 2, then 1.
CALLS = (tier("2", unit_price="3"), tier("5", unit_price="2"), tier(unit_price="1"))
GRADUATED_CALLS = price(*CALLS, model="tiered", basis="unit")
BULK_CALLS = price(*CALLS, model="bulk", basis="unit")
# A price per call and one per token, which count different things.
BOTH = (
    tier("10", unit_price="2", volume_rate="1"),
    tier(unit_price="1", volume_rate="0.5"),
)


def costs(source: UsageBasedPrice, *volumes: object, **more: Any) -> list[str]:
    """Return what events of these volumes cost one after another, in whole units of the asset."""
    one = compiled(source)
    priced = one.assets[0]
    counted: dict[tuple[str, int], int] = {}
    found = []
    for volume in volumes:
        match = price_event(one, priced, {"volume": volume, **more}, counted)
        assert isinstance(match, Match), match
        key = (priced.asset.code, match.entry)
        counted[key] = counted.get(key, 0) + match.quantity
        cost = Fraction(match.numerator, priced.denominator * 10**priced.asset.scale)
        found.append(str(cost))
    return found


@pytest.mark.parametrize(
    ("source", "volumes", "expected"),
    [
        # Within the first tier.
        (GRADUATED, [40], ["40"]),
        # To its end, which belongs to it; and not a grain of the next.
        (GRADUATED, [100], ["100"]),
        # 100 x 1 + 1 x 0.5.
        (GRADUATED, [101], ["201/2"]),
        # 100 x 1 + 400 x 0.5 + 500 x 0.1 = 100 + 200 + 50.
        (GRADUATED, [1000], ["350"]),
        # The same in three events: 60; 40 x 1 + 360 x 0.5 = 220; 40 x 0.5 + 500 x 0.1 = 70.
        (GRADUATED, [60, 400, 540], ["60", "220", "70"]),
        # At the border exactly: 100 x 1; 400 x 0.5; 1 x 0.1.
        (GRADUATED, [100, 400, 1], ["100", "200", "1/10"]),
        # Parts of a volume: 99.5 x 1; 0.5 x 1 + 0.5 x 0.5 = 0.75.
        (GRADUATED, [Decimal("99.5"), 1], ["199/2", "3/4"]),
        # Nothing used costs nothing, on a border too.
        (GRADUATED, [0, 100, 0], ["0", "100", "0"]),
        # Bulk: all of it at the tier that it reaches.
        (BULK, [40], ["40"]),
        (BULK, [100], ["100"]),
        # 101 x 0.5.
        (BULK, [101], ["101/2"]),
        # 1,000 x 0.1.
        (BULK, [1000], ["100"]),
        # 60 x 1; with 460 the second: 400 x 0.5; with 1,000 the third: 540 x 0.1.
        (BULK, [60, 400, 540], ["60", "200", "54"]),
        # 500 lies in the second tier still.
        (BULK, [100, 400, 1], ["100", "200", "1/10"]),
        # Calls: 3, 3, then 2, 2, 2, then 1.
        (GRADUATED_CALLS, [None] * 7, ["3", "3", "2", "2", "2", "1", "1"]),
        (BULK_CALLS, [None] * 7, ["3", "3", "2", "2", "2", "1", "1"]),
        # Packages of 10: 5 of them at 1 each, then 0.5 each. 30 and 40: 3; 2 x 1 + 2 x 0.5 = 3.
        (
            by_volume(
                tier("5", volume_rate="1", package_size="10"),
                tier(volume_rate="0.5", package_size="10"),
                basis="package",
            ),
            [30, 40, 5],
            ["3", "3", "1/4"],
        ),
        # Tiers of volume with packages of their own sizes: 50 at 1 per 10; 50 at 1 per 25.
        (
            by_volume(
                tier("50", volume_rate="1", package_size="10"),
                tier(volume_rate="1", package_size="25"),
            ),
            [100, 25],
            ["7", "1"],
        ),
        # Both parts, volume counts. The price per call is the tier's in which the call begins:
        # 2 + 6; 2 + 4 x 1 + 2 x 0.5 = 7; 1 + 6 x 0.5 = 4.
        (
            by_volume(*BOTH, usage_type="unit_and_volume"),
            [6, 6, 6],
            ["8", "7", "4"],
        ),
        # Both parts, bulk: 2 + 6; the second reached, 1 + 6 x 0.5.
        (
            by_volume(*BOTH, usage_type="unit_and_volume", model="bulk"),
            [6, 6],
            ["8", "4"],
        ),
        # Both parts, calls count: the first ten at 2 + volume, however large they are.
        (
            by_volume(*BOTH, usage_type="unit_and_volume", basis="unit"),
            [100, *[1] * 9, 100],
            ["102", *["3"] * 9, "51"],
        ),
        # Only volume has a price, and calls count.
        (
            by_volume(tier("1", volume_rate="2"), tier(volume_rate="1"), basis="unit"),
            [5, 5],
            ["10", "5"],
        ),
        # Least and greatest amounts are those of the tier in which an event ends.
        (
            by_volume(
                tier("10", volume_rate="1", min_amount="5"),
                tier(volume_rate="1", min_amount="2", max_amount="4"),
            ),
            [1, 9, 1, 9],
            ["5", "9", "2", "4"],
        ),
        # One tier is a flat price.
        (by_volume(tier(volume_rate="2")), [3, 4], ["6", "8"]),
        # Free up to 10, then 1: a free allowance.
        (by_volume(tier("10", volume_rate="0"), tier(volume_rate="1")), [8, 8, 8], ["0", "6", "8"]),
    ],
)
def test_a_use_costs_what_its_tiers_say(
    source: UsageBasedPrice, volumes: list[object], expected: list[str]
) -> None:
    assert costs(source, *volumes) == expected


def test_each_entry_of_a_price_with_dimensions_counts_for_itself() -> None:
    cheap = PriceValue(
        dimensions={"model": "s"}, values=(tier("10", volume_rate="2"), tier(volume_rate="1"))
    )
    rest = PriceValue(
        dimensions={"model": "*"}, values=(tier("5", volume_rate="20"), tier(volume_rate="10"))
    )
    one = compiled(by_volume(cheap, rest, dimensions=("model",)))
    counted: dict[tuple[str, int], int] = {}
    found = []
    for model, volume in (("s", 8), ("l", 8), ("s", 8), ("x", 1)):
        match = price_event(one, one.assets[0], {"model": model, "volume": volume}, counted)
        assert isinstance(match, Match)
        counted["USD", match.entry] = counted.get(("USD", match.entry), 0) + match.quantity
        found.append(
            (match.value.index, Fraction(match.numerator, one.assets[0].denominator) / ONE_USD)
        )
    # s: 8 x 2; 2 x 2 + 6 x 1. All others share their entry: 5 x 20 + 3 x 10; 1 x 10.
    assert found == [(0, 16), (3, 130), (1, 10), (3, 10)]
    assert counted == {("USD", 0): 16 * VOLUME_ONE, ("USD", 2): 9 * VOLUME_ONE}


@pytest.mark.parametrize(
    ("period", "at", "begins"),
    [
        ("lifetime", "2026-05-17T10:00:00+00:00", None),
        ("monthly", "2026-05-01T00:00:00+00:00", "2026-05-01"),
        ("monthly", "2026-05-31T23:59:59.999999+00:00", "2026-05-01"),
        # Half past one in Berlin on 1 June is May still, in UTC.
        ("monthly", "2026-06-01T01:30:00+02:00", "2026-05-01"),
        ("quarterly", "2026-03-31T23:59:59+00:00", "2026-01-01"),
        ("quarterly", "2026-04-01T00:00:00+00:00", "2026-04-01"),
        ("quarterly", "2026-12-31T23:59:59+00:00", "2026-10-01"),
        ("yearly", "2028-02-29T12:00:00+00:00", "2028-01-01"),
        ("yearly", "2026-12-31T23:59:59+00:00", "2026-01-01"),
    ],
)
def test_a_count_begins_anew_with_its_period(period: Any, at: str, begins: str | None) -> None:
    expected = 0 if begins is None else to_us(datetime.fromisoformat(begins).replace(tzinfo=UTC))
    assert period_from_us(period, datetime.fromisoformat(at), T0, "UTC") == expected


@pytest.mark.parametrize(
    ("timezone", "at", "begins"),
    [
        ("UTC", "2026-02-27T23:59:59", "2026-01-31T12:00:00"),
        ("UTC", "2026-02-28T12:00:00", "2026-02-28T12:00:00"),
        ("UTC", "2026-03-31T11:59:59", "2026-02-28T12:00:00"),
        ("UTC", "2026-03-31T12:00:00", "2026-03-31T12:00:00"),
        # By Berlin's clocks it is 13:00 there, which is 11:00 UTC in summer.
        ("Europe/Berlin", "2026-03-31T11:00:00", "2026-03-31T11:00:00"),
    ],
)
def test_a_subscriptions_own_months_begin_with_it(timezone: str, at: str, begins: str) -> None:
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)
    instants = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (at, begins)]
    assert period_from_us("custom", instants[0], start, timezone) == to_us(instants[1])


def asked(name: str, volume: int) -> Authorize:
    return authorize(transaction_id=name, event_type="call", data={"volume": volume})


def units(results: Any) -> list[int]:
    return [fee.units for result in results for fee in result.fees]


def test_a_late_event_is_counted_where_it_occurred() -> None:
    book = Book(catalog(by_volume(*RATES, period="monthly")))
    now = datetime(2026, 3, 2, tzinfo=UTC)
    before = datetime(2026, 2, 27, tzinfo=UTC)
    book.do(adjust("1000"), now)
    february = [
        event("a", before, volume=100),
        event("b", now, volume=100),
        event("late", before, volume=100),
        event("c", now, volume=100),
    ]
    # Each month has 100 at 1 and then 0.5, whenever what happened in it is heard of.
    assert units(book.book(*february, now=now)) == [
        100 * ONE_USD,
        100 * ONE_USD,
        50 * ONE_USD,
        50 * ONE_USD,
    ]


def test_tiers_begin_anew_with_each_month_of_the_subscription() -> None:
    start = datetime(2026, 1, 31, 12, tzinfo=UTC)
    state = customer(subscription(from_at=start))
    book = Book(catalog(by_volume(*RATES, period="custom")), state)
    days = [datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 28, 11, 59, 59, tzinfo=UTC)]
    days += [datetime(2026, 2, 28, 12, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)]
    book.do(adjust("1000"), days[0])
    fees = [
        units(book.book(event(f"e{n}", at, volume=100), now=at))[0] for n, at in enumerate(days)
    ]
    assert fees == [100 * ONE_USD, 50 * ONE_USD] * 2


def test_repeats_and_refused_events_count_nothing() -> None:
    book = Book(catalog(GRADUATED))
    book.do(adjust("1000"))
    book.book(event("a", volume=90))
    book.book(event("a", volume=90))
    results = book.book(event("bad", volume=-1), event("b", volume=10), lenient=True)
    assert [result.status for result in results] == ["refused", "booked"]
    assert units(results) == [10 * ONE_USD]
    assert units(book.book(event("c", volume=10))) == [5 * ONE_USD]


def test_a_hold_is_estimated_by_what_was_counted_and_counts_nothing_itself() -> None:
    book = Book(catalog(GRADUATED))
    book.do(adjust("1000"))
    book.book(event("a", volume=90))
    held = book.hold(authorize(transaction_id="hold", event_type="call", data={"volume": 20}))
    # 10 x 1 + 10 x 0.5.
    assert held.held_units == 15 * ONE_USD
    again = book.hold(authorize(transaction_id="again", event_type="call", data={"volume": 20}))
    assert again.held_units == 15 * ONE_USD
    captured = book.do(capture(held.id, None, event("b", volume=20)))
    assert captured.captured_units == 15 * ONE_USD
    # What the second expected has become cheaper meanwhile: 20 x 0.5.
    captured = book.do(capture(again.id, None, event("c", volume=20), transaction_id="c2"))
    assert captured.captured_units == 10 * ONE_USD


@pytest.mark.parametrize("model", ["tiered", "bulk"])
@pytest.mark.parametrize("basis", ["unit", "volume"])
def test_a_stream_in_slices_costs_what_one_event_costs_under_tiers(model: str, basis: str) -> None:
    # Dearer tiers, so that bulk never costs less with more.
    tiers = (
        tier("2500", unit_price="1", volume_rate="0.001"),
        tier(unit_price="2", volume_rate="0.003"),
    )
    source = price(*tiers, usage_type="unit_and_volume", model=model, basis=basis)
    whole, sliced = Book(catalog(source)), Book(catalog(source))
    for book in (whole, sliced):
        book.do(adjust("1000"))
        book.book(event("before", volume=1000))
    (fee,) = units(whole.book(event("all", volume=5000)))
    held = sliced.hold(authorize(transaction_id="hold", event_type="call", data={"volume": 1000}))
    paid = 0
    for number in range(5):
        slice_ = event(f"slice {number}", volume=1000)
        answer = sliced.do(
            update(held.id, slice_, want={"volume": 1000}, transaction_id=f"u{number}")
        )
        paid += answer.captured_units
    assert paid == fee
    assert sliced.tiers == whole.tiers


def test_streams_side_by_side_cost_together_what_the_tiers_say() -> None:
    book = Book(catalog(GRADUATED))
    book.do(adjust("1000"))
    holds = [book.hold(asked(name, 10)) for name in "ab"]
    paid = 0
    for number in range(30):
        for held in holds:
            slice_ = event(f"{held.id} {number}", volume=10)
            answer = book.do(update(held.id, slice_, want={"volume": 10}, transaction_id=slice_.id))
            paid += answer.captured_units
    # 600 in all: 100 x 1 + 400 x 0.5 + 100 x 0.1.
    assert paid == 310 * ONE_USD


def test_what_is_simulated_is_what_is_charged() -> None:
    source = by_volume(*RATES, period="monthly")
    book = Book(catalog(source))
    book.do(adjust("1000"))
    events = [event(f"e{n}", T0 - (n % 3) * 20 * DAY / 2, volume=37 * n) for n in range(12)]
    simulated = simulate((compiled(source),), events)
    assert not isinstance(simulated, Problem)
    assert [fee.units for fee in simulated[0]] == units(book.book(*events))


# -- properties -------------------------------------------------------------------------------

rates = st.integers(0, 10**6).map(lambda n: f"{n}e-6")
volumes = st.decimals(0, 10**4, places=3)


@st.composite
def graduated(draw: st.DrawFn) -> UsageBasedPrice:
    ends = sorted(draw(st.sets(st.integers(1, 10**4), max_size=5)))
    tiers = [tier(str(end), volume_rate=draw(rates)) for end in ends]
    return by_volume(*tiers, tier(volume_rate=draw(rates)))


def total(source: UsageBasedPrice, *parts: Decimal) -> Fraction:
    return sum((Fraction(cost) for cost in costs(source, *parts)), Fraction(0))


@properties
@given(graduated(), st.lists(volumes, min_size=1, max_size=8))
def test_however_a_volume_is_split_it_costs_the_same(
    source: UsageBasedPrice, parts: list[Decimal]
) -> None:
    assert total(source, *parts) == total(source, sum(parts, Decimal(0)))


@properties
@given(graduated(), volumes, volumes)
def test_more_costs_no_less_and_a_little_more_only_a_little(
    source: UsageBasedPrice, volume: Decimal, more: Decimal
) -> None:
    dearest = max(Fraction(one.volume_rate or 0) for one in source.pricing[0].values)
    step = total(source, volume + more) - total(source, volume)
    assert 0 <= step <= Fraction(more) * dearest


@properties
@given(graduated(), volumes)
def test_a_volume_costs_the_area_under_its_tiers(source: UsageBasedPrice, volume: Decimal) -> None:
    expected, before = Fraction(0), Fraction(0)
    for one in source.pricing[0].values:
        end = Fraction(volume) if one.up_to is None else min(Fraction(one.up_to), Fraction(volume))
        expected += max(end - before, Fraction(0)) * Fraction(one.volume_rate or 0)
        before = max(before, end)
    assert total(source, volume) == expected


@properties
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=12), st.sampled_from(["tiered", "bulk"]))
def test_the_books_charge_to_the_last_unit_what_the_tiers_say(sizes: list[int], model: str) -> None:
    thirds = (
        tier("100", volume_rate="0.1", package_size="3"),
        tier(volume_rate="0.01", package_size="7"),
    )
    source = by_volume(*thirds, model=model)
    book = Book(catalog(source))
    book.do(adjust("100000"))
    charged = sum(units(book.book(*[event(f"{n}", volume=size) for n, size in enumerate(sizes)])))
    exact = sum((Fraction(cost) for cost in costs(source, *sizes)), Fraction(0)) * ONE_USD
    assert abs(charged - exact) <= Fraction(1, 2)
