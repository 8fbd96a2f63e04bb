"""Prices that are paid in another asset, and payments that become credit, on both databases: what
rounding leaves over outlives a restart, a repeat gets its first answer whatever the rate is by
then, and `verify` proves what was paid by the rate that was kept."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.plans import member, monthly, sell_plan
from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    fees_of,
    make_customer,
    refusal,
    sell,
    tell,
    usage_price,
    use,
)

from faregate import Engine
from faregate.catalog.types import AddAssetRate, CreateAsset, StartingRate
from faregate.core.amounts import Number
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.transactions import AdjustmentRequest, ConvertTo

POINTS = "default:POINTS"


async def make_points(engine: Engine, precision: int = 0, **rate: str) -> None:
    """Make POINTS, which have a rate from USD if one is given."""
    rates = [StartingRate("USD", **{name: Number(text) for name, text in rate.items()})]
    await engine.create_asset(
        CreateAsset("POINTS", "Points", precision, rates=rates if rate else None)
    )


def paid_in_points(rate: str, **funding: Any) -> dict[str, Any]:
    """A price of so many USD per token, which POINTS pay."""
    return {**usage_price(rate), "funding_destination": {"address": POINTS, **funding}}


async def give_points(engine: Engine, customer_id: str, amount: int) -> None:
    request = AdjustmentRequest(f"points {amount}", "POINTS", Number(amount), "gift")
    await engine.adjust(customer_id, request)


async def paid(engine: Engine, customer_id: str, *events: Any) -> list[int | None]:
    """Book events; returns what each took."""
    answer = await engine.record_events(customer_id, list(events))
    return [fee.paid_units for fee in fees_of(answer)]


def test_what_rounding_left_over_is_there_after_a_restart(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await make_points(engine, rate="3")
            await sell(engine, paid_in_points("1"))
            customer_id = await make_customer(engine, None)
            await give_points(engine, customer_id, 10)
            # A USD is a third of a point.
            assert await paid(engine, customer_id, use("one")) == [0]
        async with Engine.open(database_url, clock=Clock()) as engine:
            assert await paid(engine, customer_id, use("two"), use("three")) == [1, 0]
            assert await available(engine, customer_id, POINTS) == 9
            event = (await engine.get_event("two"))[1]
            fee = event.result.fees[0]
            assert (fee.units, fee.asset, fee.account_id) == (10**9, "USD", POINTS)
            assert fee.exchange_rate == Decimal("0.333333333333333333")
            await assert_clean(engine)

    tell(story())


@pytest.mark.parametrize("callers", [1, 50])
def test_many_small_fees_come_to_the_exact_sum_however_they_arrive(database_url: str, callers: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await make_points(engine, inverse_rate="7.77")
            await sell(engine, paid_in_points("0.001"))
            customer_id = await make_customer(engine, None)
            events = [use(f"e{n}") for n in range(1000)]
            slices = [events[n::callers] for n in range(callers)]
            await asyncio.gather(*(engine.record_events(customer_id, one) for one in slices))
            # 1,000 x 0.001 USD are 1 USD, 7.77 points: 8, and 0.23 too much are carried.
            assert await available(engine, customer_id, POINTS) == -8
            await assert_clean(engine)

    tell(story())


def test_a_rate_that_changes_counts_from_its_instant_also_for_what_is_reported_late(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await make_points(engine, rate="0.1")
            await sell(engine, paid_in_points("1"))
            customer_id = await make_customer(engine, None)
            first = clock.move(hours=1)
            changed_at = clock.move(hours=1)
            await engine.add_asset_rate("POINTS", AddAssetRate("USD", Number("0.2")))
            found = await paid(
                engine, customer_id, use("late", at=first), use("now", at=changed_at)
            )
            assert found == [10, 5]
            await assert_clean(engine)

    tell(story())


def test_a_hold_is_set_aside_and_captured_in_the_paying_asset(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await make_points(engine, rate="0.1")
            await sell(engine, paid_in_points("0.25"))
            customer_id = await make_customer(engine, None)
            await give_points(engine, customer_id, 10)
            asked = HoldRequest("h1", "llm", {"n": 3})
            hold = await engine.authorize(customer_id, asked)
            # 7.5 points.
            assert (hold.account_id, hold.held_units) == (POINTS, 8)
            request = CaptureRequest("c1", events=[use("e1", 2)])
            answer = await engine.capture(customer_id, hold.id, request)
            assert answer.captured_units == 5
            assert await available(engine, customer_id, POINTS) == 5
            await assert_clean(engine)

    tell(story())


def test_a_payment_becomes_credit_once_and_a_repeat_gets_the_first_answer(database_url: str):
    async def story() -> None:
        clock = Clock()
        request = AdjustmentRequest(
            "top-up 1", "USD", Number("10.05"), "external_topup", convert_to=ConvertTo("POINTS")
        )
        async with Engine.open(database_url, clock=clock) as engine:
            await make_points(engine, rate="0.1")
            await sell(engine, paid_in_points("1"))
            customer_id = await make_customer(engine, None)
            first = await engine.adjust(customer_id, request)
            assert (first.units, first.account_id) == (100, POINTS)
            clock.move(days=1)
            await engine.add_asset_rate("POINTS", AddAssetRate("USD", Number("5")))
        async with Engine.open(database_url, clock=clock) as engine:
            assert await engine.adjust(customer_id, request) == first
            assert await engine.get_transaction(customer_id, "top-up 1") == first
            assert first.converted is not None
            assert (first.converted.rate, first.converted.is_rounded_down) == (10, True)
            other = AdjustmentRequest(
                "top-up 1", "USD", Number("10.05"), "external_topup", convert_to=ConvertTo("EUR")
            )
            problem = await refusal(engine.adjust(customer_id, other))
            assert list(problem.problem.errors) == ["convert_to"]
            assert await available(engine, customer_id, POINTS) == 100
            assert [a.id for a in (await engine.get_wallet(customer_id)).accounts] == [POINTS]
            await assert_clean(engine)

    tell(story())


def test_a_plan_is_paid_in_credit_and_what_is_given_back_is_too(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await make_points(engine, rate="0.1")
            price = monthly(10, funding_destination={"address": POINTS})
            await sell_plan(engine, "pro", price, points=0)
            customer_id = await member(engine, None)
            await give_points(engine, customer_id, 250)
            assert await available(engine, customer_id, POINTS) == 150
            clock.move(days=31)
            assert await available(engine, customer_id, POINTS) == 50
            clock.move(days=31)
            # It would take 100: overdue, nothing was taken.
            assert await available(engine, customer_id, POINTS) == 50
            await assert_clean(engine)

    tell(story())


EDITS = [
    # What somebody changes in the row of a fee, and what is found to be wrong with it.
    ("paid_units = paid_units + 1", ["fee"]),
    ("units = units * 2", ["fee at its rate", "event"]),
    ("exchange_rate = '11'", ["fee at its rate"]),
    ("exchange_rate = 'much'", ["fee"]),
    ("exchange_rate = NULL", ["fee"]),
    ("paid_units = NULL, exchange_rate = NULL", ["fee"]),
]


@pytest.mark.parametrize(("change", "kinds"), EDITS)
def test_a_fee_whose_conversion_was_edited_is_found(
    database_url: str, change: str, kinds: list[str]
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await make_points(engine, rate="0.1")
            await sell(engine, paid_in_points("1"))
            customer_id = await make_customer(engine, None)
            await book(engine, customer_id, use("e1", 7))
            await assert_clean(engine)
            async with by_hand(database_url) as database:
                await database.fetch(f"UPDATE fees SET {change}")
            found = (await engine.verify()).differences
            assert sorted({one.kind for one in found}) == sorted(kinds)
            assert {one.customer_id for one in found} == {customer_id}

    tell(story())


@pytest.mark.parametrize("precision", [0, 9])
def test_fees_of_any_size_and_scale_are_proved(database_url: str, precision: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await make_points(engine, precision, inverse_rate="0.000123456789")
            await sell(engine, paid_in_points("0.000000001"))
            customer_id = await make_customer(engine, None)
            sizes = [1, 10, 10**5, 10**9, 10**12, 10**15]
            await engine.record_events(customer_id, [use(f"e{n}", n) for n in sizes])
            await assert_clean(engine)

    tell(story())
