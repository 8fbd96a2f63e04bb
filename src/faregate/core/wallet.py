"""A customer's wallet: one account per asset (and name), and how its balance changes.

    balance = sum of the grants in force - overdraft used

Nothing changes a balance but *transfers*: each moves units of one asset from one ledger account
to another, so all transfers of an asset sum to zero by construction. Ledger accounts are

    grt_...               what is left of a grant (the customer's)
    overdraft:default:USD what the customer has used beyond the grants (the customer's, <= 0)
    revenue               fees and charges earned (the operator's)
    breakage              what expired unused (the operator's)
    adjustments:gift ...  where adjustments come from and go to, by reason (the operator's)

Time is handled by `advance`: it brings an account forward to `now`, applying in their order the
instants at which grants began (a beginning grant first repays the overdraft) and expired (what
is left breaks). It gives the same result however often, and however late, somebody looks, so no
job has to run on time.
"""

from __future__ import annotations

from bisect import insort
from datetime import datetime
from typing import Final, Literal

import msgspec
from msgspec import structs

from faregate.core.amounts import MAX_UNITS, plain, to_decimal
from faregate.core.grants import Grant, burn, order_of_use, with_remaining
from faregate.core.problems import INSUFFICIENT_FUNDS, Problem, invalid

REVENUE: Final = "revenue"
BREAKAGE: Final = "breakage"
DEFAULT_ACCOUNT: Final = "default"

OverdraftPolicy = Literal["allow", "limit", "reject"]


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
    `available_units` is their sum less `overdraft_units`. Before `next_change_at` (None: ever)
    the passing of time changes nothing.
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

    @property
    def overdraft_account(self) -> str:
        """The ledger account that holds what was used beyond the grants."""
        return f"overdraft:{self.id}"


class Movement(msgspec.Struct, frozen=True, gc=False):
    """What one step did to an account: the account after it, its transfers, the grants changed."""

    account: Account
    transfers: tuple[Transfer, ...] = ()
    grants: tuple[Grant, ...] = ()


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
) -> Account:
    """Rebuild an account from what was stored: every grant that still has something left."""
    name, _, asset = identifier.rpartition(":")
    # A stored grant counts as scheduled until `advance` has looked at it; one that had begun
    # before simply begins again, which repays an overdraft only if it still could.
    scheduled = tuple(sorted(grants, key=_begins))
    first = scheduled[0].effective_at if scheduled else None
    return Account(
        id=identifier,
        name=name,
        asset=asset,
        scheduled=scheduled,
        overdraft_units=overdraft_units,
        overdraft_policy=policy,
        overdraft_limit_units=limit_units,
        available_units=-overdraft_units,
        next_change_at=first,
    )


def _begins(grant: Grant) -> tuple[datetime, str]:
    return (grant.effective_at, grant.id)


def _settled(
    account: Account,
    grants: tuple[Grant, ...],
    scheduled: tuple[Grant, ...],
    overdraft_units: int,
) -> Account:
    """Return the account with these grants and overdraft, its derived fields computed anew."""
    instants = [g.expires_at for g in grants if g.expires_at is not None]
    if scheduled:
        instants.append(scheduled[0].effective_at)
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
        min(instants) if instants else None,
    )


def advance(account: Account, now: datetime) -> Movement:
    """Bring the account forward to `now`: let grants begin and expire, each at its instant.

    At one and the same instant grants expire first and then others begin. Transfers carry the
    instant at which they took effect, not the one at which somebody looked.
    """
    if account.next_change_at is None or now < account.next_change_at:
        return Movement(account)
    transfers: list[Transfer] = []
    changed: dict[str, Grant] = {}
    while account.next_change_at is not None and account.next_change_at <= now:
        account = _step(account, account.next_change_at, transfers, changed)
    return Movement(account, tuple(transfers), tuple(changed.values()))


