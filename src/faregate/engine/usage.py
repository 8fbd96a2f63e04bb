"""Operations on usage events: recording them, simulating them, looking at them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

from faregate.catalog import products
from faregate.catalog.products import VersionName
from faregate.core.codec import checked
from faregate.core.decision import Answer
from faregate.core.events import (
    MAX_EVENTS,
    BookedEvent,
    EventsBooked,
    RecordEvents,
    UsageEvent,
    with_costs,
)
from faregate.core.imagined import Imagined
from faregate.core.instants import is_in_range
from faregate.core.outcomes import OutcomeRequest, OutcomeSettled, SettleOutcome
from faregate.core.problems import (
    NOT_FOUND,
    FaregateError,
    Problem,
    conflict,
    invalid,
)
from faregate.core.simulating import SimulatedFee, simulate
from faregate.core.subscriptions import CompiledVersion
from faregate.engine.base import EngineBase, Page
from faregate.ledger import reading, totals
from faregate.ledger.reading import ListedEvent
from faregate.platform.environments import AccountContext


class UsageOperations(EngineBase):
    """Usage events."""

    async def record_events(
        self,
        customer_id: str,
        events: Sequence[UsageEvent],
        *,
        is_lenient: bool = False,
        are_checked: bool = False,
        weight: int = 0,
        context: AccountContext | None = None,
    ) -> EventsBooked:
        """Price and charge a customer's usage events, in order, each once.

        All or nothing, unless `is_lenient`: then each event's own status is in the answer.
        `are_checked` says that the events were decoded from JSON, which checks them already.
        `weight` is what they count for in the lane's bounded queue, at least 1 each.
        """
        if not 1 <= len(events) <= MAX_EVENTS:
            raise FaregateError(invalid("events", f"has {len(events)}: send 1 to {MAX_EVENTS}"))
        if not are_checked:
            events = [_checked_event(event, index) for index, event in enumerate(events)]
        weight = max(weight, len(events))
        answer = self.try_record(customer_id, tuple(events), is_lenient, weight, context)
        if answer is None:
            await self._lane_of(self._environment(context), customer_id)
            answer = self.try_record(customer_id, tuple(events), is_lenient, weight, context)
        if answer is None:
            raise AssertionError("the customer's lane was just looked up")
        return cast(EventsBooked, await answer)

    def refuse_if_overloaded(self) -> None:
        """Raise `FaregateError` (429) if every lane has as much to do as it can.

        For who has not read a request yet: to read what will be refused takes the time that is
        lacking for what was accepted.
        """
        if all(lane.is_overloaded for lane in self._lanes):
            raise self._lanes[0].overloaded()

    def try_record(
        self,
        customer_id: str,
        events: tuple[UsageEvent, ...],
        is_lenient: bool,
        weight: int,
        context: AccountContext | None,
    ) -> asyncio.Future[Answer] | None:
        """Queue checked events of a customer whose lane is known; None if it is to be looked up.

        The short way in for those who call very often: what comes back is the lane's own future.
        Raises `FaregateError` (429, 503) as `Lane.submit` does.
        """
        environment = (context or self._context).environment_id
        number = self._lane_by_customer.get((environment, customer_id))
        if number is None:
            return None
        command = RecordEvents(customer_id, events, is_lenient, self._clock())
        return self._lanes[number].submit(command, environment, weight)

    async def simulate_usage(
        self,
        product: str,
        version: VersionName,
        events: Sequence[UsageEvent],
        *,
        context: AccountContext | None = None,
    ) -> tuple[list[SimulatedFee], list[str]]:
        """Price made-up events under one version, a draft too; changes nothing.

        They are those of a new customer, without coupons. Returns the fees, as commitments cut
        them, and warnings: per event that gave none or was cut, and of what misses a minimum.
        """
        environment = await self._look(context)
        found = products.find_product(self._catalog, environment, product)
        row = products.find_version(found, version)
        view = self._catalog.view(environment)
        compiled = self._catalog.compile(found, row, view.assets)
        imagined: Imagined | None = None
        if row.commitments and events:
            offered = CompiledVersion(
                row.version, {}, *self._catalog.compile_plans(found, row, view.assets)
            )
            begins_at = min([event.occurred_at for event in events])
            imagined = Imagined(found.id, offered, begins_at, view.timezone)
        said: list[str] = []
        if view.costing is not None:
            costed = [with_costs(event, view.costing) for event in events]
            events = [event for event, _ in costed]
            said = [
                f"events[{index}]: {costing.warning}"
                for index, (_, costing) in enumerate(costed)
                if costing is not None and costing.warning is not None
            ]
        outcome = simulate(compiled, events, view.timezone, view.rates, imagined=imagined)
        if isinstance(outcome, Problem):
            raise FaregateError(outcome)
        fees, warnings = outcome
        return fees, [*warnings, *said]

    async def get_event(
        self,
        event_id: str,
        customer_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> tuple[str, BookedEvent]:
        """Return (customer id, event as it stands now). Raises 409 if several customers have used
        the id."""
        environment = await self._look(context)
        customer_id = await self._owner_of(environment, event_id, customer_id, "add ?customer_id=")
        lane = await self._lane_of(environment, customer_id)
        booked = await reading.read_event(self._store, lane.number, (event_id, customer_id))
        if booked is None:
            raise FaregateError(Problem(NOT_FOUND, f"there is no event {event_id!r}"))
        return customer_id, booked

    async def _owner_of(
        self, environment: int, event_id: str, customer_id: str | None, remedy: str
    ) -> str:
        """Return whose event is meant. Raises 404, and 409 if several customers have used the id
        and none is named."""
        if customer_id is not None:
            return customer_id
        owners = await reading.owners_of_event(self._store, environment, event_id)
        if len(owners) > 1:
            detail = f"several customers have an event {event_id!r}: {remedy}"
            raise FaregateError(conflict("customer_id", detail))
        if not owners:
            raise FaregateError(Problem(NOT_FOUND, f"there is no event {event_id!r}"))
        return owners[0]

    async def settle_outcome(
        self,
        event_id: str,
        request: OutcomeRequest,
        customer_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> tuple[str, OutcomeSettled]:
        """Say what became of an event: charge it, change what it costs, or give it back.

        Returns (customer id, answer). Raises 404, and 409 if several customers have used the id
        and none is named, or if it contradicts what was said before.
        """
        request = checked(request)
        environment = self._environment(context)
        remedy = "send customer_id as well"
        customer_id = await self._owner_of(environment, event_id, customer_id, remedy)
        lane = await self._lane_of(environment, customer_id)
        command = SettleOutcome(customer_id, event_id, request)
        return customer_id, cast(OutcomeSettled, await lane.submit(command, environment))

    async def list_events(
        self,
        limit: int = 20,
        offset: int = 0,
        filters: Mapping[str, Any] | None = None,
        *,
        context: AccountContext | None = None,
    ) -> Page:
        """List events, the newest first. Filters as in `reading.list_events`; dates as days."""
        wanted = dict(filters or {})
        for field, bound, days in (
            ("period_from", "occurred_from", 0),
            ("period_to", "occurred_before", 1),
        ):
            day = wanted.get(field)
            if isinstance(day, date):
                if not is_in_range(datetime.combine(day, time(), UTC)):
                    raise FaregateError(invalid(field, f"is {day}: send a day from 1970 to 8999"))
                first = wanted.get("period_from")
                if isinstance(first, date) and day < first:
                    remedy = f"before period_from, which is {first}: send that day or a later one"
                    raise FaregateError(invalid(field, f"is {day}, {remedy}"))
                wanted[bound] = datetime.combine(day + timedelta(days=days), time(), UTC)
        environment = await self._look(context)
        lanes = [lane.number for lane in self._lanes]
        customer_id = wanted.get("customer_id")
        if customer_id is not None:
            try:
                lanes = [(await self._lane_of(environment, customer_id)).number]
            except FaregateError:
                return Page([], 0, limit, offset)
        found: list[ListedEvent]
        found, total = await reading.list_events(
            self._store, environment, lanes, wanted, limit, offset
        )
        return Page(found, total, limit, offset)

    async def latest_events(
        self, limit: int = 20, *, context: AccountContext | None = None
    ) -> list[ListedEvent]:
        """Return the newest events, the newest first, without counting how many there are."""
        return await totals.latest_events(self._store, self._environment(context), limit)


def _checked_event(event: UsageEvent, index: int) -> UsageEvent:
    try:
        return checked(event)
    except FaregateError as error:
        raise FaregateError(error.problem.under(f"events[{index}]")) from None
