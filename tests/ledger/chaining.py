"""The chains of a database, recomputed with nothing of ours."""

from __future__ import annotations

import hashlib
import json

from tests.ledger.shop import (
    assert_clean,
    other_connection,
)

from faregate import Engine
from faregate.ledger.event_index import index_events
from faregate.store.protocol import Queries

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
    """Let `chains` have every chain's end, as a lane does behind its commits."""
    async with other_connection(url) as store:
        lease = (await store.leases())[0]
        await index_events(store, lease, lease.indexed_seq, lease.last_seq)
