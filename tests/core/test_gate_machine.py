"""Random commands on one customer, against what must always be true of the books."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs
from tests.core.hearing import assert_heard

from faregate.core.accounts import REVENUE, Account, overdraft_held
from faregate.core.amounts import Number, plain, to_decimal
from faregate.core.chain import beginning
from faregate.core.customers import CustomerState
from faregate.core.decision import CatchUp, Command, Decision, SetLowBalance, SetOverdraft
from faregate.core.events import EventsBooked, UsageEvent
from faregate.core.gate import (
    Authorize,
    Authorized,
    ExtendHold,
    HoldView,
    SettledHold,
    VoidHold,
)
from faregate.core.grants import order_of_use
from faregate.core.hold_requests import ExtendRequest, HoldRequest
from faregate.core.limits import Limit, LimitRequest, new_limit
from faregate.core.problems import Problem
from faregate.core.rules import SetLimit
from faregate.core.timeline import advance
from faregate.core.volumes import VOLUME_ONE
from faregate.ledger.rows import (
    BatchRows,
    read_counter,
    read_customers,
    read_events,
    read_hold,
    read_tiers,
    read_transaction,
)
from faregate.store.protocol import LaneRows

from .builders import ASSETS as ALL_ASSETS
from .builders import (
    CUSTOMER,
    ONE_USD,
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
CREDITS = "default:CREDITS"
CENT = 10_000_000
ASSETS = st.sampled_from(["USD", "USD", "CREDITS"])
PRICED = st.sampled_from(["call", "llm", "sms", "gpu", "unknown"])
AMOUNTS = st.integers(0, 500).map(lambda cents: f"{cents / 100:.2f}")
POSITIVE = st.integers(1, 500).map(lambda cents: f"{cents / 100:.2f}")
LARGE = st.integers(1, 5_000).map(lambda cents: f"{cents / 100:.2f}")
SECONDS = st.sampled_from([1, 30, 60, 60, 300, 300, 300, 900, 900])
PASSING = st.sampled_from([0, 1, 1, 5, 10, 29, 30, 60, 300, 400])
LIFE = st.none() | st.sampled_from([1, 30, 60, 300, 301, 900])
PICK = st.integers(0, 10_000)

CALL = price(value(unit_price="0.35"))
FLAT = price(
    value(volume_rate="0.003", package_size="7"),
    usage_type="volume",
    event_type="llm",
    asset="CREDITS",
    id="prc_flat",
    name="Credits",
)
PACKAGE = price(
    value(unit_price="0.02", volume_rate="0.11", package_size="8", max_amount="0.6"),
    usage_type="unit_and_volume",
    event_type="sms",
    model="package",
    id="prc_package",
    name="Packages",
)
TOKENS = price(
    value(unit_price="0.1", volume_rate="0.01", package_size="3", min_amount="0.2"),
    usage_type="unit_and_volume",
    event_type="llm",
    id="prc_llm",
    name="Tokens",
)

GRADUATED = price(
    value(up_to="50", unit_price="0.01", volume_rate="0.01", min_amount="0.05"),
    value(up_to="120", unit_price="0.02", volume_rate="0.003", package_size="7"),
    value(volume_rate="0.02", unit_price="0"),
    usage_type="unit_and_volume",
    event_type="gpu",
    model="tiered",
    basis="volume",
    period="monthly",
    id="prc_graduated",
    name="Graduated",
)
BULK = price(
    value(up_to="3", volume_rate="0.01"),
    value(volume_rate="0.002"),
    usage_type="volume",
    event_type="gpu",
    model="bulk",
    basis="unit",
    id="prc_bulk",
    name="Bulk",
)


def _limit(identifier: str, amount: int, period: Any, **terms: Any) -> Limit:
    made = new_limit(
        LimitRequest(Number(amount), period, **terms), ALL_ASSETS, "UTC", identifier, T0
    )
    assert isinstance(made, Limit)
    return made


ALL_USD = _limit("all", 7, "lifetime", mode="soft", asset="USD")
OTHER_LIMITS = (
    _limit("each", 3, "hour", asset="USD", subject="*", window="rolling"),
    _limit("strict", 5, "day", asset="USD", rejects_events=True),
    _limit("ada", 60, "week", asset="CREDITS", subject="ada"),
    _limit("volume", 100, "hour", measure="volume", volume_field="volume", rejects_events=True),
    _limit("calls", 3, "hour", measure="events", event_type="call"),
    _limit("free", 50, "lifetime", mode="free", measure="volume", volume_field="volume"),
    _limit("some", 9, "hour", mode="free", measure="volume", volume_field="volume", subject="*"),
    _limit("first", 2, "hour", mode="free", measure="events", event_type="call"),
)
SUBJECTS = st.sampled_from([None, None, "ada", "bob"])


class Gate(RuleBasedStateMachine):
    """One customer's wallet under everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.had: set[str] = set()
        offers = catalog(CALL, TOKENS, FLAT, PACKAGE, GRADUATED, BULK)
        self.book = Book(structs.replace(offers, low_units={"USD": 2 * ONE_USD}))
        self.now = T0
        self.made = 0
        self.tables: dict[str, dict[Any, tuple[Any, ...]]] = {}
        self.first: list[tuple[Command, Any]] = []

    @initialize(
        amount=st.sampled_from(["0", "3", "20", "100", "100"]),
        limits=st.lists(st.sampled_from(OTHER_LIMITS), unique=True, max_size=4),
    )
    def begin(self, amount: str, limits: list[Limit]) -> None:
        for limit in (ALL_USD, *limits):
            self.send(SetLimit(CUSTOMER, limit))
        if amount != "0":
            for asset in ("USD", "CREDITS"):
                self.send(adjust(amount, self.name(), asset))

    def name(self) -> str:
        self.made += 1
        return f"id {self.made}"

    def send(self, command: Command) -> Decision:
        """Decide a command and write its rows, as a lane does; what credit brings by itself comes
        first, whatever becomes of the command."""
        due_at = self.book.state.credit_due_at
        if due_at is not None and due_at <= self.now and not isinstance(command, CatchUp):
            self.send(CatchUp(CUSTOMER))
        before = self.book.state
        decision = self.book.decide(command, self.now)
        if isinstance(decision.answer, Problem):
            assert decision.state is before
            nothing = Decision(before, decision.answer)
            assert decision == nothing
            return decision
        if not isinstance(command, CatchUp):
            self.first.append((command, decision.answer))
        rows = BatchRows(0)
        rows.add(decision, beginning(before.customer_id), 1, self.now, 0)
        self.read_back(decision, rows)
        for table, added in rows.lists().items():
            kept = self.tables.setdefault(table.replace("_uses", "s").replace("_changes", "s"), {})
            for row in added:
                key = row[:2] if table in ("grants", "grant_uses", "wallet_accounts") else row[0]
                if table in ("carries", "limit_counters"):
                    key = row[:3]
                elif table == "tier_counters":
                    key = row[:5]
                if table == "grant_uses":
                    # Of these only what remains is written.
                    assert kept[key][7] == 0
                    row = (*kept[key][:6], row[6], *kept[key][7:])
                elif table == "hold_changes":
                    assert key in kept
                kept[key] = row
        return decision

    def read_back(self, decision: Decision, rows: BatchRows) -> None:
        """What was decided is what somebody who reads its rows will see."""
        lists = rows.lists()
        holds = [read_hold(row) for row in lists["holds"] + lists["hold_changes"]]
        assert {hold.id: hold for hold in holds} == decision.holds
        events = read_events(lists["events"], lists["fees"])
        assert [(e.event, e.result) for _, e in events] == [
            (e.event, e.result) for e in decision.events
        ]
        assert {row[:3] for row in lists["limit_counters"]} == {
            (CUSTOMER, *key) for key in decision.counters
        }
        for row in lists["limit_counters"]:
            (_, *key), counter = read_counter(row)
            assert decision.counters[key[0], key[1]] == counter
        assert {row[1:5]: int(row[5]) for row in lists["tier_counters"]} == decision.tier_changes
        for row in lists["transactions"]:
            kept: Any = read_transaction(row)
            made: Any = decision.transaction
            assert (kept.id, kept.request, kept.units) == (made.id, made.request, made.units)
            if isinstance(made, SettledHold):
                assert kept.answer == made.answer

    def open_hold(self, pick: int) -> str:
        holds = [h for h in self.book.holds.values() if h.status == "authorized"]
        return holds[pick % len(holds)].id

    def any_open(self) -> bool:
        return any(h.status == "authorized" for h in self.book.holds.values())

    @rule(
        amount=LARGE,
        begins=st.sampled_from([-60, 0, 0, 0, 30, 60, 120]),
        life=LIFE,
        asset=ASSETS,
        reason=st.sampled_from(["other", "gift"]),
    )
    def credit(self, amount: str, begins: int, life: int | None, asset: str, reason: str) -> None:
        effective = self.now + timedelta(seconds=begins)
        expires = None if life is None else max(self.now, effective) + timedelta(seconds=life)
        name = self.name()
        self.send(adjust(amount, name, asset, reason, effective_at=effective, expires_at=expires))

    @rule(amount=POSITIVE, asset=ASSETS, is_debit=st.booleans())
    def spend(self, amount: str, asset: str, is_debit: bool) -> None:
        name = self.name()
        self.send(adjust(f"-{amount}", name, asset) if is_debit else charge(amount, name, asset))

    @rule(event_type=PRICED, volume=st.integers(0, 90), subject=SUBJECTS, lenient=st.booleans())
    def use(self, event_type: str, volume: int, subject: str | None, lenient: bool) -> None:
        used = structs.replace(self.used(event_type, volume), subject=subject)
        events = (event(self.name(), self.now), used, used)
        self.send(record(*events, lenient=lenient))

    def used(self, event_type: str, volume: int) -> UsageEvent:
        return event(self.name(), self.now, event_type=event_type, volume=volume)

    @rule(
        policy=st.sampled_from(["allow", "limit", "reject"]),
        limit=st.integers(0, 300),
        account=st.sampled_from([USD, USD, CREDITS]),
    )
    def policy(self, policy: Any, limit: int, account: str) -> None:
        unit = CENT if account == USD else 1
        self.send(SetOverdraft(CUSTOMER, account, policy, limit * unit))

    @rule(
        amounts=st.lists(AMOUNTS, min_size=1, max_size=3),
        asset=ASSETS,
        seconds=SECONDS,
        partial=st.booleans(),
        parent=st.none() | PICK,
        late=st.sampled_from(["charge", "reject"]),
        subject=SUBJECTS,
    )
    def ask(
        self,
        amounts: list[str],
        asset: str,
        seconds: int,
        partial: bool,
        parent: int | None,
        late: Any,
        subject: str | None,
    ) -> None:
        more: dict[str, Any] = {"expires_in_seconds": seconds, "late_capture": late}
        more["subject"] = subject
        if parent is not None and self.any_open():
            more["parent_id"] = self.open_hold(parent)
        requests = tuple(
            authorize(amount, self.name(), asset, allow_partial=partial, **more).requests[0]
            for amount in amounts
        )
        decision = self.send(Authorize(CUSTOMER, requests, is_batch=True))
        if isinstance(decision.answer, Authorized):
            for request, hold in zip(requests, decision.answer.holds, strict=True):
                self.promise_is_kept(request, hold)

    @rule(
        event_type=PRICED,
        volume=st.integers(0, 90),
        seconds=SECONDS,
        parent=st.none() | PICK,
        subject=SUBJECTS,
    )
    def ask_for_a_use(
        self, event_type: str, volume: int, seconds: int, parent: int | None, subject: str | None
    ) -> None:
        data = {"volume": volume}
        more: dict[str, Any] = {"event_type": event_type, "data": data, "subject": subject}
        if parent is not None and self.any_open():
            more["parent_id"] = self.open_hold(parent)
        asked = authorize(None, self.name(), expires_in_seconds=seconds, **more)
        decision = self.send(asked)
        if isinstance(decision.answer, Authorized):
            self.promise_is_kept(asked.requests[0], decision.answer.holds[0])

    def promise_is_kept(self, request: HoldRequest, hold: HoldView) -> None:
        """A hold is backed by credit; a decline says what would make it pass, to the unit."""
        account = self.book.state.account(hold.account_id)
        room = account.overdraft_limit_units
        if hold.status == "authorized":
            if hold.amount_units and hold.parent_id is None:
                assert hold.available_units >= -room
                self.limits_are_kept(request, hold)
            return
        assert hold.decline is not None
        lacking = hold.decline.top_up_units
        if lacking is None or request.max_amount is None:
            return
        if request.allow_partial and len(self.book.state.rules.limits) > 1:
            return  # It was for what limits had left room for.
        last = list(self.book.holds.values())[-1]
        if last.id != hold.id:
            return  # Others of the batch came after it.
        for units, status in ((lacking - 1, "declined"), (lacking, "authorized")):
            again = Book(self.book.catalog, self.book.state)
            again.counters = self.book.counters.copy()
            again.tiers = self.book.tiers.copy()
            again.ids.tick(self.now)
            scale = self.book.catalog.assets[account.asset].scale
            if units:
                more = plain(to_decimal(units, scale))
                again.do(adjust(more, "top-up", account.asset), self.now)
            whole = structs.replace(request, allow_partial=False)
            assert again.hold(Authorize(CUSTOMER, (whole,)), self.now).status == status

    def limits_are_kept(self, request: HoldRequest, hold: HoldView) -> None:
        """What was just granted has passed no hard limit."""
        accounts = self.book.state.accounts.values()
        for limit in self.book.state.rules.limits:
            if limit.mode != "hard" or limit.asset not in (None, hold.account_id.split(":")[1]):
                continue
            if not limit.matches(request.event_type, request.subject, request.data or {}):
                continue
            if limit.measure == "volume" and not (request.data or {}).get("volume"):
                continue
            key = limit.counter_key(request.subject)
            used = self.book.counters[key].used_units(limit.window_at(self.now)[0])
            held = sum(account.counted.get(key, 0) for account in accounts)
            assert used + held <= limit.amount_units, limit.id

    @precondition(any_open)
    @rule(pick=PICK, amount=AMOUNTS, final=st.booleans())
    def capture_amount(self, pick: int, amount: str, final: bool) -> None:
        hold = self.book.holds[self.open_hold(pick)]
        was = self.book.state.account(hold.account_id)
        self.send(capture(hold.id, amount, final=final, transaction_id=self.name()))
        after = self.book.state.account(hold.account_id)
        now_used = after.overdraft_units - overdraft_held(after.holds.values())
        if now_used > was.overdraft_units - overdraft_held(was.holds.values()):
            # What was set aside from grants pays first.
            left = after.holds[hold.id].parts if hold.id in after.holds else ()
            assert all(part.grant is None for part in left)

    @precondition(any_open)
    @rule(pick=PICK, event_type=PRICED, volume=st.integers(0, 90), final=st.booleans())
    def capture_events(self, pick: int, event_type: str, volume: int, final: bool) -> None:
        events = [event(self.name(), self.now), self.used(event_type, volume)]
        events += [booked.event for booked in list(self.book.events.values())[:1]]
        name = self.name()
        self.send(capture(self.open_hold(pick), None, *events, final=final, transaction_id=name))

    @precondition(any_open)
    @rule(pick=PICK, volume=st.integers(0, 90), want=AMOUNTS | st.integers(0, 90))
    def next_slice(self, pick: int, volume: int, want: str | int) -> None:
        hold = self.book.holds[self.open_hold(pick)]
        used = self.used(hold.event_type or "llm", volume)
        wanted: Any = want if isinstance(want, str) else {"volume": want}
        self.send(update(hold.id, used, want=wanted, transaction_id=self.name()))

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

    @rule(units=st.sampled_from([None, 0, 1, 5 * ONE_USD]))
    def set_threshold(self, units: int | None) -> None:
        self.send(SetLowBalance(CUSTOMER, USD, units))

    @rule(seconds=PASSING)
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.first)
    @rule(pick=PICK)
    def say_it_again(self, pick: int) -> None:
        command, answer = self.first[pick % len(self.first)]
        if isinstance(command, (VoidHold, ExtendHold, SetLowBalance, SetOverdraft)):
            return
        if isinstance(answer, EventsBooked) and any(r.problem for r in answer.results):
            return  # What was refused may be booked now.
        if pick % 2 and self.tables.get("transactions"):
            # As the database tells it, not as it was in memory.
            for row in self.tables["transactions"].values():
                self.book.transactions[row[0]] = read_transaction(row)
        self.send(CatchUp(CUSTOMER))
        before = len(self.book.transfers)
        again: Any = self.book.decide(command, self.now).answer
        assert len(self.book.transfers) == before
        if hasattr(answer, "results") and not hasattr(answer, "hold"):
            again, answer = [r.fees for r in again.results], [r.fees for r in answer.results]
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
            rules=rows.get("customer_rules", []),
        )
        state = read_customers([CUSTOMER], loaded)[CUSTOMER]
        old = self.book.state
        assert state.carries == old.carries
        assert state.rules == old.rules
        assert state.accounts.keys() == old.accounts.keys()
        for later in (0, 1, 60, 400):
            now = self.now + timedelta(seconds=later)
            self.is_same(state, old, now)
        self.book.state = structs.replace(state, subscriptions=old.subscriptions)
        for row in rows.get("limit_counters", []):
            (_, limit_id, subject), counter = read_counter(row)
            assert self.book.counters[limit_id, subject] == counter
        tiers = {
            key[1:]: counts for key, counts in read_tiers(rows.get("tier_counters", [])).items()
        }
        assert tiers == {key: counts for key, counts in self.book.tiers.items() if counts}

    def is_same(self, read: CustomerState, live: CustomerState, now: datetime) -> None:
        for identifier, account in live.accounts.items():
            one, other = advance(account, now).account, advance(read.accounts[identifier], now)
            # When it looks again is its own business.
            assert structs.replace(one, next_change_at=None) == structs.replace(
                other.account, next_change_at=None
            )

    @invariant()
    def what_was_told_is_so(self) -> None:
        assert_heard(self.book, self.had)

    @invariant()
    def books_balance(self) -> None:
        transfers = self.book.transfers
        assert all(t.units > 0 for t in transfers)
        balances = ledger(transfers)
        by_asset: Counter[str] = Counter()
        for (asset, _), units in balances.items():
            by_asset[asset] += units
        assert not any(by_asset.values())
        # All that a customer has paid for use is what the limit for everything has counted.
        charged = sum(
            -booked.units
            for booked in self.book.transactions.values()
            if booked.kind == "charge" and booked.account_id == USD
        )
        used = self.book.counters["all", ""].used_units(0)
        assert used == balances["USD", REVENUE] - charged
        by_name = Counter({name: units for (_, name), units in balances.items()})
        grants = self.tables.get("grants", {})
        for (_, grant_id), row in grants.items():
            assert 0 <= row[6] <= row[5]
            assert by_name[grant_id] == row[6], grant_id
            assert row[7] == (1 if row[6] == 0 else 0)
        held: Counter[str] = Counter()
        for hold_id, row in self.tables.get("holds", {}).items():
            assert by_name[hold_id] == row[10] >= 0, hold_id
            assert row[6] == (1 if row[5] == "authorized" else 0)
            held[row[4]] += row[10]
        for account in self.book.state.accounts.values():
            assert account.pending_out_units == held.pop(account.id, 0)
            self.account_stands(account, by_name[f"overdraft:{account.id}"])
        assert not +held

    @invariant()
    def tiers_have_counted_what_fees_say(self) -> None:
        counted: Counter[tuple[str, int, str, int]] = Counter()
        for booked in self.book.events.values():
            for fee in booked.result.fees:
                if fee.counted is not None:
                    key = (fee.price_id, fee.counted.from_us, fee.asset, fee.counted.entry)
                    assert fee.counted.before * VOLUME_ONE == counted[key]
                    counted[key] += int(fee.counted.quantity * VOLUME_ONE)
        assert counted == {
            (*key, *entry): quantity
            for key, counts in self.book.tiers.items()
            for entry, quantity in counts.items()
        }

    def account_stands(self, account: Account, overdraft: int) -> None:
        assert overdraft == -account.overdraft_units <= 0
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
        counted: Counter[tuple[str, str]] = Counter()
        for hold in account.holds.values():
            for count in hold.counts:
                counted[count.key] += hold.held_units if count.units is None else count.units
        assert +counted == account.counted
        for hold in account.holds.values():
            if hold.parent_id is not None:
                parent = account.holds[hold.parent_id]
                assert hold.expires_at <= parent.expires_at
                assert hold.depth == parent.depth + 1
                assert hold.captured_units <= parent.captured_units
            parts = [part.grant for part in hold.parts]
            assert all(part.units > 0 for part in hold.parts)
            assert None not in parts[:-1]
            order = [order_of_use(grant) for grant in parts if grant is not None]
            assert order == sorted(order)

    def teardown(self) -> None:
        for hold in list(self.book.holds.values()):
            if self.book.holds[hold.id].status == "authorized":
                self.send(VoidHold(CUSTOMER, hold.id))
        self.books_balance()
        assert not any(a.pending_out_units for a in self.book.state.accounts.values())
        assert not any(hold.held_units for hold in self.book.holds.values())
        assert not any(account.counted for account in self.book.state.accounts.values())


TestGate = Gate.TestCase
TestGate.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
