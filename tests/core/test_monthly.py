"""What a version asks in a normal month. Amounts were worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from msgspec import structs
from tests.core.builders import ASSETS, T0, compiled, event, price, value
from tests.core.plans import fee

from faregate.core.amounts import Number
from faregate.core.commitments import compile_commitment
from faregate.core.compiled import compile_price
from faregate.core.discounts import Coupon, Discount
from faregate.core.monthly import Payer, monthly_bill, shown
from faregate.core.periods import Cadence
from faregate.core.plans import compile_fixed
from faregate.core.prices import (
    Commitment,
    FixedAssetPricing,
    FixedPrice,
    FixedValue,
    FundingDestination,
    Recurrence,
    UsageBasedPrice,
)
from faregate.core.subscriptions import CompiledVersion, Terms


def version(*prices: Any) -> CompiledVersion:
    of = (ASSETS, "prp_1", "plan", 1)
    usage: dict[str, Any] = {}
    for one in prices:
        if isinstance(one, UsageBasedPrice):
            ready = compile_price(one, *of)
            usage[ready.event_type] = (*usage.get(ready.event_type, ()), ready)
    fixed = [compile_fixed(one, *of) for one in prices if isinstance(one, FixedPrice)]
    return CompiledVersion(1, usage, tuple(fixed))


def payer(*accounts: str, asset: str | None = None, **quantities: int) -> Payer:
    return Payer(Terms(asset=asset, quantities=quantities), accounts, T0, "UTC", "prp_1", T0)


@pytest.mark.parametrize(
    ("sold", "monthly"),
    [
        (fee("30"), "30"),
        (fee("90", "month", 3), "30"),
        (fee("100", "year"), "8.333333333"),
        (fee("100", "year", 2), "4.166666667"),
        (fee("2", "week"), "8.666666667"),
        (fee("2", "week", 2), "4.333333333"),
        (fee("1", "day"), "30.416666667"),
        # Asked for 4 seats, and for the 2 that come with it.
        (fee("5", seats=2), "20"),
        (fee("5", "year", seats=2), "1.666666667"),
        (fee("50", "once"), "0"),
        (fee("7", arrears=True), "7"),
    ],
)
def test_a_fixed_price_is_brought_to_a_month(sold: FixedPrice, monthly: str) -> None:
    bill = monthly_bill(version(sold), payer(prp_1=4), ())
    assert shown(bill.fixed.get("USD", Fraction(0))) == Decimal(monthly)
    assert bill.usage == {}


def test_without_seats_of_its_own_a_subscription_has_those_that_come_with_it() -> None:
    assert monthly_bill(version(fee("5", seats=2)), payer(), ()).fixed == {"USD": 10}


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (payer(), {"USD": 30}),
        (payer("default:EUR"), {"EUR": 25}),
        (payer("default:EUR", "default:USD"), {"USD": 30}),
        (payer("default:USD", asset="EUR"), {"EUR": 25}),
    ],
)
def test_of_several_assets_it_is_the_one_that_is_charged(who: Payer, asked: Any) -> None:
    euros = FixedAssetPricing("EUR", (FixedValue(Number("25")),))
    assert monthly_bill(version(fee("30", more=(euros,))), who, ()).fixed == asked


def test_use_costs_what_it_would_be_charged_with_what_rounding_carries() -> None:
    # A third of the smallest unit, three times: 0.000000001.
    thirds = price(value(volume_rate="0.000000001", package_size="3"), usage_type="volume")
    events = [event(f"e{n}", volume=1) for n in range(3)]
    bill = monthly_bill(version(thirds), payer(), events)
    assert bill.usage == {"USD": Fraction(1, 10**9)}
    assert bill.warnings == ()


def test_what_would_be_refused_or_has_no_price_is_said_once_and_stops_nothing() -> None:
    by_volume = price(value(volume_rate="1"), usage_type="volume")
    kind = compiled(by_volume).event_type
    events = [
        event("e1", volume=2),
        event("e2", volume=-1),
        event("e3", volume=-1),
        event("e4", volume=3),
    ]
    bill = monthly_bill(version(by_volume), payer(), events)
    assert bill.usage == {"USD": 5}
    (said,) = bill.warnings
    assert said.startswith("is refused: ")
    nothing = monthly_bill(version(), payer(), events)
    assert (nothing.usage, nothing.warnings) == ({}, (f"no price for event_type={kind}",))


def test_a_discount_and_commitments_of_other_periods_are_brought_to_a_month() -> None:
    by_use = price(value(unit_price="1"))
    ready = compile_price(by_use, ASSETS, "prp_1", "plan", 1)
    yearly = Commitment("Year", "USD", Recurrence("year"), maximum=Number("120"), id="cmt_1")
    weekly = Commitment("Week", "USD", Recurrence("week"), minimum=Number("3"), id="cmt_2")
    plans = [compile_commitment(one, ASSETS, "prp_1", "plan", 1) for one in (yearly, weekly)]
    sold = CompiledVersion(1, {ready.event_type: (ready,)}, commitments=tuple(plans))
    amount = Coupon("OFF", units=24 * 10**9, asset="USD", scale=9)
    over, counts = [
        Discount(amount, T0 - timedelta(days=900), Cadence("year", T0), ends_at)
        for ends_at in (T0, None)
    ]
    events = [event(f"e{n}") for n in range(14)]
    # 14 less 24 / 12 are 12, of which 120 / 12 are asked; 3 x 52 / 12 = 13 were to be.
    who = structs.replace(payer(), terms=Terms(discounts=(over, counts)))
    assert monthly_bill(sold, who, events).usage == {"USD": 13}
    assert monthly_bill(sold, payer(), ()).usage == {"USD": 13}
    capped = structs.replace(sold, commitments=(plans[0],))
    assert monthly_bill(capped, who, events).usage == {"USD": 10}
    assert monthly_bill(capped, who, events[:9]).usage == {"USD": 7}


def test_the_tiers_of_a_month_do_not_begin_anew_in_the_middle_of_it() -> None:
    tiers = price(
        value(unit_price="0", up_to="3"),
        value(unit_price="1"),
        model="tiered",
        basis="unit",
        period="monthly",
    )
    events = [event(f"e{n}", at=T0 + timedelta(days=7 * n)) for n in range(5)]
    assert monthly_bill(version(tiers), payer(), events).usage == {"USD": 2}


def test_a_price_without_a_rate_takes_nothing_and_is_named() -> None:
    paid = structs.replace(fee("30"), funding_destination=FundingDestination("default:POINTS"))
    bill = monthly_bill(version(paid), payer(), ())
    assert bill.fixed == {}
    (said,) = bill.warnings
    assert "cannot be charged: there is no rate between USD and POINTS" in said
