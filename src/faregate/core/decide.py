"""Where a command meets a customer's state. `decide` is the whole ledger as one pure function:

    decide(state, known, command, catalog, now, ids) -> Decision(state, rows, answer)

It reads no clock and no database and changes nothing that it was given. Idempotency is decided
here: `known` holds what is already booked under the command's own keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from faregate.core.accounts import Account, Movement, OverdraftPolicy, Transfer
from faregate.core.amounts import MAX_UNITS
from faregate.core.authorizing import authorize
from faregate.core.capturing import capture, extend, void
from faregate.core.customers import NO_TIER_COUNTS, CarryKey, Changes, CustomerState, TierRowKey
from faregate.core.events import BookedEvent, EventsBooked, RecordEvents, decide_events
from faregate.core.gate import (
    Authorize,
    Capture,
    ExtendHold,
    GateCommand,
    Gated,
    HoldAnswer,
    SettledHold,
    UpdateHold,
)
from faregate.core.grants import Grant
from faregate.core.holds import CounterKey, Hold
from faregate.core.ids import IdSource
from faregate.core.limiting import Limiting, Notice
from faregate.core.limits import Counter, Counters, Limit, limits_for
from faregate.core.problems import NOT_FOUND, Problem, invalid
from faregate.core.rules import (
    BlockCustomer,
    ChangeLimit,
    CustomerRules,
    DescribeCustomer,
    RemoveLimit,
    RulesAnswer,
    RulesCommand,
    SetLimit,
    change_rules,
)
from faregate.core.sessions import update
from faregate.core.subscriptions import Binding, CatalogView, Stretch, Subscription
from faregate.core.tiers import Counted, TierCounts, TierKey
from faregate.core.transactions import (
    Adjust,
    BookedTransaction,
    Charge,
    decide_transaction,
)


class Subscribe(msgspec.Struct, frozen=True):
    """Give a customer subscriptions. One with an id that the customer has already is a repeat."""

    customer_id: str
    subscriptions: tuple[Subscription, ...]


class ChangeSubscription(msgspec.Struct, frozen=True):
    """Switch a subscription on or off, or bind one of its products to another version, from now.

    `is_active` None leaves that as it is; `product_id` None leaves the bindings.
    """

    customer_id: str
    subscription_id: str
    is_active: bool | None = None
    product_id: str | None = None
    version: int | None = None


class SetOverdraft(msgspec.Struct, frozen=True):
    """Say how far below zero an account may go; `limit_units` (>= 0) counts for `limit`."""

    customer_id: str
    account_id: str
    policy: OverdraftPolicy
    limit_units: int = 0


Command = (
    RecordEvents
    | GateCommand
    | Adjust
    | Charge
    | Subscribe
    | ChangeSubscription
    | SetOverdraft
    | RulesCommand
)
Answer = EventsBooked | HoldAnswer | BookedTransaction | Subscription | Account | RulesAnswer | None
Transaction = BookedTransaction | SettledHold


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is booked already under the keys that a command carries. Holds are those that no longer
    count as open, by their id; for `Authorize` all, by their transaction id. `counters` has what
    the customer's limits have counted, `tiers` what the tiers of prices have: they are asked for
    what the command touches, and no more."""

    events: Mapping[str, BookedEvent] = {}
    transactions: Mapping[str, Transaction] = {}
    holds: Mapping[str, Hold] = {}
    counters: Counters = {}
    tiers: TierCounts = NO_TIER_COUNTS


NOTHING_KNOWN = Known()


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a command does: the customer's new state, the rows to write, and the answer.

    A refused command's answer is a `Problem`; it and a repeat have no rows, and leave the state
    as it was.
    """

    state: CustomerState
    answer: Answer | Problem
    transfers: list[Transfer] = []
    grants: Mapping[str, tuple[str, Grant]] = {}
    accounts: Mapping[str, Account] = {}
    carries: Mapping[CarryKey, int] = {}
    events: list[BookedEvent] = []
    transaction: Transaction | None = None
    subscriptions: tuple[Subscription, ...] = ()
    holds: Mapping[str, Hold] = {}
    revived: frozenset[str] = frozenset()
    new_holds: frozenset[str] = frozenset()
    counters: Mapping[CounterKey, Counter] = {}
    notices: list[Notice] = []
    rules: CustomerRules | None = None
    tiers: Mapping[TierKey, Counted] = {}
    tier_changes: Mapping[TierRowKey, int] = {}


def decide(
    state: CustomerState,
    known: Known,
    command: Command,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Decision:
    """Decide one command on one customer's state, as of `now` (never earlier than before)."""
    if isinstance(command, RecordEvents):
        changes = _changes(state, known, catalog, now)
        events = decide_events(changes, known.events, command, catalog, now, ids)
        if isinstance(events, Problem):
            return Decision(state, events)
        changes, booked, new = events
        return _decision(changes, booked, events=new)
    if isinstance(command, GateCommand):
        gated = _at_the_gate(state, known, command, catalog, now, ids)
        if isinstance(gated, Problem):
            return Decision(state, gated)
        if not (gated.changes.holds or gated.settled):
            return Decision(state, gated.answer)
        return _decision(gated.changes, gated.answer, gated.events, gated.settled, gated.new_holds)
    if isinstance(command, (Adjust, Charge)):
        outcome = decide_transaction(state, known.transactions, command, catalog, now, ids)
        if isinstance(outcome, Problem):
            return Decision(state, outcome)
        changes, transaction, is_new = outcome
        if not is_new:
            return Decision(state, transaction)
        return _decision(changes, transaction, transaction=transaction)
    if isinstance(command, Subscribe):
        return _subscribe(state, command)
    if isinstance(command, ChangeSubscription):
        return _change_subscription(state, command, now)
    if isinstance(command, (SetLimit, ChangeLimit, RemoveLimit, BlockCustomer, DescribeCustomer)):
        return _change_rules(state, command)
    return _set_overdraft(state, command, now)


