"""Nothing that waits for a destination waits, or is kept, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.cli.running import run
from tests.doubles.receiver import receiving
from tests.ledger.shop import Clock, assert_clean, other_connection, tell
from tests.webhooks.shop import customers, open_shop, reach, register, switch, told

from faregate.webhooks import pruning
from faregate.webhooks.types import Asked

ALL = Asked(100)


async def rows(url: str, sql: str) -> Sequence[Any]:
    async with other_connection(url) as store:
        return [tuple(row) for row in await store.fetch(sql)]


async def counts(url: str) -> tuple[int, int]:
    """How many deliveries there are, and how many events."""
    found = [await rows(url, f"SELECT count(*) FROM webhook_{t}") for t in ("deliveries", "events")]
    return found[0][0][0], found[1][0][0]


def test_what_nobody_has_taken_for_long_is_given_up_and_the_next_in_its_line_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 3)

    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock, 6) as engine, receiving() as receiver:
            made = await register(engine, receiver)
            ada, bob = await customers(engine, 2)
            receiver.answer = lambda _: 500
            await reach(engine, clock, ada, 1, 2, 3, 4)
            await reach(engine, clock, bob, 1)
            await engine.deliver_webhooks()
            clock.move(days=5)
            await reach(engine, clock, ada, 5, 6)
            await engine.deliver_webhooks()
            await switch(engine, made.id, enabled=False)
            assert await engine.deliver_webhooks() == 0
            clock.move(days=pruning.KEEP_DAYS - 6)
            await engine.prune_webhooks()
            assert await counts(database_url) == (7, 7)
            clock.move(days=2)
            await engine.prune_webhooks()
            assert await counts(database_url) == (2, 2)
            states = "SELECT state FROM webhook_deliveries ORDER BY position"
            assert await rows(database_url, states) == [("ready",), ("waiting",)]
            receiver.answer = lambda _: 200
            receiver.arrived.clear()
            await switch(engine, made.id, enabled=True)
            await engine.deliver_webhooks()
            assert told(receiver) == {ada: [5, 6]}
            # Nothing is in the way of what comes next, of either.
            await reach(engine, clock, bob, 2)
            await engine.deliver_webhooks()
            assert told(receiver) == {ada: [5, 6], bob: [2]}
            clock.move(days=pruning.KEEP_DAYS + 1)
            await engine.prune_webhooks()
            assert await counts(database_url) == (0, 0)
            await assert_clean(engine)

    tell(story())


def test_what_a_deleted_destination_leaves_is_not_shown_and_is_taken_away_bit_by_bit(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 2)

    async def story() -> None:
        clock = Clock()
        async with open_shop(database_url, clock) as engine, receiving() as receiver:
            kept = await register(engine, receiver, "/kept")
            gone = [await register(engine, receiver, f"/gone{n}") for n in range(2)]
            (ada,) = await customers(engine, 1)
            receiver.answer = lambda _: 500
            await reach(engine, clock, ada, 1, 2, 3)
            await engine.deliver_webhooks()
            assert await counts(database_url) == (9, 3)
            for one in gone:
                await engine.delete_webhook_destination(one.id)
            items, has_older, _ = await engine.list_webhook_deliveries(ALL)
            assert {one.destination_id for one in items} == {kept.id}
            assert (len(items), has_older) == (3, False)
            # A step takes some, and says that there is more.
            async with other_connection(database_url) as store, store.transaction() as queries:
                assert await pruning.prune(queries, 0, int(clock.now.timestamp() * 1_000_000))
            assert (await counts(database_url))[0] == 7
            await engine.prune_webhooks()
            left = await rows(
                database_url, "SELECT DISTINCT destination_id FROM webhook_deliveries"
            )
            assert left == [(kept.id,)]
            assert await counts(database_url) == (3, 3)
            assert await rows(database_url, "SELECT * FROM webhook_deletions") == []
            receiver.answer = lambda _: 200
            receiver.arrived.clear()
            clock.move(seconds=6)
            await reach(engine, clock, ada, 4)
            await engine.deliver_webhooks()
            assert told(receiver, "/kept") == {ada: [1, 2, 3, 4]}
            assert {one.path for one in receiver.arrived} == {"/kept"}
            await assert_clean(engine)

    tell(story())


@pytest.mark.slow
def test_a_worker_takes_away_what_is_old(database_url: str) -> None:
    async def story() -> None:
        clock = Clock(datetime.now(UTC) - timedelta(days=pruning.KEEP_DAYS + 1))
        async with receiving() as receiver:
            async with open_shop(database_url, clock) as engine:
                await register(engine, receiver)
                (ada,) = await customers(engine, 1)
                await reach(engine, clock, ada, 1, 2)
                await engine.deliver_webhooks()
                clock.now = datetime.now(UTC)
                await reach(engine, clock, ada, 3)
            options = ("--database", database_url, "--webhook-allow", "127.0.0.0/8")
            ended = await asyncio.to_thread(run, "worker", "--once", *options)
            assert "1 webhooks were sent" in ended.stdout, ended.stderr
            assert told(receiver) == {ada: [1, 2, 3]}
        assert await counts(database_url) == (1, 1)

    tell(story())
