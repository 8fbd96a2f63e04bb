"""From what a lane has told (`outbox`) to deliveries, exactly once: the rows that are read, the
deliveries that are written and the cursor that says how far it has come are one transaction, so a
process may die anywhere. What belongs to no lane is told in the transaction that makes it true.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from faregate.core.codec import encode
from faregate.core.ids import IdSource, derived_id
from faregate.core.instants import from_us, to_us
from faregate.store.protocol import Queries
from faregate.webhooks import deliveries
from faregate.webhooks.deliveries import Event, Payload, Ready
from faregate.webhooks.destinations import Destination

MAX_ROWS: Final = 200
MAX_DELIVERIES: Final = 2_000
"""Of one transaction, so that charges do not wait for it; one row may have more."""


class Told(msgspec.Struct, frozen=True):
    """How far the outbox has been read, in how many rows, and what is ready now."""

    outbox_seq: int
    rows: int
    ready: list[Ready]


class Place(msgspec.Struct, frozen=True):
    """Where something happened: an account in one mode."""

    environment_id: int
    account_id: str
    is_platform: bool
    is_live: bool


class Audience:
    """The enabled destinations, and the accounts that they may hear of. `places` reads all there
    are: an account that is new, perhaps by another process, is looked up when it is first told of.
    """

    def __init__(
        self,
        destinations: Sequence[Destination],
        places: Callable[[], Awaitable[Sequence[Place]]],
    ) -> None:
        self.destinations = destinations
        self._read = places
        self._places: dict[int, Place] = {}

    async def place(self, environment_id: int) -> Place | None:
        """Return an environment's account."""
        if environment_id not in self._places:
            self._places = {place.environment_id: place for place in await self._read()}
        return self._places.get(environment_id)

    async def of(self, place: Place, topic: str) -> list[Destination]:
        """Return who hears of a topic there: its own destinations, and those of the platform's same
        mode that hear of connected accounts."""
        return [d for d in self.destinations if d.wants(topic) and await self._hears(d, place)]

    async def _hears(self, d: Destination, told: Place) -> bool:
        if not d.connect:
            return d.environment_id == told.environment_id
        own = await self.place(d.environment_id)
        is_above = own is not None and own.is_platform and not told.is_platform
        return is_above and own is not None and own.is_live == told.is_live


async def has_news(queries: Queries, lane: int, outbox_seq: int) -> bool:
    """Tell whether a lane has told something since; a short read by the outbox's key."""
    rows = await queries.fetch(
        "SELECT seq FROM outbox WHERE lane = $1 AND seq > $2 LIMIT 1", lane, outbox_seq
    )
    return bool(rows)


async def fan_out(
    queries: Queries, lane: int, after_seq: int, audience: Audience, ids: IdSource, now_us: int
) -> Told:
    """Make deliveries of what comes next in a lane's outbox, and move its cursor (inside a
    transaction that has the lane's cursor)."""
    limit = max(1, min(MAX_ROWS, MAX_DELIVERIES // max(1, len(audience.destinations))))
    rows = await queries.fetch(
        "SELECT seq, customer_id, environment_id, topic, created_at, data FROM outbox "
        f"WHERE lane = $1 AND seq > $2 ORDER BY seq LIMIT {limit}",
        lane,
        after_seq,
    )
    if not rows:
        return Told(after_seq, 0, [])
    events: list[Event] = []
    pairs: list[tuple[Event, str, int]] = []
    for seq, customer_id, environment_id, topic, created_at, data in rows:
        place = await audience.place(environment_id) if audience.destinations else None
        if place is None:
            continue
        all_hearing = await audience.of(place, topic)
        hearing = [d for d in all_hearing if seq > d.since.get(str(lane), 0)]
        if hearing:
            at = from_us(created_at)
            event_id = derived_id("whe", at, customer_id, str(seq))
            body = _body(event_id, topic, at, place, msgspec.Raw(data.encode()))
            event = Event(event_id, topic, created_at, body, customer_id, customer_id)
            events.append(event)
            pairs += [(event, d.id, d.environment_id) for d in hearing]
    await deliveries.insert_events(queries, events, now_us)
    ready = await deliveries.insert(queries, lane, pairs, ids, now_us)
    await queries.fetch(
        "UPDATE webhook_cursors SET outbox_seq = $2 WHERE lane = $1", lane, rows[-1][0]
    )
    return Told(rows[-1][0], len(rows), ready)


def _body(event_id: str, topic: str, at: datetime, place: Place, data: msgspec.Raw) -> str:
    account = None if place.is_platform else place.account_id
    return deliveries.body_of(Payload(event_id, topic, at, place.is_live, data, account))


async def tell(
    queries: Queries,
    hearing: Sequence[Destination],
    topic: str,
    data: Any,
    place: Place,
    ids: IdSource,
    now: datetime,
    *,
    line: str | None = None,
) -> str:
    """Tell these destinations of what belongs to no customer, in the transaction that makes it true
    and that has the lock of `destinations`; returns the event's id. What has the same `line`
    arrives in its order; None: it waits for nothing."""
    event_id = ids.next("whe")
    body = _body(event_id, topic, now, place, msgspec.Raw(encode(data)))
    event = Event(event_id, topic, to_us(now), body, line or event_id)
    lanes = await queries.fetch("SELECT min(lane) FROM webhook_cursors")
    await deliveries.insert_events(queries, [event], to_us(now))
    pairs = [(event, d.id, d.environment_id) for d in hearing]
    await deliveries.insert(queries, lanes[0][0], pairs, ids, to_us(now))
    return event.id
