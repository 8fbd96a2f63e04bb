"""A subscription that is asked for again under its Idempotency-Key is the same subscription."""

from __future__ import annotations

from tests.ledger.shop import NOON, Clock, book, make_customer, refusal, sell_tokens, tell, use

from faregate import Engine
from faregate.core.codec import from_dict
from faregate.customers.types import CreateSubscription


def test_it_gets_its_first_answer_also_after_it_was_to_renew(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            renews_at = clock.move(hours=1).isoformat()
            clock.move(hours=-1)
            request = from_dict(
                CreateSubscription, {"products": [{"code": "tokens"}], "renews_at": renews_at}
            )
            first = await engine.create_subscription(customer_id, request, idempotency_key="k")
            clock.move(hours=2)
            again = await engine.create_subscription(customer_id, request, idempotency_key="k")
            assert again == first
            assert len((await engine.get_customer(customer_id)).subscriptions or ()) == 2

    tell(story())


def test_what_was_kept_but_not_written_is_written_as_it_was_first_answered(database_url: str):
    async def story() -> None:
        clock = Clock()
        request = from_dict(CreateSubscription, {"products": [{"code": "tokens"}]})
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await engine.set_subscription_status(
                customer_id, await _only(engine, customer_id), is_active=False
            )
            clock.move(hours=1)
            # The process is told to stop in between.
            await engine.lanes[0].stop()
            asked = engine.create_subscription(customer_id, request, idempotency_key="k")
            assert "stopping" in str(await refusal(asked))
        clock.move(hours=5)
        async with Engine.open(database_url, clock=clock) as engine:
            shown = await engine.create_subscription(customer_id, request, idempotency_key="k")
            assert (shown.started_at, shown.status) == (NOON.replace(hour=13), "active")
            answer = await book(engine, customer_id, use("in between", 1, NOON.replace(hour=14)))
            assert [fee.units for fee in answer.fees] == [10**9]

    tell(story())


async def _only(engine: Engine, customer_id: str) -> str:
    (subscription,) = (await engine.get_customer(customer_id)).subscriptions or ()
    return subscription.id
