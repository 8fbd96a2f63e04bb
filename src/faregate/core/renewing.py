"""What time brings to subscriptions: they begin, their periods follow one another, credit is
granted anew, fixed prices are charged. `catch_up` lets everything happen that is due, in the order
of its instants, and each thing once: what it did is written in the same commit as the state that
says so, so it does not matter how often, how late, or by whom it is called.

At one and the same instant credit of the old period expires first; then the new period's credit is
granted; then its price is charged; then whatever else happens at that instant. If the balance does
not cover the price, the period does not begin: its credit is not granted either.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from fractions import Fraction

from msgspec import structs

from faregate.core.accounts import REVENUE
from faregate.core.amounts import MAX_UNITS, plain, to_decimal
from faregate.core.commitments import PlanCommitment
from faregate.core.conversion import exact_units, funding_rate, no_rate, shown_rate
from faregate.core.customers import Changes, CustomerState
from faregate.core.cycles import (
    Line,
    new_cycles,
    turn_commitment,
    turn_credit,
    turn_price,
    with_expiry,
)
from faregate.core.discounting import take_off, with_periods
from faregate.core.discounts import put_off as put_off_discount
from faregate.core.dunning import (
    Short,
    ask_card,
    charged_by,
    paid_by_card,
    put_off,
    settled,
    tell,
    waiting,
)
from faregate.core.grants import DEFAULT_PRIORITY, Grant, GrantTerms, Purpose
from faregate.core.ids import derived_id
from faregate.core.instants import to_us
from faregate.core.plan_fees import BookedPlanFee, PlanFee
from faregate.core.plans import PlanCredit, PlanPrice
from faregate.core.problems import Problem
from faregate.core.subscriptions import (
    CatalogView,
    Cycle,
    Stretch,
    Subscription,
    in_force,
)
from faregate.core.switching import Switch
from faregate.core.wallet import credit, credit_line, debit


def catch_up(
    changes: Changes,
    catalog: CatalogView,
    now: datetime,
    *,
    has_credit: bool = False,
    payment_id: str | None = None,
) -> None:
    """Let everything happen to a customer's subscriptions that is due up to `now`. After credit has
    come (`has_credit`), what could not be paid is tried again: first of all that whose charge has
    brought it (`payment_id`)."""
    if has_credit:
        found = charged_by(changes.all_subscriptions(), payment_id)
        if found is not None:
            changes.subscriptions[found.id] = paid_by_card(found)
            try_again(changes, catalog, found.id, now, asks=True)
        for subscription in changes.all_subscriptions():
            try_again(changes, catalog, subscription.id, now)
    while True:
        due = [
            (s.due_at, s.id, s)
            for s in changes.all_subscriptions()
            if s.due_at is not None and s.due_at <= now
        ]
        if not due:
            return
        at, _, subscription = min(due, key=lambda found: found[:2])
        changes.subscriptions[subscription.id] = _advance(changes, catalog, subscription, at)


def try_again(
    changes: Changes,
    catalog: CatalogView,
    subscription_id: str,
    now: datetime,
    *,
    asks: bool = False,
) -> None:
    """Pay what a subscription waits for, if it can be paid now; if not, and it `asks`, its
    customer's card is asked for it."""
    subscription = next(s for s in changes.all_subscriptions() if s.id == subscription_id)
    terms = subscription.terms
    if terms.needs == "payment":
        after: Subscription | Short = begin(changes, catalog, subscription, now)
    elif terms.overdue is not None:
        after = renew(changes, catalog, subscription, terms.overdue.since_at, now)
    else:
        return
    if isinstance(after, Short):
        is_over = terms.overdue is not None and terms.overdue.ends_at <= now
        if not asks or is_over:
            return
        after = ask_card(changes, catalog, subscription, after, now)
    changes.subscriptions[subscription.id] = after


def _advance(
    changes: Changes, catalog: CatalogView, subscription: Subscription, at: datetime
) -> Subscription:
    """Let happen what is due at an instant; returns the subscription as it is then."""
    terms = subscription.terms
    if terms.paused_at is not None:
        return resumed(changes, subscription, at)
    if not terms.is_begun:
        started = begin(changes, catalog, subscription, at)
        if isinstance(started, Subscription):
            return started
        return waiting(changes, catalog, subscription, at, started)
    overdue = terms.overdue
    since_at = at if overdue is None else overdue.since_at
    if overdue is not None and at >= overdue.ends_at:
        return _given_up(changes, catalog, subscription, overdue.ends_at)
    renewed = renew(changes, catalog, subscription, since_at, at)
    if isinstance(renewed, Subscription):
        return renewed
    late = put_off(changes, catalog, subscription, since_at, at, renewed)
    return _given_up(changes, catalog, subscription, since_at) if late is None else late


