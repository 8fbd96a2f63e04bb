"""Events that have several fees, one by one: for who asks what each fee's price has to do with the
event's costs, and for one customer's, whose fees are found by their events alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final, NamedTuple

from faregate.core.amounts import FIAT_SCALE, to_units
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.events import BookedEvent
from faregate.core.instants import from_us, to_us
from faregate.ledger import rows
from faregate.ledger.questions import Asked, LanePart, Question
from faregate.store.protocol import Queries, Store, Wanted

STREAMED: Final = 500
STREAMED_FEES: Final = 5_000
"""Events of a customer, and fees of everybody, that are looked at before others have their turn."""


class SplitEvent(NamedTuple):
    """An event with several fees: (price, asset, units) each, and its costs: (currency, units)."""

    customer_id: str
    event_type: str
    created_us: int
    occurred_at: datetime
    fees: list[tuple[str, str, int]]
    costs: list[tuple[str, int]]


async def split_events(
    store: Store, queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[SplitEvent]]:
    """Walk the events that have several fees, some at a time."""
    pages = _of_all if asked.customer_id is None else _of_customer
    async for page in pages(store, queries, asked, lane):
        yield page


async def _of_customer(
    store: Store, queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[SplitEvent]]:
    """Walk one customer's, each found by its key."""
    after = lane.from_seq - 1
    while True:
        question = Question(asked, lane)
        where = [*question.numbered("e"), "e.fee_count > 1", f"e.seq > {question.mark(after)}"]
        found = await queries.fetch(
            "SELECT e.seq, e.event_id, e.customer_id FROM events e "
            f"WHERE {' AND '.join(where)} ORDER BY e.seq LIMIT {STREAMED}",
            *question.values,
        )
        if found:
            after = found[-1][0]
            pairs = [(row[1], row[2]) for row in found]
            loaded = await store.load(lane.number, Wanted(events=pairs))
            booked = rows.read_events(loaded.events, loaded.fees)
            yield [_split(*pair) for pair in booked]
        if len(found) < STREAMED:
            return


def _split(customer_id: str, booked: BookedEvent) -> SplitEvent:
    event = booked.event
    return SplitEvent(
        customer_id,
        event.event_type,
        to_us(booked.created_at),
        event.occurred_at,
        [(fee.price_id, fee.asset, fee.units) for fee in booked.result.fees],
        [(c.currency or DEFAULT_COST_CURRENCY, to_units(c.amount, FIAT_SCALE)) for c in event.costs]
        if event.costs
        else [],
    )


async def _of_all(
    _store: Store, queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[SplitEvent]]:
    """Walk everybody's, in the order of their fees."""
    after, limit = "", STREAMED_FEES
    while True:
        question = Question(asked, lane)
        joined = ["e.lane = f.lane", "e.event_id = f.event_id", "e.customer_id = f.customer_id"]
        where = [
            *question.fee_range(),
            f"f.fee_id > {question.mark(after)}",
            *joined,
            *question.numbered("e"),
            "e.fee_count > 1",
        ]
        found = await queries.fetch(
            "SELECT f.fee_id, f.price_id, f.asset, f.units, e.seq, e.customer_id, "
            "e.event_type, e.created_at, e.occurred_at FROM fees f CROSS JOIN events e "
            f"WHERE {' AND '.join(where)} ORDER BY f.fee_id LIMIT {limit}",
            *question.values,
        )
        by_seq: dict[int, SplitEvent] = {}
        for _, price_id, asset, units, seq, customer_id, event_type, created_us, at in found:
            if seq not in by_seq:
                by_seq[seq] = SplitEvent(customer_id, event_type, created_us, from_us(at), [], [])
            by_seq[seq].fees.append((price_id, asset, units))
        is_last = len(found) < limit
        if found and not is_last:
            # The last event's other fees may be on the next page: it is read again, whole.
            last_seq = found[-1][4]
            whole = [row for row in found if row[4] != last_seq]
            del by_seq[last_seq]
            if whole:
                after = whole[-1][0]
            else:
                limit *= 2
        if by_seq:
            costs = await queries.fetch(
                "SELECT seq, currency, units FROM costs "
                "WHERE lane = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq, number",
                lane.number,
                min(by_seq),
                max(by_seq),
            )
            for seq, currency, units in costs:
                if seq in by_seq:
                    by_seq[seq].costs.append((currency, units))
            yield list(by_seq.values())
        if is_last:
            return
