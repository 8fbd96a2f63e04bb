"""Every transfer goes to the end of its customer's chain, whatever befalls the lane: many callers,
restarts, lanes that change hands, commits that fail or of which nothing is known, customers who are
forgotten and read again.
"""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from tests.ledger.chaining import assert_chained, chains_of, settle, write_index
from tests.ledger.shop import (
    Clock,
    assert_clean,
    book,
    by_hand,
    give,
    make_customer,
    make_version,
    other_connection,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.chain import beginning
from faregate.core.problems import FaregateError
from faregate.ledger import event_index, memory
from faregate.ledger import lane as lanes
from faregate.ledger.lease import new_holder, release_lane
from faregate.store.protocol import LaneCommit, StoreUnavailable
from faregate.store.schema import first_seq


async def charge_all(engine: Engine, customers: Sequence[str], run: str, count: int) -> None:
    """64 callers charge these customers at once, some of them with events that are refused."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            customer_id = customers[number % len(customers)]
            if number % 9 == 8:
                await refusal(book(engine, customer_id, use(f"{run} {number}", -1)))
            else:
                await book(engine, customer_id, use(f"{run} {number}"))

    await asyncio.gather(*[caller() for _ in range(64)])


@pytest.fixture(params=[True, False], ids=["kept often", "kept never"])
def _keeping(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chains` is written all the time, or not at all."""
    rows = 40 if request.param else 10**9
    monkeypatch.setattr(event_index, "SLICE", 7)
    monkeypatch.setattr(lanes, "AT_LATEST", rows)
    monkeypatch.setattr(lanes, "WHEN_IDLE", rows)


@pytest.mark.usefixtures("_keeping")
@pytest.mark.parametrize("wallets", [1, 20], ids=["one wallet", "many wallets"])
def test_64_callers_at_once_make_chains_that_are_whole(database_url: str, wallets: int):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine, "2000") for _ in range(wallets)]
            await charge_all(engine, customers, "run", 900)
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 800 + wallets

    tell(story())


def test_a_batch_of_many_events_of_one_customer_is_one_stretch_of_the_chain(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "30")
            # The grant runs out in between: one fee of two transfers.
            events = [use(f"event {number}", 7) for number in range(6)]
            await engine.record_events(customer_id, events)
            heads = await assert_chained(database_url, engine)
            assert heads[customer_id] == 8

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_chains_go_on_after_restarts(database_url: str):
    async def story() -> None:
        customers: list[str] = []
        for turn in range(3):
            async with Engine.open(database_url, clock=Clock()) as engine:
                if not turn:
                    await sell_tokens(engine)
                    customers = [await make_customer(engine) for _ in range(3)]
                await charge_all(engine, customers, f"turn {turn}", 45)
                heads = await assert_chained(database_url, engine)
        assert sorted(heads) == sorted(customers)
        assert sum(heads.values()) == 3 + 3 * 40

    tell(story())


@pytest.mark.parametrize("is_settled", [True, False])
def test_chains_go_on_after_a_lane_has_changed_hands_and_come_back(
    database_url: str, is_settled: bool
):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("mine"))
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE lanes SET lease_until_us = 0")
            async with Engine.open(database_url, clock=clock, wait_seconds=0) as other:
                await book(other, customer_id, use("theirs"))
                await refusal(book(engine, customer_id, use("too late")))
            if is_settled:
                await settle(database_url)
            await book(engine, customer_id, use("mine again"))
            heads = await assert_chained(database_url, engine)
            assert heads[customer_id] == 4

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_a_lane_that_was_lost_in_the_middle_of_the_load_leaves_no_gap(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            other_connection(database_url) as store,
        ):
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(4)]

            async def caller(number: int) -> None:
                for i in range(30):
                    for _ in range(50):
                        try:
                            await book(engine, customers[i % 4], use(f"{number} {i}"))
                            break
                        except Exception:
                            await asyncio.sleep(0.01)
                    else:
                        raise AssertionError("never booked")

            async def thief() -> None:
                for _ in range(5):
                    await asyncio.sleep(0.01)
                    seen = (await store.leases())[0]
                    taken = await store.take_lease(seen, new_holder(), seen.lease_until_us)
                    if taken is not None:
                        await release_lane(store, taken)

            await asyncio.gather(thief(), *[caller(number) for number in range(32)])
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 4 + 32 * 30

    tell(story())


