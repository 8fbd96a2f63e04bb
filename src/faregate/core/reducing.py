"""What is left to pay of a usage fee: the discounts of the subscription that prices the use are
taken off, percentages first, then amounts; then commitments cut what is over their maximum, and
count the rest.

Whether a discount counts is judged by when the use occurred; what it, or a commitment, has come to
is counted when the fee is booked, in the period that is under way then. Each fee says in which that
was, so that a fee that is given back counts there no longer, if the period is still open.

A fee in place of one that was given back (its event's data were corrected) takes its place here as
well: it has the discounts that the other had and counts where that did. Where that period is over,
what was settled for it stays: an amount takes at most what it had taken of the other fee, a
commitment with a maximum lets it cost at most what the other had cost, and nothing counts in the
period of today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import structs

from faregate.core.amounts import half_even
from faregate.core.commitments import PlanCommitment
from faregate.core.compiled import CompiledPrice
from faregate.core.customers import CarryKey, Changes
from faregate.core.discounting import carry_name
from faregate.core.discounts import (
    WHOLE,
    Discount,
    amount_back,
    amount_off,
    in_order,
    in_period,
    percent_back,
    percent_off,
)
from faregate.core.subscriptions import (
    CLOCK_SKEW,
    CatalogView,
    Cycle,
    PlanItem,
    Subscription,
    subscription_to,
)


class CountedDiscount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A discount that counted for a fee: which one, in which of its periods, and its `percent` (0:
    it takes an amount). `most` is how much that may take where its period is over."""

    code: str
    number: int
    turn: int
    percent: int = 0
    most: int | None = None


class CountedCommitment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A commitment that has counted a fee: which one of the subscription's, and in which of its
    periods. `most` is how much the fee may be where that is over, if it `has_maximum`."""

    number: int
    turn: int
    has_maximum: bool = False
    most: int | None = None


class CountedIn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a fee counts: in what of which subscription. As JSON an array: new fields come last."""

    subscription_id: str
    discounts: tuple[CountedDiscount, ...] = ()
    commitments: tuple[CountedCommitment, ...] = ()


