"""Random commands on the embedded engine, against plain books (`plain_books`): on a real database,
with crashes of the engine in the middle of commands and between them, with repeats, some of them at
once, with a lane that forgets what it remembers, and with a clock that is set back and forth.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.faults.plain_books import Books, Held, Refused
from tests.ledger.shop import NOON, make_customer, sell_tokens

from faregate import Engine
from faregate.core.amounts import Number
from faregate.core.events import EventsBooked, UsageEvent
from faregate.core.gate import HoldCaptured, HoldUpdated, HoldView
from faregate.core.hold_requests import CaptureRequest, HoldRequest, UpdateRequest, Used, Want
from faregate.core.problems import FaregateError
from faregate.core.transactions import AdjustmentRequest, ChargeRequest
from faregate.customers.types import Overdraft
from faregate.store.sqlite import SqliteStore

USD = "default:USD"
SCALE = 10**6
"""Units of the ledger in a thousandth of a dollar."""
MAX_WAIT_SECONDS = 30

AMOUNT = st.integers(0, 300)
LARGE = st.integers(1, 900)
CREDIT = st.integers(1, 300) | st.integers(300, 3000)
TOKENS = st.lists(st.integers(0, 90), min_size=1, max_size=3)
SECONDS = st.sampled_from([1, 30, 60, 300, 900, 3600])
GIVEN = st.tuples(CREDIT, st.booleans(), st.none() | st.sampled_from([1, 30, 60, 300, 301]))
"""Credit: how much, whether it is a gift, and for how many seconds."""
PICK = st.integers(0, 10_000)
FATE = st.sampled_from(["once"] * 8 + ["twice", "forgotten", "crash", "crash after"])
TURNS = st.integers(0, 60)
PASSING = (0, 1, 1, 5, 29, 30, 60, 300)
MEANWHILE = st.sampled_from(
    [*PASSING, "right", "right", "look", "restart", "crash", -1, -60, -3600]
)
"""Seconds by which the clock moves, also back; "right": it is right again."""

Asked = tuple[int, bool, bool]
"""For how many seconds, whether partly, and whether what comes too late is rejected."""
ASKED = st.tuples(SECONDS, st.booleans(), st.booleans())
CHILDREN = st.lists(st.integers(0, 90), min_size=1, max_size=3)

Call = Callable[[Engine], Awaitable[Any]]


def mills(amount: int) -> Number:
    """An amount in dollars."""
    return Number(Decimal(amount).scaleb(-3))


class Life:
    """An engine on a database, which may crash and begin again, and the time that it is told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = 0
        self.ledger = 0
        """The ledger's time in seconds, that of the latest command: it never runs backwards."""
        self.counts: Counter[str] = Counter()
        self._corpses: list[Any] = []
        self._begin()
        self.run(sell_tokens(self.engine, "0.001"))

    def _time(self) -> datetime:
        return NOON + timedelta(seconds=self.clock)

    def _begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._opened = Engine.open(self.url, clock=self._time, stands_by=True)
        self.engine = self.run(self._opened.__aenter__())
        self.run(self._free_the_lane())

    async def _free_the_lane(self) -> None:
        # The engine that crashed was a part of this process, which lives: nobody takes it for dead.
        async with self.engine._store.transaction() as transaction:
            await transaction.fetch("UPDATE lanes SET lease_until_us = 0 RETURNING lane")

    def run(self, work: Awaitable[Any]) -> Any:
        """Wait for something that the engine does."""
        return self.loop.run_until_complete(asyncio.wait_for(work, MAX_WAIT_SECONDS))

    @property
    def now(self) -> int:
        """What is the time for somebody who looks: not before that of a command."""
        return max(self.clock, self.ledger)

    def stop(self) -> None:
        """End the engine as one should."""
        self.run(self._opened.__aexit__(None, None, None))
        self.loop.close()

    def restart(self) -> None:
        """End the engine and begin again."""
        self.stop()
        self._begin()

    def crash(self) -> None:
        """Drop the engine where it stands: nothing is finished, answered or let go of."""
        self.counts["crashes"] += 1

        async def drop() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            store: Any = self.engine._store
            if isinstance(store, SqliteStore):
                store._committer.shutdown()
                store._slow_reader.shutdown()
                store._reader.close()
                store._writer.close()
            else:
                store._pool.terminate()
                store._lane_pool.terminate()

        self.loop.run_until_complete(drop())
        self.loop.close()
        # Kept, so that nothing of it is ever tidied up.
        self._corpses = [self.engine, self._opened, self.loop]
        self._begin()

    def crash_during(self, call: Call, turns: int) -> None:
        """Begin something, and crash after so many turns of the event loop."""

        async def unheard() -> None:
            with suppress(FaregateError):
                await call(self.engine)

        async def begin() -> None:
            self._corpses = [asyncio.ensure_future(unheard())]
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(begin())
        self.crash()

    def forget(self) -> None:
        """Let the lanes forget states and ids, as they do when there are too many."""
        for lane in self.engine.lanes:
            # All but the heads of chains, which a lane keeps until they are written down.
            memory = lane._memory
            for kept in (memory.states, memory.counters, memory._young, memory._old):
                kept.clear()
            lane._read_ids = 0


