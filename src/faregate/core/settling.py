"""What becomes of a hold: it is captured, goes on with the next slice, lives longer, or is let go.
What was used is charged out of the hold first, then as any other charge.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import structs

from faregate.core.accounts import REVENUE
from faregate.core.amounts import MAX_UNITS, Number
from faregate.core.codec import differing_fields
from faregate.core.customers import Changes, CustomerState
from faregate.core.estimates import Estimate, bounded, estimate
from faregate.core.events import (
    BookedEvent,
    EventResult,
    RecordEvents,
    UsageEvent,
    book_events,
    check_free,
    repeated,
)
from faregate.core.gate import (
    Capture,
    ExtendHold,
    Gated,
    HoldCaptured,
    HoldUpdated,
    SettledHold,
    Settlement,
    UpdateHold,
    VoidHold,
    add_to,
    blocked_customer,
    find_open,
    lacking_funds,
    read_amount,
    view,
)
from faregate.core.hold_requests import Want
from faregate.core.holds import Decline, Hold, HoldCount, expiry, take
from faregate.core.ids import IdSource
from faregate.core.limiting import Limiting, Use
from faregate.core.problems import CONFLICT, NOT_FOUND, Problem, invalid
from faregate.core.slices import Slices
from faregate.core.subscriptions import CatalogView
from faregate.core.timeline import Draft
from faregate.core.wallet import debit, debit_hold, fundable


def _find(
    changes: Changes, known: Mapping[str, Hold], hold_id: str, now: datetime
) -> Hold | Problem:
    """Find a hold as it is now: open, or how it ended."""
    found = find_open(changes, hold_id, now) or changes.holds.get(hold_id) or known.get(hold_id)
    if found is None:
        return Problem(NOT_FOUND, f"the customer has no hold {hold_id[:100]!r}")
    return found


def _ended(hold: Hold, what: str) -> Problem:
    remedy = "send what was used as events or as a charge"
    if hold.status == "declined":
        remedy = "nothing was set aside: authorize again under a new transaction_id"
    return Problem(CONFLICT, f"hold {hold.id} is {hold.status}, it cannot be {what}: {remedy}")


class _Settling:
    """A capture or update on its way: what was used is charged, to the hold first; if that has
    expired, to the one that it drew from, where what it had set aside went back to. `is_counted`
    says that limits have counted all that the hold expected of volumes and events."""

    def __init__(
        self, changes: Changes, hold: Hold, catalog: CatalogView, now: datetime, ids: IdSource
    ) -> None:
        self.changes = changes
        self.hold = hold
        self.catalog = catalog
        self.now = now
        self.ids = ids
        self.is_open = hold.status == "authorized"
        self.payer = hold if self.is_open else self._open_parent()
        self.results: tuple[EventResult, ...] = ()
        self.events: list[BookedEvent] = []
        self.captured_units = 0
        self.gained_units = 0
        self.is_counted = False
        if changes.limits is not None:
            changes.limits.settle(hold)
        if hold.is_session and hold.event_type is not None:
            changes.slices = Slices(hold.event_type, hold.meters)

    def _open_parent(self) -> Hold | None:
        if self.hold.parent_id is None:
            return None
        return find_open(self.changes, self.hold.parent_id, self.now)

    def charge_amount(
        self, field: str, amount: Number, reference: str, *, is_whole: bool
    ) -> Problem | None:
        """Charge an amount of whole assets, for the whole of what was held for or a part of it."""
        scale = self.catalog.assets[self.hold.account_id.rpartition(":")[2]].scale
        units = read_amount(field, amount, scale)
        if isinstance(units, Problem):
            return units
        changes, payer, now = self.changes, self.payer, self.now
        account = changes.advanced(self.hold.account_id, now)
        if payer is not None:
            moved = debit_hold(account, payer.id, units, REVENUE, reference, now, scale)
        else:
            moved = debit(account, units, REVENUE, reference, now, scale)
        if isinstance(moved, Problem):
            return moved
        changes.put(moved)
        if changes.limits is not None:
            asset = moved.account.asset
            changes.limits.book_amount(self.hold, asset, units, is_whole=is_whole)
            self.is_counted = is_whole
        self.captured_units = units
        self.gained_units = -units
        return None

    def charge_events(
        self,
        customer_id: str,
        events: list[UsageEvent],
        known: Mapping[str, BookedEvent],
        received_at: datetime | None,
    ) -> Problem | None:
        """Book events whose fees are paid out of the hold first."""
        changes = self.changes
        changes.hold = self.payer
        command = RecordEvents(customer_id, tuple(events), False, received_at)
        booked = book_events(changes, known, command, self.catalog, self.now, self.ids)
        changes.hold = None
        if isinstance(booked, Problem):
            return booked
        self.results, self.events = booked[0].results, booked[1]
        for result in self.results:
            if result.status == "booked":
                for fee in result.fees:
                    if fee.account_id == self.hold.account_id:
                        self.captured_units += fee.units
        return None

    def current(self) -> Hold:
        """Return the hold with what was charged on it."""
        hold = self.changes.holds.get(self.hold.id, self.hold)
        if not self.is_open:
            # A late capture is not paid out of it, but it is what the use came to.
            units = hold.captured_units + self.captured_units
            hold = structs.replace(hold, captured_units=units)
        limits = self.changes.limits
        if limits is not None and hold.counts and limits.by_hold:
            hold = structs.replace(hold, counts=_counted_down(hold.counts, limits.by_hold))
        if self.is_counted:
            hold = _counting_nothing(hold)
        slices = self.changes.slices
        return hold if slices is None else structs.replace(hold, meters=slices.meters)


def _counted_down(counts: tuple[HoldCount, ...], used: Mapping[str, int]) -> tuple[HoldCount, ...]:
    """Return what a hold still counts for at limits, now that so much of it was used."""
    return tuple(
        [
            structs.replace(c, units=max(c.units - used.get(c.limit_id, 0), 0)) if c.units else c
            for c in counts
        ]
    )


def _counting_nothing(hold: Hold) -> Hold:
    """Return a hold that will be used no more: what is captured on it still counts where it did."""
    if not any(count.units for count in hold.counts):
        return hold
    return structs.replace(
        hold, counts=tuple([structs.replace(c, units=0) if c.units else c for c in hold.counts])
    )


def _settlement_known(
    prior: SettledHold,
    request: Settlement,
    events: list[UsageEvent],
    booked: Mapping[str, BookedEvent],
) -> Problem | None:
    """Tell whether a repeat is equal to what was settled first."""
    is_update = prior.kind == "update"
    differing = differing_fields(_named(prior.request, is_update), _named(request, is_update))
    if differing:
        detail = (
            f"transaction_id {request.transaction_id!r} was used before with another "
            f"{', '.join(differing)}: use a new one"
        )
        return Problem(CONFLICT, detail, {field: ["differs"] for field in differing})
    for index, event in enumerate(events):
        first = booked.get(event.id)
        if first is not None:
            again = repeated(first, event)
            if isinstance(again, Problem):
                return again.under(f"used.events[{index}]" if is_update else f"events[{index}]")
    return None


def _named(asked: Settlement, is_update: bool) -> dict[str, Any]:
    """Return what was asked for under the names that the request has for it."""
    named = {"hold_id": asked.hold_id}
    if not is_update:
        return {
            **named,
            "amount": asked.amount,
            "events": asked.event_ids,
            "final": asked.final,
        }
    want = asked.want or Want()
    return {
        **named,
        "want.amount": want.amount,
        "want.data": want.data,
        "used.amount": asked.amount,
        "used.events": asked.event_ids,
    }


def _taken(transaction_id: str, kind: str) -> Problem:
    article = "a" if kind in ("capture", "charge") else "an"
    detail = f"transaction_id {transaction_id!r} was used for {article} {kind}: use a new one"
    return Problem(CONFLICT, detail, {"transaction_id": ["is taken"]})


def capture(
    changes: Changes,
    holds: Mapping[str, Hold],
    prior: Any,
    booked: Mapping[str, BookedEvent],
    command: Capture,
    catalog: CatalogView,
    now: datetime,
    ids: IdSource,
) -> Gated | Problem:
    """Charge what was used. `prior` is what was booked under the transaction id, `booked` which
    of the events are."""
    request = command.request
    if (request.amount is None) == (request.events is None):
        return invalid("amount", "or events: send one of them, to say what was used")
    events = request.events or []
    asked = Settlement(
        request.transaction_id,
        command.hold_id,
        [event.id for event in events],
        request.amount,
        request.final,
    )
    if prior is not None:
        return _repeat_of(changes, prior, asked, events, booked, "capture")
    hold = _find(changes, holds, command.hold_id, now)
    if isinstance(hold, Problem):
        return hold
    refusal = _refuse_ended(hold, "captured")
    if refusal is not None:
        return refusal
    if request.final and hold.status == "authorized":
        hold = _without_children(changes, hold, now)
    settling = _Settling(changes, hold, catalog, now, ids)
    identifier = ids.next("chg")
    if request.amount is not None:
        refusal = settling.charge_amount(
            "amount", request.amount, identifier, is_whole=request.final
        )
    else:
        received = command.received_at
        refusal = settling.charge_events(command.customer_id, events, booked, received)
    if refusal is not None:
        return refusal
    hold = settling.current()
    account = changes.advanced(hold.account_id, now)
    released = 0
    if settling.is_open:
        draft = Draft(account)
        draft.put(hold)
        if request.final:
            before = account.pending_out_units
            hold = draft.end(hold, "captured", now)
            moved = draft.movement()
            released = before - moved.account.pending_out_units
        else:
            moved = draft.movement()
        changes.put(moved)
        account = moved.account
    changes.holds[hold.id] = hold
    answer = HoldCaptured(view(hold, account), settling.results, settling.captured_units, released)
    settled = SettledHold(identifier, asked, hold.account_id, settling.gained_units, now, answer)
    return Gated(changes, answer, settled, settling.events)


def _without_children(changes: Changes, hold: Hold, now: datetime) -> Hold:
    """End the holds that draw from one whose final capture is about to be charged: what they have
    set aside is there to pay for it."""
    account = changes.advanced(hold.account_id, now)
    if not account.nested_holds:
        return hold
    draft = Draft(account)
    draft.end_below(hold, "voided", now)
    changes.put(draft.movement())
    return draft.holds[hold.id]


def _repeat_of(
    changes: Changes,
    prior: Any,
    asked: Settlement,
    events: list[UsageEvent],
    booked: Mapping[str, BookedEvent],
    kind: str,
) -> Gated | Problem:
    if not isinstance(prior, SettledHold) or prior.kind != kind:
        return _taken(asked.transaction_id, prior.kind)
    return _settlement_known(prior, asked, events, booked) or Gated(changes, prior.answer)


def _refuse_ended(hold: Hold, what: str) -> Problem | None:
    """Refuse what comes too late for this hold."""
    if hold.status == "authorized":
        return None
    if hold.status == "expired":
        if hold.late_capture == "charge":
            return None
        detail = (
            f"hold {hold.id} expired at {hold.expires_at.isoformat()} and rejects late captures"
        )
        return Problem(CONFLICT, f"{detail}: send what was used as events or as a charge")
    return _ended(hold, what)


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
        return _repeat_of(changes, prior, asked, events, booked, "update")
    hold = _find(changes, holds, command.hold_id, now)
    if isinstance(hold, Problem):
        return hold
    refusal = _refuse_ended(hold, "updated")
    if refusal is not None:
        return refusal
    if want.data is not None and hold.event_type is None:
        return invalid("want.data", "needs a hold with an event_type: send want.amount")
    hold = structs.replace(hold, is_session=True)
    settling = _Settling(changes, hold, catalog, now, ids)
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
    data = want.data or {}
    use = Use(hold.event_type, hold.subject, bounded(data) if hold.is_upper_bound else data)
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
        hold = _counting_nothing(hold)
    more = target - hold.held_units
    available = fundable(account) if parent is None else parent.held_units
    if more > available:
        decline = lacking_funds(target, hold.held_units + available, account, scale, parent)
        partial = hold.held_units + available
        is_enough = hold.allow_partial and partial >= max(hold.min_units, 1)
        more = available if is_enough else -hold.held_units
        if not is_enough:
            hold = _counting_nothing(hold)
    if hold.amount_units + more > MAX_UNITS:
        return invalid("want", f"{hold.id} has set aside all that the ledger can count on it")
    if more > 0:
        moved = add_to(account, parent, hold, more, now)
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


def extend(
    state: CustomerState, holds: Mapping[str, Hold], command: ExtendHold, now: datetime
) -> Gated | Problem:
    """Let a hold expire later, though never later than the one that it draws from."""
    changes = Changes(state)
    hold = _find(changes, holds, command.hold_id, now)
    if isinstance(hold, Problem):
        return hold
    if hold.status != "authorized":
        return _ended(hold, "extended")
    draft = Draft(changes.advanced(hold.account_id, now))
    expires_at = expiry(now, command.request.expires_in_seconds, draft.parent_of(hold))
    hold = structs.replace(hold, expires_at=max(expires_at, hold.expires_at))
    draft.put(hold)
    moved = draft.movement()
    changes.put(moved)
    return Gated(changes, view(hold, moved.account))


def void(
    state: CustomerState, holds: Mapping[str, Hold], command: VoidHold, now: datetime
) -> Gated | Problem:
    """Let go of a hold. One that is no longer open stays as it is; one that was captured is a
    conflict, because money has moved."""
    changes = Changes(state)
    hold = _find(changes, holds, command.hold_id, now)
    if isinstance(hold, Problem):
        return hold
    if hold.status == "captured":
        return _ended(hold, "voided")
    account = changes.advanced(hold.account_id, now)
    if hold.status == "authorized":
        draft = Draft(account)
        hold = draft.end(hold, "voided", now)
        moved = draft.movement()
        changes.put(moved)
        account = moved.account
    return Gated(changes, view(hold, account))