class Reduced(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was taken off a fee, in units: by discounts (with their codes), and because a commitment
    had reached its maximum; and what else is to be known to give it back: where it counts, what it
    added to what rounding left over of its price and of the asset that pays it (numerators, as
    text), and who paid it, in units, where that was a hold (grants, or the overdraft). `is_slice`
    says that it was priced as a slice of a longer use. As JSON an array: new fields come last."""

    discounts: tuple[tuple[str, int], ...] = ()
    capped_units: int = 0
    counted: CountedIn | None = None
    left_over: tuple[str, str] = ("0", "0")
    paid_by: tuple[tuple[str, int], ...] = ()
    is_slice: bool = False

    @property
    def discount_units(self) -> int:
        """What discounts took off."""
        return sum([units for _, units in self.discounts])

    @property
    def units(self) -> int:
        """All that was taken off."""
        return self.discount_units + self.capped_units


NOTHING_TAKEN: Final = Reduced()


class Earlier(NamedTuple):
    """A fee that was given back: where it counted, and what it was after reductions, in units."""

    reduced: Reduced
    units: int


EarlierFees = Mapping[tuple[str, str], Earlier]
"""Fees in whose place others come, by the price's id and the asset."""
NO_EARLIER: Final[EarlierFees] = {}


def count_back(changes: Changes, fee: Earlier, asset: str, now: datetime) -> None:
    """Count no longer what discounts and commitments have counted of a fee that is given back, in
    periods that are still open."""
    counted = fee.reduced.counted
    if counted is None:
        return
    found = _by_id(changes, counted.subscription_id)
    if found is None:
        return
    taken = dict(fee.reduced.discounts)
    left = fee.units + fee.reduced.units
    discounts = {(d.code, d.number): d for d in found.terms.discounts}
    for one in counted.discounts:
        off = taken.get(one.code, 0)
        discount = discounts.get((one.code, one.number))
        if discount is not None and one.percent:
            key = (carry_name(found.id, one.code), asset)
            changes.carries[key] = percent_back(changes.carry(key), left, one.percent, off)
        elif discount is not None and in_period(discount, now).turn == one.turn:
            discounts[one.code, one.number] = amount_back(discount, off, now)
        left -= off
    after = _with_discounts(found, tuple(discounts.values()))
    cycles = list(after.cycles)
    for mark in counted.commitments:
        place = _place_of(cycles, mark)
        if place is not None:
            cycles[place.number] = place.plus(cycles[place.number], -fee.units)
    if tuple(cycles) != after.cycles:
        after = structs.replace(after, cycles=tuple(cycles))
    if after is not found:
        changes.subscriptions[found.id] = after


def _by_id(changes: Changes, subscription_id: str) -> Subscription | None:
    return next((s for s in changes.all_subscriptions() if s.id == subscription_id), None)


def _with_discounts(subscription: Subscription, discounts: tuple[Discount, ...]) -> Subscription:
    # Percentages are counted beside the subscription, which is not written for them.
    before = subscription.terms.discounts
    if all(a is b for a, b in zip(discounts, before, strict=True)):
        return subscription
    terms = structs.replace(subscription.terms, discounts=discounts)
    return structs.replace(subscription, terms=terms)


class _Place(NamedTuple):
    """Where a commitment counts: which of a subscription's cycles, and whether in what was used
    since its period was over."""

    number: int
    is_late: bool

    def spent(self, cycle: Cycle) -> int:
        return cycle.late_units if self.is_late else cycle.spent_units

    def plus(self, cycle: Cycle, units: int) -> Cycle:
        units += self.spent(cycle)
        if self.is_late:
            return structs.replace(cycle, late_units=units)
        return structs.replace(cycle, spent_units=units)


def _place_of(cycles: Sequence[Cycle], mark: CountedCommitment) -> _Place | None:
    """Return where a commitment has counted a fee; None: that is settled."""
    for number, cycle in enumerate(cycles):
        if not cycle.number or cycle.number != mark.number:
            continue
        if mark.turn == cycle.turn + 1:
            return _Place(number, is_late=True)
        if mark.turn == cycle.turn and cycle.from_at is not None:
            return _Place(number, is_late=False)
    return None


class Reducing:
    """The reductions of one use that occurred at `at` and is priced at `now`. Nothing of it is
    among the changes before `keep`; an estimate keeps nothing."""

    __slots__ = (
        "_at",
        "_carries",
        "_catalog",
        "_changed",
        "_changes",
        "_earlier",
        "_now",
        "warnings",
    )

    def __init__(
        self,
        changes: Changes,
        catalog: CatalogView,
        at: datetime,
        now: datetime,
        earlier: EarlierFees = NO_EARLIER,
    ) -> None:
        self.warnings: list[str] = []
        self._earlier = earlier
        self._changes = changes
        self._catalog = catalog
        self._at = at
        self._now = now
        self._changed: dict[str, Subscription] = {}
        self._carries: dict[CarryKey, int] = {}

    def reduce(self, compiled: CompiledPrice, asset: str, units: int) -> Reduced | None:
        """Return what is taken off a fee of so many units under a price, and where it counts; None:
        nothing, nowhere."""
        if not units:
            return None
        earlier = self._earlier.get((compiled.id, asset)) if self._earlier else None
        if earlier is not None:
            counted_in = earlier.reduced.counted
            if counted_in is not None:
                return self._again(earlier, counted_in, compiled, asset, units)
            if not earlier.reduced.units:
                # There was nothing then that counted for it.
                return None
        subscriptions = self._changes.all_subscriptions()
        found = subscription_to(subscriptions, compiled.product_id, self._at)
        if found is None:
            return None
        subscription = self._changed.get(found.id, found)
        left, capped = units, 0
        taken: list[tuple[str, int]] = []
        discounts: list[CountedDiscount] = []
        commitments: list[CountedCommitment] = []
        if subscription.terms.discounts:
            subscription = self._discounted(subscription, compiled, asset, units, taken, discounts)
            left -= sum([off for _, off in taken])
        subscription, capped = self._committed(subscription, compiled, asset, left, commitments)
        if subscription is not found:
            self._changed[found.id] = subscription
        if not (discounts or commitments):
            return None
        counted = CountedIn(found.id, tuple(discounts), tuple(commitments))
        return Reduced(tuple(taken), capped, counted)

    def keep(self) -> None:
        """Count in what was reduced."""
        self._changes.subscriptions |= self._changed
        self._changes.carries |= self._carries

    def _discounted(
        self,
        subscription: Subscription,
        compiled: CompiledPrice,
        asset: str,
        units: int,
        taken: list[tuple[str, int]],
        counted: list[CountedDiscount],
    ) -> Subscription:
        """Return the subscription with what its discounts take off a fee; that is noted in `taken`,
        and which of them count for it in `counted`."""
        discounts = {discount.code: discount for discount in subscription.terms.discounts}
        left = units
        for discount in in_order(subscription.terms.discounts):
            counts = discount.counts_at(self._at, CLOCK_SKEW)
            if not (counts and discount.counts_for(compiled.product_id, asset)):
                continue
            percent = discount.coupon.percent
            if percent:
                off = self._percent_off(subscription.id, discount.code, asset, left, percent)
            else:
                discount, off = amount_off(discount, left, self._now)
                discounts[discount.code] = discount
            counted.append(CountedDiscount(discount.code, discount.number, discount.turn, percent))
            if off:
                left -= off
                taken.append((discount.code, off))
        return _with_discounts(subscription, tuple(discounts.values()))

    def _percent_off(self, name: str, code: str, asset: str, units: int, percent: int) -> int:
        key = (carry_name(name, code), asset)
        before = self._carries.get(key)
        if before is None:
            before = self._changes.carry(key)
        off, self._carries[key] = percent_off(before, units, percent)
        return off

    def _committed(
        self,
        subscription: Subscription,
        compiled: CompiledPrice,
        asset: str,
        units: int,
        counted: list[CountedCommitment],
    ) -> tuple[Subscription, int]:
        """Return the subscription with what its commitments count of a fee, and what is over; which
        of them is noted in `counted`."""
        counting: list[tuple[_Place, PlanCommitment]] = []
        for number, cycle in enumerate(subscription.cycles):
            if cycle.product_id != compiled.product_id or cycle.from_at is None:
                continue
            item = self._item(cycle)
            if isinstance(item, PlanCommitment) and item.counts(asset, compiled.event_type):
                counting.append((_Place(number, self._is_late(cycle)), item))
        if not counting:
            return subscription, 0
        left = units
        cycles = list(subscription.cycles)
        numbered = subscription.terms.numbered
        for place, plan in counting:
            cycle = cycles[place.number]
            if not cycle.number:
                numbered += 1
                cycle = cycles[place.number] = structs.replace(cycle, number=numbered)
            turn = cycle.turn + 1 if place.is_late else cycle.turn
            has_maximum = plan.maximum_units is not None
            counted.append(CountedCommitment(cycle.number, turn, has_maximum))
            left = self._within(plan, place, cycle, left)
        for place, _ in counting:
            if left:
                cycles[place.number] = place.plus(cycles[place.number], left)
        if numbered != subscription.terms.numbered:
            terms = structs.replace(subscription.terms, numbered=numbered)
            subscription = structs.replace(subscription, terms=terms)
        if any(a is not b for a, b in zip(cycles, subscription.cycles, strict=True)):
            subscription = structs.replace(subscription, cycles=tuple(cycles))
        return subscription, units - left

    def _within(self, plan: PlanCommitment, place: _Place, cycle: Cycle, units: int) -> int:
        """Return what of a fee is within a commitment's maximum."""
        if plan.maximum_units is None:
            return units
        room = max(0, plan.maximum_units - place.spent(cycle))
        if units <= room:
            return units
        self.warnings.append(plan.reached(cycle.to_at or self._now))
        return room

    def _item(self, cycle: Cycle) -> PlanItem | None:
        version = self._catalog.products[cycle.product_id].versions[cycle.version]
        return version.item(cycle.item_id)

    def _again(
        self,
        earlier: Earlier,
        counted: CountedIn,
        compiled: CompiledPrice,
        asset: str,
        units: int,
    ) -> Reduced:
        """Return what is taken off a fee that comes in place of another one, and where it counts:
        where that did."""
        found = _by_id(self._changes, counted.subscription_id)
        subscription = None if found is None else self._changed.get(found.id, found)
        before = dict(earlier.reduced.discounts)
        taken: list[tuple[str, int]] = []
        discounts: list[CountedDiscount] = []
        known: dict[tuple[str, int], Discount] = {}
        if subscription is not None:
            known = {(d.code, d.number): d for d in subscription.terms.discounts}
        left = units
        for mark in counted.discounts:
            name = (mark.code, mark.number)
            discount = known.get(name)
            if mark.percent and discount is not None:
                off = self._percent_off(
                    counted.subscription_id, mark.code, asset, left, mark.percent
                )
            elif mark.percent:
                off = half_even(left * mark.percent, WHOLE)[0]
            elif discount is not None and in_period(discount, self._now).turn == mark.turn:
                known[name], off = amount_off(discount, left, self._now)
            else:
                most = before.get(mark.code, 0) if mark.most is None else mark.most
                off, mark = min(left, most), structs.replace(mark, most=most)
            discounts.append(mark)
            if off:
                left -= off
                taken.append((mark.code, off))
        if subscription is not None:
            subscription = _with_discounts(subscription, tuple(known.values()))
        cycles = [] if subscription is None else list(subscription.cycles)
        commitments: list[CountedCommitment] = []
        due, open_places = left, []
        for kept in counted.commitments:
            place = _place_of(cycles, kept)
            if place is not None:
                open_places.append(place)
                item = self._item(cycles[place.number])
                if isinstance(item, PlanCommitment):
                    left = self._within(item, place, cycles[place.number], left)
            elif kept.has_maximum:
                most = earlier.units if kept.most is None else kept.most
                left, kept = min(left, most), structs.replace(kept, most=most)
            commitments.append(kept)
        for place in open_places:
            cycles[place.number] = place.plus(cycles[place.number], left)
        if subscription is not None:
            if open_places:
                subscription = structs.replace(subscription, cycles=tuple(cycles))
            if subscription is not found:
                self._changed[subscription.id] = subscription
        kept_in = CountedIn(counted.subscription_id, tuple(discounts), tuple(commitments))
        return Reduced(tuple(taken), due - left, kept_in)

    def _is_late(self, cycle: Cycle) -> bool:
        """Tell whether a period is over, and the next one waits for its renewal to be paid."""
        return cycle.to_at is not None and cycle.to_at <= self._now