def _given_up(
    changes: Changes, catalog: CatalogView, subscription: Subscription, at: datetime
) -> Subscription:
    """Return a subscription that ends because its renewal was not paid. What was had and is asked
    for afterwards is owed all the same, below zero if need be; what would have been asked ahead is
    not, and what was paid ahead for later than `at` is given back."""
    over = structs.replace(subscription, stretches=closed(subscription.stretches, at))
    outcome = renew(changes, catalog, over, at, at, unpaid="a renewal was not paid")
    if isinstance(outcome, Subscription):
        return outcome
    # What it comes to is not known: there is no rate.
    tell(changes, "deactivated", subscription, at, f"a renewal was not paid: {outcome.detail}")
    return ended(subscription, at)


def ended(subscription: Subscription, at: datetime) -> Subscription:
    """Return a subscription that is over from `at` on: nothing is due any more."""
    return structs.replace(
        subscription,
        stretches=closed(subscription.stretches, at),
        terms=structs.replace(
            subscription.terms,
            overdue=None,
            paused_at=None,
            resumes_at=None,
            ends_at=None,
            needs=None,
        ),
        # What was asked or given once does not come again.
        cycles=tuple([c for c in subscription.cycles if c.next_at is None]),
    )


def closed(stretches: tuple[Stretch, ...], at: datetime) -> tuple[Stretch, ...]:
    """Close what is open at an instant and drop what has not begun."""
    kept = []
    for stretch in stretches:
        if stretch.from_at > at:
            continue
        is_open = stretch.to_at is None or stretch.to_at > at
        kept.append(Stretch(stretch.from_at, at) if is_open else stretch)
    return tuple(kept)


def resumed(changes: Changes, subscription: Subscription, at: datetime) -> Subscription:
    """Return a paused subscription that goes on: what was left of its periods is left of them, and
    all that was arranged for later comes as much later."""
    terms = subscription.terms
    paused_at = terms.paused_at
    if paused_at is None:
        return subscription
    later = at - paused_at

    def moved(moment: datetime | None) -> datetime | None:
        return moment if moment is None or moment <= paused_at else moment + later

    cycles = []
    for cycle in subscription.cycles:
        cycle = with_expiry(changes, subscription, cycle, later, at)
        if cycle.next_at is None:
            cycles.append(cycle)
            continue
        to_at = None if cycle.to_at is None else cycle.to_at + later
        cycles.append(
            structs.replace(
                cycle,
                next_at=cycle.next_at + later,
                anchor_at=cycle.anchor_at + later if to_at is None else to_at,
                begins_at=None if cycle.begins_at is None else cycle.begins_at + later,
                from_at=None if cycle.from_at is None else cycle.from_at + later,
                to_at=to_at,
            )
        )
    return structs.replace(
        subscription,
        cycles=tuple(cycles),
        bindings=tuple(
            [structs.replace(b, from_at=moved(b.from_at)) for b in subscription.bindings]
        ),
        stretches=(*subscription.stretches, Stretch(at, moved(terms.ends_at))),
        terms=structs.replace(
            terms,
            paused_at=None,
            resumes_at=None,
            ends_at=None,
            trial_ends_at=moved(terms.trial_ends_at),
            discounts=tuple([put_off_discount(d, paused_at, later) for d in terms.discounts]),
        ),
    )


def lacking(
    state: CustomerState, catalog: CatalogView, subscription: Subscription, now: datetime
) -> Short | None:
    """Return what an account lacks now to pay what a subscription waits for; None: it waits for
    nothing, or nothing is missing."""
    changes = Changes(state)
    changes.subscriptions[subscription.id] = subscription
    terms = subscription.terms
    if terms.needs is not None:
        after = begin(changes, catalog, subscription, now)
    elif terms.overdue is not None:
        after = renew(changes, catalog, subscription, terms.overdue.since_at, now)
    else:
        return None
    return after if isinstance(after, Short) else None


def begin(
    changes: Changes, catalog: CatalogView, subscription: Subscription, at: datetime
) -> Subscription | Short:
    """Let a subscription begin at an instant: what its products ask first is charged, their first
    credit granted."""
    if subscription.terms.needs is not None:
        subscription = structs.replace(
            subscription,
            terms=structs.replace(subscription.terms, needs=None),
            stretches=(*subscription.stretches, Stretch(at)),
        )
    cycles = [c for c in subscription.cycles if c.next_at is None]
    for binding in in_force(subscription.bindings, at):
        version = catalog.version_at(binding.product_id, binding.version, at)
        product = catalog.products[binding.product_id]
        cycles += new_cycles(product, version, subscription, at, changes)
    begins = structs.replace(
        subscription,
        cycles=tuple(cycles),
        terms=structs.replace(subscription.terms, is_begun=True),
    )
    begins = with_periods(begins, catalog, at)
    outcome = renew(changes, catalog, begins, at, at)
    if isinstance(outcome, Short):
        return outcome
    tell(changes, "activated", outcome, at)
    return outcome


