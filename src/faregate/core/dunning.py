"""What becomes of a subscription that is not paid, and what it asks of its customer's card. One
that has not begun waits; a renewal is tried again by the account's rules, and in the end the
subscription is over.

Where it was agreed on (`ByCard`), what the balance lacks is asked of the saved card, in the commit
that finds it lacking: one charge in flight for each subscription. The credit that it brings pays
what is due in the commit that books it. If the charge fails, the renewal is tried again, and a
person is asked to do something: to pay themselves, or to leave another card.

What does not live here: what is due, and when (`renewing`); cards, and who charges them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import structs

from faregate.core.amounts import MAX_UNITS, power_of_ten, to_units
from faregate.core.assets import Asset
from faregate.core.collecting import (
    BeginCollection,
    CardNeed,
    Collection,
    CollectionFailed,
    InFlight,
)
from faregate.core.customers import Changes
from faregate.core.ids import derived_id
from faregate.core.instants import to_us
from faregate.core.limiting import Notice
from faregate.core.subscriptions import (
    ByCard,
    CardCharge,
    CatalogView,
    Overdue,
    Subscription,
)

CARD_DECIMALS: Final = 2
SWITCHED_OFF: Final = "It was switched off before the card was charged."


class SubscriptionNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a subscription."""

    customer_id: str
    subscription_id: str
    at: datetime
    detail: str | None = None


class Short(msgspec.Struct, frozen=True):
    """An account that cannot pay what is due: what is missing of `total_units`, in units, and that
    in words. Nothing is missing where the price itself is not known."""

    account_id: str
    units: int
    detail: str
    total_units: int = 0


def tell(
    changes: Changes, topic: str, subscription: Subscription, at: datetime, detail: str = ""
) -> None:
    """Note who is to be told that something has become of a subscription."""
    data = SubscriptionNotice(changes.state.customer_id, subscription.id, at, detail or None)
    changes.notices.append(Notice(f"subscription.{topic}", data))


def waiting(
    changes: Changes, catalog: CatalogView, subscription: Subscription, at: datetime, short: Short
) -> Subscription:
    """Return a subscription that cannot pay first what is due: it has not begun, and begins when
    credit comes."""
    stretches = tuple([s for s in subscription.stretches if s.from_at < at and s.to_at is not None])
    terms = structs.replace(subscription.terms, needs="payment")
    after = structs.replace(subscription, terms=terms, stretches=stretches)
    after = ask_card(changes, catalog, after, short, at)
    if after.terms.charge is None:
        tell(changes, "action_required", after, at, short.detail)
    return after


def put_off(
    changes: Changes,
    catalog: CatalogView,
    subscription: Subscription,
    since_at: datetime,
    at: datetime,
    short: Short,
) -> Subscription | None:
    """Return a subscription whose renewal, due since `since_at`, could not be paid at `at`, with
    when it is tried again; None: never."""
    rules = catalog.renewals
    ends_at = since_at + timedelta(hours=rules.grace_hours)
    before = subscription.terms.overdue
    tries = 1 if before is None else before.tries + 1
    if before is not None:
        ends_at = before.ends_at
    tries_at = [since_at + timedelta(hours=hours) for hours in rules.retry_hours]
    next_at = min([moment for moment in tries_at if moment > at], default=ends_at)
    overdue = Overdue(since_at, tries, min(next_at, ends_at), ends_at)
    terms = structs.replace(subscription.terms, overdue=overdue)
    after = ask_card(changes, catalog, structs.replace(subscription, terms=terms), short, at)
    if after.terms.charge is None and before is None:
        tell(changes, "payment_failed", after, since_at, short.detail)
        if rules.grace_hours == 0:
            return None
    return after


def ask_card(
    changes: Changes, catalog: CatalogView, subscription: Subscription, short: Short, at: datetime
) -> Subscription:
    """Ask the customer's card for what is missing, if that was agreed on. A card pays currencies
    only, and no fraction of what is paid in them: the rest of it is credit."""
    terms = subscription.terms
    by_card = terms.by_card
    asset = catalog.assets[short.account_id.rpartition(":")[2]]
    if by_card is None or by_card.charge is not None or short.units <= 0 or not asset.is_currency:
        return subscription
    missing = short.units + _claimed(changes, subscription, short.account_id)
    units = asked_units(catalog, asset, missing)
    if units > MAX_UNITS:
        return subscription
    turn = (str(to_us(at)), str(terms.turns), str(terms.charges))
    charge = CardCharge(
        derived_id("tup", at, "card", subscription.id, *turn),
        short.account_id,
        units,
        short.total_units - units,
        at,
    )
    changes.collections.append(
        Collection(charge.payment_id, charge.account_id, asset.code, units, at, subscription.id)
    )
    by_card = structs.replace(by_card, charge=charge)
    terms = structs.replace(terms, by_card=by_card, charges=terms.charges + 1)
    return structs.replace(subscription, terms=terms)


