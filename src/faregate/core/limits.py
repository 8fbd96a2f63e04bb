"""How much of something a customer may use in a time: an amount of money or credits, of a volume in
the events' data, or of events. A limit holds for all use, or for one subject (a user, a key, a
team), for each subject by itself (`"*"`), one event type, or values in the data.

    hard  declines holds that would pass it; with `rejects_events` it refuses such events too
    soft  lets everything pass, and says so once per window
    free  is no limit but a free tier: so much costs nothing, what is beyond has its price

What is used counts when it is booked, whenever it happened: a limit guards the present. What holds
have set aside counts as well, so the sum of what is granted never passes a hard limit. A limit
counts from when it was made.

A seller may set limits for all customers, or for those with certain metadata (a cohort), and for
single ones. How use is held against limits is in `limiting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from msgspec import Meta, structs

from faregate.core.amounts import AmountError, Number, scaled, shown
from faregate.core.assets import Asset
from faregate.core.holds import CounterKey
from faregate.core.instants import from_us, to_us
from faregate.core.prices import WILDCARD, Key
from faregate.core.problems import Problem, invalid
from faregate.core.volumes import MAX_VOLUME, VOLUME_DECIMALS, dimension_text
from faregate.core.windows import (
    ROLLING_SECONDS,
    Period,
    WindowKind,
    find_zone,
    rolling_step_us,
    window_at,
)

MAX_LIMITS: Final = 100
"""Limits that one customer may have, and that an account may set for its customers."""

Measure = Literal["fees", "volume", "events"]
LimitMode = Literal["hard", "soft", "free"]
SetBy = Literal["seller", "customer"]
Timezone = Annotated[str, Meta(max_length=100)]
LimitName = Annotated[str, Meta(min_length=1, max_length=200)]
Metadata = Annotated[dict[str, str], Meta(max_length=50)]
Dimensions = Annotated[dict[Key, Annotated[str, Meta(max_length=200)]], Meta(max_length=10)]


class LimitRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """A new limit: at most `amount` of what is measured, per period.

    `measure` is `fees` (in `asset`), `volume` (of `data[volume_field]`) or `events`. `timezone` is
    that of calendar windows; without one, the account's.
    """

    amount: Number
    period: Period
    mode: LimitMode = "hard"
    measure: Measure = "fees"
    asset: Key | None = None
    volume_field: Key | None = None
    event_type: Key | None = None
    subject: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    dimensions: Dimensions | None = None
    window: WindowKind = "calendar"
    timezone: Timezone | None = None
    rejects_events: bool = False
    customer_metadata: Metadata | None = None
    name: LimitName | None = None


class LimitChange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What is given is changed, what was counted stays."""

    amount: Number | None = None
    mode: Literal["hard", "soft"] | None = None
    rejects_events: bool | None = None
    name: LimitName | None = None


