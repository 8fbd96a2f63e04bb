"""The chains of a database, recomputed with nothing of ours."""

from __future__ import annotations

import hashlib
import json

from tests.ledger.shop import (
    assert_clean,
    other_connection,
)

from faregate import Engine
from faregate.ledger.event_index import read_missing
from faregate.store.protocol import LaneCommit, Queries, Store

COLUMNS = "seq, customer_id, asset, from_account, to_account, units, reference, at"


async def chains_of(queries: Queries) -> dict[str, int]:
    """Recompute every chain of the database, with nothing of ours, and hold it to what is kept.

    Returns how many transfers each customer has.
    """
    heads: dict[str, tuple[str, int]] = {}
    lengths: dict[str, int] = {}
    passed = set()
    for *values, found in await queries.fetch(
        f"SELECT {COLUMNS}, hash FROM transfers ORDER BY seq"
    ):
        customer_id = values[1]
        start = hashlib.sha256(f'["faregate chain 1","{customer_id}"]'.encode()).hexdigest()
        before, _ = heads.get(customer_id, (start, 0))
        text = json.dumps([before, *values], separators=(",", ":"))
        assert found == hashlib.sha256(text.encode()).hexdigest()
        heads[customer_id] = (found, values[0])
        lengths[customer_id] = lengths.get(customer_id, 0) + 1
        passed.add((customer_id, *heads[customer_id]))
    kept = await queries.fetch("SELECT customer_id, head, last_seq FROM chains")
    assert {tuple(row) for row in kept} <= passed
    return lengths


async def assert_chained(url: str, engine: Engine) -> dict[str, int]:
    """Every transfer is in its customer's chain, by our own reckoning and by another one."""
    await assert_clean(engine)
    async with other_connection(url) as store:
        return await chains_of(store)


async def settle(url: str) -> None:
    """Let `chains` and the indexes have everything, as a lane does with its commits."""
    async with other_connection(url) as store:
        await write_index(store)


async def write_index(store: Store) -> int:
    """Write what the index of the first lane lacks, as its holder does; returns how far it is."""
    lease = (await store.leases())[0]
    catalog_epoch = (await store.fetch("SELECT epoch FROM catalog_epoch"))[0][0]
    index = await read_missing(store, lease)
    while index.begin(lease.last_seq, 1):
        carried = index.take(0)
        await store.commit(
            LaneCommit(
                lease.lane,
                lease.epoch,
                catalog_epoch,
                lease.last_seq,
                lease.clock_us,
                lease.lease_until_us,
                index.seq_after,
                carried,
            )
        )
        index.landed()
    return index.indexed_seq
