"""Events across all customers, the newest first, that fit some filters. They are walked backwards
in the order of their numbers, so many at a time and no more: a look that finds nothing says how far
back it has searched, and where to go on. There is no index for it that charges would have to write.

A customer's events come from the index that the lane writes behind its commits, one event by its
id from its own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from faregate.core.codec import decode, encode
from faregate.core.instants import from_us, to_us
from faregate.core.outcomes import EventOutcome
from faregate.core.volumes import dimension_text
from faregate.ledger.questions import first_event_at
from faregate.ledger.reading import AS_THEY_STAND, EVENT_COLUMNS, ListedEvent, read_listed
from faregate.store.protocol import Queries, Row, Rows, Store
from faregate.store.schema import first_seq

MAX_WALKED: Final = 200_000
"""Numbers of a lane that one look goes through; an event takes two or three."""
WINDOW: Final = 50_000
"""Numbers that one statement goes through."""
MAX_STEPS: Final = 100
"""Statements of one look; some find only what is alike."""
OF_CUSTOMER: Final = 5_000
"""Events of one customer that one statement goes through, and ten of them one look."""
_NUMBER: Final = re.compile(r"-?[0-9.]+|true|false")
_COLUMNS: Final = f"e.seq, {EVENT_COLUMNS}, e.data, e.warnings, o.standing"

Shows = Literal["fees", "unpriced", "warnings"]
"""Which events: those with fees; those that nothing priced; those with something to say."""
Position = Mapping[int, int]
"""By lane, the number before which to go on."""


class EventFilters(msgspec.Struct, frozen=True):
    """Which events. `booked_from` is included, `booked_before` is not. `min_units` are of `asset`'s
    ledger scale. `data_key` is a key of the event's data, whose value written as text is
    `data_text`."""

    environment_id: int
    customer_id: str | None = None
    event_id: str | None = None
    event_types: tuple[str, ...] = ()
    subject: str | None = None
    booked_from: datetime | None = None
    booked_before: datetime | None = None
    shows: Shows | None = None
    min_units: int | None = None
    asset: str | None = None
    data_key: str | None = None
    data_text: str = ""


class FoundEvent(msgspec.Struct, frozen=True):
    """An event in the list, as it stands now."""

    listed: ListedEvent
    data: dict[str, Any]
    warnings: tuple[str, ...]


class Explored(msgspec.Struct, frozen=True):
    """What a look has found. `position` is where to go on (None: there is no more), `searched_to`
    how far back it has looked, if there is."""

    events: list[FoundEvent]
    position: dict[int, int] | None
    searched_to: datetime | None


class _Walked(NamedTuple):
    """One look at a lane: rows with their numbers, the number down to which all were looked at, and
    whether that is the end."""

    found: list[tuple[int, FoundEvent]]
    downto: int
    is_end: bool


async def explore(
    store: Store,
    lanes: Sequence[int],
    filters: EventFilters,
    limit: int,
    position: Position | None = None,
    *,
    is_in_order: bool = True,
) -> Explored:
    """Look for at most `limit` events. `is_in_order` as in `questions.Asked`: whether a lane's
    events were booked in the order of their numbers, which those on test clocks are not."""
    walks: dict[int, _Walked] = {}
    starts: dict[int, int] = {}
    async with store.snapshot() as snapshot:
        for number in lanes:
            if position is not None and number not in position:
                continue
            walk = _Walk(snapshot, number, filters, is_in_order=is_in_order)
            starts[number] = await walk.begin(None if position is None else position[number])
            walks[number] = await walk.look(starts[number], limit)
        horizons = {
            number: await _booked_at(snapshot, number, walked.downto)
            for number, walked in walks.items()
            if not walked.is_end
        }
    horizon = max(filter(None, horizons.values()), default=None)
    found = [
        (event.listed.created_at, number, seq, event)
        for number, walked in walks.items()
        for seq, event in walked.found
    ]
    # Several lanes: what is older than where one of them has stopped is for the next look.
    ready = [one for one in found if len(walks) == 1 or horizon is None or one[0] >= horizon]
    ready.sort(key=lambda one: one[:3], reverse=True)
    taken = ready[:limit]
    rest: dict[int, int] = {}
    for number, walked in walks.items():
        mine = [seq for _, lane, seq, _ in taken if lane == number]
        if len(mine) < len(walked.found):
            rest[number] = min(mine, default=starts[number])
        elif not walked.is_end:
            rest[number] = walked.downto
    return Explored([one[3] for one in taken], rest or None, horizon if rest else None)


async def walk_events(
    store: Store, lane: int, filters: EventFilters, before: int, rows: int, *, is_in_order: bool
) -> AsyncIterator[tuple[list[tuple[int, FoundEvent]], int]]:
    """Walk all that fits of a lane, back from a number (not included), some rows at a time, each
    time in a short snapshot; yields them with the number down to which it has come."""
    while True:
        async with store.snapshot() as snapshot:
            walk = _Walk(snapshot, lane, filters, is_in_order=is_in_order)
            walked = await walk.look(await walk.begin(before), rows)
        yield walked.found, walked.downto
        if walked.is_end:
            return
        before = walked.downto


async def _booked_at(queries: Queries, lane: int, seq: int) -> datetime | None:
    """Return when the first event from a number on was booked."""
    rows = await queries.fetch(
        "SELECT created_at FROM events WHERE lane = $1 AND seq >= $2 ORDER BY seq LIMIT 1",
        lane,
        seq,
    )
    return from_us(rows[0][0]) if rows else None


class _Walk:
    """A walk through one lane, in one snapshot."""

    def __init__(
        self, queries: Queries, lane: int, filters: EventFilters, *, is_in_order: bool
    ) -> None:
        self._queries = queries
        self._lane = lane
        self._filters = filters
        self._is_in_order = is_in_order
        self._lowest = first_seq(lane)
        self._indexed = 0

    async def begin(self, before: int | None) -> int:
        """Find where the period lies; returns the number before which to look."""
        filters = self._filters
        rows = await self._queries.fetch(
            "SELECT last_seq, indexed_seq FROM lanes WHERE lane = $1", self._lane
        )
        last, self._indexed = int(rows[0][0]), int(rows[0][1])
        start = last + 1 if before is None else min(before, last + 1)
        if not self._is_in_order or filters.event_id is not None:
            return start
        if filters.booked_before is not None:
            at = to_us(filters.booked_before)
            # Where all of them are older, what it finds is beyond the start.
            found = await first_event_at(self._queries, self._lane, self._lowest, start, at)
            start = min(start, found)
        if filters.booked_from is not None:
            at = to_us(filters.booked_from)
            found = await first_event_at(self._queries, self._lane, self._lowest, start, at)
            self._lowest = min(start, found)
        return start

    async def look(self, before: int, limit: int) -> _Walked:
        """Look through at most `MAX_WALKED` numbers below `before`."""
        if self._filters.event_id is not None:
            values: list[Any] = [self._lane, before]
            where = ["e.lane = $1", "e.seq < $2", *self._where(values)]
            rows = await self._fetch(where, values, limit)
            is_end = len(rows) < limit
            return _Walked(self._read(rows), self._lowest if is_end else rows[-1][0], is_end)
        if self._filters.customer_id is not None:
            return await self._look_at_customer(before, limit)
        found: list[tuple[int, FoundEvent]] = []
        at, floor = before, max(self._lowest, before - MAX_WALKED)
        steps = MAX_STEPS
        while at > floor and len(found) < limit and steps:
            steps -= 1
            low = max(floor, at - WINDOW)
            values = [self._lane, low, at]
            where = ["e.lane = $1", "e.seq >= $2", "e.seq < $3", *self._where(values)]
            rows = await self._fetch(where, values, limit - len(found))
            at = rows[-1][0] if len(rows) == limit - len(found) else low
            found += self._read(rows)
        return _Walked(found, at, at <= self._lowest)

    async def _look_at_customer(self, before: int, limit: int) -> _Walked:
        """Look at one customer's newest that are in no index yet, then at those that are."""
        found: list[tuple[int, FoundEvent]] = []
        at = before
        low = max(self._lowest, self._indexed + 1)
        values: list[Any]
        if at > low:
            values = [self._lane, low, at]
            where = ["e.lane = $1", "e.seq >= $2", "e.seq < $3", *self._where(values)]
            rows = await self._fetch(where, values, limit)
            at = rows[-1][0] if len(rows) == limit else low
            found += self._read(rows)
        steps = 10
        while at > self._lowest and len(found) < limit and steps:
            steps -= 1
            values = [self._lane, self._filters.customer_id, self._lowest, at]
            mine = (
                "SELECT c.seq FROM customer_events c WHERE c.lane = $1 AND c.customer_id = $2 "
                f"AND c.seq >= $3 AND c.seq < $4 ORDER BY c.seq DESC LIMIT {OF_CUSTOMER}"
            )
            some = await self._queries.fetch(
                f"SELECT min(m.seq), count(*) FROM ({mine}) m", *values
            )
            lowest, count = some[0]
            if not count:
                at = self._lowest
                break
            where = ["e.lane = $1", f"e.seq IN ({mine})", *self._where(values)]
            rows = await self._fetch(where, values, limit - len(found))
            if len(rows) == limit - len(found):
                at = rows[-1][0]
            else:
                at = lowest if count == OF_CUSTOMER else self._lowest
            found += self._read(rows)
        return _Walked(found, at, at <= self._lowest)

    async def _fetch(self, where: Sequence[str], values: Sequence[Any], limit: int) -> Rows:
        return await self._queries.fetch(
            f"SELECT {_COLUMNS} FROM {AS_THEY_STAND} WHERE {' AND '.join(where)} "
            f"ORDER BY e.seq DESC LIMIT {int(limit)}",
            *values,
        )

    def _where(self, values: list[Any]) -> list[str]:
        """Return what rows must fulfil; adds the values that it speaks of."""
        filters = self._filters

        def mark(value: Any) -> str:
            values.append(value)
            return f"${len(values)}"

        where = [f"e.environment_id = {mark(filters.environment_id)}"]
        for column in ("customer_id", "event_id", "subject"):
            wanted = getattr(filters, column)
            if wanted is not None:
                where.append(f"e.{column} = {mark(wanted)}")
        if filters.event_types:
            marks = ", ".join([mark(name) for name in filters.event_types])
            where.append(f"e.event_type IN ({marks})")
        if filters.booked_from is not None:
            where.append(f"e.created_at >= {mark(to_us(filters.booked_from))}")
        if filters.booked_before is not None:
            where.append(f"e.created_at < {mark(to_us(filters.booked_before))}")
        if filters.shows is not None:
            where += _SHOWS[filters.shows]
        if filters.min_units is not None:
            where.append(f"coalesce(o.fee_units, e.fee_units) >= {mark(filters.min_units)}")
        if filters.asset is not None:
            asset = mark(filters.asset)
            where.append(
                f"CASE WHEN o.outcome IS NULL THEN e.fee_asset ELSE o.fee_asset END = {asset}"
            )
        if filters.data_key is not None:
            likes = [
                f"e.data LIKE {like} ESCAPE '!' OR o.standing LIKE {like} ESCAPE '!'"
                for like in map(mark, _patterns(filters.data_key, filters.data_text))
            ]
            where.append(f"({' OR '.join(likes)})")
        return where

    def _read(self, rows: Rows) -> list[tuple[int, FoundEvent]]:
        found = [(int(row[0]), _read(row)) for row in rows]
        if self._filters.shows == "warnings":
            found = [one for one in found if one[1].warnings]
        key = self._filters.data_key
        if key is None:
            return found
        wanted = self._filters.data_text
        return [one for one in found if dimension_text(one[1].data.get(key)) == wanted]


