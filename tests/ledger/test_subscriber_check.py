"""Who is listed as subscribed to a product agrees with the subscriptions; `verify` proves it."""

from datetime import timedelta

import pytest
from tests.ledger.plans import member, monthly, sell_plan
from tests.ledger.shop import (
    NOON,
    Clock,
    by_hand,
    give,
    make_customer,
    make_version,
    sell_tokens,
    tell,
)

from faregate import Engine
from faregate.catalog.types import CreateVersion
from faregate.core.codec import decode, encode
from faregate.core.problems import FaregateError
from faregate.customers.types import (
    CancelSubscription,
    CreateCustomer,
    CreateSubscription,
    SubscribedProduct,
    UpdateSubscribedProduct,
)
from faregate.ledger import subscriber_check
from faregate.platform.clocks import AdvanceTestClock, CreateTestClock
from faregate.store.protocol import Row

EDITS = {
    "DELETE FROM product_subscribers": ("subscriber who is not listed", 0, 1),
    "DELETE FROM subscriptions": ("subscriber without a subscription", 1, 0),
    "UPDATE product_subscribers SET version = 7": ("version of a subscriber", 7, 0),
    "UPDATE product_subscribers SET next_version = 7": ("version of a subscriber", 0, 0),
    "UPDATE product_subscribers SET ends_at = 7": ("end of a subscriber", 7, 0),
}


@pytest.mark.parametrize("sql", EDITS)
def test_a_list_that_was_edited_is_found(database_url: str, sql: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, None)
            assert (await engine.verify()).is_clean
            async with by_hand(database_url) as database:
                assert len(await database.fetch(f"{sql} RETURNING lane")) == 1
            (found,) = (await engine.verify()).differences
            shown = (found.kind, found.stored_units, found.computed_units)
            assert (found.customer_id, shown) == (customer_id, EDITS[sql])

    tell(story())


def test_a_subscription_agrees_with_the_list_through_all_of_its_life(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(subscriber_check, "PAGE", 2)

    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_plan(engine)
            version = {"publish": True, "prices": [monthly(5)]}
            await engine.create_version("pro", decode(CreateVersion, encode(version)))
            members = [await member(engine) for _ in range(5)]
            ids = [(await engine.list_subscriptions(one))[0].id for one in members]
            cheaper = UpdateSubscribedProduct(2)
            await engine.move_subscription(members[0], ids[0], "pro", cheaper)
            await engine.cancel_subscription(members[1], ids[1], CancelSubscription())
            await engine.set_subscription_status(members[2], ids[2], is_active=False)
            assert (await engine.verify()).differences == []
            # The next period begins without anybody having written it down.
            clock.move(days=40)
            assert (await engine.verify()).differences == []
            await engine.work()
            assert (await engine.verify()).differences == []
            page = await engine.list_subscribers("pro")
            shown = {one.customer_id: one.version for one in page.items}
            assert shown == {members[0]: 2, members[3]: 1, members[4]: 1}

    tell(story())


@pytest.mark.parametrize("days", [-900, 900])
def test_who_lives_by_a_test_clock_has_a_version_until_that_clock_says_otherwise(
    database_url: str, days: int
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_plan(engine)
            start = NOON + timedelta(days=days)
            made = await engine.create_test_clock(CreateTestClock(start, "elsewhere"))
            request = CreateCustomer(
                name="Ada",
                test_clock_id=made.id,
                subscriptions=[CreateSubscription([SubscribedProduct(code="pro", version=1)])],
            )
            customer = await engine.create_customer(request)
            (subscription,) = customer.subscriptions
            # It waits for its first payment: somebody has it.
            with pytest.raises(FaregateError, match="1 subscription has version 1 of 'pro'"):
                await engine.archive_version("pro", 1)
            await give(engine, customer.id, "100", "credit")
            await engine.cancel_subscription(customer.id, subscription.id, CancelSubscription())
            with pytest.raises(FaregateError, match="1 subscription has version 1 of 'pro'"):
                await engine.archive_version("pro", 1)
            assert (await engine.list_subscribers("pro")).total_count == 1
            assert (await engine.verify()).is_clean
            await engine.advance_test_clock(made.id, AdvanceTestClock(start + timedelta(days=40)))
            assert (await engine.list_subscribers("pro")).total_count == 0
            await engine.archive_version("pro", 1)
            assert (await engine.verify()).is_clean

    tell(story())


def test_following_the_default_is_listed_with_the_version_in_force(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await make_customer(engine, None)
            assert [one.version for one in (await engine.list_subscribers("tokens")).items] == [1]
            await make_version(engine, "2")
            (one,) = (await engine.list_subscribers("tokens")).items
            assert (one.version, one.product_rate_plan_id[-2:]) == (2, ":2")
            async with by_hand(database_url) as database:
                rows: list[Row] = list(
                    await database.fetch("SELECT version, ends_at FROM product_subscribers")
                )
            assert [tuple(row) for row in rows] == [(0, None)]
            await engine.archive_version("tokens", 1)
            assert (await engine.verify()).is_clean

    tell(story())
