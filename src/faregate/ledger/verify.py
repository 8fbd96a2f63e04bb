"""Proof that the books balance. Everything that is kept beside the transfers is computed again from
them and compared: what is left of each grant, each overdraft, what each hold has set aside, what
each fee and transaction moved and in which account (in another asset: also at which rate; a fee
that was given back: nothing), what each event says that it cost and what it costs by its outcome,
what tiers have counted, whom a product lists as its subscribers, where payments stand, and the sums
that pages read. Rows of
costs are compared with the events that they are of. That the transfers themselves were not edited
is proved by their chains (`chains`), and by heads that were kept elsewhere (`heads`).

It reads one snapshot, so it may run while the server works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from faregate.core.amounts import AmountError, scaled
from faregate.core.codec import decode
from faregate.core.costs import read_costs
from faregate.core.instants import from_us
from faregate.core.outcomes import EventOutcome
from faregate.core.tiers import TierCount
from faregate.core.volumes import VOLUME_DECIMALS
from faregate.ledger.chains import (
    MAX_BREAKS,
    TRANSFER,
    Break,
    ChainCheck,
    find_strays,
    read_lanes,
)
from faregate.ledger.heads import HeadSum, KeptHead, LedgerHead
from faregate.ledger.paid_fees import PaidFee, Scales, read_carried, read_rate, read_scales
from faregate.ledger.payment_check import wrong_payments
from faregate.ledger.rows import EVENT_OF_COSTS, KeptHold, cost_rows
from faregate.ledger.subscriber_check import wrong_subscribers
from faregate.ledger.sum_check import wrong_sums
from faregate.ledger.sum_reading import SLICE
from faregate.store import schema
from faregate.store.protocol import Queries, Row, Rows, Store
from faregate.store.schema import first_seq

CHUNK: Final = 50_000
"""Rows that are read at a time, and gone through, where nobody waits."""
MIN_SEQ: Final = -(2**63)
MAX_SEQ: Final = 2**63 - 1
MAX_DIFFERENCES: Final = 100
_OVERDRAFT: Final = "overdraft:"
_COST_UNITS: Final = [name for name, _ in schema.COSTS.columns].index("units")


class Difference(msgspec.Struct, frozen=True):
    """Something that does not add up: what, whose, and both numbers in units."""

    kind: str
    customer_id: str
    name: str
    stored_units: int
    computed_units: int


class Report(msgspec.Struct):
    """What was looked at, the first differences and breaks, and what stands for it all (`head`).

    `kept` says of each head that was given whether the ledger still begins with it.
    """

    head: LedgerHead

    transfers: int = 0
    grants: int = 0
    accounts: int = 0
    fees: int = 0
    events: int = 0
    transactions: int = 0
    holds: int = 0
    outcomes: int = 0
    chains: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list)
    breaks: list[Break] = msgspec.field(default_factory=list)
    kept: list[KeptHead] = msgspec.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Tell whether everything adds up, and begins with every head that was given."""
        is_kept = all(kept.is_kept for kept in self.kept)
        return is_kept and not (self.differences or self.breaks)

    def differ(
        self, kind: str, customer_id: str, name: str, stored_units: int, computed_units: int
    ) -> None:
        """Note a difference, if there is room."""
        if len(self.differences) < MAX_DIFFERENCES:
            difference = Difference(kind, customer_id, name, stored_units, computed_units)
            self.differences.append(difference)


Progress = Callable[[int, int], None]
"""Called with the rows looked at so far and the rows in all."""


def no_progress(_done: int, _total: int) -> None:
    """Let nobody watch."""


class _Resting:
    """Queries before each of which others have their turn."""

    def __init__(self, queries: Queries, rest: Callable[[], Awaitable[None]]) -> None:
        self._queries = queries
        self._rest = rest

    async def fetch(self, sql: str, *parameters: Any) -> Rows:
        """Rest, then return all rows."""
        await self._rest()
        return await self._queries.fetch(sql, *parameters)


