"""Who may write: a lane whose lease or catalog has moved on writes nothing."""

import asyncio
import os
import socket
import subprocess
import sys

from tests.ledger.shop import (
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    make_customer,
    make_version,
    other_connection,
    refusal,
    row_counts,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.ledger.lease import (
    LEASE_SECONDS,
    lease_clock_us,
    new_holder,
    release_lane,
    take_lane,
)
from faregate.store.protocol import Lease, Store


async def steal(store: Store, holder: str) -> Lease:
    """Take the first lane, as a process does that believes its holder gone."""
    seen = (await store.leases())[0]
    taken = await store.take_lease(seen, holder, lease_clock_us() + LEASE_SECONDS * 1_000_000)
    assert taken is not None
    assert taken.epoch == seen.epoch + 1
    return taken


def dead_holder() -> str:
    """Name a process of this host that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host, *_ = new_holder().split("|")
    return f"{host}|{child.pid}|token|engine"


def test_an_engine_that_has_lost_its_lease_answers_503_and_writes_nothing(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            other_connection(database_url) as store,
        ):
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("before"))
            taken = await steal(store, new_holder())
            before = await row_counts(store)
            for sent in (
                book(engine, customer_id, use("fenced")),
                book(engine, customer_id, use("fenced")),
                give(engine, customer_id, "5", "fenced"),
            ):
                error = await refusal(sent)
                assert error.problem.kind.status == 503
                assert error.problem.retry_after_seconds
            assert await row_counts(store) == before
            assert not await engine.is_ready()
            assert [(x.epoch, x.holder) for x in await store.leases()] == [
                (taken.epoch, taken.holder)
            ]
            # When the other process ends, this one serves again.
            await release_lane(store, taken)
            assert (await book(engine, customer_id, use("fenced"))).status == "booked"
            assert await engine.is_ready()
            assert await available(engine, customer_id) == 98
            await assert_clean(engine)

    tell(story())


def test_an_engine_that_comes_back_sees_what_the_other_one_booked(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("mine", 1))
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE lanes SET lease_until_us = 0")
            async with Engine.open(database_url, clock=clock, wait_seconds=0) as other:
                theirs = await book(other, customer_id, use("theirs", 2))
                error = await refusal(book(engine, customer_id, use("theirs", 2)))
                assert error.problem.kind.status == 503
            repeat = await book(engine, customer_id, use("theirs", 2))
            assert (repeat.status, repeat.fees) == ("repeat", theirs.fees)
            assert (await book(engine, customer_id, use("mine", 1))).status == "repeat"
            assert await available(engine, customer_id) == 97
            await assert_clean(engine)

    tell(story())


def test_a_lease_that_a_dead_process_left_is_taken_at_once(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
        async with other_connection(database_url) as store:
            await steal(store, dead_holder())
        async with Engine.open(database_url, clock=clock, wait_seconds=0) as engine:
            await book(engine, customer_id, use("after"))
            assert await available(engine, customer_id) == 99

    tell(story())


def test_of_two_that_take_a_free_lane_at_once_one_is_told_who_was_faster(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()):
            pass
        async with other_connection(database_url) as one, other_connection(database_url) as two:
            taken = await asyncio.gather(
                *[take_lane(store, 0, new_holder(), 0) for store in (one, two)],
                return_exceptions=True,
            )
            leases = [lease for lease in taken if isinstance(lease, Lease)]
            assert await one.leases() == leases
            refused = [error for error in taken if not isinstance(error, Lease)]
            assert [error.problem.kind.status for error in refused] == [503]
            assert f"process {os.getpid()} on {socket.gethostname()}" in str(refused[0])

    tell(story())


def test_a_second_engine_on_a_database_in_use_is_refused_and_told_who_uses_it(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            second = Engine.open(database_url, clock=clock, wait_seconds=0)
            error = await refusal(second.__aenter__())
            assert error.problem.kind.status == 503
            assert f"process {os.getpid()} on {socket.gethostname()}" in error.problem.detail
            assert "is serving this database" in error.problem.detail
            # The first was not disturbed.
            assert (await book(engine, customer_id, use("on"))).status == "booked"

    tell(story())


def test_an_engine_that_stands_by_refuses_with_503_and_serves_as_soon_as_the_other_one_stops(
    database_url: str,
):
    async def story() -> None:
        clock = Clock()
        first = Engine.open(database_url, clock=clock)
        engine = await first.__aenter__()
        async with Engine.open(database_url, clock=clock, stands_by=True) as standby:
            # What is made after it began is seen there too.
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            answer = await book(engine, customer_id, use("event", 3))
            error = await refusal(book(standby, customer_id, use("event", 3)))
            assert error.problem.kind.status == 503
            assert error.problem.retry_after_seconds == 1
            assert not await standby.is_ready()
            assert await available(standby, customer_id) == 97
            assert (await standby.get_product("tokens")).code == "tokens"
            assert (await book(engine, customer_id, use("undisturbed"))).status == "booked"
            await first.__aexit__(None, None, None)
            again = await book(standby, customer_id, use("event", 3))
            assert (again.status, again.fees) == ("repeat", answer.fees)
            assert (await book(standby, customer_id, use("next"))).status == "booked"
            assert await available(standby, customer_id) == 95
            assert standby.lanes[0].statistics.failed_commits == 0
            await assert_clean(standby)

    tell(story())


def test_an_engine_that_stands_by_takes_over_although_nobody_asks_it(database_url: str):
    async def story() -> None:
        first = Engine.open(database_url, clock=Clock())
        await first.__aenter__()
        async with Engine.open(database_url, clock=Clock(), stands_by=True) as standby:
            await first.__aexit__(None, None, None)
            while not await standby.is_ready():  # noqa: ASYNC110
                await asyncio.sleep(0)  # it looks again and again, by itself

    tell(story())


def test_an_engine_whose_lease_was_taken_is_not_ready_even_before_it_notices(database_url: str):
    async def story() -> None:
        async with (
            Engine.open(database_url, clock=Clock()) as engine,
            other_connection(database_url) as store,
        ):
            assert await engine.is_ready()
            await steal(store, new_holder())
            assert not await engine.is_ready()

    tell(story())


def test_a_catalog_epoch_that_another_connection_raised_costs_no_caller_anything(
    database_url: str,
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
            before = engine.catalog_view().epoch
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE catalog_epoch SET epoch = epoch + 1")
            answers = await asyncio.gather(
                *[book(engine, customer_id, use(f"event {i}")) for i in range(5)]
            )
            assert [answer.status for answer in answers] == ["booked"] * 5
            assert await available(engine, customer_id) == 95
            assert engine.catalog_view().epoch == before + 1
            assert engine.lanes[0].statistics.failed_commits == 0
            await assert_clean(engine)

    tell(story())


def test_prices_that_another_process_published_count_for_the_next_event(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine, "1")
            customer_id = await make_customer(engine)
            await book(engine, customer_id, use("cheap"))
            clock.move(seconds=1)
            async with Engine.open(database_url, clock=clock, serves=False) as desk:
                await make_version(desk, "10")
                error = await refusal(book(desk, customer_id, use("not here")))
                assert error.problem.kind.status == 503
                assert await available(desk, customer_id) == 99
            await book(engine, customer_id, use("dear", 1, clock.now))
            assert await available(engine, customer_id) == 89
            await assert_clean(engine)

    tell(story())
