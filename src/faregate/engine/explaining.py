"""Operations that say why events cost what they cost: the rules are in `core.reasons`, who paid is
found where outcomes find it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from faregate.core.problems import NOT_FOUND, FaregateError, Problem
from faregate.core.reasons import EventReason, explain_event
from faregate.core.refunds import Payment
from faregate.engine.usage import UsageOperations
from faregate.ledger import reading
from faregate.ledger.standings import read_standings
from faregate.platform.environments import AccountContext
from faregate.store.protocol import Pair

MAX_EXPLAINED: Final = 100
"""Events that one call explains."""


class ExplainingOperations(UsageOperations):
    """Why fees are what they are."""

    async def explain_event(
        self,
        event_id: str,
        customer_id: str | None = None,
        *,
        context: AccountContext | None = None,
    ) -> EventReason:
        """Say why an event costs what it costs, as it stands now. Raises 404, and 409 if several
        customers have used the id and none is named."""
        environment = await self._look(context)
        owner = await self._owner_of(environment, event_id, customer_id, "add ?customer_id=")
        await self._lane_of(environment, owner)
        found = await self.explain_events([(event_id, owner)], context=context)
        if not found:
            raise FaregateError(Problem(NOT_FOUND, f"there is no event {event_id!r}"))
        return found[event_id, owner]

    async def explain_events(
        self, keys: Sequence[Pair], *, context: AccountContext | None = None
    ) -> dict[Pair, EventReason]:
        """Explain events, given as (event id, customer id), at most `MAX_EXPLAINED`; those that are
        not there are left out."""
        environment = await self._look(context)
        view = self._catalog.view(environment)
        by_lane: defaultdict[int, list[Pair]] = defaultdict(list)
        for event_id, customer_id in keys[:MAX_EXPLAINED]:
            lane = await self._lane_of(environment, customer_id)
            by_lane[lane.number].append((event_id, customer_id))
        said: dict[Pair, EventReason] = {}
        for number, mine in by_lane.items():
            read = await read_standings(self._store, number, mine, for_lane=False)
            paid: defaultdict[str, list[Payment]] = defaultdict(list)
            for _, fee_id, account, units in sorted(set(read.payments)):
                paid[fee_id].append(Payment(account, units))
            for key, booked in read.events.items():
                stands = read.outcomes.get(key)
                payments: dict[str, Sequence[Payment]] = dict(paid)
                if stands is not None:
                    payments = {one.fee.id: one.payments for one in stands.fees}
                stood = reading.as_it_stands(booked, stands)
                said[key] = explain_event(key[1], stood, payments, read.grants, view)
        return said