async def verify(
    store: Store,
    at: datetime,
    progress: Progress = no_progress,
    heads: Sequence[LedgerHead] = (),
    *,
    at_once: int = CHUNK,
    rest: Callable[[], Awaitable[None]] | None = None,
) -> Report:
    """Check the whole ledger, lane by lane, as of now (`at`), also against `heads` of earlier.

    Where others must not wait for it: so many rows `at_once`, and a `rest` before each read.
    """
    async with store.snapshot() as taken:
        snapshot: Queries = taken if rest is None else _Resting(taken, rest)
        lanes = await read_lanes(snapshot)
        given_out = {state.lane: state.last_seq for state in lanes}
        present, *earlier = sums = [
            HeadSum(given_out),
            *(HeadSum(head.last_seqs) for head in heads),
        ]
        report = Report(present.total(at))
        # Two walks: over the transfers, over the events.
        total = 2 * sum(state.last_seq - first_seq(state.lane) for state in lanes)
        done = 0
        for state in lanes:
            chains = ChainCheck(snapshot, state, sums)
            await chains.begin()
            check = _LaneCheck(snapshot, state.lane, state.last_seq, report, chains, at_once)
            await check.run(partial(_pass_on, progress, done, total))
            await chains.finish()
            async for wrong in wrong_sums(store, snapshot, state.lane, min(at_once, SLICE)):
                report.differ(*wrong)
            report.breaks += chains.breaks
            report.chains += chains.chains
            done += 2 * (state.last_seq - first_seq(state.lane))
        report.breaks += await find_strays(snapshot)
    del report.breaks[MAX_BREAKS:]
    report.head = present.total(at)
    report.kept = [
        whole.compare(head, given_out) for head, whole in zip(heads, earlier, strict=True)
    ]
    return report


