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
from faregate.ledger.questions import Asked, LanePart, Question, made_then
from faregate.store.protocol import Pair, Queries, Rows, Store, Wanted

STREAMED: Final = 500
STREAMED_BY_ALL: Final = 2_000
"""Events of a customer, and of everybody, that are looked at before others have their turn."""


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
    """Walk everybody's, with all fees and costs that lie between the first and the last."""
    after = lane.from_seq - 1
    while True:
        question = Question(asked, lane)
        where = [*question.numbered("e"), "e.fee_count > 1", f"e.seq > {question.mark(after)}"]
        found = await queries.fetch(
            "SELECT e.seq, e.event_id, e.customer_id, e.event_type, e.created_at, e.occurred_at, "
            f"e.first_fee_id FROM events e WHERE {' AND '.join(where)} "
            f"ORDER BY e.seq LIMIT {STREAMED_BY_ALL}",
            *question.values,
        )
        if found:
            after = found[-1][0]
            yield await _with_fees(queries, lane.number, found)
        if len(found) < STREAMED_BY_ALL:
            return


async def _with_fees(queries: Queries, lane: int, found: Rows) -> list[SplitEvent]:
    by_key: dict[Pair, SplitEvent] = {}
    by_seq: dict[int, SplitEvent] = {}
    for seq, event_id, customer_id, event_type, created_us, occurred_us, _ in found:
        at = from_us(occurred_us)
        event = SplitEvent(customer_id, event_type, created_us, at, [], [])
        by_key[event_id, customer_id] = by_seq[seq] = event
    fees = await queries.fetch(
        "SELECT event_id, customer_id, price_id, asset, units FROM fees "
        "WHERE lane = $1 AND fee_id >= $2 AND fee_id <= $3 ORDER BY fee_id",
        lane,
        made_then(found[0][-1]),
        f"{made_then(found[-1][-1])}~",
    )
    for event_id, customer_id, *fee in fees:
        if (event_id, customer_id) in by_key:
            by_key[event_id, customer_id].fees.append((fee[0], fee[1], fee[2]))
    costs = await queries.fetch(
        "SELECT seq, currency, units FROM costs "
        "WHERE lane = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq, number",
        lane,
        found[0][0],
        found[-1][0],
    )
    for seq, currency, units in costs:
        if seq in by_seq:
            by_seq[seq].costs.append((currency, units))
    return list(by_seq.values())
