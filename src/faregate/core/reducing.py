"""What is left to pay of a usage fee: the discounts of the subscription that prices the use are
taken off, percentages first, then amounts; then commitments cut what is over their maximum, and
count the rest.

Whether a discount counts is judged by when the use occurred; what it, or a commitment, has come to
is counted when the fee is booked, in the period that is under way then.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import structs

from faregate.core.commitments import PlanCommitment
from faregate.core.compiled import CompiledPrice
from faregate.core.customers import CarryKey, Changes
from faregate.core.discounting import carry_name
from faregate.core.discounts import amount_off, in_order, percent_off
from faregate.core.subscriptions import (
    CLOCK_SKEW,
    CatalogView,
    Cycle,
    Subscription,
    subscription_to,
)


class Reduced(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was taken off a fee, in units: by discounts (with their codes), and because a commitment
    had reached its maximum. As JSON an array: new fields come last."""

    discounts: tuple[tuple[str, int], ...] = ()
    capped_units: int = 0

    @property
    def discount_units(self) -> int:
        """What discounts took off."""
        return sum([units for _, units in self.discounts])

    @property
    def units(self) -> int:
        """All that was taken off."""
        return self.discount_units + self.capped_units


class Reducing:
    """The reductions of one use that occurred at `at` and is priced at `now`. Nothing of it is
    among the changes before `keep`; an estimate keeps nothing."""

    __slots__ = ("_at", "_carries", "_catalog", "_changed", "_changes", "_now", "warnings")

    def __init__(self, changes: Changes, catalog: CatalogView, at: datetime, now: datetime) -> None:
        self.warnings: list[str] = []
        self._changes = changes
        self._catalog = catalog
        self._at = at
        self._now = now
        self._changed: dict[str, Subscription] = {}
        self._carries: dict[CarryKey, int] = {}

    def reduce(self, compiled: CompiledPrice, asset: str, units: int) -> Reduced | None:
        """Return what is taken off a fee of so many units under a price; None: nothing."""
        subscriptions = self._changes.all_subscriptions()
        found = subscription_to(subscriptions, compiled.product_id, self._at)
        if found is None or not units:
            return None
        subscription = self._changed.get(found.id, found)
        left = units
        taken: list[tuple[str, int]] = []
        if subscription.terms.discounts:
            subscription, taken = self._discounted(subscription, compiled, asset, units)
            left -= sum([off for _, off in taken])
        capped = 0
        if left:
            subscription, capped = self._committed(subscription, compiled, asset, left)
        if subscription is not found:
            self._changed[found.id] = subscription
        return Reduced(tuple(taken), capped) if taken or capped else None

    def keep(self) -> None:
        """Count in what was reduced."""
        self._changes.subscriptions |= self._changed
        self._changes.carries |= self._carries

    def _discounted(
        self, subscription: Subscription, compiled: CompiledPrice, asset: str, units: int
    ) -> tuple[Subscription, list[tuple[str, int]]]:
        discounts = {discount.code: discount for discount in subscription.terms.discounts}
        left, taken = units, []
        for discount in in_order(subscription.terms.discounts):
            counts = discount.counts_at(self._at, CLOCK_SKEW)
            if not (counts and discount.counts_for(compiled.product_id, asset)):
                continue
            if discount.coupon.percent:
                key = (carry_name(subscription.id, discount.code), asset)
                before = self._carries.get(key)
                if before is None:
                    before = self._changes.carry(key)
                off, self._carries[key] = percent_off(before, left, discount.coupon.percent)
            else:
                discounts[discount.code], off = amount_off(discount, left, self._now)
            if off:
                left -= off
                taken.append((discount.code, off))
        changed = tuple(discounts.values())
        # Percentages are counted beside the subscription, which is not written for them.
        if any(a is not b for a, b in zip(changed, subscription.terms.discounts, strict=True)):
            terms = structs.replace(subscription.terms, discounts=changed)
            subscription = structs.replace(subscription, terms=terms)
        return subscription, taken

    def _committed(
        self, subscription: Subscription, compiled: CompiledPrice, asset: str, units: int
    ) -> tuple[Subscription, int]:
        """Return the subscription with what its commitments count of a fee, and what is over."""
        counting: list[tuple[int, PlanCommitment]] = []
        for number, cycle in enumerate(subscription.cycles):
            if cycle.product_id != compiled.product_id or cycle.from_at is None:
                continue
            item = (
                self._catalog.products[cycle.product_id].versions[cycle.version].item(cycle.item_id)
            )
            if isinstance(item, PlanCommitment) and item.counts(asset, compiled.event_type):
                counting.append((number, item))
        if not counting:
            return subscription, 0
        left = units
        cycles = list(subscription.cycles)
        for number, plan in counting:
            if plan.maximum_units is None:
                continue
            room = max(0, plan.maximum_units - self._spent(cycles[number]))
            if left > room:
                left = room
                self.warnings.append(plan.reached(cycles[number].to_at or self._now))
        if not left:
            return subscription, units
        for number, _ in counting:
            cycle = cycles[number]
            spent = self._spent(cycle) + left
            if self._is_late(cycle):
                cycles[number] = structs.replace(cycle, late_units=spent)
            else:
                cycles[number] = structs.replace(cycle, spent_units=spent)
        return structs.replace(subscription, cycles=tuple(cycles)), units - left

    def _is_late(self, cycle: Cycle) -> bool:
        """Tell whether a period is over, and the next one waits for its renewal to be paid."""
        return cycle.to_at is not None and cycle.to_at <= self._now

    def _spent(self, cycle: Cycle) -> int:
        return cycle.late_units if self._is_late(cycle) else cycle.spent_units
