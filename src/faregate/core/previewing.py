"""What a change of a subscription would cost, before anybody agrees to it. It is not worked out a
second time: the very command is decided, on the customer as they are, and nothing of it is kept.

Whoever lacks the credit for it wants to know the price all the more. So it is decided twice: as it
would be decided now, which says whether it would be refused, and for a customer who may owe any
amount, which says what it costs. From there, time is let pass until the next fixed fee.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import structs

from faregate.core.customers import CustomerState
from faregate.core.decide import decide
from faregate.core.decision import NOTHING_KNOWN, CatchUp
from faregate.core.ids import IdSource
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.problems import INSUFFICIENT_FUNDS, Problem
from faregate.core.subscribing import (
    ReplaceSubscription,
    SubscriptionCommand,
    SubscriptionsChanged,
)
from faregate.core.subscriptions import CatalogView, Subscription

MAX_TURNS: Final = 24
"""Periods that are looked at for the next fixed fee; some bring credit and ask nothing."""


class Preview(msgspec.Struct, frozen=True):
    """What a change would do. `fees` are due at once (units below 0 as in `BookedPlanFee`: what the
    customer pays; above: what they get back), `next_fees` come at `next_at` (None: never, or
    nobody can tell). `refusal` says why it could not be done now, for want of credit."""

    subscription: Subscription
    fees: tuple[BookedPlanFee, ...]
    effective_at: datetime | None
    credits: str | None
    next_at: datetime | None
    next_fees: tuple[BookedPlanFee, ...]
    refusal: Problem | None = None


def preview(
    state: CustomerState,
    command: SubscriptionCommand,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Preview | Problem:
    """Return what a command would do to one subscription as of `now`; or why it is refused, for
    another reason than that credit is lacking."""
    real = decide(state, NOTHING_KNOWN, command, catalog, now, ids)
    if isinstance(real.answer, Problem) and real.answer.kind is not INSUFFICIENT_FUNDS:
        return real.answer
    rules = structs.replace(catalog.renewals, may_overdraw=True)
    generous = structs.replace(catalog, renewals=rules)
    done = decide(_who_may_owe(state), NOTHING_KNOWN, command, generous, now, ids)
    if isinstance(done.answer, Problem):
        return done.answer
    if not isinstance(done.answer, SubscriptionsChanged):
        raise AssertionError("the answer to a change of subscriptions are subscriptions")
    after = done.answer.subscription
    mine = {after.id}
    if isinstance(command, ReplaceSubscription):
        mine.add(command.subscription_id)
    fees = _of(mine, done.answer.fees)
    next_at, next_fees = _next_fees(done.state, after.id, generous, now, ids)
    refusal = real.answer if isinstance(real.answer, Problem) else None
    shown = real.answer if isinstance(real.answer, SubscriptionsChanged) else done.answer
    return Preview(
        shown.subscription,
        fees,
        done.answer.effective_at,
        done.answer.credits,
        next_at,
        next_fees,
        refusal,
    )


def _who_may_owe(state: CustomerState) -> CustomerState:
    """Return a customer without bounds to what they may owe, and whom no card is asked for."""
    accounts = {
        name: structs.replace(account, overdraft_policy="allow", overdraft_limit_units=0)
        for name, account in state.accounts.items()
    }
    rules = structs.replace(state.rules, collecting={})
    return structs.replace(state, accounts=accounts, rules=rules)


def _next_fees(
    state: CustomerState, subscription_id: str, catalog: CatalogView, now: datetime, ids: IdSource
) -> tuple[datetime | None, tuple[BookedPlanFee, ...]]:
    """Let time pass until a subscription is charged next."""
    for _ in range(MAX_TURNS):
        found = next((s for s in state.subscriptions if s.id == subscription_id), None)
        due_at = None if found is None else state.due_at
        if due_at is None or due_at <= now:
            break
        now = due_at
        turned = decide(
            state, NOTHING_KNOWN, CatchUp(state.customer_id, is_due=True), catalog, now, ids
        )
        fees = _of({subscription_id}, tuple(turned.plan_fees))
        if fees:
            return now, fees
        state = turned.state
    return None, ()


def _of(mine: set[str], fees: tuple[BookedPlanFee, ...]) -> tuple[BookedPlanFee, ...]:
    return tuple([fee for fee in fees if fee.request.subscription_id in mine])
