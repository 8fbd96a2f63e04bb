"""Outcomes, discounts, commitments, conversions, holds and restarts, all at once and at random: a
customer of whose events many things were said owes what their twin owes, who was told only the last
of each."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.databases import new_sqlite
from tests.ledger.plans import monthly
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    give,
    other_connection,
    refusal,
    tell,
    usage_price,
)

from faregate import Engine
from faregate.catalog.coupons import CreateCoupon
from faregate.catalog.types import CreateAsset, CreateProduct, StartingRate
from faregate.core.amounts import Number
from faregate.core.codec import decode, encode
from faregate.core.events import UsageEvent
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.outcomes import OutcomeRequest
from faregate.core.problems import CONFLICT
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import (
    AddDiscount,
    CreateCustomer,
    CreateSubscription,
    SubscribedProduct,
)

POINTS = "default:POINTS"
STEPS = 25
# However many were used, it never comes to just half a unit of USD, or half a POINT, which might be
# rounded up or down.
CHAT, ART = "0.0000000003333", "0.2713"
COUPONS: dict[str, dict[str, Any]] = {
    "THIRD": {"percent": Number("33.3333"), "products": ("chat",)},
    "SOME": {"amount": Number("0.000000004"), "asset": "USD", "products": ("chat",)},
    "TENTH": {"percent": Number("10"), "products": ("art",)},
}


def product(code: str, price: dict[str, Any], **commitment: Any) -> CreateProduct:
    terms = {"name": "Use", "asset": "USD", "recurring": {"interval": "month"}, **commitment}
    body = {
        "name": code,
        "code": code,
        "publish": True,
        "prices": [monthly(1), price],
        "commitments": [terms] if commitment else [],
    }
    return decode(CreateProduct, encode(body))


async def open_shop(engine: Engine, random: Random) -> None:
    """Sell chats in USD, and art that POINTS pay, 25 for a USD."""
    rate = [StartingRate("USD", rate=Number("0.04"))]
    await engine.create_asset(CreateAsset("POINTS", "Points", 0, rates=rate))
    most = {"maximum": Decimal("0.000000040")} if random.random() < 0.5 else {}
    least = {} if most else {"minimum": Decimal("0.000001000")}
    chat = product("chat", usage_price(CHAT), **least, **most)
    await engine.create_product(chat)
    art = usage_price(ART)
    art["usage_calculation"]["event_type"] = "art"
    art["funding_destination"] = {"address": POINTS}
    await engine.create_product(product("art", art, minimum=300))
    for code, terms in COUPONS.items():
        await engine.create_coupon(CreateCoupon(code, **terms))


async def join(engine: Engine) -> str:
    customer_id = (await engine.create_customer(CreateCustomer(name="Ada"))).id
    await give(engine, customer_id, "1000", "first credit")
    products = [SubscribedProduct(code=code) for code in ("chat", "art")]
    await engine.create_subscription(customer_id, CreateSubscription(products))
    (subscription,) = await engine.list_subscriptions(customer_id)
    for code in COUPONS:
        await engine.add_discount(customer_id, subscription.id, AddDiscount(code))
    for number in (40, 1000):
        request = AdjustmentRequest(f"points {number}", "POINTS", Number(number), "gift")
        await engine.adjust(customer_id, request)
    return customer_id


def use(name: str, kind: str, n: int, at: datetime, **more: Any) -> UsageEvent:
    return UsageEvent(name, kind, at, data={"n": n}, **more)


class Told:
    """What was said of each event, and in the end what it is: type, volume (None: it costs nothing
    and never did), and when it occurred."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.stands: dict[str, tuple[str, int | None, datetime]] = {}
        self.withdrawn: set[str] = set()
        self.said = 0

    async def record(self, engine: Engine, customer_id: str, now: datetime) -> None:
        """Record an event: charged, pending, or captured of a hold."""
        random = self.random
        name, kind, n = f"e{len(self.stands)}", random.choice(("llm", "art")), random.randrange(9)
        way = random.choice(("charged", "charged", "pending", "held"))
        if way == "held":
            asset = "USD" if kind == "llm" else "POINTS"
            asked = HoldRequest(name, max_amount=Number(5), asset=asset)
            hold = await engine.authorize(customer_id, asked)
            request = CaptureRequest(name, events=[use(name, kind, n, now)])
            await engine.capture(customer_id, hold.id, request)
        else:
            more = {"outcome": "pending"} if way == "pending" else {}
            await engine.record_events(customer_id, [use(name, kind, n, now, **more)])
        self.stands[name] = (kind, None if way == "pending" else n, now)

    async def say(self, engine: Engine, customer_id: str) -> None:
        """Say something of an event."""
        random = self.random
        name = random.choice(list(self.stands))
        kind, _, at = self.stands[name]
        word, n = random.choice(("changed", "changed", "withdrawn")), random.randrange(9)
        self.said += 1
        data = {"n": n} if word == "changed" else None
        request = OutcomeRequest(f"said {self.said}", word, data)  # type: ignore[arg-type]
        if name in self.withdrawn and word == "changed":
            refused = await refusal(engine.settle_outcome(name, request, customer_id))
            assert refused.problem.kind is CONFLICT
            return
        await engine.settle_outcome(name, request, customer_id)
        self.stands[name] = (kind, n if word == "changed" else None, at)
        if word == "withdrawn":
            self.withdrawn.add(name)


