"""What discounts take off the lines of a bill, each as a line of its own below the one that it is
taken off, so that a bill shows what was asked, what was taken off, and what is left; and who has
which discount for how long.

A price that is charged in advance is judged by when it is charged; one in arrears belongs to the
time that is over.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from faregate.core.customers import Changes
from faregate.core.cycles import Line
from faregate.core.discounts import (
    MAX_DISCOUNTS,
    Discount,
    amount_back,
    amount_off,
    in_order,
    new_discount,
    percent_off,
)
from faregate.core.periods import MEAN_DAYS, Cadence
from faregate.core.plans import PlanPrice, cadence_of
from faregate.core.problems import NOT_FOUND, Problem, conflict
from faregate.core.subscriptions import CatalogView, Cycle, Subscription

_MICROSECOND: Final = timedelta(microseconds=1)
_REMEMBERED: Final = timedelta(days=35)
"""How long a discount that is over is remembered."""


def carry_name(subscription_id: str, code: str) -> str:
    """Return the name under which a customer's carries have what a percentage has come to."""
    return f"{subscription_id}:{code}"


def with_periods(subscription: Subscription, catalog: CatalogView, at: datetime) -> Subscription:
    """Return a subscription that has begun, of whose discounts it is settled when they end."""
    discounts = subscription.terms.discounts
    if all(discount.cadence is not None for discount in discounts):
        return subscription
    known = tuple(
        [d if d.cadence is not None else settled(d, subscription, catalog, at) for d in discounts]
    )
    return structs.replace(subscription, terms=structs.replace(subscription.terms, discounts=known))


def settled(
    discount: Discount, subscription: Subscription, catalog: CatalogView, at: datetime
) -> Discount:
    """Settle when a discount's periods begin, and when the last of them ends. They are those of
    the recurring price that comes most often, else months from now. Inside a period the rest of
    it comes before the first one; before the first one is paid, so does the trial."""
    terms = subscription.terms
    found: tuple[float, Cadence, Cycle] | None = None
    for cycle in subscription.cycles:
        item = catalog.products[cycle.product_id].versions[cycle.version].item(cycle.item_id)
        if isinstance(item, PlanPrice) and item.interval is not None and cycle.next_at is not None:
            days = MEAN_DAYS[item.interval] * item.count
            if found is None or days < found[0]:
                found = (days, cadence_of(item, cycle.anchor_at, terms.timezone), cycle)
    cadence, first = Cadence("month", at, 1, terms.timezone), 0
    if found is not None:
        _, cadence, cycle = found
        if terms.trial_ends_at is None or at >= terms.trial_ends_at:
            first = cadence.number_at(at)
            if cycle.from_at is not None:
                first += 1
    periods = discount.coupon.periods
    ends_at = None if periods is None else cadence.begins_at(first + periods)
    return structs.replace(discount, cadence=cadence, ends_at=ends_at)


def take_off(
    changes: Changes, subscription: Subscription, lines: list[Line], at: datetime
) -> tuple[Subscription, list[Line]]:
    """Take a subscription's discounts off the lines that are due at `at`. Returns it with what they
    have come to, and the lines with theirs."""
    if not subscription.terms.discounts or not lines:
        return subscription, lines
    discounts = {discount.code: discount for discount in subscription.terms.discounts}
    below: dict[int, list[Line]] = {}
    cycles = list(subscription.cycles)
    numbered = sorted(enumerate(lines), key=lambda found: _belongs_at(found[1], at))
    for number, entry in numbered:
        line, belongs_at = entry.line, _belongs_at(entry, at)
        if line.coupon is not None:
            discount = discounts.get(line.coupon)
            if discount is not None:
                discounts[line.coupon] = amount_back(discount, line.units, belongs_at)
            continue
        if not entry.is_discountable or line.units <= 0:
            continue
        asset = entry.asset.code
        left, taken = line.units, []
        for discount in in_order(tuple(discounts.values())):
            if not (discount.counts_at(belongs_at) and discount.counts_for(line.product_id, asset)):
                continue
            if discount.coupon.percent:
                key = (carry_name(subscription.id, discount.code), asset)
                off, total = percent_off(changes.carry(key), left, discount.coupon.percent)
                changes.carries[key] = total
            else:
                discounts[discount.code], off = amount_off(discount, left, belongs_at)
            if off:
                left -= off
                taken.append((discount.code, off))
        below[number] = [
            structs.replace(entry, line=structs.replace(line, units=-off, coupon=code))
            for code, off in taken
        ]
        cycles = [_with_off(cycle, entry, tuple(taken)) for cycle in cycles]
    after = structs.replace(
        subscription,
        cycles=tuple(cycles),
        terms=structs.replace(subscription.terms, discounts=tuple(discounts.values())),
    )
    shown = [line for number, entry in enumerate(lines) for line in (entry, *below.get(number, ()))]
    return after, shown


