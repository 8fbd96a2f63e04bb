"""Which prices a customer has. A subscription names products, each bound to a version or to
whatever version is the default; it is active over stretches of time. An event is priced by what
was in force when it *occurred*, so both the stretches and the bindings are kept as history.

What a product brings by itself (a fixed price, an entitlement) comes in *cycles*: each knows the
period that is under way and when the next one is due. What happens then is in `renewing`.

`CatalogView` is what the rules know of the catalog: an unchanging snapshot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.alerts import ALERTS, Alerts
from faregate.core.amounts import MAX_UNITS
from faregate.core.assets import Asset
from faregate.core.bonuses import TopUpBonus
from faregate.core.collecting import CardNeed
from faregate.core.commitments import PlanCommitment
from faregate.core.compiled import CompiledPrice
from faregate.core.discounts import Coupon, Discount
from faregate.core.limits import Limit
from faregate.core.model_prices import Attach
from faregate.core.payment_rules import PAYMENTS, PaymentRules
from faregate.core.plans import PlanCredit, PlanPrice
from faregate.core.problems import Problem, conflict, invalid
from faregate.core.rates import Rate
from faregate.core.tiers import period_from_us

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a caller's clock may be off: events may lie this far ahead of now, and this far before
the subscription that prices them."""


Hours = Annotated[int, Meta(ge=0, le=8784)]


class Binding(msgspec.Struct, frozen=True, gc=False):
    """From `from_at` on, the product is used in this version; None follows the default."""

    product_id: str
    version: int | None
    from_at: datetime


class Stretch(msgspec.Struct, frozen=True, gc=False):
    """A time in which a subscription is active: `from_at <= t < to_at` (None: open)."""

    from_at: datetime
    to_at: datetime | None = None


