"""A subject that nobody has ever seen has a cap of 0.10 USD a day. 50 calls ask at the same
instant, for 0.02 each: 5 pass, 45 are declined.

Seen at BerriAI/litellm#40095.
"""

import asyncio
from collections import Counter
from decimal import Decimal

import pytest
from tests.ledger.shop import Clock, assert_clean, make_customer, sell_tokens, tell, use

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.gate import HoldView
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.limits import LimitRequest

CAP = LimitRequest(Number("0.10"), "day", asset="USD", subject="*", name="a day of one user")


def call(number: int) -> HoldRequest:
    """A call that is about to cost 0.02 USD."""
    return HoldRequest(f"call {number}", event_type="llm", data={"n": 2}, subject="new")


async def assert_used_and_held(engine: Engine, customer_id: str, used: str, held: str) -> None:
    """What the limit shows of the subject."""
    (state,) = await engine.customer_limits(customer_id, "new")
    scale = 10**state.limit.scale
    assert (Decimal(state.used_units) / scale, Decimal(state.held_units) / scale) == (
        Decimal(used),
        Decimal(held),
    )


@pytest.mark.parametrize("is_own", [True, False], ids=["the customer's", "for all customers"])
def test_of_50_calls_at_once_5_pass_and_no_more_is_ever_held_or_spent(
    database_url: str, is_own: bool
):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "0.01")
            customer_id = await make_customer(engine, "100")
            if is_own:
                await engine.create_customer_limit(customer_id, CAP)
            else:
                await engine.create_limit(CAP)
            holds: list[HoldView] = await asyncio.gather(
                *[engine.authorize(customer_id, call(number)) for number in range(50)]
            )
            codes = Counter(None if h.decline is None else h.decline.code for h in holds)
            assert codes == {None: 5, "limit_exceeded": 45}
            await assert_used_and_held(engine, customer_id, "0", "0.10")
            for hold in [one for one in holds if one.decline is None]:
                done = CaptureRequest(f"done {hold.id}", events=[use(f"event of {hold.id}", 2)])
                await engine.capture(customer_id, hold.id, done)
            await assert_used_and_held(engine, customer_id, "0.10", "0")
            # All of the day is used; also after a restart.
            late = await engine.authorize(customer_id, call(99))
            assert late.decline is not None
        async with Engine.open(database_url, clock=clock) as engine:
            again = await engine.authorize(customer_id, call(100))
            assert again.decline is not None
            assert again.decline.code == "limit_exceeded"
            # Tomorrow is another day.
            clock.move(days=1)
            assert (await engine.authorize(customer_id, call(101))).status == "authorized"
            await assert_clean(engine)

    tell(story())


def test_64_callers_of_many_subjects_are_never_granted_more_than_each_ones_limit(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine, "0.01")
            customer_id = await make_customer(engine, "100")
            await engine.create_customer_limit(customer_id, CAP)
            granted: Counter[str] = Counter()

            async def caller(number: int) -> None:
                subject = f"user {number % 4}"
                for turn in range(8):
                    name = f"{number}/{turn}"
                    request = HoldRequest(name, event_type="llm", data={"n": 3}, subject=subject)
                    hold = await engine.authorize(customer_id, request)
                    if hold.decline is not None:
                        continue
                    used = CaptureRequest(f"done {name}", events=[use(f"e {name}", 1 + turn % 3)])
                    done = await engine.capture(customer_id, hold.id, used)
                    granted[subject] += done.captured_units

            await asyncio.gather(*[caller(number) for number in range(64)])
            for subject, units in granted.items():
                assert 7 * 10**7 < units <= 10**8
                (state,) = await engine.customer_limits(customer_id, subject)
                assert (state.used_units, state.held_units) == (units, 0)
            await assert_clean(engine)

    tell(story())
