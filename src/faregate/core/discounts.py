"""Coupons, and the discounts that they give. A coupon is the seller's offer; a discount is what a
subscription has of it, its terms copied, so that nothing that becomes of the coupon changes it.

A discount takes a percentage off each fee, or an amount off all fees of a period together. What
percentages take off is exact over time: after fees of `n` units in all it is `n` times the percent,
rounded half-even, however many fees that were. So what is remembered between fees is the exact
sum, of which only the part below two units matters:

    taken(fee) = half_even(sum + fee x percent) - half_even(sum)

A fee that is given back leaves the sum with its exact part, and takes with it what was taken off
it, which may be a unit more or less. What that is out by is remembered too, as whole units above
the two, and made up for by the next fee.

Which fees a discount counts for, and what it leaves of them, is in `discounting` and `reducing`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import structs

from faregate.core.amounts import half_even
from faregate.core.periods import Cadence
from faregate.core.problems import Problem, invalid

PERCENT_DECIMALS: Final = 4
"""Decimals that a percentage may have."""
WHOLE: Final = 1_000_000
"""100 percent."""
MAX_DISCOUNTS: Final = 20
"""Discounts of one subscription."""
_NO_TIME: Final = timedelta(0)


class Coupon(msgspec.Struct, frozen=True, omit_defaults=True):
    """An offer: either `percent` (of `WHOLE`) or `units` of an asset per period, for `periods`
    (None: for ever), on `products` (ids; None: all). It can be had until `redeem_by`."""

    code: str
    name: str | None = None
    percent: int = 0
    units: int = 0
    asset: str | None = None
    scale: int = 0
    periods: int | None = None
    products: tuple[str, ...] | None = None
    redeem_by: datetime | None = None


class Discount(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a subscription has of a coupon, from an instant on.

    `cadence` says when its periods begin (None: the subscription has not begun), `ends_at` when it
    is over (None: never). An amount has taken `used_units` in the period under way. `number` tells
    it from others that the subscription has of the same coupon, one after the other; `turn` counts
    the periods of which something was asked.
    """

    coupon: Coupon
    from_at: datetime
    cadence: Cadence | None = None
    ends_at: datetime | None = None
    period_from_at: datetime | None = None
    period_to_at: datetime | None = None
    used_units: int = 0
    number: int = 0
    turn: int = 0

    @property
    def code(self) -> str:
        """The coupon's code."""
        return self.coupon.code

    def counts_for(self, product_id: str, asset: str) -> bool:
        """Tell whether it is for fees of a product in an asset."""
        coupon = self.coupon
        if coupon.asset is not None and coupon.asset != asset:
            return False
        return coupon.products is None or product_id in coupon.products

    def counts_at(self, at: datetime, skew: timedelta = _NO_TIME) -> bool:
        """Tell whether it counts for what happens at an instant, by a clock that may be so slow."""
        return self.from_at - skew <= at and (self.ends_at is None or at < self.ends_at)


def percent_off(before: int, units: int, percent: int) -> tuple[int, int]:
    """Return how much a percentage (of `WHOLE`) takes off so many units, after a sum of `before`,
    and the sum after it (both in parts of `WHOLE`, modulo two units; beyond them, what is still to
    be made up for).

    >>> percent_off(0, 5, 100_000), percent_off(500_000, 10, 100_000)
    ((0, 500000), (2, 1500000))
    """
    owed, before = divmod(before, 2 * WHOLE)
    exact = before + units * percent
    off = half_even(exact, WHOLE)[0] - half_even(before, WHOLE)[0]
    sound = off
    if owed:
        off = max(0, min(units, off + owed))
    return off, exact % (2 * WHOLE) + (owed - off + sound) * 2 * WHOLE


def percent_back(before: int, units: int, percent: int, off: int) -> int:
    """Return the sum after a fee of so many units was given back, of which `off` was taken.

    >>> percent_back(1_500_000, 10, 100_000, 2), percent_back(1_500_000, 5, 100_000, 0)
    (500000, -1000000)
    """
    owed, before = divmod(before, 2 * WHOLE)
    exact = before - units * percent
    # As if it had been taken off in the order in which the others were.
    sound = half_even(before, WHOLE)[0] - half_even(exact, WHOLE)[0]
    return exact % (2 * WHOLE) + (owed + off - sound) * 2 * WHOLE


def in_period(discount: Discount, at: datetime) -> Discount:
    """Return the discount in the period of an instant, of which nothing is used yet if it is a new
    one. What is late belongs to the period under way."""
    if discount.cadence is None:
        return discount
    if discount.period_to_at is not None and at < discount.period_to_at:
        return discount
    from_at, to_at = discount.cadence.period_at(at)
    return structs.replace(
        discount,
        period_from_at=from_at,
        period_to_at=to_at,
        used_units=0,
        turn=discount.turn + 1,
    )


def amount_off(discount: Discount, units: int, at: datetime) -> tuple[Discount, int]:
    """Take what is left of a discount's amount off so many units; returns the discount after it,
    and how much that was."""
    discount = in_period(discount, at)
    off = min(units, discount.coupon.units - discount.used_units)
    return structs.replace(discount, used_units=discount.used_units + off), off


def amount_back(discount: Discount, units: int, at: datetime) -> Discount:
    """Return a discount after so much of what it had taken off in the period was given back."""
    if not discount.coupon.units:
        return discount
    discount = in_period(discount, at)
    return structs.replace(discount, used_units=max(0, discount.used_units - units))


def in_order(discounts: tuple[Discount, ...]) -> list[Discount]:
    """Return discounts as they are taken off: percentages first, then amounts."""
    return sorted(discounts, key=lambda discount: discount.coupon.percent == 0)


def put_off(discount: Discount, since_at: datetime, later: timedelta) -> Discount:
    """Return a discount whose periods stood still from an instant on, for so long."""
    if discount.cadence is None or (discount.ends_at is not None and discount.ends_at <= since_at):
        return discount
    discount = in_period(discount, since_at)
    if discount.cadence is None or discount.period_from_at is None or discount.period_to_at is None:
        raise AssertionError("a discount that has begun is in a period")
    to_at, cadence = discount.period_to_at + later, discount.cadence
    return structs.replace(
        discount,
        cadence=Cadence(cadence.interval, to_at, cadence.count, cadence.timezone),
        ends_at=None if discount.ends_at is None else discount.ends_at + later,
        period_from_at=discount.period_from_at + later,
        period_to_at=to_at,
    )


def new_discount(
    coupon: Coupon | None, code: str, products: set[str], now: datetime, from_at: datetime
) -> Discount | Problem:
    """Return the discount that a subscription to these products gets by a coupon, if it does."""
    if coupon is None:
        return invalid("coupon", f"{code!r:.100} is unknown: create the coupon first")
    if coupon.redeem_by is not None and now >= coupon.redeem_by:
        until = coupon.redeem_by.isoformat()
        return invalid("coupon", f"{code!r} could be had until {until}: use another one")
    if coupon.products is not None and products.isdisjoint(coupon.products):
        shown = ", ".join(coupon.products)
        return invalid("coupon", f"{code!r} is for {shown} only: subscribe to one of them")
    return Discount(coupon, from_at)