class Limit(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A limit. `amount_units` has `scale` decimals. `set_by` is who set it: the seller, or the
    customer for themselves, who may change only their own."""

    id: str
    created_at: datetime
    amount_units: int
    scale: int
    period: Period
    mode: LimitMode = "hard"
    measure: Measure = "fees"
    asset: str | None = None
    volume_field: str | None = None
    event_type: str | None = None
    subject: str | None = None
    dimensions: dict[str, str] | None = None
    window: WindowKind = "calendar"
    timezone: str = "UTC"
    rejects_events: bool = False
    customer_metadata: dict[str, str] | None = None
    name: str | None = None
    set_by: SetBy = "seller"

    @property
    def unit(self) -> str:
        """What its amount counts, in a word."""
        return self.asset or self.volume_field or "events"

    def applies_to(self, metadata: Mapping[str, str]) -> bool:
        """Tell whether customers with this metadata have it."""
        wanted = self.customer_metadata
        return wanted is None or all(metadata.get(name) == v for name, v in wanted.items())

    def matches(self, event_type: str | None, subject: str | None, data: Mapping[str, Any]) -> bool:
        """Tell whether such a use counts."""
        if self.event_type is not None and self.event_type != event_type:
            return False
        # An empty name is nobody's.
        is_each = self.subject == WILDCARD and subject
        if self.subject is not None and self.subject != subject and not is_each:
            return False
        if self.dimensions is None:
            return True
        return all(
            name in data and (value == WILDCARD or dimension_text(data[name]) == value)
            for name, value in self.dimensions.items()
        )

    def counter_key(self, subject: str | None) -> CounterKey:
        """Return under which key the use of a subject is counted."""
        return (self.id, (subject or "") if self.subject == WILDCARD else "")

    def window_at(self, now: datetime) -> tuple[int, datetime | None]:
        """Return what counts from when on, in microseconds since 1970, and when the window ends
        (None: never; a rolling one has no end of its own)."""
        return window_at(self.period, self.window, self.timezone, now)


class Counter(msgspec.Struct, frozen=True, gc=False):
    """What a limit has counted: (beginning of a stretch in microseconds, units), the oldest first.

    `reached_us` is when it was last said that the limit is reached.
    """

    counts: tuple[tuple[int, int], ...] = ()
    reached_us: int | None = None

    def used_units(self, begins_us: int) -> int:
        """Return what was counted since then."""
        return sum([units for at, units in self.counts if at >= begins_us])

    def plus(self, limit: Limit, now: datetime, units: int) -> Counter:
        """Return it with so many units more, and without what counts no longer."""
        begins_us, _ = limit.window_at(now)
        if limit.window == "calendar" or limit.period == "lifetime":
            return Counter(((begins_us, self.used_units(begins_us) + units),), self.reached_us)
        step = rolling_step_us(limit.period)
        at = to_us(now) // step * step
        kept = dict([count for count in self.counts if count[0] >= begins_us])
        kept[at] = kept.get(at, 0) + units
        return Counter(tuple(sorted(kept.items())), self.reached_us)

    def minus(self, limit: Limit, now: datetime, counted_at: datetime, units: int) -> Counter:
        """Return it without units that were counted then, as far as they still count."""
        begins_us, _ = limit.window_at(now)
        if limit.window == "calendar" or limit.period == "lifetime":
            then, _ = limit.window_at(counted_at)
        else:
            step = rolling_step_us(limit.period)
            then = to_us(counted_at) // step * step
        left = [(at, n - units if at == then else n) for at, n in self.counts if at >= begins_us]
        return Counter(tuple([count for count in left if count[1] > 0]), self.reached_us)

    def is_told(self, begins_us: int) -> bool:
        """Tell whether it was said in this window that the limit is reached."""
        return self.reached_us is not None and self.reached_us >= begins_us

    def frees_at(self, limit: Limit, now: datetime, units: int) -> datetime | None:
        """Return when so many units will count no longer, if nothing more comes; None: never."""
        _, ends_at = limit.window_at(now)
        if limit.window == "calendar" or limit.period == "lifetime":
            return ends_at
        begins_us, _ = limit.window_at(now)
        step = rolling_step_us(limit.period)
        freed = 0
        for at, counted in self.counts:
            if at < begins_us:
                continue
            freed += counted
            if freed >= units:
                # A part counts until the end of it has left the window.
                return from_us(at + step + ROLLING_SECONDS[limit.period] * 1_000_000)
        return None


NOTHING_COUNTED: Final = Counter()


class Counters(Protocol):
    """What limits have counted, by key: a dictionary, or whatever looks it up when it is asked."""

    def __getitem__(self, key: CounterKey, /) -> Counter:
        """Return what was counted under a key; `NOTHING_COUNTED` if nothing was."""
        ...


def new_limit(
    request: LimitRequest,
    assets: Mapping[str, Asset],
    timezone: str,
    identifier: str,
    now: datetime,
) -> Limit | Problem:
    """Make a limit of a request, or say what is wrong with it. `timezone` is the account's."""
    problem = _misfit(request, assets)
    if problem is not None:
        return problem
    scale = VOLUME_DECIMALS
    if request.measure == "fees":
        scale = assets[request.asset or ""].scale
    elif request.measure == "events":
        scale = 0
    units = _amount_units(request.amount, scale)
    if isinstance(units, Problem):
        return units
    fields = structs.asdict(request)
    del fields["amount"]
    fields["timezone"] = request.timezone or timezone
    return Limit(identifier, now, units, scale, **fields)


def changed_limit(limit: Limit, change: LimitChange) -> Limit | Problem:
    """Return a limit with what is given changed."""
    if change.amount is not None:
        units = _amount_units(change.amount, limit.scale)
        if isinstance(units, Problem):
            return units
        limit = structs.replace(limit, amount_units=units)
    if change.mode is not None:
        if limit.mode == "free":
            return invalid("mode", "of a free tier cannot change: delete it and make a limit")
        limit = structs.replace(limit, mode=change.mode)
    if change.rejects_events is not None:
        limit = structs.replace(limit, rejects_events=change.rejects_events)
    if change.name is not None:
        limit = structs.replace(limit, name=change.name)
    if limit.rejects_events and limit.mode != "hard":
        return invalid("rejects_events", "needs mode hard: a soft limit lets everything pass")
    return limit


def _misfit(request: LimitRequest, assets: Mapping[str, Asset]) -> Problem | None:
    """Say which fields do not go together."""
    wants = {"fees": ("asset",), "volume": ("volume_field",), "events": ()}[request.measure]
    if request.mode == "free" and request.measure == "fees":
        return invalid("measure", "of a free tier is volume or events: for money give a grant")
    for field in ("asset", "volume_field"):
        value = getattr(request, field)
        if field in wants and value is None:
            return invalid(field, f"is missing: it says what measure {request.measure} counts")
        if field not in wants and value is not None:
            return invalid(field, f"has no meaning with measure {request.measure}: leave it out")
    if request.asset is not None and request.asset not in assets:
        return invalid("asset", f"{request.asset!r} is unknown: create the asset first")
    if request.rejects_events and request.mode != "hard":
        return invalid("rejects_events", f"has no meaning with mode {request.mode}: leave it out")
    if request.window == "rolling" and request.period == "lifetime":
        return invalid("window", "of a lifetime is no window: leave it out")
    return None if request.timezone is None else check_timezone(request.timezone)


def check_timezone(name: str) -> Problem | None:
    """Refuse a name that is no timezone's."""
    if find_zone(name) is not None:
        return None
    return invalid("timezone", f"{name!r} is unknown: send an IANA name such as Europe/Berlin")


def _amount_units(amount: Number, scale: int) -> int | Problem:
    try:
        units = scaled(amount, scale)
    except AmountError as error:
        return invalid("amount", f"{shown(amount)} {error}")
    if units is None:
        detail = "a whole number" if not scale else f"at most {scale} decimals"
        return invalid("amount", f"is {shown(amount)}: send {detail}")
    if not 0 <= units <= MAX_VOLUME * 10**scale:
        return invalid("amount", f"is {shown(amount)}: send a number from 0 to {MAX_VOLUME}")
    return units


def limits_for(
    own: tuple[Limit, ...], general: Iterable[Limit], metadata: Mapping[str, str]
) -> tuple[Limit, ...]:
    """Return the limits that a customer has: their own first, then those of their cohort."""
    return (*own, *[limit for limit in general if limit.applies_to(metadata)])
