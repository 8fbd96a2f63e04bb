"""Sums that are kept say what the rows say, however and whenever they were written."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec import structs
from tests.insights.selling import (
    EARLY,
    book,
    charge,
    cost,
    customer,
    four,
    open_shop,
    rate,
    use,
)
from tests.insights.test_at_random import fill, told
from tests.ledger.shop import NOON, Clock, assert_clean, tell

from faregate import Engine, from_dict
from faregate.catalog.types import CreateProduct
from faregate.core.events import UsageEvent
from faregate.core.instants import to_us
from faregate.core.outcomes import OutcomeRequest
from faregate.customers.types import CreateSubscription, SubscribedProduct
from faregate.insights.grouping import Groups
from faregate.ledger import sum_reading
from faregate.ledger.questions import Asked
from faregate.ledger.sum_reading import end_of_slice
from faregate.ledger.summaries import cursor_of

TODAY = NOON.date()
KEPT: tuple[tuple[str, ...], ...] = (
    (),
    ("customer",),
    ("customer", "day"),
    ("product",),
    ("price", "event_type"),
    ("product", "day"),
    ("event_type", "month"),
    ("vendor",),
    ("category", "event_type"),
    ("vendor", "category"),
)


async def both(engine: Engine, by: tuple[str, ...], **asked: Any) -> tuple[Groups, Groups]:
    """What the sums say, and what the rows say."""
    environment = engine.context.environment_id
    currency = asked.pop("currency", "USD")
    question = Asked(environment, currency, by, **asked)
    async with engine._store.snapshot() as snapshot:
        exchange = await engine._exchange(snapshot, environment, currency)
        question = structs.replace(question, converts=exchange.has_rates)
        found = []
        for exact in (False, True):
            groups = Groups(question, engine.catalog_view(), exchange)
            read = groups.read_rows if exact else groups.read
            await read(engine._store, snapshot)
            found.append(groups)
    return found[0], found[1]


async def assert_same(engine: Engine, by: tuple[str, ...], **asked: Any) -> None:
    sums, rows = await both(engine, by, **asked)
    assert {key: told(one) for key, one in sums.by_key.items()} == {
        key: told(one) for key, one in rows.by_key.items()
    }
    if not {"vendor", "category"} & set(by):
        assert told(sums.total) == told(rows.total)


@pytest.mark.parametrize("seed", range(4))
def test_sums_say_what_the_rows_say_whenever_they_were_written(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    monkeypatch.setattr(sum_reading, "SLICE", random.choice((1, 7, 50)))

    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            customers: list[str] = []
            for _ in range(3):
                customers += await fill(engine, clock, random) if not customers else []
                if random.random() < 0.7:
                    await engine.sum_up()
                if random.random() < 0.5:
                    # A rate that was not known when the sums were written, from within a day.
                    at = NOON - timedelta(hours=random.randrange(24 * 20))
                    await rate(engine, "GEMS", "EUR", "0.5", at)
                at = clock.move(hours=5)
                events = [use(f"{at} {n}", "chat", n, cost("0.1"), at=at, m=1) for n in range(3)]
                await book(engine, random.choice(customers), *events)
                request = OutcomeRequest(f"{at}", "changed", {"n": 9})
                await engine.settle_outcome(f"{at} 2", request)
            first = to_us(NOON.replace(hour=0))
            day = 86_400_000_000
            for currency in ("USD", "EUR"):
                for by in KEPT:
                    await assert_same(engine, by, currency=currency)
                for days in ((0, 1), (1, 3)):
                    period = {"from_us": first + days[0] * day, "to_us": first + days[1] * day}
                    await assert_same(engine, ("customer",), currency=currency, **period)
                    await assert_same(engine, ("price",), currency=currency, **period)
                await assert_same(engine, ("day",), currency=currency, customer_id=customers[0])
            await engine.sum_up()
            await assert_clean(engine)

    tell(story())


def test_an_event_counts_once_whoever_sums_up_at_the_same_time(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(engine, ada, *[use(f"{n}", "llm", 1) for n in range(40)])
            added = await asyncio.gather(*[engine.sum_up() for _ in range(4)])
            assert sum(map(bool, added)) == 1
            assert await engine.sum_up() == 0
            # An outcome that moves nothing gets no number, and is not overlooked.
            await book(engine, ada, structs.replace(use("p", "llm", 1), outcome="pending"))
            await engine.sum_up()
            await engine.settle_outcome("p", OutcomeRequest("w", "withdrawn"))
            await engine.settle_outcome("1", OutcomeRequest("v", "withdrawn"))
            for _ in range(2):
                page = await engine.stats("event_type")
                assert (page.summary.gross_revenue, page.summary.events) == (39, 41)
                await asyncio.gather(*[engine.sum_up() for _ in range(3)])
            await assert_same(engine, ("price",))

    tell(story())


def test_however_many_charges_one_customer_has_they_are_added_some_at_a_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sum_reading, "SLICE", 50)

    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await asyncio.gather(*[charge(engine, ada, f"c{n}", "0.5", "USD") for n in range(600)])
            async with engine._store.snapshot() as snapshot:
                after, last_seq, _ = await cursor_of(snapshot, 0)
                assert await end_of_slice(snapshot, 0, after, last_seq) < after + 60
            await engine.sum_up()
            assert (await engine.stats("customer")).summary.gross_revenue == 300
            await assert_same(engine, ("customer",))

    tell(story())


def test_costs_of_fees_in_several_assets_wait_for_rates(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            usage = {"event_type": "both", "usage_type": "volume", "volume_field": "n"}
            prices = [
                {
                    "type": "usage_based",
                    "name": asset,
                    "billing_model": {"type": "real_time"},
                    "usage_calculation": usage,
                    "pricing": [{"asset": asset, "values": [{"volume_rate": Decimal(1)}]}],
                }
                for asset in ("USD", "EUR")
            ]
            body = {"name": "both", "code": "both", "publish": True, "prices": prices}
            await engine.create_product(from_dict(CreateProduct, body))
            ada = await customer(engine)
            terms = CreateSubscription([SubscribedProduct(code="both")], starts_at=EARLY)
            await engine.create_subscription(ada, terms)
            await book(engine, ada, use("e", "both", 1, cost("4")))
            await engine.sum_up()
            page = await engine.stats("price", sort="-total_costs")
            assert [four(group)[1] for group in page.items] == ["4", "0"]
            # An euro is 3 dollars: of the 4 that it has cost, 3 are the second fee's.
            await rate(engine, "EUR", "USD", "3")
            page = await engine.stats("price", sort="-total_costs")
            assert [four(group) for group in page.items] == [
                ("3", "3", "0", "0"),
                ("1", "1", "0", "0"),
            ]
            assert (page.summary.events, four(page.summary)[1]) == (1, "4")

    tell(story())


def test_by_model_and_by_hour_is_what_events_say_themselves(database_url: str) -> None:
    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine:
            ada = await customer(engine)
            for name, model, n in (
                ("a", "small", 1),
                ("b", "large", 2),
                ("c", 7, 4),
                ("d", "é", 8),
            ):
                event = UsageEvent(name, "llm", NOON, data={"n": n, "model": model})
                await book(engine, ada, structs.replace(event, costs=[cost("0.5")]))
                clock.move(hours=1)
            await charge(engine, ada, "x", "100", "USD")
            for _ in range(2):
                page = await engine.stats("model", sort="-gross_revenue")
                shown = [(g.model, g.events, *four(g)[:2]) for g in page.items]
                # What is no text is no model; a charge has none.
                assert shown == [
                    (None, 1, "104", "0.5"),
                    ("é", 1, "8", "0.5"),
                    ("large", 1, "2", "0.5"),
                    ("small", 1, "1", "0.5"),
                ]
                page = await engine.stats("hour", sort="gross_revenue")
                first = page.items[0]
                assert (first.hour, four(first)[0], len(page.items)) == (NOON, "1", 5)
                await engine.sum_up()

    tell(story())


def test_verify_names_a_sum_that_the_rows_do_not_say(database_url: str) -> None:
    async def story() -> None:
        async with open_shop(database_url) as engine:
            ada = await customer(engine)
            await book(engine, ada, use("a", "llm", 2, cost("1")), use("b", "fax", 1))
            await engine.sum_up()
            await engine.settle_outcome("a", OutcomeRequest("v", "withdrawn"))
            # What the sums have not seen yet is no fault of theirs.
            await assert_clean(engine)
            await engine.sum_up()
            await assert_clean(engine)
            for table, of in (("hour_sums", "the hours"), ("customer_sums", "all customers")):
                for change, kind, off in (
                    ("revenue_rest = revenue_rest + 5", "sum of revenue", 5),
                    ("costs_billions = costs_billions - 1", "sum of costs", -(10**9)),
                    ("events = events + 1", "sum of events", 1),
                ):
                    async with engine._store.transaction() as transaction:
                        was = await transaction.fetch(f"SELECT * FROM {table} WHERE asset = 'USD'")
                        assert was
                        await transaction.fetch(f"UPDATE {table} SET {change} WHERE asset = 'USD'")
                    (wrong,) = (await engine.verify()).differences
                    assert (wrong.kind, wrong.customer_id) == (kind, of)
                    assert wrong.stored_units - wrong.computed_units == off * len(was)
                    assert wrong.name.startswith(f"USD on {TODAY}")
                    back = change.translate(str.maketrans("+-", "-+"))
                    async with engine._store.transaction() as transaction:
                        await transaction.fetch(f"UPDATE {table} SET {back} WHERE asset = 'USD'")
            await assert_clean(engine)

    tell(story())
