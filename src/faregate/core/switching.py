"""What moving to another version, or to other seats, means for the period under way. The periods
stay where they are: the old price's rest of the period is given back, the new price's is charged
(or neither, where nothing is prorated); what the credit that was included becomes, is a setting:

    keep      what is left stays until the period ends, the new credit comes with the next one
    prorate   as if each had been had for its part of the period
    replace   as if the new one had been had for the whole period

In the last two what was used counts: who has used more than that has nothing left, and owes
nothing.

A commitment goes on where the new version has one that counts the same: what was spent counts, and
the least of the period is as if each had been had for its part. Else what is missing of it is
charged at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import structs

from faregate.core.commitments import PlanCommitment
from faregate.core.customers import Changes
from faregate.core.cycles import (
    Line,
    commitment_lines,
    expiry,
    give,
    is_paid_ahead,
    lines_back,
    new_cycles,
    owed,
    period_share,
    present,
    price_line,
    take_back,
    with_expiry,
)
from faregate.core.ids import derived_id
from faregate.core.plans import PlanCredit, PlanPrice, share
from faregate.core.subscriptions import (
    CatalogView,
    CompiledVersion,
    Cycle,
    PlanItem,
    Subscription,
)

Credits = Literal["keep", "prorate", "replace"]


class Switch:
    """A product of a subscription on its way to another version (or to other seats, which `after`
    has already). `at` is where its periods stand, `now` when that is looked at (later in a pause,
    or if a renewal could not be paid before); `name` tells this change from others."""

    def __init__(
        self,
        changes: Changes,
        catalog: CatalogView,
        after: Subscription,
        version: CompiledVersion,
        product_id: str,
        at: datetime,
        now: datetime,
        name: str,
        *,
        prorates: bool,
        credits: Credits,
    ) -> None:
        self.changes = changes
        self.after = after
        self.at = at
        self.now = now
        self.prorates = prorates
        self.credits = credits
        self.lines: list[Line] = []
        self._name = name
        self._items = {
            cycle.item_id: item
            for cycle in after.cycles
            if cycle.product_id == product_id
            and (item := catalog.products[product_id].versions[cycle.version].item(cycle.item_id))
        }
        self._product = catalog.products[product_id]
        self._product_id = product_id
        self._version = version

    def run(self) -> Subscription:
        """Return the subscription with the cycles of the version that it moves to; `lines` says
        what that costs, and the credit has changed."""
        others: list[Cycle] = []
        prices: list[Cycle] = []
        plans: list[Cycle] = []
        commitments: list[Cycle] = []
        for cycle in self.after.cycles:
            item = self._items.get(cycle.item_id)
            if cycle.product_id != self._product_id or _is_done(cycle):
                others.append(cycle)
            elif isinstance(item, PlanPrice):
                prices.append(cycle)
            elif isinstance(item, PlanCommitment):
                commitments.append(cycle)
            else:
                plans.append(cycle)
        had_any = bool(
            prices or plans or commitments or any(c.product_id == self._product_id for c in others)
        )
        wanted = new_cycles(self._product, self._version, self.after, self.at, self.changes)
        moved = self._prices(prices, wanted, had_any=had_any)
        moved += [
            *self._credits(plans, wanted, moved),
            *self._commitments(commitments, wanted, moved),
        ]
        return structs.replace(self.after, cycles=(*others, *moved))

    def _prices(
        self, old: Sequence[Cycle], wanted: Sequence[Cycle], *, had_any: bool
    ) -> list[Cycle]:
        at = self.at
        left = list(old)
        for cycle in old:
            price: PlanItem | None = self._items[cycle.item_id]
            if not isinstance(price, PlanPrice) or cycle.from_at is None or cycle.to_at is None:
                continue
            if not is_paid_ahead(cycle, price):
                ends_at = min(at, cycle.to_at)
                units = period_share(cycle, cycle.from_at, ends_at)
                self.lines.append(price_line(cycle, price, units, cycle.from_at, ends_at))
            elif self.prorates and at < cycle.to_at:
                self.lines += lines_back(cycle, price, at)
        moved: list[Cycle] = []
        for cycle in wanted:
            price = self._version.item(cycle.item_id)
            if not isinstance(price, PlanPrice):
                continue
            if price.interval is None:
                # Asked when a product begins, not when it changes.
                if not had_any:
                    moved.append(cycle)
                continue
            same = self._same_cadence(price, left)
            if same is not None:
                left.remove(same)
                cycle = self._paid(self._carried_on(cycle, same), same)
                if cycle.to_at is not None and self.prorates and not price.is_in_arrears:
                    units = period_share(cycle, at, cycle.to_at)
                    self.lines.append(price_line(cycle, price, units, at, cycle.to_at))
            moved.append(cycle)
        return moved

    def _same_cadence(self, item: PlanItem, among: Sequence[Cycle]) -> Cycle | None:
        for cycle in among:
            other = self._items.get(cycle.item_id) or self._version.item(cycle.item_id)
            if other is not None and (other.interval, other.count) == (item.interval, item.count):
                return cycle
        return None

    def _carried_on(self, cycle: Cycle, before: Cycle) -> Cycle:
        """Return a new cycle in the period that another one is in; where that is over now, or has
        not begun, due when the other one is."""
        if before.to_at is None or before.from_at is None or before.to_at <= self.at:
            return structs.replace(cycle, anchor_at=before.anchor_at, next_at=before.next_at)
        return structs.replace(
            cycle,
            anchor_at=before.anchor_at,
            begins_at=before.begins_at,
            from_at=self.at,
            to_at=before.to_at,
            next_at=before.to_at,
        )

    def _paid(self, cycle: Cycle, before: Cycle) -> Cycle:
        """Return a price's new cycle with what was paid for its period under way, where that is
        what the one before had paid."""
        if self.prorates or cycle.from_at is None or cycle.to_at is None or before.from_at is None:
            return cycle
        other, price = self._items[before.item_id], self._version.item(cycle.item_id)
        if not (isinstance(other, PlanPrice) and isinstance(price, PlanPrice)):
            raise AssertionError("a cycle of a price goes on as one of a price")
        if not is_paid_ahead(before, other):
            # What is asked when the period is over is asked then; nothing else was.
            return cycle if price.is_in_arrears else structs.replace(cycle, paid_units=0)
        if (before.account_id, before.asset) != (cycle.account_id, cycle.asset):
            return structs.replace(cycle, paid_units=0)
        period = (before.from_at, cycle.to_at)
        off = [(code, share(units, period, self.at, cycle.to_at)) for code, units in before.off]
        paid = before.units if before.paid_units is None else before.paid_units
        return structs.replace(cycle, paid_units=paid, off=tuple(off))

    def _credits(
        self, old: Sequence[Cycle], wanted: Sequence[Cycle], prices: Sequence[Cycle]
    ) -> list[Cycle]:
        moved: list[Cycle] = []
        left = list(old)
        for cycle in wanted:
            plan = self._version.item(cycle.item_id)
            if not isinstance(plan, PlanCredit):
                continue
            before = self._same_credit(plan, left)
            if before is not None:
                left.remove(before)
                moved.append(self._moved_credit(cycle, plan, before))
                continue
            same = self._same_cadence(plan, prices)
            if same is not None and same.to_at is not None and same.to_at > self.at:
                cycle = self._carried_on(cycle, same)
                cycle = self._granted(cycle, plan, None, 0)
            moved.append(cycle)
        for cycle in left:
            self._left_behind(cycle)
        return moved

    def _commitments(
        self, old: Sequence[Cycle], wanted: Sequence[Cycle], prices: Sequence[Cycle]
    ) -> list[Cycle]:
        moved: list[Cycle] = []
        left = list(old)
        for cycle in wanted:
            plan = self._version.item(cycle.item_id)
            if not isinstance(plan, PlanCommitment):
                continue
            before = self._same_commitment(plan, left)
            if before is not None:
                left.remove(before)
                cycle = self._moved_commitment(cycle, before)
            else:
                same = self._same_cadence(plan, prices)
                if same is not None:
                    cycle = self._carried_on(cycle, same)
            moved.append(cycle)
        for cycle in left:
            self._settle(cycle)
        return moved

    def _same_commitment(self, plan: PlanCommitment, among: Sequence[Cycle]) -> Cycle | None:
        for cycle in among:
            other = self._items[cycle.item_id]
            if isinstance(other, PlanCommitment) and other.is_like(plan):
                return cycle
        return None

    def _moved_commitment(self, cycle: Cycle, before: Cycle) -> Cycle:
        cycle = self._carried_on(cycle, before)
        if cycle.from_at is None:
            # A new period begins now, or none has begun.
            self._settle(before)
            return structs.replace(
                cycle, late_units=before.late_units, number=before.number, turn=before.turn
            )
        return structs.replace(
            cycle,
            owed_units=owed(before, self.at),
            spent_units=before.spent_units,
            late_units=before.late_units,
            number=before.number,
            turn=before.turn,
        )

    def _settle(self, cycle: Cycle) -> None:
        plan = self._items[cycle.item_id]
        if isinstance(plan, PlanCommitment):
            self.lines += commitment_lines(cycle, plan, self.at)

    def _same_credit(self, plan: PlanCredit, among: Sequence[Cycle]) -> Cycle | None:
        for cycle in among:
            other = self._items[cycle.item_id]
            if isinstance(other, PlanCredit) and (other.asset.code, other.purpose) == (
                plan.asset.code,
                plan.purpose,
            ):
                return cycle
        return None

    def _moved_credit(self, cycle: Cycle, plan: PlanCredit, before: Cycle) -> Cycle:
        if before.to_at is None or before.to_at <= self.at:
            # A new period begins now: what is left rolls over, or has expired.
            return structs.replace(
                cycle, anchor_at=before.anchor_at, next_at=before.next_at, grants=before.grants
            )
        cycle = structs.replace(
            self._carried_on(cycle, before),
            earlier_units=self._had(before),
            grants=before.grants,
            granted_units=before.granted_units,
            expiries=before.expiries,
        )
        other = self._items[before.item_id]
        if (other.interval, other.count) != (plan.interval, plan.count):
            cycle = structs.replace(cycle, anchor_at=before.to_at)
        if self.credits == "keep":
            return cycle
        used = self._withdraw(before)
        return self._granted(cycle, plan, before, used)

    def _withdraw(self, before: Cycle) -> int:
        """Take back what is left of the credit of the period under way; returns what was used."""
        account = self.changes.advanced(before.account_id, self.now)
        newest = {before.grants[-1][0]} if before.grants else set()
        grants = [grant for grant in present(account, before) if grant.id in newest]
        left = sum(grant.remaining_units for grant in grants)
        plan = self._items[before.item_id]
        if isinstance(plan, PlanCredit):
            source = f"entitlements:{plan.purpose}"
            take_back(self.changes, before.account_id, grants, left, source, self.now)
        return before.granted_units - left

    def _had(self, before: Cycle) -> int:
        """Return what was included for the period under way up to now."""
        if before.begins_at is None or before.to_at is None or before.from_at is None:
            return 0
        period = (before.begins_at, before.to_at)
        return before.earlier_units + share(before.units, period, before.from_at, self.at)

    def _granted(self, cycle: Cycle, plan: PlanCredit, before: Cycle | None, used: int) -> Cycle:
        begins_at, to_at = cycle.begins_at, cycle.to_at
        if begins_at is None or to_at is None:
            raise AssertionError("a period that is under way has bounds")
        period = (begins_at, to_at)
        if self.credits == "replace":
            earlier = share(cycle.units, period, begins_at, self.at)
            cycle = structs.replace(cycle, earlier_units=earlier)
        included = 0
        if self.credits != "keep":
            included = cycle.earlier_units + share(cycle.units, period, self.at, to_at)
        units = max(0, included - used)
        kept = () if before is None else before.grants[:-1]
        grant_id = derived_id("grt", self.at, self.after.id, plan.id, self._name)
        ends_at = expiry(cycle, plan, self.after.terms, self.at)
        expiries = tuple([one for one in cycle.expiries if one[0] in dict(kept)])
        if self.after.terms.paused_at is not None and ends_at is not None:
            expiries, ends_at = (*expiries, (grant_id, ends_at)), None
        give(self.changes, self.after, plan, grant_id, units, self.at, ends_at, self.now)
        return structs.replace(
            cycle,
            grants=(*kept, (grant_id, cycle.to_at)),
            granted_units=used + units,
            expiries=expiries,
        )

    def _left_behind(self, cycle: Cycle) -> None:
        """Take back the credit that the new version does not include at all."""
        cycle = with_expiry(self.changes, self.after, cycle, self.now - self.at, self.now)
        if self.credits == "keep" or cycle.to_at is None or cycle.to_at <= self.at:
            return
        account = self.changes.advanced(cycle.account_id, self.now)
        grants = present(account, cycle)[-1:]
        left = sum(grant.remaining_units for grant in grants)
        allowed = 0
        if self.credits == "prorate":
            allowed = max(0, self._had(cycle) - (cycle.granted_units - left))
        plan = self._items[cycle.item_id]
        if isinstance(plan, PlanCredit):
            source = f"entitlements:{plan.purpose}"
            excess = left - allowed
            take_back(self.changes, cycle.account_id, grants, excess, source, self.now)


def _is_done(cycle: Cycle) -> bool:
    """Tell whether a cycle is of something that comes once, and has come."""
    return cycle.next_at is None and cycle.from_at is None
