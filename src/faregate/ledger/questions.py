"""Questions about what was earned and what it cost: of whom, when, and split by what; and the SQL
that they have in common. A period is a range of numbers (`events`, `costs`) or of ids (`fees`,
`transactions`), because rows follow each other in the order in which they were booked: the history
before it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from faregate.core.ids import encode_base32
from faregate.store.protocol import Queries, Row
from faregate.store.schema import first_seq

MAX_ROWS: Final = 200_000
"""Sums that one question may have: beyond it the period is too long for what it is split by."""
DAY_US: Final = 86_400_000_000
MILLISECOND_US: Final = 1000
_SPLITS: Final = ("product", "price")
_COSTS_ONLY: Final = ("vendor", "category")


class TooManySums(Exception):
    """There are more than `MAX_ROWS` sums."""


class Asked(msgspec.Struct, frozen=True):
    """What to add up, and by what.

    `from_us <= created_at < to_us` in microseconds since 1970 (None: open). `by` names dimensions.
    `converts`: whether there are rates at all. `vendor` is an id and the seller's own id of it.
    `is_in_order`: whether rows have the times at which they were booked, by one clock.
    """

    environment_id: int
    currency: str
    by: tuple[str, ...] = ()
    from_us: int | None = None
    to_us: int | None = None
    customer_id: str | None = None
    vendor: tuple[str, str | None] | None = None
    category: str | None = None
    converts: bool = True
    is_in_order: bool = True

    @property
    def splits_events(self) -> bool:
        """Tell whether one event may belong to several groups, by its fees."""
        return any(name in _SPLITS for name in self.by)

    @property
    def is_streamed(self) -> bool:
        """Tell whether events with several fees are looked at one by one: where they are split, and
        where one customer's are found by their keys."""
        return self.customer_id is not None or self.splits_events

    @property
    def is_of_costs(self) -> bool:
        """Tell whether it is split by what only costs have."""
        return any(name in _COSTS_ONLY for name in self.by)


class LanePart(NamedTuple):
    """Where in a lane the period lies: numbers of events, and ids of their fees. `has_outcomes`
    says that the outcome of some event was reported after it was booked."""

    number: int
    from_seq: int
    before_seq: int
    first_fee_id: str
    last_fee_id: str
    has_outcomes: bool = False


async def lanes_of(queries: Queries) -> list[tuple[int, int]]:
    """Return the lanes, each with its last number."""
    found = await queries.fetch("SELECT lane, last_seq FROM lanes ORDER BY lane")
    return [(row[0], row[1]) for row in found]


async def lane_parts(queries: Queries, asked: Asked) -> list[LanePart]:
    """Find where the period lies in each lane."""
    lanes = await lanes_of(queries)
    return [await _place(queries, asked, lane, last_seq) for lane, last_seq in lanes]


async def _place(queries: Queries, asked: Asked, lane: int, last_seq: int) -> LanePart:
    start, end = first_seq(lane), last_seq + 1
    if asked.is_in_order and asked.from_us is not None:
        start = await first_event_at(queries, lane, start, end, asked.from_us)
    if asked.is_in_order and asked.to_us is not None:
        end = await first_event_at(queries, lane, start, end, asked.to_us)
    ids = []
    for order in ("ASC", "DESC"):
        found = await queries.fetch(
            "SELECT first_fee_id FROM events WHERE lane = $1 AND seq >= $2 AND seq < $3 "
            f"AND fee_count > 0 ORDER BY seq {order} LIMIT 1",
            lane,
            start,
            end,
        )
        ids.append(made_then(found[0][0]) if found else "")
    found = await queries.fetch(
        "SELECT 1 FROM outcomes WHERE lane = $1 AND customer_id > '' LIMIT 1", lane
    )
    return LanePart(lane, start, end, ids[0], f"{ids[1]}~", bool(found))


async def first_event_at(queries: Queries, lane: int, low: int, high: int, at_us: int) -> int:
    """Return the lowest number that no event before an instant has: a lane's clock never runs
    backwards, so they are in order."""
    while low < high:
        middle = (low + high) // 2
        found = await queries.fetch(
            "SELECT seq, created_at FROM events WHERE lane = $1 AND seq >= $2 ORDER BY seq LIMIT 1",
            lane,
            middle,
        )
        if not found or found[0][1] >= at_us:
            high = middle
        else:
            low = found[0][0] + 1
    return low


