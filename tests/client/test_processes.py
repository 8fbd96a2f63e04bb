"""One client in several threads, in forked processes, in one loop after the other, and under
Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading

import pytest
from tests.api.caller import Caller
from tests.api.conftest import TEST_KEY, RunningServer
from tests.client.shop import balance, charged, tokens
from tests.doubles.unreliable import UnreliableWay, answered

from faregate.client import AsyncClient, Client, FaregateClientError, new_event, new_id
from faregate.core.ids import is_public_id


def ran(url: str, program: str, *args: str) -> str:
    """Run a program with a client; returns what it printed. It must end well and say no error."""
    environment = {"FAREGATE_URL": url, "FAREGATE_API_KEY": TEST_KEY}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *args],
        env={"PYTHONPATH": ":".join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (told.returncode, told.stderr) == (0, "")
    return told.stdout


def test_threads_share_a_client_and_each_gets_its_own_answers(
    me: Caller, client: Client, customer: str
) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for count in range(20):
            name = f"{number}-{count}"
            booked = client.record_events(customer, [new_event("free", id=name)])
            if booked[0].id != name:
                wrong.append(booked)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert me.get(f"events?customer_id={customer}").body["total_count"] == 160


FORKED = """
import os, sys
from datetime import datetime
from faregate.client import Client, fresh, new_event
client, customer = Client(), sys.argv[1]
client.get_wallet(customer)  # A connection is open, and kept.

class Still(datetime):
    stands = datetime.now().astimezone()
    now = classmethod(lambda cls, tz=None: cls.stands)

fresh.datetime = Still
new_event("free")
child = os.fork()
name = "child" if child == 0 else "parent"
for number in range(50):
    booked = client.record_events(customer, [new_event("free", id=f"{name} {number}")])
    assert booked[0].id == f"{name} {number}", booked
print(name, new_event("free").id, flush=True)
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_child_opens_its_own_connections_and_makes_its_own_ids(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    lines = [line.split() for line in ran(shared_server.url, FORKED, customer).splitlines()]
    assert {name for name, _ in lines} == {"child", "parent"}
    assert lines[0][1] != lines[1][1]
    assert me.get(f"events?customer_id={customer}").body["total_count"] == 100


QUEUED = """
import multiprocessing, sys
from faregate.client import Client, new_event
client, customer = Client(), sys.argv[1]
events = client.events(flush_every_seconds=9999)
events.add(customer, new_event("llm", {"tokens": 1}, id="parent"))

def work():
    events.add(customer, new_event("llm", {"tokens": 2}, id="child"))

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
print(child.exitcode, client.get_account(customer, "default:USD").available)
"""


def test_a_forked_child_sends_what_it_queued_and_leaves_its_parents_to_the_parent(
    me: Caller, shared_server: RunningServer, customer: str
) -> None:
    assert ran(shared_server.url, QUEUED, customer) == "0 8\n"
    assert sorted(charged(me, customer)) == [1, 2]


@pytest.mark.slow
def test_an_interrupt_while_a_batcher_closes_loses_nothing(
    me: Caller, way: UnreliableWay, customer: str
) -> None:
    goes_on = threading.Event()

    def sleep(seconds: float) -> None:
        # What Ctrl-C does.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert goes_on.wait(10)

    with Client(way.url, TEST_KEY, sleep=sleep) as client:
        events = client.events(flush_every_seconds=86_400)
        events.add(customer, tokens(1))
        way.fails(answered(503))
        with pytest.raises(KeyboardInterrupt):
            events.close()
        goes_on.set()
        events.close()
    assert (balance(me, customer), charged(me, customer)) == ((9, 0), [1])


def test_one_asynchronous_client_serves_one_loop_after_the_other(
    shared_server: RunningServer, customer: str
) -> None:
    client = AsyncClient(shared_server.url, TEST_KEY)
    for _ in range(2):
        assert asyncio.run(client.get_wallet(customer)).accounts


def test_ids_are_of_version_7_and_rise_also_when_threads_make_them() -> None:
    made: list[list[str]] = []

    def make() -> None:
        made.append([new_id("evt") for _ in range(500)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [id for ids in made for id in ids]
    assert len(set(everything)) == 2_000
    assert all(ids == sorted(ids) for ids in made)
    assert all(is_public_id(id, "evt") for id in everything)
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    for id in everything:
        number = 0
        for letter in id.removeprefix("evt_"):
            number = number * 32 + alphabet.index(letter)
        assert (number >> 76) & 15 == 7


def test_a_closed_client_says_so(shared_server: RunningServer, customer: str) -> None:
    client = Client(shared_server.url, TEST_KEY)
    client.close()
    with pytest.raises((RuntimeError, FaregateClientError), match="closed"):
        client.get_wallet(customer)
