"""The wire to PostgreSQL is cut around a commit, in every way that a wire can be cut, is away, or
swallows everything. Every caller is answered or told 503; who sends the same request again gets
the answer that is true, and nothing is charged twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from tests.doubles.wire import Fate, Wire
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    available,
    book,
    by_hand,
    give,
    make_customer,
    other_connection,
    refusal,
    row_counts,
    sell_tokens,
    tell,
    use,
)

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.events import MAX_EVENTS, UsageEvent
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.types import CreateCustomer
from faregate.ledger.lane import MAX_QUEUED
from faregate.rest.app import create_app
from faregate.store import postgres
from faregate.store.postgres import LANE_POOL_SIZE, POOL_SIZE

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

CALLERS = 32
REQUESTS_EACH = 60
CUSTOMERS = 8
MAX_TRIES = 300
SHORT = 0.3
"""Seconds that stand for the store's own limits."""


@asynccontextmanager
async def shop_behind_a_wire(url: str) -> AsyncIterator[tuple[Engine, Wire, str]]:
    """An engine that reaches its database through a wire, and a customer with 100 USD."""
    async with Wire.to(url) as wire, Engine.open(wire.url, clock=Clock()) as engine:
        await sell_tokens(engine)
        yield engine, wire, await make_customer(engine)


def befalls_once(fate: Fate) -> Any:
    """This becomes of the next commit; those after it arrive."""
    fates = iter([fate])
    return lambda _number: next(fates, Fate.ARRIVES)


def assert_says_send_again(error: BaseException) -> None:
    assert isinstance(error, FaregateError)
    assert error.problem.kind.status == 503, error
    assert error.problem.retry_after_seconds


async def assert_it_goes_on(engine: Engine, customer_id: str) -> None:
    """What nobody has sent before is booked too, and the books balance."""
    before = await available(engine, customer_id)
    for name in ("next", "after next"):
        assert (await book(engine, customer_id, use(name, 1))).status == "booked"
    assert await available(engine, customer_id) == before - 2
    await assert_clean(engine)


# -- one commit ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "repeated"),
    [
        (Fate.IS_LOST, {"booked"}),
        (Fate.LOSES_ITS_ANSWER, {"repeat"}),
        (Fate.IS_CUT_HALF_WAY, {"booked", "repeat"}),
        (Fate.IS_LATE, {"booked"}),
    ],
    ids=lambda value: value.name if isinstance(value, Fate) else "",
)
def test_a_repeat_after_a_cut_wire_gets_the_answer_that_is_true(
    database_url: str, fate: Fate, repeated: set[str]
):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            before = await book(engine, customer_id, use("before", 1))
            wire.fate = befalls_once(fate)
            assert_says_send_again(await refusal(book(engine, customer_id, use("event", 2))))
            assert wire.fates[fate] == 1
            again = await book(engine, customer_id, use("event", 2))
            assert again.status in repeated
            assert [fee.units for fee in again.fees] == [2 * 10**9]
            third = await book(engine, customer_id, use("event", 2))
            assert (third.status, third.fees) == ("repeat", again.fees)
            assert (await book(engine, customer_id, use("before", 1))).fees == before.fees
            assert await available(engine, customer_id) == 97
            await assert_it_goes_on(engine, customer_id)

    tell(story())


@pytest.mark.parametrize("fate", [Fate.IS_LOST, Fate.LOSES_ITS_ANSWER], ids=lambda fate: fate.name)
def test_credit_whose_commit_was_cut_is_given_once(database_url: str, fate: Fate):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            wire.fate = befalls_once(fate)
            assert_says_send_again(await refusal(give(engine, customer_id, "5", "top-up")))
            assert await available(engine, customer_id) == (
                105 if fate is Fate.LOSES_ITS_ANSWER else 100
            )
            first = await give(engine, customer_id, "5", "top-up")
            assert await give(engine, customer_id, "5", "top-up") == first
            assert await available(engine, customer_id) == 105
            await assert_it_goes_on(engine, customer_id)

    tell(story())


def test_a_commit_that_arrives_late_finds_the_lane_under_a_new_epoch(database_url: str):
    async def story() -> None:
        async with (
            shop_behind_a_wire(database_url) as (engine, wire, customer_id),
            other_connection(database_url) as store,
        ):
            for sent in (
                book(engine, customer_id, use("late", 2)),
                give(engine, customer_id, "5", "late"),
            ):
                wire.fate = befalls_once(Fate.IS_LATE)
                assert_says_send_again(await refusal(sent))
            await book(engine, customer_id, use("meanwhile", 3))
            before = await row_counts(store)
            assert wire.late == 2
            await wire.let_arrive()
            assert await row_counts(store) == before
            assert await available(engine, customer_id) == 97
            assert (await book(engine, customer_id, use("late", 2))).status == "booked"
            await give(engine, customer_id, "5", "late")
            assert await available(engine, customer_id) == 100
            await assert_clean(engine)

    tell(story())


