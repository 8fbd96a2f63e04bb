"""A subscription that is imagined, so that what is simulated comes to what is left of it when it is
really charged: discounts and commitments reduce its fees by the rules that reduce real ones
(`reducing`), and time lets its periods follow one another as it does real ones (`cycles`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from math import floor

from msgspec import structs

from faregate.core.amounts import plain, to_decimal
from faregate.core.commitments import PlanCommitment
from faregate.core.compiled import CompiledPrice
from faregate.core.customers import Changes, CustomerState
from faregate.core.cycles import begun, new_cycles, owed, turn_commitment
from faregate.core.discounting import carry_name
from faregate.core.discounts import Discount, amount_off, in_order, percent_off
from faregate.core.instants import EPOCH
from faregate.core.plans import cadence_of
from faregate.core.reducing import Reduced, Reducing
from faregate.core.subscriptions import (
    Binding,
    CatalogView,
    CompiledProduct,
    CompiledVersion,
    Cycle,
    Stretch,
    Subscription,
    Terms,
)

_ID = "imagined"


class Imagined:
    """A subscription to one version, from an instant on, with these discounts. In one that
    `stands_still` no period ends: all that is used counts together."""

    def __init__(
        self,
        product_id: str,
        version: CompiledVersion,
        from_at: datetime,
        timezone: str = "UTC",
        discounts: tuple[Discount, ...] = (),
        *,
        stands_still: bool = False,
    ) -> None:
        self.stands_still = stands_still
        self._terms = Terms(timezone=timezone, discounts=discounts, is_begun=True)
        self._plans = {plan.id: plan for plan in version.commitments}
        self._missed: dict[str, tuple[int, int]] = {}
        sold = CompiledVersion(version.version, {}, commitments=version.commitments)
        product = CompiledProduct(product_id, "", "", {sold.version: sold}, (), ())
        self._catalog = CatalogView(0, {}, {product_id: product}, {}, has_reductions=True)
        binding = Binding(product_id, sold.version, from_at)
        begins = Subscription(_ID, from_at, None, (binding,), (Stretch(from_at),), self._terms)
        self.changes = Changes(CustomerState("", (begins,)))
        cycles = [
            structs.replace(cycle, from_at=from_at)
            if stands_still
            else begun(cycle, self._plans[cycle.item_id], self._terms, from_at)
            for cycle in new_cycles(product, sold, begins, from_at, self.changes)
        ]
        self._put(cycles)

    def reduce(
        self, compiled: CompiledPrice, asset: str, units: int, at: datetime
    ) -> tuple[Reduced | None, list[str]]:
        """Return what is taken off a fee for a use at an instant, and what is to be said of it."""
        if not (self._plans or self._terms.discounts):
            return None, []
        self._pass(at)
        reducing = Reducing(self.changes, self._catalog, at, at)
        reduced = reducing.reduce(compiled, asset, units)
        reducing.keep()
        # A cap says until when the rest is free, which is never where no period ends.
        return reduced, [] if self.stands_still else reducing.warnings

    def less(self, product_id: str, asset: str, units: int, often: Fraction) -> Fraction:
        """Return what discounts leave of a fixed price of so many units, which comes so often in
        the time in which nothing ends, in units for that time."""
        (found,) = self.changes.all_subscriptions()
        discounts = {discount.code: discount for discount in found.terms.discounts}
        left, whole = units * often, units
        for discount in in_order(found.terms.discounts):
            if not discount.counts_for(product_id, asset):
                continue
            if discount.coupon.percent:
                key = (carry_name(_ID, discount.code), asset)
                carried = self.changes.carry(key)
                off, self.changes.carries[key] = percent_off(
                    carried, whole, discount.coupon.percent
                )
                whole -= off
                left = whole * often
            else:
                # An amount has whole units: what is left of a part of one is asked.
                discounts[discount.code], off = amount_off(discount, floor(left), EPOCH)
                left -= off
        terms = structs.replace(found.terms, discounts=tuple(discounts.values()))
        self.changes.subscriptions[_ID] = structs.replace(found, terms=terms)
        return left

    def missing(self) -> Iterator[tuple[PlanCommitment, int, int]]:
        """Return each commitment of which something is missing, the period under way included: how
        much, in units, and in how many periods."""
        for cycle in self._cycles():
            plan = self._plans[cycle.item_id]
            units, periods = self._missed.get(plan.id, (0, 0))
            least = cycle.units if cycle.to_at is None else owed(cycle, cycle.to_at)
            if (more := least - cycle.spent_units) > 0:
                units, periods = units + more, periods + 1
            if units:
                yield plan, units, periods

    def said_of_missing(self) -> list[str]:
        """Say what is missing of commitments, a sentence each."""
        found = []
        for plan, units, periods in self.missing():
            amount = plain(to_decimal(units, plan.asset.scale))
            count = "1 period" if periods == 1 else f"{periods} periods"
            what = f"{amount} {plan.asset.code} of the minimum are missing in {count}"
            found.append(f"{what} under {plan.name!r}: charged when a period is over")
        return found

    def _cycles(self) -> tuple[Cycle, ...]:
        (found,) = self.changes.all_subscriptions()
        return found.cycles

    def _put(self, cycles: list[Cycle]) -> None:
        (found,) = self.changes.all_subscriptions()
        self.changes.subscriptions[_ID] = structs.replace(found, cycles=tuple(cycles))

    def _pass(self, at: datetime) -> None:
        """Let the periods end that are over at an instant."""
        cycles = self._cycles()
        if any(cycle.to_at is not None and cycle.to_at <= at for cycle in cycles):
            self._put([self._passed(cycle, at) for cycle in cycles])

    def _passed(self, cycle: Cycle, at: datetime) -> Cycle:
        plan, ends_at = self._plans[cycle.item_id], cycle.to_at
        if ends_at is None or ends_at > at:
            return cycle
        cycle, lines = turn_commitment(cycle, plan, self._terms, ends_at, is_over=False)
        units = sum([line.line.units for line in lines])
        periods = 1 if units else 0
        cadence = cadence_of(plan, cycle.anchor_at, self._terms.timezone)
        # However many periods had no use at all, they are passed at once.
        number = cadence.number_at(at)
        unused = number - cadence.number_at(ends_at)
        if unused > 0:
            cycle = begun(cycle, plan, self._terms, cadence.begins_at(number))
            if plan.minimum_units:
                units, periods = units + unused * plan.minimum_units, periods + unused
        before, count = self._missed.get(plan.id, (0, 0))
        self._missed[plan.id] = (before + units, count + periods)
        return cycle
