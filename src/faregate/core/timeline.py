"""How time changes an account. `advance` brings it forward to `now`, applying in their order the
instants at which grants began (a beginning grant first repays the overdraft) and expired (what
is left breaks), and at which holds expired (what they had set aside goes back). It gives the same
result however often, and however late, somebody looks, so no job has to run on time.
"""

from __future__ import annotations

from bisect import insort
from datetime import datetime

from msgspec import structs

from faregate.core.accounts import (
    BREAKAGE,
    Account,
    Movement,
    Transfer,
    next_change,
    overdraft_held,
    settled,
)
from faregate.core.grants import Grant, order_of_use, with_remaining
from faregate.core.holds import Hold, HoldPart, HoldStatus, joined, recounted


class Step:
    """What a step does: transfers in their order, grants and holds in their newest version, and
    which grants it has made."""

    __slots__ = ("grants", "holds", "made", "revived", "transfers")

    def __init__(self) -> None:
        self.transfers: list[Transfer] = []
        self.grants: dict[str, Grant] = {}
        self.holds: dict[str, Hold] = {}
        self.revived: set[str] = set()
        self.made: tuple[Grant, ...] = ()


class Draft:
    """An account while a step changes it, and what the step does."""

    __slots__ = (
        "account",
        "grants",
        "holds",
        "nested_holds",
        "overdraft_units",
        "scheduled",
        "step",
    )

    def __init__(self, account: Account) -> None:
        self.account = account
        self.grants = list(account.grants)
        self.scheduled = account.scheduled
        self.overdraft_units = account.overdraft_units
        self.holds: dict[str, Hold] = dict(account.holds)
        self.nested_holds = account.nested_holds
        self.step = Step()

    def move(self, source: str, target: str, units: int, reference: str, at: datetime) -> None:
        """Note a transfer."""
        self.step.transfers.append(
            Transfer(self.account.asset, source, target, units, reference, at)
        )

    def put(self, hold: Hold) -> None:
        """Replace a hold by its newest version; one that has ended is no longer open."""
        self.step.holds[hold.id] = hold
        is_nested = hold.parent_id is not None
        if hold.status == "authorized":
            self.nested_holds += is_nested and hold.id not in self.holds
            self.holds[hold.id] = hold
        elif self.holds.pop(hold.id, None) is not None:
            self.nested_holds -= is_nested

    def parent_of(self, hold: Hold) -> Hold | None:
        """Return the open hold that this one draws from, if any."""
        return None if hold.parent_id is None else self.holds.get(hold.parent_id)

    def begin(self, grant: Grant, at: datetime) -> None:
        """Let a grant be spent, after it has repaid what was used beyond the grants (one that is
        limited to some uses does not: nobody knows for what that was).

        What holds have set aside beyond the grants is not used yet: it is not repaid.
        """
        if self.overdraft_units and grant.limited_to is None:
            used = self.overdraft_units - overdraft_held(self.holds.values())
            repaid = min(used, grant.remaining_units)
            if repaid:
                self.overdraft_units -= repaid
                self.move(grant.id, self.account.overdraft_account, repaid, grant.id, at)
                grant = with_remaining(grant, grant.remaining_units - repaid)
                self.step.grants[grant.id] = grant
        if grant.remaining_units:
            insort(self.grants, grant, key=order_of_use)

    def give_back(self, hold_id: str, parts: tuple[HoldPart, ...], at: datetime) -> None:
        """Let parts of a hold go back to where they came from; what came from a grant that has
        expired breaks. The hold itself no longer has them."""
        for part in parts:
            if part.grant is None:
                self.move(hold_id, self.account.overdraft_account, part.units, hold_id, at)
                self.overdraft_units -= part.units
        for part in parts:
            grant, units = part.grant, part.units
            if grant is None:
                continue
            if grant.expires_at is not None and grant.expires_at <= at:
                self.move(hold_id, BREAKAGE, units, grant.id, at)
                continue
            self.move(hold_id, grant.id, units, hold_id, at)
            self.put_back(grant, units, at)

    def put_back(self, grant: Grant, units: int, at: datetime) -> None:
        """Let a grant that is in force have units again, in its old place; it may be used up, and
        what it says itself that is left of it may be out of date."""
        for index, present in enumerate(self.grants):
            if present.id == grant.id:
                units += present.remaining_units
                del self.grants[index]
                break
        else:
            self.step.revived.add(grant.id)
        grant = with_remaining(grant, units)
        self.step.grants[grant.id] = grant
        self.begin(grant, at)

    def release(self, hold: Hold, parts: tuple[HoldPart, ...], at: datetime) -> None:
        """Let parts that a hold no longer has go back to its parent, or where they came from."""
        parent = self.parent_of(hold)
        if parent is None:
            self.give_back(hold.id, parts, at)
        elif parts:
            self.move(hold.id, parent.id, sum([part.units for part in parts]), hold.id, at)
            self.put(structs.replace(parent, parts=joined(parent.parts, parts)))

    def end(self, hold: Hold, status: HoldStatus, at: datetime) -> Hold:
        """End a hold, and before it those that draw from it: what they have set aside goes back.

        Returns the hold as it is then.
        """
        self.end_below(hold, "voided" if status == "captured" else status, at)
        hold = self.holds[hold.id]
        ended = structs.replace(hold, status=status, parts=(), settled_at=at)
        self.put(ended)
        self.release(hold, hold.parts, at)
        return ended

    def end_below(self, hold: Hold, status: HoldStatus, at: datetime) -> None:
        """End the holds that draw from this one."""
        if not self.nested_holds:
            # Nearly always; the others are not looked through for nothing.
            return
        for child in list(self.holds.values()):
            if child.parent_id == hold.id:
                self.end(child, status, at)

    def movement(self) -> Movement:
        """Return what the step has come to."""
        return self.moved_to(self._account())

    def _account(self) -> Account:
        """Return the account after the step, in a time that does not grow with its open holds.

        `next_change_at` may be too early, of something that is no more: then `advance` looks once
        for nothing.
        """
        account, grants = self.account, tuple(self.grants)
        pending, change = account.pending_out_units, account.next_change_at
        counted = account.counted
        is_counted = bool(counted)
        for hold in self.step.holds.values():
            before = account.holds.get(hold.id)
            pending += hold.held_units - (0 if before is None else before.held_units)
            if hold.id in self.holds and (change is None or hold.expires_at < change):
                change = hold.expires_at
            is_counted = is_counted or bool(hold.counts)
        if is_counted:
            changed = self.step.holds
            counted = recounted(
                counted, [(account.holds.get(name), self.holds.get(name)) for name in changed]
            )
        available = -self.overdraft_units
        for grant in grants:
            available += grant.remaining_units
            if grant.expires_at is not None and (change is None or grant.expires_at < change):
                change = grant.expires_at
        return Account(
            account.id,
            account.name,
            account.asset,
            grants,
            self.scheduled,
            self.overdraft_units,
            account.overdraft_policy,
            account.overdraft_limit_units,
            available,
            change,
            self.holds,
            pending,
            counted,
            self.nested_holds,
            account.watch,
        )

    def moved_to(self, account: Account) -> Movement:
        """Return what the step has come to, given the account after it."""
        step = self.step
        grants, changed = tuple(step.grants.values()), tuple(step.holds.values())
        revived = frozenset(step.revived)
        return Movement(account, tuple(step.transfers), grants, changed, revived, step.made)


