"""Proof that the books balance: every derived row (what is left of each grant, each overdraft) is
computed again from the transfers alone and compared with what is stored, and every fee and
transaction with the transfers that moved its money.

It reads one snapshot, so it may run while the server works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from faregate.store.protocol import Queries, Row, Store
from faregate.store.schema import first_seq

CHUNK: Final = 50_000
MAX_SEQ: Final = 2**63 - 1
MAX_DIFFERENCES: Final = 100


class Difference(msgspec.Struct, frozen=True):
    """Something that does not add up: what, whose, and both numbers in units."""

    kind: str
    customer_id: str
    name: str
    stored_units: int
    computed_units: int


class Report(msgspec.Struct):
    """What was looked at, and the first differences."""

    transfers: int = 0
    grants: int = 0
    accounts: int = 0
    fees: int = 0
    transactions: int = 0
    differences: list[Difference] = msgspec.field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Tell whether everything adds up."""
        return not self.differences


Progress = Callable[[int, int], None]
"""Called with the rows looked at so far and the rows in all."""

Ledger = dict[tuple[str, str], int]


def _nothing(_done: int, _total: int) -> None:
    return None


async def verify(store: Store, progress: Progress = _nothing) -> Report:
    """Check the whole ledger, lane by lane."""
    report = Report()
    async with store.snapshot() as snapshot:
        lanes = await snapshot.fetch("SELECT lane, last_seq FROM lanes ORDER BY lane")
        total = sum(last_seq - first_seq(lane) for lane, last_seq in lanes)
        done = 0
        for lane, last_seq in lanes:
            balances: Ledger = defaultdict(int)
            revenue: Ledger = defaultdict(int)
            first = first_seq(lane)
            for start in range(first, max(last_seq, first + 1), CHUNK):
                # The last one is open: no transfer may lie beyond what the lane has given out.
                end = start + CHUNK if start + CHUNK < last_seq else MAX_SEQ
                await _add_chunk(snapshot, lane, start, end, report, balances, revenue)
                progress(done + min(end, last_seq) - first, total)
            done += last_seq - first
            await _check_grants(snapshot, lane, report, balances)
            await _check_overdrafts(snapshot, lane, report, balances)
            await _check_references(snapshot, lane, report, revenue)
    return report


async def _add_chunk(
    queries: Queries,
    lane: int,
    start: int,
    end: int,
    report: Report,
    balances: Ledger,
    moved: Ledger,
) -> None:
    rows = await queries.fetch(
        "SELECT customer_id, from_account, to_account, reference, units FROM transfers "
        "WHERE lane = $1 AND seq > $2 AND seq <= $3",
        lane,
        start,
        end,
    )
    for customer_id, from_account, to_account, reference, units in rows:
        report.transfers += 1
        balances[customer_id, from_account] -= units
        balances[customer_id, to_account] += units
        if not reference.startswith("grt_"):
            is_own = from_account.startswith(("grt_", "overdraft:"))
            is_repayment = is_own and to_account.startswith("overdraft:")
            if not is_repayment:
                moved[customer_id, reference] += -units if is_own else units


async def _check_grants(queries: Queries, lane: int, report: Report, balances: Ledger) -> None:
    async for row in _pages(
        queries, "grants", "customer_id", "grant_id", "amount_units, remaining_units", lane
    ):
        customer_id, grant_id, amount, remaining = row
        report.grants += 1
        computed = balances.pop((customer_id, grant_id), 0)
        if computed != remaining:
            _differ(report, "grant", customer_id, grant_id, remaining, computed)
        if not 0 <= remaining <= amount:
            _differ(report, "grant out of bounds", customer_id, grant_id, remaining, amount)
    for (customer_id, name), computed in balances.items():
        if name.startswith("grt_"):
            _differ(report, "grant without a row", customer_id, name, 0, computed)


async def _check_overdrafts(queries: Queries, lane: int, report: Report, balances: Ledger) -> None:
    columns = "overdraft_units, overdraft_units"
    async for row in _pages(queries, "wallet_accounts", "customer_id", "account_id", columns, lane):
        customer_id, account_id, overdraft, _ = row
        report.accounts += 1
        computed = -balances.pop((customer_id, f"overdraft:{account_id}"), 0)
        if computed != overdraft:
            _differ(report, "overdraft", customer_id, account_id, overdraft, computed)
    for (customer_id, name), computed in balances.items():
        if name.startswith("overdraft:"):
            _differ(report, "overdraft without a row", customer_id, name, 0, -computed)


async def _check_references(queries: Queries, lane: int, report: Report, moved: Ledger) -> None:
    """Compare fees (positive, taken) and transactions (signed) with the transfers they caused."""
    async for row in _pages(queries, "fees", "fee_id", "customer_id", "units, units", lane):
        fee_id, customer_id, units, _ = row
        report.fees += 1
        computed = -moved.pop((customer_id, fee_id), 0)
        if computed != units:
            _differ(report, "fee", customer_id, fee_id, units, computed)
    async for row in _pages(
        queries, "transactions", "transaction_id", "customer_id", "id, units", lane
    ):
        _, customer_id, identifier, units = row
        report.transactions += 1
        computed = moved.pop((customer_id, identifier), 0)
        if computed != units:
            _differ(report, "transaction", customer_id, identifier, units, computed)
    for (customer_id, reference), units in moved.items():
        _differ(report, "transfers without a cause", customer_id, reference, 0, units)


async def _pages(
    queries: Queries, table: str, first: str, second: str, rest: str, lane: int
) -> AsyncIterator[Row]:
    """Walk a table in the order of its key."""
    a, b = "", ""
    while True:
        rows = await queries.fetch(
            f"SELECT {first}, {second}, {rest} FROM {table} WHERE lane = $1 "
            f"AND ({first}, {second}) > ($2, $3) ORDER BY {first}, {second} LIMIT {CHUNK}",
            lane,
            a,
            b,
        )
        for row in rows:
            yield row
        if len(rows) < CHUNK:
            return
        a, b = rows[-1][0], rows[-1][1]


def _differ(
    report: Report, kind: str, customer_id: str, name: str, stored: int, computed: int
) -> None:
    if len(report.differences) < MAX_DIFFERENCES:
        report.differences.append(Difference(kind, customer_id, name, stored, computed))
