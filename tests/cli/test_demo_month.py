"""The demo's month is true history: what somebody who looks around is promised to find is in the
ledger, and nothing is missing from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from faregate import Engine
from faregate.cli import shop
from faregate.cli.crowd import Buyer, Role
from faregate.cli.demo_clock import DemoClock
from faregate.cli.hearer import hearing
from faregate.cli.kept import Kept, read_kept, write_kept
from faregate.cli.month import DAYS, Month
from faregate.cli.purse import SPARK_ACCOUNT, USD_ACCOUNT
from faregate.cli.scenes import set_scenes
from faregate.engine import system_clock

LOSES = {"Brightwater Legal", "Ostra Research"}


class Built:
    """A small month, its database, and when it was begun and done."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.begins_at = system_clock() - timedelta(days=DAYS)
        self.shown: list[float] = []
        self.month: Month
        self.done_at: datetime

    async def build(self) -> None:
        clock = DemoClock(self.begins_at)
        opened = Engine.open(self.url, clock=clock, webhook_allow="127.0.0.1")
        async with hearing() as hooks, opened as engine:
            self.month = Month(engine, clock, "http://127.0.0.1:1", events=900)
            await self.month.open_shop()
            set_scenes(self.month, hooks)
            await self.month.live(lambda done, _: self.shown.append(done))
        self.done_at = system_clock()

    def buyer(self, role: Role) -> Buyer:
        return self.month.buyer(role)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        async with Engine.open(self.url, serves=False) as engine:
            yield engine


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    built = Built(f"sqlite:///{tmp_path_factory.mktemp('demo') / 'demo.db'}")
    asyncio.run(built.build())
    return built


@pytest.mark.slow
def test_the_books_balance_and_the_month_is_whole_up_to_now(built: Built):
    async def look() -> None:
        async with built.engine() as engine:
            report = await engine.verify()
            assert report.is_clean
            assert report.chains == 59
            page = await engine.list_customers(100)
            assert page.total_count == len(built.month.buyers) == 60
            begins, ends = built.begins_at, built.done_at
            days = [begins + timedelta(days=n) for n in range(DAYS)]
            for since in days:
                until = {"occurred_from": since, "occurred_before": since + timedelta(days=1)}
                assert (await engine.list_events(1, 0, until)).total_count, since
            (newest,) = await engine.latest_events(1)
            assert timedelta() <= ends - newest.occurred_at < timedelta(hours=1)
            (oldest,) = (await engine.list_events(1, report.events - 1)).items
            assert begins <= oldest.occurred_at < begins + timedelta(days=1)
            assert built.month.booked > 700
            assert not await engine.has_due_work()

    asyncio.run(look())
    assert built.shown == sorted(built.shown)
    assert built.shown[-1] == 1


@pytest.mark.slow
def test_customers_with_a_story_are_there(built: Built):
    async def look() -> None:
        async with built.engine() as engine:

            async def usd(role: Role) -> Decimal:
                account = await engine.get_account(built.buyer(role).id, USD_ACCOUNT)
                return account.available

            stats = (await engine.list_customer_stats(100)).items
            below = {one.name for one in stats if (one.stats.net_revenue or 0) < 0}
            assert below >= LOSES
            assert await usd("in_the_red") < 0
            assert await usd("blocked") < 0
            blocked = await engine.get_customer(built.buyer("blocked").id)
            assert blocked.is_blocked
            assert "disputed" in (blocked.blocked_because or "")
            failing = await engine.get_auto_top_up(built.buyer("card_fails").id, USD_ACCOUNT)
            assert failing.failures == 3
            assert "declined" in (failing.disabled_because or "")
            works = await engine.get_auto_top_up(built.buyer("auto_top_up").id, USD_ACCOUNT)
            assert works.enabled
            assert works.has_card
            held = (await engine.list_holds(built.buyer("hold_open").id)).items
            assert [hold.status for hold in held] == ["authorized"]
            (limit,) = await engine.customer_limits(built.buyer("limit_reached").id)
            assert limit.used_units >= limit.limit.amount_units
            (waits,) = await engine.list_subscriptions(built.buyer("has_not_paid").id)
            assert waits.status == "action_required"
            (trial,) = await engine.list_subscriptions(built.buyer("on_trial").id)
            assert trial.trial_ends_at is not None

    asyncio.run(look())


@pytest.mark.slow
def test_money_came_in_and_went_back_prices_changed_and_webhooks_went_out(built: Built):
    async def look() -> None:
        async with built.engine() as engine:
            paid = (await engine.list_top_ups(limit=100)).items
            assert {one.status for one in paid} >= {"succeeded", "failed", "expired"}
            assert any(one.refunded for one in paid)
            assert sum(1 for one in paid if one.disputed) == 1
            agents = await engine.get_product(shop.AGENTS)
            assert agents.default_version.version == 2
            pictures = await engine.get_product(shop.PICTURES)
            assert [v.status for v in pictures.versions] == ["draft", "published"]
            hooks = {
                hook.url.rpartition("/")[2]: hook
                for hook in await engine.list_webhook_destinations()
            }
            assert [name for name, hook in sorted(hooks.items()) if not hook.enabled] == ["broken"]
            assert hooks["chat"].failing_since is not None
            assert hooks["billing"].failing_since is None
            spark = (await engine.list_grants(built.month.buyers[32].id, SPARK_ACCOUNT)).items
            assert {grant.purpose for grant in spark} >= {"bundled"}

    asyncio.run(look())


@pytest.mark.slow
def test_what_is_kept_of_it_is_sold_again_elsewhere_word_for_word(built: Built, tmp_path: Path):
    async def keep() -> tuple[Kept, Kept]:
        async with built.engine() as engine:
            kept = await read_kept(engine, products=True, settings=True)
        async with Engine.open(f"sqlite:///{tmp_path / 'own.db'}") as own:
            await write_kept(own, kept)
            assert (await own.list_customers()).total_count == 0
            assert (await own.list_events()).total_count == 0
            return kept, await read_kept(own, products=True, settings=True)

    kept, again = asyncio.run(keep())
    assert again == kept
    assert [one.code for one in kept.products] == [one.code for one in shop.products()]
    agents, pictures = kept.products[:2]
    assert (len(agents.versions), agents.default) == (2, 1)
    assert [version.publish for version in pictures.versions] == [True, False]
    assert kept.alerts is not None
    assert [one.bonuses[0].id for one in kept.assets] == ["big-packs"]
