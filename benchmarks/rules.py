"""What it costs when much is to be looked at: a charge under tiers by dimension, with five grants
and a limit that counts it, beside a plain one. Both have as many wallets in the same database, and
are measured in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import CUSTOMER, GRANT, PRODUCT, open_shop, usage, verify
from faregate import Engine
from faregate.catalog.types import CreateProduct
from faregate.core.amounts import Number
from faregate.core.codec import from_dict
from faregate.core.limits import LimitRequest
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer

CALLERS: Final = (1, 64)
WALLETS: Final = ("spread", "hot")
SUBJECTS: Final = ("plain", "ruled")
GRANTS: Final = 5
EVENT_TYPE: Final = "ruled"
Cell = tuple[str, int, str]
CELLS: Final = tuple((s, c, w) for c in CALLERS for w in WALLETS for s in SUBJECTS)
_MODELS: Final = ("large", "small", "*")


def _ruled_product() -> dict[str, Any]:
    """Return the plain product with tiers per month for each of three models."""
    (plain,) = PRODUCT["prices"]  # type: ignore[misc]
    entries = [
        {
            "dimensions": {"model": model},
            "values": [
                {"up_to": 10**6, "volume_rate": 3, "package_size": 1_000_000},
                {"up_to": 10**9, "volume_rate": 2, "package_size": 1_000_000},
                {"volume_rate": 1, "package_size": 1_000_000},
            ],
        }
        for model in _MODELS
    ]
    price = {
        **plain,
        "pricing_model": "tiered",
        "tiering": {"basis": "volume", "period": "monthly"},
        "usage_calculation": {
            **plain["usage_calculation"],
            "event_type": EVENT_TYPE,
            "billable_dimensions": ["model"],
        },
        "pricing": [{"asset": "USD", "values": entries}],
    }
    return {"name": "Ruled", "code": "ruled", "publish": True, "prices": [price]}


async def measure_rules(url: str, plan: Plan, say: Say) -> tuple[dict[Cell, Rate], int]:
    """Measure every cell, in turn. Returns the medians, and how many charges `verify` found."""
    rounds: dict[Cell, list[Rate]] = {cell: [] for cell in CELLS}
    async with Engine.open(url) as engine:
        wallets = {"plain": await open_shop(engine, plan.customers)}
        wallets["ruled"] = await _open_ruled(engine, plan.customers)
        for turn in range(plan.rounds):
            for cell in CELLS:
                subject, callers, spread = cell
                say(f"rules, {subject}, {callers} callers, {spread}")
                chosen = wallets[subject][:1] if spread == "hot" else wallets[subject]
                call = _charge(engine, chosen, subject, f"{turn}-{spread}-{callers:03d}-{subject}")
                rounds[cell].append(await measure(call, callers, plan.seconds))
    say("verify")
    return {cell: middle(rates) for cell, rates in rounds.items()}, await verify(url)


async def _open_ruled(engine: Engine, customers: int) -> list[str]:
    await engine.create_product(from_dict(CreateProduct, _ruled_product()))
    subscribed = {**CUSTOMER, "subscriptions": [{"products": [{"code": "ruled"}]}]}
    limit = LimitRequest(Number("1000000000"), "month", asset="USD", event_type=EVENT_TYPE)
    room = asyncio.Semaphore(32)

    async def make(_: int) -> str:
        async with room:
            created = await engine.create_customer(from_dict(CreateCustomer, subscribed))
            for number in range(GRANTS):
                request = AdjustmentRequest(f"grant-{number}", "USD", GRANT, "gift")
                await engine.adjust(created.id, request)
            await engine.create_customer_limit(created.id, limit)
            return created.id

    return list(await asyncio.gather(*(make(number) for number in range(customers))))


def _charge(engine: Engine, customers: Sequence[str], subject: str, run: str) -> Call:
    async def call(number: int) -> None:
        event = usage(run, number)
        if subject == "ruled":
            event = structs.replace(event, event_type=EVENT_TYPE)
        customer_id = customers[number % len(customers)]
        await engine.record_events(customer_id, [event], are_checked=True)

    return call
