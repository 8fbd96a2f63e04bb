"""Reads of what the ledger has committed. A read sees every charge that was answered before it,
and brings accounts forward to `now` by the same rule that the lanes use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.accounts import Account
from faregate.core.customers import Changes, CustomerState
from faregate.core.decision import Transaction
from faregate.core.events import BookedEvent, Fee
from faregate.core.grants import Grant, with_remaining
from faregate.core.holds import CounterKey, Hold
from faregate.core.instants import from_us, to_us
from faregate.core.limits import NOTHING_COUNTED, Counter
from faregate.core.outcomes import EventOutcome
from faregate.core.renewing import catch_up
from faregate.core.subscriptions import CatalogView, Subscription
from faregate.ledger import rows
from faregate.store import schema
from faregate.store.protocol import Pair, Queries, Row, Store, Wanted


class ListedEvent(msgspec.Struct, frozen=True):
    """An event in a list; `fee_units` are of `fee_asset`, None where there are no fees."""

    id: str
    customer_id: str
    event_type: str
    subject: str | None
    description: str | None
    occurred_at: datetime
    created_at: datetime
    fee_units: int
    fee_asset: str | None
    fee_count: int
    outcome: str | None


async def read_customer(store: Store, lane: int, customer_id: str) -> CustomerState:
    """Return a customer's committed state, not brought forward."""
    loaded = await store.load(lane, Wanted([customer_id]))
    return rows.read_customers([customer_id], loaded)[customer_id]


async def read_customers(
    store: Store, customers: Sequence[tuple[int, str]]
) -> dict[str, CustomerState]:
    """Return committed states of (lane, customer) pairs, by customer."""
    by_lane: dict[int, list[str]] = {}
    for lane, customer_id in customers:
        by_lane.setdefault(lane, []).append(customer_id)
    found: dict[str, CustomerState] = {}
    for lane, ids in by_lane.items():
        found.update(rows.read_customers(ids, await store.load(lane, Wanted(ids))))
    return found


def instant(us: int) -> datetime | None:
    """Return the instant of microseconds since 1970; None for 0, which means: ever."""
    return from_us(us) if us else None


async def read_counters(
    store: Store, lane: int, customer_id: str, keys: Sequence[CounterKey]
) -> dict[CounterKey, Counter]:
    """Return what a customer's limits have counted, by key; nothing where they have not."""
    wanted = Wanted(counters=[(customer_id, *key) for key in keys])
    loaded = await store.load(lane, wanted)
    found = dict(map(rows.read_counter, loaded.counters))
    return {key: found.get((customer_id, *key), NOTHING_COUNTED) for key in keys}


class Present(msgspec.Struct, frozen=True):
    """A customer brought forward to `now`: accounts by id; holds that this has changed or left
    open, and grants that it has made or changed (each with its account), by id."""

    now: datetime
    subscriptions: tuple[Subscription, ...]
    accounts: dict[str, Account]
    holds: dict[str, Hold]
    grants: dict[str, tuple[str, Grant]]


def as_of(state: CustomerState, catalog: CatalogView, lane_now: datetime) -> Present:
    """Bring a customer forward to what is now for them, by the rules by which the lane does: what
    is due counts as done, also where nobody has written it down yet."""
    now = catalog.clocks.get(state.rules.clock_id or "", lane_now)
    changes = Changes(state)
    if state.due_at is not None and state.due_at <= now:
        catch_up(changes, catalog, now)
    accounts = {account.id: account for account in changes.advanced_accounts(now)}
    still_open = {name: hold for a in accounts.values() for name, hold in a.holds.items()}
    subscriptions = changes.all_subscriptions()
    return Present(now, subscriptions, accounts, {**still_open, **changes.holds}, changes.grants)


async def read_hold(
    store: Store, lane: int, customer_id: str, hold_id: str
) -> tuple[CustomerState, Hold | None]:
    """Return a customer's committed state and one of their holds, neither brought forward."""
    wanted = Wanted([customer_id], holds=[(hold_id, customer_id)])
    loaded = await store.load(lane, wanted)
    state = rows.read_customers([customer_id], loaded)[customer_id]
    return state, rows.read_hold(loaded.holds[0]) if loaded.holds else None


