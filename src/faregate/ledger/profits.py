"""What was earned and what it cost, added up by the database: by customer, price, event type,
vendor, category or day, by asset, and by the rate that was valid when the use happened. What the
sums mean in one currency is for `core.margins` to say.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from faregate.ledger.questions import (
    DAY_US,
    MILLISECOND_US,
    Asked,
    LanePart,
    Question,
    first_id,
)
from faregate.store.protocol import Queries, Row

REVENUE_KINDS: Final = {"charge": "chg_", "capture": "chg_", "update": "chg_", "fee": "fee_"}
"""Kinds of `transactions` that are revenue (what they took from an account), each with how its ids
begin. A capture or update by events took nothing itself: its events have fees."""
_DUE_IDS: Final = frozenset(("fee_",))
"""Ids that are made of when something was due, which may be long before it was booked."""

_BILLION: Final = 1_000_000_000


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


# Look-ups are subqueries, not joins: of the newest rows little is known, and a join that is planned
# for one row may compare each with each.
_PRICE: Final = (
    "CASE WHEN e.fee_count = 1 THEN (SELECT f.price_id FROM fees f "
    "WHERE f.lane = e.lane AND f.fee_id = e.first_fee_id) END"
)
_EVENT: Final = {
    "customer": ("e.customer_id",),
    "event_type": ("e.event_type",),
    "product": (_PRICE,),
    "price": (_PRICE,),
    "day": (f"e.created_at / {DAY_US}",),
    "month": (f"e.created_at / {DAY_US}",),
}


def _event_of_fee(column: str) -> str:
    return (
        f"(SELECT e.{column} FROM events e WHERE e.lane = f.lane AND e.event_id = f.event_id "
        "AND e.customer_id = f.customer_id)"
    )


_FEE: Final = {
    "customer": ("f.customer_id",),
    "event_type": (_event_of_fee("event_type"),),
    "day": (f"f.created_at / {DAY_US}",),
    "month": (f"f.created_at / {DAY_US}",),
}
_VENDOR: Final = (
    "COALESCE(k.vendor_id, (SELECT v.id FROM vendors v "
    "WHERE v.environment_id = k.environment_id AND v.external_id = k.vendor_external_id))"
)
_PRICE_OF_COST: Final = f"(SELECT {_PRICE} FROM events e WHERE e.lane = k.lane AND e.seq = k.seq)"
_COST: Final = {
    "customer": ("k.customer_id",),
    "event_type": ("k.event_type",),
    "product": (_PRICE_OF_COST,),
    "price": (_PRICE_OF_COST,),
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
ASSET_OF_ACCOUNT: Final = (
    "substr(t.account_id, length(rtrim(t.account_id, replace(t.account_id, ':', ''))) + 1)"
)


async def read_facts(queries: Queries, asked: Asked, lane: LanePart) -> Facts:
    """Add up one lane. Where one customer is asked about, or events are split by their fees, those
    with several fees are left out: `split_events` has them, costs and all in the second case. So it
    has the fees of events whose outcome was reported later."""
    facts = Facts()
    if not asked.is_of_costs and asked.vendor is None:
        if asked.is_streamed:
            await _single_fees(queries, asked, lane, facts)
        else:
            await _fees(queries, asked, lane, facts)
        await _transactions(queries, asked, lane, facts)
    await _costs(queries, asked, lane, facts)
    return facts


def _sum(units: str) -> list[str]:
    """Two sums, because one may be larger than what the database keeps exactly."""
    return [f"sum({units} / {_BILLION})", f"sum({units} % {_BILLION})"]


def _fact(row: Row, keys: int) -> Fact:
    asset, rate_from_us, billions, rest = row[keys : keys + 4]
    return Fact(tuple(row[:keys]), asset, rate_from_us, int(billions) * _BILLION + int(rest))


async def _single_fees(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add events that have at most one fee, which is in their own row."""
    question = Question(asked, lane)
    keys = question.keys(_EVENT)
    rate = question.rate("e.fee_asset", "e.occurred_at")
    found = await question.ask(
        queries,
        [*keys, "e.fee_asset", rate],
        [*_sum("e.fee_units"), "count(*)"],
        "events e",
        [*question.numbered("e"), *question.as_booked("e"), "e.fee_count <= 1"],
    )
    for row in found:
        facts.counts.append(Count(tuple(row[: len(keys)]), row[-1]))
        if row[len(keys)] is not None:
            facts.revenue.append(_fact(row, len(keys)))


