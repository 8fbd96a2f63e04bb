"""Looking for events across all customers: what was asked for, checked and turned into filters."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from faregate.core.amounts import AmountError, Number, to_units
from faregate.core.codec import checked
from faregate.core.given import Id
from faregate.core.instants import is_in_range
from faregate.core.prices import Key
from faregate.core.problems import FaregateError, invalid
from faregate.customers import directory
from faregate.engine.base import EngineBase
from faregate.ledger.exploring import EventFilters, FoundEvent, Shows, explore
from faregate.platform.environments import AccountContext

MAX_LIMIT: Final = 100
_CURSOR: Final = re.compile(r"\d{1,5}\.\d{1,20}(?:~\d{1,5}\.\d{1,20}){0,99}")


class WantedEvents(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """Which events. `customer` is an id, ours or the seller's. Days are those on which events were
    booked, in UTC, both included. `min_fee` is in `asset`. `data_key` is a key of the event's data,
    whose value is `data_text`."""

    customer: Id | None = None
    event_id: Id | None = None
    event_types: Annotated[tuple[Key, ...], Meta(max_length=100)] = ()
    subject: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    period_from: date | None = None
    period_to: date | None = None
    shows: Shows | None = None
    min_fee: Number | None = None
    asset: Key | None = None
    data_key: Key | None = None
    data_text: Annotated[str, Meta(max_length=200)] = ""


class ExploredPage(msgspec.Struct, frozen=True):
    """A page of events, the newest first. `next` goes on (None: that is all). Where it does,
    `searched_to` says how far back the look has come. `names` has customers' names and own ids."""

    events: list[FoundEvent]
    names: dict[str, tuple[str, str | None]]
    next: str | None = None
    searched_to: datetime | None = None


class ExploringOperations(EngineBase):
    """Events across customers."""

    async def explore_events(
        self,
        wanted: WantedEvents,
        limit: int = 50,
        cursor: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> ExploredPage:
        """Look for events, the newest first, so many at a time. One look goes through so many
        events and no more: it may find less than there is, and says how far it has come.

        Raises 422 for a filter that cannot be."""
        environment = await self._look(context)
        filters = await self._event_filters(environment, wanted)
        position = None if cursor is None else _read_cursor(cursor)
        lanes = [lane.number for lane in self._lanes]
        if filters.customer_id is not None:
            lanes = [(await self._lane_of(environment, filters.customer_id)).number]
        found = await explore(
            self._store,
            lanes,
            filters,
            max(1, min(limit, MAX_LIMIT)),
            position,
            is_in_order=not self._catalog.view(environment).clocks,
        )
        customers = list({one.listed.customer_id for one in found.events})
        names = await directory.names(self._store, environment, customers)
        rest = None if found.position is None else _write_cursor(found.position)
        return ExploredPage(found.events, names, rest, found.searched_to)

    async def _event_filters(self, environment: int, wanted: WantedEvents) -> EventFilters:
        """Check what is wanted. Raises 422."""
        wanted = checked(wanted)
        bounds: list[datetime | None] = []
        for field, days in (("period_from", 0), ("period_to", 1)):
            day: date | None = getattr(wanted, field)
            if day is None:
                bounds.append(None)
                continue
            if not is_in_range(datetime.combine(day, time(), UTC)):
                raise FaregateError(invalid(field, f"is {day}: send a day from 1970 to 8999"))
            bounds.append(datetime.combine(day + timedelta(days=days), time(), UTC))
        first, before = bounds
        if first is not None and before is not None and before <= first:
            remedy = f"before the first day, {wanted.period_from}: choose that day or a later one"
            raise FaregateError(invalid("period_to", f"is {wanted.period_to}, {remedy}"))
        if wanted.data_text and wanted.data_key is None:
            raise FaregateError(invalid("data_key", "is missing: name the key of the data"))
        customer_id = None
        if wanted.customer is not None:
            customer_id = await self._customer_named(environment, wanted.customer)
        asset, units = wanted.asset, None
        if wanted.min_fee is not None:
            asset = asset or "USD"
        if asset is not None:
            known = self._catalog.view(environment).assets.get(asset)
            if known is None:
                raise FaregateError(invalid("asset", f"{asset[:50]!r} is not an asset here"))
            if wanted.min_fee is not None:
                try:
                    units = to_units(wanted.min_fee, known.scale)
                except AmountError as error:
                    raise FaregateError(invalid("min_fee", str(error))) from None
        return EventFilters(
            environment,
            customer_id,
            wanted.event_id,
            wanted.event_types,
            wanted.subject,
            first,
            before,
            wanted.shows,
            units,
            asset,
            wanted.data_key,
            wanted.data_text,
        )

    async def _customer_named(self, environment: int, name: str) -> str:
        """Return the id of a customer who is named by it, or by the seller's own. Raises 422."""
        found = await directory.names(self._store, environment, [name])
        if found:
            return name
        try:
            return await directory.find_by_external_id(self._store, environment, name)
        except FaregateError:
            detail = f"{name[:100]!r} is nobody's id: write a customer's id, or your own for them"
            raise FaregateError(invalid("customer", detail)) from None


def _write_cursor(position: dict[int, int]) -> str:
    return "~".join([f"{lane}.{seq}" for lane, seq in position.items()])


def _read_cursor(text: str) -> dict[int, int]:
    if _CURSOR.fullmatch(text) is None:
        raise FaregateError(invalid("cursor", "is none of ours: begin with the newest events"))
    pairs = [part.split(".") for part in text.split("~")]
    return {int(lane): min(int(seq), 2**63 - 1) for lane, seq in pairs}
