"""A wallet's accounts: one per asset (and name), as of an instant.

    balance = sum of the grants in force - overdraft used

Nothing changes a balance but *transfers*: each moves units of one asset from one ledger account
to another, so all transfers of an asset sum to zero by construction. Ledger accounts are

    grt_...               what is left of a grant (the customer's)
    overdraft:default:USD what the customer has used beyond the grants (the customer's, <= 0)
    hld_...               what a hold has set aside (the customer's)
    revenue               fees and charges earned (the operator's)
    breakage              what expired unused (the operator's)
    adjustments:gift ...  where adjustments come from and go to, by reason (the operator's)

How time changes an account is in `timeline`, how commands do in `wallet`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from faregate.core.grants import Grant
from faregate.core.holds import CounterKey, Hold, all_counted

REVENUE: Final = "revenue"
BREAKAGE: Final = "breakage"
DEFAULT_ACCOUNT: Final = "default"

OverdraftPolicy = Literal["allow", "limit", "reject"]
Level = Literal["fresh", "well", "low", "depleted"]
"""How full an account was when it was last told of. `fresh`: it never had anything."""


class Watch(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What has been told of an account, so that nothing is told twice: its level, and up to which
    expiry its grants were announced. Below `low_units` it is low; None: as its asset says, 0:
    never. Below `own_units` its customer wants to be told (None: never), and `is_own_low` says that
    they were. Changes where something is told, which is seldom."""

    level: Level = "fresh"
    low_units: int | None = None
    announced_to: datetime | None = None
    own_units: int | None = None
    is_own_low: bool = False


NOT_WATCHED: Final = Watch()


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One movement of value: `units` (> 0) leave `from_account` and reach `to_account`.

    `reference` names what caused it: a fee, a charge, an adjustment, or the grant that began or
    expired.
    """

    asset: str
    from_account: str
    to_account: str
    units: int
    reference: str
    at: datetime


class Account(msgspec.Struct, frozen=True, gc=False):
    """One asset's balance inside a wallet, as of the instant it was last advanced to.

    `grants` are in force, with something left, in their order of use; `scheduled` begin later.
    `available_units` is their sum less `overdraft_units`; what the open `holds` have set aside is
    no longer part of it, but `pending_out_units`, and at limits what `counted` says. Before
    `next_change_at` (None: ever) the passing of time changes nothing. `nested_holds` counts those
    of `holds` that draw from another.
    """

    id: str
    name: str
    asset: str
    grants: tuple[Grant, ...] = ()
    scheduled: tuple[Grant, ...] = ()
    overdraft_units: int = 0
    overdraft_policy: OverdraftPolicy = "allow"
    overdraft_limit_units: int = 0
    available_units: int = 0
    next_change_at: datetime | None = None
    holds: Mapping[str, Hold] = {}
    pending_out_units: int = 0
    counted: Mapping[CounterKey, int] = {}
    nested_holds: int = 0
    watch: Watch = NOT_WATCHED

    @property
    def left_units(self) -> int:
        """What is not used yet: what is available, and what holds have set aside."""
        return self.available_units + self.pending_out_units

    @property
    def overdraft_account(self) -> str:
        """The ledger account that holds what was used beyond the grants."""
        return f"overdraft:{self.id}"


class Movement(msgspec.Struct, frozen=True, gc=False):
    """What one step did to an account: the account after it, its transfers, and which grants and
    holds it changed. `revived` has the ids of grants that were used up and are so no longer, `made`
    the grants that are new, as they were granted."""

    account: Account
    transfers: tuple[Transfer, ...] = ()
    grants: tuple[Grant, ...] = ()
    holds: tuple[Hold, ...] = ()
    revived: frozenset[str] = frozenset()
    made: tuple[Grant, ...] = ()


def account_id(name: str, asset: str) -> str:
    """Return the public id of a wallet account: `default:USD`."""
    return f"{name}:{asset}"


def open_account(identifier: str) -> Account:
    """Make an empty account from its id."""
    name, _, asset = identifier.rpartition(":")
    return Account(identifier, name, asset)


def restore_account(
    identifier: str,
    grants: list[Grant],
    overdraft_units: int,
    policy: OverdraftPolicy,
    limit_units: int,
    holds: Sequence[Hold] = (),
    watch: Watch = NOT_WATCHED,
) -> Account:
    """Rebuild an account from what was stored: every grant that still has something left, and
    every hold that is open."""
    name, _, asset = identifier.rpartition(":")
    # A stored grant counts as scheduled until `timeline.advance` has looked at it; one that had
    # begun before simply begins again, which repays an overdraft only if it still could.
    scheduled = tuple(sorted(grants, key=begins))
    instants = [hold.expires_at for hold in holds]
    if scheduled:
        instants.append(scheduled[0].effective_at)
    return Account(
        id=identifier,
        name=name,
        asset=asset,
        scheduled=scheduled,
        overdraft_units=overdraft_units,
        overdraft_policy=policy,
        overdraft_limit_units=limit_units,
        available_units=-overdraft_units,
        next_change_at=min(instants) if instants else None,
        holds={hold.id: hold for hold in holds},
        pending_out_units=sum(hold.held_units for hold in holds),
        counted=all_counted(holds),
        nested_holds=sum(hold.parent_id is not None for hold in holds),
        watch=watch,
    )


def begins(grant: Grant) -> tuple[datetime, str]:
    """Sort key: the grant that begins first comes first."""
    return (grant.effective_at, grant.id)


def settled(
    account: Account,
    grants: tuple[Grant, ...],
    scheduled: tuple[Grant, ...],
    overdraft_units: int,
    holds: Mapping[str, Hold],
) -> Account:
    """Return the account with these grants, overdraft and holds, its derived fields computed."""
    return Account(
        account.id,
        account.name,
        account.asset,
        grants,
        scheduled,
        overdraft_units,
        account.overdraft_policy,
        account.overdraft_limit_units,
        sum([g.remaining_units for g in grants]) - overdraft_units,
        next_change(grants, scheduled, holds),
        holds,
        sum([hold.held_units for hold in holds.values()]),
        all_counted(holds.values()),
        sum([hold.parent_id is not None for hold in holds.values()]),
        account.watch,
    )


def next_change(
    grants: Iterable[Grant], scheduled: tuple[Grant, ...], holds: Mapping[str, Hold]
) -> datetime | None:
    """Return the first instant at which a grant begins or expires or a hold expires, if any."""
    instants = [hold.expires_at for hold in holds.values()]
    instants += [g.expires_at for g in grants if g.expires_at is not None]
    if scheduled:
        instants.append(scheduled[0].effective_at)
    return min(instants) if instants else None


def overdraft_held(holds: Iterable[Hold]) -> int:
    """Return the units that holds have set aside beyond the grants; they are not used yet."""
    return sum([part.units for hold in holds for part in hold.parts if part.grant is None])
