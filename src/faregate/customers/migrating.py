"""The shapes of moving a product's subscribers to another version: what each would pay, or what
became of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.given import Id
from faregate.core.monthly import NOTHING, Bill, added, shown
from faregate.core.subscribing import Effective, Proration
from faregate.core.switching import Credits
from faregate.customers.types import Version

MOST_SHOWN: Final = 20
"""Subscribers that a forecast names."""


class MigrateSubscribers(
    msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True
):
    """Move subscribers to a version: all, those who have `from_version` now (`default`: those who
    follow the default), or those named. While it is a `dry_run` it only says what they would pay.

    `proration` and `credits` say what becomes of the period under way, for what counts `now`.
    """

    to_version: Version
    from_version: Version | None = None
    effective: Effective = "renewal"
    proration: Proration | None = None
    credits: Credits | None = None
    customer_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)] | None = None
    dry_run: bool = True


class MigrateProduct(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Move a product's subscribers, as long work."""

    product: Id
    subscribers: MigrateSubscribers


class MonthlyAmount(msgspec.Struct, frozen=True):
    """What a normal month costs in one asset, before and after: fixed prices, use, and both.
    `difference` is above 0 where it costs more after."""

    asset: str
    fixed_before: Decimal
    usage_before: Decimal
    before: Decimal
    fixed_after: Decimal
    usage_after: Decimal
    after: Decimal
    difference: Decimal


class MigrationItem(msgspec.Struct, frozen=True):
    """What a subscriber would pay. `events` is how many of the last 30 days were priced (the newest
    of them, if it `is_partial`); `warnings` say what has no price any more."""

    customer_id: str
    customer_name: str
    subscription_id: str
    version: int
    is_already_there: bool
    events: int
    is_partial: bool
    amounts: list[MonthlyAmount]
    warnings: list[str]


class MigrationPreview(msgspec.Struct, tag_field="result", tag="preview", frozen=True):
    """A page of subscribers, by customer, with what they would pay; `totals` are of this page."""

    to_version: int
    items: list[MigrationItem]
    totals: list[MonthlyAmount]
    total_count: int
    limit: int
    offset: int


class NotMoved(msgspec.Struct, frozen=True):
    """A subscription that stays as it was, and why."""

    customer_id: str
    subscription_id: str
    detail: str


class Migration(
    msgspec.Struct, tag_field="result", tag="migrated", omit_defaults=True, frozen=True
):
    """What became of `total` subscriptions: moved (or arranged to move with their renewal), there
    already, or not moved. If these come to less, send it again: it goes on. `failures` is how many
    were not moved where `failed` has only the first of them."""

    moved: int
    already_there: int
    failed: list[NotMoved]
    total: int
    failures: int | None = None


class MigrationForecast(msgspec.Struct, tag_field="result", tag="forecast", frozen=True):
    """What all subscribers would pay: sums, and those whose month would change most (`most`)."""

    to_version: int
    subscribers: int
    already_there: int
    dearer: int
    cheaper: int
    totals: list[MonthlyAmount]
    most: list[MigrationItem]


class Forecasting:
    """Adds pages of what subscribers would pay up to a forecast."""

    def __init__(self) -> None:
        self.subscribers = 0
        self._already_there = 0
        self._dearer = 0
        self._cheaper = 0
        self._totals: dict[str, MonthlyAmount] = {}
        self._most: list[MigrationItem] = []

    def add(self, page: MigrationPreview) -> None:
        """Count a page in."""
        self.subscribers += len(page.items)
        for item in page.items:
            self._already_there += item.is_already_there
            rises = [amount.difference for amount in item.amounts]
            self._dearer += any(rise > 0 for rise in rises)
            self._cheaper += bool(rises) and max(rises) <= 0 and min(rises) < 0
        self._most = sorted([*self._most, *page.items], key=_change, reverse=True)[:MOST_SHOWN]
        for amount in page.totals:
            before = self._totals.get(amount.asset)
            self._totals[amount.asset] = amount if before is None else _sum(before, amount)

    def show(self, to_version: int) -> MigrationForecast:
        """Return what it has come to."""
        return MigrationForecast(
            to_version,
            self.subscribers,
            self._already_there,
            self._dearer,
            self._cheaper,
            [self._totals[code] for code in sorted(self._totals)],
            [item for item in self._most if _change(item)],
        )


def _change(item: MigrationItem) -> Decimal:
    return max([abs(amount.difference) for amount in item.amounts], default=Decimal(0))


def _sum(one: MonthlyAmount, other: MonthlyAmount) -> MonthlyAmount:
    names = MonthlyAmount.__struct_fields__[1:]
    return MonthlyAmount(one.asset, *[getattr(one, n) + getattr(other, n) for n in names])


def show_amounts(before: Bill, after: Bill) -> list[MonthlyAmount]:
    """Return two bills side by side, by asset."""
    codes = {code for bill in (before, after) for code in (*bill.fixed, *bill.usage)}
    found = []
    for code in sorted(codes):
        fixed, usage = [sums.get(code, NOTHING) for sums in (before.fixed, before.usage)]
        then, used = [sums.get(code, NOTHING) for sums in (after.fixed, after.usage)]
        was, will = fixed + usage, then + used
        exact = (fixed, usage, was, then, used, will, will - was)
        found.append(MonthlyAmount(code, *[shown(amount) for amount in exact]))
    return found


def together(bills: list[Bill]) -> Bill:
    """Add bills up."""
    return Bill(added([bill.fixed for bill in bills]), added([bill.usage for bill in bills]))
