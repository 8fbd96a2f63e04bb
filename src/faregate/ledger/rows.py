"""Between the rules' values and the rows of the hot tables, in both directions. No decision is
made here: what `decide` returned is written as it is, and what was written is read back as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import msgspec

from faregate.core.accounts import (
    NOT_WATCHED,
    REVENUE,
    Account,
    Transfer,
    Watch,
    restore_account,
)
from faregate.core.amounts import FIAT_SCALE, plain, to_units
from faregate.core.chain import Head, beginning, link
from faregate.core.codec import decode, encode
from faregate.core.collecting import Collection
from faregate.core.costs import DEFAULT_COST_CURRENCY, Cost, read_costs, write_costs
from faregate.core.customers import CustomerState, first_due, first_of
from faregate.core.decision import Decision, Transaction
from faregate.core.events import BookedEvent, EventResult, Fee, UsageEvent
from faregate.core.gate import HoldCaptured, HoldUpdated, SettledHold, Settlement
from faregate.core.grants import Grant, GrantTerms
from faregate.core.holds import (
    DEFAULT_EXPIRY_SECONDS,
    Decline,
    FinalAction,
    FirstAnswer,
    Hold,
    HoldCount,
    HoldPart,
    HoldStatus,
    LateCapture,
    Meter,
)
from faregate.core.instants import EPOCH, LATEST, from_us, to_us
from faregate.core.limiting import Counts, Notice
from faregate.core.limits import Counter
from faregate.core.outcomes import AskedOutcome, EventOutcome, OutcomeSettled, SettledOutcome
from faregate.core.payments import (
    BookedPayment,
    PaymentCredit,
    PaymentEntry,
    PaymentFailed,
    PaymentReturn,
    ReturnSettled,
)
from faregate.core.plan_fees import BookedPlanFee, PlanFee
from faregate.core.reducing import Reduced
from faregate.core.rules import NO_RULES, CustomerRules
from faregate.core.subscriptions import (
    Binding,
    Cycle,
    Stretch,
    Subscription,
    Terms,
    in_force,
)
from faregate.core.telling import WELL
from faregate.core.tiers import TierCount
from faregate.core.transactions import (
    AdjustmentRequest,
    BookedTransaction,
    ChargeRequest,
    Converted,
)
from faregate.store.protocol import LaneRows, Row, Rows
from faregate.store.schema import GRANT_USES, HOLD_CHANGES

RowLists = dict[str, list[tuple[Any, ...]]]


class KeptHold(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a row of `holds` has no column for, kept as JSON in one, and once more the columns that
    `verify` compares with it.

    SQLite moves what a row of such a table has beyond 1,000 bytes to a page of its own, which
    makes a hold cost twice as much: so nothing else is said twice.
    """

    status: HoldStatus
    amount_units: int
    captured_units: int
    parts: tuple[HoldPart, ...]
    first: FirstAnswer
    expires_in_seconds: int = DEFAULT_EXPIRY_SECONDS
    event_type: str | None = None
    parent_id: str | None = None
    depth: int = 0
    allow_partial: bool = False
    min_units: int = 0
    late_capture: LateCapture = "charge"
    final_action: FinalAction = "terminate"
    is_upper_bound: bool = False
    is_session: bool = False
    meters: tuple[Meter, ...] = ()
    counts: tuple[HoldCount, ...] = ()
    decline: Decline | None = None
    settled_at: datetime | None = None


