"""Which prices a customer has. A subscription names products, each bound to a version or to
whatever version is the default; it is active over stretches of time. An event is priced by what
was in force when it *occurred*, so both the stretches and the bindings are kept as history.

`CatalogView` is what the rules know of the catalog: an unchanging snapshot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from faregate.core.assets import Asset
from faregate.core.compiled import CompiledPrice
from faregate.core.limits import Limit
from faregate.core.tiers import period_from_us

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a caller's clock may be off: events may lie this far ahead of now, and this far before
the subscription that prices them."""


class Binding(msgspec.Struct, frozen=True, gc=False):
    """From `from_at` on, the product is used in this version; None follows the default."""

    product_id: str
    version: int | None
    from_at: datetime


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """A time in which a subscription is active: `from_at <= t < to_at` (None: open)."""

    from_at: datetime
    to_at: datetime | None = None


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """A customer's right to use products at their prices."""

    id: str
    created_at: datetime
    renews_at: datetime | None
    bindings: tuple[Binding, ...]
    stretches: tuple[Stretch, ...]

    def is_active(self, at: datetime) -> bool:
        """Tell whether the subscription covers this instant (no clock skew allowed)."""
        return any(s.from_at <= at and (s.to_at is None or at < s.to_at) for s in self.stretches)

    def covers(self, at: datetime) -> bool:
        """Tell whether a use at this instant, by the caller's clock, is covered.

        A clock that is a little slow is forgiven before the first stretch only: between two, the
        subscription was switched off.
        """
        for stretch in self.stretches:
            if stretch.from_at <= at and (stretch.to_at is None or at < stretch.to_at):
                return True
        if not self.stretches:
            return False
        first = self.stretches[0]
        is_empty = first.from_at == first.to_at
        return first.from_at - CLOCK_SKEW <= at < first.from_at and not is_empty

    def status(self, now: datetime) -> str:
        """Return `active`, `scheduled` (begins later) or `inactive`."""
        if self.is_active(now):
            return "active"
        return "scheduled" if any(s.from_at > now for s in self.stretches) else "inactive"

    def current_bindings(self) -> tuple[Binding, ...]:
        """Return the newest binding of each product, in the order of subscribing."""
        newest: dict[str, Binding] = {}
        for binding in self.bindings:
            newest[binding.product_id] = binding
        return tuple(newest.values())


class CompiledVersion(msgspec.Struct, frozen=True):
    """A published version's usage prices by event type."""

    version: int
    prices: Mapping[str, tuple[CompiledPrice, ...]]


class CompiledProduct(msgspec.Struct, frozen=True):
    """A product's versions, and which one was the default from when on."""

    id: str
    code: str
    name: str
    versions: Mapping[int, CompiledVersion]
    default_from: tuple[datetime, ...]
    default_versions: tuple[int, ...]

    def default_at(self, at: datetime) -> int | None:
        """Return the version that was the default then; before the first, the first."""
        if not self.default_from:
            return None
        return self.default_versions[max(0, bisect_right(self.default_from, at) - 1)]


class CatalogView(msgspec.Struct, frozen=True):
    """A snapshot of one environment's catalog. `epoch` rises with every change; `timezone` is the
    account's; `has_tiers` says that some price has."""

    epoch: int
    assets: Mapping[str, Asset]
    products: Mapping[str, CompiledProduct]
    prices: Mapping[str, CompiledPrice]
    limits: tuple[Limit, ...] = ()
    timezone: str = "UTC"
    has_tiers: bool = False

    def prices_for(
        self, subscriptions: tuple[Subscription, ...], event_type: str, at: datetime
    ) -> list[CompiledPrice]:
        """Return the usage prices that apply to an event of this type that occurred at `at`.

        A product counts once, by the customer's oldest subscription to it.
        """
        found: list[CompiledPrice] = []
        counted: set[str] = set()
        for subscription in subscriptions:
            if not subscription.covers(at):
                continue
            for binding in _in_force(subscription.bindings, at):
                product = self.products.get(binding.product_id)
                if product is None or product.id in counted:
                    continue
                counted.add(product.id)
                number = binding.version
                if number is None:
                    number = product.default_at(at)
                version = product.versions.get(number) if number is not None else None
                if version is not None:
                    found.extend(version.prices.get(event_type, ()))
        return found

    def tier_period_from_us(
        self, compiled: CompiledPrice, subscriptions: tuple[Subscription, ...], at: datetime
    ) -> int:
        """Return when the period began in which tiers of a price count what occurred at `at`."""
        if compiled.tiering is None:
            return 0
        period = compiled.tiering.period
        anchor_at = at
        if period == "custom":
            anchor_at = next(
                subscription.stretches[0].from_at
                for subscription in subscriptions
                if subscription.covers(at)
                and any(b.product_id == compiled.product_id for b in subscription.bindings)
            )
        return period_from_us(period, at, anchor_at, self.timezone)

    def sells(self, subscriptions: tuple[Subscription, ...], event_type: str) -> bool:
        """Tell whether events of this type would have a price if all subscriptions were active."""
        for subscription in subscriptions:
            for binding in subscription.current_bindings():
                product = self.products.get(binding.product_id)
                if product is not None and any(
                    event_type in version.prices for version in product.versions.values()
                ):
                    return True
        return False


def _in_force(bindings: tuple[Binding, ...], at: datetime) -> tuple[Binding, ...]:
    """Return for each product the last binding that had begun; before the first, the first."""
    if len(bindings) == 1:
        return bindings
    chosen: dict[str, Binding] = {}
    for binding in bindings:
        if binding.from_at <= at or binding.product_id not in chosen:
            chosen[binding.product_id] = binding
    return tuple(chosen.values())
