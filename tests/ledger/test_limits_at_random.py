"""Many callers at once, under limits and free tiers, who send most things twice; commits whose
confirmation is lost, lanes that are taken over, a memory that forgets, catalogs that change and
clocks that are set back in between. Afterwards everything that was answered is added up: it is
what the limits have counted, and no hard limit was ever passed by what was granted.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from tests.ledger.shop import (
    NOON,
    Clock,
    assert_clean,
    by_hand,
    make_customer,
    other_connection,
    sell_tokens,
    tell,
    use,
)
from tests.ledger.test_fence import dead_holder

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.codec import decode
from faregate.core.events import EventResult, UsageEvent
from faregate.core.gate import HoldView
from faregate.core.hold_requests import CaptureRequest, HoldRequest, UpdateRequest, Used, Want
from faregate.core.limits import LimitChange, LimitRequest
from faregate.core.problems import LIMIT_EXCEEDED, UNAVAILABLE, FaregateError, Problem
from faregate.ledger import memory
from faregate.ledger.lease import LEASE_SECONDS, lease_clock_us
from faregate.store.protocol import StoreUnavailable

TOLD = "SELECT seq, customer_id, data FROM outbox WHERE topic = 'limit.reached' ORDER BY seq"
ROUNDS = 5
CALLERS = 14
FLOWS = 3
SUBJECTS = ("ada", "bob", None)
ONE_USD = 10**9
PRICE = ONE_USD // 20
ONE_VOLUME = 10**12
A_DAY_OF_EACH = LimitRequest(
    Number(4), "day", asset="USD", subject="*", rejects_events=True, name="each"
)
AN_HOUR = LimitRequest(
    Number(9), "hour", asset="USD", window="rolling", rejects_events=True, name="hour"
)
TOKENS = LimitRequest(
    Number(240), "day", measure="volume", volume_field="n", rejects_events=True, name="tokens"
)
EVENTS = LimitRequest(Number(70), "day", measure="events", rejects_events=True, name="events")
FREE = LimitRequest(Number(9), "day", "free", "volume", volume_field="n", subject="*", name="free")
WATCH = LimitRequest(Number(3), "day", "soft", asset="USD", name="watch")


class Spent(msgspec.Struct, frozen=True):
    """Something that was answered as charged: by whom, out of whose run, and how much; None for
    the tokens of an amount."""

    at: datetime
    subject: str
    run: str | None
    units: int
    tokens: int | None = None


class Books:
    """What the callers of one customer were answered, by their own ids."""

    def __init__(self, customer_id: str, clock: Clock) -> None:
        self.customer_id = customer_id
        self.clock = clock
        self.now = clock.now
        self.used: dict[str, Spent] = {}
        self.open: list[tuple[HoldView, str | None, int, int]] = []

    def tick(self) -> None:
        """The ledger's time stands still while the clock is behind it."""
        self.now = max(self.now, self.clock.now)

    def book(self, event: UsageEvent, result: EventResult, subject: str, run: str | None) -> None:
        units = sum(fee.units for fee in result.fees)
        tokens = (event.data or {})["n"]
        booked = Spent(self.now, subject, run, units, tokens)
        assert self.used.setdefault(event.id, booked) == booked


