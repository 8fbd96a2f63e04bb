"""The gate: may this customer run this? Its commands and their answers, and what all of them need.

A decline is an answer, kept and repeated like any other: nothing is wrong with the request. All
commands are idempotent by the caller's `transaction_id`, captured events by their own ids too.
How a hold is granted is in `authorizing`; what becomes of it in `settling`, `capturing` and
`sessions`.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import structs

from faregate.core.accounts import Account, Movement
from faregate.core.amounts import AmountError, Number, plain, to_decimal, to_units
from faregate.core.customers import Changes
from faregate.core.events import BookedEvent, EventResult
from faregate.core.grants import Purpose
from faregate.core.hold_requests import (
    CaptureRequest,
    ExtendRequest,
    HoldRequest,
    UpdateRequest,
    Want,
)
from faregate.core.holds import Decline, FinalAction, Hold, HoldStatus, joined, take
from faregate.core.problems import Problem, invalid
from faregate.core.timeline import Draft
from faregate.core.wallet import credit_line, fundable, set_aside


class Authorize(msgspec.Struct, frozen=True, gc=False):
    """Ask for holds, each for itself, in order. What is wrong with one of a batch is named by its
    place in it. One that `may_wait` is answered `AwaitsTopUp` rather than declined, where an auto
    top-up is on its way."""

    customer_id: str
    requests: tuple[HoldRequest, ...]
    is_batch: bool = False
    may_wait: bool = False


class Capture(msgspec.Struct, frozen=True, gc=False):
    """Charge what was used of a hold. `received_at` as in `RecordEvents`."""

    customer_id: str
    hold_id: str
    request: CaptureRequest
    received_at: datetime | None = None


class UpdateHold(msgspec.Struct, frozen=True, gc=False):
    """Settle a slice and set the next one aside."""

    customer_id: str
    hold_id: str
    request: UpdateRequest
    received_at: datetime | None = None


class ExtendHold(msgspec.Struct, frozen=True):
    """Let a hold expire later."""

    customer_id: str
    hold_id: str
    request: ExtendRequest


class VoidHold(msgspec.Struct, frozen=True):
    """Let go of a hold without charging anything more."""

    customer_id: str
    hold_id: str


GateCommand = Authorize | Capture | UpdateHold | ExtendHold | VoidHold


class HoldView(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A hold as a caller sees it, with what its account has available and set aside then. As JSON,
    which is kept with each settlement, an array: new fields come last."""

    id: str
    transaction_id: str
    account_id: str
    status: HoldStatus
    amount_units: int
    held_units: int
    captured_units: int
    available_units: int
    pending_out_units: int
    created_at: datetime
    expires_at: datetime
    event_type: str | None = None
    subject: str | None = None
    parent_id: str | None = None
    decline: Decline | None = None


class Authorized(msgspec.Struct, frozen=True, gc=False):
    """The answer to `Authorize`: one hold per request, in order."""

    holds: tuple[HoldView, ...]


