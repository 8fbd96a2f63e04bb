"""A use that goes on: slice after slice is settled, and the next one set aside, in one step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import structs

from faregate.core.amounts import MAX_UNITS
from faregate.core.customers import Changes
from faregate.core.estimates import Estimate, estimate, expected_use
from faregate.core.events import (
    BookedEvent,
)
from faregate.core.gate import (
    Gated,
    HoldUpdated,
    SettledHold,
    Settlement,
    UpdateHold,
    add_to,
    blocked_customer,
    lacking_funds,
    read_amount,
    view,
)
from faregate.core.given import check_free
from faregate.core.hold_requests import Want
from faregate.core.holds import Decline, Hold, expiry, take
from faregate.core.ids import IdSource
from faregate.core.limiting import Limiting
from faregate.core.problems import Problem, invalid
from faregate.core.settling import (
    Settling,
    counting_nothing,
    find_to_settle,
    repeat_of,
)
from faregate.core.subscriptions import CatalogView
from faregate.core.timeline import Draft
from faregate.core.wallet import fundable


def update(
    changes: Changes,
    holds: Mapping[str, Hold],
    prior: Any,
    booked: Mapping[str, BookedEvent],
    command: UpdateHold,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Gated | Problem:
    """Settle a slice and set the next one aside; arguments as for `capture`."""
    request = command.request
    used, want = request.used, request.want
    if used.amount is not None and used.events is not None:
        return invalid("used.events", "and used.amount: send one of them")
    if (want.amount is None) == (want.data is None):
        return invalid("want.amount", "or want.data: send one of them, to say what comes next")
    refusal = check_free("want.data", want.data)
    if refusal is not None:
        return refusal
    events = used.events or []
    asked = Settlement(
        request.transaction_id,
        command.hold_id,
        [event.id for event in events],
        used.amount,
        False,
        want,
    )
    if prior is not None:
        return repeat_of(changes, prior, asked, events, booked, "update")
    hold = find_to_settle(changes, holds, command.hold_id, now, "updated")
    if isinstance(hold, Problem):
        return hold
    if want.data is not None and hold.event_type is None:
        return invalid("want.data", "needs a hold with an event_type: send want.amount")
    hold = structs.replace(hold, is_session=True)
    settling = Settling(changes, hold, catalog, now, ids)
    identifier = ids.next("chg")
    if used.amount is not None:
        refusal = settling.charge_amount("used.amount", used.amount, identifier, is_whole=True)
    elif events:
        received = command.received_at
        refusal = settling.charge_events(command.customer_id, events, booked, received)
        refusal = refusal and refusal.under("used")
    if refusal is not None:
        return refusal
    hold = structs.replace(settling.current(), is_session=True)
    outcome = _next_slice(changes, hold, want, catalog, now, settling.is_open)
    if isinstance(outcome, Problem):
        return outcome
    hold, granted, is_final, decline = outcome
    changes.holds[hold.id] = hold
    answer = HoldUpdated(
        view(hold, changes.advanced(hold.account_id, now)),
        settling.results,
        settling.captured_units,
        granted,
        is_final,
        hold.final_action if is_final else None,
        decline,
    )
    settled = SettledHold(identifier, asked, hold.account_id, settling.gained_units, now, answer)
    return Gated(changes, answer, settled, settling.events)


def _within_limits(
    changes: Changes,
    limits: Limiting,
    hold: Hold,
    want: Want,
    wanted: Estimate,
    parent: Hold | None,
    now: datetime,
) -> tuple[Hold, int, Decline | None] | Problem:
    """Return the hold as it counts for limits with its next slice, what they leave room for of the
    slice, and why that is less than was wanted."""
    use = expected_use(hold.event_type, hold.subject, want.data, is_upper_bound=hold.is_upper_bound)
    asset = hold.account_id.rpartition(":")[2]
    accounts = changes.advanced_accounts(now)
    # An amount says nothing new about what is used: the use goes on.
    known = hold.counts if want.data is None else ()
    outcome = limits.room_for(use, asset, wanted.units, accounts, parent, hold.id, known)
    if isinstance(outcome, Problem):
        return outcome.under("want")
    room, decline = outcome
    is_enough = hold.allow_partial and room >= max(hold.min_units, 1)
    if decline is not None and not is_enough:
        return hold, 0, decline
    counts = (*wanted.counts, *limits.counts_for(use, asset, parent, known))
    return structs.replace(hold, counts=counts), room, decline


def _next_slice(
    changes: Changes, hold: Hold, want: Want, catalog: CatalogView, now: datetime, is_open: bool
) -> tuple[Hold, int, bool, Decline | None] | Problem:
    """Bring what a hold has set aside to what the next slice needs.

    Returns the hold, what is set aside now, whether that is less than was wanted, and why.
    """
    scale = catalog.assets[hold.account_id.rpartition(":")[2]].scale
    wanted: Estimate | Decline | Problem
    if want.amount is not None:
        units = read_amount("want.amount", want.amount, scale)
        wanted = units if isinstance(units, Problem) else Estimate(hold.account_id, units, scale)
    else:
        event_type, data = hold.event_type or "", want.data or {}
        is_bound = hold.is_upper_bound
        wanted = estimate(
            changes,
            event_type,
            data,
            is_bound,
            catalog,
            now,
            changes.slices,
            hold.subject,
            hold.id,
        )
        if isinstance(wanted, Problem):
            wanted = wanted.under("want")
    if isinstance(wanted, Problem):
        return wanted
    if not is_open:
        return hold, 0, True, None
    account = changes.advanced(hold.account_id, now)
    draft = Draft(account)
    parent = draft.parent_of(hold)
    expires_at = expiry(now, hold.expires_in_seconds, parent)
    hold = structs.replace(hold, expires_at=max(expires_at, hold.expires_at))
    draft.put(hold)
    account = draft.movement().account
    decline: Decline | None = None
    target = 0
    if isinstance(wanted, Decline):
        decline = wanted
    elif wanted.account_id != hold.account_id:
        return invalid("want.data", f"is charged to {wanted.account_id}, not {hold.account_id}")
    else:
        target = wanted.units
        blocked = changes.state.rules.blocked_because
        if blocked is not None:
            decline, target = blocked_customer(blocked), 0
        elif changes.limits is not None:
            limited = _within_limits(changes, changes.limits, hold, want, wanted, parent, now)
            if isinstance(limited, Problem):
                return limited
            hold, target, decline = limited
    if not target and decline is not None:
        hold = counting_nothing(hold)
    more = target - hold.held_units
    purpose = None if isinstance(wanted, Decline) else wanted.wanted
    available = fundable(account, purpose) if parent is None else parent.held_units
    if more > available:
        decline = lacking_funds(
            target, hold.held_units + available, account, scale, parent, purpose
        )
        partial = hold.held_units + available
        is_enough = hold.allow_partial and partial >= max(hold.min_units, 1)
        more = available if is_enough else -hold.held_units
        if not is_enough:
            hold = counting_nothing(hold)
    if hold.amount_units + more > MAX_UNITS:
        return invalid("want", f"{hold.id} has set aside all that the ledger can count on it")
    if more > 0:
        moved = add_to(account, parent, hold, more, now, purpose)
        changes.put(moved)
    else:
        draft = Draft(account)
        kept_units = hold.held_units + more
        rest, taken, _ = take(hold.parts, kept_units)
        draft.put(structs.replace(hold, parts=tuple(taken)))
        if more:
            draft.release(hold, rest, now)
        changes.put(draft.movement())
    after = changes.accounts[hold.account_id].holds[hold.id]
    return after, after.held_units, decline is not None, decline
