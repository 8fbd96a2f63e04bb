"""What becomes of what was used of a hold: it is charged out of the hold first, then as any other
charge; and a repeat is told from something else under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import structs

from faregate.core.accounts import REVENUE
from faregate.core.amounts import Number
from faregate.core.codec import differing_fields
from faregate.core.customers import Changes
from faregate.core.events import (
    BookedEvent,
    EventResult,
    RecordEvents,
    UsageEvent,
    book_events,
    repeated,
)
from faregate.core.gate import (
    Gated,
    SettledHold,
    Settlement,
    find_open,
    read_amount,
)
from faregate.core.hold_requests import Want
from faregate.core.holds import Hold, HoldCount
from faregate.core.ids import IdSource
from faregate.core.problems import NOT_FOUND, Problem, conflict, invalid
from faregate.core.slices import Slices
from faregate.core.subscriptions import CatalogView
from faregate.core.wallet import debit, debit_hold


def find_hold(
    changes: Changes, known: Mapping[str, Hold], hold_id: str, now: datetime
) -> Hold | Problem:
    """Find a hold as it is now: open, or how it ended."""
    found = find_open(changes, hold_id, now) or changes.holds.get(hold_id) or known.get(hold_id)
    if found is None:
        return Problem(NOT_FOUND, f"the customer has no hold {hold_id[:100]!r}")
    return found


def ended(hold: Hold, what: str) -> Problem:
    """Make the problem of a hold that is no longer open, which cannot be `what` any more."""
    remedy = "send what was used as events or as a charge"
    if hold.status == "declined":
        remedy = "nothing was set aside: authorize again under a new transaction_id"
    detail = f"hold {hold.id} is {hold.status}, it cannot be {what}: {remedy}"
    return conflict("hold_id", detail)


def find_to_settle(
    changes: Changes, known: Mapping[str, Hold], hold_id: str, now: datetime, what: str
) -> Hold | Problem:
    """Find a hold that may still be settled: open, or expired if it takes late captures."""
    hold = find_hold(changes, known, hold_id, now)
    return hold if isinstance(hold, Problem) else _refuse_ended(hold, what) or hold


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
        return conflict("hold_id", f"{detail}: send what was used as events or as a charge")
    return ended(hold, what)


class Settling:
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
        for index, event in enumerate(events):
            if event.outcome is not None:
                remedy = "record what has no outcome yet with POST /events"
                return invalid(f"events[{index}].outcome", f"has no place in a capture: {remedy}")
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
                        self.captured_units += fee.debited_units
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
            hold = counting_nothing(hold)
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


def counting_nothing(hold: Hold) -> Hold:
    """Return a hold that will be used no more: what is captured on it still counts where it did."""
    if not any(count.units for count in hold.counts):
        return hold
    return structs.replace(
        hold, counts=tuple([structs.replace(c, units=0) if c.units else c for c in hold.counts])
    )


def repeat_of(
    changes: Changes,
    prior: Any,
    asked: Settlement,
    events: list[UsageEvent],
    booked: Mapping[str, BookedEvent],
    kind: str,
) -> Gated | Problem:
    """Return the first answer to what was settled under this transaction id before, or the conflict
    where it was something else. `kind` is `capture` or `update`."""
    if not isinstance(prior, SettledHold) or prior.kind != kind:
        return _taken(asked.transaction_id, prior.kind)
    return _settlement_known(prior, asked, events, booked) or Gated(changes, prior.answer)


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
        return conflict(differing[0], detail, *differing[1:])
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
    return conflict("transaction_id", detail)
