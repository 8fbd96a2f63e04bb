"""A decline for a limit names the limit, what is used, the cap and when it resets, to the last
digit. Who has no limit is never declined for one, also after hours of load.

Seen at BerriAI/litellm#36926 and #22726.
"""

import asyncio
from decimal import Decimal

from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    make_customer,
    rows_of,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.instants import from_us, to_us
from faregate.core.limits import LimitRequest


def asked(name: str, tokens: int, **more: str) -> HoldRequest:
    return HoldRequest(name, event_type="llm", data={"n": tokens}, **more)  # type: ignore[arg-type]


def test_used_is_what_fees_and_open_holds_come_to_in_the_window(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            # A token costs 1/7 of a billionth of a dollar and more: every fee is rounded.
            await sell_tokens(engine, "0.123456789", package=7)
            customer_id = await make_customer(engine, "1000")
            cap = LimitRequest(
                Number("10"), "hour", asset="USD", timezone="Asia/Kolkata", name="an hour"
            )
            made = await engine.create_customer_limit(customer_id, cap)
            # Of the hour before nothing counts.
            await engine.record_events(customer_id, [use("before", 50, clock.now)])
            clock.move(minutes=30)
            for number in range(20):
                await engine.record_events(customer_id, [use(f"e{number}", number, clock.now)])
            for number in range(5):
                hold = await engine.authorize(customer_id, asked(f"h{number}", 11 + number))
                if number % 2:
                    used = [use(f"of {number}", 5, clock.now)]
                    request = CaptureRequest(f"c{number}", events=used)
                    await engine.capture(customer_id, hold.id, request)
            declined = await engine.authorize(customer_id, asked("too much", 1000))
            assert declined.decline is not None
            mark = declined.decline.limit
            assert mark is not None
            fees = await rows_of(engine._store, "created_at, units", "fees", customer_id)
            begins = NOON.replace(minute=30)
            spent = sum(units for at, units in fees if at >= to_us(begins))
            open_holds = await engine.list_holds(customer_id, 100, status="authorized")
            held = sum(hold.held_units for hold in open_holds.items)
            assert held > 0
            assert (mark.id, mark.amount_units) == (made.id, 10 * 10**9)
            assert mark.used_units == spent + held
            assert mark.resets_at == begins.replace(hour=13)
            assert mark.resets_at == from_us(to_us(mark.resets_at))
            for word in (made.id, "an hour", "10 USD per hour", "2026-03-02T13:30:00+00:00"):
                assert word in declined.decline.detail
            (state,) = await engine.customer_limits(customer_id)
            assert (state.used_units, state.held_units) == (spent, held)
            await assert_clean(engine)

    tell(story())


def test_a_customer_without_a_limit_is_never_declined_for_one(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "0.01")
            limited = await make_customer(engine, "1000")
            free = await make_customer(engine, "1000")
            cap = LimitRequest(Number("0.05"), "hour", asset="USD", rejects_events=True)
            await engine.create_customer_limit(limited, cap)

            async def pair(number: int) -> None:
                hold = await engine.authorize(free, asked(f"h{number}", 3, subject="ada"))
                assert hold.decline is None
                done = CaptureRequest(f"c{number}", events=[use(f"e{number}", 3, clock.now)])
                await engine.capture(free, hold.id, done)
                await engine.authorize(limited, asked(f"h{number}", 3, subject="ada"))

            for hour in range(6):
                await asyncio.gather(*[pair(hour * 100 + n) for n in range(60)])
                clock.move(hours=1)
            assert await engine.customer_limits(free) == []
            account = await engine.get_account(free, "default:USD")
            assert account.available == Decimal(1000) - 360 * 3 * Decimal("0.01")
            await assert_clean(engine)

    tell(story())
