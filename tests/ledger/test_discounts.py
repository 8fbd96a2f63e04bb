"""Discounts and commitments through the ledger: what they have come to is kept with what they took
off, through restarts, and the books balance."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.ledger.plans import member, monthly
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    fees_of,
    make_customer,
    other_connection,
    rows_of,
    sell_tokens,
    usage_price,
    use,
)

from faregate import Engine
from faregate.catalog.coupons import CreateCoupon
from faregate.catalog.types import CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.discounts import WHOLE
from faregate.customers.types import AddDiscount

MONTH = {"interval": "month"}
STATE = {
    "subscriptions": "subscription_id, terms, cycles",
    "carries": "price_id, asset, numerator",
    "fees": "fee_id, units, reduced",
    "wallet_accounts": "account_id, overdraft_units",
}


async def sell(engine: Engine, code: str = "pro", rate: str = "1", **commitment: Any) -> None:
    """Publish a plan of 10 USD a month and `rate` a token, with a commitment."""
    product = {
        "name": code,
        "code": code,
        "publish": True,
        "prices": [monthly(10), usage_price(rate)],
        "commitments": [{"name": "Use", "asset": "USD", "recurring": MONTH, **commitment}]
        if commitment
        else [],
    }
    await engine.create_product(decode(CreateProduct, encode(product)))


async def offer(engine: Engine, code: str = "ONE", **terms: Any) -> None:
    await engine.create_coupon(CreateCoupon(code, **terms))


async def kept(url: str, customer_id: str) -> dict[str, Any]:
    async with other_connection(url) as store:
        return {t: await rows_of(store, columns, t, customer_id) for t, columns in STATE.items()}


def test_thousands_of_tiny_fees_are_discounted_as_their_sum(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            # 0.000000001 for each: a unit. 33.3333 percent of 3,000 units are 999.999.
            await sell(engine, rate="0.000000001")
            await offer(engine, percent=Number("33.3333"))
            customer_id = await member(engine, coupon="ONE")
            before = await available(engine, customer_id)
            for batch in range(3):
                events = [use(f"{batch} {number}") for number in range(1000)]
                answer = await engine.record_events(customer_id, events)
                assert {fee.units for fee in fees_of(answer)} == {0, 1}
            after = await available(engine, customer_id)
            assert before - after == Decimal("0.000002000")
            await assert_clean(engine)

    asyncio.run(story())


@pytest.mark.parametrize("restarts", [False, True])
def test_it_does_not_matter_whether_somebody_restarts_on_the_way(database_url: str, restarts: bool):
    async def story() -> None:
        clock = Clock()
        charged: list[Decimal] = []
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(Engine.open(database_url, clock=clock))
            await sell(engine, minimum=50, maximum=100)
            await offer(engine, percent=Number(10), periods=2)
            await offer(engine, "TWO", amount=Number(3), asset="USD")
            customer_id = await member(engine, coupon="ONE")
            (subscription,) = await engine.list_subscriptions(customer_id)
            await engine.add_discount(customer_id, subscription.id, AddDiscount("TWO"))
            for number in range(24):
                if restarts:
                    await stack.aclose()
                    engine = await stack.enter_async_context(Engine.open(database_url, clock=clock))
                result = await book(engine, customer_id, use(f"e{number}", 17, clock.now))
                charged.append(Decimal(result.fees[0].units) / 10**9)
                clock.move(days=4)
            (shown,) = await engine.list_subscriptions(customer_id)
            # Base fees of 10: 9, 9 - 3, and twice 10 - 3; three months of 100, and 17.
            assert await available(engine, customer_id) == 1000 - 29 - 317
            assert shown.commitments is not None
            assert shown.commitments[0].spent == 17
            await assert_clean(engine)
        # In March, with a tenth and 3 off: 17 - 1.7 - 3, then 15.3 each, up to 100.
        months = [charged[:8], charged[8:16], charged[16:23], charged[23:]]
        assert months[0] == [Decimal(text) for text in ["12.3", *["15.3"] * 5, "11.2", "0"]]
        # In April the base fee has taken the 3. From May on there is no tenth.
        assert months[1] == [Decimal(text) for text in [*["15.3"] * 6, "8.2", "0"]]
        assert months[2:] == [[17, 17, 17, 17, 17, 15, 0], [17]]

    asyncio.run(story())


def test_a_refused_batch_leaves_no_trace_of_what_it_would_have_taken(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, maximum=100)
            await offer(engine, amount=Number(5), asset="USD")
            customer_id = await member(engine, coupon="ONE")
            await book(engine, customer_id, use("first", 1))
            before = await kept(database_url, customer_id)
            bad = use("old", 1, NOON - timedelta(days=400))
            with pytest.raises(Exception, match="too late"):
                await engine.record_events(customer_id, [use("good", 50), bad])
            assert await kept(database_url, customer_id) == before
            assert (await book(engine, customer_id, use("good", 50))).fees[0].units == 50 * 10**9

    asyncio.run(story())


def test_a_customer_without_any_writes_what_they_wrote_before(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            assert not engine.catalog_view().has_reductions
            before = await kept(database_url, customer_id)
            # Somebody else has a coupon: nothing of theirs is written.
            await offer(engine, percent=Number(10))
            await book(engine, customer_id, use("one", 3))
            after = await kept(database_url, customer_id)
            assert after["subscriptions"] == before["subscriptions"]
            assert after["carries"] == before["carries"]
            assert [tuple(row)[1:] for row in after["fees"]] == [(3 * 10**9, None)]

    asyncio.run(story())


def test_a_percentage_is_counted_beside_the_subscription(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell(engine, rate="0.000000001")
            await offer(engine, percent=Number(25))
            customer_id = await member(engine, coupon="ONE")
            before = await kept(database_url, customer_id)
            await book(engine, customer_id, use("one", 3))
            after = await kept(database_url, customer_id)
            assert after["subscriptions"] == before["subscriptions"]
            # Three quarters of a unit, and the 2.5 USD that were taken off the base fee (of two
            # units, nothing).
            ((_, _, numerator),) = [tuple(row) for row in after["carries"]]
            assert int(numerator) == WHOLE * 3 // 4

    asyncio.run(story())


def test_a_coupon_that_somebody_else_has_deleted_counts_for_who_has_it(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell(engine)
            await offer(engine, percent=Number(50))
            customer_id = await member(engine, coupon="ONE")
            await engine.delete_coupon("ONE")
        async with Engine.open(database_url, clock=clock) as engine:
            assert engine.catalog_view().coupons == {}
            assert (await book(engine, customer_id, use("one", 4))).fees[0].units == 2 * 10**9
            clock.move(days=31)
            # 10 less 5, twice, and 2.
            assert await available(engine, customer_id) == 988
            await assert_clean(engine)

    asyncio.run(story())