class BatchRows:
    """Gathers the rows of one batch. Of derived rows (grants, accounts, carries) the last wins.

    Grants that are there already and have something left are kept apart (`_uses`): of them only
    `remaining_units` changes.
    """

    __slots__ = (
        "_accounts",
        "_carries",
        "_collections",
        "_counters",
        "_due",
        "_grants",
        "_hold_changes",
        "_holds",
        "_outcomes",
        "_rules",
        "_seq",
        "_subscribers",
        "_tiers",
        "_uses",
        "costs",
        "events",
        "fees",
        "outbox",
        "subscriptions",
        "transactions",
        "transfers",
    )

    def __init__(self, last_seq: int) -> None:
        self._seq = last_seq
        self.events: list[tuple[Any, ...]] = []
        self.fees: list[tuple[Any, ...]] = []
        self.costs: list[tuple[Any, ...]] = []
        self.transfers: list[tuple[Any, ...]] = []
        self.transactions: list[tuple[Any, ...]] = []
        self.subscriptions: dict[str, tuple[Any, ...]] = {}
        self._grants: dict[str, tuple[str, str, Grant]] = {}
        self._uses: dict[str, tuple[str, str, Grant]] = {}
        self._holds: dict[str, tuple[Any, ...]] = {}
        self._hold_changes: dict[str, tuple[Any, ...]] = {}
        self._accounts: dict[tuple[str, str], tuple[str, Account]] = {}
        self._carries: dict[tuple[str, str, str], tuple[str, str, str, str]] = {}
        self._rules: dict[str, CustomerRules] = {}
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._tiers: dict[tuple[str, str, int, str, int], int] = {}
        self._due: dict[str, tuple[Any, ...]] = {}
        self._collections: list[tuple[Any, ...]] = []
        self._subscribers: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._outcomes: dict[tuple[str, str], tuple[Any, ...]] = {}
        self.outbox: list[tuple[Any, ...]] = []

    @property
    def last_seq(self) -> int:
        """The last number given to an event or a transfer."""
        return self._seq

    def add(
        self, decision: Decision, head: Head, environment_id: int, now: datetime, now_us: int
    ) -> Head:
        """Add everything that a decision changes. `now_us` is `now`, at which it was decided,
        `head` where the customer's chain stood before it; returns where it stands after it."""
        customer_id = decision.state.customer_id
        for booked in decision.events:
            self._add_event(customer_id, booked, environment_id, now_us)
        if decision.transfers:
            head = self._add_transfers(customer_id, decision.transfers, head, now, now_us)
        # Only adjustments, payments, outcomes and what comes with products make grants.
        makers = (BookedTransaction, BookedPayment, SettledOutcome)
        may_be_new = isinstance(decision.transaction, makers) or bool(decision.subscriptions)
        grants = self._grants
        for account_id, grant in decision.grants.values():
            row = (customer_id, account_id, grant)
            is_in_use = grant.remaining_units and grant.id not in decision.revived
            if is_in_use and not may_be_new and grant.id not in grants:
                self._uses[grant.id] = row
            else:
                grants[grant.id] = row
                self._uses.pop(grant.id, None)
        for account in decision.accounts.values():
            self._accounts[customer_id, account.id] = (customer_id, account)
        for (price_id, asset), numerator in decision.carries.items():
            carry = (customer_id, price_id, asset, str(numerator))
            self._carries[customer_id, price_id, asset] = carry
        if decision.subscriptions:
            for subscription in decision.subscriptions.values():
                self.subscriptions[subscription.id] = _subscription_row(customer_id, subscription)
                is_on_clock = decision.state.rules.clock_id is not None
                for row in subscriber_rows(customer_id, subscription, now, is_on_clock=is_on_clock):
                    self._subscribers[row[:3]] = row
        if decision.subscriptions or decision.is_due_moved:
            self._due[customer_id] = _due_row(decision.state, environment_id)
        for plan_fee in decision.plan_fees:
            self.transactions.append(_transaction_row(customer_id, plan_fee))
        for hold in decision.holds.values():
            self._add_hold(customer_id, hold, is_new=hold.id in decision.new_holds)
        if decision.transaction is not None:
            self.transactions.append(_transaction_row(customer_id, decision.transaction))
        if decision.rules is not None:
            self._rules[customer_id] = decision.rules
            if decision.rules.collecting:
                self._due[customer_id] = _due_row(decision.state, environment_id)
        for collection in decision.collections:
            self._collections.append(_collection_row(customer_id, collection, environment_id))
        for (limit_id, subject), counter in decision.counters.items():
            self._counters[customer_id, limit_id, subject] = counter
        for row_key, quantity in decision.tier_changes.items():
            self._tiers[customer_id, *row_key] = quantity
        for event_id, outcome in decision.outcomes.items():
            # The last number that there is: it has none of its own, as it is overwritten.
            self._outcomes[customer_id, event_id] = _outcome_row(
                customer_id, event_id, outcome, now_us, self._seq
            )
        for event_id, fee in decision.fees:
            self.fees.append(_fee_row(customer_id, event_id, fee, now_us))
        for notice in decision.notices:
            self._add_notice(customer_id, notice, environment_id, now_us)
        return head

    def _add_transfers(
        self,
        customer_id: str,
        transfers: Sequence[Transfer],
        head: Head,
        now: datetime,
        now_us: int,
    ) -> Head:
        """Number the transfers and put them at the end of the customer's chain."""
        newest, seq = head.hash, self._seq
        for t in transfers:
            seq += 1
            row = (
                seq,
                customer_id,
                t.asset,
                t.from_account,
                t.to_account,
                t.units,
                t.reference,
                now_us if t.at is now else to_us(t.at),
            )
            newest = link(newest, row)
            self.transfers.append((*row, newest))
        self._seq = seq
        return Head(newest, seq)

    def _add_notice(
        self, customer_id: str, notice: Notice, environment_id: int, now_us: int
    ) -> None:
        self._seq += 1
        data = encode(notice.data).decode()
        self.outbox.append((self._seq, customer_id, environment_id, notice.topic, now_us, data))

    def _add_hold(self, customer_id: str, hold: Hold, *, is_new: bool) -> None:
        seq = 0
        if is_new:
            self._seq += 1
            seq = self._seq
        elif hold.id in self._holds:
            is_new, seq = True, self._holds[hold.id][2]
        rows = self._holds if is_new else self._hold_changes
        rows[hold.id] = (customer_id, hold, seq)

    def _add_event(
        self, customer_id: str, booked: BookedEvent, environment_id: int, now_us: int
    ) -> None:
        event, result = booked.event, booked.result
        fees = result.fees
        asset: str | None = None
        total = 0
        for fee in fees:
            asset = asset or fee.asset
            if fee.asset == asset:
                total += fee.units
            self.fees.append(_fee_row(customer_id, event.id, fee, now_us))
        self._seq += 1
        self.events.append(
            (
                event.id,
                customer_id,
                self._seq,
                environment_id,
                event.event_type,
                to_us(event.occurred_at),
                now_us,
                event.subject,
                event.description,
                None if event.data is None else encode(event.data).decode(),
                write_costs(event.costs, booked.cost_source),
                encode(result.warnings).decode() if result.warnings else None,
                encode(result.balances).decode(),
                fees[0].id if fees else None,
                len(fees),
                total,
                asset,
                encode(booked.counts).decode() if booked.counts else None,
                event.outcome,
            )
        )
        if event.costs:
            self.costs += cost_rows(self.events[-1], event.costs)

    def payments_of(self, fee_ids: Some[str]) -> Iterator[tuple[int, str, str, int]]:
        """Walk what has paid these fees: the transfer's number, the fee, from where, and units."""
        for row in self.transfers:
            if row[6] in fee_ids and row[4] == REVENUE:
                yield row[0], row[6], row[3], row[5]

    def grants_named(self, names: Some[str]) -> dict[str, Grant]:
        """Return those of these grants that the batch has made or changed, by id."""
        kept = (self._uses, self._grants)
        return {name: rows[name][2] for rows in kept for name in names if name in rows}

    @property
    def numbered_events(self) -> list[tuple[str, int]]:
        """Customers with the numbers of their events."""
        return [(row[1], row[2]) for row in self.events]

    @property
    def numbered_holds(self) -> list[tuple[str, int, str]]:
        """Customers with the numbers and ids of their new holds."""
        return [(customer, seq, hold.id) for customer, hold, seq in self._holds.values()]

    def lists(self) -> RowLists:
        """Return the rows by hot table, in the column order of `schema`."""
        return {
            "events": self.events,
            "fees": self.fees,
            "costs": self.costs,
            "outcomes": list(self._outcomes.values()),
            "transfers": self.transfers,
            "transactions": self.transactions,
            "grants": [_grant_row(*row) for row in self._grants.values()],
            GRANT_USES: [_grant_row(*row) for row in self._uses.values()],
            "wallet_accounts": [_account_row(*row) for row in self._accounts.values()],
            "carries": list(self._carries.values()),
            "tier_counters": [(*key, str(quantity)) for key, quantity in self._tiers.items()],
            "subscriptions": list(self.subscriptions.values()),
            "holds": [_hold_row(*row) for row in self._holds.values()],
            HOLD_CHANGES: [_hold_row(*row) for row in self._hold_changes.values()],
            "customer_rules": [
                (customer_id, encode(rules).decode()) for customer_id, rules in self._rules.items()
            ],
            "limit_counters": [
                (*key, encode(counter).decode()) for key, counter in self._counters.items()
            ],
            "product_subscribers": list(self._subscribers.values()),
            "due_work": list(self._due.values()),
            "collections": self._collections,
            "outbox": self.outbox,
        }


