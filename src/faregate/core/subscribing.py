"""Commands on subscriptions: subscribe, move to another version or to other seats, pause, resume,
cancel, reactivate, give and take discounts. What they do at once is done here; what they arrange
for later is what time brings (`renewing`).
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Final, Literal

import msgspec
from msgspec import structs

from faregate.core.accounts import BREAKAGE
from faregate.core.commitments import PlanCommitment
from faregate.core.customers import Changes
from faregate.core.cycles import (
    Line,
    commitment_lines,
    is_paid_ahead,
    lines_back,
    period_share,
    present,
    price_line,
    take_back,
    with_expiry,
    without_expiry,
)
from faregate.core.discounting import give_discount, take_discount, take_off
from faregate.core.dunning import Short, settled, tell, waiting
from faregate.core.ids import IdSource
from faregate.core.instants import is_in_range, out_of_range
from faregate.core.own_plans import refuse_own_plan
from faregate.core.periods import MEAN_DAYS
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.plans import PlanCredit, PlanPrice
from faregate.core.problems import (
    INSUFFICIENT_FUNDS,
    NOT_FOUND,
    Problem,
    conflict,
    invalid,
)
from faregate.core.renewing import (
    begin,
    catch_up,
    charge,
    closed,
    ended,
    renew,
    renewals_of,
    resumed,
    try_again,
    with_quantity,
)
from faregate.core.subscriptions import (
    Binding,
    ByCard,
    CatalogView,
    CompiledVersion,
    Stretch,
    Subscription,
    in_force,
)
from faregate.core.switching import Credits, Switch

NOT_NOW: Final = "is 'next_period', which is not now: leave it out, or send effective 'renewal'"
Effective = Literal["now", "renewal"]
Proration = Literal["prorate", "none", "next_period"]


class Subscribe(msgspec.Struct, frozen=True):
    """Give a customer subscriptions. One with an id that the customer has already is a repeat.
    `is_own` says that the customer takes them, who may have less than the account may give."""

    customer_id: str
    subscriptions: tuple[Subscription, ...]
    is_own: bool = False


class ChangeSubscription(msgspec.Struct, frozen=True):
    """Switch a subscription on or off, or move one of its products to another version (None: the
    default) or to other seats.

    `is_active` None leaves that as it is; `product_id` None leaves the products, `moves` False the
    version, `quantity` None the seats. Without `effective` what costs no less counts from now on,
    the rest from the next period. `proration` and `credits` say what becomes of the period under
    way (`next_period`: nothing, the change waits for it).
    """

    customer_id: str
    subscription_id: str
    is_active: bool | None = None
    product_id: str | None = None
    version: int | None = None
    moves: bool = True
    quantity: int | None = None
    effective: Effective | None = None
    proration: Proration | None = None
    credits: Credits | None = None


class PauseSubscription(msgspec.Struct, frozen=True):
    """Let a subscription rest from now on, until `resumes_at` or until somebody resumes it."""

    customer_id: str
    subscription_id: str
    resumes_at: datetime | None = None


class ResumeSubscription(msgspec.Struct, frozen=True):
    """Let a paused subscription go on."""

    customer_id: str
    subscription_id: str


class CancelSubscription(msgspec.Struct, frozen=True):
    """End a subscription with its period, or now: then `proration` `prorate` gives the rest of what
    was paid back, and `credits` `lapse` takes what is left of the included credit."""

    customer_id: str
    subscription_id: str
    at: Literal["period_end", "now"] = "period_end"
    proration: Literal["prorate", "none"] = "none"
    credits: Literal["keep", "lapse"] = "keep"


class ReplaceSubscription(msgspec.Struct, frozen=True):
    """End a subscription now and give the customer another one in its place: both, or neither. The
    rest of what was paid is given back where no credit was included in it, and what is left of
    credit that was included lapses: so nobody keeps both."""

    customer_id: str
    subscription_id: str
    made: Subscription


class ReactivateSubscription(msgspec.Struct, frozen=True):
    """Take a cancellation back, or let a subscription that has ended, or waits for somebody, begin
    again. `has_card` says that there is a way to pay now."""

    customer_id: str
    subscription_id: str
    has_card: bool = False


class GiveDiscount(msgspec.Struct, frozen=True):
    """Give a subscription the discount of a coupon, from now on. One that it has is a repeat."""

    customer_id: str
    subscription_id: str
    code: str


class TakeDiscount(msgspec.Struct, frozen=True):
    """Take a discount from a subscription, from now on."""

    customer_id: str
    subscription_id: str
    code: str


class ChangeCollection(msgspec.Struct, frozen=True):
    """Say whether the customer's saved card pays what the balance lacks for a subscription."""

    customer_id: str
    subscription_id: str
    is_by_card: bool


