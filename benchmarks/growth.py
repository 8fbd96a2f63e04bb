"""Does a charge stay as cheap when the ledger has grown? The same ledger is measured at each power
of ten, beside a small one that is measured in the same minutes. Ids rise with time, as our clients'
do; at the end also with random ones.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec import structs

from benchmarks.embedded import Plan, Say
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import EVENT_TYPE, open_shop, usage, verify
from faregate import Engine
from faregate.core.events import UsageEvent
from faregate.store.open import open_store
from faregate.store.protocol import Store

CALLERS: Final = 64
SMALL: Final = 10_000
STEPS: Final = (10_000, 100_000, 1_000_000)
LONG_STEPS: Final = (*STEPS, 10_000_000)
_BATCH: Final = 200


class Step(NamedTuple):
    """How fast a ledger of so many events charges, and a small one beside it."""

    events: int
    ids: str
    rate: Rate
    small: Rate


async def measure_growth(
    url: str, small_url: str, plan: Plan, say: Say, steps: Sequence[int]
) -> tuple[list[Step], int]:
    """Grow a ledger step by step; returns what each step measured, and how many charges `verify`
    found in the end."""
    found: list[Step] = []
    async with Engine.open(url) as engine, Engine.open(small_url) as small:
        customers = await open_shop(engine, plan.customers)
        others = await open_shop(small, plan.customers)
        await _load(small, others, 0, SMALL)
        loaded = 0
        for count in steps:
            say(f"growth: loading {count - loaded:,} events, {count:,} in all")
            await _load(engine, customers, loaded, count)
            loaded = max(count, loaded)
            await _settle(url)
            found.append(await _step(engine, customers, small, others, count, "rising", plan))
        last = steps[-1]
        found.append(await _step(engine, customers, small, others, last, "random", plan))
    say("verify")
    return found, await verify(url)


async def _settle(url: str) -> None:
    """Wait until the index of customers' events, which later commits carry along, has all that was
    loaded at once."""
    async with _opened(url) as store:
        while (await store.fetch("SELECT max(last_seq - indexed_seq) FROM lanes"))[0][0]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def _step(
    engine: Engine,
    customers: Sequence[str],
    small: Engine,
    others: Sequence[str],
    count: int,
    ids: str,
    plan: Plan,
) -> Step:
    ours: list[Rate] = []
    theirs: list[Rate] = []
    for turn in range(plan.rounds):
        run = f"{count:08d}-{turn}"
        ours.append(await measure(_charge(engine, customers, run, ids), CALLERS, plan.seconds))
        theirs.append(await measure(_charge(small, others, run, "rising"), CALLERS, plan.seconds))
    return Step(count, ids, middle(ours), middle(theirs))


def _charge(engine: Engine, customers: Sequence[str], run: str, ids: str) -> Call:
    async def call(number: int) -> None:
        event = usage(f"m{datetime.now(UTC):%H%M%S}-{run}", number)
        if ids == "random":
            event = structs.replace(event, id=str(uuid.uuid4()))
        await engine.record_events(customers[number % len(customers)], [event], are_checked=True)

    return call


async def _load(engine: Engine, customers: Sequence[str], first: int, end: int) -> None:
    """Book events in batches, several at once."""
    starts = iter(range(first, end, _BATCH))

    async def loader() -> None:
        for start in starts:
            at = datetime.now(UTC)
            events = [
                UsageEvent(
                    f"l{at:%H%M%S}-{number:012d}",
                    EVENT_TYPE,
                    at,
                    data={"model": "large", "output_tokens": 1000 + number % 7},
                )
                for number in range(start, min(start + _BATCH, end))
            ]
            customer_id = customers[start // _BATCH % len(customers)]
            await engine.record_events(customer_id, events, are_checked=True)

    await asyncio.gather(*(loader() for _ in range(8)))
