"""How far a balance goes, in uses."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import compiled, price, value

from faregate.core.compiled import CompiledPrice
from faregate.core.events import BookedEvent, EventResult, Fee, UsageEvent
from faregate.core.uses_left import from_prices, from_recent_use, rounded_down

AT = datetime(2026, 3, 2, tzinfo=UTC)
USD = "default:USD"


def booked(kind: str, *units: int, volume: Decimal | int | None = None) -> BookedEvent:
    fees = tuple([Fee(f"fee_{n}", "prc_1", 0, "USD", USD, u, volume) for n, u in enumerate(units)])
    return BookedEvent(UsageEvent("e", kind, AT), EventResult("e", "booked", fees), AT)


def usd_price(volume_field: str | None = None, **numbers: str) -> CompiledPrice:
    measures = "volume" if volume_field else "unit"
    if volume_field and "unit_price" in numbers:
        measures = "unit_and_volume"
    return compiled(price(value(**numbers), usage_type=measures, volume_field=volume_field))


@given(st.integers(0, 10**30))
def test_a_rounded_number_is_never_more_and_has_two_digits(count: int) -> None:
    rounded = rounded_down(count)
    assert rounded <= count < rounded + max(1, 10 ** (len(str(count)) - 2))
    assert len(str(rounded).rstrip("0")) <= 2


def test_what_recent_use_has_cost_says_how_far_a_balance_goes() -> None:
    events = [booked("image", 30), booked("image", 20), booked("chat", 5), booked("chat", 5)]
    left = from_recent_use(USD, 98_750, events, {})
    assert [(one.count, one.kind, one.noun) for one in left] == [
        (3_900, "events", "image"),
        (19_000, "events", "chat"),
    ]


def test_a_price_by_volume_is_told_in_its_volume() -> None:
    price = usd_price(volume_rate="0.5", volume_field="output_tokens")
    events = [booked("llm", 500, volume=1_000)]
    (left,) = from_recent_use(USD, 2_000, events, {"prc_1": price})
    assert (left.count, left.kind, left.noun) == (4_000, "volume", "output tokens")


def test_nothing_is_told_of_what_cannot_be_told() -> None:
    assert from_recent_use(USD, 0, [booked("image", 30)], {}) == []
    assert from_recent_use(USD, -5, [booked("image", 30)], {}) == []
    assert from_recent_use(USD, 100, [booked("image", 0)], {}) == []
    assert from_recent_use(USD, 100, [], {}) == []
    assert from_recent_use("default:EUR", 100, [booked("image", 30)], {}) == []


def test_without_use_the_price_of_one_is_told_where_all_cost_the_same() -> None:
    flat = usd_price(unit_price="0.03")
    (left,) = from_prices(USD, 10 * 10**9, [flat])
    assert (left.count, left.kind, left.is_recent) == (330, "events", False)
    tokens = usd_price(volume_rate="0.6", volume_field="output_tokens", package_size="1000000")
    (left,) = from_prices(USD, 3 * 10**9, [tokens])
    assert (left.count, left.noun) == (5_000_000, "output tokens")


def test_prices_that_depend_on_the_use_tell_nothing() -> None:
    both = usd_price(unit_price="0.03", volume_rate="0.5", volume_field="n")
    least = usd_price(volume_rate="0.5", volume_field="n", min_amount="1")
    assert from_prices(USD, 10**9, [both]) == []
    assert from_prices(USD, 10**9, [least]) == []
    assert from_prices(USD, 10**9, [usd_price(unit_price="1"), usd_price(unit_price="2")]) == []