async def list_holds(
    store: Store,
    lane: int,
    customer_id: str,
    now: datetime,
    status: str | None,
    subject: str | None,
    limit: int,
    offset: int,
) -> tuple[list[Hold], int]:
    """Return a page of a customer's holds, the newest first, and how many there are in all.

    What the clock has ended counts as expired, also where nobody has written it down yet.
    """
    where = (
        "lane = $1 AND customer_id = $2 AND hold_id IN ("
        "SELECT c.hold_id FROM customer_holds c WHERE c.lane = $1 AND c.customer_id = $2 "
        "UNION ALL SELECT n.hold_id FROM holds n WHERE n.lane = $1 AND n.customer_id = $2 "
        "AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = $1))"
    )
    values: list[Any] = [lane, customer_id]
    if status in ("authorized", "expired"):
        values.append(to_us(now))
        is_open = "status = 'authorized' AND expires_at"
        where += {
            "authorized": f" AND {is_open} > $3",
            "expired": f" AND (status = 'expired' OR ({is_open} <= $3))",
        }[status]
    elif status is not None:
        values.append(status)
        where += " AND status = $3"
    if subject is not None:
        values.append(subject)
        where += f" AND subject = ${len(values)}"
    counted = await store.fetch(f"SELECT count(*) FROM holds WHERE {where}", *values)
    columns = schema.names(schema.HOLDS)
    found = await store.fetch(
        f"SELECT {columns} FROM holds WHERE {where} ORDER BY hold_id DESC "
        f"LIMIT {limit} OFFSET {offset}",
        *values,
    )
    return [rows.read_hold(row) for row in found], counted[0][0]


async def read_event(store: Store, lane: int, key: Pair) -> BookedEvent | None:
    """Find an event by (event id, customer id), as it stands now."""
    return (await read_events(store, lane, [key])).get(key)


def as_it_stands(booked: BookedEvent, stands: EventOutcome | None) -> BookedEvent:
    """Return an event with what its outcome has made of it (None: none was reported)."""
    if stands is None:
        return msgspec.structs.replace(booked, outcome=booked.event.outcome)
    result = msgspec.structs.replace(
        booked.result, fees=tuple([one.fee for one in stands.fees]), warnings=stands.warnings
    )
    event = msgspec.structs.replace(booked.event, data=stands.data)
    return msgspec.structs.replace(booked, event=event, result=result, outcome=stands.outcome)


async def read_events(store: Store, lane: int, keys: Sequence[Pair]) -> dict[Pair, BookedEvent]:
    """Find events by (event id, customer id), as they stand now; at most a page of them."""
    mine = [(customer_id, event_id) for event_id, customer_id in keys]
    loaded = await store.load(lane, Wanted(events=keys, outcomes=mine))
    outcomes = dict(map(rows.read_outcome, loaded.outcomes))
    return {
        (key := (booked.event.id, customer_id)): as_it_stands(booked, outcomes.get(key))
        for customer_id, booked in rows.read_events(loaded.events, loaded.fees)
    }


async def owners_of_event(queries: Queries, environment_id: int, event_id: str) -> list[str]:
    """Return the customers that have used this event id, in every lane."""
    found = await queries.fetch(
        "SELECT customer_id FROM events WHERE lane IN (SELECT lane FROM lanes) "
        "AND event_id = $1 AND environment_id = $2 LIMIT 2",
        event_id,
        environment_id,
    )
    return [row[0] for row in found]


async def read_transaction(
    store: Store, lane: int, customer_id: str, identifier: str
) -> Transaction | None:
    """Find an adjustment or charge by its own id or the caller's transaction id."""
    columns = schema.names(schema.TRANSACTIONS)
    found = await store.fetch(
        f"SELECT {columns} FROM transactions WHERE lane = $1 AND id = $2 AND customer_id = $3",
        lane,
        identifier,
        customer_id,
    )
    if found:
        return rows.read_transaction(found[0])
    return await read_booked(store, lane, customer_id, identifier)


async def read_fee(
    store: Store, lane: int, customer_id: str, fee_id: str
) -> tuple[Fee, datetime] | None:
    """Find a fee by its id, with the instant at which it was booked."""
    found = await store.fetch(
        f"SELECT {schema.names(schema.FEES)}, created_at FROM fees "
        "WHERE lane = $1 AND fee_id = $2 AND customer_id = $3",
        lane,
        fee_id,
        customer_id,
    )
    return (rows.read_fee(found[0][:-1]), from_us(found[0][-1])) if found else None


async def list_grants(
    store: Store, lane: int, customer_id: str, account_id: str, present: Present
) -> list[Grant]:
    """Return all grants an account ever had, the newest first, as of now."""
    found = await store.fetch(
        f"SELECT {schema.names(schema.GRANTS)} FROM grants "
        "WHERE lane = $1 AND customer_id = $2 AND account_id = $3 ORDER BY grant_id DESC",
        lane,
        customer_id,
        account_id,
    )
    account = present.accounts.get(account_id)
    live = {g.id: g for g in account.grants + account.scheduled} if account else {}
    written = {row[1]: rows.read_grant(row) for row in found}
    made = {name: grant for name, (owner, grant) in present.grants.items() if owner == account_id}
    # What is no longer live is used up or expired, whether or not that was written down.
    return [
        live.get(name) or with_remaining(grant, 0)
        for name, grant in sorted({**made, **written}.items(), reverse=True)
    ]


