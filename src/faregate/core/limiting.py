"""Use held against limits, while a command is decided: may so much more be granted, what was used
counts, and what is free costs nothing.

    used + held + needed <= amount

`used` is what was booked in the window, `held` what open holds have set aside. What a hold draws
from its parent is held already, and counts where the parent's does: a cap of money for a team
holds for the runs that it starts, whoever makes the calls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import structs

from faregate.core.accounts import Account
from faregate.core.amounts import plain, to_decimal
from faregate.core.holds import CounterKey, Decline, Hold, HoldCount, LimitInTheWay
from faregate.core.instants import to_us
from faregate.core.limits import Counter, Counters, Limit
from faregate.core.problems import LIMIT_EXCEEDED, Problem
from faregate.core.volumes import VOLUME_DECIMALS, measure_volume

Counts = tuple[tuple[str, str, int], ...]
"""What limits have counted of an event: the limit's id, the subject ('' if it counts none by
itself), and units."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """What is used, or is about to be: by whom, of which type, with which data."""

    event_type: str | None
    subject: str | None
    data: Mapping[str, Any] = {}


class Notice(msgspec.Struct, frozen=True):
    """Something that others are to be told of, written with what it tells."""

    topic: str
    data: Any


class LimitReached(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told when a limit is reached, once per window. Amounts as in the API."""

    customer_id: str
    limit_id: str
    mode: str
    measure: str
    unit: str
    amount: Decimal
    used: Decimal
    at: datetime
    name: str | None = None
    subject: str | None = None
    resets_at: datetime | None = None


class FreeShare(msgspec.Struct, frozen=True, gc=False):
    """What of a use is free: all of it, or so much (with `VOLUME_DECIMALS`) of volumes by field.
    `counts` has what that takes of free tiers, each with the field that it is measured by."""

    is_whole: bool = False
    volumes: Mapping[str, int] = {}
    counts: tuple[tuple[str | None, HoldCount], ...] = ()

    def taken(self, fields: Collection[str | None]) -> tuple[HoldCount, ...]:
        """Return what is taken of free tiers if prices by these fields have found the use: what
        nothing prices costs nothing anyway."""
        return tuple(
            [c for field, c in self.counts if field in fields or (self.is_whole and fields)]
        )

    def charged(self, data: Mapping[str, Any], field: str | None) -> Mapping[str, Any] | None:
        """Return the data with what is left to pay for; None if a price by this field, whose
        volume is free whole, asks for nothing."""
        if self.is_whole:
            return None
        free = self.volumes.get(field or "", 0)
        if not free or field is None:
            return data
        left = _parts(data.get(field)) - free
        return {**data, field: to_decimal(left, VOLUME_DECIMALS)} if left else None


NOTHING_FREE = FreeShare()


def _parts(volume: object) -> int:
    """Return a volume with `VOLUME_DECIMALS`; 0 for what is missing or none."""
    parts = 0 if volume is None else measure_volume("", volume)
    return 0 if isinstance(parts, Problem) else parts


def _not_measured(limit: Limit, use: Use) -> Problem | None:
    """Say why a volume that a limit counts is none, which pricing need not have looked at."""
    field = limit.volume_field
    if field is None or use.data.get(field) is None:
        return None
    measured = measure_volume(field, use.data[field])
    return measured if isinstance(measured, Problem) else None