async def live(url: str, seed: int) -> None:
    random, clock = Random(seed), Clock()
    told = Told(random)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine.open(url, clock=clock))
        await open_shop(engine, random)
        ada, twin = await join(engine), await join(engine)
        for _ in range(STEPS):
            if random.random() < 0.15:
                await stack.aclose()
                engine = await stack.enter_async_context(Engine.open(url, clock=clock))
            clock.move(hours=random.randrange(24))
            if not told.stands or random.random() < 0.5:
                await told.record(engine, ada, clock.now)
            else:
                await told.say(engine, ada)
        await assert_clean(engine)
        for name, (kind, n, at) in told.stands.items():
            if n is not None:
                await engine.record_events(twin, [use(name, kind, n, at)])
        for customer_id in (ada, twin):
            # What is carried, or left of amounts and maxima, is all in one that is large enough.
            last = [use("last", "llm", 999, clock.now), use("last art", "art", 999, clock.now)]
            await engine.record_events(customer_id, last)
        await assert_same(engine, url, ada, twin)
        # What is missing of the minima is charged with the renewal.
        clock.move(days=31)
        for customer_id in (ada, twin):
            last = [use("new", "llm", 99, clock.now), use("new art", "art", 99, clock.now)]
            await engine.record_events(customer_id, last)
        await assert_same(engine, url, ada, twin)
        await assert_clean(engine)


async def assert_same(engine: Engine, url: str, ada: str, twin: str) -> None:
    """They have the same, and the same counts for them."""
    shown = []
    for customer_id in (ada, twin):
        balances = [await available(engine, customer_id, a) for a in ("default:USD", POINTS)]
        (subscription,) = await engine.list_subscriptions(customer_id)
        spent = [(c.asset, c.spent) for c in subscription.commitments or ()]
        used = [(d.coupon, d.used) for d in subscription.discounts or ()]
        async with other_connection(url) as store:
            carries = await store.fetch(
                "SELECT price_id, asset, numerator FROM carries WHERE customer_id = $1", customer_id
            )
        left = sorted(
            (price_id.replace(subscription.id, "sub"), asset, numerator)
            for price_id, asset, numerator in carries
            if numerator != "0"
        )
        shown.append((balances, spent, used, left))
    assert shown[0] == shown[1]


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_only_the_last_of_each_event_counts(seed: int) -> None:
    with TemporaryDirectory() as folder:
        tell(live(new_sqlite(Path(folder) / "faregate.db"), seed))


@pytest.mark.parametrize("seed", range(5))
def test_only_the_last_of_each_event_counts_on_both_databases(database_url: str, seed: int) -> None:
    tell(live(database_url, seed))


assert NOON.day + STEPS <= 28  # All of it in one month.
