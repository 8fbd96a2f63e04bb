"""Questions that the sums answer which are kept by hour, and by day and customer: whatever does not
split one customer's uses. To what is kept comes what the cursor has not reached; and days on which
a rate was changed afterwards, or costs wait for rates to be divided, are added up anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from faregate.ledger import questions
from faregate.ledger.questions import DAY_US, Asked, TooManySums, first_event_at
from faregate.ledger.sum_reading import SumReader, end_of_slice, read_terms
from faregate.ledger.summaries import BILLION, cursor_of
from faregate.ledger.summing import (
    CATEGORY_EVENTS,
    COST_EVENTS,
    COSTS,
    EVENTS,
    FIRST_AT,
    HOUR_US,
    HOURS,
    MIXED,
    PRICE_EVENTS,
    PRODUCT_EVENTS,
    REVENUE,
    VENDOR_EVENTS,
    Entry,
    PriceAt,
    RateChanges,
    Summed,
)
from faregate.store.protocol import Queries, Row, Store
from faregate.store.schema import first_seq

_OF_CUSTOMERS: Final = frozenset(("customer", "day", "month"))
_DAY: Final = {"customer": ("customer_id",), "day": ("day",), "month": ("day",)}
_HOUR: Final = {
    "event_type": ("event_type",),
    "product": ("price_id",),
    "price": ("price_id",),
    "model": ("model",),
    "vendor": ("vendor_id", "vendor_external_id"),
    "category": ("category",),
    "hour": ("hour",),
    "day": (f"hour / {HOURS}",),
    "month": (f"hour / {HOURS}",),
}
_COUNTS: Final = {
    EVENTS: "events",
    PRICE_EVENTS: "price_events",
    PRODUCT_EVENTS: "product_events",
    VENDOR_EVENTS: "vendor_events",
    CATEGORY_EVENTS: "category_events",
    COST_EVENTS: "cost_events",
}


class Sum(NamedTuple):
    """A sum of one asset. `values` has what a dimension has, as it is kept; one price converts it,
    which is that of `at_us`. `counted` are events as the dimensions count them, `events` each once.
    """

    values: tuple[Any, ...]
    asset: str
    at_us: int
    revenue: int
    costs: int
    counted: int
    events: int


def is_kept(asked: Asked) -> bool:
    """Tell whether sums are kept that answer this."""
    if not _is_of_customers(asked):
        return True
    is_whole = asked.vendor is None and asked.category is None
    return is_whole and _OF_CUSTOMERS.issuperset(asked.by)


def _is_of_customers(asked: Asked) -> bool:
    return asked.customer_id is not None or "customer" in asked.by


def _count(asked: Asked) -> int:
    """Return which count the dimensions want."""
    by = asked.by
    if "price" in by:
        return PRICE_EVENTS
    if "product" in by:
        return PRODUCT_EVENTS
    if not asked.is_of_costs:
        return EVENTS
    if asked.vendor is not None or asked.category is not None or {"vendor", "category"} <= set(by):
        return COST_EVENTS
    return VENDOR_EVENTS if "vendor" in by else CATEGORY_EVENTS


async def read_sums(
    store: Store,
    queries: Queries,
    asked: Asked,
    lane: int,
    products: Callable[[int, str], Hashable],
    price_at: PriceAt,
) -> list[Sum]:
    """Answer for one lane, in one snapshot. `products` and `price_at` as in `Summed`. Raises
    `TooManySums`."""
    terms = await read_terms(queries, products, price_at)
    after, last_seq, _ = await cursor_of(queries, lane)
    tail = SumReader(store, queries, lane, terms)
    await _add_all(tail, queries, lane, after, last_seq)
    await tail.add_outcomes(after, last_seq)
    days = await _Days.read(queries, asked, lane, terms.changes)
    found = await _kept(queries, asked, lane, days)
    found += _added(asked, tail.summed, days.unsure)
    for begin, end in _stretches(days.unsure):
        anew = SumReader(store, queries, lane, terms)
        low, high = first_seq(lane), last_seq
        if asked.is_in_order:
            low = await first_event_at(queries, lane, low, last_seq + 1, begin * DAY_US) - 1
            high = await first_event_at(queries, lane, low + 1, last_seq + 1, end * DAY_US) - 1
            # The last charges of the day stand behind its last event.
            high = await _before_next_event(queries, lane, high, last_seq)
        created = (begin * DAY_US, end * DAY_US)
        await _add_all(anew, queries, lane, low, high, created)
        await anew.add_outcomes_of(*created)
        found += _added(asked, anew.summed, set())
    return found


async def _add_all(
    reader: SumReader,
    queries: Queries,
    lane: int,
    after: int,
    upto: int,
    created: tuple[int, int] | None = None,
) -> None:
    while after < upto:
        end = await end_of_slice(queries, lane, after, upto)
        await reader.add_slice(after, end, created)
        after = end


async def _before_next_event(queries: Queries, lane: int, seq: int, last_seq: int) -> int:
    found = await queries.fetch(
        "SELECT seq FROM events WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT 1", lane, seq
    )
    return found[0][0] - 1 if found else last_seq


class _Days:
    """Days whose sums are not used as they are: `unsure` are those that one price does not
    convert; on those from `moved_from` to `moved_to` it is not that of other days."""

    def __init__(self) -> None:
        self.unsure: set[int] = set()
        self.moved_from = self.moved_to = -1

    @classmethod
    async def read(cls, queries: Queries, asked: Asked, lane: int, changes: RateChanges) -> _Days:
        """Look at the hours of the period, unless nothing can be the matter."""
        days = cls()
        if not (asked.converts or asked.splits_events):
            return days
        rows = await queries.fetch(
            f"SELECT hour / {HOURS}, asset, rate_at, min(first_at), max(last_at), "
            f"max(CASE WHEN price_id = '{MIXED}' THEN 1 ELSE 0 END) FROM hour_sums "
            f"WHERE {' AND '.join(_period(asked, 'hour', HOUR_US))} "
            f"GROUP BY hour / {HOURS}, asset, rate_at",
            lane,
            asked.environment_id,
        )
        for day, asset, rate_at, first_at, last_at, is_mixed in rows:
            environment_id = asked.environment_id
            if (is_mixed and asked.splits_events) or not changes.is_one(
                environment_id, asset, first_at, last_at
            ):
                days.unsure.add(day)
            elif changes.last_before(environment_id, asset, first_at) != rate_at:
                days.moved_from = day if days.moved_from < 0 else min(day, days.moved_from)
                days.moved_to = max(day, days.moved_to)
        return days


def _stretches(days: set[int]) -> Iterator[tuple[int, int]]:
    """Walk days that follow each other: the first, and the one after the last."""
    begin = None
    for day in sorted(days):
        if begin is None:
            begin = day
        if day + 1 not in days:
            yield begin, day + 1
            begin = None


def _period(asked: Asked, column: str, unit_us: int) -> list[str]:
    """Return what kept rows must fulfil; whole units of the period."""
    found = ["lane = $1", "environment_id = $2"]
    if asked.from_us is not None:
        found.append(f"{column} >= {asked.from_us // unit_us}")
    if asked.to_us is not None:
        found.append(f"{column} < {asked.to_us // unit_us}")
    return found


async def _kept(queries: Queries, asked: Asked, lane: int, days: _Days) -> list[Sum]:
    """Read what is kept."""
    of_customers = _is_of_customers(asked)
    columns: Mapping[str, tuple[str, ...]] = _DAY if of_customers else _HOUR
    where = _period(asked, *(("day", DAY_US) if of_customers else ("hour", HOUR_US)))
    day = "day" if of_customers else f"hour / {HOURS}"
    values: list[Any] = [lane, asked.environment_id]

    def mark(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    if asked.customer_id is not None:
        where.append(f"customer_id = {mark(asked.customer_id)}")
    if asked.vendor is not None:
        vendor_id, own = asked.vendor
        condition = f"vendor_id = {mark(vendor_id)}"
        if own is not None:
            condition += f" OR (vendor_id = '' AND vendor_external_id = {mark(own)})"
        where.append(f"({condition})")
    if asked.category is not None:
        where.append(f"category = {mark(asked.category)}")
    if days.unsure:
        where.append(f"{day} NOT IN ({', '.join(map(str, sorted(days.unsure)))})")
    keys = [column for name in asked.by for column in columns[name]]
    groups = [*keys, "asset", "rate_at"]
    if days.moved_to >= 0:
        span = f"{days.moved_from} AND {days.moved_to}"
        groups.append(f"CASE WHEN {day} BETWEEN {span} THEN {day} ELSE -1 END")
    sums = "min(first_at), " + ", ".join(
        f"sum({name})"
        for name in (
            "revenue_billions",
            "revenue_rest",
            "costs_billions",
            "costs_rest",
            _COUNTS[_count(asked)],
            "events",
        )
    )
    numbered = [f"{column} AS g{n}" for n, column in enumerate(groups)]
    rows = await queries.fetch(
        f"SELECT {', '.join(numbered)}, {sums} FROM {'customer' if of_customers else 'hour'}_sums "
        f"WHERE {' AND '.join(where)} GROUP BY {', '.join(f'g{n}' for n in range(len(groups)))} "
        f"LIMIT {questions.MAX_ROWS + 1}",
        *values,
    )
    if len(rows) > questions.MAX_ROWS:
        raise TooManySums
    return [_sum_of(row, len(keys), len(groups)) for row in rows]


def _sum_of(row: Row, keys: int, groups: int) -> Sum:
    at_us, revenue, revenue_rest, costs, costs_rest, counted, events = row[groups:]
    return Sum(
        tuple(row[:keys]),
        row[keys],
        int(at_us),
        int(revenue) * BILLION + int(revenue_rest),
        int(costs) * BILLION + int(costs_rest),
        int(counted),
        int(events),
    )


def _added(asked: Asked, summed: Summed, but_days: set[int]) -> list[Sum]:
    """Return what was added up just now, without some days."""
    of_customers = _is_of_customers(asked)
    entries: Mapping[Any, Entry] = summed.by_day if of_customers else summed.by_hour
    unit_us = DAY_US if of_customers else HOUR_US
    begin = None if asked.from_us is None else asked.from_us // unit_us
    end = None if asked.to_us is None else asked.to_us // unit_us
    count = _count(asked)
    found = []
    for key, entry in entries.items():
        environment_id, moment = key[:2]
        day = moment if of_customers else moment // HOURS
        if (
            environment_id != asked.environment_id
            or day in but_days
            or (begin is not None and moment < begin)
            or (end is not None and moment >= end)
            or not _is_meant(asked, key)
        ):
            continue
        counts = (entry[count] if count < FIRST_AT else 0, entry[EVENTS])
        values = tuple(_values(asked.by, key, of_customers=of_customers))
        sums = (entry[REVENUE], entry[COSTS])
        found.append(Sum(values, key[-2], entry[FIRST_AT], *sums, *counts))
    return found


def _is_meant(asked: Asked, key: Sequence[Any]) -> bool:
    if asked.customer_id is not None and key[2] != asked.customer_id:
        return False
    if asked.vendor is not None:
        vendor_id, own = asked.vendor
        if key[5] != vendor_id and (key[5] or own is None or key[6] != own):
            return False
    return asked.category is None or bool(key[7] == asked.category)


def _values(by: Sequence[str], key: Sequence[Any], *, of_customers: bool) -> Iterator[Any]:
    for name in by:
        if name in ("day", "month"):
            yield key[1] if of_customers else key[1] // HOURS
        elif name == "customer":
            yield key[2]
        elif name == "vendor":
            yield key[5]
            yield key[6]
        else:
            yield key[_PLACES[name]]


_PLACES: Final = {"hour": 1, "event_type": 2, "product": 3, "price": 3, "model": 4, "category": 7}
