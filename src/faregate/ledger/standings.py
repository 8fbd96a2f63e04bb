"""Where events stand whose outcome is reported: read before the command is decided, and completed
by what the batches have that the database does not. Who paid the fees that an event was booked with
is not kept, unless it was a hold: it is found among the transfers around the event's own number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from faregate.core.events import BookedEvent, Fee
from faregate.core.grants import Grant
from faregate.core.outcomes import EventOutcome, Standing
from faregate.core.refunds import Payment
from faregate.ledger import rows
from faregate.ledger.memory import Key
from faregate.ledger.rows import BatchRows
from faregate.store.protocol import Paid, Store, Wanted

NEAR: Final = 300
FAR: Final = 5_000
"""So far from an event's own number its transfers are looked for: those of one command follow its
events. Nearly always they are near; the rest is read only for what is not found there."""
SeenPayment = tuple[int, str, str, int]
"""A transfer's number, the fee that it paid, from where, and units."""


class ReadStandings(msgspec.Struct):
    """What the database has: events and where they stand, by (event id, customer); what paid their
    fees; grants by id."""

    events: dict[Key, BookedEvent] = {}
    outcomes: dict[Key, EventOutcome] = {}
    payments: list[SeenPayment] = []
    grants: dict[str, Grant] = {}


async def read_standings(
    store: Store, lane: int, keys: Sequence[Key], *, for_lane: bool = True
) -> ReadStandings:
    """Read events, given as (event id, customer), and where they stand. `for_lane` as in
    `Store.load`: a page that only looks has time."""
    found = ReadStandings()
    keys = list(dict.fromkeys(keys))
    mine = [(customer_id, event_id) for event_id, customer_id in keys]
    loaded = await store.load(lane, Wanted(events=keys, outcomes=mine), for_lane=for_lane)
    found.outcomes = dict(map(rows.read_outcome, loaded.outcomes))
    charged: list[tuple[Key, int]] = []
    grants: dict[tuple[str, str], None] = {}
    seqs = {(row[0], row[1]): row[2] for row in loaded.events}
    for customer_id, booked in rows.read_events(loaded.events, loaded.fees):
        key = (booked.event.id, customer_id)
        found.events[key] = booked
        if key in found.outcomes:
            for one in found.outcomes[key].fees:
                grants.update(_grants_of(customer_id, [p.account for p in one.payments]))
        elif booked.result.fees:
            charged.append((key, seqs[key]))
            for fee in booked.result.fees:
                grants.update(_grants_of(customer_id, _paid_out_of_holds(fee)))
    for around in (NEAR, FAR):
        charged = await _read_payments(store, lane, found, charged, around, for_lane)
    owner = {fee.id: key[1] for key, b in found.events.items() for fee in b.result.fees}
    for _, fee_id, account, _ in found.payments:
        grants.update(_grants_of(owner[fee_id], [account]))
    if grants:
        loaded = await store.load(lane, Wanted(grants=list(grants)), for_lane=for_lane)
        found.grants = {row[1]: rows.read_grant(row) for row in loaded.grants_by_id}
    return found


async def _read_payments(
    store: Store,
    lane: int,
    found: ReadStandings,
    charged: Sequence[tuple[Key, int]],
    around: int,
    for_lane: bool,
) -> list[tuple[Key, int]]:
    """Read what paid the fees of events, given with their numbers, so far around those. Returns
    the ones of which not all is found."""
    if not charged:
        return []
    paid: list[Paid] = []
    for key, seq in charged:
        fees = found.events[key].result.fees
        paid.append(Paid(key[1], seq - around, seq + around, fees[0].id, fees[-1].id))
    rows_found = (await store.load(lane, Wanted(payments=paid), for_lane=for_lane)).payments
    found.payments += [(row[0], row[1], row[2], row[3]) for row in rows_found]
    units = {seq: (fee_id, u) for seq, fee_id, _, u in found.payments}
    total: Counter[str] = Counter()
    for fee_id, u in units.values():
        total[fee_id] += u
    return [
        (key, seq)
        for key, seq in charged
        if any(total[fee.id] != fee.debited_units for fee in found.events[key].result.fees)
    ]


def _paid_out_of_holds(fee: Fee) -> list[str]:
    """Return who paid a fee that says so itself."""
    return [] if fee.reduced is None else [account for account, _ in fee.reduced.paid_by]


def _grants_of(customer_id: str, accounts: Iterable[str]) -> dict[tuple[str, str], None]:
    names = [account for account in accounts if account.startswith("grt_")]
    return dict.fromkeys([(customer_id, name) for name in names])


def standing_in(
    read: ReadStandings,
    outcome: EventOutcome | None,
    booked: BookedEvent | None,
    batches: Sequence[BatchRows],
) -> Standing:
    """Put together where an event stands. `outcome` is what the batches say of it, `booked` the
    event; `batches` are those that are not read yet, the oldest first."""
    payments: dict[int, SeenPayment] = {}
    if outcome is None and booked is not None:
        wanted = {fee.id for fee in booked.result.fees}
        payments = {seen[0]: seen for seen in read.payments if seen[1] in wanted}
        for batch in batches:
            # What was committed while it was read is there twice.
            payments.update({seen[0]: seen for seen in batch.payments_of(wanted)})
    by_fee: dict[str, tuple[Payment, ...]] = {}
    for _, fee_id, account, units in sorted(payments.values()):
        by_fee[fee_id] = (*by_fee.get(fee_id, ()), Payment(account, units))
    names = {seen[2] for seen in payments.values()}
    for fee in () if outcome is not None or booked is None else booked.result.fees:
        names.update(_paid_out_of_holds(fee))
    for one in () if outcome is None else outcome.fees:
        names.update([payment.account for payment in one.payments])
    grants = {name: read.grants[name] for name in names if name in read.grants}
    for batch in batches:
        grants.update(batch.grants_named(names))
    return Standing(outcome, by_fee, grants)
