"""Random commands on one customer, against what must always be true of the books."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from faregate.core.accounts import overdraft_held
from faregate.core.decide import Command, Decision, SetOverdraft
from faregate.core.gate import Authorized, ExtendHold, VoidHold
from faregate.core.hold_requests import ExtendRequest
from faregate.core.problems import Problem
from faregate.ledger.rows import BatchRows, read_customers
from faregate.store.protocol import LaneRows

from .builders import (
    CUSTOMER,
    T0,
    Book,
    adjust,
    authorize,
    capture,
    catalog,
    charge,
    event,
    ledger,
    price,
    record,
    update,
    value,
)

USD = "default:USD"
CENT = 10_000_000
AMOUNTS = st.integers(0, 500).map(lambda cents: f"{cents / 100:.2f}")
POSITIVE = st.integers(1, 500).map(lambda cents: f"{cents / 100:.2f}")
SECONDS = st.integers(1, 300)
PICK = st.integers(0, 10_000)

CALL = price(value(unit_price="0.35"))
TOKENS = price(
    value(unit_price="0.1", volume_rate="0.01", package_size="3", min_amount="0.2"),
    usage_type="unit_and_volume",
    event_type="llm",
    id="prc_llm",
    name="Tokens",
)


class Gate(RuleBasedStateMachine):
    """One customer's wallet under everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book(catalog(CALL, TOKENS))
        self.now = T0
        self.made = 0
        self.tables: dict[str, dict[Any, tuple[Any, ...]]] = {}
        self.first: list[tuple[Command, Any]] = []

    def name(self) -> str:
        self.made += 1
        return f"id {self.made}"

    def send(self, command: Command) -> Decision:
        """Decide a command and write its rows, as a lane does."""
        before = self.book.state
        decision = self.book.decide(command, self.now)
        if isinstance(decision.answer, Problem):
            assert decision.state is before
            changed = (decision.transfers, decision.holds, decision.grants)
            assert not any(changed)
            return decision
        self.first.append((command, decision.answer))
        rows = BatchRows(0)
        rows.add(decision, 1, self.now, 0)
        for table, added in rows.lists().items():
            kept = self.tables.setdefault(table.replace("_uses", "s").replace("_changes", "s"), {})
            for row in added:
                key = row[:2] if table in ("grants", "grant_uses", "wallet_accounts") else row[0]
                if table == "carries":
                    key = row[:3]
                if table == "grant_uses":
                    # Of these only what remains is written.
                    assert kept[key][7] == 0
                    row = (*kept[key][:6], row[6], *kept[key][7:])
                elif table == "hold_changes":
                    assert key in kept
                kept[key] = row
        return decision

    def open_hold(self, pick: int) -> str:
        holds = [h for h in self.book.holds.values() if h.status == "authorized"]
        return holds[pick % len(holds)].id

    def any_open(self) -> bool:
        return any(h.status == "authorized" for h in self.book.holds.values())

    @rule(amount=POSITIVE, begins=st.integers(-60, 120), life=st.none() | st.integers(1, 400))
    def credit(self, amount: str, begins: int, life: int | None) -> None:
        effective = self.now + timedelta(seconds=begins)
        expires = None if life is None else max(self.now, effective) + timedelta(seconds=life)
        self.send(adjust(amount, self.name(), effective_at=effective, expires_at=expires))

    @rule(amount=POSITIVE)
    def debit(self, amount: str) -> None:
        self.send(adjust(f"-{amount}", self.name()))

    @rule(amount=POSITIVE)
    def ad_hoc(self, amount: str) -> None:
        self.send(charge(amount, self.name()))

    @rule(volume=st.integers(0, 90))
    def use(self, volume: int) -> None:
        self.send(record(event(self.name(), self.now), self.llm(volume)))

    def llm(self, volume: int) -> Any:
        return event(self.name(), self.now, event_type="llm", volume=volume)

    @rule(policy=st.sampled_from(["allow", "limit", "reject"]), limit=st.integers(0, 300))
    def policy(self, policy: Any, limit: int) -> None:
        self.send(SetOverdraft(CUSTOMER, USD, policy, limit * CENT))

    @rule(
        amount=AMOUNTS,
        seconds=SECONDS,
        partial=st.booleans(),
        parent=st.none() | PICK,
        late=st.sampled_from(["charge", "reject"]),
    )
    def ask(self, amount: str, seconds: int, partial: bool, parent: int | None, late: Any) -> None:
        more: dict[str, Any] = {"expires_in_seconds": seconds, "late_capture": late}
        if parent is not None and self.any_open():
            more["parent_id"] = self.open_hold(parent)
        there = max(0, self.book.available())
        decision = self.send(authorize(amount, self.name(), allow_partial=partial, **more))
        if isinstance(decision.answer, Authorized) and "parent_id" not in more:
            limit = self.book.state.account(USD).overdraft_limit_units
            assert decision.answer.holds[0].amount_units <= there + limit + self.change()

    def change(self) -> int:
        """What the passing of time may have added meanwhile: all that was waiting."""
        return sum(t.units for t in self.book.transfers)

    @rule(volume=st.integers(0, 90), seconds=SECONDS)
    def ask_for_a_use(self, volume: int, seconds: int) -> None:
        more: dict[str, Any] = {"event_type": "llm", "data": {"volume": volume}}
        self.send(authorize(None, self.name(), expires_in_seconds=seconds, **more))

    @precondition(any_open)
    @rule(pick=PICK, amount=AMOUNTS, final=st.booleans())
    def capture_amount(self, pick: int, amount: str, final: bool) -> None:
        self.send(capture(self.open_hold(pick), amount, final=final, transaction_id=self.name()))

    @precondition(any_open)
    @rule(pick=PICK, volume=st.integers(0, 90), final=st.booleans())
    def capture_events(self, pick: int, volume: int, final: bool) -> None:
        events = (event(self.name(), self.now), self.llm(volume))
        name = self.name()
        self.send(capture(self.open_hold(pick), None, *events, final=final, transaction_id=name))

    @precondition(any_open)
    @rule(pick=PICK, volume=st.integers(0, 90), want=AMOUNTS)
    def next_slice(self, pick: int, volume: int, want: str) -> None:
        used = self.llm(volume)
        self.send(update(self.open_hold(pick), used, want=want, transaction_id=self.name()))

    @precondition(lambda self: self.book.holds)
    @rule(pick=PICK, what=st.sampled_from(["void", "extend", "capture", "update"]))
    def touch_any(self, pick: int, what: str) -> None:
        holds = list(self.book.holds)
        hold_id = holds[pick % len(holds)]
        commands: dict[str, Command] = {
            "void": VoidHold(CUSTOMER, hold_id),
            "extend": ExtendHold(CUSTOMER, hold_id, ExtendRequest(60)),
            "capture": capture(hold_id, "0.5", transaction_id=self.name()),
            "update": update(hold_id, used="0.1", want="1", transaction_id=self.name()),
        }
        self.send(commands[what])

    @rule(seconds=st.integers(0, 400))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.first)
    @rule(pick=PICK)
    def say_it_again(self, pick: int) -> None:
        command, answer = self.first[pick % len(self.first)]
        if isinstance(command, (VoidHold, ExtendHold, SetOverdraft)):
            return
        before = len(self.book.transfers)
        again = self.book.decide(command, self.now).answer
        assert len(self.book.transfers) == before
        if hasattr(answer, "results") and not hasattr(answer, "hold"):
            again, answer = [r.fees for r in again.results], [r.fees for r in answer.results]  # type: ignore[union-attr]
        assert again == answer

    @rule()
    def forget_and_read_again(self) -> None:
        """A restart: the state is what the rows say."""
        rows = {table: list(kept.values()) for table, kept in self.tables.items()}
        loaded = LaneRows(
            grants=[row for row in rows.get("grants", []) if row[7] == 0],
            accounts=rows.get("wallet_accounts", []),
            carries=rows.get("carries", []),
            open_holds=[row for row in rows.get("holds", []) if row[6] == 1],
        )
        state = read_customers([CUSTOMER], loaded)[CUSTOMER]
        old = self.book.state
        self.book.state = type(old)(CUSTOMER, old.subscriptions, state.accounts, state.carries)

    @invariant()
    def books_balance(self) -> None:
        transfers = self.book.transfers
        assert all(t.units > 0 for t in transfers)
        balances = ledger(transfers)
        assert sum(balances.values()) == 0
        by_name = Counter({name: units for (_, name), units in balances.items()})
        grants = self.tables.get("grants", {})
        for (_, grant_id), row in grants.items():
            assert 0 <= row[6] <= row[5]
            assert by_name[grant_id] == row[6], grant_id
            assert row[7] == (1 if row[6] == 0 else 0)
        held = 0
        for hold_id, row in self.tables.get("holds", {}).items():
            assert by_name[hold_id] == row[10] >= 0, hold_id
            assert row[6] == (1 if row[5] == "authorized" else 0)
            held += row[10]
        account = self.book.state.account(USD)
        assert account.pending_out_units == held
        assert by_name[f"overdraft:{USD}"] == -account.overdraft_units <= 0
        used = account.overdraft_units - overdraft_held(account.holds.values())
        assert used >= 0
        if used:
            assert not account.grants
        in_force = sum(grant.remaining_units for grant in account.grants)
        assert account.available_units == in_force - account.overdraft_units
        instants = [h.expires_at for h in account.holds.values()]
        instants += [g.expires_at for g in account.grants if g.expires_at is not None]
        if instants:
            # The account may look for a change too early, but never too late.
            assert account.next_change_at is not None
            assert account.next_change_at <= min(instants)

    def teardown(self) -> None:
        for hold in list(self.book.holds.values()):
            if self.book.holds[hold.id].status == "authorized":
                self.send(VoidHold(CUSTOMER, hold.id))
        self.books_balance()
        assert self.book.pending_out() == 0


TestGate = Gate.TestCase
TestGate.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
