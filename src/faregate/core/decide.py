"""Where a command meets a customer's state. `decide` is the whole ledger as one pure function:

    decide(state, known, command, catalog, now, ids) -> Decision(state, rows, answer)

It reads no clock and no database and changes nothing that it was given. Idempotency is decided
here: `known` holds what is already booked under the command's own keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from faregate.core.accounts import BREAKAGE, Account, Movement, OverdraftPolicy, Transfer
from faregate.core.amounts import MAX_UNITS
from faregate.core.authorizing import authorize
from faregate.core.capturing import capture, extend, void
from faregate.core.collecting import (
    AwaitsTopUp,
    BeginCollection,
    Collecting,
    CollectingCommand,
    CollectingNotice,
    Collection,
    InFlight,
    SetAutoTopUp,
    Told,
    change_collecting,
    collect,
    collected,
)
from faregate.core.customers import (
    NO_TIER_COUNTS,
    CarryKey,
    Changes,
    CustomerState,
    TierRowKey,
    first_due,
    first_of,
)
from faregate.core.dunning import charged_by, decide_charge
from faregate.core.events import BookedEvent, EventsBooked, Fee, RecordEvents, decide_events
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
from faregate.core.outcomes import (
    NO_STANDING,
    EventOutcome,
    OutcomeSettled,
    SettledOutcome,
    SettleOutcome,
    Standing,
    settle_outcome,
)
from faregate.core.payments import (
    BookedPayment,
    PaymentCommand,
    PaymentCredit,
    check_transaction_id,
    decide_payment,
    notice_of,
    seeing_expired,
)
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.problems import Problem, invalid
from faregate.core.renewing import catch_up, try_again
from faregate.core.rules import (
    CustomerRules,
    RulesAnswer,
    RulesCommand,
    change_rules,
)
from faregate.core.sessions import update
from faregate.core.subscribing import (
    SubscriptionCommand,
    SubscriptionsChanged,
    decide_subscription,
)
from faregate.core.subscriptions import CatalogView, Subscription
from faregate.core.telling import Telling, credit_due_at, has_new_level
from faregate.core.tiers import Counted, TierCounts, TierKey
from faregate.core.timeline import advance
from faregate.core.transactions import (
    Adjust,
    BookedTransaction,
    Charge,
    decide_transaction,
)


class CatchUp(msgspec.Struct, frozen=True):
    """Let everything happen to a customer that is due; other commands do so on their way. `is_due`
    says that there is a note that something is, which must be moved on in any case."""

    customer_id: str
    is_due: bool = False


class SetLowBalance(msgspec.Struct, frozen=True):
    """Say below how many units (> 0) an account is low; 0: never, None: as its asset says."""

    customer_id: str
    account_id: str
    low_units: int | None


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
    | PaymentCommand
    | SettleOutcome
    | SubscriptionCommand
    | CatchUp
    | SetOverdraft
    | SetLowBalance
    | RulesCommand
    | CollectingCommand
)
Answer = (
    EventsBooked
    | HoldAnswer
    | BookedTransaction
    | BookedPayment
    | OutcomeSettled
    | SubscriptionsChanged
    | Account
    | RulesAnswer
    | Collecting
    | InFlight
    | AwaitsTopUp
    | None
)
Transaction = BookedTransaction | BookedPayment | SettledHold | BookedPlanFee | SettledOutcome


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is booked already under the keys that a command carries. Holds are those that no longer
    count as open, by their id; for `Authorize` all, by their transaction id. `counters` has what
    the customer's limits have counted, `tiers` what the tiers of prices have: they are asked for
    what the command touches, and no more. `standing` is of the event that the command settles."""

    events: Mapping[str, BookedEvent] = {}
    transactions: Mapping[str, Transaction] = {}
    holds: Mapping[str, Hold] = {}
    counters: Counters = {}
    tiers: TierCounts = NO_TIER_COUNTS
    standing: Standing = NO_STANDING


