"""How commands change an account: credit adds a grant, a debit takes units from the grants in
their order of use and then from the overdraft, a hold sets units aside, and what is captured of a
hold is paid out of it first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import structs

from faregate.core.accounts import REVENUE, Account, Movement, Transfer, begins, settled
from faregate.core.amounts import MAX_UNITS, plain, to_decimal
from faregate.core.grants import Grant, Purpose, burn, is_for
from faregate.core.holds import Hold, HoldPart, joined, recounted, take
from faregate.core.problems import INSUFFICIENT_FUNDS, Problem, invalid
from faregate.core.timeline import Draft, advance


def credit(account: Account, grant: Grant, source: str, reference: str, at: datetime) -> Movement:
    """Add a grant, paid for from the ledger account `source`.

    If it is effective already it first repays the overdraft. Use on an account that was advanced
    to `at`.
    """
    added = Transfer(account.asset, source, grant.id, grant.amount_units, reference, at)
    scheduled = (*account.scheduled, grant)
    if account.scheduled:
        scheduled = tuple(sorted(scheduled, key=begins))
    waiting = settled(account, account.grants, scheduled, account.overdraft_units, account.holds)
    # A backdated grant counts from its beginning, but moves money only from now on.
    begun = advance(waiting, at)
    transfers = tuple([t if t.at >= at else structs.replace(t, at=at) for t in begun.transfers])
    changed = {grant.id: grant} | {g.id: g for g in begun.grants}
    return Movement(
        begun.account,
        (added, *transfers),
        tuple(changed.values()),
        begun.holds,
        begun.revived,
        (grant,),
    )


def check_credit(account: Account, units: int) -> Problem | None:
    """Refuse a credit that would lift the account's balance beyond what the ledger can hold."""
    held = sum(grant.remaining_units for grant in account.grants + account.scheduled)
    held += account.pending_out_units
    if held + units > MAX_UNITS:
        return invalid("amount", "would lift the balance beyond what the ledger can hold")
    return None


def debit(
    account: Account,
    units: int,
    destination: str,
    reference: str,
    at: datetime,
    scale: int,
    wanted: Purpose | None = None,
) -> Movement | Problem:
    """Take units from the grants in their order of use, then from the overdraft. `wanted` says for
    what, where a grant may be limited to it.

    Refused, with nothing changed, if the account's overdraft policy forbids what is missing.
    `scale` is only used to write amounts in the refusal. Use on an account advanced to `at`.
    """
    if not units:
        return Movement(account)
    if units > MAX_UNITS:
        return invalid("amount", "is more than the ledger can hold in one movement")
    grants, uses, missing = burn(account.grants, units, wanted)
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
        account.holds,
        account.pending_out_units,
        account.counted,
        account.nested_holds,
        account.watch,
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


def fundable(account: Account, wanted: Purpose | None = None) -> int:
    """Return how many units a hold may set aside for what is wanted: what is there, and a limited
    overdraft.

    An overdraft that is allowed without limit is for what has already happened; a promise for what
    is about to happen needs credit behind it. Use on an account that was advanced.
    """
    return max(0, credit_line(account, wanted))


def credit_line(account: Account, wanted: Purpose | None = None) -> int:
    """Return `fundable`, which is negative where the account is below its floor already."""
    line = account.overdraft_limit_units if account.overdraft_policy == "limit" else 0
    line += account.available_units
    for grant in account.grants:
        if grant.terms is not None and not is_for(grant.terms.limited_to, wanted):
            line -= grant.remaining_units
    return line