_SHOWS: Final[Mapping[Shows, tuple[str, ...]]] = {
    "fees": ("coalesce(o.fee_count, e.fee_count) > 0",),
    "unpriced": (
        "coalesce(o.fee_count, e.fee_count) = 0",
        "coalesce(o.outcome, e.outcome, '') NOT IN ('pending', 'withdrawn')",
    ),
    "warnings": (
        "(CASE WHEN o.outcome IS NULL THEN e.warnings ELSE o.standing END) "
        "LIKE CASE WHEN o.outcome IS NULL THEN '%' ELSE '%\"warnings\":[%' END",
    ),
}


def _read(row: Row) -> FoundEvent:
    _, *listed, data, warnings, standing = row
    said = () if warnings is None else decode(tuple[str, ...], warnings)
    known = {} if data is None else decode(dict[str, Any], data)
    if standing is not None:
        stands = decode(EventOutcome, standing)
        said, known = stands.warnings, stands.data or {}
    return FoundEvent(read_listed(listed), known, said)


def _patterns(key: str, text: str) -> list[str]:
    """Return what the JSON of data may look like that has this value, so that the database passes
    over the rest. What is alike is looked at exactly afterwards."""
    name = encode(key).decode()
    found = [f"{name}:{encode(text).decode()}"]
    if _NUMBER.fullmatch(text) is not None:
        # Numbers are kept as they were sent, also with zeros behind them or an exponent.
        found.append(f"{name}:{text}")
        if text.endswith("0"):
            found.append(f"{name}:{text[0]}%E+")
        if text.startswith(("0.000000", "-0.000000")) or text == "0":
            found.append(f"{name}:%E-")
    return [f"%{_escaped(one)}%" for one in found]


def _escaped(text: str) -> str:
    """Escape a text of which only `%` before an exponent is meant as it stands."""
    before, mark, exponent = text.rpartition("%E")
    if exponent not in ("+", "-"):
        before, mark, exponent = text, "", ""
    for special in "!%_":
        before = before.replace(special, f"!{special}")
    return before + mark + exponent