class Limiting:
    """The limits of a customer, and what they have counted, as one command leaves them.

    `has_happened` says that what is booked was promised by a hold, and can be refused no more;
    `subject` and `run_keys` are that hold's, and what it draws from counts under. `has_free` says
    that there are free tiers, `may_reject` that a limit refuses what has happened.
    """

    __slots__ = (
        "_changed",
        "_counters",
        "_counts",
        "_customer_id",
        "_limits",
        "_now",
        "_windows",
        "by_hold",
        "has_free",
        "has_happened",
        "may_reject",
        "notices",
        "run_keys",
        "subject",
    )

    def __init__(
        self,
        customer_id: str,
        limits: tuple[Limit, ...],
        counters: Counters,
        now: datetime,
    ) -> None:
        self._customer_id = customer_id
        self._limits = limits
        self._counters = counters
        self._now = now
        self.has_free = any(limit.mode == "free" for limit in limits)
        self.may_reject = any(limit.rejects_events for limit in limits)
        self._windows: dict[str, tuple[int, datetime | None]] = {}
        self._changed: dict[CounterKey, Counter] = {}
        self._counts: dict[CounterKey, int] = {}
        self.notices: list[Notice] = []
        self.has_happened = False
        self.subject: str | None = None
        self.run_keys: tuple[CounterKey, ...] = ()
        self.by_hold: dict[str, int] = {}

    @property
    def changed(self) -> Mapping[CounterKey, Counter]:
        """What has counted something."""
        return self._changed

    def snapshot(self) -> tuple[dict[CounterKey, Counter], int]:
        """Return a copy of what was counted so far, for `restore`."""
        return dict(self._changed), len(self.notices)

    def restore(self, before: tuple[dict[CounterKey, Counter], int]) -> None:
        """Forget everything since that snapshot."""
        self._changed = before[0]
        del self.notices[before[1] :]

    def take_counts(self) -> Counts:
        """Return what was counted since this was last asked."""
        counts = tuple([(*key, units) for key, units in self._counts.items()])
        self._counts = {}
        return counts

    def give_back(self, counts: Counts, counted_at: datetime) -> None:
        """Count no longer what was counted then, where the window is still open."""
        by_id = {limit.id: limit for limit in self._limits}
        for limit_id, subject, units in counts:
            limit, key = by_id.get(limit_id), (limit_id, subject)
            if limit is not None:
                self._changed[key] = self._counter(key).minus(limit, self._now, counted_at, units)

    def _counter(self, key: CounterKey) -> Counter:
        found = self._changed.get(key)
        return self._counters[key] if found is None else found

    def settle(self, hold: Hold) -> None:
        """Say that what is booked from now on was promised by this hold."""
        self.has_happened = True
        self.subject = hold.subject
        self.run_keys = tuple([count.key for count in hold.counts if count.is_of_run])

    def _matching(
        self, use: Use, known: Sequence[HoldCount] = (), *, is_free: bool = False
    ) -> list[Limit]:
        """Return the limits that such a use counts for. `known` is what its hold counts for
        already, if it goes on with the same use."""
        known_ids = {count.limit_id for count in known if not count.is_of_run}
        return [
            limit
            for limit in self._limits
            if (limit.mode == "free") == is_free
            and (limit.id in known_ids or limit.matches(use.event_type, use.subject, use.data))
        ]

    def _used(self, limit: Limit, key: CounterKey) -> int:
        return self._counter(key).used_units(self._window(limit)[0])

    def _window(self, limit: Limit) -> tuple[int, datetime | None]:
        found = self._windows.get(limit.id)
        if found is None:
            found = self._windows[limit.id] = limit.window_at(self._now)
        return found

    # -- before the work ----------------------------------------------------------------------

    def room_for(
        self,
        use: Use,
        asset: str,
        units: int,
        accounts: Sequence[Account],
        parent: Hold | None,
        own: str | None = None,
        known: Sequence[HoldCount] = (),
    ) -> tuple[int, Decline | None] | Problem:
        """Return how many of `units` of the asset the hard limits leave room for, and why not more;
        or the problem of a volume that is none.

        `own` is the hold that asks for its next slice: what it has set aside is part of `units`.
        `known` is what that hold counts for, if the slice goes on with the same use.
        """
        room, decline = units, None
        held_already = () if parent is None else {count.key for count in parent.counts}
        for limit in self._matching(use, known):
            if limit.mode != "hard" or (limit.measure == "fees" and limit.asset != asset):
                continue
            key = limit.counter_key(use.subject)
            if limit.measure == "fees" and key in held_already:
                # All that it may take is held already.
                continue
            problem = _not_measured(limit, use)
            if problem is not None:
                return problem
            used = self._used(limit, key) + held_units(key, accounts, own)
            needed = self._needed(limit, use, units)
            left = limit.amount_units - used
            if not needed or needed <= left:
                continue
            there = max(left, 0) if limit.measure == "fees" else 0
            if there < room or decline is None:
                room, decline = min(there, room), self._decline(limit, key, used, needed)
        return room, decline

    def _needed(self, limit: Limit, use: Use, units: int) -> int:
        if limit.measure == "fees":
            return units
        return 1 if limit.measure == "events" else _parts(use.data.get(limit.volume_field or ""))

    def counts_for(
        self, use: Use, asset: str, parent: Hold | None, known: Sequence[HoldCount] = ()
    ) -> tuple[HoldCount, ...]:
        """Return what a hold for this use counts for, by limit; of fees it is what is held, which
        counts where the parent's does as well. `known` as in `room_for`."""
        counts = []
        for limit in self._matching(use, known):
            subject = limit.counter_key(use.subject)[1]
            if limit.measure != "fees":
                counts.append(HoldCount(limit.id, self._needed(limit, use, 0), subject))
            elif limit.asset == asset:
                counts.append(HoldCount(limit.id, None, subject))
        keys = {count.key for count in counts}
        of_run = [
            structs.replace(count, is_of_run=True)
            for count in (() if parent is None else parent.counts)
            if count.units is None and count.key not in keys
        ]
        return (*counts, *of_run)

    def _decline(self, limit: Limit, key: CounterKey, used: int, needed: int) -> Decline:
        resets_at = self._resets_at(limit, key, used + needed)
        self._tell(limit, key, used)
        mark = LimitInTheWay(limit.id, limit.amount_units, used, limit.scale, resets_at, limit.name)
        detail = _exceeded(limit, key, used, needed, resets_at)
        return Decline("limit_exceeded", detail, limit=mark)

    def _resets_at(self, limit: Limit, key: CounterKey, units: int) -> datetime | None:
        """Return when so many units would fit, if nothing more comes; None: never."""
        too_much = units - limit.amount_units
        return self._counter(key).frees_at(limit, self._now, too_much)

    # -- when it was used ---------------------------------------------------------------------

    def book(
        self, use: Use, fees: Iterable[tuple[str, int]], accounts: Sequence[Account]
    ) -> tuple[str, ...] | Problem:
        """Count an event with its fees, as (asset, units). Returns what is to be said of it, or the
        problem of one that a limit rejects. `accounts` are looked at only where one `may_reject`.
        """
        warnings: list[str] = []
        for limit in self._matching(use):
            units = self._needed(limit, use, 0)
            if limit.measure == "fees":
                units = _sum_of(fees, limit.asset)
            problem = _not_measured(limit, use)
            if problem is not None and limit.rejects_events and not self.has_happened:
                return problem
            if problem is not None:
                warnings.append(f"limit {limit.name or limit.id} counts nothing: {problem.detail}")
            if not units:
                continue
            key = limit.counter_key(use.subject)
            if limit.rejects_events and not self.has_happened:
                used = self._used(limit, key) + held_units(key, accounts, None)
                if used + units > limit.amount_units:
                    resets_at = self._resets_at(limit, key, used + units)
                    detail = _exceeded(limit, key, used, units, resets_at)
                    return Problem(LIMIT_EXCEEDED, detail, {})
            self._take_off_hold(limit.id, units)
            warnings += self._count(limit, key, units)
        if self.run_keys:
            counted = {limit.counter_key(use.subject) for limit in self._matching(use)}
            for limit, key in self._of_run():
                if key not in counted:
                    self._count(limit, key, _sum_of(fees, limit.asset))
        return tuple(warnings)

    def _of_run(self) -> list[tuple[Limit, CounterKey]]:
        """Return the limits, and the keys, under which what the hold draws from counts."""
        by_id = {limit.id: limit for limit in self._limits}
        return [(by_id[key[0]], key) for key in self.run_keys if key[0] in by_id]

    def book_amount(self, hold: Hold, asset: str, units: int, *, is_whole: bool) -> None:
        """Count an amount that was captured. It says nothing of volumes and events: what the hold
        expected of them counts, if the amount is for the whole of what was held for."""
        for limit in self._limits:
            expected = {c.subject: c.units or 0 for c in hold.counts if c.limit_id == limit.id}
            if limit.mode != "free" and limit.matches(hold.event_type, hold.subject, {}):
                expected.setdefault(limit.counter_key(hold.subject)[1], 0)
            for subject, volume in expected.items():
                counted = volume if is_whole else 0
                if limit.measure == "fees":
                    counted = units if limit.asset == asset else 0
                self._count(limit, (limit.id, subject), counted)

    def _count(self, limit: Limit, key: CounterKey, units: int) -> list[str]:
        """Count units; returns the warning of a soft limit that is passed."""
        if not units:
            return []
        self._changed[key] = self._counter(key).plus(limit, self._now, units)
        self._counts[key] = self._counts.get(key, 0) + units
        used = self._used(limit, key)
        if limit.mode == "free" or used < limit.amount_units:
            return []
        self._tell(limit, key, used)
        if limit.mode != "soft":
            return []
        shown = [plain(to_decimal(u, limit.scale)) for u in (used, limit.amount_units)]
        name = limit.name or limit.id
        return [f"soft limit {name}: {shown[0]} of {shown[1]} {limit.unit} used"]

    def _tell(self, limit: Limit, key: CounterKey, used: int) -> None:
        """Say that a limit is reached, once per window."""
        begins_us, ends_at = self._window(limit)
        counter = self._counter(key)
        if counter.is_told(begins_us):
            return
        self._changed[key] = structs.replace(counter, reached_us=to_us(self._now))
        told = LimitReached(
            self._customer_id,
            limit.id,
            limit.mode,
            limit.measure,
            limit.unit,
            to_decimal(limit.amount_units, limit.scale),
            to_decimal(used, limit.scale),
            self._now,
            limit.name,
            key[1] or limit.subject,
            ends_at,
        )
        self.notices.append(Notice("limit.reached", told))

    # -- free tiers ---------------------------------------------------------------------------

    def free_share(self, use: Use, accounts: Sequence[Account], own: str | None) -> FreeShare:
        """Return what of a use is free. What other open holds than `own` count on is not there."""
        volumes: dict[str, int] = {}
        counts: list[tuple[str | None, HoldCount]] = []
        for limit in self._matching(use, is_free=True):
            key = limit.counter_key(use.subject)
            used = self._used(limit, key) + held_units(key, accounts, own)
            left = limit.amount_units - used
            if left <= 0:
                continue
            if limit.measure == "events":
                return FreeShare(True, {}, ((None, HoldCount(limit.id, 1, key[1])),))
            field = limit.volume_field or ""
            wanted = _parts(use.data.get(field)) - volumes.get(field, 0)
            share = min(left, wanted)
            if share > 0:
                volumes[field] = volumes.get(field, 0) + share
                counts.append((field, HoldCount(limit.id, share, key[1])))
        return FreeShare(False, volumes, tuple(counts)) if counts else NOTHING_FREE

    def book_free(self, taken: Iterable[HoldCount]) -> None:
        """Count what of an event was free."""
        by_id = {limit.id: limit for limit in self._limits}
        for count in taken:
            units = count.units or 0
            self._count(by_id[count.limit_id], count.key, units)
            self._take_off_hold(count.limit_id, units)

    def _take_off_hold(self, limit_id: str, units: int) -> None:
        """Note that so much of what the hold counts for was used."""
        if self.has_happened:
            self.by_hold[limit_id] = self.by_hold.get(limit_id, 0) + units


