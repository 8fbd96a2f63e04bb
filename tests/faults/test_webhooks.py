"""Whoever sends, a server or a worker, is killed with SIGKILL between fanning out and sending, and
in the middle of sending: every event arrives at least once, and those of a customer in their
order."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests.doubles.receiver import HANG, Arrived, Receiver, receiving
from tests.faults.serving import HEADERS, Command, Server, first_customer
from tests.ledger.shop import Clock, other_connection
from tests.webhooks.shop import customers, open_shop, reach, register, told, verify_all

from faregate.store.open import open_store

LIMITS = 6
CUSTOMERS = 4
ROUNDS = 8


async def open_business(http: httpx.AsyncClient, receiver: Receiver) -> tuple[list[str], str]:
    """Sell calls, with soft limits of 1, 2, 3 … calls; returns the customers and the secret."""
    people = [await first_customer(http)]
    body = {"name": "Acme", "subscriptions": [{"products": [{"code": "calls"}]}]}
    others = [await http.post("/v1/customers", json=body) for _ in range(CUSTOMERS - 1)]
    people += [made.json()["id"] for made in others]
    for number in range(1, LIMITS + 1):
        limit = {"amount": number, "measure": "events", "period": "lifetime", "mode": "soft"}
        assert (await http.post("/v1/limits", json=limit)).status_code == 201
    hook = {"url": receiver.url, "topics": ["limit.reached"]}
    made: Any = (await http.post("/v1/webhooks", json=hook)).json()
    return people, made["secret"]


async def call(http: httpx.AsyncClient, customer_id: str, number: int) -> None:
    at = datetime.now(UTC).isoformat()
    event = {"id": f"{customer_id}-{number}", "event_type": "call", "occurred_at": at}
    body = {"customer_id": customer_id, "events": [event]}
    assert (await http.post("/v1/events", json=body)).status_code == 204


async def all_told(receiver: Receiver, people: list[str]) -> None:
    """Wait until everybody's last limit has been told of."""
    async with asyncio.timeout(60):
        while any(LIMITS not in told(receiver).get(one, []) for one in people):
            await receiver.has(len(receiver.arrived) + 1)


def assert_in_order(receiver: Receiver, people: list[str], secret: str) -> None:
    """Each event came, and what is repeated came before anything newer."""
    for one in people:
        heard = told(receiver)[one]
        assert list(dict.fromkeys(heard)) == list(range(1, LIMITS + 1))
        assert heard == sorted(heard)
    ids = {e["id"] for e in receiver.events}
    assert len(ids) == LIMITS * len(people)
    assert len(verify_all(receiver, secret, datetime.now(UTC).timestamp())) >= len(ids)


@pytest.mark.slow
def test_what_is_fanned_out_or_under_way_when_the_server_is_killed_arrives(
    database_url: str,
) -> None:
    async def story() -> None:
        server = Server(database_url, "--webhook-allow", "127.0.0.0/8")
        async with (
            receiving() as receiver,
            httpx.AsyncClient(base_url=server.url, headers=HEADERS, timeout=30) as http,
        ):
            await server.start(http)
            people, secret = await open_business(http, receiver)
            receiver.answer = lambda _: HANG
            for number in range(1, LIMITS + 1):
                for one in people:
                    await call(http, one, number)
            await receiver.has(1)
            store = await open_store(database_url)
            states: dict[str, int] = {}
            async with asyncio.timeout(30):
                while sum(states.values()) < LIMITS * CUSTOMERS:
                    await asyncio.sleep(0.02)  # another process takes real time
                    rows = await store.fetch(
                        "SELECT state, count(*) FROM webhook_deliveries GROUP BY state"
                    )
                    states = {row[0]: row[1] for row in rows}
            # One is under way, and all the others are fanned out and were never sent.
            assert states == {"ready": CUSTOMERS, "waiting": CUSTOMERS * (LIMITS - 1)}
            assert len(receiver.arrived) == 1
            await store.close()
            server.kill()
            receiver.answer = lambda _: 200
            await server.start(http)
            await all_told(receiver, people)
            assert_in_order(receiver, people, secret)
            await server.stop()

    asyncio.run(asyncio.wait_for(story(), 120))


@pytest.mark.slow
def test_however_often_the_server_is_killed_every_event_arrives_in_order(
    database_url: str,
) -> None:
    async def story() -> None:
        luck = random.Random(11)
        server = Server(database_url, "--webhook-allow", "127.0.0.0/8", is_forked=True)
        async with (
            receiving() as receiver,
            httpx.AsyncClient(base_url=server.url, headers=HEADERS, timeout=30) as http,
        ):
            await server.start(http)
            people, secret = await open_business(http, receiver)
            receiver.delay = 0.01
            todo = [(one, number) for number in range(1, LIMITS + 1) for one in people]
            share = len(todo) // ROUNDS
            for turn in range(ROUNDS):
                for one, number in todo[turn * share : (turn + 1) * share]:
                    await call(http, one, number)
                await asyncio.sleep(luck.random() * 0.3)  # at any instant of its work
                server.kill()
                await server.start(http)
            await all_told(receiver, people)
            assert_in_order(receiver, people, secret)
            await server.stop()

    asyncio.run(asyncio.wait_for(story(), 120))


async def sender(database_url: str, workers: list[Command]) -> Command:
    """Wait until one of the workers has the lane, and so sends; returns it."""
    async with other_connection(database_url) as store, asyncio.timeout(60):
        while True:
            (lease,) = await store.leases()
            for one in workers:
                if f"|{one.process.pid}|" in lease.holder:
                    return one
            await asyncio.sleep(0.02)  # another process takes real time


@pytest.mark.slow
def test_when_a_worker_is_killed_while_it_sends_another_one_goes_on(database_url: str) -> None:
    async def story(receiver: Receiver, workers: list[Command]) -> None:
        clock = Clock(datetime.now(UTC))
        async with open_shop(database_url, clock, LIMITS) as engine:
            secret = (await register(engine, receiver)).secret
            people = await customers(engine, CUSTOMERS)
            for number in range(1, LIMITS + 1):
                for one in people:
                    await reach(engine, clock, one, number)
        refused: set[str] = set()

        def refuse_the_first_time(one: Arrived) -> int:
            data = one.event["data"]
            if data["amount"] != 2 or data["customer_id"] in refused:
                return 200
            refused.add(data["customer_id"])
            return 500

        # Nobody has fanned out or sent anything, and no server runs any more.
        receiver.answer = lambda _: HANG
        for one in workers:
            one.launch()
        for _ in range(3):
            arrived = len(receiver.arrived)
            await receiver.has(arrived + 1, 60)
            killed = await sender(database_url, workers)
            killed.kill()
            # The first one is killed while it waits for an answer, the others at any instant.
            receiver.answer, receiver.delay = refuse_the_first_time, 0.2
            killed.launch()
        await all_told(receiver, people)
        assert_in_order(receiver, people, secret)
        # What was refused came again before anything newer.
        assert all(told(receiver)[one].count(2) >= 2 for one in people)

    async def told_by_workers() -> None:
        workers = [
            Command("worker", "--database", database_url, "--webhook-allow", "127.0.0.0/8")
            for _ in range(2)
        ]
        async with receiving() as receiver:
            try:
                await story(receiver, workers)
            finally:
                for one in workers:
                    one.kill()

    asyncio.run(asyncio.wait_for(told_by_workers(), 240))
