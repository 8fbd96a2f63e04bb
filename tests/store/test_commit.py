"""A batch is written whole or not at all, and only by who holds the lane."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from faregate.store.open import open_store
from faregate.store.protocol import DuplicateKey, FenceFailed, LaneCommit, Store, Wanted

FAR_US = 4_000_000_000_000_000
FEE = ("fee_1", "cust_1", "event", "prc_1", 0, "USD", "default:USD", 5, "1", 7, *[None] * 4)
GRANT = ("cust_1", "grt_1", "default:USD", "paid", 100, 50, 45, 0, 1, None, 1, None)
TRANSFER = (2, "cust_1", "USD", "grt_1", "revenue", 5, "fee_1", 7, "0a" * 32)


def event(event_id: str, seq: int = 1) -> tuple[Any, ...]:
    """A row of `events` with one fee."""
    plain = (event_id, "cust_1", seq, 1, "llm", 7, 7, None, None, None, None, None, "{}")
    return (*plain, "fee_1", 1, 5, "USD")


@asynccontextmanager
async def leased(url: str) -> AsyncIterator[tuple[Store, LaneCommit]]:
    """A migrated store, and a commit of its first lane that its fence lets through."""
    store = await open_store(url)
    try:
        await store.migrate()
        lease = await store.take_lease((await store.leases())[0], "me", FAR_US)
        assert lease is not None
        epoch = (await store.fetch("SELECT epoch FROM catalog_epoch"))[0][0]
        yield store, LaneCommit(lease.lane, lease.epoch, epoch, 2, 9, FAR_US, 1, {})
    finally:
        await store.close()


async def written(store: Store) -> dict[str, int]:
    """How many rows the tables have that these tests write."""
    tables = ("events", "fees", "transfers", "grants")
    return {t: (await store.fetch(f"SELECT count(*) FROM {t}"))[0][0] for t in tables}


def test_a_commit_writes_its_rows_and_where_the_lane_stands(database_url: str):
    async def story() -> None:
        async with leased(database_url) as (store, commit):
            commit.rows = {
                "events": [event("event")],
                "fees": [FEE],
                "transfers": [TRANSFER],
                "grants": [GRANT],
            }
            await store.commit(commit)
            loaded = await store.load(commit.lane, Wanted(["cust_1"], [("event", "cust_1")]))
            assert [tuple(row) for row in loaded.events] == [event("event")]
            assert [tuple(row) for row in loaded.fees] == [FEE]
            assert [tuple(row) for row in loaded.grants] == [GRANT]
            lease = (await store.leases())[0]
            assert (lease.last_seq, lease.clock_us, lease.lease_until_us) == (2, 9, FAR_US)
            assert lease.indexed_seq == 1

    asyncio.run(story())


def test_a_grant_that_is_written_again_replaces_what_was_left_of_it(database_url: str):
    async def story() -> None:
        async with leased(database_url) as (store, commit):
            commit.rows = {"grants": [GRANT]}
            await store.commit(commit)
            used_up = (*GRANT[:6], 0, 1, *GRANT[8:])
            commit.rows = {"grants": [used_up]}
            await store.commit(commit)
            assert await written(store) == {"events": 0, "fees": 0, "transfers": 0, "grants": 1}
            # A grant that is used up is not loaded any more.
            assert (await store.load(commit.lane, Wanted(["cust_1"]))).grants in ((), [])

    asyncio.run(story())


def test_an_event_key_that_exists_fails_the_commit_and_leaves_nothing(database_url: str):
    async def story() -> None:
        async with leased(database_url) as (store, commit):
            commit.rows = {"events": [event("first")]}
            await store.commit(commit)
            before, stood = await written(store), await store.leases()
            commit.last_seq = 5
            commit.rows = {
                "events": [event("new", 3), event("first", 4)],
                "fees": [FEE],
                "transfers": [TRANSFER],
                "grants": [GRANT],
            }
            with pytest.raises(DuplicateKey):
                await store.commit(commit)
            assert await written(store) == before
            assert await store.leases() == stood
            # The store is in order: the same rows without the duplicate pass.
            commit.rows["events"].pop()
            await store.commit(commit)
            assert (await written(store))["events"] == 2

    asyncio.run(story())


@pytest.mark.parametrize("moved", ["epoch", "catalog_epoch"])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_wrong_epoch_fails_the_commit_and_leaves_nothing(database_url: str, moved: str, by: int):
    async def story() -> None:
        async with leased(database_url) as (store, commit):
            before, stood = await written(store), await store.leases()
            commit.rows = {"events": [event("event")], "fees": [FEE], "grants": [GRANT]}
            setattr(commit, moved, getattr(commit, moved) + by)
            with pytest.raises(FenceFailed):
                await store.commit(commit)
            assert await written(store) == before
            assert await store.leases() == stood
            setattr(commit, moved, getattr(commit, moved) - by)
            await store.commit(commit)
            assert (await written(store))["events"] == 1

    asyncio.run(story())


def test_of_two_that_saw_the_same_lease_one_takes_it(database_url: str):
    async def story() -> None:
        async with leased(database_url) as (store, _):
            seen = (await store.leases())[0]
            other = await open_store(database_url)
            taken = await asyncio.gather(
                store.take_lease(seen, "me", FAR_US), other.take_lease(seen, "you", FAR_US)
            )
            await other.close()
            winners = [lease for lease in taken if lease is not None]
            assert [lease.epoch for lease in winners] == [seen.epoch + 1]
            assert await store.leases() == winners

    asyncio.run(story())


async def _change_and_fail(store: Store) -> None:
    async with store.transaction() as transaction:
        await transaction.fetch("UPDATE catalog_epoch SET epoch = epoch + 1")
        raise LookupError


def test_a_transaction_that_fails_leaves_nothing(database_url: str):
    async def story() -> None:
        async with leased(database_url) as (store, _):
            before = await store.fetch("SELECT epoch FROM catalog_epoch")
            with pytest.raises(LookupError):
                await _change_and_fail(store)
            assert await store.fetch("SELECT epoch FROM catalog_epoch") == before

    asyncio.run(story())


def test_a_snapshot_sees_one_instant_while_commits_go_on(database_url: str):
    async def story() -> None:
        async with leased(database_url) as (store, commit), store.snapshot() as snapshot:
            count = "SELECT count(*) FROM events"
            assert (await snapshot.fetch(count))[0][0] == 0
            commit.rows = {"events": [event("event")]}
            await store.commit(commit)
            assert (await snapshot.fetch(count))[0][0] == 0
            assert (await store.fetch(count))[0][0] == 1

    asyncio.run(story())
