"""Two servers find the same work at the same instant, and one is killed half-way: each charge
happens once. Of two engines on one database only one serves; when it is killed, the other takes
over, and what a caller repeats is not charged twice.

Seen at gitpod-io/gitpod#14973.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta

import pytest
from tests.ledger.plans import POINTS, member, sell_plan
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    make_customer,
    refusal,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine

SERVER = """
import asyncio, sys
from tests.ledger.shop import *

async def serve():
    async with Engine.open(sys.argv[1], clock=Clock()) as engine:
        for number in range(100_000):
            await book(engine, sys.argv[2], use(f"event {number}"))
            print(number, flush=True)

asyncio.run(serve())
"""


def test_of_two_engines_that_start_at_once_one_serves(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine)
        engines = [Engine.open(database_url, clock=clock, wait_seconds=0) for _ in range(2)]
        opened = await asyncio.gather(
            *[engine.__aenter__() for engine in engines], return_exceptions=True
        )
        serving = [i for i in (0, 1) if isinstance(opened[i], Engine)]
        assert len(serving) == 1
        refused = opened[1 - serving[0]]
        assert "is serving this database" in str(refused)
        await book(opened[serving[0]], customer_id, use("once"))
        await engines[serving[0]].__aexit__(None, None, None)
        # It has let go: the next one need not wait.
        async with Engine.open(database_url, clock=clock, wait_seconds=0) as engine:
            assert (await book(engine, customer_id, use("once"))).status == "repeat"
            assert await available(engine, customer_id) == 99
            await assert_clean(engine)

    tell(story())


def test_two_engines_that_both_believe_to_serve_charge_nothing_twice(database_url: str):
    async def story() -> None:
        clock = Clock()
        async with Engine.open(database_url, clock=clock) as first:
            await sell_tokens(first)
            customer_id = await make_customer(first)
            await book(first, customer_id, use("before", 1))
            # The first hangs for so long that its lease has run out.
            async with by_hand(database_url) as database:
                await database.fetch("UPDATE lanes SET lease_until_us = 0")
            async with Engine.open(database_url, clock=clock, wait_seconds=0) as second:
                sent = [(e, use(f"event {i}", 2)) for i in range(10) for e in (first, second)]
                answers = await asyncio.gather(
                    *[book(engine, customer_id, event) for engine, event in sent],
                    return_exceptions=True,
                )
                assert [a.problem.kind.status for a in answers[0::2]] == [503] * 10
                assert [a.status for a in answers[1::2]] == ["booked"] * 10
                # The callers whose first try was not confirmed ask the one that serves.
                again = [await book(second, customer_id, use(f"event {i}", 2)) for i in range(10)]
                assert [a.status for a in again] == ["repeat"] * 10
                assert [a.fees for a in again] == [a.fees for a in answers[1::2]]
                assert await available(second, customer_id) == 79
                await assert_clean(second)

    tell(story())


def test_after_a_kill_the_other_takes_over_and_repeats_are_not_charged_twice(database_url: str):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_tokens(engine)
            customer_id = await make_customer(engine, "1000000")
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SERVER,
            database_url,
            customer_id,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        answered = [int(await server.stdout.readline()) for _ in range(25)]
        # While it serves, nobody else may; and not even a charge in the middle is lost or doubled.
        error = await refusal(Engine.open(database_url, wait_seconds=0).__aenter__())
        assert f"process {server.pid}" in error.problem.detail
        server.send_signal(signal.SIGKILL)
        rest = (await server.stdout.read()).split()
        await server.wait()
        answered += [int(line) for line in rest]
        async with Engine.open(database_url, clock=Clock(), wait_seconds=0) as engine:
            await assert_clean(engine)
            booked = (await engine.list_events(1)).total_count
            assert booked in (len(answered), len(answered) + 1)
            for number in range(booked + 5):
                again = await book(engine, customer_id, use(f"event {number}"))
                assert again.status == ("repeat" if number < booked else "booked")
            assert await available(engine, customer_id) == 1_000_000 - booked - 5
            await assert_clean(engine)

    tell(story())


WORKER = """
import asyncio, sys
from datetime import timedelta
from tests.ledger.shop import *

async def work():
    clock = Clock(NOON + timedelta(days=40))
    async with Engine.open(sys.argv[1], clock=clock) as engine:
        print("found", (await engine.list_due_work()).total_count, flush=True)
        await engine.work()
        print("done", flush=True)
        await asyncio.sleep(60)

asyncio.run(work())
"""


@pytest.mark.parametrize("lines", [1, 2])
def test_a_worker_that_is_killed_half_way_has_done_each_renewal_once_or_not_at_all(
    database_url: str, lines: int
):
    async def story() -> None:
        async with Engine.open(database_url, clock=Clock()) as engine:
            await sell_plan(engine)
            members = [await member(engine) for _ in range(60)]
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            WORKER,
            database_url,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        said = [(await worker.stdout.readline()).split() for _ in range(lines)]
        assert said[0] == [b"found", b"60"]
        worker.send_signal(signal.SIGKILL)
        await worker.wait()
        clock = Clock(NOON + timedelta(days=40))
        async with Engine.open(database_url, clock=clock, wait_seconds=5) as engine:
            await assert_clean(engine)
            # What the other one had claimed is free again after a while.
            clock.move(minutes=2)
            await engine.work()
            for customer_id in members:
                assert await available(engine, customer_id) == 980
                grants = await engine.list_grants(customer_id, POINTS)
                assert [g.available for g in grants.items] == [100, 0]
            assert (await engine.list_due_work()).total_count == 0
            await assert_clean(engine)

    tell(story())