def _step(
    account: Account, at: datetime, transfers: list[Transfer], changed: dict[str, Grant]
) -> Account:
    """Apply everything that happens at exactly this instant."""
    kept: list[Grant] = []
    for grant in account.grants:
        if grant.expires_at is None or at < grant.expires_at:
            kept.append(grant)
            continue
        transfers.append(
            Transfer(account.asset, grant.id, BREAKAGE, grant.remaining_units, grant.id, at)
        )
        changed[grant.id] = with_remaining(grant, 0)
    overdraft = account.overdraft_units
    begun = 0
    for grant in account.scheduled:
        if at < grant.effective_at:
            break
        begun += 1
        repaid = min(overdraft, grant.remaining_units)
        if repaid:
            overdraft -= repaid
            transfers.append(
                Transfer(account.asset, grant.id, account.overdraft_account, repaid, grant.id, at)
            )
            grant = with_remaining(grant, grant.remaining_units - repaid)
            changed[grant.id] = grant
        if grant.remaining_units:
            insort(kept, grant, key=order_of_use)
    return _settled(account, tuple(kept), account.scheduled[begun:], overdraft)


def credit(account: Account, grant: Grant, source: str, reference: str, at: datetime) -> Movement:
    """Add a grant, paid for from the ledger account `source`.

    If it is effective already it first repays the overdraft. Use on an account that was advanced
    to `at`.
    """
    added = Transfer(account.asset, source, grant.id, grant.amount_units, reference, at)
    scheduled = (*account.scheduled, grant)
    if account.scheduled:
        scheduled = tuple(sorted(scheduled, key=_begins))
    waiting = _settled(account, account.grants, scheduled, account.overdraft_units)
    # A backdated grant counts from its beginning, but moves money only from now on.
    begun = advance(waiting, at)
    transfers = tuple([t if t.at >= at else structs.replace(t, at=at) for t in begun.transfers])
    changed = {grant.id: grant} | {g.id: g for g in begun.grants}
    return Movement(begun.account, (added, *transfers), tuple(changed.values()))


def check_credit(account: Account, units: int) -> Problem | None:
    """Refuse a credit that would lift the account's balance beyond what the ledger can hold."""
    held = sum(grant.remaining_units for grant in account.grants + account.scheduled)
    if held + units > MAX_UNITS:
        return invalid("amount", "would lift the balance beyond what the ledger can hold")
    return None


def debit(
    account: Account, units: int, destination: str, reference: str, at: datetime, scale: int
) -> Movement | Problem:
    """Take units from the grants in their order of use, then from the overdraft.

    Refused, with nothing changed, if the account's overdraft policy forbids what is missing.
    `scale` is only used to write amounts in the refusal. Use on an account advanced to `at`.
    """
    if not units:
        return Movement(account)
    if units > MAX_UNITS:
        return invalid("amount", "is more than the ledger can hold in one movement")
    grants, uses, missing = burn(account.grants, units)
    overdraft = account.overdraft_units
    if missing:
        refusal = _check_overdraft(account, units, overdraft + missing, scale)
        if refusal is not None:
            return refusal
        overdraft += missing
    asset = account.asset
    transfers = [Transfer(asset, g.id, destination, taken, reference, at) for g, taken in uses]
    if missing:
        transfers.append(
            Transfer(asset, account.overdraft_account, destination, missing, reference, at)
        )
    after = Account(
        account.id,
        account.name,
        asset,
        grants,
        account.scheduled,
        overdraft,
        account.overdraft_policy,
        account.overdraft_limit_units,
        account.available_units - units,
        # May now be too early, if the grant that was to expire next is used up. Then `advance`
        # looks once for nothing.
        account.next_change_at,
    )
    return Movement(after, tuple(transfers), tuple([grant for grant, _ in uses]))


def _check_overdraft(account: Account, units: int, overdraft: int, scale: int) -> Problem | None:
    policy = account.overdraft_policy
    if policy == "allow":
        if overdraft <= MAX_UNITS:
            return None
        return invalid("amount", "would take the balance below what the ledger can hold")
    allowed = account.overdraft_limit_units if policy == "limit" else 0
    if overdraft <= allowed:
        return None
    amount = plain(to_decimal(units, scale))
    available = plain(to_decimal(account.available_units, scale))
    floor = f"it may go down to {plain(to_decimal(-allowed, scale))}" if allowed else "no overdraft"
    return Problem(
        INSUFFICIENT_FUNDS,
        f"{amount} {account.asset} is needed and {account.id} has {available} ({floor}): "
        f"top up at least {plain(to_decimal(overdraft - allowed, scale))} {account.asset}",
    )
