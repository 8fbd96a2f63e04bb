"""What made-up events would cost a new customer: by the rules that price real ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from msgspec import structs

from faregate.core.compiled import CompiledPrice, PricedAsset
from faregate.core.conversion import (
    NO_RATES,
    Rates,
    funding_rate,
    in_currency,
    no_rate,
    paid_units,
    shown_rate,
)
from faregate.core.costs import Cost
from faregate.core.events import UsageEvent
from faregate.core.imagined import Imagined
from faregate.core.instants import LATEST
from faregate.core.pricing import Match, fee_units, price_event
from faregate.core.problems import Problem
from faregate.core.reducing import Reduced
from faregate.core.tiers import TierKey, period_from_us


class SimulatedFee(msgspec.Struct, frozen=True):
    """What an event would cost: `units` of the scale of `priced.asset`, after what was taken off
    (`reduced`); where that is paid in another asset, `paid_units` of the scale of
    `priced.funding.asset`, at this rate."""

    event_id: str
    compiled: CompiledPrice
    priced: PricedAsset
    match: Match
    units: int
    paid_units: int | None = None
    exchange_rate: Decimal | None = None
    reduced: Reduced | None = None


def first_asset(compiled: CompiledPrice) -> PricedAsset:
    """Return the asset in which somebody pays who has no account yet."""
    return compiled.assets[0]


def simulate(
    prices: tuple[CompiledPrice, ...],
    events: Sequence[UsageEvent],
    timezone: str = "UTC",
    rates: Rates = NO_RATES,
    *,
    begins_at: datetime | None = None,
    choose: Callable[[CompiledPrice], PricedAsset] = first_asset,
    imagined: Imagined | None = None,
    rates_at: datetime | None = None,
    is_lenient: bool = False,
) -> tuple[list[SimulatedFee], list[str]] | Problem:
    """Price events under these prices, as a new customer's would be.

    Rounding carries over from event to event, and tiers count, as they do when they are booked. The
    subscription begins with the earliest event, unless it says when; `timezone` is the account's;
    `choose` says in which asset a price is paid. What is in another asset is converted at the rates
    of `rates_at`, else of when each event occurred. The discounts and commitments of an `imagined`
    subscription reduce the fees; where its periods stand still, those of tiers do, too. Where it
    `is_lenient`, what would be refused is a warning.
    """
    if begins_at is None:
        begins_at = min([event.occurred_at for event in events], default=LATEST)
    fees: list[SimulatedFee] = []
    warnings: list[str] = []
    carries: dict[str, int] = {}
    left_over: dict[str, int] = {}
    counted: defaultdict[TierKey, dict[tuple[str, int], int]] = defaultdict(dict)
    for index, event in enumerate(events):
        matching = [price for price in prices if price.event_type == event.event_type]
        if not matching:
            warnings.append(f"events[{index}]: no price for event_type={event.event_type}")
        for compiled in matching:
            priced = choose(compiled)
            tiering = compiled.tiering
            from_us = 0
            if tiering is not None and not (imagined is not None and imagined.stands_still):
                period = tiering.period
                from_us = period_from_us(period, event.occurred_at, begins_at, timezone)
            counts = counted[compiled.id, from_us]
            at = rates_at or event.occurred_at
            costs: Sequence[Cost] = event.costs or ()
            if compiled.counts_costs:
                costs = in_currency(costs, priced.asset.code, rates, at)
            match = price_event(compiled, priced, event.data or {}, counts, costs)
            if isinstance(match, Problem):
                if not is_lenient:
                    return match.under(f"events[{index}]")
                match = f"is refused: {match.detail}"
            funding = priced.funding
            rate = None
            if funding is not None and isinstance(match, Match):
                rate = funding_rate(funding, priced.asset.code, rates, at)
                if rate is None:
                    missing = no_rate(priced.asset.code, funding.asset.code, at)
                    match = f"no fee under {compiled.price.name!r}: {missing}"
            if isinstance(match, str):
                warnings.append(f"events[{index}]: {match}")
                continue
            key = (priced.asset.code, match.entry)
            counts[key] = counts.get(key, 0) + match.quantity
            carried = carries.get(compiled.id, 0)
            units, carries[compiled.id] = fee_units(match.numerator, priced.denominator, carried)
            reduced: Reduced | None = None
            if imagined is not None:
                code, used_at = priced.asset.code, event.occurred_at
                reduced, said = imagined.reduce(compiled, code, units, used_at)
                warnings += [f"events[{index}]: {text}" for text in said]
                units -= 0 if reduced is None else reduced.units
            fee = SimulatedFee(event.id, compiled, priced, match, units, reduced=reduced)
            if funding is not None and rate is not None:
                before = left_over.get(compiled.id, 0)
                paid, left = paid_units(units, priced.asset, funding.asset, rate, before)
                left_over[compiled.id] = left
                fee = structs.replace(fee, paid_units=paid, exchange_rate=shown_rate(rate))
            fees.append(fee)
    if imagined is not None and not imagined.stands_still:
        warnings += imagined.said_of_missing()
    return fees, warnings
