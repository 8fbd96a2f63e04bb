"""Every way to cause cost counts against the same cap, whichever operation or event type it
came by.

Seen at BerriAI/litellm#38176.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.shop import (
    Clock,
    assert_clean,
    make_customer,
    sell_tokens,
    tell,
    usage_price,
    use,
)

from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest, UpdateRequest, Used, Want
from faregate.core.limits import LimitRequest
from faregate.customers.types import CreateSubscription, SubscribedProduct

Way = Callable[[Engine, str], Awaitable[Any]]


def asked(name: str, tokens: int = 10) -> HoldRequest:
    return HoldRequest(name, event_type="llm", data={"n": tokens}, subject="ada")


async def _one_event(engine: Engine, customer_id: str) -> None:
    await engine.record_events(customer_id, [use("e", 10, subject="ada")])


async def _a_lenient_batch(engine: Engine, customer_id: str) -> None:
    events = [use(f"e{n}", 2, subject="ada") for n in range(5)]
    await engine.record_events(customer_id, events, is_lenient=True)


async def _another_event_type(engine: Engine, customer_id: str) -> None:
    event = UsageEvent("e", "image", Clock().now, data={"n": 10}, subject="ada")
    await engine.record_events(customer_id, [event])


async def _a_hold_left_open(engine: Engine, customer_id: str) -> None:
    await engine.authorize(customer_id, asked("h"))


async def _a_capture_of_events(engine: Engine, customer_id: str) -> None:
    hold = await engine.authorize(customer_id, asked("h", 1))
    # It has cost more than was held, and the event itself names nobody.
    await engine.capture(customer_id, hold.id, CaptureRequest("c", events=[use("e", 10)]))


async def _a_capture_of_an_amount(engine: Engine, customer_id: str) -> None:
    hold = await engine.authorize(customer_id, asked("h", 1))
    await engine.capture(customer_id, hold.id, CaptureRequest("c", Number(10)))


async def _captures_in_parts(engine: Engine, customer_id: str) -> None:
    hold = await engine.authorize(customer_id, asked("h", 5))
    for number in range(2):
        part = CaptureRequest(f"c{number}", events=[use(f"e{number}", 5)], final=number == 1)
        await engine.capture(customer_id, hold.id, part)


async def _slices(engine: Engine, customer_id: str) -> None:
    hold = await engine.authorize(customer_id, asked("h", 5))
    for number in range(2):
        used = Used(events=[use(f"e{number}", 5)])
        request = UpdateRequest(f"u{number}", Want(data={"n": 5}), used)
        await engine.update_hold(customer_id, hold.id, request)


async def _a_late_capture(engine: Engine, customer_id: str) -> None:
    request = HoldRequest("h", event_type="llm", data={"n": 1}, subject="ada", expires_in_seconds=1)
    hold = await engine.authorize(customer_id, request)
    engine._clock.move(seconds=5)  # type: ignore[attr-defined]
    await engine.capture(customer_id, hold.id, CaptureRequest("c", events=[use("e", 10)]))


async def _a_call_of_a_run(engine: Engine, customer_id: str) -> None:
    run = HoldRequest("run", max_amount=Number(20), asset="USD")
    parent = await engine.authorize(customer_id, run)
    child = HoldRequest("h", "llm", {"n": 10}, subject="ada", parent_id=parent.id)
    hold = await engine.authorize(customer_id, child)
    await engine.capture(customer_id, hold.id, CaptureRequest("c", events=[use("e", 10)]))


WAYS: tuple[Way, ...] = (
    _one_event,
    _a_lenient_batch,
    _another_event_type,
    _a_hold_left_open,
    _a_capture_of_events,
    _a_capture_of_an_amount,
    _captures_in_parts,
    _slices,
    _a_late_capture,
    _a_call_of_a_run,
)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_").replace("_", " "))
def test_after_10_usd_spent_in_any_way_nothing_is_granted_under_a_cap_of_10(
    database_url: str, way: Way
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            image = usage_price("1")
            image["usage_calculation"]["event_type"] = "image"
            product = {"name": "Images", "code": "images", "publish": True, "prices": [image]}
            await engine.create_product(decode(CreateProduct, encode(product)))
            customer_id = await make_customer(engine, "100")
            await engine.create_subscription(
                customer_id, CreateSubscription([SubscribedProduct(code="images")])
            )
            cap = LimitRequest(Number(10), "day", asset="USD", subject="ada", rejects_events=True)
            await engine.create_customer_limit(customer_id, cap)
            await way(engine, customer_id)
            (state,) = await engine.customer_limits(customer_id)
            assert Decimal(state.used_units + state.held_units) == 10 * 10**9
            declined = await engine.authorize(customer_id, asked("one more", 1))
            assert declined.decline is not None
            assert declined.decline.code == "limit_exceeded"
            booked = await engine.record_events(
                customer_id, [use("one more", 1, subject="ada")], is_lenient=True
            )
            assert booked.results[0].status == "refused"
            other = HoldRequest("bob", "llm", {"n": 1}, subject="bob")
            assert (await engine.authorize(customer_id, other)).decline is None
            await assert_clean(engine)

    tell(story())
