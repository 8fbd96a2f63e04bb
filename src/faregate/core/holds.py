"""An amount set aside before the work runs. A hold takes units out of grants, in their order of
use, and keeps them apart: nobody else can spend them, and a grant that expires meanwhile still
pays for what its hold captures. What is not captured goes back where it came from when the hold
ends: by its final capture, by being voided, or by the clock, at `expires_at`.

A hold may draw from another one, its parent, instead of the wallet: a run that calls many models
has one budget that way. And it may be used in slices (a *session*): what was used is settled and
the next slice set aside in one step, as telephone networks charge calls while they run (RFC 8506).

What lives here are the values; how they move money is in `wallet` and `gate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from faregate.core.grants import Grant, order_of_use

DEFAULT_EXPIRY_SECONDS: Final = 900
MAX_EXPIRY_SECONDS: Final = 86_400
MAX_OPEN_HOLDS: Final = 1_000
"""Holds that one account may have open at once."""
MAX_DEPTH: Final = 5
"""How deep holds may draw from one another: a hold without a parent has depth 0."""

HoldStatus = Literal["authorized", "declined", "captured", "voided", "expired"]
DeclineCode = Literal[
    "insufficient_funds",
    "limit_exceeded",
    "no_price",
    "subscription_inactive",
    "customer_blocked",
]
FinalAction = Literal["terminate", "redirect", "restrict"]
LateCapture = Literal["charge", "reject"]
ExpirySeconds = Annotated[int, Meta(ge=1, le=MAX_EXPIRY_SECONDS)]


class HoldPart(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Units that are set aside, and the grant that they came from; None: from the overdraft.

    The grant is kept whole, so that what is left over can go back to it when it is long used up.
    As JSON an array, like all that is written down with every hold: new fields come last.
    """

    grant: Grant | None
    units: int


class Meter(msgspec.Struct, frozen=True, gc=False):
    """What the slices of a session have come to under one entry of a price; `value_index` is that
    of its first value.

    The session is priced as one use: a slice costs what the use costs now less what it cost
    before. `volume` is None where no slice had one; `units` is what the slices were charged,
    `tiers` what they cost by tiers before least and greatest amounts.
    """

    price_id: str
    asset: str
    value_index: int
    volume: int | Decimal | None
    numerator: int
    units: int = 0
    tiers: int = 0


CounterKey = tuple[str, str]
"""A limit's id and, where each subject is counted by itself, the subject; else ''."""


