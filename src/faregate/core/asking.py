"""Cards in decisions: after each command it is looked at what accounts lack that a saved card tops
up, what their cards have come to is booked, and a hold that would be declined may wait for it.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from faregate.core.collecting import (
    AwaitsTopUp,
    BeginCollection,
    CollectingCommand,
    CollectingNotice,
    SetAutoTopUp,
    Told,
    change_collecting,
    collect,
)
from faregate.core.customers import (
    Changes,
    CustomerState,
)
from faregate.core.decision import Decision, decided, with_rules
from faregate.core.dunning import charged_by, decide_charge
from faregate.core.gate import (
    Authorize,
    GateCommand,
    Gated,
)
from faregate.core.ids import IdSource
from faregate.core.limiting import Notice
from faregate.core.renewing import catch_up, try_again
from faregate.core.subscriptions import CatalogView
from faregate.core.timeline import advance


def ask_cards(decision: Decision, catalog: CatalogView, now: datetime, ids: IdSource) -> Decision:
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
    rules = structs.replace(rules, collecting=dict(after))
    decision = structs.replace(
        decision,
        collections=decision.collections + asked,
        notices=decision.notices + _tell(state.customer_id, told, now),
    )
    return with_rules(decision, rules)


def awaits(state: CustomerState, command: GateCommand, gated: Gated) -> AwaitsTopUp | None:
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


def decide_collecting(
    state: CustomerState, command: CollectingCommand, catalog: CatalogView, now: datetime
) -> Decision:
    """Decide a command on what saved cards are asked for."""
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
            return decided(changes, in_flight)
    before = state.rules.collecting
    after, answer, told = change_collecting(before, command, now)
    if after is before:
        return Decision(state, answer)
    rules = structs.replace(state.rules, collecting=dict(after))
    decision = Decision(state, answer, notices=_tell(state.customer_id, told, now))
    return with_rules(decision, rules)


def _tell(customer_id: str, told: list[Told], now: datetime) -> list[Notice]:
    return [
        Notice(
            f"auto_top_up.{one.topic}",
            CollectingNotice(customer_id, one.account_id, now, one.reason, one.failures),
        )
        for one in told
    ]