def _belongs_at(entry: Line, at: datetime) -> datetime:
    """Return the instant by which a line is judged: just before the end of what is over."""
    to_at = entry.line.to_at
    return at if to_at is None or to_at > at else to_at - _MICROSECOND


def _with_off(cycle: Cycle, entry: Line, taken: tuple[tuple[str, int], ...]) -> Cycle:
    """Note on the cycle whose period a line charges in advance what was taken off that."""
    line = entry.line
    period = (line.product_id, line.price_id, line.from_at, line.to_at)
    if (cycle.product_id, cycle.item_id, cycle.from_at, cycle.to_at) != period or not taken:
        return cycle
    return structs.replace(cycle, off=taken)


def give_discount(
    changes: Changes, found: Subscription, code: str, catalog: CatalogView, now: datetime
) -> Subscription | Problem:
    """Return a subscription with the discount of a coupon; one that it has already is a repeat."""
    discounts = found.terms.discounts
    for discount in discounts:
        if discount.code != code:
            continue
        if discount.ends_at is None or now < discount.ends_at:
            return found
        until = discount.ends_at.isoformat()
        detail = f"subscription {found.id} had coupon {code!r} until {until}: use another one"
        return conflict("coupon", detail)
    if found.status(now) == "inactive" and found.terms.paused_at is None:
        detail = f"subscription {found.id} is over: reactivate it first"
        return conflict("subscription_id", detail)
    # Those that are over stay for a while: uses are reported late.
    kept = [d for d in discounts if d.ends_at is None or now < d.ends_at + _REMEMBERED]
    if len(kept) >= MAX_DISCOUNTS:
        detail = f"subscription {found.id} has {MAX_DISCOUNTS} discounts: take one first"
        return conflict("subscription_id", detail)
    products = {binding.product_id for binding in found.bindings}
    given = new_discount(catalog.coupons.get(code), code, products, now, now)
    if isinstance(given, Problem):
        return given
    if found.terms.is_begun:
        given = settled(given, found, catalog, now)
    _forget(changes, found.id, code)
    number = found.terms.numbered + 1
    given = structs.replace(given, number=number)
    terms = structs.replace(found.terms, discounts=(*kept, given), numbered=number)
    return structs.replace(found, terms=terms)


def take_discount(changes: Changes, found: Subscription, code: str) -> Subscription | Problem:
    """Return a subscription without a discount, of which nothing is remembered."""
    kept = tuple([d for d in found.terms.discounts if d.code != code])
    if len(kept) == len(found.terms.discounts):
        return Problem(NOT_FOUND, f"subscription {found.id} has no discount {code[:100]!r}")
    _forget(changes, found.id, code)
    return structs.replace(found, terms=structs.replace(found.terms, discounts=kept))


def _forget(changes: Changes, subscription_id: str, code: str) -> None:
    """Forget what a percentage has come to."""
    name = carry_name(subscription_id, code)
    for key in changes.state.carries:
        if key[0] == name:
            changes.carries[key] = 0
