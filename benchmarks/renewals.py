"""How fast what is due is done: subscriptions that all renew at the same instant, each with a fee
and with credit that is replaced, beside plain charges in the same database.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Rate, measure, middle
from benchmarks.shop import open_shop, usage, verify
from faregate import Engine
from faregate.catalog.types import CreateAsset, CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import from_dict
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

MEMBERS: Final = 100_000
QUICK_MEMBERS: Final = 5_000
CALLERS: Final = 64
_AT_ONCE: Final = 256
_PLAN: Final[dict[str, Any]] = {
    "name": "Plan",
    "code": "plan",
    "publish": True,
    "prices": [
        {
            "type": "fixed",
            "name": "Monthly",
            "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 10}]}],
        }
    ],
    "entitlements": [
        {
            "name": "Included",
            "asset": "POINTS",
            "amount": 100,
            "purpose": "bundled",
            "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
        }
    ],
}


class Renewals(msgspec.Struct, frozen=True):
    """Plain charges beside it, renewals done, in how many seconds, and what `verify` found."""

    plain: Rate
    members: int
    seconds: float
    renewed: int
    fees: int


class _Clock:
    """The engine's time, set forward by a month when everything is to renew."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


async def measure_renewals(url: str, plan: Plan, say: Say) -> Renewals:
    """Subscribe everybody, let a month pass, and do what is due."""
    clock = _Clock()
    members = QUICK_MEMBERS if plan.rounds == 1 else MEMBERS
    async with Engine.open(url, clock=clock) as engine:
        wallets = await open_shop(engine, plan.customers)
        rates = []
        for turn in range(plan.rounds):
            say(f"plain charges beside renewals, round {turn + 1}")

            async def charge(number: int, turn: int = turn) -> None:
                event = usage(f"renewals-{turn}", number)
                wallet = wallets[number % len(wallets)]
                await engine.record_events(wallet, [event], are_checked=True)

            rates.append(await measure(charge, CALLERS, plan.seconds))
        await _subscribe(engine, members, say)
        clock.ahead = timedelta(days=32)
        say(f"{members:,} renewals")
        begun = time.perf_counter()
        renewed = await engine.work()
        seconds = time.perf_counter() - begun
        left = (await engine.list_due_work(1)).total_count
        if renewed != members or left:
            raise SystemExit(f"{renewed} of {members} renewed, {left} are still due")
    say("verify")
    return Renewals(middle(rates), members, seconds, renewed, await verify(url))


async def _subscribe(engine: Engine, members: int, say: Say) -> None:
    await engine.create_asset(CreateAsset("POINTS", "Points"))
    await engine.create_product(from_dict(CreateProduct, _PLAN))
    room = asyncio.Semaphore(_AT_ONCE)
    subscription = CreateSubscription([SubscribedProduct(code="plan")])
    done = 0

    async def make(number: int) -> None:
        nonlocal done
        async with room:
            made = await engine.create_customer(CreateCustomer(name=f"Member {number}"))
            credit = AdjustmentRequest("credit", "USD", Number("100"), "external_topup")
            await engine.adjust(made.id, credit)
            await engine.create_subscription(made.id, subscription)
            done += 1
            if done % 5_000 == 0:
                say(f"{done:,} of {members:,} subscribed")

    for start in range(0, members, 5_000):
        numbers = range(start, min(members, start + 5_000))
        await asyncio.gather(*[make(number) for number in numbers])
