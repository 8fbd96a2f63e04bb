"""Proof that nobody has edited the transfers: every customer's chain is walked from its beginning,
and must pass through where `chains` says that it stood. And since a lane gives every number to one
row, of whatever table, and leaves none out, no row can be taken away without leaving a gap, and
none be added without taking another's number.

What no check of the database alone can find is an end that was cut off everywhere, or a chain that
was made anew: for that, heads are kept elsewhere and compared (`heads`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from faregate.core.chain import Head, beginning, link
from faregate.ledger.heads import HeadSum
from faregate.store.protocol import Queries, Row, Rows
from faregate.store.schema import first_seq

MAX_BREAKS: Final = 100
MAX_NAMED: Final = 10
"""How many missing numbers a break names."""
PAGE: Final = 50_000
TRANSFER: Final = "seq, customer_id, asset, from_account, to_account, units, reference, at, hash"
"""The columns of a transfer that `ChainCheck.follow` takes."""
ALSO_NUMBERED: Final = ("events", "holds", "outbox")
"""The tables that share a lane's numbers with the transfers. Their rows stay: if one may be
removed some day, `verify` must know that its number may be missing."""


class Break(msgspec.Struct, frozen=True):
    """Where a chain breaks: whose, at which transfer (its `seq`), and what is wrong with it.

    Of a row that is gone it may not be known whose it was: the customer is empty.
    """

    customer_id: str
    seq: int
    what: str


class LaneState(msgspec.Struct, frozen=True):
    """What a lane's row says: the last number that it has given out, and up to which `chains` is
    complete."""

    lane: int
    last_seq: int
    indexed_seq: int


async def read_lanes(queries: Queries) -> list[LaneState]:
    """Read all lanes."""
    rows = await queries.fetch("SELECT lane, last_seq, indexed_seq FROM lanes ORDER BY lane")
    return [LaneState(*row) for row in rows]


async def find_strays(queries: Queries) -> list[Break]:
    """Find transfers in lanes that there are not, which no walk of a lane comes across."""
    rows = await queries.fetch(
        "SELECT customer_id, seq, lane FROM transfers WHERE lane < (SELECT min(lane) FROM lanes) "
        f"OR lane > (SELECT max(lane) FROM lanes) ORDER BY seq LIMIT {MAX_BREAKS}"
    )
    return [Break(row[0], row[1], f"is in lane {row[2]}, which there is not") for row in rows]


class _Suspect(msgspec.Struct, frozen=True):
    """A transfer that does not follow from the one before it, number `before_seq`."""

    seq: int
    customer_id: str
    columns: tuple[Any, ...]
    hash: str
    before: str
    before_seq: int

    def was_swapped_with(self, other: _Suspect) -> bool:
        """Tell whether the chain holds here once both are put back."""
        theirs_here = self._link(self.seq, other)
        mine_there = self._link(other.seq, self)
        # One customer's, with their hashes or without; or of two customers.
        return theirs_here in (self.hash, other.hash) or mine_there == self.hash

    def _link(self, seq: int, content: _Suspect) -> str:
        values: Any = (seq, content.customer_id, *content.columns)
        return link(self.before, values)


class _Walked:
    """How far a customer's chain was walked. `kept` is the row of `chains`, if any, `settled` the
    newest transfer that it must cover."""

    __slots__ = ("hash", "is_passed", "kept", "last_seq", "length", "settled")

    def __init__(self, customer_id: str, kept: Head | None) -> None:
        start = beginning(customer_id)
        self.hash = start.hash
        self.last_seq = 0
        self.length = 0
        self.settled: Head | None = None
        self.kept = kept
        # Of whoever had no transfer yet, older versions kept where chains begin.
        self.is_passed = kept is None or kept == start


class ChainCheck:
    """The check of one lane's chains: `begin`, `follow` every transfer in the order of `seq`, then
    `finish`. On its way it adds the chains to `sums`, as they stand at the number of each.

    Memory grows with customers, not with transfers.
    """

    def __init__(self, queries: Queries, state: LaneState, sums: Sequence[HeadSum]) -> None:
        self.breaks: list[Break] = []
        self._queries = queries
        self._lane, self._last_seq = state.lane, state.last_seq
        self._indexed_seq = state.indexed_seq
        self._walked: dict[str, _Walked] = {}
        self._suspects: list[_Suspect] = []
        self._is_broken = False
        self._gaps: list[int] = []
        self._doubles: dict[int, str] = {}
        points = [(s.last_seqs[state.lane], s) for s in sums if state.lane in s.last_seqs]
        self._sums = sorted(points, key=lambda point: point[0], reverse=True)

    @property
    def chains(self) -> int:
        """The number of chains."""
        return sum(1 for walked in self._walked.values() if walked.length)

    async def begin(self) -> None:
        """Read where the chains are said to have stood."""
        after = ""
        while True:
            rows = await self._queries.fetch(
                "SELECT customer_id, head, last_seq FROM chains WHERE lane = $1 "
                f"AND customer_id > $2 ORDER BY customer_id LIMIT {PAGE}",
                self._lane,
                after,
            )
            for customer_id, head, seq in rows:
                self._walked[customer_id] = _Walked(customer_id, Head(head, seq))
            if len(rows) < PAGE:
                return
            after = rows[-1][0]

    async def follow(self, start: int, end: int, rows: Rows) -> None:
        """Take the lane's next transfers, rows of `TRANSFER`: all after `start` up to `end`."""
        await self._compare_numbers(start, end, rows)
        for row in rows:
            while self._sums and row[0] > self._sums[-1][0]:
                self._add_up(self._sums.pop()[1])
            self._follow(row)

    def _follow(self, row: Row) -> None:
        seq, customer_id, *columns, found = row
        walked = self._walked.get(customer_id)
        if walked is None:
            walked = self._walked[customer_id] = _Walked(customer_id, None)
        values: Any = (seq, customer_id, *columns)
        if link(walked.hash, values) != found:
            self._is_broken = True
            if len(self._suspects) < MAX_BREAKS:
                before, before_seq = walked.hash, walked.last_seq
                suspect = _Suspect(seq, customer_id, tuple(columns), found, before, before_seq)
                self._suspects.append(suspect)
        # Go on from what is written, so that one edit is found once.
        walked.hash = found
        walked.length += 1
        walked.last_seq = seq
        if seq <= self._indexed_seq:
            walked.settled = Head(found, seq)
        kept = walked.kept
        if kept is not None and (kept.seq == seq or kept.hash == found):
            walked.is_passed = True
            if kept.hash != found:
                self._break(customer_id, seq, "has another hash than was kept of it")

    def _add_up(self, whole: HeadSum) -> None:
        whole.is_broken |= self._is_broken
        for customer_id, walked in sorted(self._walked.items()):
            if walked.length:
                whole.add(customer_id, walked.hash, walked.length)

    async def finish(self) -> None:
        """Say what is wrong where chains break, and whether something is missing."""
        while self._sums:
            self._add_up(self._sums.pop()[1])
        gaps = set(self._gaps)
        for suspect in self._suspects:
            missing = {gap for gap in gaps if suspect.before_seq < gap < suspect.seq}
            what = self._explain(suspect, sorted(missing))
            self._break(suspect.customer_id, suspect.seq, what)
            self._doubles.pop(suspect.seq, None)
            gaps -= missing
        for seq, customer_id in self._doubles.items():
            self._break(customer_id, seq, "was inserted: its number belongs to something else")
        for customer_id, walked in self._walked.items():
            self._check_kept(customer_id, walked, gaps)
        for seq in sorted(gaps):
            self._break("", seq, "is missing: nothing has this number")
        self.breaks.sort(key=lambda broken: broken.seq)

    def _check_kept(self, customer_id: str, walked: _Walked, gaps: set[int]) -> None:
        """See that a chain has been where `chains` says, and that this is not too long ago."""
        kept, settled = walked.kept or Head("", 0), walked.settled
        if not walked.is_passed:
            self._break(customer_id, kept.seq, "is missing: its chain has been there")
            gaps.discard(kept.seq)
        elif settled is not None and settled.seq > kept.seq and settled.hash != kept.hash:
            self._break(customer_id, settled.seq, "is not covered by the head that is kept")

    def _break(self, customer_id: str, seq: int, what: str) -> None:
        if len(self.breaks) < MAX_BREAKS:
            self.breaks.append(Break(customer_id, seq, what))

    def _explain(self, suspect: _Suspect, missing: list[int]) -> str:
        if suspect.seq in self._doubles:
            return "was inserted: its number belongs to something else"
        for other in self._suspects:
            is_swap = suspect.was_swapped_with(other) or other.was_swapped_with(suspect)
            if other is not suspect and is_swap:
                return f"was swapped with transfer {other.seq}"
        if missing:
            numbers = ", ".join(map(str, missing[:MAX_NAMED]))
            return f"follows a transfer that is missing: nothing has the number {numbers}"
        if not suspect.before_seq:
            return "was changed, or is not the customer's first"
        return f"was changed, or is not the one that followed transfer {suspect.before_seq}"

    async def _compare_numbers(self, start: int, end: int, transfers: Rows) -> None:
        """Note which numbers of a range nothing has, and which a transfer shares."""
        owners = {row[0]: row[1] for row in transfers}
        taken: set[int] = set()
        for table in ALSO_NUMBERED:
            rows = await self._queries.fetch(
                f"SELECT seq FROM {table} WHERE lane = $1 AND seq > $2 AND seq <= $3",
                self._lane,
                start,
                end,
            )
            taken.update(row[0] for row in rows)
        for seq in taken & owners.keys():
            self._doubles[seq] = owners[seq]
        first, last = max(start, first_seq(self._lane)), min(end, self._last_seq)
        missing = set(range(first + 1, last + 1)) - taken - owners.keys()
        self._gaps += sorted(missing)[: MAX_BREAKS - len(self._gaps)]
