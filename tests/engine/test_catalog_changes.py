"""Changes of the catalog that meet each other, or a clock that is wrong."""

from __future__ import annotations

import asyncio

import pytest
from tests.ledger.shop import Clock, make_customer, make_version, sell_tokens, tell, usage_price

from faregate import Engine
from faregate.catalog.types import CreateProduct, CreateVersion, UpdateVersion
from faregate.core.codec import decode, encode


def _drafts(code: str) -> CreateProduct:
    return decode(CreateProduct, encode({"name": "T", "code": code, "prices": [usage_price("1")]}))


def test_of_two_drafts_that_are_published_at_once_the_first_is_the_default(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await engine.create_product(_drafts("two"))
            version = {"publish": False, "prices": [usage_price("2")]}
            await engine.create_version("two", decode(CreateVersion, encode(version)))
            await asyncio.gather(
                *[engine.update_version("two", n, UpdateVersion(publish=True)) for n in (1, 2)]
            )
            product = await engine.get_product("two")
            defaults = [n for n in (1, 2) if (await engine.get_version("two", n)).is_default]
            assert len(defaults) == 1
            assert product.default_version.version == defaults[0]
            assert {v.status for v in product.versions} == {"published"}

    tell(story())


@pytest.mark.parametrize("moment", [0, 3600])
def test_an_engine_that_only_reads_sees_what_the_other_one_publishes(
    database_url: str, moment: int
):
    async def story() -> None:
        clock = Clock()
        async with (
            Engine.open(database_url, clock=clock) as serving,
            Engine.open(database_url, clock=clock, serves=False) as reading,
        ):
            await sell_tokens(serving)
            customer_id = await make_customer(serving)
            clock.move(seconds=moment)
            version = await make_version(serving, "2")
            assert (await reading.get_version("tokens", "default")).version == version
            assert (await reading.get_customer(customer_id)).active_subscription_count == 1
            wallet = await reading.get_wallet(customer_id)
            assert [account.available for account in wallet.accounts] == [100]

    tell(story())


def test_an_older_reading_of_the_catalog_that_ends_last_changes_nothing(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            async with engine._store.snapshot() as older:
                await sell_tokens(engine)
                epoch = engine._catalog.epoch
                await engine._catalog._read(older.fetch)
            assert engine._catalog.epoch == epoch
            assert (await engine.get_product("tokens")).code == "tokens"

    tell(story())