EVENT_OF_COSTS: Final = (
    "event_id, customer_id, seq, environment_id, event_type, occurred_at, created_at"
)
"""What rows of `costs` take from their event, as `cost_rows` reads it."""


def cost_rows(event: Row, costs: Sequence[Cost]) -> list[tuple[Any, ...]]:
    """Return the rows of `costs` that a row of `events` has."""
    event_id, customer_id, seq, environment_id, event_type, occurred_at, created_at, *_ = event
    return [
        (
            seq,
            number,
            customer_id,
            event_id,
            environment_id,
            event_type,
            cost.vendor_id,
            cost.vendor_external_id,
            cost.category,
            cost.currency or DEFAULT_COST_CURRENCY,
            to_units(cost.amount, FIAT_SCALE),
            occurred_at,
            created_at,
        )
        for number, cost in enumerate(costs)
    ]


def _fee_row(customer_id: str, event_id: str, fee: Fee, now_us: int) -> tuple[Any, ...]:
    return (
        fee.id,
        customer_id,
        event_id,
        fee.price_id,
        fee.value_index,
        fee.asset,
        fee.account_id,
        fee.units,
        None if fee.volume is None else str(fee.volume),
        now_us,
        None if fee.counted is None else encode(fee.counted).decode(),
        fee.paid_units,
        None if fee.exchange_rate is None else plain(fee.exchange_rate),
        None if fee.reduced is None else encode(fee.reduced).decode(),
    )


