"""How a cycle moves on: which period comes next, what it costs or grants, and what becomes of the
credit of the one before, or of what was used too little in it. Nothing is decided here about
whether it can be paid (`renewing`).
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import structs

from faregate.core.accounts import BREAKAGE, Account, Movement
from faregate.core.assets import Asset
from faregate.core.commitments import PlanCommitment
from faregate.core.conversion import Funding
from faregate.core.customers import Changes
from faregate.core.grants import Grant, with_remaining
from faregate.core.ids import derived_id
from faregate.core.instants import LATEST, to_us
from faregate.core.plan_fees import FeeLine
from faregate.core.plans import (
    PlanCredit,
    PlanPrice,
    after_duration,
    cadence_of,
    share,
    share_down,
)
from faregate.core.subscriptions import CompiledVersion, Cycle, PlanItem, Subscription, Terms
from faregate.core.timeline import Draft
from faregate.core.wallet import check_credit, credit


class Line(msgspec.Struct, frozen=True):
    """A line of a bill, in units of the price's asset, and the account that it is charged to, in
    another asset if there is a `funding`."""

    account_id: str
    asset: Asset
    line: FeeLine
    funding: Funding | None = None
    is_discountable: bool = True


def new_cycles(
    version: CompiledVersion, subscription: Subscription, at: datetime, changes: Changes
) -> list[Cycle]:
    """Return the cycles of a version that begins at `at`, all of them due then; what is asked or
    given once, and was before, is not there again."""
    terms = subscription.terms
    done = {c.item_id for c in subscription.cycles if c.next_at is None}
    trial_ends_at = terms.trial_ends_at
    in_trial = trial_ends_at is not None and at < trial_ends_at
    anchor_at = trial_ends_at if in_trial and trial_ends_at is not None else terms.anchor_at or at
    found: list[Cycle] = []
    for price in version.plan_prices:
        if price.interval is None and price.id in done:
            continue
        amount = price.amount_in(_asset_for(price, terms, changes))
        quantity = quantity_of(price, terms)
        first_at = anchor_at if in_trial else at
        found.append(
            Cycle(
                price.product_id,
                version.version,
                price.id,
                anchor_at,
                first_at,
                quantity=quantity,
                units=amount.units(quantity),
                account_id=amount.account_id,
                asset=None if amount.funding is None else amount.asset.code,
            )
        )
    found += [
        Cycle(
            plan.product_id,
            version.version,
            plan.id,
            anchor_at,
            at,
            units=plan.units,
            account_id=plan.account_id,
        )
        for plan in version.credits
        if plan.is_refreshed or plan.id not in done
    ]
    found += [
        Cycle(
            plan.product_id,
            version.version,
            plan.id,
            anchor_at,
            anchor_at if in_trial else at,
            units=plan.minimum_units,
            account_id=plan.account_id,
        )
        for plan in version.commitments
    ]
    return found


def quantity_of(price: PlanPrice, terms: Terms) -> int:
    """Return for how many seats a price is asked."""
    return 1 if price.seats is None else terms.quantities.get(price.product_id, price.seats)


def _asset_for(price: PlanPrice, terms: Terms, changes: Changes) -> str:
    """Return the asset that the subscription names, else the first in which the customer has an
    account, else the first."""
    codes = [amount.asset.code for amount in price.amounts]
    if terms.asset in codes:
        return terms.asset or ""
    present = [a.asset.code for a in price.amounts if a.account_id in changes.accounts]
    return (present or codes)[0]


def begun(cycle: Cycle, item: PlanItem, terms: Terms, at: datetime) -> Cycle:
    """Return the cycle with the period that begins at `at` under way, and due when that is over."""
    trial_ends_at = terms.trial_ends_at
    if isinstance(item, PlanCredit) and trial_ends_at is not None and at < trial_ends_at:
        begins_at, to_at = at, trial_ends_at
    else:
        cadence = cadence_of(item, cycle.anchor_at, terms.timezone)
        number = cadence.number_at(at)
        begins_at, to_at = cadence.begins_at(number), cadence.begins_at(number + 1)
    next_at = to_at if at < to_at < LATEST else None
    return structs.replace(
        cycle, begins_at=begins_at, from_at=at, to_at=to_at, next_at=next_at, off=()
    )


def price_line(
    cycle: Cycle, price: PlanPrice, units: int, from_at: datetime | None, to_at: datetime | None
) -> Line:
    """Write a line about a price."""
    line = FeeLine(
        price.id,
        price.name,
        price.product_id,
        price.product_code,
        price.product_version,
        cycle.quantity,
        units,
        from_at,
        to_at,
    )
    amount = price.amount_in(cycle.asset or cycle.account_id.rpartition(":")[2])
    return Line(cycle.account_id, amount.asset, line, amount.funding)


def period_share(cycle: Cycle, from_at: datetime, to_at: datetime) -> int:
    """Return what a part of the period under way costs, in units."""
    if cycle.begins_at is None or cycle.to_at is None:
        return 0
    return share(cycle.units, (cycle.begins_at, cycle.to_at), from_at, to_at)


def lines_back(cycle: Cycle, price: PlanPrice, at: datetime) -> list[Line]:
    """Write what is given back of a period that was paid in advance and is left at `at`: its part
    of the price, less its part of what discounts had taken off that."""
    from_at, to_at = cycle.from_at, cycle.to_at
    if from_at is None or to_at is None:
        return []
    units = period_share(cycle, at, to_at)
    back = price_line(cycle, price, -units, at, to_at)
    lines = [back]
    was_free = period_share(cycle, from_at, to_at) == sum([off for _, off in cycle.off])
    for number, (code, off) in enumerate(cycle.off, 1):
        part = min(units, share(off, (from_at, to_at), at, to_at))
        if was_free and number == len(cycle.off):
            # What cost nothing gives nothing back, whatever rounding says.
            part = units
        units -= part
        line = structs.replace(back.line, units=part, coupon=code)
        lines.append(structs.replace(back, line=line))
    return lines


def owed(cycle: Cycle, at: datetime) -> int:
    """Return the least that is to be used of the period under way up to `at`, in units."""
    if cycle.from_at is None or cycle.to_at is None:
        return 0
    return cycle.owed_units + period_share(cycle, cycle.from_at, min(at, cycle.to_at))


def commitment_lines(cycle: Cycle, plan: PlanCommitment, at: datetime) -> list[Line]:
    """Write what is missing of a commitment for the period up to `at`, if anything is."""
    missing = owed(cycle, at) - cycle.spent_units
    if missing <= 0 or cycle.to_at is None:
        return []
    line = FeeLine(
        plan.id,
        f"minimum commitment: {plan.name}",
        plan.product_id,
        plan.product_code,
        plan.product_version,
        1,
        missing,
        cycle.from_at,
        min(at, cycle.to_at),
    )
    return [Line(cycle.account_id, plan.asset, line, is_discountable=False)]


def turn_commitment(
    cycle: Cycle, plan: PlanCommitment, terms: Terms, at: datetime, *, is_over: bool
) -> tuple[Cycle, list[Line]]:
    """Let a commitment's cycle do what is due at `at`: what is missing of it is charged, and the
    next period begins with what was used since the last one was over."""
    lines = commitment_lines(cycle, plan, at)
    if is_over:
        return cycle, lines
    spent = cycle.late_units
    cycle = begun(cycle, plan, terms, at)
    return structs.replace(cycle, owed_units=0, spent_units=spent, late_units=0), lines


def turn_price(
    cycle: Cycle, price: PlanPrice, terms: Terms, at: datetime, *, is_over: bool
) -> tuple[Cycle, list[Line]]:
    """Let a fixed price's cycle do what is due at `at`; `is_over`: no other period begins."""
    lines: list[Line] = []
    if price.interval is None:
        if is_over:
            return cycle, []
        service = price.service_period
        to_at = None if service is None else after_duration(at, service)
        lines.append(price_line(cycle, price, cycle.units, None if to_at is None else at, to_at))
        return structs.replace(cycle, next_at=None), lines
    if price.is_in_arrears and cycle.from_at is not None and cycle.to_at is not None:
        ends_at = min(at, cycle.to_at)
        units = period_share(cycle, cycle.from_at, ends_at)
        lines.append(price_line(cycle, price, units, cycle.from_at, ends_at))
    if is_over:
        return cycle, lines
    cycle = begun(cycle, price, terms, at)
    if not price.is_in_arrears and cycle.from_at is not None and cycle.to_at is not None:
        units = period_share(cycle, cycle.from_at, cycle.to_at)
        lines.append(price_line(cycle, price, units, cycle.from_at, cycle.to_at))
    return cycle, lines


