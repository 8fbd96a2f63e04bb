"""Events that are looked at one by one: those that have several fees, for who asks what each fee's
price has to do with the event's costs, and for one customer's, whose fees are found by their events
alone; and those whose outcome was reported after they were booked, which cost what they cost now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from faregate.core.amounts import FIAT_SCALE, to_units
from faregate.core.codec import decode
from faregate.core.costs import DEFAULT_COST_CURRENCY, Cost, read_costs
from faregate.core.events import BookedEvent
from faregate.core.instants import from_us, to_us
from faregate.core.outcomes import EventOutcome
from faregate.ledger import rows
from faregate.ledger.questions import Asked, LanePart, Question, made_then
from faregate.store.protocol import Pair, Queries, Row, Rows, Store, Wanted

STREAMED: Final = 500
STREAMED_BY_ALL: Final = 2_000
"""Events of a customer, and of everybody, that are looked at before others have their turn."""


class SplitEvent(NamedTuple):
    """An event with its fees: (price, asset, units) each, and its costs: (currency, units)."""

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


async def settled_events(
    queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[SplitEvent]]:
    """Walk the events of the period whose outcome was reported, as they stand, some at a time. The
    outcomes are gone through, and their events found by their keys: nearly always they are few."""
    last = ("", "")
    while lane.has_outcomes:
        question = Question(asked, lane)
        where = [
            f"o.lane = {question.mark(lane.number)}",
            f"(o.customer_id, o.event_id) > ({question.mark(last[0])}, {question.mark(last[1])})",
            "e.lane = o.lane",
            "e.event_id = o.event_id",
            "e.customer_id = o.customer_id",
            f"e.environment_id = {question.mark(asked.environment_id)}",
            *question.booked("e"),
        ]
        if asked.customer_id is not None:
            where.append(f"o.customer_id = {question.mark(asked.customer_id)}")
        if asked.from_us is not None:
            # What was reported before that is of events from before that.
            where.append(f"o.updated_at >= {question.mark(asked.from_us)}")
        found = await queries.fetch(
            "SELECT o.customer_id, o.event_id, e.event_type, e.created_at, e.occurred_at, e.costs, "
            "o.standing FROM outcomes o CROSS JOIN events e "  # In this order, on SQLite.
            f"WHERE {' AND '.join(where)} ORDER BY o.customer_id, o.event_id LIMIT {STREAMED}",
            *question.values,
        )
        if found:
            last = (found[-1][0], found[-1][1])
            yield [_settled(row) for row in found]
        if len(found) < STREAMED:
            return


def _settled(row: Row) -> SplitEvent:
    customer_id, _, event_type, created_us, occurred_us, costs, standing = row
    stands = decode(EventOutcome, standing)
    return SplitEvent(
        customer_id,
        event_type,
        created_us,
        from_us(occurred_us),
        [(one.fee.price_id, one.fee.asset, one.fee.units) for one in stands.fees],
        _costs(read_costs(costs)[0]),
    )


def _costs(costs: Sequence[Cost] | None) -> list[tuple[str, int]]:
    return [
        (cost.currency or DEFAULT_COST_CURRENCY, to_units(cost.amount, FIAT_SCALE))
        for cost in costs or ()
    ]


def _with_several_fees(question: Question) -> list[str]:
    """Return what rows of `events` (`e`) must fulfil that are split, and cost what they did."""
    return [*question.numbered("e"), *question.as_booked("e"), "e.fee_count > 1"]


async def _of_customer(
    store: Store, queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[SplitEvent]]:
    """Walk one customer's, each found by its key."""
    after = lane.from_seq - 1
    while True:
        question = Question(asked, lane)
        where = [*_with_several_fees(question), f"e.seq > {question.mark(after)}"]
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
        _costs(event.costs),
    )


async def _of_all(
    _store: Store, queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[SplitEvent]]:
    """Walk everybody's, with all fees and costs that lie between the first and the last."""
    after = lane.from_seq - 1
    while True:
        question = Question(asked, lane)
        where = [*_with_several_fees(question), f"e.seq > {question.mark(after)}"]
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
