"""Two subscriptions, of which the card pays the first and is declined for the second: a story in
which a process can be killed after each commit, like that of `paying`.
"""

from __future__ import annotations

from tests.faults.collecting import DECLINES_LATER, GOOD, SHOP, choose
from tests.ledger.plans import sell_plan

from faregate import Engine
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

POINTS = [
    "the subscription asks for its first payment",
    "the payment is written",
    "the queue has forgotten what was asked",
    "the card is charged",
    "the credit has paid, and the subscription has begun",
    "we know that it has succeeded",
    "the other card is the default",
    "the second subscription asks",
    "its payment is written",
    "the queue has forgotten that",
    "the card is declined",
    "the failure is booked",
    "it is told that the payment has failed",
    "we know that it has failed",
]
PRICE = 10
BY_CARD = CreateSubscription(
    [SubscribedProduct(code="pro")], collection_method="charge_automatically"
)


async def make_customer(engine: Engine) -> str:
    """Sell the plan, to somebody who has both cards, the good one as the default."""
    await sell_plan(engine)
    customer_id = (await engine.create_customer(CreateCustomer("Ada"))).id
    for number in (DECLINES_LATER, GOOD):
        page = await engine.begin_setup(customer_id, SHOP)
        await engine.pay_checkout(page.id, number, "12/40", "123")
    return customer_id


async def live(engine: Engine, customer_id: str) -> None:
    """Let it all happen, or what of it did not happen yet."""
    await engine.create_subscription(customer_id, BY_CARD, idempotency_key="first")
    await engine.take_up_collections()
    if (await engine.list_top_ups(customer_id)).total_count == 1:
        await choose(engine, customer_id, DECLINES_LATER)
    await engine.create_subscription(customer_id, BY_CARD, idempotency_key="second")
    await engine.take_up_collections()
