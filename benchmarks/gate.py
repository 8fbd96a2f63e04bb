"""What asking first costs. An authorization; an authorization with its capture (a pair), also where
five limits hold; and a mix of everything, beside a plain charge of the same use, in turn on the
same database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import EVENT_TYPE, open_shop, usage, verify
from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.hold_requests import CaptureRequest, HoldRequest
from faregate.core.limits import LimitRequest
from faregate.core.transactions import AdjustmentRequest

CALLERS: Final = (1, 16, 64, 256)
SUBJECTS: Final = ("charge", "authorize", "pair", "limited pair", "mixed")
WALLETS: Final = ("spread", "hot")
Cell = tuple[str, int, str]
CELLS: Final = tuple(
    (subject, callers, wallets)
    for callers in CALLERS
    for wallets in WALLETS
    for subject in SUBJECTS
    # One account may have so many open holds and no more: see `core.holds`.
    if (subject, wallets) != ("authorize", "hot")
)
_VOIDS_AT_ONCE: Final = 200
_MUCH: Final = Number("1000000000")


async def measure_gate(url: str, plan: Plan, say: Say) -> tuple[dict[Cell, Rate], int]:
    """Measure every cell, in turn. Returns the medians, and how many charges `verify` found."""
    rounds: dict[Cell, list[Rate]] = {cell: [] for cell in CELLS}
    async with Engine.open(url) as engine:
        customers = await open_shop(engine, plan.customers)
        limited = await open_shop(engine, plan.customers, has_product=True)
        await limit_all(engine, limited)
        # Their wallets fill up with little gifts.
        gifted = await open_shop(engine, plan.customers, has_product=True)
        for turn in range(plan.rounds):
            for cell in CELLS:
                subject, callers, wallets = cell
                say(f"gate, {subject}, {callers} callers, {wallets}")
                chosen = {"limited pair": limited, "mixed": gifted}.get(subject, customers)
                work = Work(engine, chosen[:1] if wallets == "hot" else chosen)
                run = f"{turn}-{wallets}-{callers:03d}-{subject}"
                call = work.call(subject, run)
                rounds[cell].append(await measure(call, callers, plan.seconds))
                await work.tidy()
    say("verify")
    return {cell: middle(rates) for cell, rates in rounds.items()}, await verify(url)


async def limit_all(engine: Engine, customers: Sequence[str]) -> None:
    """Give each customer five limits that count every use, and that nobody ever reaches."""
    requests = [
        LimitRequest(_MUCH, "day", asset="USD"),
        LimitRequest(_MUCH, "month", asset="USD", event_type=EVENT_TYPE),
        LimitRequest(_MUCH, "hour", asset="USD", window="rolling"),
        LimitRequest(_MUCH, "day", measure="volume", volume_field="output_tokens"),
        LimitRequest(_MUCH, "day", measure="events", dimensions={"model": "large"}),
    ]
    for customer_id in customers:
        await asyncio.gather(
            *[engine.create_customer_limit(customer_id, request) for request in requests]
        )


class Work:
    """Calls of one measurement, and the holds that it leaves open."""

    def __init__(self, engine: Engine, customers: Sequence[str]) -> None:
        self._engine = engine
        self._customers = customers
        self._open: list[tuple[str, str]] = []

    def call(self, subject: str, run: str) -> Call:
        """Return the call that is measured."""
        engine, customers = self._engine, self._customers

        async def charge(number: int) -> None:
            customer_id = customers[number % len(customers)]
            await engine.record_events(customer_id, [usage(run, number)], are_checked=True)

        async def authorize(number: int) -> tuple[str, str]:
            customer_id = customers[number % len(customers)]
            event = usage(run, number)
            request = HoldRequest(event.id, event_type=EVENT_TYPE, data=event.data)
            hold = await engine.authorize(customer_id, request, is_checked=True)
            if hold.status != "authorized":
                raise AssertionError(f"a hold is granted here: {hold.decline}")
            return customer_id, hold.id

        async def ask(number: int) -> None:
            self._open.append(await authorize(number))

        async def pair(number: int) -> None:
            customer_id, hold_id = await authorize(number)
            event = usage(run, number)
            capture = CaptureRequest(event.id, events=[event])
            await engine.capture(customer_id, hold_id, capture, is_checked=True)

        async def mixed(number: int) -> None:
            customer_id = customers[number % len(customers)]
            kind = number % 10
            if kind < 5:
                await charge(number)
            elif kind < 8:
                await pair(number)
            elif kind < 9:
                held_by, hold_id = await authorize(number)
                await engine.void_hold(held_by, hold_id)
            else:
                request = AdjustmentRequest(f"{run}-{number}", "USD", Number("0.01"), "gift")
                await engine.adjust(customer_id, request)

        calls = {"charge": charge, "authorize": ask, "pair": pair, "mixed": mixed}
        return calls.get(subject, pair)

    async def tidy(self) -> None:
        """Void what is open."""
        for start in range(0, len(self._open), _VOIDS_AT_ONCE):
            batch = self._open[start : start + _VOIDS_AT_ONCE]
            await asyncio.gather(*[self._engine.void_hold(c, hold) for c, hold in batch])