class CardSaved(msgspec.Struct, frozen=True):
    """Say that there is a card now, or another one: subscriptions that wait for one begin, and what
    a card could not pay is asked for again."""

    customer_id: str


SubscriptionCommand = (
    Subscribe
    | ChangeSubscription
    | PauseSubscription
    | ResumeSubscription
    | CancelSubscription
    | ReplaceSubscription
    | ReactivateSubscription
    | GiveDiscount
    | TakeDiscount
    | ChangeCollection
    | CardSaved
)


class SubscriptionsChanged(msgspec.Struct, frozen=True):
    """The answer: the subscriptions as they are then, and what was charged (or given back) at
    once. `effective_at` is when a move counts, `credits` what became of included credit."""

    subscriptions: tuple[Subscription, ...]
    fees: tuple[BookedPlanFee, ...] = ()
    effective_at: datetime | None = None
    credits: str | None = None

    @property
    def subscription(self) -> Subscription:
        """The one that was changed."""
        return self.subscriptions[0]


def decide_subscription(
    changes: Changes,
    command: SubscriptionCommand,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> SubscriptionsChanged | Problem:
    """Decide a command on subscriptions; changes nothing where it returns a problem."""
    if isinstance(command, Subscribe):
        return _subscribe(changes, command, catalog, now)
    if isinstance(command, CardSaved):
        return _card_saved(changes, catalog, now)
    found = next((s for s in changes.all_subscriptions() if s.id == command.subscription_id), None)
    if found is None:
        return Problem(NOT_FOUND, f"the customer has no subscription {command.subscription_id}")
    if isinstance(command, ChangeSubscription):
        outcome = _change(changes, found, command, catalog, now, ids)
    elif isinstance(command, PauseSubscription):
        outcome = _pause(changes, found, command, now)
    elif isinstance(command, ResumeSubscription):
        outcome = _resume(changes, found, now)
    elif isinstance(command, CancelSubscription):
        outcome = _cancel(changes, found, command, catalog, now, ids)
    elif isinstance(command, ReplaceSubscription):
        outcome = _replace(changes, found, command, catalog, now, ids)
    elif isinstance(command, GiveDiscount):
        outcome = give_discount(changes, found, command.code, catalog, now)
    elif isinstance(command, TakeDiscount):
        outcome = take_discount(changes, found, command.code)
    elif isinstance(command, ChangeCollection):
        outcome = _change_collection(changes, found, command, catalog, now)
    else:
        outcome = _reactivate(changes, found, catalog, now, has_card=command.has_card)
    if isinstance(outcome, Problem):
        return outcome
    if isinstance(outcome, Subscription):
        outcome = SubscriptionsChanged((outcome,))
    after = outcome.subscription
    if after != found:
        changes.subscriptions[after.id] = after
        # What it waited for may be there now, or be due no more.
        try_again(changes, catalog, after.id, now)
        # What the change has made due at this very instant belongs to it.
        catch_up(changes, catalog, now)
        after = changes.subscriptions[after.id]
    return structs.replace(outcome, subscriptions=(after,), fees=tuple(changes.plan_fees))


def _subscribe(
    changes: Changes, command: Subscribe, catalog: CatalogView, now: datetime
) -> SubscriptionsChanged | Problem:
    taken = {s.id for s in changes.state.subscriptions}
    new = {s.id: s for s in command.subscriptions if s.id not in taken}
    # Whoever asked looked at the catalog of a moment ago; this is the one that counts.
    for subscription in new.values():
        for binding in subscription.bindings:
            refusal = catalog.refuse_binding(binding.product_id, binding.version, now)
            if refusal is not None:
                return refusal
        if command.is_own:
            refusal = _refuse_own(changes, subscription, catalog, now)
            if refusal is not None:
                return refusal
    for subscription in new.values():
        terms = subscription.terms
        if terms.needs is None and not terms.has_card:
            subscription = structs.replace(
                subscription,
                terms=structs.replace(terms, needs="payment_method"),
                stretches=(),
            )
            tell(changes, "action_required", subscription, now)
        changes.subscriptions[subscription.id] = subscription
    catch_up(changes, catalog, now)
    everything = {s.id: s for s in changes.all_subscriptions()}
    asked = tuple([everything[s.id] for s in command.subscriptions])
    return SubscriptionsChanged(asked, tuple(changes.plan_fees))


def _refuse_own(
    changes: Changes, made: Subscription, catalog: CatalogView, now: datetime
) -> Problem | None:
    # Whoever sent it twice looked twice before there was one.
    known = tuple(changes.all_subscriptions())
    for binding in made.bindings:
        refusal = refuse_own_plan(known, catalog.products[binding.product_id], now)
        if refusal is not None:
            return refusal
    return None


def _card_saved(changes: Changes, catalog: CatalogView, now: datetime) -> SubscriptionsChanged:
    for subscription in changes.all_subscriptions():
        terms = subscription.terms
        if terms.needs == "payment_method":
            after = _reactivate(changes, subscription, catalog, now, has_card=True)
            if isinstance(after, Subscription):
                changes.subscriptions[subscription.id] = after
        elif terms.by_card is not None and terms.by_card.failures and terms.charge is None:
            changes.subscriptions[subscription.id] = settled(subscription)
            try_again(changes, catalog, subscription.id, now, asks=True)
    catch_up(changes, catalog, now)
    return SubscriptionsChanged(tuple(changes.subscriptions.values()), tuple(changes.plan_fees))


def _change_collection(
    changes: Changes,
    found: Subscription,
    command: ChangeCollection,
    catalog: CatalogView,
    now: datetime,
) -> Subscription:
    if command.is_by_card == found.terms.is_by_card:
        return found
    by_card = ByCard() if command.is_by_card else None
    charge = found.terms.charge
    if charge is not None:
        # It may have been made: until that is known no other one is asked for.
        by_card = ByCard(charge, is_ending=not command.is_by_card)
    after = structs.replace(found, terms=structs.replace(found.terms, by_card=by_card))
    changes.subscriptions[found.id] = after
    if command.is_by_card:
        try_again(changes, catalog, found.id, now, asks=True)
    return changes.subscriptions[found.id]


def _change(
    changes: Changes,
    found: Subscription,
    command: ChangeSubscription,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Subscription | SubscriptionsChanged | Problem:
    if command.is_active is False:
        if found.terms.paused_at is not None:
            return ended(_unpaused_credit(changes, found, now), now)
        return ended(found, now) if found.status(now) != "inactive" else found
    if command.is_active and found.status(now) == "inactive":
        return _reactivate(changes, found, catalog, now, has_card=found.terms.has_card)
    if command.product_id is None:
        return found
    return _move(changes, found, command, catalog, now, ids)


def _move(
    changes: Changes,
    found: Subscription,
    command: ChangeSubscription,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Subscription | SubscriptionsChanged | Problem:
    product_id = command.product_id or ""
    # What was arranged for later does not count any more: this is what counts.
    bindings = found.bindings
    if command.moves:
        kept = tuple([b for b in bindings if b.product_id != product_id or b.from_at <= now])
        bindings = kept or bindings
    if command.quantity is not None:
        waiting = {p: n for p, n in found.terms.next_quantities.items() if p != product_id}
        terms = structs.replace(found.terms, next_quantities=waiting)
        found = structs.replace(found, terms=terms)
    current = {b.product_id: b for b in in_force(bindings, now)}.get(product_id)
    if current is None:
        detail = f"subscription {found.id} has no product {product_id}"
        return Problem(NOT_FOUND, detail)
    number = command.version if command.moves else current.version
    if number != current.version:
        refusal = catalog.refuse_binding(product_id, number, now)
        if refusal is not None:
            return refusal
    version = catalog.version_at(product_id, number, now)
    before = catalog.version_at(product_id, current.version, now)
    quantities = found.terms.quantities
    seats = command.quantity
    if seats is not None and not any(p.seats is not None for p in version.plan_prices):
        return invalid(
            "quantity", f"has no use: {product_id} is not sold by the seat; leave it out"
        )
    if seats is not None:
        too_much = version.refuse_seats(seats)
        if too_much is not None:
            return invalid("quantity", too_much)
    if command.effective == "now" and command.proration == "next_period":
        return invalid("proration", NOT_NOW)
    if seats == quantities.get(product_id):
        seats = None
    stands_at = found.stands_at(now)
    effective_at = _effective_at(found, catalog, command, before, version, seats, stands_at)
    is_same = current.version == number
    if effective_at > stands_at:
        planned = bindings if is_same else (*bindings, Binding(product_id, number, effective_at))
        terms = found.terms
        if seats is not None:
            terms = structs.replace(
                terms, next_quantities={**terms.next_quantities, product_id: seats}
            )
        after = structs.replace(found, bindings=planned, terms=terms)
        return SubscriptionsChanged((after,), (), effective_at, None)
    after = found
    if not is_same:
        # In a pause nothing has a price, and what is planned after it began comes later.
        is_paused = found.terms.paused_at is not None
        bindings = (*bindings, Binding(product_id, number, stands_at if is_paused else now))
    after = structs.replace(after, bindings=bindings)
    if seats is not None:
        after = with_quantity(after, product_id, seats)
    if (
        not found.terms.is_begun
        or (found.status(now) != "active" and found.terms.paused_at is None)
        or (version is before and seats is None)
    ):
        return SubscriptionsChanged((after,), (), now, None)
    # Seats alone change nothing about the credit that is included.
    credits = command.credits or ("prorate" if version is not before else "keep")
    fee_id = ids.next("fee")
    switch = Switch(
        changes,
        catalog,
        after,
        version,
        product_id,
        stands_at,
        now,
        fee_id,
        prorates=command.proration != "none",
        credits=credits,
    )
    after, lines = take_off(changes, switch.run(), switch.lines, stands_at)
    short = charge(changes, catalog, after, lines, stands_at, now, fee_id)
    if short is None and after.terms.paused_at is not None:
        return SubscriptionsChanged((after,), (), now, credits)
    if short is None:
        # Periods of another length begin now, and so does one that was not paid yet.
        outcome = renew(changes, catalog, after, stands_at, now, moved=product_id)
        if isinstance(outcome, Subscription):
            return SubscriptionsChanged((outcome,), (), now, credits)
        short = outcome
    return _refused(short)


def _refused(short: Short) -> Problem:
    return Problem(INSUFFICIENT_FUNDS, short.detail)


def _effective_at(
    found: Subscription,
    catalog: CatalogView,
    command: ChangeSubscription,
    before: CompiledVersion,
    version: CompiledVersion,
    seats: int | None,
    now: datetime,
) -> datetime:
    """Return from when a move counts: a renewal of the product, or now where it has none. `now` is
    where its periods stand, and so is what is returned."""
    cycles = renewals_of(found, catalog, command.product_id or "")
    renewals = [c.to_at for c in cycles if c.to_at is not None]
    ends_at = found.stretches[-1].to_at if found.stretches else None
    if found.terms.paused_at is not None:
        ends_at = found.terms.ends_at
    if not renewals or ends_at is not None:
        return now
    next_at = min(renewals)
    if command.effective is not None:
        return now if command.effective == "now" else next_at
    if command.proration is not None:
        return next_at if command.proration == "next_period" else now
    had = found.terms.quantities.get(command.product_id or "")
    is_less = _worth(version, had if seats is None else seats) < _worth(before, had)
    return next_at if is_less else now


def _worth(version: CompiledVersion, seats: int | None) -> Fraction:
    """Return about what a version asks per day, to tell more from less (nothing is charged by
    it): only its first asset is looked at."""
    total = Fraction(0)
    for price in version.plan_prices:
        if price.interval is not None:
            amount = price.amounts[0]
            quantity = price.seats if seats is None else seats
            days = Fraction(str(MEAN_DAYS[price.interval])) * price.count
            total += amount.units(1 if quantity is None else quantity) / days
    return total


def _pause(
    changes: Changes, found: Subscription, command: PauseSubscription, now: datetime
) -> Subscription | Problem:
    resumes_at = command.resumes_at
    if resumes_at is not None and not is_in_range(resumes_at):
        return invalid("resumes_at", out_of_range(resumes_at))
    if resumes_at is not None and resumes_at <= now:
        return invalid("resumes_at", f"{resumes_at.isoformat()} is over: send a later instant")
    if found.terms.paused_at is not None:
        if resumes_at in (None, found.terms.resumes_at):
            return found
        detail = f"subscription {found.id} is paused already: resume it first"
        return conflict("resumes_at", detail)
    if found.status(now) != "active" or found.terms.overdue is not None:
        shown = f"is {found.status(now)}"
        if found.terms.overdue is not None:
            shown = "waits for a payment"
        remedy = "pay first" if found.terms.overdue is not None else "reactivate it first"
        detail = f"subscription {found.id} {shown}, and only an active one can pause: {remedy}"
        return conflict("subscription_id", detail)
    ends_at = found.stretches[-1].to_at
    return structs.replace(
        found,
        stretches=closed(found.stretches, now),
        terms=structs.replace(found.terms, paused_at=now, resumes_at=resumes_at, ends_at=ends_at),
        cycles=tuple([without_expiry(changes, found, cycle, now) for cycle in found.cycles]),
    )


def _unpaused_credit(changes: Changes, found: Subscription, now: datetime) -> Subscription:
    """Let credit that stands still in a pause expire again: the subscription is over."""
    later = now - found.stands_at(now)
    cycles = [with_expiry(changes, found, cycle, later, now) for cycle in found.cycles]
    return structs.replace(found, cycles=tuple(cycles))


def _resume(changes: Changes, found: Subscription, now: datetime) -> Subscription | Problem:
    if found.terms.paused_at is None:
        status = found.status(now)
        remedy = "reactivate it" if status == "inactive" else "there is nothing to resume"
        detail = f"subscription {found.id} is {status}, not paused: {remedy}"
        return conflict("subscription_id", detail)
    return resumed(changes, found, now)


def _cancel(
    changes: Changes,
    found: Subscription,
    command: CancelSubscription,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Subscription | SubscriptionsChanged | Problem:
    if found.status(now) == "inactive" and found.terms.paused_at is None:
        return found
    if command.at == "period_end" and found.status(now) == "active":
        ends = [c.to_at for c in found.cycles if c.next_at is not None and c.to_at is not None]
        if ends:
            for field, usual in (("proration", "none"), ("credits", "keep")):
                wanted = getattr(command, field)
                if wanted != usual:
                    shown = f"is {wanted!r}, which is for an end before that of the period"
                    return invalid(field, f"{shown}: send at 'now', or leave it out")
            ends_at = max(ends)
            last = structs.replace(found.stretches[-1], to_at=ends_at)
            after = structs.replace(found, stretches=(*found.stretches[:-1], last))
            return SubscriptionsChanged((after,), (), ends_at, None)
    stands_at = found.stands_at(now)
    lines = _last_lines(found, catalog, stands_at, gives_back=command.proration == "prorate")
    found, lines = take_off(changes, found, lines, stands_at)
    short = charge(changes, catalog, found, lines, stands_at, now, ids.next("fee"))
    if short is not None:
        return _refused(short)
    found = _unpaused_credit(changes, found, now)
    if command.credits == "lapse":
        for cycle in found.cycles:
            item = catalog.products[cycle.product_id].versions[cycle.version].item(cycle.item_id)
            if isinstance(item, PlanCredit):
                account = changes.advanced(cycle.account_id, now)
                grants = present(account, cycle)
                left = sum(grant.remaining_units for grant in grants)
                take_back(changes, cycle.account_id, grants, left, BREAKAGE, now)
    tell(changes, "deactivated", found, now)
    return SubscriptionsChanged((ended(found, now),), (), now, command.credits)


def _replace(
    changes: Changes,
    found: Subscription,
    command: ReplaceSubscription,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> SubscriptionsChanged | Problem:
    known = {s.id: s for s in changes.all_subscriptions()}
    if command.made.id in known:
        return SubscriptionsChanged((known[command.made.id],))
    if found.status(now) != "active" or found.terms.overdue is not None:
        detail = f"subscription {found.id} is not active and paid: only such a one is replaced"
        return conflict("subscription_id", detail)
    refusal = _refuse_own(changes, command.made, catalog, now)
    if refusal is not None:
        return refusal
    items = (
        catalog.products[c.product_id].versions[c.version].item(c.item_id) for c in found.cycles
    )
    includes_credit = any(isinstance(item, PlanCredit) for item in items)
    end = CancelSubscription(
        command.customer_id, found.id, "now", "none" if includes_credit else "prorate", "lapse"
    )
    outcome = _cancel(changes, found, end, catalog, now, ids)
    if isinstance(outcome, Problem):
        return outcome
    old = outcome.subscription if isinstance(outcome, SubscriptionsChanged) else outcome
    changes.subscriptions[old.id] = old
    begun = _subscribe(changes, Subscribe(command.customer_id, (command.made,)), catalog, now)
    if isinstance(begun, Problem):
        return begun
    if begun.subscription.terms.needs is not None:
        detail = "the balance does not cover what the new subscription asks first: top up first"
        return Problem(INSUFFICIENT_FUNDS, detail)
    return structs.replace(begun, effective_at=now)


def _last_lines(
    found: Subscription, catalog: CatalogView, now: datetime, *, gives_back: bool
) -> list[Line]:
    """Return what is charged, and given back, for the periods that end too early."""
    lines: list[Line] = []
    for cycle in found.cycles:
        item = catalog.products[cycle.product_id].versions[cycle.version].item(cycle.item_id)
        if isinstance(item, PlanCommitment):
            lines += commitment_lines(cycle, item, now)
        if not isinstance(item, PlanPrice) or cycle.from_at is None or cycle.to_at is None:
            continue
        if not is_paid_ahead(cycle, item):
            ends_at = min(now, cycle.to_at)
            units = period_share(cycle, cycle.from_at, ends_at)
            lines.append(price_line(cycle, item, units, cycle.from_at, ends_at))
        elif gives_back and now < cycle.to_at:
            lines += lines_back(cycle, item, now)
    return lines


def _reactivate(
    changes: Changes, found: Subscription, catalog: CatalogView, now: datetime, *, has_card: bool
) -> Subscription | Problem:
    status, terms = found.status(now), found.terms
    if terms.paused_at is not None:
        return resumed(
            changes, structs.replace(found, terms=structs.replace(terms, ends_at=None)), now
        )
    if status == "active" or terms.overdue is not None:
        # What is unpaid stays so: it is no way around it to end and to begin anew.
        last = found.stretches[-1]
        if last.to_at is None:
            return found
        return structs.replace(
            found, stretches=(*found.stretches[:-1], structs.replace(last, to_at=None))
        )
    if status == "scheduled":
        return found
    for binding in in_force(found.bindings, now) if status == "inactive" else ():
        # It counted as nobody's, so it may have been archived meanwhile.
        refusal = catalog.refuse_binding(binding.product_id, binding.version, now)
        if refusal is not None:
            return refusal
    if not (has_card or terms.has_card):
        detail = "somebody must say first how it is paid: send has_card when that is done"
        detail = f"subscription {found.id} waits for a payment method: {detail}"
        return conflict("has_card", detail)
    ready = structs.replace(
        found,
        cycles=tuple([c for c in found.cycles if c.next_at is None]),
        stretches=(*found.stretches, Stretch(now)),
        terms=structs.replace(terms, needs=None, is_begun=False, has_card=True, anchor_at=None),
    )
    outcome = begin(changes, catalog, ready, now)
    if isinstance(outcome, Short):
        return waiting(changes, catalog, ready, now, outcome)
    return outcome
