"""Level 1: the engine in this process, beside one interactive transaction per call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.baseline import PostgresBaseline, SqliteBaseline
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import Shop, open_shop, usage, verify
from faregate import Engine
from faregate.store.open import open_store

CALLERS: Final = (1, 64)
WALLETS: Final = ("spread", "hot")
Say = Callable[[str], None]
CELLS: Final = tuple(
    (subject, callers, wallets)
    for callers in CALLERS
    for wallets in WALLETS
    for subject in ("baseline", "engine")
)

Cell = tuple[str, int, str]


class Plan:
    """How long and how often."""

    def __init__(self, seconds: float, rounds: int, customers: int) -> None:
        self.seconds = seconds
        self.rounds = rounds
        self.customers = customers


async def measure_engine(url: str, plan: Plan, say: Say) -> tuple[dict[Cell, Rate], int]:
    """Measure every cell, in turn, so that a slow minute of the machine hits all alike.

    Returns the medians, and how many charges the ledger has, which `verify` found clean.
    """
    rounds: dict[Cell, list[Rate]] = {cell: [] for cell in CELLS}
    async with Engine.open(url) as engine:
        shop = await open_shop(engine, plan.customers)
        baseline = await _open_baseline(engine, url)
        try:
            for turn in range(plan.rounds):
                for cell in CELLS:
                    subject, callers, wallets = cell
                    say(f"{subject}, {callers} callers, {wallets}")
                    call = _call(engine, baseline, shop, cell, f"{turn}-{wallets}-{callers:02d}")
                    rounds[cell].append(await measure(call, callers, plan.seconds))
        finally:
            await baseline.close()
    say("verify")
    await _give_out(url, baseline.last_seq)
    return {cell: middle(rates) for cell, rates in rounds.items()}, await verify(url)


async def _give_out(url: str, last_seq: int) -> None:
    """Say that the lane has given out the numbers of the baseline's rows."""
    store = await open_store(url)
    async with store.transaction() as transaction:
        await transaction.fetch("UPDATE lanes SET last_seq = $1 RETURNING lane", last_seq)
    await store.close()


async def _open_baseline(engine: Engine, url: str) -> SqliteBaseline | PostgresBaseline:
    catalog = engine.catalog_view()
    if url.startswith("sqlite:///"):
        return SqliteBaseline(catalog, url.removeprefix("sqlite:///"))
    return await PostgresBaseline.open(catalog, url)


def _call(
    engine: Engine, baseline: SqliteBaseline | PostgresBaseline, shop: Shop, cell: Cell, run: str
) -> Call:
    subject, _, wallets = cell
    everyone: Sequence[str] = shop.customers if subject == "engine" else shop.baseline
    chosen = everyone[:1] if wallets == "hot" else everyone
    size = len(chosen)

    async def charge_by_engine(number: int) -> None:
        booked = await engine.record_events(chosen[number % size], [usage(run, number)])
        if not booked.results[0].fees:
            raise AssertionError("a charge has a fee")

    async def charge_by_baseline(number: int) -> None:
        booked = await baseline.charge(chosen[number % size], usage(run, number))
        if not booked.results[0].fees:
            raise AssertionError("a charge has a fee")

    return charge_by_engine if subject == "engine" else charge_by_baseline