class Wallets(RuleBasedStateMachine):
    """One customer's wallet, and its plain books."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life
        self.books = Books(may_owe=True)
        self.names: dict[str, str] = {}
        self.done: list[tuple[Call, Any]] = []
        self.tokens: dict[str, UsageEvent] = {}

    @initialize(
        may_owe=st.sampled_from([True, True, False]),
        credits=st.lists(GIVEN, min_size=1, max_size=3),
    )
    def begin(self, may_owe: bool, credits: list[tuple[int, bool, int | None]]) -> None:
        self.life.counts["wallets"] += 1
        self.life.clock = self.life.now + 1
        self.made = 0
        self.began_at = NOON + timedelta(seconds=self.life.now)
        self.customer = self.life.run(make_customer(self.life.engine, None))
        self.books = Books(may_owe, self.life.now)
        if not may_owe:
            policy = Overdraft("reject")
            self.life.run(self.life.engine.set_overdraft(self.customer, USD, policy))
        for given in credits:
            self.credit(*given, "once", 0)

    def name(self) -> str:
        self.made += 1
        return f"id {self.made}"

    # -- how a command is sent ------------------------------------------------------------------

    def send(
        self,
        call: Call,
        expected: Callable[[Books], Any],
        fate: str,
        turns: int,
        *,
        repeats: bool = True,
    ) -> None:
        """Send a command, do to it what its fate is, and compare the answer with the books'."""
        life = self.life
        life.ledger = life.now
        life.counts["commands"] += 1
        self.books.look(life.ledger)
        books = copy.deepcopy(self.books)
        try:
            wanted = expected(books)
            self.books = books
        except Refused as refusal:
            wanted = refusal.status
            life.counts[f"refused {wanted}"] += 1
        if fate == "crash":
            life.crash_during(call, turns)
        elif fate == "forgotten":
            life.forget()
        got = self.answers(call, 2 if fate == "twice" else 1)
        assert self.seen(got) == wanted, (got, wanted)
        if repeats and not isinstance(got, int):
            self.done.append((call, got))
            if fate == "crash after":
                life.crash()
                self.is_repeated(call, got)

    def answers(self, call: Call, times: int) -> Any:
        """Send a command so many times at once; returns the answer, or the status of a refusal."""

        async def once() -> Any:
            try:
                return await call(self.life.engine)
            except FaregateError as error:
                return error.problem.kind.status

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(*[once() for _ in range(times)])

        first, *others = self.life.run(all_at_once())
        for other in others:
            assert plain(other) == plain(first)
        return first

    def is_repeated(self, call: Call, first: Any) -> None:
        self.life.counts["repeats compared"] += 1
        self.life.ledger = self.life.now
        assert plain(self.answers(call, 1)) == plain(first)

    def seen(self, answer: Any) -> Any:
        """What the books can say of an answer."""
        if isinstance(answer, HoldCaptured):
            return in_mills(answer.captured_units), in_mills(answer.released_units)
        if isinstance(answer, HoldUpdated):
            units = in_mills(answer.captured_units), in_mills(answer.granted_units)
            return (*units, answer.is_final)
        if isinstance(answer, HoldView):
            return answer.status, in_mills(answer.held_units)
        if isinstance(answer, tuple):
            return [self.seen(view) for view in answer]
        if isinstance(answer, EventsBooked):
            return {r.event_id: in_mills(sum(f.units for f in r.fees)) for r in answer.results}
        return answer if isinstance(answer, int) else None

    # -- credit and use -------------------------------------------------------------------------

    @rule(given=GIVEN, fate=FATE, turns=TURNS)
    def give(self, given: tuple[int, bool, int | None], fate: str, turns: int) -> None:
        self.credit(*given, fate, turns)

    def credit(self, amount: int, is_gift: bool, life: int | None, fate: str, turns: int) -> None:
        expires = None if life is None else NOON + timedelta(seconds=self.life.now + life)
        reason: Any = "gift" if is_gift else "external_topup"
        request = AdjustmentRequest(self.name(), "USD", mills(amount), reason, expires_at=expires)
        self.send(
            lambda engine: engine.adjust(self.customer, request),
            lambda books: books.credit(amount, is_gift, life),
            fate,
            turns,
        )

    @rule(amount=LARGE, is_charge=st.booleans(), fate=FATE, turns=TURNS)
    def spend(self, amount: int, is_charge: bool, fate: str, turns: int) -> None:
        name = self.name()

        def call(engine: Engine) -> Any:
            if is_charge:
                return engine.charge(self.customer, ChargeRequest(name, "USD", mills(amount)))
            request = AdjustmentRequest(name, "USD", mills(-amount), "other")
            return engine.adjust(self.customer, request)

        self.send(call, lambda books: books.spend(amount), fate, turns)

    def events(self, tokens: list[int], again: int) -> tuple[list[UsageEvent], dict[str, int]]:
        """New events, and maybe one that was sent before."""
        events = [
            UsageEvent(self.name(), "llm", self.began_at, data={"n": count}) for count in tokens
        ]
        if again % 4 == 0 and self.books.events:
            known = sorted(self.books.events)
            events.append(self.tokens[known[again % len(known)]])
        self.tokens |= {event.id: event for event in events}
        return events, {event.id: int((event.data or {})["n"]) for event in events}

    @rule(tokens=TOKENS, again=PICK, fate=FATE, turns=TURNS)
    def use(self, tokens: list[int], again: int, fate: str, turns: int) -> None:
        events, counts = self.events(tokens, again)

        def expected(books: Books) -> Any:
            books.use(counts)
            return counts

        self.send(lambda engine: engine.record_events(self.customer, events), expected, fate, turns)

    # -- holds ----------------------------------------------------------------------------------

    @rule(asked=ASKED, amounts=st.lists(AMOUNT, min_size=1, max_size=3), fate=FATE, turns=TURNS)
    def ask(self, asked: Asked, amounts: list[int], fate: str, turns: int) -> None:
        self.ask_for(asked, amounts, None, fate, turns)

    @precondition(lambda self: self.names)
    @rule(asked=ASKED, amounts=CHILDREN, pick=PICK, fate=FATE, turns=TURNS)
    def ask_a_hold(
        self, asked: Asked, amounts: list[int], pick: int, fate: str, turns: int
    ) -> None:
        self.ask_for(asked, amounts, self.pick(pick), fate, turns)

    def ask_for(
        self, asked: Asked, amounts: list[int], above: str | None, fate: str, turns: int
    ) -> None:
        seconds, is_partial, is_late_rejected = asked
        requests = [
            HoldRequest(
                self.name(),
                max_amount=mills(amount),
                asset="USD",
                expires_in_seconds=seconds,
                allow_partial=is_partial,
                late_capture="reject" if is_late_rejected else "charge",
                parent_id=None if above is None else self.names[above],
            )
            for amount in amounts
        ]
        names = [request.transaction_id for request in requests]

        def expected(books: Books) -> Any:
            for name, amount in zip(names, amounts, strict=True):
                books.ask(name, amount, Held(above, seconds, is_partial, is_late_rejected))
            return [(books.holds[n].status, books.holds[n].first) for n in names]

        async def call(engine: Engine) -> Any:
            if len(requests) == 1:
                return (await engine.authorize(self.customer, requests[0]),)
            return await engine.authorize_batch(self.customer, requests)

        self.send(call, expected, fate, turns)
        if names[0] in self.books.holds:
            views = self.done[-1][1]
            self.names |= {view.transaction_id: view.id for view in views}

    def pick(self, number: int) -> str:
        """Choose a hold: mostly an open one."""
        found = [n for n in self.names if self.books.holds[n].status == "authorized"]
        if not found or number % 5 == 0:
            found = list(self.names)
        return found[number % len(found)]

    @precondition(lambda self: self.names)
    @rule(
        pick=PICK,
        amount=st.none() | AMOUNT,
        tokens=TOKENS,
        again=PICK,
        final=st.booleans(),
        fate=FATE,
        turns=TURNS,
    )
    def capture(
        self,
        pick: int,
        amount: int | None,
        tokens: list[int],
        again: int,
        final: bool,
        fate: str,
        turns: int,
    ) -> None:
        hold = self.pick(pick)
        events, counts = self.events(tokens, again) if amount is None else (None, {})
        used = None if amount is None else mills(amount)
        request = CaptureRequest(self.name(), used, events, final)
        self.send(
            lambda engine: engine.capture(self.customer, self.names[hold], request),
            lambda books: books.capture(hold, amount or 0, counts, final),
            fate,
            turns,
        )

    @precondition(lambda self: self.names)
    @rule(
        pick=PICK,
        amount=st.none() | AMOUNT,
        tokens=TOKENS,
        again=PICK,
        want=AMOUNT,
        fate=FATE,
        turns=TURNS,
    )
    def go_on(
        self,
        pick: int,
        amount: int | None,
        tokens: list[int],
        again: int,
        want: int,
        fate: str,
        turns: int,
    ) -> None:
        hold = self.pick(pick)
        events, counts = self.events(tokens, again) if amount is None else (None, {})
        used = Used(None if amount is None else mills(amount), events)
        request = UpdateRequest(self.name(), Want(mills(want)), used)
        self.send(
            lambda engine: engine.update_hold(self.customer, self.names[hold], request),
            lambda books: books.update(hold, amount or 0, counts, want),
            fate,
            turns,
        )

    @precondition(lambda self: self.names)
    @rule(pick=PICK, seconds=st.none() | SECONDS, fate=FATE, turns=TURNS)
    def void_or_extend(self, pick: int, seconds: int | None, fate: str, turns: int) -> None:
        hold = self.pick(pick)

        def call(engine: Engine) -> Any:
            if seconds is None:
                return engine.void_hold(self.customer, self.names[hold])
            return engine.extend_hold(self.customer, self.names[hold], seconds)

        def expected(books: Books) -> Any:
            if seconds is None:
                books.void(hold)
            else:
                books.extend(hold, seconds)
            return books.holds[hold].status, books.holds[hold].units

        self.send(call, expected, fate, turns, repeats=False)

    # -- what else happens ----------------------------------------------------------------------

    @rule(what=MEANWHILE)
    def meanwhile(self, what: str | int) -> None:
        life = self.life
        match what:
            case "restart":
                life.restart()
            case "crash":
                life.crash()
            case "right":
                life.clock = life.now
            case "look":
                self.look_at_holds()
            case int():
                life.clock += what

    @precondition(lambda self: self.done)
    @rule(pick=PICK, forgets=st.booleans())
    def say_it_again(self, pick: int, forgets: bool) -> None:
        if forgets:
            self.life.forget()
        self.is_repeated(*self.done[pick % len(self.done)])

    # -- what must be true ----------------------------------------------------------------------

    @invariant()
    def the_wallet_is_as_in_the_books(self) -> None:
        if not hasattr(self, "customer"):
            return
        account = self.life.run(self.life.engine.get_account(self.customer, USD))
        shown = account.available.scaleb(3), account.pending_out.scaleb(3)
        books = self.books_now()
        assert shown == (books.available, books.pending)

    def books_now(self) -> Books:
        """The books as they are for somebody who looks: that alone changes nothing in them."""
        books = copy.deepcopy(self.books)
        books.look(self.life.now)
        return books

    def look_at_holds(self) -> None:
        names = {identifier: name for name, identifier in self.names.items()}
        shown: dict[str, Any] = {}
        while True:
            work = self.life.engine.list_holds(self.customer, 100, len(shown))
            page = self.life.run(work)
            for view in page.items:
                units = in_mills(view.held_units), in_mills(view.captured_units)
                shown[names[view.id]] = (view.status, *units)
            if len(shown) == page.total_count:
                break
        assert shown == {
            name: (hold.status, hold.units, hold.captured)
            for name, hold in self.books_now().holds.items()
        }

    def teardown(self) -> None:
        if not hasattr(self, "customer"):
            return
        self.look_at_holds()
        work = self.life.engine.list_events(1, filters={"customer_id": self.customer})
        assert self.life.run(work).total_count == len(self.books.events)


def run_machine(
    database_url: str, examples: int, steps: int, *, keeps_examples: bool = True
) -> Counter[str]:
    """Try so many examples of so many steps each, on an empty database; returns what was done.
    With `keeps_examples`, one that failed is tried first the next time."""
    life = Life(database_url)
    try:
        run_state_machine_as_test(
            lambda: Wallets(life),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                **({} if keeps_examples else {"database": None}),
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
        report = life.run(life.engine.verify())
        assert report.is_clean, (report.differences, report.breaks)
        life.counts["transfers verified"] = report.transfers
    finally:
        life.stop()
    return life.counts


def in_mills(units: int) -> int:
    """Units of the ledger as thousandths of a dollar."""
    whole, rest = divmod(units, SCALE)
    assert not rest, units
    return whole


def plain(answer: Any) -> Any:
    """What must be the same in an answer and in that to a repeat."""
    if isinstance(answer, EventsBooked):
        return [(result.event_id, result.fees) for result in answer.results]
    return answer