class HoldCaptured(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to a capture: what it charged on the hold's account, and what it let go."""

    hold: HoldView
    results: tuple[EventResult, ...]
    captured_units: int
    released_units: int


class HoldUpdated(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The answer to an update. `granted_units` are set aside for the next slice; `is_final` says
    that it is less than was wanted, so nothing more will be granted, and what to do then."""

    hold: HoldView
    results: tuple[EventResult, ...]
    captured_units: int
    granted_units: int
    is_final: bool
    final_action: FinalAction | None = None
    decline: Decline | None = None


HoldAnswer = Authorized | HoldCaptured | HoldUpdated | HoldView


class Settlement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a capture or an update was asked for, without the events' contents, which are booked
    under their own ids."""

    transaction_id: str
    hold_id: str
    event_ids: list[str] = []
    amount: Number | None = None
    final: bool = True
    want: Want | None = None


class SettledHold(msgspec.Struct, frozen=True):
    """A capture or an update that is in the ledger. `units` is signed: what the account gained
    by an amount that was captured; what events cost is in their own fees."""

    id: str
    request: Settlement
    account_id: str
    units: int
    created_at: datetime
    answer: HoldCaptured | HoldUpdated

    @property
    def kind(self) -> str:
        """Return `capture` or `update`."""
        return "capture" if isinstance(self.answer, HoldCaptured) else "update"


class Gated(msgspec.Struct, frozen=True, gc=False):
    """What a command of the gate has come to. None of `settled` and `events` for a repeat."""

    changes: Changes
    answer: HoldAnswer
    settled: SettledHold | None = None
    events: list[BookedEvent] = []
    new_holds: frozenset[str] = frozenset()


def first_view(hold: Hold) -> HoldView:
    """Return what was answered when the hold was asked for."""
    first = hold.first
    return HoldView(
        hold.id,
        hold.transaction_id,
        hold.account_id,
        "authorized" if hold.decline is None else "declined",
        first.amount_units,
        first.amount_units,
        0,
        first.available_units,
        first.pending_out_units,
        hold.created_at,
        first.expires_at,
        hold.event_type,
        hold.subject,
        hold.parent_id,
        hold.decline,
    )


def view(hold: Hold, account: Account) -> HoldView:
    """Return a hold as it is now; `account` is the account that it is on."""
    return HoldView(
        hold.id,
        hold.transaction_id,
        hold.account_id,
        hold.status,
        hold.amount_units,
        hold.held_units,
        hold.captured_units,
        account.available_units,
        account.pending_out_units,
        hold.created_at,
        hold.expires_at,
        hold.event_type,
        hold.subject,
        hold.parent_id,
        hold.decline,
    )


def find_open(changes: Changes, hold_id: str, now: datetime) -> Hold | None:
    """Find an open hold, its account brought forward to `now`; None where it is not open."""
    for identifier, account in changes.accounts.items():
        if hold_id in account.holds:
            return changes.advanced(identifier, now).holds.get(hold_id)
    return None


def add_to(
    account: Account,
    parent: Hold | None,
    hold: Hold,
    units: int,
    now: datetime,
    wanted: Purpose | None = None,
) -> Movement:
    """Set units aside for a hold: out of its parent, or out of the account. They are there."""
    if parent is None:
        return set_aside(account, units, hold, now, wanted)
    draft = Draft(account)
    rest, taken, _ = take(parent.parts, units)
    if units:
        draft.move(parent.id, hold.id, units, hold.id, now)
        draft.put(structs.replace(parent, parts=rest))
    parts = joined(hold.parts, tuple(taken))
    draft.put(structs.replace(hold, parts=parts, amount_units=hold.amount_units + units))
    return draft.movement()


def lacking_funds(
    units: int,
    available: int,
    account: Account,
    scale: int,
    parent: Hold | None,
    wanted: Purpose | None = None,
) -> Decline:
    """Say that so many units are needed and so many are there; `scale` writes them as amounts."""
    asset = account.asset
    needed = plain(to_decimal(units, scale))
    there = plain(to_decimal(available, scale))
    if parent is not None:
        detail = f"{needed} {asset} is needed and the parent hold {parent.id} has {there} left"
        return Decline("insufficient_funds", f"{detail}: hold less, or give the run more")
    # What a hold may not take, because the account is below its floor, must be topped up too.
    lacking = units - available + fundable(account, wanted) - credit_line(account, wanted)
    detail = (
        f"{needed} {asset} is needed and {account.id} can pay {there}: "
        f"top up at least {plain(to_decimal(lacking, scale))} {asset}"
    )
    return Decline("insufficient_funds", detail, lacking)


def blocked_customer(reason: str) -> Decline:
    """Decline whatever a customer asks for who is blocked."""
    because = f" ({reason})" if reason else ""
    return Decline("customer_blocked", f"the customer is blocked{because}: unblock them first")


def read_amount(field: str, amount: Number, scale: int) -> int | Problem:
    """Read an amount of 0 or more."""
    try:
        units = to_units(amount, scale)
    except AmountError as error:
        return invalid(field, f"{amount} {error}")
    if units < 0:
        return invalid(field, f"is {amount}: send 0 or more")
    return units
