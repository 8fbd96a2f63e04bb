"""How long a charge takes at half of the load that can be carried: calls come when they come
(a Poisson process), not when the last one is answered, and each one's time counts from when it was
due. Beside it, one commit: a single caller's median.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from time import perf_counter
from typing import Final, NamedTuple

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, at, measure
from benchmarks.shop import open_shop, usage, verify
from faregate import Engine

CALLERS: Final = 64
SHARES: Final = (0.25, 0.5, 0.75)


class Latency(NamedTuple):
    """At a share of the load that can be carried: calls per second, and how long they took."""

    share: float
    per_second: float
    p50_ms: float
    p99_ms: float
    commit_ms: float


async def measure_latency(url: str, plan: Plan, say: Say) -> tuple[list[Latency], int]:
    """Measure the closed loop first, then shares of its rate; of several rounds, the one with the
    middle p99. Returns also how many charges `verify` found."""
    found: list[Latency] = []
    async with Engine.open(url) as engine:
        customers = await open_shop(engine, plan.customers)
        rounds: dict[float, list[Latency]] = {share: [] for share in SHARES}
        for turn in range(plan.rounds):
            say(f"latency, round {turn + 1}")
            one = await measure(_charge(engine, customers, f"{turn}-one"), 1, plan.seconds)
            full = await measure(_charge(engine, customers, f"{turn}-full"), CALLERS, plan.seconds)
            for share in SHARES:
                per_second = full.per_second * share
                call = _charge(engine, customers, f"{turn}-{share}")
                took = await _open_loop(call, per_second, plan.seconds, Random(turn))
                took.sort()
                p50, p99 = at(took, 0.5) * 1000, at(took, 0.99) * 1000
                rounds[share].append(Latency(share, per_second, p50, p99, one.p50_ms))
        for measured in rounds.values():
            measured.sort(key=lambda latency: latency.p99_ms)
            found.append(measured[len(measured) // 2])
    say("verify")
    return found, await verify(url)


def _charge(engine: Engine, customers: Sequence[str], run: str) -> Call:
    async def call(number: int) -> None:
        customer_id = customers[number % len(customers)]
        await engine.record_events(customer_id, [usage(run, number)], are_checked=True)

    return call


async def _open_loop(call: Call, per_second: float, seconds: float, random: Random) -> list[float]:
    """Call at random instants; returns how long each took, from when it was due."""
    took: list[float] = []
    running: set[asyncio.Task[None]] = set()
    start = perf_counter()
    due, number = start, 0

    async def one(number: int, due: float) -> None:
        await call(number)
        took.append(perf_counter() - due)

    while due < start + seconds:
        due += random.expovariate(per_second)
        wait = due - perf_counter()
        # Timers of the loop are a millisecond coarse: what is due meanwhile is started at once.
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
    while running:
        await asyncio.wait(running)
    return took