EVENT_COLUMNS: Final = (
    "e.event_id, e.customer_id, e.event_type, e.subject, e.description, "
    "e.occurred_at, e.created_at, coalesce(o.fee_units, e.fee_units), "
    "CASE WHEN o.outcome IS NULL THEN e.fee_asset ELSE o.fee_asset END, "
    "coalesce(o.fee_count, e.fee_count), coalesce(o.outcome, e.outcome)"
)
"""What a list shows of an event, in the order of `ListedEvent`."""
AS_THEY_STAND: Final = (
    "events e LEFT JOIN outcomes o ON o.lane = e.lane AND o.customer_id = e.customer_id "
    "AND o.event_id = e.event_id"
)
"""From where `EVENT_COLUMNS` are read."""
_EVENT_FILTERS: Final = {
    "event_id": "e.event_id = ${n}",
    "subject": "e.subject = ${n}",
    "occurred_from": "e.occurred_at >= ${n}",
    "occurred_before": "e.occurred_at < ${n}",
}


async def list_events(
    store: Store,
    environment_id: int,
    lanes: Sequence[int],
    filters: Mapping[str, Any],
    limit: int,
    offset: int,
) -> tuple[list[ListedEvent], int]:
    """Return a page of the events of these lanes, the newest first, and how many match in all."""
    found: list[ListedEvent] = []
    total = 0
    for lane in lanes:
        # Of each lane the whole beginning: any of it may belong to the page.
        first, count = (offset, limit) if len(lanes) == 1 else (0, offset + limit)
        events, matching = await _list_lane(store, environment_id, lane, filters, count, first)
        found += events
        total += matching
    if len(lanes) > 1:
        found.sort(key=lambda event: event.created_at, reverse=True)
        found = found[offset : offset + limit]
    return found, total


async def _list_lane(
    store: Store,
    environment_id: int,
    lane: int,
    filters: Mapping[str, Any],
    limit: int,
    offset: int,
) -> tuple[list[ListedEvent], int]:
    """Return a page of one lane's events.

    Filters: `customer_id`, `event_id`, `subject`, `event_types` (a list), `occurred_from`,
    `occurred_before` (instants), `has_fees`. A customer's events come from the index that the
    lane writes behind its commits, and from the newest ones that are not in it yet.
    """
    values: list[Any] = [lane, environment_id]
    where = ["e.lane = $1", "e.environment_id = $2"]
    for name, sql in _EVENT_FILTERS.items():
        value = filters.get(name)
        if value is not None:
            values.append(to_us(value) if isinstance(value, datetime) else value)
            where.append(sql.replace("{n}", str(len(values))))
    types = filters.get("event_types")
    if types:
        marks = []
        for event_type in types:
            values.append(event_type)
            marks.append(f"${len(values)}")
        where.append(f"e.event_type IN ({', '.join(marks)})")
    has_fees = filters.get("has_fees")
    if has_fees is not None:
        where.append(f"coalesce(o.fee_count, e.fee_count) {'>' if has_fees else '='} 0")
    customer_id = filters.get("customer_id")
    if customer_id is not None:
        values.append(customer_id)
        mine = f"${len(values)}"
        where.append(f"e.customer_id = {mine}")
        where.append(
            f"e.seq IN (SELECT c.seq FROM customer_events c WHERE c.lane = $1 "
            f"AND c.customer_id = {mine} UNION ALL "
            f"SELECT n.seq FROM events n WHERE n.lane = $1 AND n.customer_id = {mine} "
            f"AND n.seq > (SELECT l.indexed_seq FROM lanes l WHERE l.lane = $1))"
        )
    condition = " AND ".join(where)
    async with store.snapshot() as snapshot:
        counted = "events e" if has_fees is None else AS_THEY_STAND
        total = await snapshot.fetch(f"SELECT count(*) FROM {counted} WHERE {condition}", *values)
        found = await snapshot.fetch(
            f"SELECT {EVENT_COLUMNS} FROM {AS_THEY_STAND} WHERE {condition} "
            f"ORDER BY e.seq DESC LIMIT {int(limit)} OFFSET {int(offset)}",
            *values,
        )
    return [read_listed(row) for row in found], int(total[0][0])


def read_listed(row: Row) -> ListedEvent:
    """Read a row of `EVENT_COLUMNS`."""
    identifier, customer, event_type, subject, description, occurred, created, *fee = row
    moments = (from_us(occurred), from_us(created))
    return ListedEvent(identifier, customer, event_type, subject, description, *moments, *fee)


async def read_broken_units(store: Store, lane: int, customer_id: str, grant_id: str) -> int:
    """Return how many units of a grant have expired, also in holds that have let go of them. For
    refunds, which are rare."""
    rows = await store.fetch(
        "SELECT sum(units) FROM transfers WHERE lane = $1 AND customer_id = $2 "
        "AND (from_account = $3 OR reference = $3) AND to_account = 'breakage'",
        lane,
        customer_id,
        grant_id,
    )
    return int(rows[0][0] or 0)


async def read_booked(store: Store, lane: int, customer_id: str, key: str) -> Transaction | None:
    """Find what is booked under a key of ours, or a caller's transaction id."""
    loaded = await store.load(lane, Wanted(transactions=[(key, customer_id)]))
    return rows.read_transaction(loaded.transactions[0]) if loaded.transactions else None
