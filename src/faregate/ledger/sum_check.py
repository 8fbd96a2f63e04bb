"""Proof that the sums which pages read agree with the rows that they were made of: as far as a lane
has been summed up, every event and charge is added up anew, with the outcomes that the sums have
seen, and compared by day and asset with the sums by hour and with those by customer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Final

from faregate.core.instants import EPOCH
from faregate.ledger.sum_reading import SumReader, end_of_slice, read_terms
from faregate.ledger.summaries import BILLION, cursor_of
from faregate.ledger.summing import COSTS, EVENTS, HOURS, REVENUE, HourKey
from faregate.store.protocol import Queries, Store
from faregate.store.schema import first_seq

Place = tuple[int, int, str]
"""Environment, days since 1970, asset."""
_PARTS: Final = ("revenue", "costs", "events")
_TABLES: Final = (
    ("hour_sums", f"hour / {HOURS}", "the hours"),
    ("customer_sums", "day", "all customers"),
)
Wrong = tuple[str, str, str, int, int]
"""What, of which sums, where; what is kept, and what would be right."""


async def wrong_sums(store: Store, queries: Queries, lane: int, size: int) -> AsyncIterator[Wrong]:
    """Compare a lane's sums with its rows, about `size` numbers at a time. `queries` are one
    snapshot; events, which never change, may be read from the `store`."""
    upto, _, version = await cursor_of(queries, lane)
    if not version:
        return
    right: dict[Place, list[int]] = defaultdict(lambda: [0, 0, 0])
    terms = await read_terms(queries, _itself)
    after = first_seq(lane)
    while after < upto:
        end = await end_of_slice(queries, lane, after, upto, size)
        reader = SumReader(store, queries, lane, terms)
        await reader.add_slice(after, end)
        _add(right, reader.summed.by_hour)
        after = end
    reader = SumReader(store, queries, lane, terms)
    await reader.add_summed_outcomes()
    _add(right, reader.summed.by_hour)
    for table, day, of in _TABLES:
        kept = await queries.fetch(
            f"SELECT environment_id, {day} AS d, asset, sum(revenue_billions), sum(revenue_rest), "
            f"sum(costs_billions), sum(costs_rest), sum(events) FROM {table} WHERE lane = $1 "
            "GROUP BY environment_id, d, asset",
            lane,
        )
        found: dict[Place, list[int]] = {}
        for environment_id, on, asset, *sums in kept:
            high, low, costs_high, costs_low, events = map(int, sums)
            place = (environment_id, int(on), asset)
            found[place] = [high * BILLION + low, costs_high * BILLION + costs_low, events]
        for place in sorted(right.keys() | found.keys()):
            both = zip(
                _PARTS, found.get(place, (0, 0, 0)), right.get(place, (0, 0, 0)), strict=True
            )
            for part, is_kept, would_be in both:
                if is_kept != would_be:
                    day_of = (EPOCH + timedelta(days=place[1])).date()
                    name = f"{place[2] or 'no asset'} on {day_of} in environment {place[0]}"
                    yield f"sum of {part}", of, name, is_kept, would_be


def _add(right: dict[Place, list[int]], by_hour: Mapping[HourKey, list[int]]) -> None:
    for key, entry in by_hour.items():
        sums = right[key[0], key[1] // HOURS, key[8]]
        for place, column in enumerate((REVENUE, COSTS, EVENTS)):
            sums[place] += entry[column]


def _itself(_environment: int, price_id: str) -> str:
    return price_id