def advance(account: Account, now: datetime) -> Movement:
    """Bring the account forward to `now`: let grants begin and expire, and holds expire, each at
    its instant.

    At one and the same instant grants expire first, then holds, then others begin. Transfers
    carry the instant at which they took effect, not the one at which somebody looked.
    """
    if account.next_change_at is None or now < account.next_change_at:
        return Movement(account)
    draft = Draft(account)
    at: datetime | None = account.next_change_at
    while at is not None and at <= now:
        _apply(draft, at)
        at = next_change(draft.grants, draft.scheduled, draft.holds)
    after = settled(
        account, tuple(draft.grants), draft.scheduled, draft.overdraft_units, draft.holds
    )
    return draft.moved_to(after)


def _apply(draft: Draft, at: datetime) -> None:
    """Apply everything that happens at exactly this instant."""
    grants, draft.grants = draft.grants, []
    for grant in grants:
        if grant.expires_at is None or at < grant.expires_at:
            draft.grants.append(grant)
            continue
        draft.move(grant.id, BREAKAGE, grant.remaining_units, grant.id, at)
        draft.step.grants[grant.id] = with_remaining(grant, 0)
    # Those that draw from others first, so that all of it comes back at once; then the oldest, so
    # that it is the same grants that repay an overdraft whatever order the holds were read in.
    due = [hold for hold in draft.holds.values() if hold.expires_at <= at]
    for hold in sorted(due, key=_deepest):
        if hold.id in draft.holds:
            draft.end(draft.holds[hold.id], "expired", at)
    begun = 0
    for grant in draft.scheduled:
        if at < grant.effective_at:
            break
        begun += 1
        draft.begin(grant, at)
    draft.scheduled = draft.scheduled[begun:]


def _deepest(hold: Hold) -> tuple[int, str]:
    return (-hold.depth, hold.id)
