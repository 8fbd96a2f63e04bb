"""A repeat gets its first answer also when the lane has long forgotten its id, and when the same
request would be refused if it were new.
"""

from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    give,
    make_customer,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine, Overdraft
from faregate.core.amounts import Number
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.transactions import ChargeRequest
from faregate.ledger.lane import READ_IDS_BATCHES

USD = "default:USD"


async def forget(engine: Engine) -> None:
    """Let the lane go on for so long that it looks ids up no more."""
    other = await make_customer(engine, "1000")
    for number in range(READ_IDS_BATCHES + 1):
        await book(engine, other, use(f"other {number}"))


def test_what_was_answered_is_not_refused_later(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "11")
            await engine.set_overdraft(customer_id, USD, Overdraft("reject"))
            run = HoldRequest("run", max_amount=Number("4"), asset="USD")
            parent = await engine.authorize(customer_id, run)
            call = HoldRequest("call", max_amount=Number("2"), asset="USD", parent_id=parent.id)
            child = await engine.authorize(customer_id, call)
            events = [use("a", 2), use("b", 1)]
            booked = await engine.record_events(customer_id, events)
            spent = await engine.charge(customer_id, ChargeRequest("c", "USD", Number("3")))
            taken = await give(engine, customer_id, "-1", "back", "other")
            last = CaptureRequest("end", Number("1"))
            done = await engine.capture(customer_id, parent.id, last)
            # Nothing is left, so none of the above would pass again.
            await engine.charge(customer_id, ChargeRequest("rest", "USD", Number("3")))
            assert await available(engine, customer_id) == 0
        async with Engine.open(database_url, clock=clock) as engine:
            await forget(engine)
            assert await engine.capture(customer_id, parent.id, last) == done
            await forget(engine)
            assert await engine.authorize(customer_id, call) == child
            await forget(engine)
            assert await engine.authorize(customer_id, run) == parent
            await forget(engine)
            again = await engine.record_events(customer_id, events)
            assert [r.status for r in again.results] == ["repeat", "repeat"]
            assert [r.fees for r in again.results] == [r.fees for r in booked.results]
            await forget(engine)
            assert await engine.charge(customer_id, ChargeRequest("c", "USD", Number("3"))) == spent
            await forget(engine)
            assert await give(engine, customer_id, "-1", "back", "other") == taken
            await assert_clean(engine)

    tell(story())


def test_in_a_lenient_batch_too(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "2")
            await engine.set_overdraft(customer_id, USD, Overdraft("reject"))
            await book(engine, customer_id, use("paid", 2))
        async with Engine.open(database_url, clock=clock) as engine:
            await forget(engine)
            free = UsageEvent("free", "unpriced", clock.now)
            events = [use("paid", 2), free, use("new", 1)]
            answer = await engine.record_events(customer_id, events, is_lenient=True)
            assert [r.status for r in answer.results] == ["repeat", "booked", "refused"]
            assert await available(engine, customer_id) == 0
            await assert_clean(engine)

    tell(story())
