"""What is archived or gone stays so, whatever happens at the same moment."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from tests.ledger.shop import (
    Clock,
    by_hand,
    make_customer,
    make_version,
    refusal,
    sell_tokens,
    tell,
)

from faregate import Engine
from faregate.catalog.types import UpdateVersion
from faregate.core.problems import FaregateError
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

FIRST = CreateCustomer(
    name="Ada", subscriptions=[CreateSubscription([SubscribedProduct(code="tokens", version=1)])]
)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def succeeds(work: Awaitable[Any]) -> bool:
    try:
        await work
    except FaregateError:
        return False
    return True


async def statuses(engine: Engine) -> dict[int, str]:
    return {v.version: v.status for v in (await engine.get_product("tokens")).versions}


def test_a_commit_that_is_slow_to_end_is_waited_for(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await make_version(engine, "2")
            if database_url.startswith("sqlite"):
                return  # There, one writes at a time.
            async with by_hand(database_url) as database:
                # The commit has looked at the catalog, and cannot end yet.
                await database.fetch("BEGIN")
                await database.fetch("SELECT lane FROM lanes FOR UPDATE")
                subscribing = asyncio.ensure_future(succeeds(engine.create_customer(FIRST)))
                while not (await database.fetch(WAITING))[0][0]:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0)
                archiving = asyncio.ensure_future(succeeds(engine.archive_version("tokens", 1)))
                for _ in range(200):
                    await database.fetch(WAITING)
                await database.fetch("COMMIT")
            is_subscribed, is_archived = await asyncio.gather(subscribing, archiving)
            assert is_subscribed != is_archived
            assert (await engine.list_subscribers("tokens")).total_count == is_subscribed
            assert (await statuses(engine))[1] == ("archived" if is_archived else "published")

    tell(story())


def test_a_subscription_that_has_ended_does_not_begin_again_with_an_archived_version(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            created = await engine.create_customer(FIRST)
            subscription_id = created.subscriptions[0].id
            await make_version(engine, "2")
            await engine.set_subscription_status(created.id, subscription_id, is_active=False)
            await engine.archive_version("tokens", 1)
            error = await refusal(
                engine.set_subscription_status(created.id, subscription_id, is_active=True)
            )
            assert error.problem.kind.status == 409
            assert "version 1 of product 'tokens' is archived" in error.problem.detail
            assert (await engine.list_subscribers("tokens")).total_count == 0
            # Moved to one that is sold, it may.
            await engine.set_subscription_version(created.id, subscription_id, "tokens", 2)
            await engine.set_subscription_status(created.id, subscription_id, is_active=True)
            assert (await engine.list_subscribers("tokens")).total_count == 1

    tell(story())


def test_a_product_whose_default_was_archived_gets_the_next_one_published(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            await engine.archive_version("tokens", 1)
            assert await make_version(engine, "2", is_default=False) == 2
            assert (await engine.get_product("tokens")).default_version.version == 2
            assert (await engine.get_version("tokens", 2)).is_default
            await make_customer(engine)

    tell(story())


def test_a_version_does_not_become_the_default_while_it_is_archived(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            Engine.open(database_url, clock=Clock(), serves=False) as other,
        ):
            await sell_tokens(engine)
            await make_version(engine, "2")
            await other.get_product("tokens")
            # The other one has looked before it was archived.
            await engine.archive_version("tokens", 1)
            change = UpdateVersion(make_default=True)
            error = await refusal(other.update_version("tokens", 1, change))
            assert error.problem.kind.status == 409
            assert (await engine.get_product("tokens")).default_version.version == 2

    tell(story())


def test_a_product_that_is_gone_gets_no_version_any_more(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            Engine.open(database_url, clock=Clock(), serves=False) as other,
        ):
            await sell_tokens(engine)
            await other.get_product("tokens")
            await engine.delete_product("tokens")
            error = await refusal(make_version(other, "2", is_default=False))
            assert error.problem.kind.status == 404
            await sell_tokens(engine)
            assert await statuses(engine) == {1: "published"}

    tell(story())


def test_what_the_lane_refuses_reaches_the_caller_and_leaves_nothing(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            Engine.open(database_url, clock=Clock(), serves=False) as other,
        ):
            await sell_tokens(engine)
            await make_version(engine, "2")
            ada = await make_customer(engine, None)
            subscription_id = (await engine.list_subscriptions(ada))[0].id
            await other.get_product("tokens")
            # The one that serves does not know yet.
            await other.archive_version("tokens", 1)
            request = CreateSubscription([SubscribedProduct(code="tokens", version=1)])
            for sent in (
                engine.create_customer(FIRST, idempotency_key="customer"),
                engine.create_customer(FIRST, idempotency_key="customer"),
                engine.create_subscription(ada, request, idempotency_key="subscription"),
                engine.create_subscription(ada, request, idempotency_key="subscription"),
                engine.set_subscription_version(ada, subscription_id, "tokens", 1),
            ):
                error = await refusal(sent)
                assert error.problem.kind.status in (409, 422)
                assert "archived" in error.problem.detail
            assert (await engine.list_customers()).total_count == 1
            assert [s.id for s in await engine.list_subscriptions(ada)] == [subscription_id]
            assert (await engine.list_subscribers("tokens")).total_count == 1
            assert (await engine.verify()).is_clean

    tell(story())


def test_a_subscription_that_was_decided_on_the_old_catalog_is_refused(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            Engine.open(database_url, clock=Clock(), serves=False) as other,
        ):
            await sell_tokens(engine)
            ada = (await engine.create_customer(CreateCustomer(name="Ada"))).id
            await other.get_product("tokens")
            request = CreateSubscription([SubscribedProduct(code="tokens", version=1)])
            await other.archive_version("tokens", 1)
            error = await refusal(engine.create_subscription(ada, request))
            assert error.problem.kind.status == 409
            assert "version 1 of product 'tokens' is archived" in error.problem.detail
            # The same of what is gone altogether.
            await make_version(engine, "2")
            await engine.archive_version("tokens", 2)
            await engine.delete_product("tokens")
            await sell_tokens(engine)
            await other.get_product("tokens")
            await other.delete_product("tokens")
            error = await refusal(engine.create_subscription(ada, request))
            assert error.problem.kind.status == 409
            assert "is gone" in error.problem.detail
            assert await engine.list_subscriptions(ada) == []

    tell(story())
