"""From the rows of a lane to sums: a range of its numbers, read in slices. Events are added as they
were booked; where the outcome of one was reported since, what it came to before is taken away and
what it comes to now added, in the range in which that was reported.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from faregate.core.amounts import FIAT_SCALE, to_units
from faregate.core.codec import decode, encode
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.instants import to_us
from faregate.core.outcomes import EventOutcome
from faregate.ledger import rows
from faregate.ledger.profits import ASSET_OF_ACCOUNT, REVENUE_KINDS
from faregate.ledger.questions import made_then
from faregate.ledger.summing import (
    PaidCost,
    PriceAt,
    RateChanges,
    Sale,
    Summed,
    Terms,
    UsedEvent,
    UsedFee,
    model_of,
)
from faregate.store.protocol import Pair, Queries, Row, Store, Wanted
from faregate.store.schema import first_seq

SLICE: Final = 2_000
"""Numbers of a lane that are read at once: some hundred events with their transfers."""
AT_ONCE: Final = 50
"""Events that are added before others have a turn: a millisecond or two."""
_MANY: Final = 500
_KINDS: Final = ", ".join(f"'{kind}'" for kind in REVENUE_KINDS)
_OUTCOMES: Final = (
    "SELECT o.customer_id, o.event_id, o.standing, {earlier}, o.seq FROM outcomes o {joined}"
    "WHERE o.lane = $1 AND (o.seq, o.customer_id, o.event_id) > ($2, $3, $4) AND {where} "
    f"ORDER BY o.seq, o.customer_id, o.event_id LIMIT {_MANY}"
)

Settled = tuple[str, str, str]
"""Customer, event, where it stands (JSON)."""
Created = tuple[int, int] | None
"""From when on and before when rows were booked, in microseconds; None: whenever."""


async def read_terms(
    queries: Queries, products: Callable[[int, str], Hashable], price_at: PriceAt | None = None
) -> Terms:
    """Read when rates begin and end, and which vendors have which own ids."""
    found = await queries.fetch(
        "SELECT environment_id, asset, source, valid_from, valid_to FROM asset_rates"
    )
    changes = RateChanges([(row[0], row[1], row[2], row[3], row[4]) for row in found])
    found = await queries.fetch(
        "SELECT environment_id, external_id, id FROM vendors WHERE external_id IS NOT NULL"
    )
    return Terms(changes, products, {(row[0], row[1]): row[2] for row in found}, price_at)


async def end_of_slice(
    queries: Queries, lane: int, after: int, last_seq: int, size: int | None = None
) -> int:
    """Return up to which number to read (about `size` of them, or `SLICE`), so that no charge's
    transfers are in two slices. What one command changes has numbers of its own, in this order:
    events, transfers, holds."""
    end = after + (size or SLICE)
    if end >= last_seq:
        return last_seq
    # Before an event or a hold, or between the transfers of two customers or for two charges,
    # nothing is cut through.
    found = [last_seq]
    for table in ("events", "holds"):
        rows_found = await queries.fetch(
            f"SELECT seq FROM {table} WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT 1", lane, end
        )
        found += [row[0] - 1 for row in rows_found]
    transfers = await queries.fetch(
        "SELECT seq, customer_id, reference FROM transfers WHERE lane = $1 AND seq > $2 "
        f"ORDER BY seq LIMIT {_MANY}",
        lane,
        end,
    )
    last_of = {row[2]: place for place, row in enumerate(transfers)}
    going_on_to = 0
    for place, (before, row) in enumerate(pairwise(transfers)):
        going_on_to = max(going_on_to, last_of[before[2]])
        if before[1] != row[1] or going_on_to == place:
            found.append(row[0] - 1)
            break
    return max(end, min(found))


class SumReader:
    """Reads one lane's rows in one snapshot and adds them up."""

    def __init__(
        self,
        store: Store,
        queries: Queries,
        lane: int,
        terms: Terms,
    ) -> None:
        self.summed = Summed(terms)
        self._store = store
        self._queries = queries
        self._lane = lane

    async def add_slice(self, after: int, upto: int, created: Created = None) -> None:
        """Add the events and charges that have these numbers, as they were booked."""
        begin, end = (-(2**62), 2**62) if created is None else created
        span = (self._lane, after, upto)
        events = await self._queries.fetch(
            "SELECT seq, event_id, customer_id, environment_id, event_type, created_at, "
            "occurred_at, first_fee_id, fee_count, data FROM events WHERE lane = $1 AND seq > $2 "
            "AND seq <= $3 AND created_at >= $4 AND created_at < $5 ORDER BY seq",
            *span,
            begin,
            end,
        )
        firsts = [row[7] for row in events if row[8]]
        fees: Sequence[Row] = ()
        if firsts:
            fees = await self._queries.fetch(
                "SELECT event_id, customer_id, price_id, asset, units FROM fees "
                "WHERE lane = $1 AND fee_id >= $2 AND fee_id <= $3 ORDER BY fee_id",
                self._lane,
                made_then(min(firsts)),
                f"{made_then(max(firsts))}~",
            )
        costs = await self._queries.fetch(
            "SELECT seq, vendor_id, vendor_external_id, category, currency, units FROM costs "
            "WHERE lane = $1 AND seq > $2 AND seq <= $3 ORDER BY seq, number",
            *span,
        )
        sales = await self._queries.fetch(
            "SELECT DISTINCT t.id, c.environment_id, t.customer_id, "
            f"{ASSET_OF_ACCOUNT}, -t.units, t.created_at "
            "FROM transfers x CROSS JOIN transactions t CROSS JOIN customers c "
            "WHERE x.lane = $1 AND x.seq > $2 AND x.seq <= $3 AND x.to_account = 'revenue' "
            "AND t.lane = x.lane AND t.id = x.reference AND c.id = t.customer_id "
            f"AND t.kind IN ({_KINDS}) AND t.units <> 0 "
            "AND t.created_at >= $4 AND t.created_at < $5",
            *span,
            begin,
            end,
        )
        await self._add(events, fees, costs, sales)

    async def _add(
        self,
        events: Sequence[Row],
        fees: Sequence[Row],
        costs: Sequence[Row],
        sales: Sequence[Row],
    ) -> None:
        by_event: dict[Pair, list[UsedFee]] = defaultdict(list)
        for event_id, customer_id, price_id, asset, units in fees:
            by_event[event_id, customer_id].append(UsedFee(price_id, asset, units))
        by_seq: dict[int, list[PaidCost]] = defaultdict(list)
        for seq, vendor_id, own, category, currency, units in costs:
            cost = PaidCost(vendor_id or "", own or "", category or "", currency, units)
            by_seq[seq].append(cost)
        for place, row in enumerate(events):
            if place % AT_ONCE == 0:
                # On the loop, some at a time: a thread would hold up each charge for its turn.
                await asyncio.sleep(0)
            seq, event_id, customer_id, environment_id, kind, created, at, _, count, data = row
            # Fees of a later outcome come after those that the event was booked with.
            mine = by_event[event_id, customer_id][:count] if count else ()
            used = UsedEvent(
                environment_id,
                customer_id,
                kind,
                model_of(data),
                created,
                at,
                mine,
                by_seq.get(seq, ()),
            )
            self.summed.add_event(used)
        for _, environment_id, customer_id, asset, units, created in sales:
            self.summed.add_sale(Sale(environment_id, customer_id, asset, units, created))

    async def add_outcomes(self, after: int, upto: int) -> list[Settled]:
        """Add what outcomes have changed that were reported after these numbers (the first one
        too: it may have been the last for long), against what sums have of their events so far;
        returns what they have now."""
        sql = _OUTCOMES.format(
            earlier="s.standing",
            joined="LEFT JOIN summed_outcomes s ON s.lane = o.lane "
            "AND s.customer_id = o.customer_id AND s.event_id = o.event_id ",
            where="o.seq <= $5 AND (s.standing IS NULL OR s.standing <> o.standing)",
        )
        return await self._add_outcomes(sql, after, upto)

    async def add_outcomes_of(self, begin_us: int, end_us: int) -> None:
        """Add what all outcomes have changed of the events that were booked then."""
        sql = _OUTCOMES.format(
            earlier="NULL",
            joined="CROSS JOIN events e ",
            where="o.updated_at >= $5 AND e.lane = o.lane "
            "AND e.event_id = o.event_id AND e.customer_id = o.customer_id "
            "AND e.created_at >= $5 AND e.created_at < $6",
        )
        await self._add_outcomes(sql, first_seq(self._lane), begin_us, end_us)

    async def add_summed_outcomes(self) -> None:
        """Add what all outcomes have changed that the sums have seen, as these have seen them."""
        last = ("", "")
        while True:
            found = await self._queries.fetch(
                "SELECT customer_id, event_id, standing, NULL, 0 FROM summed_outcomes "
                "WHERE lane = $1 AND (customer_id, event_id) > ($2, $3) "
                f"ORDER BY customer_id, event_id LIMIT {_MANY}",
                self._lane,
                *last,
            )
            if found:
                last = (found[-1][0], found[-1][1])
                await self._settle_all(found)
            if len(found) < _MANY:
                return

    async def _add_outcomes(self, sql: str, after: int, *bounds: int) -> list[Settled]:
        settled: list[Settled] = []
        last = (after, "", "")
        while True:
            found = await self._queries.fetch(sql, self._lane, *last, *bounds)
            if found:
                last = (found[-1][4], found[-1][0], found[-1][1])
                await self._settle_all(found)
                settled += [(row[0], row[1], row[2]) for row in found]
            if len(found) < _MANY:
                return settled

    async def _settle_all(self, found: Sequence[Row]) -> None:
        wanted = Wanted(events=[(row[1], row[0]) for row in found])
        loaded = await self._store.load(self._lane, wanted)
        await asyncio.to_thread(self._settle, found, loaded.events, loaded.fees)

    def _settle(self, found: Sequence[Row], events: Sequence[Row], fees: Sequence[Row]) -> None:
        environments = {(row[0], row[1]): row[3] for row in events}
        booked = {
            (one.event.id, customer_id): one for customer_id, one in rows.read_events(events, fees)
        }
        for customer_id, event_id, standing, earlier, _ in found:
            one = booked[event_id, customer_id]
            before: Iterable[Any] = one.result.fees
            if earlier is not None:
                before = [charged.fee for charged in decode(EventOutcome, earlier).fees]
            after = [charged.fee for charged in decode(EventOutcome, standing).fees]
            event = one.event
            data = None if event.data is None else encode(event.data).decode()
            used = UsedEvent(
                environments[event_id, customer_id],
                customer_id,
                event.event_type,
                model_of(data),
                to_us(one.created_at),
                to_us(event.occurred_at),
                _fees(before),
                [
                    PaidCost(
                        cost.vendor_id or "",
                        cost.vendor_external_id or "",
                        cost.category or "",
                        cost.currency or DEFAULT_COST_CURRENCY,
                        to_units(cost.amount, FIAT_SCALE),
                    )
                    for cost in event.costs or ()
                ],
            )
            self.summed.add_event(used, -1)
            self.summed.add_event(used._replace(fees=_fees(after)))


def _fees(fees: Iterable[Any]) -> list[UsedFee]:
    return [UsedFee(fee.price_id, fee.asset, fee.units) for fee in fees]
