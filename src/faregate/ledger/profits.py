"""What was earned and what it cost, added up by the database: by customer, price, event type,
vendor, category or day, by asset, and by the rate that was valid when the use happened. What the
sums mean in one currency is for `core.margins` to say.

Rows follow each other in the order in which they were booked, so a period is a range of numbers
(`events`, `costs`) or of ids (`fees`, `transactions`), and the history before it is not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from faregate.core.events import BookedEvent
from faregate.core.ids import encode_base32
from faregate.ledger import rows
from faregate.store.protocol import Queries, Row, Store, Wanted
from faregate.store.schema import first_seq

REVENUE_KINDS: Final = {"charge": "chg_", "capture": "chg_", "update": "chg_", "fee": "fee_"}
"""Kinds of `transactions` that are revenue (what they took from an account), each with how its ids
begin. A capture or update by events took nothing itself: its events have fees."""
_DUE_IDS: Final = frozenset(("fee_",))
"""Ids that are made of when something was due, which may be long before it was booked."""

MAX_ROWS: Final = 200_000
"""Sums that one question may have: beyond it the period is too long for what it is split by."""
DAY_US: Final = 86_400_000_000
STREAMED: Final = 500
_BILLION: Final = 1_000_000_000
_MILLISECOND_US: Final = 1000
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
    def is_of_costs(self) -> bool:
        """Tell whether it is split by what only costs have."""
        return any(name in _COSTS_ONLY for name in self.by)


class Fact(NamedTuple):
    """A sum of one asset. `key` has a value for each dimension (a vendor: id and own id; day and
    month: days since 1970); `rate_from_us` is when the rate in force then began."""

    key: tuple[Any, ...]
    asset: str
    rate_from_us: int | None
    units: int


class Count(NamedTuple):
    """How many events."""

    key: tuple[Any, ...]
    events: int


class Facts(msgspec.Struct):
    """What one lane has to say. Revenue and costs are 0 or more, in units of the asset."""

    revenue: list[Fact] = []
    costs: list[Fact] = []
    counts: list[Count] = []


_EVENT: Final = {
    "customer": ("e.customer_id",),
    "event_type": ("e.event_type",),
    "product": ("f.price_id",),
    "price": ("f.price_id",),
    "day": (f"e.created_at / {DAY_US}",),
    "month": (f"e.created_at / {DAY_US}",),
}
_VENDOR: Final = (
    "COALESCE(k.vendor_id, (SELECT v.id FROM vendors v "
    "WHERE v.environment_id = k.environment_id AND v.external_id = k.vendor_external_id))"
)
_COST: Final = {
    "customer": ("k.customer_id",),
    "event_type": ("k.event_type",),
    "product": ("f.price_id",),
    "price": ("f.price_id",),
    "day": (f"k.created_at / {DAY_US}",),
    "month": (f"k.created_at / {DAY_US}",),
    "vendor": (_VENDOR, f"CASE WHEN {_VENDOR} IS NULL THEN k.vendor_external_id END"),
    "category": ("k.category",),
}
_TRANSACTION: Final = {
    "customer": ("t.customer_id",),
    "event_type": ("NULL",),
    "product": ("NULL",),
    "price": ("NULL",),
    "day": (f"t.created_at / {DAY_US}",),
    "month": (f"t.created_at / {DAY_US}",),
}
# What stands behind the colon of an account's id, on both databases.
_ASSET_OF_ACCOUNT: Final = (
    "substr(t.account_id, length(rtrim(t.account_id, replace(t.account_id, ':', ''))) + 1)"
)


class LanePart(NamedTuple):
    """Where in a lane the period lies: numbers of events, and ids of their fees."""

    number: int
    from_seq: int
    before_seq: int
    first_fee_id: str
    last_fee_id: str


async def lane_parts(queries: Queries, asked: Asked) -> list[LanePart]:
    """Find where the period lies in each lane."""
    lanes = await queries.fetch("SELECT lane, last_seq FROM lanes ORDER BY lane")
    return [await _place(queries, asked, lane, last_seq) for lane, last_seq in lanes]


async def _place(queries: Queries, asked: Asked, lane: int, last_seq: int) -> LanePart:
    start, end = first_seq(lane), last_seq + 1
    if asked.is_in_order and asked.from_us is not None:
        start = await _first_at(queries, lane, start, end, asked.from_us)
    if asked.is_in_order and asked.to_us is not None:
        end = await _first_at(queries, lane, start, end, asked.to_us)
    ids = []
    for order in ("ASC", "DESC"):
        found = await queries.fetch(
            "SELECT first_fee_id FROM events WHERE lane = $1 AND seq >= $2 AND seq < $3 "
            f"AND fee_count > 0 ORDER BY seq {order} LIMIT 1",
            lane,
            start,
            end,
        )
        # A prefix and ten letters, which are the millisecond in which the id was made.
        ids.append(found[0][0][:14] if found else "")
    return LanePart(lane, start, end, ids[0], f"{ids[1]}~")


async def _first_at(queries: Queries, lane: int, low: int, high: int, at_us: int) -> int:
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


class _Question:
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
        asked, lane = self.asked, self.lane
        found = [
            f"{alias}.lane = {self.mark(lane.number)}",
            f"{alias}.seq >= {self.mark(lane.from_seq)}",
            f"{alias}.seq < {self.mark(lane.before_seq)}",
            f"{alias}.environment_id = {self.mark(asked.environment_id)}",
            *self.booked(alias),
        ]
        if asked.customer_id is not None:
            customer, number = self.mark(asked.customer_id), self.mark(lane.number)
            found += [
                f"{alias}.customer_id = {customer}",
                f"{alias}.seq IN (SELECT c.seq FROM customer_events c WHERE c.lane = {number} "
                f"AND c.customer_id = {customer} UNION ALL SELECT n.seq FROM events n "
                f"WHERE n.lane = {number} AND n.customer_id = {customer} "
                f"AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = {number}))",
            ]
        return found

    def booked(self, alias: str) -> list[str]:
        """Return that rows were booked in the period."""
        found = []
        if self.asked.from_us is not None:
            found.append(f"{alias}.created_at >= {self.mark(self.asked.from_us)}")
        if self.asked.to_us is not None:
            found.append(f"{alias}.created_at < {self.mark(self.asked.to_us)}")
        return found

    def fee_range(self) -> list[str]:
        """Return where the fees of the period's events lie."""
        lane = self.lane
        return [
            f"f.lane = {self.mark(lane.number)}",
            f"f.fee_id >= {self.mark(lane.first_fee_id)}",
            f"f.fee_id <= {self.mark(lane.last_fee_id)}",
        ]

    def first_fee(self) -> str:
        """Join the fee of events that have one only, if it is asked about."""
        if not self.asked.splits_events:
            return ""
        conditions = [*self.fee_range(), "f.fee_id = e.first_fee_id", "e.fee_count = 1"]
        return f" LEFT JOIN fees f ON {' AND '.join(conditions)}"

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


