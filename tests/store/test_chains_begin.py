"""A ledger of a version that made no hashes is upgraded: everything in it is chained, and chains go
on from there."""

import asyncio

import pytest
from tests.ledger.chaining import settle
from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    make_customer,
    other_connection,
    sell_tokens,
    use,
)
from tests.store.newer_tables import WITHOUT_NEWER

from faregate import Engine
from faregate.store.protocol import StoreError
from faregate.store.versions import newest_version

BEFORE = (
    "ALTER TABLE transfers DROP COLUMN hash",
    "DROP TABLE chains",
    "ALTER TABLE wallet_accounts DROP COLUMN watch",
    "ALTER TABLE environments DROP COLUMN alerts",
    "DROP INDEX holds_by_expiry",
    "DROP INDEX transfers_unused",
    *WITHOUT_NEWER,
    "DROP TABLE outcomes",
    "ALTER TABLE events DROP COLUMN counted",
    "ALTER TABLE events DROP COLUMN outcome",
    "DROP TABLE due_work",
    "DROP TABLE product_subscribers",
    "DROP TABLE test_clocks",
    "ALTER TABLE subscriptions DROP COLUMN terms",
    "ALTER TABLE subscriptions DROP COLUMN cycles",
    "ALTER TABLE grants DROP COLUMN terms",
    "DROP INDEX customers_by_clock",
    "ALTER TABLE customers DROP COLUMN test_clock_id",
    "ALTER TABLE environments DROP COLUMN renewals",
    "DROP INDEX accounts_by_external_id",
    "ALTER TABLE environments DROP COLUMN external_id",
    "ALTER TABLE environments DROP COLUMN metadata",
    "DROP TABLE costs",
    "DROP TABLE vendors",
    "DROP TABLE coupons",
    "ALTER TABLE product_versions DROP COLUMN commitments",
    "ALTER TABLE fees DROP COLUMN reduced",
    "DROP TABLE tier_counters",
    "ALTER TABLE fees DROP COLUMN counted",
    "ALTER TABLE fees DROP COLUMN paid_units",
    "ALTER TABLE fees DROP COLUMN exchange_rate",
    "UPDATE alembic_version SET version_num = '0003'",
)
COLUMNS = "lane, seq, customer_id, asset, from_account, to_account, units, reference, at"


async def fill_as_before(url: str, *, is_indexed: bool) -> list[str]:
    """Make a database with the schema before the chains: a customer with charges, and one without
    any transfer."""
    async with Engine.open(url, clock=Clock()) as engine:
        await sell_tokens(engine)
        customers = [await make_customer(engine), await make_customer(engine, None)]
        for number in range(3):
            await book(engine, customers[0], use(f"old {number}"))
    if is_indexed:
        await settle(url)
    async with by_hand(url) as database:
        for sql in BEFORE:
            await database.fetch(sql)
    return customers


@pytest.mark.parametrize("is_indexed", [True, False])
def test_what_was_booked_before_is_chained_and_chains_go_on(empty_url: str, is_indexed: bool):
    async def story() -> None:
        used, unused = await fill_as_before(empty_url, is_indexed=is_indexed)
        async with other_connection(empty_url) as store:
            before = await store.fetch(f"SELECT {COLUMNS} FROM transfers ORDER BY seq")
        async with Engine.open(empty_url, clock=Clock(), serves=False, migrate=True) as desk:
            # Nobody has served it yet.
            upgraded = await desk.verify()
            assert (upgraded.differences, upgraded.breaks) == ([], [])
            assert upgraded.head.transfers == 4
        async with other_connection(empty_url) as store:
            assert await store.schema_version() == newest_version()
            after = await store.fetch(f"SELECT {COLUMNS} FROM transfers ORDER BY seq")
            assert [tuple(row) for row in after] == [tuple(row) for row in before]
        async with Engine.open(empty_url, clock=Clock()) as engine:
            assert (await book(engine, used, use("old 1"))).status == "repeat"
            for customer_id in (used, unused):
                await book(engine, customer_id, use("new"))
            assert await available(engine, used) == 96
            await assert_clean(engine)
            assert (await engine.verify(heads=[upgraded.head])).is_clean
        await settle(empty_url)
        async with Engine.open(empty_url, clock=Clock()) as engine:
            await book(engine, used, use("newer"))
            report = await engine.verify(heads=[upgraded.head])
            assert report.is_clean
            assert report.chains == 2

    asyncio.run(story())


def test_an_edit_after_the_upgrade_of_what_was_booked_before_it_is_found(empty_url: str):
    async def story() -> None:
        used, _ = await fill_as_before(empty_url, is_indexed=False)
        async with Engine.open(empty_url, clock=Clock(), migrate=True):
            pass
        async with by_hand(empty_url) as database:
            seq = (await database.fetch("SELECT min(seq) FROM transfers"))[0][0]
            await database.fetch("UPDATE transfers SET at = 0 WHERE seq = $1", seq)
        async with Engine.open(empty_url, clock=Clock(), serves=False) as desk:
            found = (await desk.verify()).breaks
        assert [(broken.customer_id, broken.seq) for broken in found] == [(used, seq)]

    asyncio.run(story())


def test_an_older_version_that_still_runs_cannot_add_a_transfer_without_a_hash(
    empty_url: str,
):
    async def story() -> None:
        await fill_as_before(empty_url, is_indexed=False)
        async with Engine.open(empty_url, clock=Clock(), migrate=True):
            pass
        with pytest.raises(StoreError):
            async with by_hand(empty_url) as database:
                await database.fetch(
                    f"INSERT INTO transfers ({COLUMNS}) VALUES (0, 99, 'c', 'USD', 'a', 'b', 1, "
                    "'r', 0)"
                )
        async with Engine.open(empty_url, clock=Clock()) as engine:
            await assert_clean(engine)

    asyncio.run(story())
