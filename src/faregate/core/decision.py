"""What is decided of a command, as a value: the customer's new state, the rows to write, and the
answer; and what a decision is made of. How one is reached is in `decide`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import structs

from faregate.core.accounts import Account, OverdraftPolicy, Transfer
from faregate.core.collecting import (
    AwaitsTopUp,
    Collecting,
    CollectingCommand,
    Collection,
    InFlight,
)
from faregate.core.customers import (
    NO_TIER_COUNTS,
    CarryKey,
    Changes,
    CustomerState,
    TierRowKey,
    first_due,
)
from faregate.core.events import BookedEvent, EventsBooked, Fee, RecordEvents
from faregate.core.gate import (
    GateCommand,
    HoldAnswer,
    SettledHold,
)
from faregate.core.grants import Grant
from faregate.core.holds import CounterKey, Hold
from faregate.core.limiting import Notice
from faregate.core.limits import Counter, Counters, SetBy
from faregate.core.outcomes import (
    NO_STANDING,
    EventOutcome,
    OutcomeSettled,
    SettledOutcome,
    SettleOutcome,
    Standing,
)
from faregate.core.payments import (
    BookedPayment,
    PaymentCommand,
)
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.problems import Problem
from faregate.core.rules import (
    CustomerRules,
    RulesAnswer,
    RulesCommand,
)
from faregate.core.subscribing import (
    SubscriptionCommand,
    SubscriptionsChanged,
)
from faregate.core.subscriptions import Subscription
from faregate.core.tiers import Counted, TierCounts, TierKey
from faregate.core.transactions import (
    Adjust,
    BookedTransaction,
    Charge,
)


class CatchUp(msgspec.Struct, frozen=True):
    """Let everything happen to a customer that is due; other commands do so on their way. `is_due`
    says that there is a note that something is, which must be moved on in any case."""

    customer_id: str
    is_due: bool = False


class SetLowBalance(msgspec.Struct, frozen=True):
    """Say below how many units (> 0) an account is low; 0: never, None: as its asset says. `by` the
    customer it is said for themselves, beside what the seller says; None: never."""

    customer_id: str
    account_id: str
    low_units: int | None
    by: SetBy = "seller"


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


def joined(first: Decision, second: Decision) -> Decision:
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


def decided(
    changes: Changes,
    answer: Answer,
    events: list[BookedEvent] | None = None,
    transaction: Transaction | None = None,
    new_holds: frozenset[str] = frozenset(),
) -> Decision:
    """Make the decision that what a command has changed comes to."""
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


def with_rules(decision: Decision, rules: CustomerRules) -> Decision:
    """Return a decision that changes the customer's rules too."""
    state = decision.state
    due_at = first_due(state.subscriptions, rules)
    after = structs.replace(state, rules=rules, due_at=due_at)
    return structs.replace(decision, state=after, rules=rules)