def turn_credit(
    changes: Changes,
    subscription: Subscription,
    cycle: Cycle,
    plan: PlanCredit,
    at: datetime,
    now: datetime,
    *,
    is_over: bool,
) -> Cycle:
    """Let an entitlement's cycle do what is due at `at`, seen from `now` (later, if it could not be
    paid before): what is left over rolls on, and new credit is granted."""
    kept = roll_over(changes, cycle, plan, now) if plan.rolls_over else ()
    if is_over:
        return cycle
    cycle = begun(cycle, plan, subscription.terms, at)
    if cycle.begins_at is None or cycle.to_at is None:
        raise AssertionError("a period that has begun has bounds")
    units = cycle.units
    if cycle.begins_at < at:
        units = share_down(units, (cycle.begins_at, cycle.to_at), at, cycle.to_at)
    expires_at: datetime | None = cycle.to_at
    if plan.rolls_over:
        expires_at = None
        if plan.max_periods is not None:
            cadence = cadence_of(plan, cycle.anchor_at, subscription.terms.timezone)
            expires_at = cadence.begins_at(cadence.number_at(at) + 1 + plan.max_periods)
    grant_id = derived_id("grt", at, subscription.name, plan.id, str(to_us(at)))
    give(changes, subscription, plan, grant_id, units, at, expires_at, now)
    cycle = structs.replace(
        cycle,
        grants=(*kept, (grant_id, cycle.to_at)),
        granted_units=units,
        earlier_units=0,
    )
    if not plan.is_refreshed:
        cycle = structs.replace(cycle, next_at=None, from_at=None, to_at=None)
    return cycle


