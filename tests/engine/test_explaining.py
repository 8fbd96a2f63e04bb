"""An explanation says of what is stored who paid, whichever way it was booked."""

import asyncio
from decimal import Decimal

from tests.ledger.shop import (
    NOON,
    Clock,
    book,
    give,
    make_customer,
    refusal,
    sell_tokens,
    use,
)

from faregate import CaptureRequest, CreateCustomer, Engine, HoldRequest
from faregate.core.amounts import Number
from faregate.core.outcomes import OutcomeRequest
from faregate.core.problems import CONFLICT, NOT_FOUND


def test_an_event_is_explained_as_it_stands_now(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine, "3")
            await give(engine, ada, "2", "a gift", "gift")
            await book(engine, ada, use("e", 6))
            said = await engine.explain_event("e")
            paid = "promotion grant ($2.00), paid grant ($3.00)"
            paid += ", beyond the balance (overdraft) ($1.00)"
            assert said.sentence == f"6 n × $1.00 = $6.00, from {paid}."
            assert said.fees[0].untold == ()

            await engine.settle_outcome("e", OutcomeRequest("t", "changed", {"n": 1}))
            said = await engine.explain_event("e", ada)
            assert said.outcome == "changed"
            assert said.sentence == "1 n × $1.00 = $1.00, from promotion grant."
            await engine.settle_outcome("e", OutcomeRequest("u", "withdrawn"))
            assert (await engine.explain_event("e")).fees == ()

            await give(engine, ada, "10", "more")
            hold = await engine.authorize(ada, HoldRequest("h", max_amount=Number(5), asset="USD"))
            await engine.capture(ada, hold.id, CaptureRequest("c", events=[use("held", 2)]))
            said = await engine.explain_event("held")
            assert said.sentence == "2 n × $1.00 = $2.00, from promotion grant."

    asyncio.run(story())


def test_a_page_of_events_is_explained_at_once_each_with_its_own_payers(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            ada, ben = await make_customer(engine, "3"), await make_customer(engine, "9")
            for customer_id in (ada, ben):
                await book(engine, customer_id, use("same", 4))
                await book(engine, customer_id, use(f"own {customer_id}", 2))
            keys = [("same", ada), ("same", ben), (f"own {ben}", ben), ("none", ada)]
            said = await engine.explain_events(keys)
            paid = {key: [p.amount for p in one.fees[0].paid_by] for key, one in said.items()}
            assert paid == {keys[0]: [3, 1], keys[1]: [Decimal(4)], keys[2]: [Decimal(2)]}

    asyncio.run(story())


def test_an_event_that_is_not_there_or_is_several_customers_is_refused(database_url: str) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            await sell_tokens(engine)
            ada = await make_customer(engine)
            ben = (await engine.create_customer(CreateCustomer(name="Ben"))).id
            for customer_id in (ada, ben):
                await book(engine, customer_id, use("same"))
            assert (await refusal(engine.explain_event("same"))).problem.kind is CONFLICT
            assert (await engine.explain_event("same", ben)).customer_id == ben
            for event_id, customer_id in (("none", None), ("none", ada), ("same", "cust_x")):
                refused = await refusal(engine.explain_event(event_id, customer_id))
                assert refused.problem.kind is NOT_FOUND
            live = engine.context_of("live")
            refused = await refusal(engine.explain_event("same", ada, context=live))
            assert refused.problem.kind is NOT_FOUND

    asyncio.run(story())