def _outcome_row(
    customer_id: str, event_id: str, outcome: EventOutcome, now_us: int, seq: int
) -> tuple[Any, ...]:
    fees = [one.fee for one in outcome.fees]
    asset = fees[0].asset if fees else None
    return (
        customer_id,
        event_id,
        outcome.outcome,
        len(fees),
        sum([fee.units for fee in fees if fee.asset == asset]),
        asset,
        encode(outcome).decode(),
        now_us,
        seq,
    )


def read_outcome(row: Row) -> tuple[tuple[str, str], EventOutcome]:
    """Read a row of `outcomes`: of which event, by (event id, customer id), and where it stands."""
    return (row[1], row[0]), decode(EventOutcome, row[6])


def _grant_row(customer_id: str, account_id: str, grant: Grant) -> tuple[Any, ...]:
    return (
        customer_id,
        grant.id,
        account_id,
        grant.purpose,
        grant.priority,
        grant.amount_units,
        grant.remaining_units,
        0 if grant.remaining_units else 1,
        to_us(grant.effective_at),
        None if grant.expires_at is None else to_us(grant.expires_at),
        to_us(grant.created_at),
        None if grant.terms is None else encode(grant.terms).decode(),
    )


def _due_row(state: CustomerState, environment_id: int) -> tuple[Any, ...]:
    """Say when something is due. Who lives by a test clock is moved by that alone."""
    due_at = first_of(state.due_at, state.credit_due_at)
    if due_at is None or state.rules.clock_id is not None:
        due_at = LATEST
    return (state.customer_id, environment_id, to_us(due_at), 0, 0, None)


def _collection_row(
    customer_id: str, collection: Collection, environment_id: int
) -> tuple[Any, ...]:
    return (
        collection.payment_id,
        customer_id,
        environment_id,
        collection.account_id,
        collection.currency,
        collection.units,
        to_us(collection.asked_at),
        collection.subscription_id,
    )


