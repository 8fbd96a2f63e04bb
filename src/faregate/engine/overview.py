"""Operations for whoever opens the dashboard: how it goes, how it stands, what needs attention.
They read, and change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from msgspec import structs

from faregate.core.amounts import to_decimal
from faregate.core.instants import to_us
from faregate.core.margins import Sums, shown_amount, shown_margin
from faregate.core.problems import FaregateError, invalid
from faregate.customers import directory
from faregate.engine.insights import InsightOperations
from faregate.engine.troubles import TroubleOperations
from faregate.insights.grouping import Key, sorted_groups
from faregate.insights.overview import (
    DAYS,
    HOURS,
    SPANS,
    Attention,
    Overview,
    Pulse,
    Stretch,
    Subject,
)
from faregate.insights.types import DEFAULT_CURRENCY, Summary, amounts
from faregate.ledger import overdrafts, troubles
from faregate.ledger.questions import Asked
from faregate.payments import records
from faregate.platform.environments import AccountContext

WORST: Final = 5
"""How many each attention names."""
_BRING_LESS: Final = "products cost more than they bring"
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class OverviewOperations(TroubleOperations, InsightOperations):
    """What comes first."""

    async def overview(
        self,
        span: str = "30d",
        *,
        currency: str = DEFAULT_CURRENCY,
        context: AccountContext | None = None,
    ) -> Overview:
        """Return what came in and what it cost over a span (`24h` by hour; `7d`, `30d`, `90d` by
        day, up to now), the span before it, and what needs attention. Raises 422."""
        environment = await self._look(context)
        chosen = next((known for known in SPANS if known == span), None)
        if chosen is None:
            detail = f"{span[:100]!r} is none of: {', '.join(SPANS)}"
            raise FaregateError(invalid("span", detail))
        now = self.now()
        step, count = (_HOUR, HOURS) if chosen == "24h" else (_DAY, DAYS[chosen])
        end = _floor(now, step) + step
        begin = end - count * step
        asked = Asked(
            environment,
            currency,
            ("hour" if step is _HOUR else "day",),
            from_us=to_us(begin - count * step),
            to_us=to_us(end),
        )
        groups = await self._add_up(asked)
        summed = {_instant(key[0]): sums for key, sums in groups.by_key.items()}
        whole, earlier = Sums(), Sums()
        for at, sums in summed.items():
            (whole if at >= begin else earlier).add(sums)
        return Overview(
            chosen,
            currency,
            [_stretch(begin + n * step, summed.get(begin + n * step)) for n in range(count)],
            self._summary(environment, whole, currency),
            self._summary(environment, earlier, currency),
            await self._attention(environment, now, context),
        )

    async def losses(
        self, *, currency: str = DEFAULT_CURRENCY, context: AccountContext | None = None
    ) -> list[Attention]:
        """Return what brought less than it cost in 30 days, and what nobody paid for. It looks at
        every customer who used anything in that time: nothing to ask for every few seconds."""
        environment = await self._look(context)
        return await self._losses(environment, currency, self.now())

    async def pulse(
        self, *, currency: str = DEFAULT_CURRENCY, context: AccountContext | None = None
    ) -> Pulse:
        """Return how it stands now: quick enough to be asked every few seconds."""
        environment = await self._look(context)
        now = self.now()
        hour = _floor(now, _HOUR)
        asked = Asked(
            environment,
            currency,
            ("hour",),
            from_us=to_us(hour - _HOUR),
            to_us=to_us(hour + _HOUR),
        )
        groups = (await self._add_up(asked)).by_key
        this, before = groups.get((hour,)) or Sums(), groups.get((hour - _HOUR,)) or Sums()
        declined = await troubles.declined_since(self._store, environment, to_us(now - _HOUR))
        return Pulse(
            currency,
            hour,
            shown_amount(this.revenue),
            shown_amount(before.revenue),
            this.events,
            declined.number,
            declined.is_whole,
            await records.count_failed(self._store, environment, now - _DAY),
            await overdrafts.count_overdrawn(self._store, environment),
            await directory.count_customers(self._store, environment),
        )

    def _summary(self, environment: int, sums: Sums, currency: str) -> Summary:
        assets = self._catalog.view(environment).assets
        return Summary(events=sums.events, currency=currency, **amounts(sums, assets))

    async def _attention(
        self, environment: int, now: datetime, context: AccountContext | None
    ) -> list[Attention]:
        """Return what needs attention, what costs money first."""
        found = [
            await self._overdrawn(environment),
            await self._failed_payments_lately(environment, now),
            await self._stopped_auto_top_ups(environment, now, context),
            await self._required_actions(environment, now, context),
            await self._disabled_webhooks(context),
        ]
        return [one for one in found if one is not None]

    async def _overdrawn(self, environment: int) -> Attention | None:
        count = await overdrafts.count_overdrawn(self._store, environment)
        if not count:
            return None
        assets = self._catalog.view(environment).assets
        lowest = await overdrafts.deepest(self._store, environment, WORST)
        names = await self._customer_names(environment, [one.customer_id for one in lowest])
        subjects = [
            Subject(
                "customer",
                one.customer_id,
                names.get(one.customer_id, one.customer_id),
                amount=-to_decimal(one.units, assets[one.asset].scale),
                asset=one.asset,
            )
            for one in lowest[:WORST]
        ]
        sentence = _counted(count, "customer has", "customers have") + " used more than they had."
        return Attention("overdrawn", count, sentence, subjects)

    async def _losses(self, environment: int, currency: str, now: datetime) -> list[Attention]:
        end = _floor(now, _DAY) + _DAY
        asked = Asked(
            environment, currency, ("customer",), from_us=to_us(end - 30 * _DAY), to_us=to_us(end)
        )
        try:
            by_customer: Mapping[Key, Sums] = (await self._add_up(asked)).by_key
        except FaregateError:
            # Too many customers to look at each: what else there is to say is said all the same.
            by_customer = {}
        by_product = await self._add_up(structs.replace(asked, by=("product",)))
        found = []
        at_a_loss = _below_zero(by_customer)
        if at_a_loss:
            worst = at_a_loss[:WORST]
            names = await self._customer_names(environment, [key[0] for key, _ in worst])
            subjects = [
                _loss(Subject("customer", key[0], names.get(key[0], str(key[0]))), sums, currency)
                for key, sums in worst
            ]
            words = _counted(len(at_a_loss), "customer costs", "customers cost")
            sentence = f"{words} more than they bring, in the last 30 days."
            found.append(Attention("customers_at_a_loss", len(at_a_loss), sentence, subjects))
        products = [one for one in _below_zero(by_product.by_key) if one[0][0] is not None]
        if products:
            subjects = [
                _loss(
                    Subject("product", of[0], f"{of[1] or of[0]}, version {of[2]}"), sums, currency
                )
                for (of,), sums in products[:WORST]
            ]
            words = _counted(len(products), "product costs more than it brings", _BRING_LESS)
            sentence = f"{words}, in the last 30 days."
            found.append(Attention("products_at_a_loss", len(products), sentence, subjects))
        nobodys = by_product.by_key.get((None,))
        if nobodys is not None and nobodys.events:
            found.append(await self._unpriced(asked, nobodys.events))
        return found

    async def _unpriced(self, asked: Asked, count: int) -> Attention:
        """Say of which types the events are that no price was charged for."""
        groups = await self._add_up(structs.replace(asked, by=("event_type", "price")))
        of_types = [
            (key[0], sums.events)
            for key, sums in groups.by_key.items()
            if key[1] is None and sums.events
        ]
        subjects = [
            Subject("event_type", name or "", name or "", _counted(events, "event", "events"))
            for name, events in sorted(of_types, key=lambda one: (-one[1], one[0]))[:WORST]
        ]
        words = _counted(count, "event has", "events have")
        sentence = f"{words} no fee: no price fits, or the outcome is pending."
        return Attention("unpriced_events", count, sentence, subjects)


def _floor(at: datetime, step: timedelta) -> datetime:
    if step is _HOUR:
        return at.replace(minute=0, second=0, microsecond=0)
    return datetime.combine(at.date(), time(), UTC)


def _instant(moment: Any) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time(), UTC)


def _stretch(at: datetime, sums: Sums | None) -> Stretch:
    sums = sums or Sums()
    return Stretch(
        at,
        sums.events,
        shown_amount(sums.revenue),
        shown_amount(sums.costs),
        shown_amount(sums.net),
        shown_margin(sums.margin),
    )


def _below_zero(by_key: Mapping[Key, Sums]) -> list[tuple[Key, Sums]]:
    return [one for one in sorted_groups(by_key, "net_revenue") if one[1].net < 0]


def _product(of: tuple[str, str | None, int]) -> tuple[str, str]:
    product_id, code, version = of
    return product_id, f"{code or product_id}, version {version}"


def _loss(subject: Subject, sums: Sums, currency: str) -> Subject:
    return structs.replace(subject, amount=shown_amount(sums.net), asset=currency)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
