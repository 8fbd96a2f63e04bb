"""The demo's history: a month of a business, written through the engine's own operations by a clock
that starts thirty days ago. What happens to whom lives in `scenes`; here time passes, uses are
booked hour by hour, and whoever has little left tops up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Final

import msgspec

from faregate.cli import shop
from faregate.cli.crowd import Buyer, Planned, Role, crowd
from faregate.cli.demo_clock import DemoClock
from faregate.cli.demo_size import EVENTS
from faregate.cli.purse import Purse
from faregate.cli.trace import load_trace
from faregate.cli.using import Uses
from faregate.cli.vendor_prices import VENDORS
from faregate.core.alerts import Alerts
from faregate.core.amounts import Number
from faregate.core.events import EventsBooked
from faregate.core.outcomes import Outcome, OutcomeRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct, Trial
from faregate.engine import Engine, system_clock

DAYS: Final = 30
STEPS: Final = (
    (timedelta(days=DAYS), timedelta(hours=3)),
    (timedelta(hours=30), timedelta(hours=1)),
    (timedelta(hours=2), timedelta(minutes=5)),
)
"""From so long before now on, time goes in such steps: what is new is looked at closely."""
SMALL: Final = 5_000
"""A month of fewer events goes in longer steps."""
SMALL_STEPS: Final = (
    (timedelta(days=DAYS), timedelta(hours=12)),
    (timedelta(hours=24), timedelta(hours=3)),
    (timedelta(hours=1), timedelta(minutes=15)),
)
_SETTLES_AFTER_HOURS: Final = (2, 40)
_CONFIRMED, _WITHDRAWN = 0.74, 0.97
_REFILLS: Final = 0.5

Progress = Callable[[float, str], None]
"""Called with how much is done (0 to 1), and what, in words."""
Scene = Callable[[], Awaitable[None]]


class _Open(msgspec.Struct):
    """A case of which it is not known yet whether it was resolved."""

    due_at: datetime
    event_id: str
    buyer: Buyer


class Month:
    """The business: its customers, and what they do."""

    def __init__(
        self,
        engine: Engine,
        clock: DemoClock,
        address: str,
        *,
        events: int = EVENTS,
    ) -> None:
        self.engine = engine
        self.buyers: Sequence[Buyer] = crowd()
        self.purse = Purse(engine, address)
        self.uses = Uses(load_trace())
        self.begins_at = engine.now()
        self.ends_at = system_clock()
        self.booked = 0
        self._clock = clock
        self.size = events
        self._pace = STEPS if events >= SMALL else SMALL_STEPS
        self._cases: deque[_Open] = deque()
        self._scenes: list[tuple[datetime, Scene]] = []

    def go_on_with(self, engine: Engine) -> None:
        """Go on with another engine of the same database."""
        self.engine = engine
        self.purse.go_on_with(engine)

    def at(self, day: float, scene: Scene) -> None:
        """Let something happen so many days after the beginning."""
        self._scenes.append((self.begins_at + timedelta(days=day), scene))

    def buyer(self, role: Role) -> Buyer:
        """Return the first customer with a role."""
        return next(buyer for buyer in self.buyers if buyer.role == role)

    async def open_shop(self) -> None:
        """Set up what is there from the first day on: what is sold, and who is paid for it."""
        engine = self.engine
        await engine.create_asset(shop.asset())
        await engine.set_top_up_bonus(shop.SPARK, shop.bonuses())
        for vendor in VENDORS:
            await engine.create_vendor(vendor)
        for product in shop.products():
            await engine.create_product(product)
        for coupon in shop.coupons():
            await engine.create_coupon(coupon)
        low = {"USD": Number(5), shop.SPARK: Number(100)}
        await engine.change_settings(alerts=Alerts(low_balances=low))
        await engine.set_portal_settings(shop.portal())

    async def live(self, progress: Progress = lambda _done, _words: None) -> None:
        """Let the month pass, up to now."""
        steps = self._steps()
        plan = Planned(self.buyers, steps, self.size)
        for buyer in self.buyers:
            if buyer.joins_on:
                self.at(buyer.joins_on + self.uses.luck.random(), partial(self.join, buyer))
        await asyncio.gather(*[self.join(b) for b in self.buyers if not b.joins_on])
        self._scenes.sort(key=lambda scene: scene[0])
        scenes = deque(self._scenes)
        for number, (before, at) in enumerate(pairwise(steps), 1):
            while scenes and scenes[0][0] <= at:
                due_at, scene = scenes.popleft()
                self._clock.move_to(due_at)
                await scene()
            self._clock.move_to(at)
            await self.engine.work()
            await self._book(plan, before, at)
            await self._settle_cases(at)
            await self._refill(at)
            await self.engine.take_up_collections()
            if number % 3 == 0 or at == steps[-1]:
                await self.engine.reconcile_payments()
                await self.engine.deliver_webhooks()
            words = f"{at:%-d %b}, {self.booked:,} events"
            progress(number / (len(steps) - 1), words)
        self._clock.catch_up()

    def _steps(self) -> list[datetime]:
        """Return the instants at which what has been used since the one before is booked."""
        steps = [self.begins_at]
        ends = [self.ends_at - before for before, _ in self._pace[1:]]
        for (_, step), end in zip(self._pace, [*ends, self.ends_at], strict=True):
            while steps[-1] < end:
                steps.append(min(end, steps[-1] + step))
        return steps

    async def join(self, buyer: Buyer) -> None:
        """Let a customer come: they pay, and subscribe."""
        engine = self.engine
        tier = "enterprise" if buyer.product == shop.ENTERPRISE else "self-serve"
        created = await engine.create_customer(
            CreateCustomer(
                buyer.name, buyer.external_id, buyer.email, {"segment": tier, "company": "yes"}
            )
        )
        buyer.id = created.id
        if buyer.role not in ("has_not_paid", "blocked"):
            await self.purse.fill(buyer)
        now = engine.now()
        seats = buyer.seats if buyer.product == shop.TEAM else None
        version = 1 if buyer.role == "loses_money" else None
        product = SubscribedProduct(code=buyer.product, version=version, quantity=seats)
        has_periods = buyer.product in (shop.STUDIO, shop.TEAM, shop.ENTERPRISE)
        on_trial = buyer.role == "on_trial"
        renews_at = None
        if has_periods and not buyer.joins_on:
            # So that each has a renewal in the month.
            renews_at = now + timedelta(days=buyer.renews_after_days)
        coupon = None
        if buyer.joins_on and buyer.product in (shop.STUDIO, shop.TEAM):
            coupon = shop.WELCOME
        elif buyer.product == shop.AGENTS and buyer.joins_on > DAYS // 2:
            coupon = shop.LAUNCH
        subscription = CreateSubscription(
            [product],
            renews_at=renews_at,
            trial=Trial(days=14) if on_trial else None,
            coupon=coupon,
        )
        await engine.create_subscription(buyer.id, subscription)
        await self.purse.look(buyer)

    async def _book(self, plan: Planned, before: datetime, at: datetime) -> None:
        """Book what was used since a step ago."""
        luck, span = self.uses.luck, at - before

        async def book(buyer: Buyer, count: int) -> None:
            instants = [before + span * luck.random() for _ in range(count)]
            events = self.uses.events(buyer, instants)
            booked = await self.engine.record_events(buyer.id, events, are_checked=True)
            self._noted(buyer, booked)
            for event in events:
                if event.outcome is not None:
                    hours = luck.uniform(*_SETTLES_AFTER_HOURS)
                    due_at = event.occurred_at + timedelta(hours=hours)
                    self._cases.append(_Open(due_at, event.id, buyer))

        await asyncio.gather(*[book(*one) for one in plan.between(before, at)])

    def _noted(self, buyer: Buyer, booked: EventsBooked) -> None:
        self.booked += len(booked.results)
        self.purse.saw(buyer, dict(booked.results[-1].balances))

    async def _settle_cases(self, at: datetime) -> None:
        """Say of cases whether they were resolved: what was not is not charged."""
        settled: list[Awaitable[object]] = []
        waiting: deque[_Open] = deque()
        for case in self._cases:
            luck = self.uses.luck.random()
            if case.due_at > at:
                waiting.append(case)
            elif luck < _WITHDRAWN:
                outcome: Outcome = "confirmed" if luck < _CONFIRMED else "withdrawn"
                request = OutcomeRequest(f"{case.event_id}-{outcome}", outcome)
                settled.append(self.engine.settle_outcome(case.event_id, request, case.buyer.id))
        self._cases = waiting
        await asyncio.gather(*settled)

    async def _refill(self, at: datetime) -> None:
        """Let some of those top up who have little left, in the daytime."""
        if not 7 <= at.hour <= 21:
            return
        luck = self.uses.luck
        chosen = [b for b in self.buyers if b.uses and tops_up(b) and luck.random() < _REFILLS]
        await asyncio.gather(*[self.purse.refill(buyer) for buyer in chosen])


def tops_up(buyer: Buyer) -> bool:
    """Tell whether a customer tops up of their own accord."""
    return buyer.role not in ("in_the_red", "blocked", "auto_top_up", "has_not_paid")