def renew(
    changes: Changes,
    catalog: CatalogView,
    subscription: Subscription,
    at: datetime,
    now: datetime,
    *,
    moved: str | None = None,
    unpaid: str = "",
) -> Subscription | Short:
    """Do what is due at `at`, paid at `now` (later, if it could not be paid before); `moved` is a
    product that has the version it shall have. If it cannot be paid, nothing is done, unless
    `unpaid` says why it ends all the same: then what is missing is owed."""
    before = changes.snapshot()
    stretches = subscription.stretches
    is_over = bool(stretches) and stretches[-1].to_at is not None and stretches[-1].to_at <= at
    cycles: list[Cycle] = []
    lines: list[Line] = []
    terms = subscription.terms
    subscription = structs.replace(
        subscription, terms=structs.replace(terms, turns=terms.turns + 1)
    )
    is_renewal = any(
        c.from_at is not None
        for c in subscription.cycles
        if c.next_at is not None and c.next_at <= at and not _is_credit(catalog, c)
    )
    if not is_over:
        subscription, lines = _on_newest(changes, catalog, subscription, at, now, moved)
    for cycle in subscription.cycles:
        if cycle.next_at is None or (cycle.next_at > at and not is_over):
            cycles.append(cycle)
            continue
        item = catalog.products[cycle.product_id].versions[cycle.version].item(cycle.item_id)
        if isinstance(item, PlanPrice):
            cycle, more = turn_price(cycle, item, subscription.terms, at, is_over=is_over)
            lines += more
        elif isinstance(item, PlanCredit):
            cycle = turn_credit(changes, subscription, cycle, item, at, now, is_over=is_over)
        elif isinstance(item, PlanCommitment):
            cycle, more = turn_commitment(cycle, item, subscription.terms, at, is_over=is_over)
            lines += more
        cycles.append(cycle)
    subscription = structs.replace(subscription, cycles=tuple(cycles))
    subscription, lines = take_off(changes, subscription, lines, at)
    short = charge(changes, catalog, subscription, lines, at, now, may_owe=bool(unpaid))
    if short is not None:
        changes.restore(before)
        return short
    after = settled(subscription)
    if after.terms.overdue is not None:
        after = structs.replace(after, terms=structs.replace(after.terms, overdue=None))
    if is_over:
        tell(changes, "deactivated", after, at, unpaid)
        return ended(after, at)
    if is_renewal:
        tell(changes, "renewed", after, at)
    return after


def _on_newest(
    changes: Changes,
    catalog: CatalogView,
    subscription: Subscription,
    at: datetime,
    now: datetime,
    moved: str | None,
) -> tuple[Subscription, list[Line]]:
    """Move the products whose renewal it is (`renewals_of`) to the version that is in force, and to
    the seats that count from now on; returns what that costs for what is in the middle of a
    period."""
    lines: list[Line] = []
    terms = subscription.terms
    bindings = {b.product_id: b for b in in_force(subscription.bindings, at)}
    for product_id in dict.fromkeys(
        c.product_id for c in subscription.cycles if c.next_at is not None and c.next_at <= at
    ):
        renewals = renewals_of(subscription, catalog, product_id)
        if product_id == moved or all(c.next_at is None or c.next_at > at for c in renewals):
            continue
        binding = bindings.get(product_id)
        if binding is None:
            continue
        version = catalog.version_at(product_id, binding.version, at)
        quantity = terms.next_quantities.get(product_id)
        versions = {
            c.version
            for c in subscription.cycles
            if c.product_id == product_id and c.next_at is not None
        }
        if versions == {version.version} and quantity is None:
            continue
        if quantity is not None:
            subscription = with_quantity(subscription, product_id, quantity)
        switch = Switch(
            changes,
            catalog,
            subscription,
            version,
            product_id,
            at,
            now,
            f"at {to_us(at)} {terms.turns}",
            prorates=True,
            credits="prorate",
        )
        subscription = switch.run()
        lines += switch.lines
    return subscription, lines


def _is_credit(catalog: CatalogView, cycle: Cycle) -> bool:
    version = catalog.products[cycle.product_id].versions[cycle.version]
    return isinstance(version.item(cycle.item_id), PlanCredit)