def _account_row(customer_id: str, account: Account) -> tuple[Any, ...]:
    return (
        customer_id,
        account.id,
        account.overdraft_units,
        account.overdraft_policy,
        account.overdraft_limit_units,
        None if account.watch == NOT_WATCHED else encode(account.watch).decode(),
    )


def _subscription_row(customer_id: str, subscription: Subscription) -> tuple[Any, ...]:
    renews_at = subscription.renews_at
    # The newest stretch decides whether it is active now: for filters in SQL.
    newest = subscription.stretches[-1] if subscription.stretches else None
    return (
        customer_id,
        subscription.id,
        to_us(subscription.created_at),
        None if renews_at is None else to_us(renews_at),
        encode(subscription.bindings).decode(),
        encode(subscription.stretches).decode(),
        None if newest is None else to_us(newest.from_at),
        None if newest is None or newest.to_at is None else to_us(newest.to_at),
        encode(subscription.terms).decode(),
        encode(subscription.cycles).decode(),
    )


def subscriber_rows(
    customer_id: str, subscription: Subscription, now: datetime, *, is_on_clock: bool = False
) -> list[tuple[Any, ...]]:
    """Say of each product which version is in force, which one comes next, and until when. For who
    lives by a test clock the end is not said before it has come: it is no instant of others."""
    terms, stretches = subscription.terms, subscription.stretches
    ends_at: int | None = 0
    if terms.needs is not None or terms.paused_at is not None:
        ends_at = None
    elif stretches:
        last = stretches[-1].to_at
        ends_at = None if last is None else to_us(last)
        if last is not None and is_on_clock:
            ends_at = None if last > now else 0
    newest = {b.product_id: b.version or 0 for b in subscription.bindings}
    rows = []
    for binding in in_force(subscription.bindings, now):
        version, coming = binding.version or 0, newest[binding.product_id]
        planned = None if coming == version else coming
        rows.append((binding.product_id, customer_id, subscription.id, version, planned, ends_at))
    return rows


def _hold_row(customer_id: str, hold: Hold, seq: int) -> tuple[Any, ...]:
    return (
        hold.id,
        customer_id,
        seq,
        hold.transaction_id,
        hold.account_id,
        hold.status,
        1 if hold.status == "authorized" else 0,
        hold.subject,
        hold.amount_units,
        hold.captured_units,
        hold.held_units,
        to_us(hold.created_at),
        to_us(hold.expires_at),
        hold.request,
        encode(
            KeptHold(
                hold.status,
                hold.amount_units,
                hold.captured_units,
                hold.parts,
                hold.first,
                hold.expires_in_seconds,
                hold.event_type,
                hold.parent_id,
                hold.depth,
                hold.allow_partial,
                hold.min_units,
                hold.late_capture,
                hold.final_action,
                hold.is_upper_bound,
                hold.is_session,
                hold.meters,
                hold.counts,
                hold.decline,
                hold.settled_at,
            )
        ).decode(),
    )


def _transaction_row(customer_id: str, booked: Transaction) -> tuple[Any, ...]:
    answer: str | None = None
    if isinstance(booked, (SettledHold, SettledOutcome)):
        answer = encode(booked.answer).decode()
    elif isinstance(booked, BookedPayment):
        answer = encode(booked.entry).decode()
    elif isinstance(booked, BookedTransaction) and booked.converted is not None:
        answer = encode(booked.converted).decode()
    return (
        booked.request.transaction_id,
        customer_id,
        booked.id,
        booked.kind,
        booked.account_id,
        booked.units,
        encode(booked.request).decode(),
        to_us(booked.created_at),
        answer,
    )


def read_hold(row: Row) -> Hold:
    """Read a row of `holds`."""
    hold_id, _, _, transaction_id, account_id, _, _, subject, *_ = row
    created_at, expires_at, request, text = row[-4:]
    kept = decode(KeptHold, text)
    return Hold(
        hold_id,
        transaction_id,
        account_id,
        kept.status,
        kept.amount_units,
        kept.captured_units,
        kept.parts,
        from_us(created_at),
        from_us(expires_at),
        kept.expires_in_seconds,
        kept.first,
        kept.event_type,
        subject,
        kept.parent_id,
        kept.depth,
        kept.allow_partial,
        kept.min_units,
        kept.late_capture,
        kept.final_action,
        kept.is_upper_bound,
        kept.is_session,
        kept.meters,
        kept.counts,
        kept.decline,
        kept.settled_at,
        request,
    )


