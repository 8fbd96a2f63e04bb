"""However money was earned and spent, the groups add up to the whole, and the whole is what the
events and charges are by themselves."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.databases import new_sqlite
from tests.insights.selling import (
    book,
    charge,
    cost,
    customer,
    four,
    open_shop,
    rate,
    use,
)
from tests.ledger.shop import NOON, Clock, assert_clean, tell

from faregate import Engine
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.instants import from_us, to_us
from faregate.core.margins import Exchange, Sums
from faregate.core.outcomes import OutcomeRequest
from faregate.core.problems import FaregateError
from faregate.insights.grouping import Groups, sums_of_event
from faregate.ledger import reading
from faregate.ledger.questions import Asked

STEPS = 12
ALL = ("customer", "product", "price", "event_type", "day", "month")
COSTS_ONLY = ("vendor", "category")


def some_costs(random: Random) -> list[Cost]:
    return [
        cost(
            f"0.{random.randrange(10**9):09}",
            random.choice(("USD", "EUR", "GBP", None)),
            random.choice(("acme", "models")),
            random.choice(("gpu", None)),
        )
        for _ in range(random.randrange(3))
    ]


def some_event(random: Random, name: str, clock: Clock) -> UsageEvent:
    kind = random.choice(("llm", "chat", "image", "call", "free"))
    at = clock.now - timedelta(hours=random.randrange(24 * 20))
    n, m = random.randrange(4), random.randrange(4)
    event = use(name, kind, n, *some_costs(random), at=at, m=m)
    return structs.replace(event, outcome="pending") if random.random() < 0.2 else event


async def fill(engine: Engine, clock: Clock, random: Random) -> list[str]:
    """Live a few days; returns the customers."""
    await rate(engine, "EUR", "USD", "1.07")
    await rate(engine, "EUR", "USD", "1.113", NOON - timedelta(days=8))
    if random.random() < 0.7:
        await rate(engine, "GEMS", "USD", "0.019", NOON - timedelta(days=random.randrange(30)))
    customers = [await customer(engine, name) for name in ("Ada", "Bob")]
    booked: list[tuple[str, UsageEvent]] = []
    for step in range(STEPS):
        clock.move(hours=random.randrange(30))
        who = random.choice(customers)
        if random.random() < 0.3:
            asset = random.choice(("USD", "EUR", "GEMS"))
            await charge(engine, who, f"{step}", f"{random.randrange(1, 99)}", asset)
        else:
            events = [some_event(random, f"{step} {n}", clock) for n in range(3)]
            await book(engine, who, *events)
            booked += [(who, event) for event in events]
        while booked and random.random() < 0.4:
            await say_something(engine, random, *random.choice(booked))
    return customers


async def say_something(
    engine: Engine, random: Random, customer_id: str, event: UsageEvent
) -> None:
    """Report an outcome of an event, which may be refused: it may be withdrawn already."""
    word = random.choice(("confirmed", "changed", "withdrawn"))
    data = {"n": random.randrange(4)} if word == "changed" else None
    request = OutcomeRequest(f"{random.random()}", word, data)  # type: ignore[arg-type]
    with suppress(FaregateError):
        await engine.settle_outcome(event.id, request, customer_id)


def told(sums: Sums) -> tuple[object, ...]:
    return sums.revenue, sums.costs, sums.events, sums.unconverted


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_groups_add_up_to_the_whole_and_the_whole_to_the_events(seed: int) -> None:
    async def story(folder: str) -> None:
        random, clock = Random(seed), Clock()
        url = new_sqlite(Path(folder) / "faregate.db")
        async with open_shop(url, clock) as engine:
            customers = await fill(engine, clock, random)
            store, environment = engine._store, engine.context.environment_id
            exchange = await engine._exchange(store, environment, "USD")
            whole = await added(engine, exchange, Asked(environment, "USD"))
            assert told(whole.total) == told(await by_events(engine, exchange))
            for by in (*[(name,) for name in ALL], ("price", "day"), ("event_type", "customer")):
                asked = Asked(environment, "USD", by)
                assert told((await added(engine, exchange, asked)).total) == told(whole.total)
                of_each = Sums()
                for customer_id in customers:
                    asked = Asked(environment, "USD", by, customer_id=customer_id)
                    of_each.add((await added(engine, exchange, asked)).total)
                assert told(of_each) == told(whole.total)
                # Cutting by keys finds what reading everything finds.
                period = {"from_us": to_us(NOON), "to_us": to_us(NOON + timedelta(days=4))}
                cut = await added(engine, exchange, Asked(environment, "USD", by, **period))
                asked = Asked(environment, "USD", by, **period, is_in_order=False)
                read = await added(engine, exchange, asked)
                assert {k: told(s) for k, s in cut.by_key.items()} == {
                    k: told(s) for k, s in read.by_key.items()
                }
            for by in COSTS_ONLY:
                costs = (await added(engine, exchange, Asked(environment, "USD", (by,)))).total
                assert costs.costs == whole.total.costs
            await shown_adds_up(engine)
            await assert_clean(engine)

    with TemporaryDirectory() as folder:
        tell(story(folder))


async def added(engine: Engine, exchange: Exchange, asked: Asked) -> Groups:
    groups = Groups(asked, engine.catalog_view(), exchange)
    async with engine._store.snapshot() as snapshot:
        await groups.read(engine._store, snapshot)
    return groups


async def by_events(engine: Engine, exchange: Exchange) -> Sums:
    """Add up event by event, charge by charge."""
    store = engine._store
    total = Sums()
    keys = [tuple(row) for row in await store.fetch("SELECT event_id, customer_id FROM events")]
    for booked in (await reading.read_events(store, 0, keys)).values():
        total.add(sums_of_event(booked, exchange))
    charges = "SELECT account_id, units, created_at FROM transactions WHERE kind = 'charge'"
    for account, units, created_at in await store.fetch(charges):
        asset = account.rpartition(":")[2]
        price = exchange.price_at(asset, from_us(created_at))
        total.add_revenue(asset, -units, price)
    return total


async def shown_adds_up(engine: Engine) -> None:
    """What is shown is rounded once each: it adds up but for that."""
    first = NOON.date()
    page = await engine.stats("customer", period_from=first, period_to=first + timedelta(days=60))
    assert page.summary.events
    shown = sum((group.gross_revenue or Decimal(0) for group in page.items), Decimal(0))
    whole = Decimal(four(page.summary)[0])
    assert abs(shown - whole) <= len(page.items) * Decimal("0.0000000005")
