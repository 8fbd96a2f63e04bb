"""What the rules know of one customer: subscriptions, accounts, and the remainders of rounding.
The state is a value: a decision returns a new one and leaves the old one as it was, so a batch
that fails to commit is forgotten by dropping a reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from faregate.core.accounts import Account, Movement, Transfer, open_account
from faregate.core.amounts import scaled, to_decimal
from faregate.core.collecting import Collection, next_try
from faregate.core.compiled import CompiledPrice, PricedAsset
from faregate.core.grants import Grant
from faregate.core.holds import Hold
from faregate.core.limiting import Limiting, Notice
from faregate.core.plan_fees import BookedPlanFee
from faregate.core.pricing import Match
from faregate.core.rules import NO_RULES, CustomerRules
from faregate.core.slices import Slices
from faregate.core.subscriptions import Subscription
from faregate.core.tiers import (
    NOTHING_COUNTED,
    Counted,
    TierCount,
    TierCounts,
    TierKey,
)
from faregate.core.timeline import advance
from faregate.core.volumes import VOLUME_DECIMALS

CarryKey = tuple[str, str]
"""A price's id and an asset's code."""
TierRowKey = tuple[str, int, str, int]
"""A price's id, when the period began, an asset's code and an entry's index."""
NO_TIER_COUNTS: Final[TierCounts] = {}
"""For commands that price nothing."""


class CustomerState(msgspec.Struct, frozen=True, gc=False):
    """One customer, as of the last command.

    `carries` has what rounding left over, per price and asset: a numerator over the price's
    denominator (`pricing.PricedAsset.denominator`), absent where it is zero. `due_at` is when the
    subscriptions, or collections that wait, bring something next by themselves, `credit_due_at`
    when grants do (None: never).
    """

    customer_id: str
    subscriptions: tuple[Subscription, ...] = ()
    accounts: Mapping[str, Account] = {}
    carries: Mapping[CarryKey, int] = {}
    rules: CustomerRules = NO_RULES
    due_at: datetime | None = None
    credit_due_at: datetime | None = None

    def account(self, identifier: str) -> Account:
        """Return the account, or an empty one that was never used."""
        return self.accounts.get(identifier) or open_account(identifier)

    def open_hold(self, hold_id: str) -> Hold | None:
        """Return a hold that was open at the last command."""
        for account in self.accounts.values():
            if hold_id in account.holds:
                return account.holds[hold_id]
        return None


def first_due(
    subscriptions: tuple[Subscription, ...], rules: CustomerRules = NO_RULES
) -> datetime | None:
    """Return the first instant at which one of them, or an account that its card tops up, brings
    something by itself; None: never."""
    instants = [s.due_at for s in subscriptions if s.due_at is not None]
    if rules.collecting and (tries_at := next_try(rules.collecting)) is not None:
        instants.append(tries_at)
    return min(instants, default=None)