def read_grant(row: Row) -> Grant:
    """Read a row of `grants`."""
    _, grant_id, _, purpose, priority, amount, remaining, _, effective, expires, created, terms = (
        row
    )
    return Grant(
        grant_id,
        purpose,
        priority,
        amount,
        remaining,
        from_us(effective),
        None if expires is None else from_us(expires),
        from_us(created),
        None if terms is None else decode(GrantTerms, terms),
    )


def read_subscription(row: Row) -> Subscription:
    """Read a row of `subscriptions`."""
    _, identifier, created, renews, bindings, stretches, _, _, terms, cycles = row
    return Subscription(
        identifier,
        from_us(created),
        None if renews is None else from_us(renews),
        decode(tuple[Binding, ...], bindings),
        decode(tuple[Stretch, ...], stretches),
        # Those from before there were any brought nothing by themselves.
        Terms(is_begun=True) if terms is None else decode(Terms, terms),
        () if cycles is None else decode(tuple[Cycle, ...], cycles),
    )


_PAYMENTS: Final = {
    "payment": PaymentCredit,
    "payment_return": PaymentReturn,
    "payment_failed": PaymentFailed,
    "return_settled": ReturnSettled,
}


def read_transaction(row: Row) -> Transaction:
    """Read a row of `transactions`."""
    _, _, identifier, kind, account_id, units, request, created, answer = row
    if kind == "outcome":
        settled = decode(OutcomeSettled, answer)
        asked = decode(AskedOutcome, request)
        return SettledOutcome(identifier, asked, account_id, units, from_us(created), settled)
    if kind in ("capture", "update"):
        kept: Any = HoldCaptured if kind == "capture" else HoldUpdated
        return SettledHold(
            identifier,
            decode(Settlement, request),
            account_id,
            units,
            from_us(created),
            decode(kept, answer or ""),
        )
    if kind == "fee":
        return BookedPlanFee(
            identifier, decode(PlanFee, request), account_id, units, from_us(created)
        )
    if kind in _PAYMENTS:
        paid: Any = _PAYMENTS[kind]
        return BookedPayment(
            identifier,
            decode(paid, request),
            account_id,
            units,
            from_us(created),
            decode(PaymentEntry, answer),
        )
    shape: Any = AdjustmentRequest if kind == "adjustment" else ChargeRequest
    return BookedTransaction(
        identifier,
        decode(shape, request),
        account_id,
        units,
        from_us(created),
        None if answer is None else decode(Converted, answer),
    )


def read_fee(row: Row) -> Fee:
    """Read a row of `fees`."""
    fee_id, _, _, price_id, value_index, asset, account_id, units, volume, _, *more = row
    counted, paid_units, exchange_rate, reduced = more
    return Fee(
        fee_id,
        price_id,
        value_index,
        asset,
        account_id,
        units,
        _read_volume(volume),
        None if counted is None else decode(TierCount, counted),
        paid_units,
        None if exchange_rate is None else Decimal(exchange_rate),
        None if reduced is None else decode(Reduced, reduced),
    )


def _read_volume(text: str | None) -> int | Decimal | None:
    if text is None:
        return None
    return int(text) if text.isdigit() else Decimal(text)


def read_event(row: Row, fees: tuple[Fee, ...]) -> BookedEvent:
    """Read a row of `events`, given its fees."""
    costs, source = read_costs(row[10])
    event = UsageEvent(
        id=row[0],
        event_type=row[4],
        occurred_at=from_us(row[5]),
        subject=row[7],
        description=row[8],
        data=None if row[9] is None else decode(dict[str, Any], row[9]),
        costs=costs,
        outcome=row[18],
    )
    warnings = () if row[11] is None else decode(tuple[str, ...], row[11])
    result = EventResult(event.id, "booked", fees, warnings, decode(dict[str, int], row[12]))
    counts = () if row[17] is None else decode(Counts, row[17])
    return BookedEvent(event, result, from_us(row[6]), counts, cost_source=source)


