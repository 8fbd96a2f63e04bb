"""What discounts and commitments leave of what is simulated. Amounts were worked out by hand."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from tests.core.builders import ASSETS, compiled, price, value
from tests.core.plans import at

from faregate.core.amounts import Number, to_decimal
from faregate.core.commitments import compile_commitment
from faregate.core.discounts import WHOLE, Coupon, Discount
from faregate.core.imagined import Imagined
from faregate.core.instants import EPOCH
from faregate.core.prices import Commitment, Recurrence
from faregate.core.subscriptions import CompiledVersion

USE = compiled(price(value(unit_price="1")))
ONE = 10**9
"""Units of a dollar."""


def sold(least: str | None, most: str | None, every: Any = "month", count: int = 1) -> Any:
    plan = Commitment(
        "Use",
        "USD",
        Recurrence(every, count),
        None if least is None else Number(least),
        None if most is None else Number(most),
        id="cmt_1",
    )
    made = compile_commitment(plan, ASSETS, USE.product_id, "plan", 1)
    return CompiledVersion(1, {}, commitments=(made,))


def asked(imagined: Imagined, *uses: tuple[datetime, int]) -> list[Decimal]:
    """Return what is left of these dollars."""
    found = []
    for moment, dollars in uses:
        reduced, _ = imagined.reduce(USE, "USD", dollars * ONE, moment)
        found.append(to_decimal(dollars * ONE - (0 if reduced is None else reduced.units), 9))
    return found


def missing(imagined: Imagined) -> list[tuple[Decimal, int]]:
    return [(to_decimal(units, 9), periods) for _, units, periods in imagined.missing()]


def test_each_period_has_its_own_maximum_and_minimum() -> None:
    begins = at("2026-01-31")
    imagined = Imagined(USE.product_id, sold("50", "60"), begins)
    uses = [(begins, 40), (at("2026-02-27"), 30), (at("2026-02-28"), 30), (at("2026-03-30"), 5)]
    assert asked(imagined, *uses) == [40, 20, 30, 5]
    # Nothing is missing of the first month (60), 15 of the second, in which the last two lie.
    assert missing(imagined) == [(15, 1)]
    assert imagined.said_of_missing() == [
        "15 USD of the minimum are missing in 1 period under 'Use': charged when a period is over"
    ]


@pytest.mark.parametrize(
    ("every", "count", "periods"),
    # From 1 January until 1 April of the year after: every day, week, 2 months, year.
    [("day", 1, 455), ("week", 1, 65), ("month", 2, 7), ("year", 1, 1)],
)
def test_periods_without_use_miss_their_minimum(every: Any, count: int, periods: int) -> None:
    begins, ends = at("2026-01-01"), at("2027-04-01")
    imagined = Imagined(USE.product_id, sold("10", None, every, count), begins)
    assert asked(imagined, (begins, 10), (ends, 3)) == [10, 3]
    # The first period has its 10; in the last one 3 are used.
    assert missing(imagined) == [(Decimal(10 * periods - 3), periods)]


def test_however_long_nothing_is_used_it_is_passed_at_once() -> None:
    imagined = Imagined(USE.product_id, sold("1", None, "day"), at("1970-01-01"))
    asked(imagined, (at("1970-01-01"), 0), (at("8999-12-31"), 0))
    ((units, periods),) = missing(imagined)
    assert units == periods == (at("8999-12-31") - EPOCH).days + 1


def test_what_is_late_counts_in_the_period_under_way() -> None:
    imagined = Imagined(USE.product_id, sold(None, "10"), at("2026-01-01"))
    uses = [(at("2026-02-02"), 6), (at("2026-01-15"), 6), (at("2026-03-01"), 6)]
    assert asked(imagined, *uses) == [6, 4, 6]


def test_where_nothing_ends_all_of_it_counts_together() -> None:
    imagined = Imagined(USE.product_id, sold("50", "60"), EPOCH, stands_still=True)
    assert asked(imagined, (at("2026-01-01"), 40), (at("2027-01-01"), 30)) == [40, 20]
    assert missing(imagined) == []
    idle = Imagined(USE.product_id, sold("50", "60"), EPOCH, stands_still=True)
    assert missing(idle) == [(50, 1)]


def discounts(*coupons: Coupon) -> tuple[Discount, ...]:
    return tuple(Discount(coupon, EPOCH) for coupon in coupons)


def test_fixed_prices_and_use_share_what_an_amount_takes_off() -> None:
    given = discounts(
        Coupon("TEN", units=10 * ONE, asset="USD", scale=9), Coupon("HALF", percent=WHOLE // 2)
    )
    version = CompiledVersion(1, {})
    imagined = Imagined(USE.product_id, version, EPOCH, discounts=given, stands_still=True)
    # Half of 12 a year is 0.5 a month, all of which the amount takes.
    assert imagined.less(USE.product_id, "USD", 12 * ONE, Fraction(1, 12)) == 0
    # Half of 16 is 8, which it takes, too: 1.5 are left of it.
    assert imagined.less(USE.product_id, "USD", 16 * ONE, Fraction(1)) == 0
    assert asked(imagined, (at("2026-01-01"), 8)) == [Decimal("2.5")]
    assert imagined.less(USE.product_id, "EUR", 8 * ONE, Fraction(1)) == 4 * ONE
