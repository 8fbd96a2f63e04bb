"""What tiers count, on both databases: exact whoever asks at once, after restarts and lanes that
forget, and proved by `verify`."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    book,
    by_hand,
    fees_of,
    make_customer,
    other_connection,
    refusal,
    sell,
    tell,
    usage_price,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest

USD = 10**9


def tiered(*values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The price of `usage_price` with tiers over volume."""
    return {
        **usage_price("1"),
        "pricing_model": "tiered",
        "tiering": {"basis": "volume"},
        "pricing": [{"asset": "USD", "values": list(values)}],
        **more,
    }


# Up to 100 at 1, then 0.5.
HALF_PRICE = tiered({"up_to": 100, "volume_rate": 1}, {"volume_rate": 0.5})


async def paid(engine: Engine, customer_id: str, *events: Any) -> list[int]:
    """Book events one by one; returns what each cost."""
    found = []
    for event in events:
        result = await book(engine, customer_id, event)
        found.append(sum(fee.units for fee in result.fees))
    return found


@pytest.mark.parametrize("wallets", [1, 7], ids=["one wallet", "many wallets"])
def test_64_callers_at_once_pay_together_what_the_tiers_say(database_url: str, wallets: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, HALF_PRICE)
            customers = [await make_customer(engine, "1000") for _ in range(wallets)]
            numbers = iter(range(40 * wallets))

            async def caller() -> None:
                for number in numbers:
                    customer_id = customers[number % wallets]
                    await book(engine, customer_id, use(f"{number}", 5))
                    if not number % 5:
                        await book(engine, customer_id, use(f"{number}", 5))

            await asyncio.gather(*[caller() for _ in range(64)])
            for customer_id in customers:
                # 200 each: 100 x 1 + 100 x 0.5.
                account = await engine.get_account(customer_id, "default:USD")
                assert account.available == 1000 - 150
            await assert_clean(engine)

    tell(story())


def test_counts_outlive_restarts_and_lanes_that_forget(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, HALF_PRICE)
            customer_id = await make_customer(engine, "1000")
            assert await paid(engine, customer_id, use("a", 60)) == [60 * USD]
        async with Engine.open(database_url, clock=clock) as engine:
            assert await paid(engine, customer_id, use("b", 60)) == [50 * USD]
            lane = engine.lanes[0]
            lane._memory.tiers.clear()
            assert await paid(engine, customer_id, use("c", 10)) == [5 * USD]
            assert await paid(engine, customer_id, use("a", 60)) == [60 * USD]
            lane._memory.forget()
            lane._memory.begin(0, {})
            lane._let_go()
            assert await paid(engine, customer_id, use("d", 10)) == [5 * USD]
            await assert_clean(engine)

    tell(story())


def test_many_periods_and_entries_are_counted_apart(database_url: str):
    async def story() -> None:
        clock = Clock()
        price = tiered(
            *[
                {
                    "dimensions": {"model": model},
                    "values": [{"up_to": 10, "volume_rate": rate}, {"volume_rate": 0}],
                }
                for model, rate in (("s", 1), ("*", 2))
            ],
            tiering={"basis": "volume", "period": "monthly"},
        )
        price["usage_calculation"] = {
            **price["usage_calculation"],
            "billable_dimensions": ["model"],
        }
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine, price)
            customer_id = await make_customer(engine, "1000")
            later = clock.move(days=31)
            events = [
                UsageEvent(f"{model} {at:%m} {turn}", "llm", at, data={"n": 6, "model": model})
                for turn in range(2)
                for at in (NOON, later)
                for model in ("s", "l")
            ]
            booked = await engine.record_events(customer_id, events)
            # Each first: 6 x the rate; each second: 4 x the rate, and 2 for nothing.
            assert [fee.units // USD for fee in fees_of(booked)] == [6, 12] * 2 + [4, 8] * 2
            async with other_connection(database_url) as store:
                rows = await store.fetch("SELECT entry, quantity FROM tier_counters")
                assert sorted(map(tuple, rows)) == [(n, "12" + "0" * 12) for n in (0, 0, 2, 2)]
            await assert_clean(engine)

    tell(story())


def test_captures_count_and_refused_batches_do_not(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, HALF_PRICE)
            customer_id = await make_customer(engine, "1000")
            request = HoldRequest("hold", event_type="llm", data={"n": 80})
            hold = await engine.authorize(customer_id, request)
            assert hold.held_units == 80 * USD
            await refusal(engine.record_events(customer_id, [use("x", 50), use("bad", -1)]))
            capture = CaptureRequest("done", events=[use("a", 90)])
            captured = await engine.capture(customer_id, hold.id, capture)
            assert captured.captured_units == 90 * USD
            assert await paid(engine, customer_id, use("b", 20)) == [15 * USD]
            await assert_clean(engine)

    tell(story())


def test_fees_say_what_they_counted(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, HALF_PRICE)
            customer_id = await make_customer(engine, "1000")
            await book(engine, customer_id, use("a", 99))
            fee = (await book(engine, customer_id, use("b", 2))).fees[0]
            assert fee.counted is not None
            assert (fee.value_index, fee.counted.before, fee.counted.quantity) == (1, 99, 2)
            # From the database.
            engine.lanes[0]._memory.forget()
            engine.lanes[0]._let_go()
            again = (await book(engine, customer_id, use("b", 2))).fees[0]
            assert again == fee

    tell(story())


@pytest.mark.parametrize(
    ("sql", "stored", "computed"),
    [
        ("UPDATE tier_counters SET quantity = '7'", 7, 10**13),
        ("UPDATE tier_counters SET quantity = 'seven'", 0, 10**13),
        ("DELETE FROM tier_counters", 0, 10**13),
        ("UPDATE fees SET counted = NULL", 10**13, 0),
    ],
)
def test_an_edited_count_is_found(database_url: str, sql: str, stored: int, computed: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, HALF_PRICE)
            customer_id = await make_customer(engine, "1000")
            await book(engine, customer_id, use("a", 10))
            await assert_clean(engine)
            async with by_hand(database_url) as database:
                await database.fetch(sql)
            (found,) = (await engine.verify()).differences
            assert (found.kind, found.customer_id) == ("tier counter", customer_id)
            assert (found.stored_units, found.computed_units) == (stored, computed)

    tell(story())


def test_volumes_with_more_digits_than_a_number_has_are_counted(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            price = tiered({"up_to": 10**16, "volume_rate": 0}, {"volume_rate": Number("1e-9")})
            await sell(engine, price)
            customer_id = await make_customer(engine, "1000")
            most = 10**15
            events = [use(f"{n}", most) for n in range(10)]
            assert await paid(engine, customer_id, *events) == [0] * 10
            little = use("little", Decimal("0.000000000001"))  # type: ignore[arg-type]
            assert await paid(engine, customer_id, little, use("more", 10**9)) == [0, USD]
            await assert_clean(engine)

    tell(story())
