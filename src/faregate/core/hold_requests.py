"""What a caller sends to the gate: to hold, to capture, to go on with the next slice, to extend."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.amounts import Number
from faregate.core.events import MAX_EVENTS, UsageEvent
from faregate.core.given import FreeData, Id
from faregate.core.holds import DEFAULT_EXPIRY_SECONDS, ExpirySeconds, FinalAction
from faregate.core.prices import Key
from faregate.core.transactions import AccountName, Metadata

MAX_HOLDS: Final = 100
"""Holds that one request may ask for."""
MAX_WAIT_SECONDS: Final = 30
"""How long a hold waits for a top-up at most."""

Subject = Annotated[str, Meta(max_length=200)]
Events = Annotated[list[UsageEvent], Meta(min_length=1, max_length=MAX_EVENTS)]
Estimate = Literal["exact", "upper_bound"]


class HoldRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Ask for a hold, of what an event of this type with this `data` costs under the customer's own
    prices, or of `max_amount` whole assets.

    With `estimate` `upper_bound` a volume `x` that `data` does not have yet is read from its
    `max_x`. `allow_partial` grants what there is, from `min_amount` on. One that would be declined
    for want of funds waits for the account's auto top-up, for so long as
    `wait_for_top_up_seconds` says.
    """

    transaction_id: Id
    event_type: Key | None = None
    data: FreeData | None = None
    estimate: Estimate = "exact"
    max_amount: Number | None = None
    asset: Key | None = None
    account_name: AccountName | None = None
    subject: Subject | None = None
    allow_partial: bool = False
    min_amount: Number | None = None
    expires_in_seconds: ExpirySeconds = DEFAULT_EXPIRY_SECONDS
    parent_id: Id | None = None
    late_capture: Literal["charge", "reject"] = "charge"
    final_action: FinalAction = "terminate"
    metadata: Metadata | None = None
    wait_for_top_up_seconds: Annotated[int, Meta(ge=0, le=MAX_WAIT_SECONDS)] = 0


class CaptureRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Charge what was used: either `events`, priced as ever, or an `amount` of whole assets.

    `final` ends the hold: what is left of it goes back.
    """

    transaction_id: Id
    amount: Number | None = None
    events: Events | None = None
    final: bool = True


class Used(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What was used of a slice; neither: nothing."""

    amount: Number | None = None
    events: Events | None = None


class Want(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What the next slice is expected to be: `data` of the hold's event type, or an `amount`."""

    amount: Number | None = None
    data: FreeData | None = None


class UpdateRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Settle what was used and set the next slice aside, in one step."""

    transaction_id: Id
    want: Want
    used: Used = Used()


class ExtendRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Let a hold expire so many seconds from now, if that is later than it would."""

    expires_in_seconds: ExpirySeconds
