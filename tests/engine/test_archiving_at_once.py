"""Somebody subscribes while somebody else archives: one of the two wins, and never both."""

import asyncio

from tests.ledger.shop import Clock, sell_tokens, tell

from faregate import Engine
from faregate.core.problems import FaregateError
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct


async def subscribes(engine: Engine, number: int) -> bool:
    request = CreateCustomer(
        name=f"Customer {number}",
        subscriptions=[CreateSubscription([SubscribedProduct(code="tokens", version=1)])],
    )
    try:
        await engine.create_customer(request)
    except FaregateError:
        return False
    return True


def test_a_version_is_archived_without_subscribers_or_has_them_and_is_not(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            for round_number in range(6):
                tries = [subscribes(engine, number) for number in range(20)]

                async def archives(round_number: int = round_number) -> bool:
                    for _ in range(round_number):
                        await asyncio.sleep(0)
                    try:
                        await engine.archive_version("tokens", 1)
                    except FaregateError:
                        return False
                    return True

                is_archived, *made = await asyncio.gather(archives(), *tries)
                count = (await engine.list_subscribers("tokens")).total_count
                assert count == sum(made) if is_archived else count >= sum(made)
                (version,) = (await engine.get_product("tokens")).versions
                assert version.status == ("archived" if is_archived else "published")
                assert not (is_archived and count)
                if is_archived:
                    break

    tell(story())
