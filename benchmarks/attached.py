"""What it costs to attach what a model's call has cost: charges of events that name a model and
count tokens, with costs attached, beside the same charges with none, and beside events that bring
such a cost themselves. All have the same wallets, and are measured in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import open_shop, usage, verify
from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.costs import Cost

CALLERS: Final = (1, 64)
SUBJECTS: Final = ("plain", "attached", "sent")
Cell = tuple[str, int]
CELLS: Final = tuple((subject, callers) for callers in CALLERS for subject in SUBJECTS)
_CALL: Final = {"model": "gpt-4o", "provider": "openai", "input_tokens": 2_000}


async def measure_attached(url: str, plan: Plan, say: Say) -> tuple[dict[Cell, Rate], int]:
    """Measure every cell, in turn. Returns the medians, and how many charges `verify` found."""
    rounds: dict[Cell, list[Rate]] = {cell: [] for cell in CELLS}
    async with Engine.open(url) as engine:
        customers = await open_shop(engine, plan.customers)
        for turn in range(plan.rounds):
            for cell in CELLS:
                subject, callers = cell
                say(f"attached, {subject}, {callers} callers")
                await engine.change_settings(attach_costs=subject == "attached")
                call = _charge(engine, customers, subject, f"{turn}-{callers:03d}-{subject}")
                rounds[cell].append(await measure(call, callers, plan.seconds))
    say("verify")
    return {cell: middle(rates) for cell, rates in rounds.items()}, await verify(url)


def _charge(engine: Engine, customers: Sequence[str], subject: str, run: str) -> Call:
    async def call(number: int) -> None:
        event = usage(run, number)
        data: dict[str, Any] = {**(event.data or {}), **_CALL}
        costs = [_sent(data)] if subject == "sent" else None
        event = structs.replace(event, data=data, costs=costs)
        customer_id = customers[number % len(customers)]
        await engine.record_events(customer_id, [event], are_checked=True)

    return call


def _sent(data: dict[str, Any]) -> Cost:
    """Return the cost that would be attached, as a seller sends it."""
    amount = Number("0.000001") * (data["input_tokens"] * 5 // 2 + data["output_tokens"] * 10)
    parts = [
        {"kind": "input", "count": data["input_tokens"], "price": Number("2.5"), "per": 10**6},
        {"kind": "output", "count": data["output_tokens"], "price": Number("10"), "per": 10**6},
    ]
    metadata = {"model": "gpt-4o", "parts": parts}
    return Cost("model", Number(amount), None, "openai", "model", metadata=metadata)
