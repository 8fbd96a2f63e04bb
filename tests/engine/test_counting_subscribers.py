"""Who is on which version, counted for many products at once."""

from __future__ import annotations

import pytest
from tests.ledger.shop import Clock, make_customer, make_version, sell_tokens, tell

from faregate import Engine
from faregate.core.problems import FaregateError
from faregate.customers.types import CancelSubscription


def test_subscribers_are_counted_by_version_and_those_that_are_over_are_not(
    database_url: str,
) -> None:
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await make_version(engine, "2")
            product = await engine.get_product("tokens")
            assert await engine.count_subscribers([product.id]) == {product.id: {}}
            customers = [await make_customer(engine) for _ in range(3)]
            (before,) = (await engine.count_subscribers(["tokens"])).values()
            assert sum(before.values()) == 3
            (subscription,) = await engine.list_subscriptions(customers[0])
            now = CancelSubscription(at="now")
            await engine.cancel_subscription(customers[0], subscription.id, now)
            (after,) = (await engine.count_subscribers(["tokens"])).values()
            assert after == {version: count - 1 for version, count in before.items()}
            assert await engine.count_subscribers([]) == {}
            for wrong, said in ((["none"], "no product 'none'"), (["tokens"] * 101, "at most 100")):
                with pytest.raises(FaregateError, match=said):
                    await engine.count_subscribers(wrong)

    tell(story())
