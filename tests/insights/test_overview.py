"""What whoever opens the dashboard sees first. Each expected number is worked out beside it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec import structs
from tests.engine.card_shop import shop
from tests.insights.selling import book, charge, cost, credit, customer, open_shop, rate, use
from tests.ledger.shop import NOON, Clock, refusal, tell

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.hold_requests import HoldRequest
from faregate.core.outcomes import OutcomeRequest
from faregate.insights.overview import Attention, Overview
from faregate.ledger import questions
from faregate.webhooks.types import CreateDestination, UpdateDestination


def by_kind(found: Overview) -> dict[str, Attention]:
    return {one.kind: one for one in found.attention}


async def everything(engine: Engine) -> Overview:
    """An overview with what is lost, as the page shows both."""
    found = await engine.overview()
    return structs.replace(found, attention=[*found.attention, *await engine.losses()])


def worst(found: Overview, kind: str) -> list[tuple[str, Decimal | None, str | None]]:
    return [(one.name, one.amount, one.asset) for one in by_kind(found)[kind].subjects]


async def fill(engine: Engine, clock: Clock) -> None:
    """Ada brings 3 − 1 a week before, 4 − 5 at noon and 2 − 0 an hour later; Bob 20 without costs
    and an event that nothing prices."""
    ada, bob = await customer(engine), await customer(engine, "Bob")
    await credit(engine, bob, "100")
    await book(engine, ada, use("old", "llm", 3, cost("1"), at=clock.now))
    clock.move(days=8)
    await book(engine, ada, use("dear", "llm", 4, cost("5"), at=clock.now))
    clock.move(hours=1)
    await book(engine, ada, use("late", "llm", 2, at=clock.now))
    await charge(engine, bob, "x", "20", "USD")
    await book(engine, bob, *[use(name, "fax", 1, at=clock.now) for name in ("odd", "even")])


def test_every_hour_and_day_is_there_and_the_span_before_is_compared(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON - timedelta(days=8))
        async with open_shop(database_url, clock) as engine:
            await fill(engine, clock)
            hours = await engine.overview("24h")
            assert len(hours.series) == 24
            assert hours.series[-1].at == NOON + timedelta(hours=1)
            last = [(one.gross_revenue, one.total_costs, one.events) for one in hours.series[-3:]]
            assert last == [(0, 0, 0), (4, 5, 1), (22, 0, 3)]
            week = await engine.overview("7d")
            assert len(week.series) == 7
            assert (week.series[-1].at.hour, week.series[-1].net_revenue) == (0, 21)
            assert (week.summary.gross_revenue, week.before.gross_revenue) == (26, 3)
            month = await engine.overview()
            assert (month.span, len(month.series), month.summary.events) == ("30d", 30, 5)
            assert len((await engine.overview("90d")).series) == 90
            problem = (await refusal(engine.overview("1y"))).problem
            assert "24h, 7d, 30d, 90d" in problem.detail

    tell(story())


def test_now_is_this_hour_and_what_stands_in_the_way(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON - timedelta(days=8))
        async with open_shop(database_url, clock) as engine:
            await fill(engine, clock)
            cleo = await customer(engine, "Cleo")
            ask = HoldRequest("h", max_amount=Number("10"), asset="USD")
            assert (await engine.authorize(cleo, ask)).status == "declined"
            await engine.sum_up()
            now = await engine.pulse()
            assert (now.this_hour, now.hour_before, now.events_this_hour) == (22, 4, 3)
            assert (now.declined, now.declined_is_whole, now.customers) == (1, True, 3)
            # Ada never had anything.
            assert (now.overdrawn, now.failed_payments) == (1, 0)
            clock.move(hours=2)
            later = await engine.pulse()
            assert (later.this_hour, later.hour_before, later.declined) == (0, 0, 0)

    tell(story())


def test_what_needs_attention_is_said_until_it_is_mended(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(NOON - timedelta(days=8))
        async with open_shop(database_url, clock) as engine:
            assert (await everything(engine)).attention == []
            await fill(engine, clock)
            await rate(engine, "GEMS", "USD", "0.5")
            deep = await customer(engine, "Deep")
            await book(engine, deep, use("g", "image", 1, cost("9"), at=clock.now))
            hook = CreateDestination("https://example.com/hook", ["*"])
            made = await engine.create_webhook_destination(hook)
            await engine.update_webhook_destination(made.id, UpdateDestination(enabled=False))
            await engine.sum_up()
            found = await everything(engine)
            assert [one.sentence for one in found.attention] == [
                "2 customers have used more than they had.",
                "1 webhook destination is turned off, and told nothing.",
                "1 customer costs more than they bring, in the last 30 days.",
                "1 product costs more than it brings, in the last 30 days.",
                "2 events have no fee: no price fits, or the outcome is pending.",
            ]
            # 3 + 4 + 2 USD; an image is 5 GEMS, which are 2.50 USD, and cost 9.
            assert worst(found, "overdrawn") == [
                ("Deep", Decimal(-5), "GEMS"),
                ("Ada", Decimal(-9), "USD"),
            ]
            assert worst(found, "customers_at_a_loss") == [("Deep", Decimal("-6.5"), "USD")]
            assert worst(found, "products_at_a_loss") == [
                ("images, version 1", Decimal("-6.5"), "USD")
            ]
            (fax,) = by_kind(found)["unpriced_events"].subjects
            assert (fax.kind, fax.id, fax.note) == ("event_type", "fax", "2 events")
            await engine.update_webhook_destination(made.id, UpdateDestination(enabled=True))
            await credit(engine, deep, "5", "GEMS")
            for name in ("old", "dear", "late"):
                await engine.settle_outcome(name, OutcomeRequest(name, "withdrawn"))
            await engine.sum_up()
            kinds = set(by_kind(await engine.overview()))
            assert not kinds & {"overdrawn", "webhooks_disabled"}

    tell(story())


def test_with_too_many_customers_to_look_at_each_the_rest_is_said(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MAX_ROWS", 3)

    async def story() -> None:
        async with open_shop(database_url) as engine:
            for n in range(4):
                of = await customer(engine, f"{n}")
                await book(engine, of, use(f"{n}", "llm", 1, cost("2")), use(f"f{n}", "fax", 1))
            await engine.sum_up()
            kinds = [one.kind for one in (await everything(engine)).attention]
            assert kinds == ["overdrawn", "products_at_a_loss", "unpriced_events"]

    tell(story())


def test_a_card_that_pays_no_more_is_told_until_somebody_agrees_again(database_url: str) -> None:
    async def story() -> None:
        async with shop(database_url) as my:
            my.bank.next = ["declined"] * 3
            await my.agree()
            await my.spend(95)
            await my.charges()
            for _ in range(2):
                await my.later(hours=2)
            found = by_kind(await my.engine.overview())
            (stopped,) = found["auto_top_ups_stopped"].subjects
            assert (stopped.name, stopped.note) == ("Ada", "The card was declined.")
            failed = found["payments_failed"]
            assert failed.sentence == "3 payments have failed in the last 7 days."
            assert (await my.engine.pulse()).failed_payments == 3
            await my.agree()
            assert "auto_top_ups_stopped" not in by_kind(await my.engine.overview())

    tell(story())