class Question:
    """SQL about one lane, with its values."""

    def __init__(self, asked: Asked, lane: LanePart) -> None:
        self.asked = asked
        self.lane = lane
        self.values: list[Any] = []

    def mark(self, value: Any) -> str:
        """Return the parameter that stands for a value."""
        if value not in self.values:
            self.values.append(value)
        return f"${self.values.index(value) + 1}"

    def keys(self, columns: Mapping[str, tuple[str, ...]]) -> list[str]:
        """Return what the dimensions are in these tables."""
        return [column for name in self.asked.by for column in columns[name]]

    def rate(self, asset: str, at: str) -> str:
        """Say when the rate began that was valid at an instant, or NULL. The rates of an asset in a
        currency are read by their key, once per row that needs one."""
        asked = self.asked
        if not asked.converts:
            return "NULL"
        currency = self.mark(asked.currency)
        parts = [
            "(SELECT CASE WHEN r.valid_to IS NULL OR r.valid_to > "
            f"{at} THEN r.valid_from END FROM asset_rates r "
            f"WHERE r.environment_id = {self.mark(asked.environment_id)} AND r.asset = {one} "
            f"AND r.source = {other} AND r.valid_from <= {at} "
            "ORDER BY r.valid_from DESC LIMIT 1)"
            for one, other in ((asset, currency), (currency, asset))
        ]
        return f"CASE WHEN {asset} = {currency} THEN NULL ELSE COALESCE({', '.join(parts)}) END"

    def numbered(self, alias: str) -> list[str]:
        """Return what rows must fulfil that have an event's number."""
        lane, customer_id = self.lane, self.asked.customer_id
        number = self.mark(lane.number)
        start, end = self.mark(lane.from_seq), self.mark(lane.before_seq)
        found = [
            f"{alias}.lane = {number}",
            f"{alias}.environment_id = {self.mark(self.asked.environment_id)}",
            *self.booked(alias),
        ]
        if customer_id is None:
            return [*found, f"{alias}.seq >= {start}", f"{alias}.seq < {end}"]
        # From the index that the lane writes behind its commits, and the newest that are not in it.
        customer = self.mark(customer_id)
        parts = [
            f"SELECT {one}.seq FROM {table} {one} WHERE {one}.lane = {number} "
            f"AND {one}.customer_id = {customer} AND {one}.seq >= {start} AND {one}.seq < {end}"
            for one, table in (("i", "customer_events"), ("n", "events"))
        ]
        newest = f"n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = {number})"
        return [
            *found,
            f"{alias}.customer_id = {customer}",
            f"{alias}.seq IN ({' UNION ALL '.join(parts)} AND {newest})",
        ]

    def booked(self, alias: str) -> list[str]:
        """Return that rows were booked in the period."""
        found = []
        if self.asked.from_us is not None:
            found.append(f"{alias}.created_at >= {self.mark(self.asked.from_us)}")
        if self.asked.to_us is not None:
            found.append(f"{alias}.created_at < {self.mark(self.asked.to_us)}")
        return found

    def as_booked(self, alias: str) -> list[str]:
        """Return that the events of rows cost what they were booked with: that no outcome was
        reported since. Those of which one was are in `settled_events`."""
        if not self.lane.has_outcomes:
            return []
        same = " AND ".join([f"o.{c} = {alias}.{c}" for c in ("lane", "customer_id", "event_id")])
        return [f"NOT EXISTS (SELECT 1 FROM outcomes o WHERE {same})"]

    def fee_range(self) -> list[str]:
        """Return where the fees of the period's events lie."""
        lane = self.lane
        return [
            f"f.lane = {self.mark(lane.number)}",
            f"f.fee_id >= {self.mark(lane.first_fee_id)}",
            f"f.fee_id <= {self.mark(lane.last_fee_id)}",
        ]

    def of_customers(self, alias: str) -> list[str]:
        """Return that rows are of customers (`c`) of this environment."""
        environment = self.mark(self.asked.environment_id)
        return [f"c.id = {alias}.customer_id", f"c.environment_id = {environment}"]

    async def ask(
        self,
        queries: Queries,
        columns: Sequence[str],
        results: Sequence[str],
        source: str,
        where: Sequence[str],
    ) -> list[Row]:
        """Return results by columns. Raises `TooManySums`."""
        shown = [*(f"{column} AS g{n}" for n, column in enumerate(columns)), *results]
        groups = ", ".join(f"g{n}" for n in range(len(columns)))
        found = await queries.fetch(
            f"SELECT {', '.join(shown)} FROM {source} WHERE {' AND '.join(where)} "
            f"{f'GROUP BY {groups} ' if groups else ''}LIMIT {MAX_ROWS + 1}",
            *self.values,
        )
        if len(found) > MAX_ROWS:
            raise TooManySums
        return list(found)


def made_then(fee_id: str) -> str:
    """Return how all fees' ids begin that were made in the same millisecond: an event's are. After
    the prefix, ten letters are the time."""
    return fee_id[:14]


def first_id(prefix: str, at_us: int) -> str:
    """Return what no id is below that was made at an instant or later (its millisecond)."""
    return f"{prefix}{encode_base32(max(at_us, 0) // MILLISECOND_US << 80)[:10]}"
