"""How a hold ends, or lives longer: it is captured, let go, or extended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import structs

from faregate.core.customers import Changes, CustomerState
from faregate.core.events import (
    BookedEvent,
)
from faregate.core.gate import (
    Capture,
    ExtendHold,
    Gated,
    HoldCaptured,
    SettledHold,
    Settlement,
    VoidHold,
    view,
)
from faregate.core.holds import Hold, expiry
from faregate.core.ids import IdSource
from faregate.core.problems import Problem, invalid
from faregate.core.settling import (
    Settling,
    ended,
    find_hold,
    find_to_settle,
    repeat_of,
)
from faregate.core.subscriptions import CatalogView
from faregate.core.timeline import Draft


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
        return repeat_of(changes, prior, asked, events, booked, "capture")
    hold = find_to_settle(changes, holds, command.hold_id, now, "captured")
    if isinstance(hold, Problem):
        return hold
    if request.final and hold.status == "authorized":
        hold = _without_children(changes, hold, now)
    settling = Settling(changes, hold, catalog, now, ids)
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


def extend(
    state: CustomerState, holds: Mapping[str, Hold], command: ExtendHold, now: datetime
) -> Gated | Problem:
    """Let a hold expire later, though never later than the one that it draws from."""
    changes = Changes(state)
    hold = find_hold(changes, holds, command.hold_id, now)
    if isinstance(hold, Problem):
        return hold
    if hold.status != "authorized":
        return ended(hold, "extended")
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
    hold = find_hold(changes, holds, command.hold_id, now)
    if isinstance(hold, Problem):
        return hold
    if hold.status == "captured":
        return ended(hold, "voided")
    account = changes.advanced(hold.account_id, now)
    if hold.status == "authorized":
        draft = Draft(account)
        hold = draft.end(hold, "voided", now)
        moved = draft.movement()
        changes.put(moved)
        account = moved.account
    return Gated(changes, view(hold, account))
