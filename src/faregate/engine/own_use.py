"""Operations on what one customer has used, as they see it themselves: by day and by subject, and
how far their balance still goes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.compiled import CompiledPrice
from faregate.core.instants import is_in_range
from faregate.core.problems import FaregateError, invalid
from faregate.core.subscriptions import CatalogView, in_force
from faregate.core.uses_left import UsesLeft, from_prices, from_recent_use
from faregate.core.windows import find_zone
from faregate.engine.base import EngineBase
from faregate.ledger import customer_usage, reading
from faregate.ledger.customer_usage import NOTHING, Used
from faregate.ledger.reading import Present
from faregate.platform.environments import AccountContext

MAX_DAYS: Final = 92
RECENT: Final = timedelta(days=30)
SAMPLE: Final = 500
"""Events by which it is estimated how far a balance goes: the newest ones."""


class DayOfUse(msgspec.Struct, frozen=True):
    """What was used on a day: how many events, and what they cost, by asset."""

    day: date
    events: int
    fees: dict[str, Decimal]


class PartOfUse(msgspec.Struct, frozen=True):
    """What was used by one subject (None: by nobody in particular), or of one event type."""

    name: str | None
    events: int
    fees: dict[str, Decimal]


class CustomerUse(msgspec.Struct, frozen=True):
    """What a customer has used in a time, every day of it, also those without any use; and by
    subject and type, those with the most events first. An event with fees in several assets counts
    with the first one. `since` (None: it is whole) says from when on events were looked at, where
    there are very many."""

    from_day: date
    to_day: date
    timezone: str
    days: list[DayOfUse]
    subjects: list[PartOfUse]
    event_types: list[PartOfUse]
    since: datetime | None = None


class OwnUseOperations(EngineBase):
    """What a customer has used, and may still use."""

    async def customer_usage(
        self,
        customer_id: str,
        from_day: date,
        to_day: date,
        *,
        context: AccountContext | None = None,
    ) -> CustomerUse:
        """Return what a customer has used from one day to another, both included, as days are in
        the account's timezone. Raises 404; 422 for more than `MAX_DAYS` days."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        view = self._catalog.view(environment)
        if to_day < from_day:
            remedy = f"is before {from_day}, where it begins: send that day or a later one"
            raise FaregateError(invalid("to_day", f"{to_day} {remedy}"))
        if (to_day - from_day).days >= MAX_DAYS:
            remedy = f"is more than {MAX_DAYS} days after {from_day}: send a shorter time"
            raise FaregateError(invalid("to_day", f"{to_day} {remedy}"))
        zone = find_zone(view.timezone) or UTC
        from_at, to_at = (
            datetime.combine(day, time(), zone) for day in (from_day, to_day + timedelta(days=1))
        )
        for field, moment in (("from_day", from_at), ("to_day", to_at)):
            if not is_in_range(moment):
                raise FaregateError(invalid(field, "is out of range: send a day from 1970 on"))
        place = (lane.number, customer_id, from_at, to_at)
        async with self._store.snapshot() as snapshot:
            usage = await customer_usage.read_usage(snapshot, *place)
            since = await customer_usage.looked_at_since(snapshot, lane.number, customer_id)
        days = {from_day + timedelta(days=n): NOTHING for n in range((to_day - from_day).days + 1)}
        for at, used in usage.quarters.items():
            day = at.astimezone(zone).date()
            units = dict(days[day].units)
            for code, more in used.units.items():
                units[code] = units.get(code, 0) + more
            days[day] = Used(days[day].events + used.events, units)
        assets = view.assets
        return CustomerUse(
            from_day,
            to_day,
            view.timezone,
            [DayOfUse(day, used.events, _fees(used, assets)) for day, used in days.items()],
            [
                PartOfUse(name, used.events, _fees(used, assets))
                for name, used in usage.subjects.items()
            ],
            [
                PartOfUse(name, used.events, _fees(used, assets))
                for name, used in usage.event_types.items()
            ],
            since if since is not None and since > from_at else None,
        )

    async def uses_left(
        self, customer_id: str, *, context: AccountContext | None = None
    ) -> dict[str, list[UsesLeft]]:
        """Return how far each account of a customer still goes, in uses of what they have used in
        the last 30 days, or of what their prices sell; nothing for accounts of which it cannot be
        told. Raises 404."""
        environment = await self._look(context)
        lane = await self._lane_of(environment, customer_id)
        present = await self._present(environment, lane, customer_id)
        view = self._catalog.view(environment)
        keys = await customer_usage.newest_events(
            self._store, lane.number, customer_id, present.now - RECENT, SAMPLE
        )
        events = list((await reading.read_events(self._store, lane.number, keys)).values())
        sold = _prices_in_force(present, view)
        found = {}
        for account in present.accounts.values():
            left = account.available_units
            told = from_recent_use(account.id, left, events, dict(view.prices))
            told = told or from_prices(account.id, left, sold)
            if told:
                found[account.id] = told
        return found


def _parts(used: Mapping[str | None, Used], assets: Mapping[str, Asset]) -> list[PartOfUse]:
    return [PartOfUse(name, one.events, _fees(one, assets)) for name, one in used.items()]


def _fees(used: Used, assets: Mapping[str, Asset]) -> dict[str, Decimal]:
    return {code: to_decimal(units, assets[code].scale) for code, units in used.units.items()}


def _prices_in_force(present: Present, view: CatalogView) -> list[CompiledPrice]:
    """Return the usage prices that a customer has now."""
    types = {
        price.event_type
        for subscription in present.subscriptions
        for binding in in_force(subscription.bindings, present.now)
        for price in view.prices.values()
        if price.product_id == binding.product_id
    }
    return [
        price
        for kind in sorted(types)
        for price in view.prices_for(present.subscriptions, kind, present.now)
    ]
