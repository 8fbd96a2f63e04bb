"""Level 1: the engine in this process, beside one interactive transaction per call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.baseline import PostgresBaseline, SqliteBaseline
from benchmarks.measuring import Call, Rate, measure, middle
from benchmarks.shop import open_shop, usage, verify
from faregate import Engine
from faregate.core.chain import Head
from faregate.core.subscriptions import CatalogView
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


async def measure_engine(
    url: str, baseline_url: str, plan: Plan, say: Say
) -> tuple[dict[Cell, Rate], int]:
    """Measure every cell, in turn, so that a slow minute of the machine hits all alike.

    Each side has a database of its own, on the same disk. Returns the medians, and how many
    charges there are in both, which `verify` found clean.
    """
    rounds: dict[Cell, list[Rate]] = {cell: [] for cell in CELLS}
    async with Engine.open(baseline_url) as other:
        theirs = await open_shop(other, plan.customers)
        catalog = other.catalog_view()
    baseline = await _open_baseline(catalog, baseline_url)
    async with Engine.open(url) as engine:
        ours = await open_shop(engine, plan.customers)
        try:
            for turn in range(plan.rounds):
                for cell in CELLS:
                    subject, callers, wallets = cell
                    say(f"{subject}, {callers} callers, {wallets}")
                    run = f"{turn}-{wallets}-{callers:02d}"
                    if subject == "engine":
                        call = _by_engine(engine, _chosen(ours, wallets), run)
                    else:
                        call = _by_baseline(baseline, _chosen(theirs, wallets), run)
                    rounds[cell].append(await measure(call, callers, plan.seconds))
        finally:
            await baseline.close()
    say("verify")
    # The lane has given out the numbers of the baseline's rows.
    await _lane(baseline_url, "UPDATE lanes SET last_seq = $1 RETURNING lane", baseline.last_seq)
    charges = await verify(url) + await verify(baseline_url)
    return {cell: middle(rates) for cell, rates in rounds.items()}, charges


async def _lane(url: str, sql: str, *values: int) -> int:
    store = await open_store(url)
    try:
        async with store.transaction() as transaction:
            return int((await transaction.fetch(sql, *values))[0][0])
    finally:
        await store.close()


async def _open_baseline(catalog: CatalogView, url: str) -> SqliteBaseline | PostgresBaseline:
    last_seq = await _lane(url, "SELECT last_seq FROM lanes")
    heads = await _heads(url)
    if url.startswith("sqlite:///"):
        return SqliteBaseline(catalog, last_seq, heads, url.removeprefix("sqlite:///"))
    return await PostgresBaseline.open(catalog, last_seq, heads, url)


async def _heads(url: str) -> dict[str, Head]:
    """Read where every customer's chain of transfers stands."""
    store = await open_store(url)
    try:
        rows = await store.fetch("SELECT customer_id, hash, seq FROM transfers ORDER BY seq")
        return {row[0]: Head(row[1], row[2]) for row in rows}
    finally:
        await store.close()


def _chosen(customers: list[str], wallets: str) -> Sequence[str]:
    return customers[:1] if wallets == "hot" else customers


def _by_engine(engine: Engine, chosen: Sequence[str], run: str) -> Call:
    async def charge(number: int) -> None:
        customer_id = chosen[number % len(chosen)]
        booked = await engine.record_events(customer_id, [usage(run, number)])
        if not booked.results[0].fees:
            raise AssertionError("a charge has a fee")

    return charge


def _by_baseline(
    baseline: SqliteBaseline | PostgresBaseline, chosen: Sequence[str], run: str
) -> Call:
    async def charge(number: int) -> None:
        booked = await baseline.charge(chosen[number % len(chosen)], usage(run, number))
        if not booked.results[0].fees:
            raise AssertionError("a charge has a fee")

    return charge
