"""A batch while it is decided: commands, what each is answered, and the rows that one transaction
will write. It stands on the batch before it, whose commit may still be on its way to the disk:
what that one decided is taken for true here, and if it turns out not to be, this one is dropped
and its commands are decided again. Nobody has been answered meanwhile.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from faregate.core.chain import Head
from faregate.core.collecting import AwaitsTopUp
from faregate.core.customers import CustomerState
from faregate.core.decide import decide
from faregate.core.decision import NOTHING_KNOWN, Answer, Command, Decision, Known, Transaction
from faregate.core.events import BookedEvent, EventsBooked, RecordEvents
from faregate.core.gate import Authorize, Capture, ExtendHold, UpdateHold, VoidHold
from faregate.core.holds import CounterKey, Hold
from faregate.core.ids import IdSource
from faregate.core.instants import to_us
from faregate.core.limits import NOTHING_COUNTED, Counter, Limit, limits_for
from faregate.core.outcomes import EventOutcome, SettleOutcome, Standing
from faregate.core.payments import PaymentCommand
from faregate.core.problems import INTERNAL, Problem
from faregate.core.rules import DescribeCustomer
from faregate.core.subscriptions import CatalogView
from faregate.core.tiers import NOTHING_COUNTED as NO_TIERS_COUNTED
from faregate.core.tiers import Counted
from faregate.core.transactions import Adjust, Charge
from faregate.ledger import rows
from faregate.ledger.memory import CounterName, Key, Memory, Name, TierName
from faregate.ledger.standings import ReadStandings, read_standings, standing_in
from faregate.store.protocol import Store, Wanted

T = TypeVar("T")

log = structlog.get_logger(__name__)


class _NotLoaded(LookupError):
    """What a limit or a tier has counted must be read first."""


class Pending:
    """A command that waits for its answer, with the ids that it carries: of events, of a
    transaction, under which holds are asked for, and of the hold that it is about."""

    __slots__ = (
        "asked",
        "command",
        "environment_id",
        "events",
        "future",
        "hold",
        "transaction",
        "weight",
    )

    def __init__(
        self, command: Command, environment_id: int, future: asyncio.Future[Answer], weight: int
    ) -> None:
        self.command = command
        self.environment_id = environment_id
        self.future = future
        self.weight = weight
        customer_id = command.customer_id
        self.events: Sequence[Key] = ()
        self.transaction: Key | None = None
        self.asked: Sequence[Key] = ()
        self.hold: Key | None = None
        if type(command) is RecordEvents:
            self.events = [(event.id, customer_id) for event in command.events]
        elif isinstance(command, Authorize):
            self.asked = [(request.transaction_id, customer_id) for request in command.requests]
        elif isinstance(command, (Capture, UpdateHold)):
            self.hold = (command.hold_id, customer_id)
            self.transaction = (command.request.transaction_id, customer_id)
            used = command.request if isinstance(command, Capture) else command.request.used
            self.events = [(event.id, customer_id) for event in used.events or ()]
        elif isinstance(command, SettleOutcome):
            self.transaction = (command.request.transaction_id, customer_id)
            self.events = [(command.event_id, customer_id)]
        elif isinstance(command, (Adjust, Charge, PaymentCommand)):
            self.transaction = (command.request.transaction_id, customer_id)
        elif isinstance(command, (ExtendHold, VoidHold)):
            self.hold = (command.hold_id, customer_id)

    @property
    def has_ids(self) -> bool:
        """Tell whether the command carries ids under which it may be booked already."""
        return bool(self.events or self.transaction or self.asked)


def _is_refusal(command: Command, answer: Answer | Problem) -> bool:
    """Tell whether a command is refused, or one of its events where each stands for itself."""
    if type(answer) is EventsBooked:
        # Only a lenient batch has refused events beside others; this runs for every charge.
        is_lenient = type(command) is RecordEvents and command.is_lenient
        return is_lenient and any(result.problem is not None for result in answer.results)
    # One that waits may be a repeat of one that was granted.
    return isinstance(answer, (Problem, AwaitsTopUp))


class Booked(msgspec.Struct):
    """What is booked, by (the caller's id, customer); holds also by (their own id, customer).
    `outcomes` says where events stand, `standings` what was read for those that are settled."""

    events: dict[Key, BookedEvent] = {}
    transactions: dict[Key, Transaction] = {}
    holds: dict[Key, Hold] = {}
    holds_asked: dict[Key, Hold] = {}
    outcomes: dict[Key, EventOutcome] = {}
    standings: ReadStandings = msgspec.field(default_factory=ReadStandings)

    def names(self) -> Iterator[Name]:
        """Walk the callers' ids, each with what it is the id of."""
        yield from self.events
        for key in self.transactions:
            yield ("transaction", *key)
        for key in self.holds_asked:
            yield ("hold", *key)


class Moment(msgspec.Struct, frozen=True):
    """When commands are decided (`us`: microseconds since 1970), and with which catalogs."""

    now: datetime
    us: int
    catalogs: Mapping[int, CatalogView]

    def on(self, clock_id: str, catalog: CatalogView) -> Moment:
        """Return the moment for a customer who lives by a test clock."""
        now = catalog.clocks.get(clock_id, self.now)
        return Moment(now, to_us(now), self.catalogs)


def _clock_of(state: CustomerState, command: Command) -> str | None:
    """Return the test clock by which a customer lives, or is about to."""
    if isinstance(command, DescribeCustomer) and command.clock_id is not None:
        return command.clock_id
    return state.rules.clock_id


def _received_then(command: Command) -> Command:
    """Return the command as it comes in by a test clock, which is always now."""
    if isinstance(command, (RecordEvents, Capture, UpdateHold)):
        return msgspec.structs.replace(command, received_at=None)
    return command


class _CountsOf(Generic[T]):
    """What was counted for a customer, found when a decision asks for it."""

    __slots__ = ("_customer_id", "_find")

    def __init__(self, customer_id: str, find: Callable[[Any], T]) -> None:
        self._customer_id = customer_id
        self._find = find

    def __getitem__(self, key: tuple[Any, ...]) -> T:
        """Return what was counted. Raises `_NotLoaded`."""
        return self._find((self._customer_id, *key))


class Batch:
    """What the commands so far have come to. `before` is the batch whose commit is on its way."""

    __slots__ = (
        "_memory",
        "_missing_counters",
        "_missing_tiers",
        "answers",
        "before",
        "booked",
        "catalog_epoch",
        "counters",
        "heads",
        "pendings",
        "rows",
        "states",
        "tiers",
        "weight",
    )

    def __init__(self, memory: Memory, before: Batch | None) -> None:
        self._memory = memory
        self.before = before
        self.catalog_epoch = 0
        self.pendings: list[Pending] = []
        self.answers: list[Answer | Problem] = []
        self.rows = rows.BatchRows(0)
        self.states: dict[str, CustomerState] = {}
        self.counters: dict[CounterName, Counter] = {}
        self.tiers: dict[TierName, Counted] = {}
        self._missing_counters: dict[CounterName, None] = {}
        self._missing_tiers: dict[TierName, None] = {}
        self.heads: dict[str, Head] = {}
        self.booked = Booked()
        self.weight = 0

    def begin(self, last_seq: int, catalog_epoch: int) -> None:
        """Say where the lane stands, when the first command is about to be decided.

        Not before: until then the lane may be lost and found again elsewhere.
        """
        self.rows = rows.BatchRows(last_seq if self.before is None else self.before.rows.last_seq)
        self.catalog_epoch = catalog_epoch

    def _find_state(self, customer_id: str) -> CustomerState | None:
        state = self.states.get(customer_id)
        if state is None and self.before is not None:
            state = self.before.states.get(customer_id)
        return state or self._memory.states.get(customer_id)

    def _find_head(self, customer_id: str) -> Head:
        """Return where a customer's chain stands; it is kept wherever the state is."""
        head = self.heads.get(customer_id)
        if head is None and self.before is not None:
            head = self.before.heads.get(customer_id)
        return head or self._memory.heads[customer_id]

    async def load(
        self,
        store: Store,
        lane: int,
        pendings: Sequence[Pending],
        catalogs: Mapping[int, CatalogView],
        *,
        reads_ids: bool,
    ) -> Booked:
        """Read the states that are not in memory, what is booked under the commands' keys, what the
        customers' limits have counted, and what was missing when commands were last decided.
        `reads_ids` as in `_load_booked`.
        """
        loaded = await self._load_booked(store, lane, pendings, reads_ids=reads_ids)
        settled = [p.events[0] for p in pendings if isinstance(p.command, SettleOutcome)]
        if settled:
            read = loaded.standings = await read_standings(store, lane, settled)
            loaded.events.update(read.events)
            loaded.outcomes.update(read.outcomes)
        wanted, self._missing_counters = self._missing_counters, {}
        tiers, self._missing_tiers = self._missing_tiers, {}
        for pending in pendings:
            limits = self._limits_of(pending, catalogs)
            if limits:
                for key in self._counter_keys(pending, limits, loaded):
                    name = (pending.command.customer_id, *key)
                    if self._counter(name) is None:
                        wanted[name] = None
        if wanted or tiers:
            asked = Wanted(counters=list(wanted), tiers=list(tiers))
            found = await store.load(lane, asked, for_lane=True)
            # What was never counted is remembered as that.
            self._memory.counters.update(dict.fromkeys(wanted, NOTHING_COUNTED))
            self._memory.counters.update(map(rows.read_counter, found.counters))
            self._memory.tiers.update(dict.fromkeys(tiers, NO_TIERS_COUNTED))
            self._memory.tiers.update(rows.read_tiers(found.tiers))
        return loaded

    def _limits_of(
        self, pending: Pending, catalogs: Mapping[int, CatalogView]
    ) -> tuple[Limit, ...]:
        state = self._find_state(pending.command.customer_id)
        general = catalogs[pending.environment_id].limits
        if state is None or not (general or state.rules.limits):
            return ()
        return limits_for(state.rules.limits, general, state.rules.metadata)

    def _counter(self, name: CounterName) -> Counter | None:
        counter = self.counters.get(name)
        if counter is None and self.before is not None:
            counter = self.before.counters.get(name)
        return self._memory.counters.get(name) if counter is None else counter

    def _find_counter(self, name: CounterName) -> Counter:
        """Return what a limit has counted, as the last command has left it. Raises `_NotLoaded`."""
        counter = self._counter(name)
        if counter is None:
            self._missing_counters[name] = None
            raise _NotLoaded(name)
        return counter

    def _find_tier(self, name: TierName) -> Counted:
        """Return what tiers have counted, as the last command has left it. Raises `_NotLoaded`."""
        counted = self.tiers.get(name)
        if counted is None and self.before is not None:
            counted = self.before.tiers.get(name)
        if counted is None:
            counted = self._memory.tiers.get(name)
        if counted is None:
            self._missing_tiers[name] = None
            raise _NotLoaded(name)
        return counted

    def _counter_keys(
        self, pending: Pending, limits: tuple[Limit, ...], loaded: Booked
    ) -> set[CounterKey]:
        """Return under which keys a command may count something."""
        command = pending.command
        subjects: set[str | None] = set()
        if isinstance(command, RecordEvents):
            subjects.update([event.subject for event in command.events])
        elif isinstance(command, Authorize):
            subjects.update([request.subject for request in command.requests])
        elif isinstance(command, (Capture, UpdateHold)):
            used = command.request if isinstance(command, Capture) else command.request.used
            subjects.update([event.subject for event in used.events or ()])
            state = self._find_state(command.customer_id)
            hold = None if state is None else state.open_hold(command.hold_id)
            for source in self._booked(loaded):
                hold = source.holds.get((command.hold_id, command.customer_id), hold)
            if hold is not None:
                subjects.update([hold.subject, *[count.subject for count in hold.counts]])
        return {limit.counter_key(subject) for limit in limits for subject in subjects}

    async def _load_booked(
        self, store: Store, lane: int, pendings: Sequence[Pending], *, reads_ids: bool
    ) -> Booked:
        """Read states and what is booked.

        Of the callers' ids only those are looked up that may be booked: all if `reads_ids`, else
        those that the lane remembers.
        """
        missing: dict[str, None] = {}
        events: dict[Key, None] = {}
        transactions: dict[Key, None] = {}
        holds: dict[Key, None] = {}
        asked: dict[Key, None] = {}
        is_recent = self._memory.is_recent
        for pending in pendings:
            customer_id = pending.command.customer_id
            state = self._find_state(customer_id)
            if state is None:
                missing[customer_id] = None
            for key in pending.events:
                if reads_ids or is_recent(key):
                    events[key] = None
            if pending.transaction is not None and (
                reads_ids or is_recent(("transaction", *pending.transaction))
            ):
                transactions[pending.transaction] = None
            for key in pending.asked:
                if reads_ids or is_recent(("hold", *key)):
                    asked[key] = None
            if pending.hold is not None and (
                state is None or state.open_hold(pending.hold[0]) is None
            ):
                holds[pending.hold] = None
        if not (missing or events or transactions or holds or asked):
            return Booked()
        # Taken before reading: what is settled meanwhile is in `chains` after it was read.
        kept = {c: self._memory.heads[c] for c in missing if c in self._memory.heads}
        wanted = Wanted(list(missing), list(events), list(transactions), list(holds), list(asked))
        loaded = await store.load(lane, wanted, for_lane=True)
        self._memory.states.update(rows.read_customers(list(missing), loaded))
        self._memory.heads.update({**rows.read_heads(list(missing), loaded), **kept})
        found = [(row[1], rows.read_hold(row)) for row in loaded.holds]
        return Booked(
            {
                (booked.event.id, customer_id): booked
                for customer_id, booked in rows.read_events(loaded.events, loaded.fees)
            },
            {(row[0], row[1]): rows.read_transaction(row) for row in loaded.transactions},
            {(hold.id, customer_id): hold for customer_id, hold in found},
            {(hold.transaction_id, customer_id): hold for customer_id, hold in found},
        )

    def decide(
        self,
        pendings: Sequence[Pending],
        loaded: Booked,
        moment: Moment,
        ids: IdSource,
        *,
        has_read_ids: bool,
    ) -> list[Pending]:
        """Decide commands, each on the state that the one before has left.

        Returns those for which more must be read. Either they would be refused although they may
        be repeats of what the lane no longer remembers: unless all ids were looked up
        (`has_read_ids`), a refusal is no answer to them. Or they ask for counts that are not in
        memory: `load` reads those.
        """
        doubtful: list[Pending] = []
        for pending in pendings:
            command = pending.command
            state = self._find_state(command.customer_id)
            if state is None:
                raise AssertionError(f"the state of {command.customer_id} was not loaded")
            known = self._known(pending, loaded)
            catalog = moment.catalogs[pending.environment_id]
            is_settled = isinstance(command, SettleOutcome)
            if is_settled:
                standing = self._standing(pending.events[0], known, loaded)
                known = msgspec.structs.replace(known, standing=standing)
            if catalog.limits or state.rules.limits or catalog.has_tiers or is_settled:
                known = msgspec.structs.replace(
                    known,
                    counters=_CountsOf(command.customer_id, self._find_counter),
                    tiers=_CountsOf(command.customer_id, self._find_tier),
                )
            when = moment
            if catalog.clocks and (clock_id := _clock_of(state, command)) is not None:
                when = moment.on(clock_id, catalog)
                command = _received_then(command)
            try:
                decision = decide(state, known, command, catalog, when.now, ids)
            except Exception as error:
                if isinstance(error, _NotLoaded):
                    doubtful.append(pending)
                    continue
                # A fault of ours must not take the neighbours with it: nothing of it is kept.
                trace = traceback.format_exc()
                log.error("command failed", customer=command.customer_id, trace=trace)
                detail = "an unexpected fault; nothing was applied"
                decision = Decision(state, Problem(INTERNAL, detail))
            if not has_read_ids and _is_refusal(command, decision.answer) and pending.has_ids:
                doubtful.append(pending)
                continue
            self.pendings.append(pending)
            self.answers.append(decision.answer)
            self.weight += pending.weight
            if decision.state is not state:
                self._keep(decision, pending.environment_id, when)
        return doubtful

    def _known(self, pending: Pending, loaded: Booked) -> Known:
        """Find what is booked under a command's keys: read, in the batch before, or in this one."""
        events: dict[str, BookedEvent] = {}
        transactions: dict[str, Transaction] = {}
        holds: dict[str, Hold] = {}
        transaction, hold = pending.transaction, pending.hold
        # What is newer stands last: a hold changes.
        for source in self._booked(loaded):
            if source.events:
                for key in pending.events:
                    if key in source.events:
                        events[key[0]] = source.events[key]
            if transaction is not None and transaction in source.transactions:
                transactions[transaction[0]] = source.transactions[transaction]
            for key in pending.asked:
                if key in source.holds_asked:
                    holds[key[0]] = source.holds_asked[key]
            if hold is not None and hold in source.holds:
                holds[hold[0]] = source.holds[hold]
        return (
            Known(events, transactions, holds) if events or transactions or holds else NOTHING_KNOWN
        )

    def _standing(self, key: Key, known: Known, loaded: Booked) -> Standing:
        """Find where an event stands whose outcome is reported."""
        outcome: EventOutcome | None = None
        for source in self._booked(loaded):
            outcome = source.outcomes.get(key, outcome)
        before = () if self.before is None else (self.before.rows,)
        batches = (*before, self.rows)
        return standing_in(loaded.standings, outcome, known.events.get(key[0]), batches)

    def _booked(self, loaded: Booked) -> tuple[Booked, ...]:
        if self.before is None:
            return (loaded, self.booked)
        return (loaded, self.before.booked, self.booked)

    def _keep(self, decision: Decision, environment_id: int, moment: Moment) -> None:
        customer_id = decision.state.customer_id
        self.states[customer_id] = decision.state
        head = self._find_head(customer_id)
        self.heads[customer_id] = self.rows.add(
            decision, head, environment_id, moment.now, moment.us
        )
        for (limit_id, subject), counter in decision.counters.items():
            self.counters[customer_id, limit_id, subject] = counter
        for tier_key, counted in decision.tiers.items():
            self.tiers[customer_id, *tier_key] = counted
        for event in decision.events:
            self.booked.events[event.event.id, customer_id] = event
        for event_id, outcome in decision.outcomes.items():
            self.booked.outcomes[event_id, customer_id] = outcome
        for hold in decision.holds.values():
            self.booked.holds[hold.id, customer_id] = hold
            self.booked.holds_asked[hold.transaction_id, customer_id] = hold
        transaction = decision.transaction
        if transaction is not None:
            key = (transaction.request.transaction_id, customer_id)
            self.booked.transactions[key] = transaction