def set_aside(
    account: Account, units: int, hold: Hold, at: datetime, wanted: Purpose | None = None
) -> Movement:
    """Take units, at most `fundable`, out of the grants in their order of use, then out of the
    overdraft, and add them to a hold (a new one, or one of the account's) that draws from none.

    Use on an account that was advanced to `at`.
    """
    grants, uses, missing = burn(account.grants, units, wanted)
    asset = account.asset
    changed: list[Grant] = []
    transfers: list[Transfer] = []
    parts: list[HoldPart] = []
    for grant, taken in uses:
        changed.append(grant)
        transfers.append(Transfer(asset, grant.id, hold.id, taken, hold.id, at))
        parts.append(HoldPart(grant, taken))
    if missing:
        source = account.overdraft_account
        transfers.append(Transfer(asset, source, hold.id, missing, hold.id, at))
        parts.append(HoldPart(None, missing))
    kept = tuple(parts)
    if hold.parts:
        kept = joined(hold.parts, kept)
    hold = structs.replace(hold, parts=kept, amount_units=hold.amount_units + units)
    change = account.next_change_at
    counted = account.counted
    if counted or hold.counts:
        counted = recounted(counted, [(account.holds.get(hold.id), hold)])
    if change is None or hold.expires_at < change:
        change = hold.expires_at
    after = Account(
        account.id,
        account.name,
        asset,
        grants,
        account.scheduled,
        account.overdraft_units + missing,
        account.overdraft_policy,
        account.overdraft_limit_units,
        account.available_units - units,
        change,
        {**account.holds, hold.id: hold},
        account.pending_out_units + units,
        counted,
        account.nested_holds,
        account.watch,
    )
    return Movement(after, tuple(transfers), tuple(changed), (hold,))


def pay(
    draft: Draft,
    hold_id: str,
    units: int,
    destination: str,
    reference: str,
    at: datetime,
    wanted: Purpose | None = None,
) -> int | Problem:
    """Pay units out of an open hold, then out of those that it draws from.

    What a hold has set aside pays whatever is captured on it; what was set aside beyond the grants
    is paid by grants that have come meanwhile. Returns the units that the holds do not have. All of
    the holds count all of the units as captured on them.
    """
    name: str | None = hold_id
    missing = units
    while name is not None:
        hold = draft.holds.get(name)
        if hold is None:
            break
        captured = hold.captured_units + units
        if captured > MAX_UNITS:
            return invalid("amount", f"{name} has captured all that the ledger can count on it")
        rest, taken, missing = take(hold.parts, missing)
        draft.put(structs.replace(hold, parts=rest, captured_units=captured))
        for part in taken:
            owed = part.units
            if part.grant is None:
                grants, uses, owed = burn(tuple(draft.grants), part.units, wanted)
                draft.grants = list(grants)
                for grant, used in uses:
                    draft.move(grant.id, destination, used, reference, at)
                    draft.step.grants[grant.id] = grant
                back = part.units - owed
                if back:
                    draft.give_back(name, (HoldPart(None, back),), at)
            if owed:
                draft.move(name, destination, owed, reference, at)
        name = hold.parent_id
    return missing


def paid_out_of(account: Account, transfers: Sequence[Transfer]) -> tuple[tuple[str, int], ...]:
    """Say who paid what was debited, given the account before it: a grant or the overdraft, and
    units; of what a hold had set aside, where that came from."""
    paid: list[tuple[str, int]] = []
    parts = {name: hold.parts for name, hold in account.holds.items()}
    for transfer in transfers:
        name = transfer.from_account
        if name not in parts:
            if transfer.to_account == REVENUE:
                paid.append((name, transfer.units))
            continue
        if transfer.to_account != REVENUE:
            continue
        parts[name], taken, missing = take(parts[name], transfer.units)
        if missing:
            raise AssertionError(f"{name} has paid more than it had set aside")
        for part in taken:
            source = account.overdraft_account if part.grant is None else part.grant.id
            paid.append((source, part.units))
    return tuple(paid)


def debit_hold(
    account: Account,
    hold_id: str,
    units: int,
    destination: str,
    reference: str,
    at: datetime,
    scale: int,
    wanted: Purpose | None = None,
) -> Movement | Problem:
    """Take units out of an open hold and those that it draws from, and the rest as `debit` does.

    Use on an account advanced to `at`.
    """
    if not units:
        return Movement(account)
    draft = Draft(account)
    missing = pay(draft, hold_id, units, destination, reference, at, wanted)
    if isinstance(missing, Problem):
        return missing
    moved = draft.movement()
    if not missing:
        return moved
    rest = debit(moved.account, missing, destination, reference, at, scale, wanted)
    if isinstance(rest, Problem):
        return rest
    return Movement(
        rest.account,
        moved.transfers + rest.transfers,
        tuple({grant.id: grant for grant in moved.grants + rest.grants}.values()),
        moved.holds,
        moved.revived,
    )
