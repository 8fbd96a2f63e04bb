"""What happened to one customer, the newest first, without a look at anybody else's rows: their
events, and what else moved their money (adjustments, charges, payments, what subscriptions ask).

What was captured on holds is not among the latter: it is seen with its hold or its events, and to
keep an index of it would cost every capture.
"""

from __future__ import annotations

from typing import Final

from faregate.core.decision import Transaction
from faregate.core.events import BookedEvent
from faregate.ledger import reading, rows
from faregate.store import schema
from faregate.store.protocol import Store

NOT_OF_USE: Final = "kind NOT IN ('capture', 'update', 'outcome')"
"""As in the index `transactions_by_customer`."""


async def latest_events(store: Store, lane: int, customer_id: str, limit: int) -> list[BookedEvent]:
    """Return a customer's newest events as they stand, the newest first, without counting them."""
    found = await store.fetch(
        "SELECT event_id FROM events WHERE lane = $1 AND seq IN ("
        "SELECT seq FROM (SELECT c.seq FROM customer_events c WHERE c.lane = $1 "
        f"AND c.customer_id = $2 ORDER BY c.seq DESC LIMIT {int(limit)}) AS indexed UNION ALL "
        "SELECT n.seq FROM events n WHERE n.lane = $1 AND n.customer_id = $2 "
        "AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = $1)) "
        f"ORDER BY seq DESC LIMIT {int(limit)}",
        lane,
        customer_id,
    )
    keys = [(row[0], customer_id) for row in found]
    booked = await reading.read_events(store, lane, keys)
    return [booked[key] for key in keys if key in booked]


async def list_transactions(
    store: Store, lane: int, customer_id: str, limit: int, offset: int
) -> tuple[list[Transaction], int]:
    """Return a page of what moved a customer's money beside use, the newest first, and how many
    there are in all."""
    where = f"lane = $1 AND customer_id = $2 AND {NOT_OF_USE}"
    async with store.snapshot() as snapshot:
        total = await snapshot.fetch(
            f"SELECT count(*) FROM transactions WHERE {where}", lane, customer_id
        )
        found = await snapshot.fetch(
            f"SELECT {schema.names(schema.TRANSACTIONS)} FROM transactions WHERE {where} "
            f"ORDER BY created_at DESC, id DESC LIMIT {int(limit)} OFFSET {int(offset)}",
            lane,
            customer_id,
        )
    return [rows.read_transaction(row) for row in found], int(total[0][0])