class Caller:
    """Somebody with ids of their own, who asks until there is an answer, mostly twice."""

    def __init__(self, engine: Engine, books: Books, name: str, random: Random) -> None:
        self.engine = engine
        self.books = books
        self.name = name
        self.random = random
        self.made = 0

    def next(self) -> str:
        self.made += 1
        return f"{self.name}.{self.made}"

    async def _insist(self, operation: str, *arguments: Any, **more: Any) -> Any:
        for _ in range(500):
            try:
                return await getattr(self.engine, operation)(
                    self.books.customer_id, *arguments, **more
                )
            except FaregateError as error:
                if error.problem.kind is not UNAVAILABLE:
                    return error.problem
                await asyncio.sleep(0.005)
        raise AssertionError("no answer")

    async def _send(self, operation: str, *arguments: Any, **more: Any) -> list[Any]:
        times = 1 + (self.random.random() < 0.6)
        return await asyncio.gather(
            *[self._insist(operation, *arguments, **more) for _ in range(times)]
        )

    async def send(self, operation: str, *arguments: Any) -> Any:
        answers = await self._send(operation, *arguments)
        if operation != "void_hold":
            assert answers[0] == answers[-1]
        return answers[0]

    async def report(self, *events: UsageEvent, is_lenient: bool = False) -> None:
        """Send events; what one of two is refused for may have been let go of before the other."""
        for answer in await self._send("record_events", list(events), is_lenient=is_lenient):
            if isinstance(answer, Problem):
                assert answer.kind is LIMIT_EXCEEDED
                continue
            for event, result in zip(events, answer.results, strict=True):
                if result.status != "refused":
                    self.books.book(event, result, event.subject or "", None)

    async def act(self) -> None:
        flow = self.random.choice(
            [
                self.event,
                self.batch,
                self.a_use,
                self.an_amount,
                self.a_run,
                self.slices,
                self.later,
            ]
        )
        await flow()

    def a_event(self, tokens: int, subject: str | None = None) -> UsageEvent:
        return use(self.next(), tokens, self.books.clock.now, subject=subject)

    async def event(self) -> None:
        subject = self.random.choice(SUBJECTS)
        await self.report(self.a_event(self.random.randrange(12), subject))

    async def batch(self) -> None:
        subjects = [self.random.choice(SUBJECTS) for _ in range(4)]
        events = [self.a_event(self.random.randrange(12), subject) for subject in subjects]
        await self.report(*events, events[0], is_lenient=True)

    async def ask(self, request: HoldRequest) -> HoldView | None:
        hold = await self.send("authorize", request)
        assert isinstance(hold, HoldView)
        return hold if hold.decline is None else None

    async def a_use(self) -> None:
        tokens, subject = self.random.randrange(1, 20), self.random.choice(SUBJECTS)
        life = self.random.choice([60, 7_200])
        request = HoldRequest(
            self.next(),
            "llm",
            {"n": tokens},
            subject=subject,
            expires_in_seconds=life,
            late_capture="reject",
        )
        hold = await self.ask(request)
        if hold is None:
            return
        if self.random.random() < 0.3:
            self.books.open.append((hold, None, tokens, 1))
            return
        await self.finish(hold, None, tokens, 1)

    async def finish(self, hold: HoldView, run: str | None, tokens: int, uses: int) -> None:
        """Capture at most what was held for, in one part or in two, or let go of it."""
        if self.random.random() < 0.2:
            await self.send("void_hold", hold.id)
            return
        if not uses:
            amount = self.random.randint(0, hold.amount_units // 10**7)
            request = CaptureRequest(self.next(), Number(amount) / 100)
            done = await self.send("capture", hold.id, request)
            if not isinstance(done, Problem):
                assert done.captured_units <= hold.amount_units
                booked = Spent(self.books.now, hold.subject or "", run, done.captured_units)
                self.books.used[request.transaction_id] = booked
            return
        event = self.a_event(self.random.randint(0, tokens))
        done = await self.send("capture", hold.id, CaptureRequest(self.next(), events=[event]))
        if not isinstance(done, Problem):
            assert done.captured_units <= hold.amount_units
            self.books.book(event, done.results[0], hold.subject or "", run)

    async def an_amount(self) -> None:
        subject, cents = self.random.choice(SUBJECTS), self.random.randrange(1, 80)
        request = HoldRequest(
            self.next(),
            max_amount=Number(cents) / 100,
            asset="USD",
            subject=subject,
            late_capture="reject",
            allow_partial=self.random.random() < 0.5,
        )
        hold = await self.ask(request)
        if hold is None:
            return
        if self.random.random() < 0.3:
            self.books.open.append((hold, None, 0, 0))
            return
        await self.finish(hold, None, 0, 0)

    async def a_run(self) -> None:
        """A run, and calls of it that somebody else makes."""
        subject, other = self.random.sample(SUBJECTS, 2)
        request = HoldRequest(
            self.next(),
            max_amount=Number("0.8"),
            asset="USD",
            subject=subject,
            late_capture="reject",
        )
        run = await self.ask(request)
        if run is None:
            return
        for _ in range(2):
            tokens = self.random.randrange(1, 9)
            call = HoldRequest(self.next(), "llm", {"n": tokens}, subject=other, parent_id=run.id)
            hold = await self.ask(call)
            if hold is not None:
                await self.finish(hold, subject or "", tokens, 1)
        await self.send("void_hold", run.id)

    async def slices(self) -> None:
        tokens, subject = self.random.randrange(1, 8), self.random.choice(SUBJECTS)
        data: dict[str, Any] = {"n": tokens}
        request = HoldRequest(self.next(), "llm", data, subject=subject, late_capture="reject")
        hold = await self.ask(request)
        for _ in range(3):
            if hold is None:
                return
            event = self.a_event(self.random.randint(0, tokens))
            slice_ = UpdateRequest(self.next(), Want(data=data), Used(events=[event]))
            answer = await self.send("update_hold", hold.id, slice_)
            self.books.book(event, answer.results[0], subject or "", None)
            hold = answer.hold
            if answer.is_final:
                break
        await self.send("void_hold", hold.id)

    async def later(self) -> None:
        """Settle what somebody has left open, perhaps long ago."""
        if self.books.open:
            taken = self.books.open.pop(self.random.randrange(len(self.books.open)))
            await self.finish(*taken)


def lose_confirmations(engine: Engine, random: Random) -> None:
    """Let some commits end without anybody knowing whether they were done: some were."""
    commit: Callable[[Any], Awaitable[None]] = engine._store.commit

    async def perhaps(batch: Any) -> None:
        fate = random.random()
        if fate < 0.04:
            raise StoreUnavailable("the wire was cut before the commit")
        await commit(batch)
        if fate < 0.08:
            raise StoreUnavailable("the wire was cut after the commit")

    engine._store.commit = perhaps  # type: ignore[method-assign]


@asynccontextmanager
async def trouble(engine: Engine, url: str, holder: str, random: Random) -> AsyncIterator[None]:
    """Take the lane away now and then, and change the catalog, while the block runs."""

    async def make() -> None:
        async with other_connection(url) as store:
            while True:
                await asyncio.sleep(random.random() / 50)
                # The one who has it may have been faster.
                until_us = lease_clock_us() + LEASE_SECONDS * 1_000_000
                await store.take_lease((await store.leases())[0], holder, until_us)
                await asyncio.sleep(random.random() / 50)
                await change_catalog(engine, random)

    task = asyncio.create_task(make())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            raise task.exception() or AssertionError


async def change_catalog(engine: Engine, random: Random) -> None:
    """Make a limit that nobody has, or change it."""
    limits = await engine.list_limits()
    if limits:
        await engine.change_limit(limits[0].id, LimitChange(amount=Number(random.randrange(9))))
        return
    nobody = {"cohort": "nobody"}
    request = LimitRequest(Number(1), "day", asset="USD", customer_metadata=nobody)
    await engine.create_limit(request)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_answered_is_what_was_counted_and_no_hard_limit_is_ever_passed(
    database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A lane that forgets nearly everything at once.
    monkeypatch.setattr(memory, "MAX_COUNTERS", 5)
    monkeypatch.setattr(memory, "MAX_CUSTOMERS", 1)
    monkeypatch.setattr(memory, "MAX_RECENT_IDS", 20)
    holder = dead_holder()

    async def story() -> None:
        random, clock = Random(seed), Clock()
        books: list[Books] = []
        for number in range(ROUNDS):
            async with Engine.open(database_url, clock=clock) as engine:
                if not books:
                    await sell_tokens(engine, "0.05")
                    for _ in range(2):
                        customer_id = await make_customer(engine, "1000")
                        for request in (A_DAY_OF_EACH, AN_HOUR, TOKENS, EVENTS, FREE, WATCH):
                            await engine.create_customer_limit(customer_id, request)
                        books.append(Books(customer_id, clock))
                    # However often it is set back: not to before the subscriptions.
                    clock.move(hours=3)
                    for book in books:
                        book.tick()
                lose_confirmations(engine, random)
                callers = [
                    Caller(engine, books[n % 2], f"{number}.{n}", Random(random.random()))
                    for n in range(CALLERS)
                ]
                for _ in range(FLOWS):
                    async with trouble(engine, database_url, holder, random):
                        await asyncio.gather(*[caller.act() for caller in callers])
                    for book in books:
                        await everything_adds_up(engine, book)
                    clock.move(minutes=random.choice([0, 1, 25, -30]))
                    for book in books:
                        book.tick()
                await assert_clean(engine)
            # Over midnight with holds left open, once.
            clock.move(hours=6 if number else 8.8)
            for book in books:
                book.tick()
        await notices_are_right(database_url, books)

    tell(story())


async def everything_adds_up(engine: Engine, books: Books) -> None:
    """Compare limits with all that was answered."""
    now = books.now
    midnight, hour_ago = now.replace(hour=0, minute=0), now - timedelta(hours=1)
    today = [used for used in books.used.values() if used.at >= midnight]
    held = await open_holds(engine, books.customer_id)
    for whose in ("ada", "bob", ""):
        states = await engine.customer_limits(books.customer_id, whose or None)
        limits = {state.limit.name: state for state in states}
        each = [u for u in today if whose and whose in (u.subject, u.run)]
        assert limits["each"].used_units == sum(u.units for u in each)
        assert limits["each"].held_units == sum(
            units for units, subjects in held if whose and whose in subjects
        )
        mine = [u for u in today if whose and u.subject == whose]
        free = sum(u.tokens - u.units // PRICE for u in mine if u.tokens is not None)
        assert limits["free"].used_units == free * ONE_VOLUME
        assert free + limits["free"].held_units // ONE_VOLUME <= 9
        assert limits["tokens"].used_units == sum(u.tokens or 0 for u in today) * ONE_VOLUME
        assert limits["events"].used_units == len(today)
        assert limits["watch"].used_units == sum(u.units for u in today)
        lately = sum(u.units for u in books.used.values() if u.at > hour_ago)
        at_most = sum(
            u.units for u in books.used.values() if u.at > hour_ago - timedelta(minutes=1)
        )
        assert lately <= limits["hour"].used_units <= at_most
        assert limits["hour"].held_units == sum(units for units, _ in held)
        for name in ("each", "hour", "tokens", "events"):
            state = limits[name]
            assert state.used_units + state.held_units <= state.limit.amount_units, name


async def open_holds(engine: Engine, customer_id: str) -> Sequence[tuple[int, set[str]]]:
    """What open holds have set aside, each with its own subject and its run's."""
    holds = {h.id: h for h in (await engine.list_holds(customer_id, 100, 0, "authorized")).items}
    found = []
    for hold in holds.values():
        run = holds.get(hold.parent_id or "")
        subjects = {hold.subject or "", (run.subject if run else None) or ""}
        found.append((hold.held_units, subjects))
    return found


async def notices_are_right(url: str, all_books: Sequence[Books]) -> None:
    """Of every limit that was reached it was said, once in each window."""
    async with by_hand(url) as queries:
        rows = await queries.fetch(TOLD)
        last = (await queries.fetch("SELECT max(last_seq) FROM lanes"))[0][0]
        others = await queries.fetch(
            "SELECT seq FROM events UNION ALL SELECT seq FROM transfers "
            "UNION ALL SELECT seq FROM holds"
        )
    seqs = [row[0] for row in rows]
    assert len(set(seqs)) == len(seqs)
    assert not set(seqs) & {row[0] for row in others}
    assert all(seq <= last for seq in seqs)
    told: Counter[Any] = Counter()
    for _, customer_id, data in rows:
        notice = decode(dict[str, Any], data)
        at = datetime.fromisoformat(notice["at"])
        assert notice["customer_id"] == customer_id
        if notice["name"] != "hour":
            told[customer_id, notice["name"], notice.get("subject"), at.date()] += 1
    assert all(count == 1 for count in told.values()), told
    for books in all_books:
        spent: dict[Any, int] = defaultdict(int)
        for used in books.used.values():
            spent[used.at.date()] += used.units
        for day, units in spent.items():
            is_told = (books.customer_id, "watch", None, day) in told
            assert is_told == (units >= 3 * ONE_USD)
    assert told
    assert NOON.date() in {key[3] for key in told}