def test_a_late_commit_that_arrives_before_the_repeat_is_what_the_repeat_finds(database_url: str):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            wire.fate = befalls_once(Fate.IS_LATE)
            assert_says_send_again(await refusal(book(engine, customer_id, use("event", 2))))
            await wire.let_arrive()
            assert (await book(engine, customer_id, use("event", 2))).status == "repeat"
            assert await available(engine, customer_id) == 98
            await assert_it_goes_on(engine, customer_id)

    tell(story())


@pytest.mark.parametrize("fate", [Fate.IS_LOST, Fate.LOSES_ITS_ANSWER], ids=lambda fate: fate.name)
def test_a_customer_whose_commit_was_cut_is_made_once(database_url: str, fate: Fate):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, _):
            wire.watched = b"COMMIT"
            wire.fate = befalls_once(fate)
            request = CreateCustomer(name="Grace", external_id="grace")
            assert_says_send_again(
                await refusal(engine.create_customer(request, idempotency_key="grace"))
            )
            assert wire.fates[fate] == 1
            made = await engine.create_customer(request, idempotency_key="grace")
            assert await engine.customer_id_of("grace") == made.id
            assert (await engine.list_customers()).total_count == 2

    tell(story())


# -- under load ---------------------------------------------------------------------------------


class Load:
    """Callers who send until they are answered, and what they were told."""

    def __init__(self, engine: Engine, customers: list[str], dice: random.Random) -> None:
        self._engine = engine
        self._requests = [
            self._request(customers, number, dice) for number in range(CALLERS * REQUESTS_EACH)
        ]
        self.answers: dict[int, Any] = {}
        self.refused = 0
        self.tokens = 0
        self.events = 0
        self.transactions = 0
        self.balances: Counter[str] = Counter()
        for customer_id, request in self._requests:
            if isinstance(request, list):
                self.events += len(request)
                self.balances[customer_id] -= sum(event.data["n"] for event in request)
            else:
                self.transactions += 1
                sign = -1 if isinstance(request, ChargeRequest) else 1
                self.balances[customer_id] += sign * int(request.amount)

    @staticmethod
    def _request(customers: list[str], number: int, dice: random.Random) -> tuple[str, Any]:
        customer_id = dice.choice(customers)
        amount = Number(str(dice.randint(1, 9)))
        identifier = f"request {number}"
        match dice.randrange(4):
            case 0:
                return customer_id, AdjustmentRequest(identifier, "USD", amount, "gift")
            case 1:
                return customer_id, ChargeRequest(identifier, "USD", amount)
            case _:
                events = [
                    use(f"event {number}.{n}", dice.randint(1, 9))
                    for n in range(dice.randint(1, 3))
                ]
                return customer_id, events

    async def send(self, number: int) -> Any:
        """Send a request once."""
        customer_id, request = self._requests[number]
        if isinstance(request, AdjustmentRequest):
            return await self._engine.adjust(customer_id, request)
        if isinstance(request, ChargeRequest):
            return await self._engine.charge(customer_id, request)
        return await self._engine.record_events(customer_id, request)

    async def _insist(self, number: int) -> None:
        for _ in range(MAX_TRIES):
            try:
                answer = await self.send(number)
            except FaregateError as error:
                assert_says_send_again(error)
                self.refused += 1
            else:
                first = self.answers.setdefault(number, answer)
                assert _booked(first) == _booked(answer)
                return
        raise AssertionError(f"request {number} was refused {MAX_TRIES} times")

    async def _call(self, caller: int) -> None:
        """Send one's own requests; some of a neighbour's too, who may be sending them as well."""
        for step in range(REQUESTS_EACH):
            await self._insist(step * CALLERS + caller)
            if step % 5 == 0:
                await self._insist(step * CALLERS + (caller + 1) % CALLERS)

    async def run(self) -> None:
        """Let all callers send all they have."""
        await asyncio.gather(*[self._call(caller) for caller in range(CALLERS)])


def _booked(answer: Any) -> Any:
    """What an answer says was booked, be it the first or a repeat."""
    if hasattr(answer, "results"):
        return [(result.event_id, result.fees) for result in answer.results]
    return answer