def asked_units(catalog: CatalogView, asset: Asset, missing: int) -> int:
    """Return what is asked of a customer who lacks something: no fraction of what can be paid, and
    no less than the account takes."""
    # Where there are three decimals, card networks take two.
    step = power_of_ten(asset.scale - min(asset.precision, CARD_DECIMALS))
    bounds = catalog.payments.top_ups.get(asset.code)
    if bounds is not None and bounds.minimum is not None:
        missing = max(missing, to_units(bounds.minimum, asset.scale))
    return max(1, -(-missing // step)) * step


def _claimed(changes: Changes, subscription: Subscription, account_id: str) -> int:
    """Return what of an account's balance other subscriptions count on, beside what their charges
    will bring; below 0, what their charges will pay of its debt."""
    charges = [
        other.terms.charge
        for other in changes.all_subscriptions()
        if other.id != subscription.id and is_unpaid(other)
    ]
    return sum(c.covered_units for c in charges if c is not None and c.account_id == account_id)


def _with_card(subscription: Subscription, by_card: ByCard) -> Subscription:
    is_over = by_card.is_ending and by_card.charge is None
    terms = structs.replace(subscription.terms, by_card=None if is_over else by_card)
    return structs.replace(subscription, terms=terms)


def is_unpaid(subscription: Subscription) -> bool:
    """Tell whether a subscription waits for money."""
    return subscription.terms.needs == "payment" or subscription.terms.overdue is not None


def required(subscription: Subscription) -> CardNeed | None:
    """Say what a person must do so that a subscription begins or goes on; None: nothing, or nothing
    as long as it is not known what becomes of its charge."""
    terms = subscription.terms
    if terms.needs != "payment" and terms.overdue is None:
        return terms.needs
    if terms.charge is not None:
        return "payment" if terms.needs is not None else None
    if terms.by_card is not None and terms.by_card.needs is not None:
        return terms.by_card.needs
    return "payment"


def charged_by(
    subscriptions: tuple[Subscription, ...], payment_id: str | None
) -> Subscription | None:
    """Return the subscription whose charge a payment is."""
    if payment_id is None:
        return None
    for subscription in subscriptions:
        charge = subscription.terms.charge
        if charge is not None and charge.payment_id == payment_id:
            return subscription
    return None


def paid_by_card(subscription: Subscription) -> Subscription:
    """Return a subscription whose charge has come in, or that was paid in another way: nobody has
    to do anything about its card."""
    by_card = subscription.terms.by_card or ByCard()
    return _with_card(subscription, ByCard(is_ending=by_card.is_ending))


def settled(subscription: Subscription) -> Subscription:
    """Return a subscription that was paid; a charge that is in flight stays so."""
    by_card = subscription.terms.by_card
    if by_card is None or not (by_card.failures or by_card.problem):
        return subscription
    return _with_card(subscription, ByCard(by_card.charge, is_ending=by_card.is_ending))


def decide_charge(
    changes: Changes,
    subscription: Subscription,
    command: BeginCollection | CollectionFailed,
    now: datetime,
) -> InFlight | None:
    """Say whether a subscription's charge may be made, or note that it has failed. What is due
    because of that is for the caller to bring about."""
    by_card = subscription.terms.by_card
    if by_card is None or by_card.charge is None:
        return None
    charge = by_card.charge
    if not is_unpaid(subscription):
        after = _with_card(subscription, structs.replace(by_card, charge=None))
    elif isinstance(command, CollectionFailed):
        after = _failed(changes, subscription, by_card, command.reason, command.needs, now)
    elif by_card.is_ending:
        after = _failed(changes, subscription, by_card, SWITCHED_OFF, "payment", now)
    else:
        return InFlight(charge.payment_id, charge.units, charge.asked_at)
    changes.subscriptions[subscription.id] = after
    return None


def _failed(
    changes: Changes,
    subscription: Subscription,
    by_card: ByCard,
    reason: str,
    needs: CardNeed,
    now: datetime,
) -> Subscription:
    is_first = by_card.failures == 0
    by_card = structs.replace(
        by_card, charge=None, failures=by_card.failures + 1, problem=reason, needs=needs
    )
    overdue = subscription.terms.overdue
    if overdue is not None:
        tell(changes, "payment_failed", subscription, now, reason)
        # It went on while its charge was in flight: what it missed is done now, and not before.
        overdue = structs.replace(
            overdue,
            next_try_at=max(overdue.next_try_at, now),
            ends_at=max(overdue.ends_at, now),
        )
    if is_first:
        tell(changes, "action_required", subscription, now, reason)
    terms = structs.replace(subscription.terms, overdue=overdue)
    return _with_card(structs.replace(subscription, terms=terms), by_card)