async def _fees(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add the fees of all events, and count these."""
    question = Question(asked, lane)
    keys = question.keys(_FEE)
    rate = question.rate("f.asset", _event_of_fee("occurred_at"))
    found = await question.ask(
        queries,
        [*keys, "f.asset", rate],
        _sum("f.units"),
        "fees f CROSS JOIN customers c",  # In this order, on SQLite.
        [
            *question.fee_range(),
            *question.booked("f"),
            *question.as_booked("f"),
            *question.of_customers("f"),
        ],
    )
    facts.revenue += [_fact(row, len(keys)) for row in found]
    question = Question(asked, lane)
    keys, where = question.keys(_EVENT), question.numbered("e")
    found = await question.ask(queries, keys, ["count(*)"], "events e", where)
    facts.counts += [Count(tuple(row[:-1]), row[-1]) for row in found]


async def _transactions(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add what was charged without an event."""
    for prefix in dict.fromkeys(REVENUE_KINDS.values()):
        question = Question(asked, lane)
        keys = question.keys(_TRANSACTION)
        rate = question.rate(ASSET_OF_ACCOUNT, "t.created_at")
        kinds = ", ".join(f"'{kind}'" for kind, begin in REVENUE_KINDS.items() if begin == prefix)
        start, end = prefix, f"{prefix}~"
        if asked.is_in_order and asked.from_us is not None and prefix not in _DUE_IDS:
            start = first_id(prefix, asked.from_us)
        if asked.is_in_order and asked.to_us is not None:
            end = first_id(prefix, asked.to_us + MILLISECOND_US)
        where = [
            f"t.lane = {question.mark(lane.number)}",
            f"t.id >= {question.mark(start)}",
            f"t.id < {question.mark(end)}",
            f"t.kind IN ({kinds})",
            "t.units <> 0",
            *question.booked("t"),
            *question.of_customers("t"),
        ]
        if asked.customer_id is not None:
            where.append(f"t.customer_id = {question.mark(asked.customer_id)}")
        found = await question.ask(
            queries,
            [*keys, ASSET_OF_ACCOUNT, rate],
            _sum("(-t.units)"),
            "transactions t CROSS JOIN customers c",
            where,
        )
        facts.revenue += [_fact(row, len(keys)) for row in found]


async def _costs(queries: Queries, asked: Asked, lane: LanePart, facts: Facts) -> None:
    """Add what vendors charge."""
    question = Question(asked, lane)
    keys, source, where = _cost_source(question)
    rate = question.rate("k.currency", "k.occurred_at")
    columns = [*keys, "k.currency", rate]
    found = await question.ask(queries, columns, _sum("k.units"), source, where)
    facts.costs += [_fact(row, len(keys)) for row in found]
    if asked.is_of_costs:
        question = Question(asked, lane)
        keys, source, where = _cost_source(question)
        found = await question.ask(queries, keys, ["count(DISTINCT k.seq)"], source, where)
        facts.counts += [Count(tuple(row[:-1]), row[-1]) for row in found]


def _cost_source(question: Question) -> tuple[list[str], str, list[str]]:
    asked = question.asked
    where = question.numbered("k")
    if asked.splits_events:
        where += question.as_booked("k")
        where.append(
            "(SELECT e.fee_count FROM events e WHERE e.lane = k.lane AND e.seq = k.seq) <= 1"
        )
    if asked.vendor is not None:
        vendor_id, external_id = asked.vendor
        condition = f"k.vendor_id = {question.mark(vendor_id)}"
        if external_id is not None:
            own = question.mark(external_id)
            condition += f" OR (k.vendor_id IS NULL AND k.vendor_external_id = {own})"
        where.append(f"({condition})")
    if asked.category is not None:
        where.append(f"k.category = {question.mark(asked.category)}")
    return question.keys(_COST), "costs k", where