class BadDay:
    """Every third commit meets with something, each fate in its turn; late ones arrive while a
    later one is on its way, and after some cuts the database is away for a number of attempts."""

    ATTEMPTS_AWAY = 40

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._fates = [fate for fate in Fate if fate is not Fate.ARRIVES]
        self._arrivals: list[asyncio.Task[None]] = []

    def __call__(self, number: int) -> Fate:
        if self._wire.late:
            self._arrivals.append(asyncio.create_task(self._wire.let_arrive()))
        turn, is_spared = divmod(number, 3)
        if is_spared:
            return Fate.ARRIVES
        if turn % 5 == 0:
            self._wire.refusals_left = self.ATTEMPTS_AWAY
        return self._fates[turn % len(self._fates)]

    async def ends(self) -> None:
        """Let all arrive that is still on its way."""
        self._wire.fate = lambda _number: Fate.ARRIVES
        await asyncio.gather(*self._arrivals)
        await self._wire.let_arrive()


@pytest.mark.slow
def test_under_load_over_a_wire_that_breaks_again_and_again_nothing_is_lost_or_doubled(
    database_url: str,
):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, _):
            customers = [await make_customer(engine, None) for _ in range(CUSTOMERS)]
            load = Load(engine, customers, random.Random(11))
            bad_day = wire.fate = BadDay(wire)
            await load.run()
            await bad_day.ends()
            for fate in Fate:
                assert wire.fates[fate] >= 3, wire.fates
            assert load.refused > CALLERS
            assert wire.connections_at_most <= POOL_SIZE + LANE_POOL_SIZE
            # Everybody asks once more, and is told what they were told.
            for number, answer in load.answers.items():
                assert _booked(await load.send(number)) == _booked(answer)
            await assert_is_exact(engine, load)
        # An engine that remembers nothing says the same.
        async with Engine.open(database_url, clock=Clock()) as engine:
            await assert_is_exact(engine, load)

    tell(story())


async def assert_is_exact(engine: Engine, load: Load) -> None:
    """Every request of the load is in the books, once."""
    for customer_id, balance in load.balances.items():
        assert await available(engine, customer_id) == balance
    assert (await engine.list_events(1)).total_count == load.events
    report = await engine.verify()
    assert report.is_clean, (report.differences, report.breaks)
    assert report.fees == load.events
    assert report.transactions == load.transactions + 1  # and the first customer's credit


def test_a_session_that_an_administrator_has_ended_is_given_up_before_its_end_has_arrived(
    database_url: str,
):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            await book(engine, customer_id, use("before", 1))
            wire.ends_arrive.clear()
            async with by_hand(database_url) as database:
                await database.fetch(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            # Each connection knows it when it is used, and says so once.
            told = [await answer_of(book(engine, customer_id, use("event", 2))) for _ in range(5)]
            assert {"booked"} < {"booked", *told} <= {"booked", "repeat", 503}
            assert told[-1] == "repeat"
            told = [await answer_of(available(engine, customer_id)) for _ in range(POOL_SIZE)]
            assert set(told) <= {97, 503}
            wire.ends_arrive.set()
            await assert_it_goes_on(engine, customer_id)

    tell(story())


async def answer_of(sent: Any) -> Any:
    """What became of an event, or of a question; the status if it was refused."""
    try:
        answer = await sent
    except FaregateError as error:
        return error.problem.kind.status
    return getattr(answer, "status", answer)


# -- away, and silent -----------------------------------------------------------------------------


def test_while_the_database_is_away_everybody_is_told_at_once_and_then_it_goes_on_by_itself(
    database_url: str,
):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            await wire.go_away()
            for _ in range(10):
                told = await asyncio.gather(
                    *[book(engine, customer_id, use(f"event {n}")) for n in range(CALLERS)],
                    give(engine, customer_id, "5", "top-up"),
                    engine.charge(customer_id, ChargeRequest("fee", "USD", Number(3))),
                    engine.get_wallet(customer_id),
                    engine.list_events(),
                    engine.create_customer(CreateCustomer(name="Grace")),
                    return_exceptions=True,
                )
                for error in told:
                    assert_says_send_again(error)
            assert not await engine.is_ready()
            await wire.come_back()
            answers = [await book(engine, customer_id, use(f"event {n}")) for n in range(CALLERS)]
            assert {answer.status for answer in answers} == {"booked"}
            assert await engine.is_ready()
            assert await available(engine, customer_id) == 100 - CALLERS
            await assert_clean(engine)

    tell(story())


def test_over_http_a_database_that_is_away_is_a_503_with_the_time_to_send_again(
    database_url: str,
):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            _, secret = await engine.create_key("test", "admin", "test")
            event = {
                "id": "event",
                "event_type": "llm",
                "occurred_at": NOON.isoformat(),
                "data": {"n": 2},
            }
            body = {"customer_id": customer_id, "events": [event]}
            wallet = f"/v1/customers/{customer_id}/wallet"
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(create_app(engine)),
                base_url="http://faregate",
                headers={"X-CREDYT-API-KEY": secret},
            ) as client:
                assert (await client.get(wallet)).status_code == 200
                await wire.go_away()
                for answer in (
                    await client.post("/v1/events", json=body),
                    await client.get(wallet),
                    await client.get("/v1/events"),
                ):
                    assert answer.status_code == 503
                    assert int(answer.headers["retry-after"]) >= 1
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert answer.json()["type"] == "urn:faregate:problem:unavailable"
                assert (await client.get("/readyz")).status_code == 503
                assert (await client.get("/healthz")).status_code == 200
                await wire.come_back()
                assert (await client.post("/v1/events", json=body)).status_code == 204
                assert (await client.post("/v1/events", json=body)).status_code == 204
                assert (await client.get("/readyz")).status_code == 200
            assert await available(engine, customer_id) == 98

    tell(story())