class RenewalRules(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What happens when a balance does not cover a renewal: it is tried again so many hours later
    (each counted from when it was due), and whenever credit comes; after `grace_hours` the
    subscription ends. `may_overdraw` lets it be charged all the same, as far as the account's
    overdraft goes."""

    retry_hours: Annotated[tuple[Hours, ...], Meta(max_length=20)] = (24, 72, 120)
    grace_hours: Hours = 168
    may_overdraw: bool = False


RENEWALS: Final = RenewalRules()


def check_renewals(rules: RenewalRules) -> Problem | None:
    """Refuse tries that are not in order, or that come when the subscription has ended."""
    hours = rules.retry_hours
    if list(hours) != sorted({*hours} - {0}):
        shown = ", ".join(map(str, hours))
        remedy = "send numbers above 0, each higher than the one before"
        return invalid("renewals.retry_hours", f"are {shown}: {remedy}")
    # Those that nobody has chosen may be too late, and are not tried then.
    if hours != RENEWALS.retry_hours and hours and hours[-1] >= rules.grace_hours:
        remedy = f"end below grace_hours, which is {rules.grace_hours}"
        return invalid("renewals.retry_hours", f"has {hours[-1]}, when all is over: {remedy}")
    return None


class Cycle(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a subscription stands with one fixed price, entitlement or commitment of a product's
    version.

    `from_at` and `to_at` are the period under way (None: none has begun, or it is asked once), cut
    out of the regular one that begins at `begins_at`; `next_at` is when something is due next
    (None: never again). `quantity` are the seats, `units` what the whole regular period costs (or
    grants), `paid_units` what was charged for it, in `account_id`. `grants` are those that an
    entitlement has made and that may still have something left, each with when its period ended;
    `granted_units` what the newest of them, and what it replaced, came to; `earlier_units` what
    other versions included for the part of the period before `from_at`.

    `asset` is the price's own, where the account is in another one, which pays it converted.

    `off` is what discounts, by code, took off the period that was charged in advance. Of a
    commitment, `units` is the least of a whole period and `owed_units` what other versions asked
    for the part of it before `from_at`; `spent_units` are the net fees of the period under way,
    `late_units` those since it was over, while its renewal waits to be paid. `number` tells it from
    others of the subscription (0: nothing has counted yet), `turn` counts its periods.

    `paid_units` is what the whole regular period costs by what was paid for the part under way,
    where nothing was asked when it came to cost `units` (None: that was paid). `expiries` are of
    a subscription that is paused: when the credit was to expire that does not while it is.
    """

    product_id: str
    version: int
    item_id: str
    anchor_at: datetime
    next_at: datetime | None
    begins_at: datetime | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    quantity: int = 1
    units: int = 0
    account_id: str = ""
    grants: tuple[tuple[str, datetime | None], ...] = ()
    granted_units: int = 0
    earlier_units: int = 0
    off: tuple[tuple[str, int], ...] = ()
    owed_units: int = 0
    spent_units: int = 0
    late_units: int = 0
    asset: str | None = None
    number: int = 0
    turn: int = 0
    paid_units: int | None = None
    expiries: tuple[tuple[str, datetime], ...] = ()


class Overdue(msgspec.Struct, frozen=True):
    """A renewal that could not be paid: since when, how often it was tried, and when next."""

    since_at: datetime
    tries: int
    next_try_at: datetime
    ends_at: datetime


class CardCharge(msgspec.Struct, frozen=True):
    """What is asked of the customer's card and not settled yet: `units` (> 0) of an account's
    currency, beside `covered_units` that the account has for it (< 0: it owes so much)."""

    payment_id: str
    account_id: str
    units: int
    covered_units: int
    asked_at: datetime


class ByCard(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the balance lacks, the customer's saved card pays. `failures` counts the charges in a
    row that failed; `problem` says why the last one did, `needs` what a person must do then.
    `is_ending`: it was agreed that the balance alone pays, while a charge was in flight; with that
    it is over."""

    charge: CardCharge | None = None
    failures: int = 0
    problem: str | None = None
    needs: CardNeed | None = None
    is_ending: bool = False


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was agreed. `asset` is the one in which prices are paid that have several, `timezone`
    the one whose clocks say when periods begin, `quantities` the seats by product (where a product
    has none, its prices say how many); `next_quantities` count from the next period on.

    `needs` says what a person must do before it begins; until `trial_ends_at` no fixed price is
    asked. One that is paused (`paused_at`) goes on at `resumes_at`, or when somebody says so; if it
    was to end, that was at `ends_at`. `turns` counts how often something was due: what comes of it
    is named by that, so that two things at one instant have two names. `numbered` is the last
    number that a discount or a commitment's cycle has got. `by_card` is None where the balance
    alone pays; `charges` counts what was asked of cards, and names it. Whoever has paid on a page
    is led to `return_url`.
    """

    asset: str | None = None
    timezone: str = "UTC"
    quantities: dict[str, int] = {}
    next_quantities: dict[str, int] = {}
    anchor_at: datetime | None = None
    trial_ends_at: datetime | None = None
    needs: CardNeed | None = None
    has_card: bool = True
    overdue: Overdue | None = None
    paused_at: datetime | None = None
    resumes_at: datetime | None = None
    is_begun: bool = False
    discounts: tuple[Discount, ...] = ()
    numbered: int = 0
    ends_at: datetime | None = None
    turns: int = 0
    by_card: ByCard | None = None
    charges: int = 0
    return_url: str | None = None

    @property
    def charge(self) -> CardCharge | None:
        """What is asked of the customer's card and not settled yet."""
        return None if self.by_card is None else self.by_card.charge

    @property
    def is_by_card(self) -> bool:
        """Tell whether the customer's card pays what the balance lacks from now on."""
        return self.by_card is not None and not self.by_card.is_ending


AGREED: Final = Terms()


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """A customer's right to use products at their prices."""

    id: str
    created_at: datetime
    renews_at: datetime | None
    bindings: tuple[Binding, ...]
    stretches: tuple[Stretch, ...]
    terms: Terms = AGREED
    cycles: tuple[Cycle, ...] = ()

    @property
    def due_at(self) -> datetime | None:
        """The next instant at which something happens by itself; None: never."""
        terms = self.terms
        if terms.overdue is not None:
            # What becomes of its charge decides, not the clock.
            return terms.overdue.next_try_at if terms.charge is None else None
        if terms.paused_at is not None:
            return terms.resumes_at
        if terms.needs is not None:
            return None
        if not terms.is_begun:
            # One that ended while it waited to begin again does not: its last time is over.
            is_coming = bool(self.stretches) and self.stretches[-1].to_at is None
            return self.stretches[-1].from_at if is_coming else None
        instants = [c.next_at for c in self.cycles if c.next_at is not None]
        if instants and self.stretches and self.stretches[-1].to_at is not None:
            instants.append(self.stretches[-1].to_at)
        return min(instants, default=None)

    def stands_at(self, now: datetime) -> datetime:
        """Return where its periods stand now: in a pause where it began, and where a renewal is
        unpaid at its beginning."""
        terms = self.terms
        if terms.paused_at is not None:
            return terms.paused_at
        return now if terms.overdue is None else terms.overdue.since_at

    @property
    def next_renewal_at(self) -> datetime | None:
        """When the next period begins; what was said about it where nothing comes again."""
        ends_at = self.stretches[-1].to_at if self.stretches else None
        if ends_at is not None:
            return None
        found = [c.to_at for c in self.cycles if c.to_at is not None and c.next_at is not None]
        return min(found, default=self.renews_at)

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
        """Return `active`, `scheduled` (begins later), `action_required` (somebody must do
        something before it begins) or `inactive`."""
        if self.terms.needs is not None:
            return "action_required"
        if self.is_active(now):
            return "active"
        return "scheduled" if any(s.from_at > now for s in self.stretches) else "inactive"

    def current_bindings(self) -> tuple[Binding, ...]:
        """Return the newest binding of each product, in the order of subscribing."""
        newest: dict[str, Binding] = {}
        for binding in self.bindings:
            newest[binding.product_id] = binding
        return tuple(newest.values())


PlanItem = PlanPrice | PlanCredit | PlanCommitment
"""What comes by itself, in cycles."""


class CompiledVersion(msgspec.Struct, frozen=True):
    """A published version's usage prices by event type, and what it brings by itself. One that is
    archived is not open to new subscribers; those who have it keep it."""

    version: int
    prices: Mapping[str, tuple[CompiledPrice, ...]]
    plan_prices: tuple[PlanPrice, ...] = ()
    credits: tuple[PlanCredit, ...] = ()
    commitments: tuple[PlanCommitment, ...] = ()
    is_open: bool = True

    def item(self, item_id: str) -> PlanItem | None:
        """Return a fixed price, an entitlement or a commitment by its id."""
        found: tuple[PlanItem, ...] = (*self.plan_prices, *self.credits, *self.commitments)
        return next((item for item in found if item.id == item_id), None)

    def refuse_seats(self, seats: int) -> str | None:
        """Say that so many seats cost more than the ledger can hold, in one of the assets."""
        totals: dict[str, int] = {}
        for price in self.plan_prices:
            for amount in price.amounts if price.seats is not None else ():
                code = amount.asset.code
                totals[code] = totals.get(code, 0) + amount.units(seats)
        if all(units <= MAX_UNITS for units in totals.values()):
            return None
        return f"is {seats}, which costs more than the ledger can hold: send fewer"


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
    account's, and so are `renewals`; `has_tiers` says that some price has. `clocks` says what time
    it is on each test clock, `rates` what assets cost in currencies. `coupons` are those that can
    be had; `has_reductions` says that fees may come to less than their prices, by discounts or
    commitments. `payments` is how the account takes payments in this mode, `bonuses` what top-ups
    of assets bring beside them. `costing` says what calls of models have cost, of which events tell
    (None: nobody wants that). `low_units` are thresholds of balances by asset, and so long
    `expiring_before` they expire grants are announced (None: never): as the account's `alerts`
    say."""

    epoch: int
    assets: Mapping[str, Asset]
    products: Mapping[str, CompiledProduct]
    prices: Mapping[str, CompiledPrice]
    limits: tuple[Limit, ...] = ()
    timezone: str = "UTC"
    has_tiers: bool = False
    renewals: RenewalRules = RENEWALS
    clocks: Mapping[str, datetime] = {}
    rates: Mapping[str, tuple[Rate, ...]] = {}
    coupons: Mapping[str, Coupon] = {}
    has_reductions: bool = False
    payments: PaymentRules = PAYMENTS
    bonuses: Mapping[str, tuple[TopUpBonus, ...]] = {}
    low_units: Mapping[str, int] = {}
    expiring_before: timedelta | None = ALERTS.expiring_before
    alerts: Alerts = ALERTS
    costing: Attach | None = None

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
            for binding in in_force(subscription.bindings, at):
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

    def asset_named(
        self, subscriptions: tuple[Subscription, ...], product_id: str, at: datetime
    ) -> str | None:
        """Return the asset that the subscription names by which a product was used at `at`."""
        found = subscription_to(subscriptions, product_id, at)
        return None if found is None else found.terms.asset

    def refuse_binding(self, product_id: str, number: int | None, at: datetime) -> Problem | None:
        """Refuse a version that cannot be subscribed to: it is archived, or gone."""
        product = self.products.get(product_id)
        if product is None:
            detail = f"product {product_id} is gone: subscribe to another one"
            return conflict("product_id", detail)
        version = product.versions.get(product.default_at(at) or 0 if number is None else number)
        if version is not None and version.is_open:
            return None
        shown = "its default version" if number is None else f"version {number}"
        detail = f"{shown} of product {product.code!r} is archived or gone: choose another one"
        return conflict("version", detail)

    def version_at(self, product_id: str, number: int | None, at: datetime) -> CompiledVersion:
        """Return a version of a product; None is the one that was the default then."""
        product = self.products[product_id]
        if number is None:
            number = product.default_at(at)
        return product.versions[number or 0]

    def tier_period_from_us(
        self, compiled: CompiledPrice, subscriptions: tuple[Subscription, ...], at: datetime
    ) -> int:
        """Return when the period began in which tiers of a price count what occurred at `at`."""
        if compiled.tiering is None:
            return 0
        period = compiled.tiering.period
        anchor_at = at
        if period == "custom":
            found = subscription_to(subscriptions, compiled.product_id, at)
            if found is not None:
                anchor_at = found.stretches[0].from_at
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


def subscription_to(
    subscriptions: tuple[Subscription, ...], product_id: str, at: datetime
) -> Subscription | None:
    """Return the oldest subscription by which a product could be used at `at`."""
    for subscription in subscriptions:
        if subscription.covers(at) and any(
            binding.product_id == product_id for binding in subscription.bindings
        ):
            return subscription
    return None


def in_force(bindings: tuple[Binding, ...], at: datetime) -> tuple[Binding, ...]:
    """Return for each product the last binding that had begun; before the first, the first."""
    if len(bindings) == 1:
        return bindings
    chosen: dict[str, Binding] = {}
    for binding in bindings:
        if binding.from_at <= at or binding.product_id not in chosen:
            chosen[binding.product_id] = binding
    return tuple(chosen.values())