class HoldCount(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a hold counts for at a limit: `units` of a volume or events; None at a limit of fees:
    what it has set aside.

    `subject` is the one that the limit counts by itself, '' if it does not. `is_of_run` says that
    it counts there because what it draws from does.
    """

    limit_id: str
    units: int | None = None
    subject: str = ""
    is_of_run: bool = False

    @property
    def key(self) -> CounterKey:
        """Return under which key it counts."""
        return (self.limit_id, self.subject)


class LimitInTheWay(msgspec.Struct, frozen=True, gc=False):
    """The limit for which something was declined: `used_units` of `amount_units` (both with `scale`
    decimals) are used or held, until `resets_at` (None: for ever)."""

    id: str
    amount_units: int
    used_units: int
    scale: int
    resets_at: datetime | None = None
    name: str | None = None


class Decline(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a hold was not granted, and what would make it pass: `top_up_units` is what is missing,
    in the hold's asset, `limit` the limit in the way."""

    code: DeclineCode
    detail: str
    top_up_units: int | None = None
    limit: LimitInTheWay | None = None


class FirstAnswer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was answered when the hold was asked for, for a repeat. As JSON an array."""

    amount_units: int
    expires_at: datetime
    available_units: int
    pending_out_units: int


class Hold(msgspec.Struct, frozen=True, gc=False):
    """A hold as of the last command.

    `amount_units` is all that was ever set aside for it, `captured_units` what was charged on it
    and on the holds below it, `parts` what is set aside now, `counts` the limits that it counts
    for. `request` is the request as JSON.
    """

    id: str
    transaction_id: str
    account_id: str
    status: HoldStatus
    amount_units: int
    captured_units: int
    parts: tuple[HoldPart, ...]
    created_at: datetime
    expires_at: datetime
    expires_in_seconds: int
    first: FirstAnswer
    event_type: str | None = None
    subject: str | None = None
    parent_id: str | None = None
    depth: int = 0
    allow_partial: bool = False
    min_units: int = 0
    late_capture: LateCapture = "charge"
    final_action: FinalAction = "terminate"
    is_upper_bound: bool = False
    is_session: bool = False
    meters: tuple[Meter, ...] = ()
    counts: tuple[HoldCount, ...] = ()
    decline: Decline | None = None
    settled_at: datetime | None = None
    request: str = ""

    @property
    def held_units(self) -> int:
        """Units that are set aside now. (A loop: it is asked for several times per command.)"""
        units = 0
        for part in self.parts:
            units += part.units
        return units

    def counted(self) -> dict[CounterKey, int]:
        """Return the units that it has set aside at limits."""
        held = self.held_units
        return {c.key: held if c.units is None else c.units for c in self.counts}


def all_counted(holds: Iterable[Hold]) -> dict[CounterKey, int]:
    """Return the units that open holds have set aside at limits."""
    total: dict[CounterKey, int] = {}
    for hold in holds:
        if hold.counts:
            for key, units in hold.counted().items():
                total[key] = total.get(key, 0) + units
    return {key: units for key, units in total.items() if units}


def recounted(
    counted: Mapping[CounterKey, int], changes: Iterable[tuple[Hold | None, Hold | None]]
) -> Mapping[CounterKey, int]:
    """Return `all_counted` after holds have changed, each given as it was and as it is, in a time
    that does not grow with the holds that have not. None: it was, or is, not open."""
    total: dict[CounterKey, int] | None = None
    for before, after in changes:
        for hold, sign in ((before, -1), (after, 1)):
            if hold is None or not hold.counts:
                continue
            if total is None:
                total = dict(counted)
            for key, units in hold.counted().items():
                total[key] = total.get(key, 0) + sign * units
    return counted if total is None else {key: units for key, units in total.items() if units}


def expiry(now: datetime, seconds: int, parent: Hold | None) -> datetime:
    """Return when a hold ends that lives so long from now, though never longer than its parent."""
    expires_at = now + timedelta(seconds=seconds)
    return expires_at if parent is None else min(expires_at, parent.expires_at)


def take(
    parts: tuple[HoldPart, ...], units: int
) -> tuple[tuple[HoldPart, ...], list[HoldPart], int]:
    """Take units out of parts, the first part first.

    Returns what is left of the parts, what was taken, and the units that were not there.
    """
    taken: list[HoldPart] = []
    for index, part in enumerate(parts):
        if not units:
            return parts[index:], taken, 0
        if units < part.units:
            taken.append(HoldPart(part.grant, units))
            return (HoldPart(part.grant, part.units - units), *parts[index + 1 :]), taken, 0
        taken.append(part)
        units -= part.units
    return (), taken, units


def joined(parts: tuple[HoldPart, ...], more: tuple[HoldPart, ...]) -> tuple[HoldPart, ...]:
    """Put parts together, in the order in which their grants are used; those of the same grant
    become one. What comes from the overdraft is used last."""
    units: dict[str, int] = {}
    grants: dict[str, Grant | None] = {}
    for part in (*parts, *more):
        key = part.grant.id if part.grant is not None else ""
        units[key] = units.get(key, 0) + part.units
        grants.setdefault(key, part.grant)
    overdrawn = units.pop("", 0)
    present = sorted([grant for grant in grants.values() if grant is not None], key=order_of_use)
    parts = tuple([HoldPart(grant, units[grant.id]) for grant in present])
    return (*parts, HoldPart(None, overdrawn)) if overdrawn else parts