NOTHING_KNOWN = Known()


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a command does: the customer's new state, the rows to write, and the answer. `outcomes`
    has where events stand now, by their ids, `fees` what they were charged by that; `made` has the
    new grants as they were granted. `is_due_moved`: something is due at another time than before.
    `collections` are asked of the customer's card.

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
    subscriptions: Mapping[str, Subscription] = {}
    holds: Mapping[str, Hold] = {}
    revived: frozenset[str] = frozenset()
    new_holds: frozenset[str] = frozenset()
    counters: Mapping[CounterKey, Counter] = {}
    notices: list[Notice] = []
    rules: CustomerRules | None = None
    tiers: Mapping[TierKey, Counted] = {}
    tier_changes: Mapping[TierRowKey, int] = {}
    plan_fees: list[BookedPlanFee] = []
    outcomes: Mapping[str, EventOutcome] = {}
    fees: list[tuple[str, Fee]] = []
    made: list[tuple[str, Grant]] = []
    is_due_moved: bool = False
    collections: list[Collection] = []


def decide(
    state: CustomerState,
    known: Known,
    command: Command,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Decision:
    """Decide one command on one customer's state, as of `now` (never earlier than before)."""
    due_at, expires_at = state.due_at, state.credit_due_at
    is_credit_due = expires_at is not None and expires_at <= now
    if not is_credit_due and (due_at is None or now < due_at):
        decision = _decide(state, known, command, catalog, now, ids)
    else:
        # What time has brought comes first, and stands whatever becomes of the command.
        changes = Changes(state)
        catch_up(changes, catalog, now)
        if is_credit_due:
            changes.advanced_accounts(now)
        if isinstance(command, PaymentCommand):
            command = seeing_expired(command, changes.transfers)
        if changes.holds:
            known = _knowing_ended(known, changes.holds, command)
        decision = _decide(changes.new_state(), known, command, catalog, now, ids)
        decision = _after(_decision(changes, None), decision)
    if _brings_credit(decision):
        decision = _with_credit(decision, catalog, now)
    if decision.state.rules.collecting:
        decision = _collect(decision, catalog, now, ids)
        if isinstance(decision.answer, AwaitsTopUp) and isinstance(command, Authorize):
            decision = _or_decline(decision, known, command, catalog, now, ids)
    if decision.state is state:
        return decision
    if is_credit_due or _has_news(state, decision, catalog):
        return _told(state, known, decision, catalog, now, is_credit_due=is_credit_due)
    return decision


def _knowing_ended(known: Known, holds: Mapping[str, Hold], command: Command) -> Known:
    """Return what is booked with the holds that have ended just now: the state has them no longer,
    and they were open when `known` was read."""
    found = {key: holds.get(hold.id, hold) for key, hold in known.holds.items()}
    if not isinstance(command, Authorize):
        found.update({name: hold for name, hold in holds.items() if hold.status != "authorized"})
    return msgspec.structs.replace(known, holds=found)


def _has_news(before: CustomerState, decision: Decision, catalog: CatalogView) -> bool:
    """Tell whether there may be anything to tell. This runs for every charge, nearly always in
    vain. (Credit breaks when it is due, with a subscription, or out of a hold.)"""
    if decision.made or decision.revived or decision.subscriptions or decision.outcomes:
        return True
    for booked in decision.events:
        if booked.event.costs:
            return True
    if decision.holds:
        for hold in decision.holds.values():
            if hold.status == "expired":
                return True
        for transfer in decision.transfers:
            if transfer.to_account == BREAKAGE:
                return True
    return has_new_level(before.accounts, decision.state.accounts, catalog.low_units)


def _told(
    before: CustomerState,
    known: Known,
    decision: Decision,
    catalog: CatalogView,
    now: datetime,
    *,
    is_credit_due: bool,
) -> Decision:
    """Add to a decision what others are told of it, and when grants bring something next."""
    state, rules = decision.state, decision.rules
    telling = Telling(before, catalog, now)
    if decision.transfers:
        telling.broken(decision.transfers, decision.grants, decision.holds)
    if decision.holds:
        telling.expired(decision.holds.values())
    if decision.made:
        telling.made(decision.made)
    if is_credit_due:
        telling.expiring(state.accounts.values())
    telling.levels(state.accounts)
    if _tells_margin(telling, decision, known, now):
        rules = msgspec.structs.replace(state.rules, margin_told_on=now.date())
    due_at = state.credit_due_at
    if is_credit_due or decision.made or decision.revived:
        due_at = credit_due_at(state.accounts.values(), now, catalog.expiring_before)
        if not is_credit_due:
            # What is due has only come nearer: a row is written for nothing else.
            due_at = first_of(due_at, state.credit_due_at)
    is_moved = due_at != state.credit_due_at
    if not (telling.notices or telling.accounts or is_moved):
        return decision
    accounts = telling.accounts
    return msgspec.structs.replace(
        decision,
        state=msgspec.structs.replace(
            state,
            accounts={**state.accounts, **accounts} if accounts else state.accounts,
            rules=rules or state.rules,
            credit_due_at=due_at,
        ),
        accounts={**decision.accounts, **accounts} if accounts else decision.accounts,
        notices=decision.notices + telling.notices,
        rules=rules,
        is_due_moved=is_moved or decision.is_due_moved,
    )


def _tells_margin(telling: Telling, decision: Decision, known: Known, now: datetime) -> bool:
    """Tell the first event of the customer's day that costs more than it earns."""
    if not (decision.events or decision.outcomes):
        return False
    if decision.state.rules.margin_told_on == now.date():
        return False
    for booked in decision.events:
        event = booked.event
        # What is pending may still earn something.
        if event.costs and event.outcome is None and telling.margin(event, booked.result.fees):
            return True
    for event_id, outcome in decision.outcomes.items():
        fees = [charged.fee for charged in outcome.fees]
        if telling.margin(known.events[event_id].event, fees):
            return True
    return False


def _or_decline(
    decision: Decision,
    known: Known,
    command: Authorize,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Decision:
    """Decline a hold that would wait where nothing is to come: a bound was in the way."""
    state, answer = decision.state, decision.answer
    if isinstance(answer, AwaitsTopUp):
        collecting = state.rules.collecting[answer.account_id]
        if collecting.in_flight is not None:
            return decision
    final = msgspec.structs.replace(command, may_wait=False)
    return _after(decision, _decide(state, known, final, catalog, now, ids))


def _brings_credit(decision: Decision) -> bool:
    answer = decision.answer
    if decision.plan_fees and any(fee.units > 0 for fee in decision.plan_fees):
        # What one subscription gives back may pay another one.
        return True
    if type(answer) is BookedTransaction or type(answer) is BookedPayment:
        return answer.units > 0
    return type(answer) is OutcomeSettled and any(u < 0 for u in answer.net_units.values())


def _decide(
    state: CustomerState,
    known: Known,
    command: Command,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Decision:
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
        waits = _awaits(state, command, gated)
        if waits is not None:
            return Decision(state, waits)
        if not (gated.changes.holds or gated.settled):
            return Decision(state, gated.answer)
        return _decision(gated.changes, gated.answer, gated.events, gated.settled, gated.new_holds)
    if isinstance(command, (Adjust, Charge)):
        reserved = check_transaction_id(command.request.transaction_id)
        if reserved is not None:
            return Decision(state, reserved)
        outcome = decide_transaction(state, known.transactions, command, catalog, now, ids)
        if isinstance(outcome, Problem):
            return Decision(state, outcome)
        changes, transaction, is_new = outcome
        if not is_new:
            return Decision(state, transaction)
        return _decision(changes, transaction, transaction=transaction)
    if isinstance(command, PaymentCommand):
        return _pay(state, known, command, catalog, now, ids)
    if isinstance(command, SettleOutcome):
        return _settle(state, known, command, catalog, now, ids)
    if isinstance(command, SubscriptionCommand):
        changes = Changes(state)
        changed = decide_subscription(changes, command, catalog, now, ids)
        if isinstance(changed, Problem) or not changes.subscriptions:
            return Decision(state, changed)
        return _decision(changes, changed)
    if isinstance(command, CatchUp):
        changes = Changes(state)
        changes.advanced_accounts(now)
        is_same = not (changes.grants or changes.holds or changes.transfers)
        if is_same and not command.is_due:
            return Decision(state, None)
        return msgspec.structs.replace(_decision(changes, None), is_due_moved=command.is_due)
    if isinstance(command, CollectingCommand):
        return _change_collecting(state, command, catalog, now)
    if isinstance(command, SetOverdraft):
        return _set_overdraft(state, command, now)
    if isinstance(command, SetLowBalance):
        return _set_low_balance(state, command, now)
    return _change_rules(state, command)


def _pay(
    state: CustomerState,
    known: Known,
    command: PaymentCommand,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Decision:
    blocks = catalog.payments.blocks_on_dispute
    paid = decide_payment(state, known.transactions, command, now, ids, blocks_on_dispute=blocks)
    if isinstance(paid, Problem):
        return Decision(state, paid)
    if not paid.is_new:
        return Decision(state, paid.booked)
    decision = _decision(paid.changes, paid.booked, transaction=paid.booked)
    notice = notice_of(state.customer_id, paid.booked, catalog.assets)
    if notice is not None:
        notices = [*decision.notices, notice]
        decision = msgspec.structs.replace(decision, notices=notices)
    rules = paid.rules or state.rules
    if isinstance(paid.booked.request, PaymentCredit) and rules.collecting:
        after = collected(rules.collecting, paid.booked.request.payment_id)
        if after is not rules.collecting:
            rules = msgspec.structs.replace(rules, collecting=dict(after))
    return decision if rules is state.rules else _with_rules(decision, rules)


def _with_rules(decision: Decision, rules: CustomerRules) -> Decision:
    state = decision.state
    due_at = first_due(state.subscriptions, rules)
    after = msgspec.structs.replace(state, rules=rules, due_at=due_at)
    return msgspec.structs.replace(decision, state=after, rules=rules)


def _collect(decision: Decision, catalog: CatalogView, now: datetime, ids: IdSource) -> Decision:
    """Ask the customer's card for what accounts lack after a command, whatever became of it."""
    state = decision.state

    def available_units(identifier: str) -> int:
        account = state.account(identifier)
        if account.next_change_at is not None and account.next_change_at <= now:
            account = advance(account, now).account
        return account.available_units

    rules = state.rules
    answer = decision.answer
    needed = answer.account_id if isinstance(answer, AwaitsTopUp) else None
    after, asked, told = collect(
        rules.collecting, available_units, now, catalog.timezone, ids, needed
    )
    if after is rules.collecting:
        return decision
    rules = msgspec.structs.replace(rules, collecting=dict(after))
    decision = msgspec.structs.replace(
        decision,
        collections=decision.collections + asked,
        notices=decision.notices + _tell(state.customer_id, told, now),
    )
    return _with_rules(decision, rules)


def _awaits(state: CustomerState, command: GateCommand, gated: Gated) -> AwaitsTopUp | None:
    """Tell whether a hold that is about to be declined waits for its account's auto top-up."""
    if not (isinstance(command, Authorize) and command.may_wait and state.rules.collecting):
        return None
    for hold in gated.changes.holds.values():
        decline = hold.decline
        # What a parent hold lacks no payment brings.
        if decline is not None and decline.top_up_units is not None:
            collecting = state.rules.collecting.get(hold.account_id)
            if collecting is not None and collecting.is_on:
                return AwaitsTopUp(hold.account_id)
    return None


def _tell(customer_id: str, told: list[Told], now: datetime) -> list[Notice]:
    return [
        Notice(
            f"auto_top_up.{one.topic}",
            CollectingNotice(customer_id, one.account_id, now, one.reason, one.failures),
        )
        for one in told
    ]


def _change_collecting(
    state: CustomerState, command: CollectingCommand, catalog: CatalogView, now: datetime
) -> Decision:
    if not isinstance(command, SetAutoTopUp):
        charged = charged_by(state.subscriptions, command.payment_id)
        if charged is not None:
            changes = Changes(state)
            if isinstance(command, BeginCollection):
                # What it waits for may be there by now, without anything that was credited.
                try_again(changes, catalog, charged.id, now)
                charged = changes.subscriptions.get(charged.id, charged)
            in_flight = decide_charge(changes, charged, command, now)
            if not changes.subscriptions:
                return Decision(state, in_flight)
            catch_up(changes, catalog, now)
            return _decision(changes, in_flight)
    before = state.rules.collecting
    after, answer, told = change_collecting(before, command, now)
    if after is before:
        return Decision(state, answer)
    rules = msgspec.structs.replace(state.rules, collecting=dict(after))
    decision = Decision(state, answer, notices=_tell(state.customer_id, told, now))
    return _with_rules(decision, rules)


def _settle(
    state: CustomerState,
    known: Known,
    command: SettleOutcome,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Decision:
    reserved = check_transaction_id(command.request.transaction_id)
    if reserved is not None:
        return Decision(state, reserved)
    changes = _changes(state, known, catalog, now)
    prior = known.transactions.get(command.request.transaction_id)
    booked = known.events.get(command.event_id)
    settled = settle_outcome(changes, prior, booked, known.standing, command, catalog, now, ids)
    if isinstance(settled, Problem):
        return Decision(state, settled)
    if settled.booked is None or settled.outcome is None:
        return Decision(state, settled.answer)
    decision = _decision(changes, settled.answer, transaction=settled.booked)
    return msgspec.structs.replace(
        decision,
        outcomes={command.event_id: settled.outcome},
        fees=[(command.event_id, fee) for fee in settled.fees],
    )


def _with_credit(decision: Decision, catalog: CatalogView, now: datetime) -> Decision:
    """Let subscriptions go on that waited for credit, which has come."""
    subscriptions, answer = decision.state.subscriptions, decision.answer
    payment_id = None
    if type(answer) is BookedPayment and isinstance(answer.request, PaymentCredit):
        payment_id = answer.request.payment_id
    is_charged = charged_by(subscriptions, payment_id) is not None
    if not is_charged and all(
        s.terms.needs is None and s.terms.overdue is None for s in subscriptions
    ):
        return decision
    changes = Changes(decision.state)
    catch_up(changes, catalog, now, has_credit=True, payment_id=payment_id)
    if not changes.subscriptions:
        return decision
    joined = _after(decision, _decision(changes, None))
    return msgspec.structs.replace(joined, answer=decision.answer)


def _after(first: Decision, second: Decision) -> Decision:
    """Make one decision of two, the second of which was made on the first one's state."""
    return Decision(
        second.state,
        second.answer,
        first.transfers + second.transfers,
        {**first.grants, **second.grants},
        {**first.accounts, **second.accounts},
        {**first.carries, **second.carries},
        first.events + second.events,
        second.transaction or first.transaction,
        {**first.subscriptions, **second.subscriptions},
        {**first.holds, **second.holds},
        first.revived | second.revived,
        first.new_holds | second.new_holds,
        {**first.counters, **second.counters},
        first.notices + second.notices,
        second.rules or first.rules,
        {**first.tiers, **second.tiers},
        {**first.tier_changes, **second.tier_changes},
        first.plan_fees + second.plan_fees,
        {**first.outcomes, **second.outcomes},
        first.fees + second.fees,
        first.made + second.made,
        first.is_due_moved or second.is_due_moved,
        first.collections + second.collections,
    )


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
        changes.subscriptions,
        changes.holds,
        changes.revived,
        new_holds,
        {} if changes.limits is None else changes.limits.changed,
        changes.notices if changes.limits is None else changes.notices + changes.limits.notices,
        None,
        changes.tiers,
        changes.tier_changes,
        changes.plan_fees,
        made=changes.made,
        collections=changes.collections,
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
        reserved = check_transaction_id(command.request.transaction_id)
        if reserved is not None:
            return reserved
        prior = known.transactions.get(command.request.transaction_id)
        changes = _changes(state, known, catalog, now)
        if isinstance(command, Capture):
            return capture(changes, known.holds, prior, known.events, command, catalog, now, ids)
        return update(changes, known.holds, prior, known.events, command, catalog, now, ids)
    if isinstance(command, ExtendHold):
        return extend(state, known.holds, command, now)
    return void(state, known.holds, command, now)


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


def _set_low_balance(state: CustomerState, command: SetLowBalance, now: datetime) -> Decision:
    if command.low_units is not None and not 0 <= command.low_units <= MAX_UNITS:
        return Decision(state, invalid("low_balance_threshold", "must be 0 or more"))
    changes = Changes(state)
    before = changes.advanced(command.account_id, now)
    watch = msgspec.structs.replace(before.watch, low_units=command.low_units)
    account = msgspec.structs.replace(before, watch=watch)
    changes.put(Movement(account))
    changes.changed_accounts[account.id] = account
    return _decision(changes, account)
