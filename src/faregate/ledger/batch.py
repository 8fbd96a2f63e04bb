"""A batch while it is decided: commands, what each is answered, and the rows that one transaction
will write. It stands on the batch before it, whose commit may still be on its way to the disk:
what that one decided is taken for true here, and if it turns out not to be, this one is dropped
and its commands are decided again. Nobody has been answered meanwhile.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import structlog

from faregate.core.customers import CustomerState
from faregate.core.decide import NOTHING_KNOWN, Answer, Command, Decision, Known, decide
from faregate.core.events import BookedEvent, RecordEvents
from faregate.core.ids import IdSource
from faregate.core.problems import INTERNAL, Problem
from faregate.core.subscriptions import CatalogView
from faregate.core.transactions import Adjust, BookedTransaction, Charge
from faregate.ledger import rows
from faregate.ledger.memory import EventKey, Memory
from faregate.store.protocol import Pair, Store

log = structlog.get_logger(__name__)


class Pending:
    """A command that waits for its answer."""

    __slots__ = ("command", "environment_id", "future", "keys", "weight")

    def __init__(
        self, command: Command, environment_id: int, future: asyncio.Future[Answer], weight: int
    ) -> None:
        self.command = command
        self.environment_id = environment_id
        self.future = future
        self.weight = weight
        self.keys: list[EventKey] = (
            [(event.id, command.customer_id) for event in command.events]
            if type(command) is RecordEvents
            else []
        )


class Booked(msgspec.Struct):
    """Events and transactions that are booked, by (their id or transaction id, customer)."""

    events: dict[EventKey, BookedEvent] = {}
    transactions: dict[Pair, BookedTransaction] = {}


class Moment(msgspec.Struct, frozen=True):
    """When commands are decided (`us`: microseconds since 1970), and with which catalogs."""

    now: datetime
    us: int
    catalogs: Mapping[int, CatalogView]


class Batch:
    """What the commands so far have come to. `before` is the batch whose commit is on its way."""

    __slots__ = (
        "_memory",
        "answers",
        "before",
        "booked",
        "catalog_epoch",
        "pendings",
        "rows",
        "states",
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

    async def load(
        self, store: Store, lane: int, pendings: Sequence[Pending], *, reads_ids: bool
    ) -> Booked:
        """Read the states that are not in memory, and what is booked under the commands' keys.

        Of events only those are looked up that may be booked: all if `reads_ids`, else those that
        the lane remembers.
        """
        missing: dict[str, None] = {}
        events: dict[EventKey, None] = {}
        transactions: dict[Pair, None] = {}
        is_recent = self._memory.is_recent
        for pending in pendings:
            command = pending.command
            customer_id = command.customer_id
            if self._find_state(customer_id) is None:
                missing[customer_id] = None
            for key in pending.keys:
                if reads_ids or is_recent(key):
                    events[key] = None
            if isinstance(command, (Adjust, Charge)):
                transactions[command.request.transaction_id, customer_id] = None
        if not (missing or events or transactions):
            return Booked()
        customers = list(missing)
        loaded = await store.load(lane, customers, list(events), list(transactions), for_lane=True)
        self._memory.states.update(rows.read_customers(customers, loaded))
        return Booked(
            {
                (booked.event.id, customer_id): booked
                for customer_id, booked in rows.read_events(loaded.events, loaded.fees)
            },
            {(row[0], row[1]): rows.read_transaction(row) for row in loaded.transactions},
        )

    def decide(
        self, pendings: Sequence[Pending], loaded: Booked, moment: Moment, ids: IdSource
    ) -> None:
        """Decide commands, each on the state that the one before has left."""
        for pending in pendings:
            command = pending.command
            state = self._find_state(command.customer_id)
            if state is None:
                raise AssertionError(f"the state of {command.customer_id} was not loaded")
            known = self._known(pending, loaded)
            catalog = moment.catalogs[pending.environment_id]
            try:
                decision = decide(state, known, command, catalog, moment.now, ids)
            except Exception:
                # A fault of ours must not take the neighbours with it: nothing of it is kept.
                trace = traceback.format_exc()
                log.error("command failed", customer=command.customer_id, trace=trace)
                detail = "an unexpected fault; nothing was applied"
                decision = Decision(state, Problem(INTERNAL, detail))
            self.pendings.append(pending)
            self.answers.append(decision.answer)
            self.weight += pending.weight
            if decision.state is not state:
                self._keep(decision, pending.environment_id, moment)

    def _known(self, pending: Pending, loaded: Booked) -> Known:
        """Find what is booked under a command's keys: read, in the batch before, or in this one."""
        command = pending.command
        if isinstance(command, (Adjust, Charge)):
            identifier = command.request.transaction_id
            key = (identifier, command.customer_id)
            for booked in self._booked(loaded):
                if key in booked.transactions:
                    return Known(transactions={identifier: booked.transactions[key]})
            return NOTHING_KNOWN
        events: dict[str, BookedEvent] = {}
        for source in self._booked(loaded):
            if source.events:
                for key in pending.keys:
                    if key in source.events:
                        events[key[0]] = source.events[key]
        return Known(events) if events else NOTHING_KNOWN

    def _booked(self, loaded: Booked) -> tuple[Booked, ...]:
        if self.before is None:
            return (loaded, self.booked)
        return (loaded, self.before.booked, self.booked)

    def _keep(self, decision: Decision, environment_id: int, moment: Moment) -> None:
        customer_id = decision.state.customer_id
        self.states[customer_id] = decision.state
        self.rows.add(decision, environment_id, moment.now, moment.us)
        for event in decision.events:
            self.booked.events[event.event.id, customer_id] = event
        transaction = decision.transaction
        if transaction is not None:
            key = (transaction.request.transaction_id, customer_id)
            self.booked.transactions[key] = transaction