def read_events(events: Rows, fees: Rows) -> list[tuple[str, BookedEvent]]:
    """Read rows of `events` with their fees, which follow each other in the same order.

    Returns (customer id, event) pairs.
    """
    rest = iter(fees)
    return [
        (row[1], read_event(row, tuple(read_fee(fee) for fee in islice(rest, row[14]))))
        for row in events
    ]


def read_counter(row: Row) -> tuple[tuple[str, str, str], Counter]:
    """Read a row of `limit_counters`: under which customer, limit and subject, and the counter."""
    customer_id, limit_id, subject, counter = row
    return (customer_id, limit_id, subject), decode(Counter, counter)


def read_tiers(rows: Rows) -> dict[tuple[str, str, int], dict[tuple[str, int], int]]:
    """Read rows of `tier_counters`: by customer, price and period, what each entry counted."""
    found: defaultdict[tuple[str, str, int], dict[tuple[str, int], int]] = defaultdict(dict)
    for customer_id, price_id, since, asset, entry, quantity in rows:
        found[customer_id, price_id, since][asset, entry] = int(quantity)
    return found


def read_customers(customers: list[str], loaded: LaneRows) -> dict[str, CustomerState]:
    """Rebuild the states of these customers; one that has no rows yet is empty."""
    grants: dict[tuple[str, str], list[Grant]] = defaultdict(list)
    accounts: dict[str, dict[str, Account]] = defaultdict(dict)
    subscriptions: dict[str, list[Subscription]] = defaultdict(list)
    carries: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    holds: dict[tuple[str, str], list[Hold]] = defaultdict(list)
    rules = {row[0]: decode(CustomerRules, row[1]) for row in loaded.rules}
    for row in loaded.open_holds:
        holds[row[1], row[4]].append(read_hold(row))
    for row in loaded.grants:
        grants[row[0], row[2]].append(read_grant(row))
    for customer_id, identifier, overdraft, policy, limit, watch in loaded.accounts:
        accounts[customer_id][identifier] = restore_account(
            identifier,
            grants[customer_id, identifier],
            overdraft,
            policy,
            limit,
            holds[customer_id, identifier],
            _read_watch(watch),
        )
    for row in loaded.subscriptions:
        subscriptions[row[0]].append(read_subscription(row))
    for customer_id, price_id, asset, numerator in loaded.carries:
        if numerator != "0":
            carries[customer_id][price_id, asset] = int(numerator)
    states: dict[str, CustomerState] = {}
    for customer_id in customers:
        by_age = tuple(sorted(subscriptions[customer_id], key=_by_age))
        states[customer_id] = CustomerState(
            customer_id,
            by_age,
            accounts[customer_id],
            carries[customer_id],
            rules.get(customer_id, NO_RULES),
            first_due(by_age, rules.get(customer_id, NO_RULES)),
            EPOCH if any(map(_is_timed, accounts[customer_id].values())) else None,
        )
    return states


def _read_watch(text: str | None) -> Watch:
    if text is None:
        return NOT_WATCHED
    watch = decode(Watch, text)
    return WELL if watch == WELL else watch


def _is_timed(account: Account) -> bool:
    """Tell whether a restored account may have grants that expire or begin later: when, is looked
    at with the first command."""
    # Those that have begun count as scheduled too, until somebody looks.
    return any(
        grant.expires_at is not None or grant.effective_at > grant.created_at
        for grant in account.scheduled
    )


def read_heads(customers: list[str], loaded: LaneRows) -> dict[str, Head]:
    """Return where these customers' chains stood when `chains` was last written; one that has no
    row is at its beginning."""
    found = {customer_id: Head(head, seq) for customer_id, head, seq in loaded.chains}
    return {
        customer_id: found.get(customer_id) or beginning(customer_id) for customer_id in customers
    }


def _by_age(subscription: Subscription) -> tuple[datetime, str]:
    return (subscription.created_at, subscription.id)
