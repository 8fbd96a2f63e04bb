"""The "give credit" form is submitted twice by a retry: one credit. If the answer is lost after
the commit, the repeat says "done", not "failed".

Seen at Panafor-Ai-Team/Aico#364.
"""

import asyncio

from tests.ledger.shop import (
    USD,
    Clock,
    assert_clean,
    available,
    give,
    make_customer,
    sell_tokens,
    tell,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.payments.types import InitiateTopUp


def test_a_gift_submitted_twice_at_once_is_one_credit(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            first, second = await asyncio.gather(
                give(engine, customer_id, "25", "form 1", "gift"),
                give(engine, customer_id, "25", "form 1", "gift"),
            )
            assert first == second
            assert await available(engine, customer_id) == 25
            assert (await engine.list_grants(customer_id, USD)).total_count == 1
            await assert_clean(engine)

    tell(story())


def test_a_gift_whose_answer_was_lost_is_done_when_it_is_sent_again(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            form = asyncio.create_task(give(engine, customer_id, "25", "form 1", "gift"))
            await asyncio.sleep(0)
            form.cancel()
        # The process ends before anybody has seen an answer; an hour later the form comes again.
        clock.move(hours=1)
        async with Engine.open(database_url, clock=clock) as engine:
            again = await give(engine, customer_id, "25", "form 1", "gift")
            assert again.units == 25 * 10**9
            assert await engine.get_transaction(customer_id, "form 1") == again
            assert await available(engine, customer_id) == 25
            assert (await engine.list_grants(customer_id, USD)).total_count == 1
            await assert_clean(engine)

    tell(story())


def test_a_payment_form_submitted_twice_is_one_payment_also_when_an_answer_was_lost(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        url = "https://shop.example/"
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            form = InitiateTopUp(customer_id, Number("25"), "USD", url, url)
            first, second = await asyncio.gather(
                engine.initiate_top_up(form, idempotency_key="form 1"),
                engine.initiate_top_up(form, idempotency_key="form 1"),
            )
            assert first == second
            await engine.sandbox.pay(first.id, "4242424242424242")
            asked = asyncio.create_task(engine.settle_payment(first.id))
            await asyncio.sleep(0)
            asked.cancel()
        clock.move(hours=1)
        async with Engine.open(database_url, clock=clock) as engine:
            again = await engine.initiate_top_up(form, idempotency_key="form 1")
            assert again.id == first.id
            await engine.sandbox.pay(first.id, "4242424242424242")
            assert (await engine.settle_payment(first.id)).status == "succeeded"
            assert (await engine.settle_payment(first.id)).status == "succeeded"
            assert await available(engine, customer_id) == 25
            assert (await engine.list_grants(customer_id, USD)).total_count == 1
            assert (await engine.list_top_ups(customer_id)).total_count == 1
            await assert_clean(engine)

    tell(story())