def batch(number: int) -> list[UsageEvent]:
    """The largest request of events, numbered."""
    return [use(f"event {number}.{n}") for n in range(MAX_EVENTS)]


def test_while_the_database_is_silent_what_waits_is_bounded_and_all_of_it_is_booked_later(
    database_url: str,
):
    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            wire.plug()
            first = asyncio.create_task(book(engine, customer_id, use("first")))
            await wire.is_stuck()
            accepted: list[asyncio.Task[Any]] = []
            refused: list[FaregateError] = []
            # What one batch took out of the queue is in flight and no longer waits in it.
            for number in range(3 * MAX_QUEUED // MAX_EVENTS):
                sent = asyncio.create_task(engine.record_events(customer_id, batch(number)))
                await asyncio.wait([sent], timeout=0)
                if sent.done():
                    refused.append(await refusal(sent))
                else:
                    accepted.append(sent)
            assert MAX_QUEUED <= len(accepted) * MAX_EVENTS < 2 * MAX_QUEUED
            for error in refused:
                assert error.problem.kind.status == 429
                assert error.problem.retry_after_seconds
            assert engine.lanes[0].queued <= MAX_QUEUED
            assert wire.connections_at_most <= POOL_SIZE + LANE_POOL_SIZE
            wire.unplug()
            assert (await first).status == "booked"
            answers = await asyncio.gather(*accepted)
            assert {r.status for answer in answers for r in answer.results} == {"booked"}
            assert (await engine.list_events(1)).total_count == len(accepted) * MAX_EVENTS + 1
            await assert_clean(engine)

    tell(story())


def test_a_database_that_stays_silent_is_given_up_and_found_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    # The limits themselves, made short so that nobody need wait for them.
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", SHORT)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", SHORT)

    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            wire.plug()
            for _ in range(2):
                told = await asyncio.gather(
                    *[book(engine, customer_id, use(f"event {n}")) for n in range(CALLERS)],
                    engine.get_wallet(customer_id),
                    return_exceptions=True,
                )
                for error in told:
                    assert_says_send_again(error)
            wire.unplug()
            answers = [await book(engine, customer_id, use(f"event {n}")) for n in range(CALLERS)]
            # The first batch may have been delivered when the wire was unplugged, or not.
            assert {answer.status for answer in answers} <= {"booked", "repeat"}
            assert await available(engine, customer_id) == 100 - CALLERS
            await assert_clean(engine)

    tell(story())


def test_an_engine_can_be_stopped_while_its_database_is_silent(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", SHORT)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", SHORT)

    async def story() -> None:
        async with Wire.to(database_url) as wire:
            async with Engine.open(wire.url, clock=Clock()) as engine:
                await sell_tokens(engine)
                customer_id = await make_customer(engine)
                wire.plug()
                sent = asyncio.create_task(book(engine, customer_id, use("event")))
                await wire.is_stuck()
            assert_says_send_again(await refusal(sent))
        async with by_hand(database_url) as database:  # what could not be said has to run out
            await database.fetch("UPDATE lanes SET lease_until_us = 0")
        async with Engine.open(database_url, clock=Clock()) as engine:
            await book(engine, customer_id, use("event"))
            assert await available(engine, customer_id) == 99
            await assert_clean(engine)

    tell(story())


def test_a_charge_is_not_kept_waiting_behind_reads_of_a_silent_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(postgres, "STATEMENT_SECONDS", SHORT)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", SHORT)

    async def story() -> None:
        async with shop_behind_a_wire(database_url) as (engine, wire, customer_id):
            wire.plug()
            reads = [
                asyncio.create_task(engine.get_wallet(customer_id)) for _ in range(25 * POOL_SIZE)
            ]
            await wire.is_stuck()
            try:
                # As long as the limits of a connection and of a few statements take together.
                told = await asyncio.wait_for(
                    refusal(book(engine, customer_id, use("event"))), 6 * SHORT
                )
                assert_says_send_again(told)
            finally:
                wire.unplug()
                await asyncio.gather(*reads, return_exceptions=True)

    tell(story())
