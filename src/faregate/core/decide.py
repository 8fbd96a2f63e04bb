"""Where a command meets a customer's state. `decide` is the whole ledger as one pure function:

    decide(state, known, command, catalog, now, ids) -> Decision(state, rows, answer)

It reads no clock and no database and changes nothing that it was given. Idempotency is decided
here: `known` holds what is already booked under the command's own keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs

from faregate.core.accounts import Movement
from faregate.core.amounts import MAX_UNITS
from faregate.core.asking import ask_cards, awaits, decide_collecting
from faregate.core.authorizing import authorize
from faregate.core.capturing import capture, extend, void
from faregate.core.collecting import (
    AwaitsTopUp,
    CollectingCommand,
    collected,
)
from faregate.core.customers import (
    Changes,
    CustomerState,
)
from faregate.core.decision import (
    CatchUp,
    Command,
    Decision,
    Known,
    SetLowBalance,
    SetOverdraft,
    decided,
    joined,
    with_rules,
)
from faregate.core.dunning import charged_by
from faregate.core.events import RecordEvents, decide_events
from faregate.core.gate import (
    Authorize,
    Capture,
    ExtendHold,
    GateCommand,
    Gated,
    UpdateHold,
)
from faregate.core.holds import Hold
from faregate.core.ids import IdSource
from faregate.core.limiting import Limiting
from faregate.core.limits import Limit, limits_for
from faregate.core.outcomes import (
    OutcomeSettled,
    SettleOutcome,
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
from faregate.core.problems import Problem, invalid
from faregate.core.renewing import catch_up
from faregate.core.rules import (
    RulesCommand,
    change_rules,
)
from faregate.core.sessions import update
from faregate.core.subscribing import (
    SubscriptionCommand,
    decide_subscription,
)
from faregate.core.subscriptions import CatalogView
from faregate.core.telling import has_news, with_news
from faregate.core.transactions import (
    Adjust,
    BookedTransaction,
    Charge,
    decide_transaction,
)


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
        decision = joined(decided(changes, None), decision)
    if _brings_credit(decision):
        decision = _with_credit(decision, catalog, now)
    if decision.state.rules.collecting:
        decision = ask_cards(decision, catalog, now, ids)
        if isinstance(decision.answer, AwaitsTopUp) and isinstance(command, Authorize):
            decision = _or_decline(decision, known, command, catalog, now, ids)
    if decision.state is state:
        return decision
    if is_credit_due or has_news(state, decision, catalog):
        return with_news(state, known, decision, catalog, now, is_credit_due=is_credit_due)
    return decision


def _knowing_ended(known: Known, holds: Mapping[str, Hold], command: Command) -> Known:
    """Return what is booked with the holds that have ended just now: the state has them no longer,
    and they were open when `known` was read."""
    found = {key: holds.get(hold.id, hold) for key, hold in known.holds.items()}
    if not isinstance(command, Authorize):
        found.update({name: hold for name, hold in holds.items() if hold.status != "authorized"})
    return structs.replace(known, holds=found)


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
    final = structs.replace(command, may_wait=False)
    return joined(decision, _decide(state, known, final, catalog, now, ids))


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
        return decided(changes, booked, events=new)
    if isinstance(command, GateCommand):
        gated = _at_the_gate(state, known, command, catalog, now, ids)
        if isinstance(gated, Problem):
            return Decision(state, gated)
        waits = awaits(state, command, gated)
        if waits is not None:
            return Decision(state, waits)
        if not (gated.changes.holds or gated.settled):
            return Decision(state, gated.answer)
        return decided(gated.changes, gated.answer, gated.events, gated.settled, gated.new_holds)
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
        return decided(changes, transaction, transaction=transaction)
    if isinstance(command, PaymentCommand):
        return _pay(state, known, command, catalog, now, ids)
    if isinstance(command, SettleOutcome):
        return _settle(state, known, command, catalog, now, ids)
    if isinstance(command, SubscriptionCommand):
        changes = Changes(state)
        changed = decide_subscription(changes, command, catalog, now, ids)
        if isinstance(changed, Problem) or not changes.subscriptions:
            return Decision(state, changed)
        return decided(changes, changed)
    if isinstance(command, CatchUp):
        changes = Changes(state)
        changes.advanced_accounts(now)
        is_same = not (changes.grants or changes.holds or changes.transfers)
        if is_same and not command.is_due:
            return Decision(state, None)
        return structs.replace(decided(changes, None), is_due_moved=command.is_due)
    if isinstance(command, CollectingCommand):
        return decide_collecting(state, command, catalog, now)
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
    decision = decided(paid.changes, paid.booked, transaction=paid.booked)
    notice = notice_of(state.customer_id, paid.booked, catalog.assets)
    if notice is not None:
        notices = [*decision.notices, notice]
        decision = structs.replace(decision, notices=notices)
    rules = paid.rules or state.rules
    if isinstance(paid.booked.request, PaymentCredit) and rules.collecting:
        after = collected(rules.collecting, paid.booked.request.payment_id)
        if after is not rules.collecting:
            rules = structs.replace(rules, collecting=dict(after))
    return decision if rules is state.rules else with_rules(decision, rules)


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
    decision = decided(changes, settled.answer, transaction=settled.booked)
    return structs.replace(
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
    after = joined(decision, decided(changes, None))
    return structs.replace(after, answer=decision.answer)


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
    return Decision(structs.replace(state, rules=rules), answer, rules=rules)


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
    account = structs.replace(before, overdraft_policy=command.policy, overdraft_limit_units=limit)
    changes.put(Movement(account))
    changes.changed_accounts[account.id] = account
    return decided(changes, account)


def _set_low_balance(state: CustomerState, command: SetLowBalance, now: datetime) -> Decision:
    if command.low_units is not None and not 0 <= command.low_units <= MAX_UNITS:
        return Decision(state, invalid("low_balance_threshold", "must be 0 or more"))
    changes = Changes(state)
    before = changes.advanced(command.account_id, now)
    if command.by == "customer":
        own = command.low_units or None
        watch = structs.replace(before.watch, own_units=own, is_own_low=False)
    else:
        watch = structs.replace(before.watch, low_units=command.low_units)
    account = structs.replace(before, watch=watch)
    changes.put(Movement(account))
    changes.changed_accounts[account.id] = account
    return decided(changes, account)
