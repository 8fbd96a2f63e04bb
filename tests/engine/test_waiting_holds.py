"""Holds that wait for credit go on with whatever brings it, are few, and are gone with whoever
asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
from tests.api.conftest import TEST_KEY, running_server
from tests.databases import new_sqlite
from tests.doubles.cards import Bank
from tests.engine.card_shop import Shop, shop
from tests.ledger.shop import USD, Clock, give, make_customer, sell_tokens, tell

from faregate.core.codec import from_dict
from faregate.core.gate import HoldView
from faregate.core.hold_requests import HoldRequest
from faregate.customers.types import Overdraft
from faregate.engine.waiting import MAX_WAITING


def hold(transaction_id: str, amount: int, seconds: int = 30) -> HoldRequest:
    request = {
        "transaction_id": transaction_id,
        "max_amount": amount,
        "asset": "USD",
        "wait_for_top_up_seconds": seconds,
    }
    return from_dict(HoldRequest, request)


async def begin(my: Shop, transaction_id: str = "job", amount: int = 120) -> asyncio.Task[HoldView]:
    """Ask for a hold that waits."""
    asking = my.engine.authorize(my.customer_id, hold(transaction_id, amount))
    return asyncio.create_task(asking)


async def adjusted(my: Shop) -> None:
    await give(my.engine, my.customer_id, "50", "from the shop", "gift")


async def topped_up_elsewhere(my: Shop) -> None:
    await give(my.engine, my.customer_id, "50", "by bank transfer", "external_topup")


async def begun(my: Shop) -> None:
    starts = my.clock.now + timedelta(seconds=10)
    await give(my.engine, my.customer_id, "50", "later", "gift", effective_at=starts)
    await let_others_go_on()
    my.clock.move(seconds=10)
    await my.engine.work()


async def overdrawn(my: Shop) -> None:
    limit = from_dict(Overdraft, {"policy": "limit", "limit": 20})
    await my.engine.set_overdraft(my.customer_id, USD, limit)


async def let_others_go_on() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("comes", [adjusted, topped_up_elsewhere, begun, overdrawn])
def test_a_hold_goes_on_with_credit_from_anywhere(
    database_url: str, comes: Callable[[Shop], Awaitable[None]]
):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.agree()
            asking = await begin(my)
            await my.asked()
            await let_others_go_on()
            assert not asking.done()
            await comes(my)
            view = await asyncio.wait_for(asking, 5)
            assert view.status == "authorized"
            # The card was not charged for it.
            assert (await my.standing()).in_flight is not None
            assert my.bank.asked == []

    tell(story())


@pytest.mark.parametrize("how", ["voided", "expired"])
def test_a_hold_goes_on_with_what_another_one_lets_go(database_url: str, how: str):
    async def story() -> None:
        async with shop(database_url) as my:
            await my.agree()
            first = await my.engine.authorize(my.customer_id, hold("first", 95))
            asking = await begin(my, "second", 95)
            await let_others_go_on()
            if how == "voided":
                await my.engine.void_hold(my.customer_id, first.id)
            else:
                my.clock.move(hours=1)
                await my.engine.work()
            assert (await asyncio.wait_for(asking, 5)).status == "authorized"

    tell(story())


def test_so_many_wait_and_whoever_comes_then_is_answered_at_once(tmp_path):
    async def story() -> None:
        async with shop(new_sqlite(tmp_path / "shop.db")) as my:
            await my.agree()
            asking = [await begin(my, f"job {number}") for number in range(MAX_WAITING)]
            await my.asked()
            assert my.engine._awaited.count == MAX_WAITING
            one_more = await asyncio.wait_for(await begin(my, "one more"), 5)
            assert one_more.status == "declined"
            # Those who stop waiting make room, and leave nothing behind.
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            assert my.engine._awaited.count == 0
            assert my.engine._awaited.among([my.customer_id]) == []
            await adjusted(my)
            assert (await my.engine.list_holds(my.customer_id)).total_count == 1

    tell(story())


def test_a_caller_who_leaves_waits_no_more_and_holds_nothing(database_url: str):
    with running_server(database_url, Clock()) as server:

        async def prepared() -> str:
            await sell_tokens(server.engine)
            customer_id = await make_customer(server.engine)
            await Shop(server.engine, Bank(), Clock(), customer_id).agree()
            return customer_id

        async def waiting(count: int) -> None:
            while server.engine._awaited.count != count:
                await let_others_go_on()

        customer_id = server.wait(prepared())
        url = f"{server.url}/v1/customers/{customer_id}/wallet/holds"
        request = {
            "transaction_id": "job",
            "max_amount": 120,
            "asset": "USD",
            "wait_for_top_up_seconds": 30,
        }
        with (
            httpx.Client(headers={"x-credyt-api-key": TEST_KEY}, timeout=0.5) as caller,
            pytest.raises(httpx.ReadTimeout),
        ):
            caller.post(url, json=request)
        server.wait(waiting(0))
        server.wait(give(server.engine, customer_id, "50", "too late", "gift"))
        assert server.wait(server.engine.list_holds(customer_id)).total_count == 0
        account = server.wait(server.engine.get_account(customer_id, USD))
        assert (account.available, account.pending_out) == (150, 0)