@pytest.mark.usefixtures("_keeping")
@pytest.mark.parametrize("is_written", [True, False], ids=["written", "not written"])
def test_after_commits_of_which_nobody_knows_chains_go_on_from_what_is_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch, is_written: bool
):
    """Every third commit goes unanswered, with the charges of several customers in it; callers ask
    again until they are answered."""

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(3)]
            store = engine.lanes[0]._store
            commit, commits, sizes = store.commit, itertools.count(1), []

            async def unanswered(what: LaneCommit) -> None:
                is_lost = next(commits) % 3 == 0
                if is_written or not is_lost:
                    await commit(what)
                if is_lost:
                    sizes.append(len({row[1] for row in what.rows["transfers"]}))
                    raise StoreUnavailable("the wire was cut", is_unknown=True)

            async def caller(number: int) -> None:
                for turn in range(12):
                    customer_id = customers[(number + turn) % 3]
                    for _ in range(100):
                        with suppress(FaregateError):
                            await book(engine, customer_id, use(f"{number} {turn}"))
                            break
                    else:
                        raise AssertionError("never answered")

            monkeypatch.setattr(store, "commit", unanswered)
            await asyncio.gather(*[caller(number) for number in range(12)])
            monkeypatch.setattr(store, "commit", commit)
            assert max(sizes) > 1
            lengths = await assert_chained(database_url, engine)
            assert sum(lengths.values()) == 3 + 12 * 12

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_batches_that_are_decided_again_leave_no_gap(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Repeats that the lane has forgotten, and catalogs that move on, fail commits under load, and
    what was decided on top of them."""
    dropped = []
    put_back = lanes.Lane._put_back

    def count(lane: lanes.Lane, batch: Any) -> Any:
        dropped.append(len(batch.pendings))
        return put_back(lane, batch)

    monkeypatch.setattr(lanes.Lane, "_put_back", count)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine, "2000") for _ in range(4)]
            await charge_all(engine, customers, "run", 90)
            lane = engine.lanes[0]
            for turn in range(6):
                # What it has booked lately it takes for new.
                lane._memory._young.clear()
                lane._memory._old.clear()
                lane._read_ids = 0
                later = asyncio.create_task(make_version(engine, str(turn + 1)))
                await charge_all(engine, customers, "run", 90)
                await charge_all(engine, customers, f"turn {turn}", 90)
                await later
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 4 + 7 * 80
            assert any(dropped)

    tell(story())


@pytest.mark.usefixtures("_keeping")
def test_a_customer_who_is_forgotten_and_read_again_goes_on_with_the_same_chain(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(memory, "MAX_CUSTOMERS", 10)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(25)]
            for turn in range(3):
                await charge_all(engine, customers, f"turn {turn}", 450)
            kept = engine.lanes[0]._memory
            assert kept.states.keys() <= kept.heads.keys()
            assert len(kept.states) < 25
            heads = await assert_chained(database_url, engine)
            assert sum(heads.values()) == 25 + 3 * 400

    tell(story())


def test_a_head_that_is_written_down_while_its_customer_is_read_is_not_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            lane = engine.lanes[0]
            kept = lane._memory
            del kept.states[customer_id]
            load = lane._store.load

            async def load_and_settle(*arguments: Any, **more: Any) -> Any:
                loaded = await load(*arguments, **more)
                kept.settle(await write_index(lane._store))
                return loaded

            monkeypatch.setattr(lane._store, "load", load_and_settle)
            await book(engine, customer_id, use("one"))
            ends = await assert_chained(database_url, engine)
            assert ends[customer_id] == 2

    tell(story())


def test_the_ends_of_all_chains_are_kept_soon_after_the_last_charge(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(lanes, "LEASE_SECONDS", 0.2)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(3)]
            async with other_connection(database_url) as store:
                for _ in range(2000):
                    if (await store.leases())[0].indexed_seq == 9:
                        break
                    await asyncio.sleep(0.01)
                kept = await store.fetch("SELECT customer_id, last_seq FROM chains")
            # Of each it was told that they are subscribed; then they got credit, which was told.
            assert sorted(map(tuple, kept)) == [(c, 3 * n - 1) for n, c in enumerate(customers, 1)]
            await book(engine, customers[0], use("after"))
            await assert_chained(database_url, engine)

    tell(story())


def test_whoever_had_no_transfer_when_ends_were_kept_has_a_whole_chain(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lanes, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(lanes, "LEASE_SECONDS", 0.2)

    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            # Of each it is told that they are subscribed, which takes a number.
            ada, ben = [await make_customer(engine, None) for _ in range(2)]
            async with other_connection(database_url) as store:
                for _ in range(2000):
                    if (await store.leases())[0].indexed_seq == 2:
                        break
                    await asyncio.sleep(0.01)
                assert (await store.leases())[0].indexed_seq == 2
            await assert_chained(database_url, engine)
            await give(engine, ada, "10", "first")
            assert await assert_chained(database_url, engine) == {ada: 1}

            async with by_hand(database_url) as database:
                kept = (ben, beginning(ben).hash)
                await database.fetch("INSERT INTO chains VALUES (0, $1, $2, 0)", *kept)
            await assert_clean(engine)
            await give(engine, ben, "10", "first")
            await assert_clean(engine)

    tell(story())


def test_ends_that_are_written_again_stay_as_they_are(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(2)]
            for name in ("one", "two"):
                for customer_id in customers:
                    await book(engine, customer_id, use(name))
        async with other_connection(database_url) as store:
            for known in (0, 0, 4, 1):
                async with by_hand(database_url) as database:
                    await database.fetch("UPDATE lanes SET indexed_seq = $1", known)
                last = await write_index(store)
                await chains_of(store)
                kept = await store.fetch("SELECT last_seq FROM chains ORDER BY last_seq")
                assert [row[0] for row in kept] == [last - 2, last]

    tell(story())


def test_lanes_have_chains_of_their_own_and_one_head_together(database_url: str):
    async def story() -> None:
        first = first_seq(1)
        async with Engine.open(database_url, clock=Clock()):
            pass
        async with by_hand(database_url) as database:
            await database.fetch(
                "INSERT INTO lanes (lane, epoch, holder, lease_until_us, last_seq, clock_us, "
                "indexed_seq) VALUES (1, 0, '', 0, $1, 0, $1)",
                first,
            )
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customers = [await make_customer(engine) for _ in range(12)]
            heads = []
            for turn in range(2):
                await charge_all(engine, customers, f"turn {turn}", 24)
                await assert_chained(database_url, engine)
                heads.append((await engine.verify()).head)
        async with Engine.open(database_url, clock=Clock(), serves=False) as desk:
            report = await desk.verify(heads=heads)
            assert (report.is_clean, report.chains) == (True, 12)
            assert min(seq - first_seq(lane) for lane, seq in report.head.last_seqs.items()) > 0
        async with Engine.open(database_url, clock=Clock()) as engine:
            # The lane that was added has sums like the first one, and they are right.
            assert await engine.sum_up() > 0
            assert await engine.sum_up() == 0
            assert (await engine.verify()).is_clean
        async with Engine.open(database_url, clock=Clock(), serves=False) as desk:
            # The newest of the second lane is not what it was.
            last = heads[1].last_seqs[1]
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE transfers SET at = 0 WHERE seq = $1 RETURNING 1", last)
            report = await desk.verify(heads=heads)
            assert [broken.seq for broken in report.breaks] == [last]
            assert [head.is_kept for head in report.kept] == [True, False]

    tell(story())