def give(
    changes: Changes,
    subscription: Subscription,
    plan: PlanCredit,
    grant_id: str,
    units: int,
    effective_at: datetime,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Grant credit that comes with a product, if there is any and it is not over already."""
    account = changes.advanced(plan.account_id, now)
    is_late = expires_at is not None and expires_at <= now
    if units <= 0 or is_late or check_credit(account, units) is not None:
        return
    grant = Grant(
        grant_id,
        plan.purpose,
        plan.priority,
        units,
        units,
        effective_at,
        expires_at,
        now,
        structs.replace(plan.terms, subscription_id=subscription.id),
    )
    changes.put(credit(account, grant, f"entitlements:{plan.purpose}", grant.id, now))


def present(account: Account, cycle: Cycle) -> list[Grant]:
    """Return the grants of an entitlement that have something left, the oldest first."""
    by_id = {grant.id: grant for grant in (*account.grants, *account.scheduled)}
    return [by_id[name] for name, _ in cycle.grants if name in by_id]


def roll_over(
    changes: Changes, cycle: Cycle, plan: PlanCredit, now: datetime
) -> tuple[tuple[str, datetime | None], ...]:
    """Keep what is left of an entitlement's earlier credit, up to what may be kept; the oldest
    breaks first. Returns the grants that live on."""
    account = changes.advanced(cycle.account_id, now)
    left = present(account, cycle)
    if plan.max_units is not None:
        excess = sum(grant.remaining_units for grant in left) - plan.max_units
        left = take_back(changes, cycle.account_id, left, excess, BREAKAGE, now)
    names = {grant.id for grant in left}
    return tuple([kept for kept in cycle.grants if kept[0] in names])


def take_back(
    changes: Changes,
    account_id: str,
    grants: list[Grant],
    units: int,
    destination: str,
    now: datetime,
) -> list[Grant]:
    """Take units out of these grants of an account, the first one first, and move them to
    `destination`. Returns those that have something left."""
    if units <= 0:
        return grants
    draft = Draft(changes.advanced(account_id, now))
    left: list[Grant] = []
    for grant in grants:
        taken = min(units, grant.remaining_units)
        units -= taken
        after = with_remaining(grant, grant.remaining_units - taken)
        if taken:
            draft.move(grant.id, destination, taken, grant.id, now)
            draft.step.grants[grant.id] = after
        if after.remaining_units:
            left.append(after)
    changed = draft.step.grants
    draft.grants = [
        changed.get(grant.id, grant)
        for grant in draft.grants
        if grant.id not in changed or changed[grant.id].remaining_units
    ]
    draft.scheduled = tuple(
        [
            changed.get(grant.id, grant)
            for grant in draft.scheduled
            if grant.id not in changed or changed[grant.id].remaining_units
        ]
    )
    moved: Movement = draft.movement()
    changes.put(moved)
    return left