def first_of(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two instants; None: never."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


class Changes:
    """What a command has changed so far; it becomes a `Decision` or is dropped.

    Collects what must be written: transfers in their order, and of everything else the newest
    version only. `hold` is the open hold out of which fees are paid first, if any; `slices` says
    that events are slices of one use; `limits` are those of the customer, None if there are none;
    `plan_fees` is what subscriptions were charged, `notices` who is to be told of it; `made` has
    the new grants as they were granted, each with its account; `collections` is what subscriptions
    ask of the customer's card; `tier_counts` has what the tiers of prices had counted before.
    """

    __slots__ = (
        "accounts",
        "carries",
        "changed_accounts",
        "collections",
        "grants",
        "hold",
        "holds",
        "limits",
        "made",
        "notices",
        "plan_fees",
        "revived",
        "slices",
        "state",
        "subscriptions",
        "tier_changes",
        "tier_counts",
        "tiers",
        "transfers",
    )

    def __init__(
        self,
        state: CustomerState,
        limits: Limiting | None = None,
        tier_counts: TierCounts = NO_TIER_COUNTS,
    ) -> None:
        self.state = state
        self.limits = limits
        self.tier_counts = tier_counts
        self.tiers: dict[TierKey, Counted] = {}
        self.tier_changes: dict[TierRowKey, int] = {}
        self.accounts: dict[str, Account] = dict(state.accounts)
        self.changed_accounts: dict[str, Account] = {}
        self.carries: dict[CarryKey, int] = {}
        self.grants: dict[str, tuple[str, Grant]] = {}
        self.transfers: list[Transfer] = []
        self.holds: dict[str, Hold] = {}
        self.revived: frozenset[str] = frozenset()
        self.hold: Hold | None = None
        self.slices: Slices | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.plan_fees: list[BookedPlanFee] = []
        self.notices: list[Notice] = []
        self.made: list[tuple[str, Grant]] = []
        self.collections: list[Collection] = []

    def advanced(self, identifier: str, now: datetime) -> Account:
        """Return the account brought forward to `now`."""
        account = self.accounts.get(identifier)
        if account is None:
            return open_account(identifier)
        if account.next_change_at is not None and account.next_change_at <= now:
            moved = advance(account, now)
            self.put(moved)
            return moved.account
        return account

    def put(self, moved: Movement) -> None:
        """Record an account's new version, with what made it."""
        account = moved.account
        before = self.accounts.get(account.id)
        self.accounts[account.id] = account
        if before is None or before.overdraft_units != account.overdraft_units:
            self.changed_accounts[account.id] = account
        self.transfers += moved.transfers
        for grant in moved.grants:
            self.grants[grant.id] = (account.id, grant)
        for hold in moved.holds:
            self.holds[hold.id] = hold
        if moved.revived:
            self.revived |= moved.revived
        if moved.made:
            self.made += [(account.id, grant) for grant in moved.made]

    def carry(self, key: CarryKey) -> int:
        """Return what rounding left over of this price so far."""
        found = self.carries.get(key)
        return self.state.carries.get(key, 0) if found is None else found

    def counted(self, compiled: CompiledPrice, from_us: int) -> Counted:
        """Return what a price's tiers have counted so far in the period that began then."""
        if compiled.tiering is None:
            return NOTHING_COUNTED
        key = (compiled.id, from_us)
        found = self.tiers.get(key)
        return self.tier_counts[key] if found is None else found

    def count(
        self, compiled: CompiledPrice, priced: PricedAsset, match: Match, from_us: int
    ) -> TierCount:
        """Count what a price's tiers count of a use in the period that began then; returns it."""
        key, entry = (compiled.id, from_us), (priced.asset.code, match.entry)
        now = match.counted + match.quantity
        self.tiers[key] = {**self.counted(compiled, from_us), entry: now}
        self.tier_changes[*key, *entry] = now
        before, quantity = [
            to_decimal(parts, VOLUME_DECIMALS) for parts in (match.counted, match.quantity)
        ]
        return TierCount(from_us, match.entry, before, quantity)

    def uncount(self, price_id: str, asset: str, counted: TierCount) -> None:
        """Take back what a price's tiers have counted of a fee that is given back."""
        key, entry = (price_id, counted.from_us), (asset, counted.entry)
        before = self.tiers.get(key)
        if before is None:
            before = self.tier_counts[key]
        now = before.get(entry, 0) - (scaled(counted.quantity, VOLUME_DECIMALS) or 0)
        self.tiers[key] = {**before, entry: now}
        self.tier_changes[*key, *entry] = now

    def advanced_accounts(self, now: datetime) -> list[Account]:
        """Return all accounts brought forward to `now`."""
        return [self.advanced(identifier, now) for identifier in list(self.accounts)]

    def balances(self, now: datetime) -> dict[str, int]:
        """Return the units available in every account of the wallet."""
        return {
            identifier: account.available_units
            if account.next_change_at is None or now < account.next_change_at
            else self.advanced(identifier, now).available_units
            for identifier, account in list(self.accounts.items())
        }

    def snapshot(self) -> tuple[object, ...]:
        """Return a copy of what was changed so far, for `restore`."""
        return (
            dict(self.accounts),
            dict(self.changed_accounts),
            dict(self.carries),
            dict(self.grants),
            list(self.transfers),
            dict(self.holds),
            self.revived,
            dict(self.tiers),
            dict(self.tier_changes),
            dict(self.subscriptions),
            list(self.plan_fees),
            list(self.notices),
            list(self.made),
            list(self.collections),
            None if self.limits is None else self.limits.snapshot(),
        )

    def restore(self, before: tuple[object, ...]) -> None:
        """Forget everything since that snapshot."""
        (
            self.accounts,
            self.changed_accounts,
            self.carries,
            self.grants,
            self.transfers,
            self.holds,
            self.revived,
            self.tiers,
            self.tier_changes,
            self.subscriptions,
            self.plan_fees,
            self.notices,
            self.made,
            self.collections,
            limits,
        ) = before  # type: ignore[assignment]
        if self.limits is not None:
            self.limits.restore(limits)  # type: ignore[arg-type]

    def all_subscriptions(self) -> tuple[Subscription, ...]:
        """Return the customer's subscriptions as they are now, the oldest first."""
        before, now = self.state.subscriptions, self.subscriptions
        if not now:
            return before
        known = {subscription.id for subscription in before}
        new = [subscription for name, subscription in now.items() if name not in known]
        return (*[now.get(s.id, s) for s in before], *new)

    def new_state(self) -> CustomerState:
        """Return the customer's state with all changes in it."""
        state = self.state
        subscriptions, due_at = state.subscriptions, state.due_at
        if self.subscriptions:
            subscriptions = self.all_subscriptions()
            due_at = first_due(subscriptions, state.rules)
        carries = state.carries
        if self.carries:
            carries = {k: v for k, v in {**carries, **self.carries}.items() if v}
        return CustomerState(
            state.customer_id,
            subscriptions,
            self.accounts,
            carries,
            state.rules,
            due_at,
            state.credit_due_at,
        )