def _exceeded(
    limit: Limit, key: CounterKey, used: int, needed: int, resets_at: datetime | None
) -> str:
    """Say which limit is in the way, how far it is used, and what would help."""
    amount, so_far, more = [
        plain(to_decimal(units, limit.scale)) for units in (limit.amount_units, used, needed)
    ]
    whose = f" for subject {key[1]!r}" if key[1] else ""
    name = f" ({limit.name})" if limit.name else ""
    per = "in all" if limit.period == "lifetime" else f"per {limit.period}"
    remedy = "raise the limit"
    if resets_at is not None:
        remedy = f"wait until {resets_at.isoformat()}, or raise the limit"
    return (
        f"limit {limit.id}{name} allows {amount} {limit.unit} {per}{whose}; {so_far} is used "
        f"or held and {more} is needed: {remedy}"
    )


def _sum_of(fees: Iterable[tuple[str, int]], asset: str | None) -> int:
    return sum([units for code, units in fees if code == asset])


def held_units(key: CounterKey, accounts: Iterable[Account], own: str | None) -> int:
    """Return what open holds have set aside that counts under this key, without that of `own`."""
    total = 0
    for account in accounts:
        if not account.counted:
            continue
        total += account.counted.get(key, 0)
        if own is not None and own in account.holds:
            total -= account.holds[own].counted().get(key, 0)
    return total
