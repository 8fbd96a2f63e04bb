"""Customers are found by what a person types, on both databases alike."""

from __future__ import annotations

from importlib import import_module

import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    book,
    by_hand,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)
from tests.store.newer_tables import WITHOUT_SEARCH

from faregate import CreateCustomer, Engine
from faregate.customers import searching
from faregate.customers.searching import CustomerFilters
from faregate.customers.types import CancelSubscription, UpdateCustomer

BEFORE = import_module("faregate.store.migrations.versions.0025_customer_history").down_revision


async def names(engine: Engine, text: str = "", **filters: object) -> list[str]:
    found = await engine.search_customers(text, CustomerFilters(**filters))
    assert found.total_count == len(found.items)
    return [item.customer.name for item in found.items]


def test_any_part_of_what_is_known_finds_a_customer(database_url: str):
    async def story() -> None:
        clock = Clock(NOON)
        async with Engine.open(database_url, clock=clock) as engine:
            made = await engine.create_customer(
                CreateCustomer("Ada Lovelace", "user_0815", "ada@engines.example")
            )
            clock.move(seconds=1)
            await engine.create_customer(CreateCustomer("Ben 100%", "USER_4711"))
            await engine.create_customer(CreateCustomer("Ärzte GmbH", email="post@Aerzte.example"))
            live = engine.context_of("live")
            await engine.create_customer(CreateCustomer("Ada Live"), context=live)

            for text in ("ada", "LOVEL", "lace ada", "R_0815", "ENGINES.ex", made.id, made.id[:20]):
                assert await names(engine, f" {text} ") == ["Ada Lovelace"], text
            assert await names(engine, "user_") == ["Ben 100%", "Ada Lovelace"]
            assert await names(engine, "100%") == ["Ben 100%"]
            # A sign that means something to databases means itself.
            assert await names(engine, "%") == ["Ben 100%"]
            assert await names(engine, "userX") == []
            assert await names(engine, "ärzte") == ["Ärzte GmbH"]
            assert await names(engine, "ÄRZTE gmbh") == ["Ärzte GmbH"]
            assert await names(engine, "ada 4711") == []
            assert await names(engine, "a\0da'") == []
            assert await names(engine, "  ") == ["Ärzte GmbH", "Ben 100%", "Ada Lovelace"]
            assert [
                i.customer.name for i in (await engine.search_customers("ada", context=live)).items
            ] == ["Ada Live"]

    tell(story())


def test_filters_find_who_is_in_the_red_blocked_or_subscribed(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            await sell_tokens(engine)
            product = (await engine.get_product("tokens")).id
            red = await make_customer(engine, "1")
            well = await make_customer(engine, "5")
            plain = await engine.create_customer(
                CreateCustomer("Plain", metadata={"blocked_because": "no"})
            )
            await book(engine, red, use("e", 3))
            await engine.block_customer(well, "fraud")

            async def ids(**filters: object) -> list[str]:
                found = await engine.search_customers("", CustomerFilters(**filters))
                return [item.customer.id for item in found.items]

            assert await ids(in_the_red=True) == [red]
            assert await ids(is_blocked=True) == [well]
            assert await ids(product_id=product) == [well, red]
            assert await ids(product_id=product, is_blocked=True, in_the_red=True) == []
            found = (await engine.search_customers()).items
            assert [(f.customer.id, f.is_in_the_red) for f in found] == [
                (plain.id, False),
                (well, False),
                (red, True),
            ]
            assert found[2].accounts[0].available == -2
            subscription = (await engine.list_subscriptions(well))[0].id
            await engine.cancel_subscription(well, subscription, CancelSubscription(at="now"))
            await engine.block_customer(well, None)
            assert await ids(product_id=product) == [red]
            assert await ids(is_blocked=True) == []

    tell(story())


def test_a_search_has_bounds_and_says_where_it_stopped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(searching, "MAX_FOUND", 3)
    monkeypatch.setattr(searching, "MAX_SEARCHED", 5)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            made = [
                await engine.create_customer(CreateCustomer(f"Ada {n}", f"ada-{n}"))
                for n in range(7)
            ]
            found = await engine.search_customers("ada", limit=2, offset=2)
            assert (found.total_count, found.is_cut) == (3, True)
            assert [item.customer.name for item in found.items] == ["Ada 4"]
            # Two are too old to be looked at, unless it is just them that are asked for.
            assert await names(engine, "Ada 1") == []
            assert await names(engine, "ada-1") == ["Ada 1"]
            assert await names(engine, made[0].id) == ["Ada 0"]

    tell(story())


def test_who_was_there_before_is_found_and_so_is_who_has_a_new_name(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            ada = await engine.create_customer(CreateCustomer("Ada Ö", "u-1", "ada@example.com"))
        async with by_hand(database_url) as queries:
            for statement in WITHOUT_SEARCH:
                await queries.fetch(statement)
            await queries.fetch("UPDATE alembic_version SET version_num = $1", BEFORE)
        async with other_connection(database_url) as store:
            await store.migrate()
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            for text in ("ada ö", "U-1", "@example"):
                assert await names(engine, text) == ["Ada Ö"]
            await engine.update_customer(ada.id, UpdateCustomer(name="Byron", email="b@x.example"))
            assert await names(engine, "ada") == []
            assert await names(engine, "byron u-1 b@x") == ["Byron"]

    tell(story())


def test_customers_have_their_names_by_id_and_strangers_none(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock(NOON)) as engine:
            ada = await engine.create_customer(CreateCustomer("Ada"))
            live = engine.context_of("live")
            livia = await engine.create_customer(CreateCustomer("Livia"), context=live)
            asked = [ada.id, livia.id, ada.id, "cust_nobody"]
            assert await engine.customer_names(asked) == {ada.id: "Ada"}
            assert await engine.customer_names([]) == {}

    tell(story())