async def read_facts(queries: Queries, asked: Asked, lane: LanePart) -> Facts:
    """Add up one lane. Where one customer is asked about, or events are split by their fees, those
    with several fees are left out: `split_events` has them, costs and all in the second case."""
    facts = Facts()
    if not asked.is_of_costs and asked.vendor is None:
        await _single_fees(queries, asked, lane, facts)
        if not is_streamed(asked):
            await _several_fees(queries, asked, lane, facts)
        await _transactions(queries, asked, lane, facts)
    await _costs(queries, asked, lane, facts)
    return facts


def is_streamed(asked: Asked) -> bool:
    """Tell whether events with several fees are looked at one by one."""
    return asked.customer_id is not None or asked.splits_events


def _sum(units: str) -> list[str]:
    """Two sums, because one may be larger than what the database keeps exactly."""
    return [f"sum({units} / {_BILLION})", f"sum({units} % {_BILLION})"]


def _fact(row: Row, keys: int) -> Fact:
    asset, rate_from_us, billions, rest = row[keys : keys + 4]
    return Fact(tuple(row[:keys]), asset, rate_from_us, int(billions) * _BILLION + int(rest))


async def _single_fees(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add events that have at most one fee."""
    question = _Question(asked, lane)
    keys = question.keys(_EVENT)
    rate = question.rate("e.fee_asset", "e.occurred_at")
    found = await question.ask(
        queries,
        [*keys, "e.fee_asset", rate],
        [*_sum("e.fee_units"), "count(*)"],
        f"events e{question.first_fee()}",
        [*question.numbered("e"), "e.fee_count <= 1"],
    )
    for row in found:
        facts.counts.append(Count(tuple(row[: len(keys)]), row[-1]))
        if row[len(keys)] is not None:
            facts.revenue.append(_fact(row, len(keys)))


async def _several_fees(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add events that have several fees, from these."""
    question = _Question(asked, lane)
    keys = question.keys(_EVENT)
    rate = question.rate("f.asset", "e.occurred_at")
    joined = ["e.lane = f.lane", "e.event_id = f.event_id", "e.customer_id = f.customer_id"]
    found = await question.ask(
        queries,
        [*keys, "f.asset", rate],
        _sum("f.units"),
        "fees f CROSS JOIN events e",  # In this order, on SQLite.
        [*question.fee_range(), *joined, *question.numbered("e"), "e.fee_count > 1"],
    )
    facts.revenue += [_fact(row, len(keys)) for row in found]
    question = _Question(asked, lane)
    where = [*question.numbered("e"), "e.fee_count > 1"]
    found = await question.ask(queries, question.keys(_EVENT), ["count(*)"], "events e", where)
    facts.counts += [Count(tuple(row[:-1]), row[-1]) for row in found]


async def _transactions(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add what was charged without an event."""
    for prefix in dict.fromkeys(REVENUE_KINDS.values()):
        question = _Question(asked, lane)
        keys = question.keys(_TRANSACTION)
        rate = question.rate(_ASSET_OF_ACCOUNT, "t.created_at")
        kinds = ", ".join(f"'{kind}'" for kind, begin in REVENUE_KINDS.items() if begin == prefix)
        start, end = prefix, f"{prefix}~"
        if asked.is_in_order and asked.from_us is not None and prefix not in _DUE_IDS:
            start = first_id(prefix, asked.from_us)
        if asked.is_in_order and asked.to_us is not None:
            end = first_id(prefix, asked.to_us + _MILLISECOND_US)
        where = [
            f"t.lane = {question.mark(lane.number)}",
            f"t.id >= {question.mark(start)}",
            f"t.id < {question.mark(end)}",
            f"t.kind IN ({kinds})",
            "t.units <> 0",
            *question.booked("t"),
            "c.id = t.customer_id",
            f"c.environment_id = {question.mark(asked.environment_id)}",
        ]
        if asked.customer_id is not None:
            where.append(f"t.customer_id = {question.mark(asked.customer_id)}")
        found = await question.ask(
            queries,
            [*keys, _ASSET_OF_ACCOUNT, rate],
            _sum("(-t.units)"),
            "transactions t CROSS JOIN customers c",
            where,
        )
        facts.revenue += [_fact(row, len(keys)) for row in found]


def first_id(prefix: str, at_us: int) -> str:
    """Return what no id is below that was made at an instant or later (its millisecond)."""
    return f"{prefix}{encode_base32(max(at_us, 0) // _MILLISECOND_US << 80)[:10]}"


async def _costs(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add what vendors charge."""
    question = _Question(asked, lane)
    keys, source, where = _cost_source(question)
    rate = question.rate("k.currency", "k.occurred_at")
    columns = [*keys, "k.currency", rate]
    found = await question.ask(queries, columns, _sum("k.units"), source, where)
    facts.costs += [_fact(row, len(keys)) for row in found]
    if asked.is_of_costs:
        question = _Question(asked, lane)
        keys, source, where = _cost_source(question)
        found = await question.ask(queries, keys, ["count(DISTINCT k.seq)"], source, where)
        facts.counts += [Count(tuple(row[:-1]), row[-1]) for row in found]


def _cost_source(question: _Question) -> tuple[list[str], str, list[str]]:
    asked = question.asked
    source, where = "costs k", question.numbered("k")
    if asked.splits_events:
        source += f" CROSS JOIN events e{question.first_fee()}"
        where += ["e.lane = k.lane", "e.seq = k.seq", "e.fee_count <= 1"]
    if asked.vendor is not None:
        vendor_id, external_id = asked.vendor
        condition = f"k.vendor_id = {question.mark(vendor_id)}"
        if external_id is not None:
            own = question.mark(external_id)
            condition += f" OR (k.vendor_id IS NULL AND k.vendor_external_id = {own})"
        where.append(f"({condition})")
    if asked.category is not None:
        where.append(f"k.category = {question.mark(asked.category)}")
    return question.keys(_COST), source, where


async def split_events(
    store: Store, queries: Queries, asked: Asked, lane: LanePart
) -> AsyncIterator[list[tuple[str, BookedEvent]]]:
    """Walk the events that have several fees, `STREAMED` at a time: (customer, event)."""
    after = lane.from_seq - 1
    while True:
        question = _Question(asked, lane)
        where = [
            *question.numbered("e"),
            "e.fee_count > 1",
            f"e.seq > {question.mark(after)}",
        ]
        found = await queries.fetch(
            "SELECT e.seq, e.event_id, e.customer_id FROM events e "
            f"WHERE {' AND '.join(where)} ORDER BY e.seq LIMIT {STREAMED}",
            *question.values,
        )
        if found:
            after = found[-1][0]
            pairs = [(row[1], row[2]) for row in found]
            loaded = await store.load(lane.number, Wanted(events=pairs))
            yield rows.read_events(loaded.events, loaded.fees)
        if len(found) < STREAMED:
            return