def _pass_on(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


class _LaneCheck:
    """The check of one lane.

    `balances` has what transfers leave in each ledger account, by (customer, ledger account,
    asset); `moved` what each reference moved, by (customer, reference, wallet account), positive
    where the wallet gained; `counted` what fees counted in tiers. `outcomes` says which of the fees
    of an event, by (customer, event), it costs now.
    """

    def __init__(
        self,
        queries: Queries,
        lane: int,
        last_seq: int,
        report: Report,
        chains: ChainCheck,
        at_once: int,
    ) -> None:
        self._at_once = at_once
        self._queries = queries
        self._lane = lane
        self._last_seq = last_seq
        self._report = report
        self._chains = chains
        self._wallet_account: dict[str, str] = {}
        self._balances: dict[tuple[str, str, str], int] = defaultdict(int)
        self._moved: dict[tuple[str, str, str], int] = defaultdict(int)
        self._counted: dict[tuple[str, str, int, str, int], int] = defaultdict(int)
        self._outcomes: dict[tuple[str, str], dict[str, int]] = {}
        self._paid: dict[tuple[str, str], list[PaidFee]] = defaultdict(list)
        self._scales: Scales = {}

    async def run(self, progress: Callable[[int], None]) -> None:
        async for row in self._pages("grants", "customer_id", "grant_id", "account_id"):
            self._wallet_account[row[1]] = row[2]
        async for row in self._pages("holds", "hold_id", "customer_id", "account_id"):
            self._wallet_account[row[0]] = row[2]
        count = self._last_seq - first_seq(self._lane)
        async for start, end in self._ranges():
            await self._add_transfers(start, end)
            progress(min(end, self._last_seq) - first_seq(self._lane))
        await self._check_grants()
        await self._check_overdrafts()
        await self._check_holds()
        await self._check_outcomes()
        await self._check_fees(lambda done: progress(count + done))
        await self._check_tiers()
        await self._check_transactions()
        async for wrong in wrong_subscribers(self._queries, self._lane):
            self._report.differ(*wrong)
        async for wrong in wrong_payments(self._queries, self._lane):
            self._report.differ(*wrong)
        for (customer_id, reference, _), units in self._moved.items():
            self._report.differ("transfers without a cause", customer_id, reference, 0, units)

    async def _ranges(self) -> AsyncIterator[tuple[int, int]]:
        """Cut the lane's numbers into pieces; the first and the last are open, for what must not
        be there."""
        first = first_seq(self._lane)
        for start in range(first, max(self._last_seq, first + 1), self._at_once):
            end = start + self._at_once
            yield start if start > first else MIN_SEQ, end if end < self._last_seq else MAX_SEQ

    def _wallet_account_of(self, ledger_account: str) -> str | None:
        """Return the wallet's account that a ledger account belongs to; None: the operator's."""
        if ledger_account.startswith(("grt_", "hld_")):
            return self._wallet_account.get(ledger_account, "")
        if ledger_account.startswith(_OVERDRAFT):
            return ledger_account.removeprefix(_OVERDRAFT)
        return None

    async def _add_transfers(self, start: int, end: int) -> None:
        rows = await self._queries.fetch(
            f"SELECT {TRANSFER} FROM transfers "
            "WHERE lane = $1 AND seq > $2 AND seq <= $3 ORDER BY seq",
            self._lane,
            start,
            end,
        )
        await self._chains.follow(start, end, rows)
        report, balances, moved = self._report, self._balances, self._moved
        first = first_seq(self._lane)
        for seq, customer_id, asset, source, target, units, reference, _, _ in rows:
            report.transfers += 1
            if type(units) is not int:
                continue  # SQLite keeps what it is given. The chain has named it.
            balances[customer_id, source, asset] -= units
            balances[customer_id, target, asset] += units
            if not first < seq <= self._last_seq or units <= 0:
                report.differ("transfer out of bounds", customer_id, reference, units, 0)
            if reference.startswith("grt_"):
                continue  # A grant began or expired: nothing that somebody asked for.
            gives, takes = self._wallet_account_of(source), self._wallet_account_of(target)
            for account, gained in ((gives, -units), (takes, units)):
                if account is not None and gives != takes:
                    moved[customer_id, reference, account] += gained

    async def _check_grants(self) -> None:
        columns = "account_id, amount_units, remaining_units, is_used_up"
        stored: set[tuple[str, str]] = set()
        async for row in self._pages("grants", "customer_id", "grant_id", columns):
            customer_id, grant_id, account_id, amount, remaining, is_used_up = row
            self._report.grants += 1
            computed = self._balances.pop((customer_id, grant_id, _asset_of(account_id)), 0)
            if computed != remaining:
                self._report.differ("grant", customer_id, grant_id, remaining, computed)
            if not 0 <= remaining <= amount or is_used_up != (remaining == 0):
                self._report.differ("grant out of bounds", customer_id, grant_id, remaining, amount)
            if remaining:
                stored.add((customer_id, account_id))
        async for row in self._pages("wallet_accounts", "customer_id", "account_id", "lane"):
            stored.discard((row[0], row[1]))
        for customer_id, account_id in stored:
            self._report.differ("account without a row", customer_id, account_id, 0, 0)
        self._check_left_over("grt_", "grant without a row", 1)

    async def _check_overdrafts(self) -> None:
        columns = "overdraft_units"
        async for row in self._pages("wallet_accounts", "customer_id", "account_id", columns):
            customer_id, account_id, overdraft = row
            self._report.accounts += 1
            key = (customer_id, f"{_OVERDRAFT}{account_id}", _asset_of(account_id))
            computed = -self._balances.pop(key, 0)
            if computed != overdraft:
                self._report.differ("overdraft", customer_id, account_id, overdraft, computed)
        self._check_left_over(_OVERDRAFT, "overdraft without a row", -1)

    async def _check_holds(self) -> None:
        columns = "account_id, status, is_open, amount_units, captured_units, held_units, hold"
        async for row in self._pages("holds", "hold_id", "customer_id", columns):
            hold_id, customer_id, account_id, status, is_open, amount, captured, held, text = row
            self._report.holds += 1
            computed = self._balances.pop((customer_id, hold_id, _asset_of(account_id)), 0)
            if computed != held:
                self._report.differ("hold", customer_id, hold_id, held, computed)
            kept = decode(KeptHold, text)
            kept_units = sum(part.units for part in kept.parts)
            stands = (kept.status, kept.amount_units, kept.captured_units, kept_units) == (
                status,
                amount,
                captured,
                held,
            )
            is_right = is_open == (status == "authorized") and (is_open or not held)
            if not (stands and is_right and 0 <= held <= amount and captured >= 0):
                self._report.differ("hold out of bounds", customer_id, hold_id, held, amount)
        self._check_left_over("hld_", "hold without a row", 1)

    def _check_left_over(self, prefix: str, kind: str, sign: int) -> None:
        for (customer_id, name, _), computed in self._balances.items():
            if name.startswith(prefix):
                self._report.differ(kind, customer_id, name, 0, sign * computed)

    async def _check_outcomes(self) -> None:
        """Look at how events stand whose outcome was reported, and remember their fees."""
        columns = "outcome, fee_count, fee_units, fee_asset, standing"
        async for row in self._pages("outcomes", "customer_id", "event_id", columns):
            customer_id, event_id, outcome, count, units, asset, text = row
            self._report.outcomes += 1
            stands = decode(EventOutcome, text)
            fees = [one.fee for one in stands.fees]
            first = fees[0].asset if fees else None
            computed = sum(fee.units for fee in fees if fee.asset == first)
            paid = [sum(p.units for p in one.payments) for one in stands.fees if one.payments]
            owed = [one.fee.debited_units for one in stands.fees if one.payments]
            is_right = (
                (stands.outcome, len(fees), first, computed) == (outcome, count, asset, units)
                and paid == owed
                and not (fees and outcome == "withdrawn")
            )
            if not is_right:
                self._report.differ("outcome", customer_id, event_id, units, computed)
            self._outcomes[customer_id, event_id] = {fee.id: fee.debited_units for fee in fees}

    async def _check_fees(self, progress: Callable[[int], None]) -> None:
        """Compare fees with what they moved, then events with their fees."""
        by_event: dict[tuple[str, str], list[tuple[str, str, int]]] = defaultdict(list)
        self._scales = await read_scales(self._queries)
        columns = "event_id, asset, account_id, units, price_id, counted, paid_units, exchange_rate"
        columns += ", reduced"
        async for row in self._pages("fees", "fee_id", "customer_id", columns):
            fee_id, customer_id, event_id, asset, account_id, units, price_id, *more = row
            counted, paid, rate = more[0], more[1], read_rate(more[2])
            self._report.fees += 1
            standing = self._outcomes.get((customer_id, event_id))
            is_given_back = standing is not None and fee_id not in standing
            if counted is not None and not is_given_back:
                tier = decode(TierCount, counted)
                key = (customer_id, price_id, tier.from_us, asset, tier.entry)
                self._counted[key] += scaled(tier.quantity, VOLUME_DECIMALS) or 0
            by_event[customer_id, event_id].append((fee_id, asset, units))
            computed = -self._moved.pop((customer_id, fee_id, account_id), 0)
            debited = units if paid is None else paid
            owed = debited if standing is None else standing.pop(fee_id, 0)
            expected = 0 if is_given_back else debited
            is_known = is_given_back or owed == debited
            is_right = paid is not None or asset == _asset_of(account_id)
            is_right = is_right and (paid is None) == (rate is None)
            if computed != expected or not (
                is_known and is_right and (paid is None) == (rate is None)
            ):
                self._report.differ("fee", customer_id, fee_id, expected, computed)
            if paid is not None and rate is not None:
                carried = read_carried(more[3])
                found = PaidFee(fee_id, asset, units, _asset_of(account_id), paid, rate, carried)
                self._paid[customer_id, event_id].append(found)
        for (customer_id, event_id), standing in self._outcomes.items():
            for fee_id, units in standing.items():
                name = f"{fee_id} of {event_id}"
                self._report.differ("outcome without its fee", customer_id, name, units, 0)
        async for start, end in self._ranges():
            await self._check_events(start, end, by_event)
            progress(min(end, self._last_seq) - first_seq(self._lane))
        for customer_id, event_id in self._outcomes:
            self._report.differ("outcome without an event", customer_id, event_id, 0, 0)
        for (customer_id, event_id), fees in by_event.items():
            units = sum(fee[2] for fee in fees)
            self._report.differ("fees without an event", customer_id, event_id, 0, units)

    async def _check_events(
        self, start: int, end: int, by_event: dict[tuple[str, str], list[tuple[str, str, int]]]
    ) -> None:
        rows = await self._queries.fetch(
            "SELECT seq, event_id, customer_id, first_fee_id, fee_count, fee_units, fee_asset, "
            "environment_id FROM events WHERE lane = $1 AND seq > $2 AND seq <= $3",
            self._lane,
            start,
            end,
        )
        await self._check_costs(start, end)
        for seq, event_id, customer_id, first_fee_id, count, units, asset, environment in rows:
            self._report.events += 1
            for paid in self._paid.pop((customer_id, event_id), ()):
                expected = paid.expected_units(self._scales, environment)
                if expected is not None:
                    self._report.differ(
                        "fee at its rate", customer_id, paid.id, paid.paid_units, expected
                    )
            fees = by_event.pop((customer_id, event_id), [])
            if self._outcomes.pop((customer_id, event_id), None) is not None:
                # The others were charged later, by its outcome. Ids of one event follow each other.
                place = next((n for n, fee in enumerate(fees) if fee[0] == first_fee_id), 0)
                fees = fees[place : place + count]
            first = (fees[0][0], fees[0][1]) if fees else (None, None)
            computed = sum(fee[2] for fee in fees if fee[1] == first[1])
            stands = (len(fees), computed, first) == (count, units, (first_fee_id, asset))
            if not stands or seq > self._last_seq:
                self._report.differ("event", customer_id, event_id, units, computed)

    async def _check_costs(self, start: int, end: int) -> None:
        """Compare the costs that events were sent with, or got, with their rows."""
        stored = await self._queries.fetch(
            f"SELECT {schema.names(schema.COSTS)} FROM costs "
            "WHERE lane = $1 AND seq > $2 AND seq <= $3 ORDER BY seq, number",
            self._lane,
            start,
            end,
        )
        events = await self._queries.fetch(
            f"SELECT {EVENT_OF_COSTS}, costs FROM events "
            "WHERE lane = $1 AND seq > $2 AND seq <= $3 AND costs IS NOT NULL",
            self._lane,
            start,
            end,
        )
        by_seq: dict[int, list[Row]] = defaultdict(list)
        for row in stored:
            by_seq[row[0]].append(tuple(row))
        for *event, text in events:
            event_id, customer_id, seq, *_ = event
            found = by_seq.pop(seq, [])
            try:
                sent = cost_rows(event, read_costs(text)[0] or ())
            except (AmountError, msgspec.DecodeError):
                self._differ_in_costs(customer_id, event_id, found, [])
                continue
            if found != sent:
                self._differ_in_costs(customer_id, event_id, found, sent)
        for found in by_seq.values():
            self._differ_in_costs(found[0][2], found[0][3], found, [])

    def _differ_in_costs(
        self, customer_id: str, event_id: str, found: Sequence[Row], sent: Sequence[Row]
    ) -> None:
        units = [sum(row[_COST_UNITS] for row in rows) for rows in (found, sent)]
        self._report.differ("costs", customer_id, event_id, *units)

    async def _check_tiers(self) -> None:
        """Compare what tiers have counted with what the fees say that they counted."""
        last: tuple[str, str, int, str, int] = ("", "", -1, "", -1)
        key = "customer_id, price_id, from_us, asset, entry"
        while True:
            rows = await self._queries.fetch(
                f"SELECT {key}, quantity FROM tier_counters WHERE lane = $1 "
                f"AND ({key}) > ($2, $3, $4, $5, $6) ORDER BY {key} LIMIT {self._at_once}",
                self._lane,
                *last,
            )
            for *names, quantity in rows:
                last = (names[0], names[1], names[2], names[3], names[4])
                computed = self._counted.pop(last, 0)
                if str(computed) != quantity:
                    kept = int(quantity) if quantity.isdecimal() else 0
                    self._differ_in_tiers(last, kept, computed)
            if len(rows) < self._at_once:
                break
        for left, computed in self._counted.items():
            self._differ_in_tiers(left, 0, computed)

    def _differ_in_tiers(
        self, key: tuple[str, str, int, str, int], kept: int, computed: int
    ) -> None:
        customer_id, price_id, since, asset, entry = key
        name = f"{price_id} in {asset}, entry {entry}, since {from_us(since).isoformat()}"
        self._report.differ("tier counter", customer_id, name, kept, computed)

    async def _check_transactions(self) -> None:
        """Compare adjustments and charges (signed: what the account gained) with what moved."""
        columns = "id, account_id, units"
        async for row in self._pages("transactions", "transaction_id", "customer_id", columns):
            _, customer_id, identifier, account_id, units = row
            self._report.transactions += 1
            computed = self._moved.pop((customer_id, identifier, account_id), 0)
            if computed != units:
                self._report.differ("transaction", customer_id, identifier, units, computed)

    async def _pages(self, table: str, first: str, second: str, rest: str) -> AsyncIterator[Row]:
        """Walk a table of the lane in the order of its key."""
        a, b = "", ""
        while True:
            rows = await self._queries.fetch(
                f"SELECT {first}, {second}, {rest} FROM {table} WHERE lane = $1 "
                f"AND ({first}, {second}) > ($2, $3) ORDER BY {first}, {second} "
                f"LIMIT {self._at_once}",
                self._lane,
                a,
                b,
            )
            for row in rows:
                yield row
            if len(rows) < self._at_once:
                return
            a, b = rows[-1][0], rows[-1][1]


def _asset_of(account_id: str) -> str:
    return account_id.rpartition(":")[2]