def _decision(
    changes: Changes,
    answer: Answer,
    events: list[BookedEvent] | None = None,
    transaction: Transaction | None = None,
    new_holds: frozenset[str] = frozenset(),
) -> Decision:
    return Decision(
        changes.new_state(),
        answer,
        changes.transfers,
        changes.grants,
        changes.changed_accounts,
        changes.carries,
        events or [],
        transaction,
        (),
        changes.holds,
        changes.revived,
        new_holds,
        {} if changes.limits is None else changes.limits.changed,
        [] if changes.limits is None else changes.limits.notices,
        None,
        changes.tiers,
        changes.tier_changes,
    )


def _changes(state: CustomerState, known: Known, catalog: CatalogView, now: datetime) -> Changes:
    """Begin to change a customer, under their limits with what those have counted."""
    rules = state.rules
    limits: tuple[Limit, ...] = ()
    if rules.limits or catalog.limits:
        limits = limits_for(rules.limits, catalog.limits, rules.metadata)
    limiting = Limiting(state.customer_id, limits, known.counters, now) if limits else None
    return Changes(state, limiting, known.tiers)


def _change_rules(state: CustomerState, command: RulesCommand) -> Decision:
    outcome = change_rules(state.rules, command)
    if isinstance(outcome, Problem):
        return Decision(state, outcome)
    rules, answer = outcome
    if rules == state.rules:
        return Decision(state, answer)
    return Decision(msgspec.structs.replace(state, rules=rules), answer, rules=rules)


def _at_the_gate(
    state: CustomerState,
    known: Known,
    command: GateCommand,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Gated | Problem:
    if isinstance(command, Authorize):
        changes = _changes(state, known, catalog, now)
        return authorize(changes, known.holds, command, catalog, now, ids)
    if isinstance(command, (Capture, UpdateHold)):
        prior = known.transactions.get(command.request.transaction_id)
        changes = _changes(state, known, catalog, now)
        if isinstance(command, Capture):
            return capture(changes, known.holds, prior, known.events, command, catalog, now, ids)
        return update(changes, known.holds, prior, known.events, command, catalog, now, ids)
    if isinstance(command, ExtendHold):
        return extend(state, known.holds, command, now)
    return void(state, known.holds, command, now)


def _subscribe(state: CustomerState, command: Subscribe) -> Decision:
    taken = {s.id for s in state.subscriptions}
    new = tuple({s.id: s for s in command.subscriptions if s.id not in taken}.values())
    if not new:
        return Decision(state, None)
    subscriptions = state.subscriptions + new
    after = msgspec.structs.replace(state, subscriptions=subscriptions)
    return Decision(after, None, subscriptions=new)


def _change_subscription(
    state: CustomerState, command: ChangeSubscription, now: datetime
) -> Decision:
    found = next((s for s in state.subscriptions if s.id == command.subscription_id), None)
    if found is None:
        detail = f"the customer has no subscription {command.subscription_id}"
        return Decision(state, Problem(NOT_FOUND, detail))
    stretches, bindings = found.stretches, found.bindings
    if command.is_active is False:
        stretches = _ended(stretches, now)
    elif command.is_active and found.status(now) == "inactive":
        stretches = (*stretches, Stretch(now))
    if command.product_id is not None:
        current = {b.product_id: b for b in found.current_bindings()}
        if command.product_id not in current:
            detail = f"subscription {found.id} has no product {command.product_id}"
            return Decision(state, Problem(NOT_FOUND, detail))
        if current[command.product_id].version != command.version:
            bindings = (*bindings, Binding(command.product_id, command.version, now))
    changed = Subscription(found.id, found.created_at, found.renews_at, bindings, stretches)
    if changed == found:
        return Decision(state, found)
    subscriptions = tuple(changed if s.id == found.id else s for s in state.subscriptions)
    after = msgspec.structs.replace(state, subscriptions=subscriptions)
    return Decision(after, changed, subscriptions=(changed,))


def _ended(stretches: tuple[Stretch, ...], now: datetime) -> tuple[Stretch, ...]:
    """Close what is open now and drop what has not begun."""
    kept = []
    for stretch in stretches:
        if stretch.from_at > now:
            continue
        is_open = stretch.to_at is None or stretch.to_at > now
        kept.append(Stretch(stretch.from_at, now) if is_open else stretch)
    return tuple(kept)


def _set_overdraft(state: CustomerState, command: SetOverdraft, now: datetime) -> Decision:
    if not 0 <= command.limit_units <= MAX_UNITS:
        return Decision(state, invalid("overdraft.limit", "must be 0 or more"))
    changes = Changes(state)
    before = changes.advanced(command.account_id, now)
    limit = command.limit_units if command.policy == "limit" else 0
    account = msgspec.structs.replace(
        before, overdraft_policy=command.policy, overdraft_limit_units=limit
    )
    changes.put(Movement(account))
    changes.changed_accounts[account.id] = account
    return _decision(changes, account)