def renewals_of(subscription: Subscription, catalog: CatalogView, product_id: str) -> list[Cycle]:
    """Return the cycles whose end is a product's renewal: those of its prices that come again, and
    where it has none, of all that does."""
    again = [c for c in subscription.cycles if c.product_id == product_id and c.next_at is not None]
    version_of = catalog.products[product_id].versions
    prices = [c for c in again if isinstance(version_of[c.version].item(c.item_id), PlanPrice)]
    return prices or again


def with_quantity(subscription: Subscription, product_id: str, quantity: int) -> Subscription:
    """Return the subscription with so many seats of a product from now on."""
    terms = subscription.terms
    waiting = {name: n for name, n in terms.next_quantities.items() if name != product_id}
    return structs.replace(
        subscription,
        terms=structs.replace(
            terms, quantities={**terms.quantities, product_id: quantity}, next_quantities=waiting
        ),
    )


def charge(
    changes: Changes,
    catalog: CatalogView,
    subscription: Subscription,
    lines: list[Line],
    at: datetime,
    now: datetime,
    fee_id: str | None = None,
    *,
    may_owe: bool = False,
) -> Short | None:
    """Charge the lines of a subscription, an entry per account; or say which account cannot pay,
    unless it `may_owe`. `fee_id` names what somebody asked for (its first entry); what is due by
    itself has one name for ever."""
    may_owe = may_owe or catalog.renewals.may_overdraw
    turn = (subscription.id, str(to_us(at)), str(subscription.terms.turns))
    by_account: dict[str, list[Line]] = defaultdict(list)
    exact: dict[str, Fraction] = defaultdict(Fraction)
    for line in lines:
        paid = _in_paying_asset(line, catalog, at, exact)
        if isinstance(paid, Short):
            return paid
        by_account[line.account_id].append(paid)
    for account_id, entries in by_account.items():
        if not any(entry.line.units for entry in entries):
            continue
        account = changes.advanced(account_id, now)
        total = sum(entry.line.units for entry in entries)
        scale = entries[0].asset.scale
        products = {p for e in entries for p in (e.line.product_id, e.line.product_code)}
        wanted = Purpose("", {}, frozenset(products))
        missing = total - credit_line(account, wanted)
        if total > 0 and missing > 0 and not may_owe:
            detail = _short(account_id, total, total - missing, scale)
            return Short(account_id, missing, detail, total)
        name = fee_id or derived_id("fee", now, account_id, *turn)
        if fee_id is not None:
            # One that is in another account has another name.
            turn, fee_id = (fee_id, turn[1], turn[2]), None
        if total > 0:
            moved = debit(account, total, REVENUE, name, now, scale, wanted)
            if isinstance(moved, Problem):
                return Short(account_id, missing, moved.detail, total)
            changes.put(moved)
        elif total < 0:
            grant = Grant(
                derived_id("grt", now, name),
                "paid",
                DEFAULT_PRIORITY,
                -total,
                -total,
                now,
                None,
                now,
                GrantTerms(None, subscription.id),
            )
            changes.put(credit(account, grant, REVENUE, name, now))
        shown = tuple([entry.line for entry in entries])
        asset = account_id.rpartition(":")[2]
        request = PlanFee(name, subscription.id, asset, at, shown)
        changes.plan_fees.append(BookedPlanFee(name, request, account_id, -total, now))
    return None


def _in_paying_asset(
    line: Line, catalog: CatalogView, at: datetime, exact: dict[str, Fraction]
) -> Line | Short:
    """Return a line in the asset that it is paid in, at the rate of when it was due. `exact` is
    what the lines before it come to, by account: what is rounded is their sum, so that a line and
    what coupons take off it come to nothing where they should."""
    funding, source, units = line.funding, line.asset, line.line.units
    if funding is None:
        return line
    if not units:
        return Line(line.account_id, funding.asset, line.line)
    if abs(units) > MAX_UNITS:
        return Short(line.account_id, 0, "it is more than the ledger can hold: check the prices")
    rate = funding_rate(funding, source.code, catalog.rates, at)
    if rate is None:
        return Short(line.account_id, 0, no_rate(source.code, funding.asset.code, at))
    before = exact[line.account_id]
    after = exact[line.account_id] = before + exact_units(units, source, funding.asset, rate)
    shown = structs.replace(
        line.line,
        # `round` is half-even.
        units=round(after) - round(before),
        price_asset=source.code,
        price_units=units,
        exchange_rate=shown_rate(rate),
    )
    return Line(line.account_id, funding.asset, shown)


def _short(account_id: str, units: int, available: int, scale: int) -> str:
    needed, there, more = [
        plain(to_decimal(number, scale)) for number in (units, available, units - available)
    ]
    return f"{needed} is needed and {account_id} has {there}: top up at least {more}"
