"""What a use that is about to happen will cost, by the rules that price events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from faregate.core.amounts import MAX_UNITS
from faregate.core.compiled import CompiledPrice
from faregate.core.conversion import carry_key, funding_rate, in_currency, no_rate, rounded_up
from faregate.core.costs import Cost
from faregate.core.customers import Changes
from faregate.core.events import choose_asset, price_charged
from faregate.core.grants import Purpose
from faregate.core.holds import Decline, HoldCount
from faregate.core.limiting import NOTHING_FREE, Use
from faregate.core.pricing import fee_units
from faregate.core.problems import Problem, invalid
from faregate.core.reducing import Reducing
from faregate.core.slices import Slices
from faregate.core.subscriptions import CatalogView


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """What a use is expected to cost, and on which account; `counts` is what it takes of free
    tiers, `wanted` what the credit is for."""

    account_id: str
    units: int
    scale: int
    counts: tuple[HoldCount, ...] = ()
    wanted: Purpose | None = None


def estimate(
    changes: Changes,
    event_type: str,
    data: Mapping[str, Any],
    is_upper_bound: bool,
    catalog: CatalogView,
    now: datetime,
    slices: Slices | None,
    subject: str | None = None,
    own: str | None = None,
) -> Estimate | Decline | Problem:
    """Price a use that is about to happen, by the prices and remainders of this customer now.

    `own` is the hold that asks for its next slice, if any.
    """
    subscriptions = changes.state.subscriptions
    prices = catalog.prices_for(subscriptions, event_type, now)
    if not prices:
        if catalog.sells(subscriptions, event_type):
            detail = f"no subscription with a price for {event_type!r} is active: activate one"
            return Decline("subscription_inactive", detail)
        detail = f"the customer has no price for event_type={event_type}: subscribe them to one"
        return Decline("no_price", detail)
    warnings: list[str] = []
    found: dict[str, Estimate] = {}
    measured: set[str | None] = set()
    products: set[str] = set()
    free = NOTHING_FREE
    reducing = Reducing(changes, catalog, now, now) if catalog.has_reductions else None
    if changes.limits is not None:
        use = expected_use(event_type, subject, data, is_upper_bound=is_upper_bound)
        free = changes.limits.free_share(use, changes.advanced_accounts(now), own)
    for compiled in prices:
        costs: Sequence[Cost] = ()
        if compiled.counts_costs:
            expected = _expected_costs(compiled, data, is_upper_bound, catalog, now)
            if isinstance(expected, Problem):
                return expected
            costs = expected
        priced = choose_asset(compiled, changes, catalog, now)
        read = data
        if is_upper_bound:
            bounds = _bounds(compiled, data)
            if isinstance(bounds, Problem):
                return bounds
            read = {**data, **bounds}
        from_us = catalog.tier_period_from_us(compiled, subscriptions, now)
        counted = changes.counted(compiled, from_us)
        if costs:
            costs = in_currency(costs, priced.asset.code, catalog.rates, now)
        match = price_charged(compiled, priced, read, costs, counted, free, slices, keeps=False)
        if isinstance(match, Problem):
            return match
        if isinstance(match, str):
            warnings.append(match)
            continue
        funding = priced.funding
        rate = None
        if funding is not None:
            rate = funding_rate(funding, priced.asset.code, catalog.rates, now)
            if rate is None:
                missing = no_rate(priced.asset.code, funding.asset.code, now)
                warnings.append(f"no fee under {compiled.price.name!r}: {missing}")
                continue
        measured.add(compiled.volume_field)
        products.update((compiled.product_id, compiled.product_code))
        carried = changes.carry((compiled.id, priced.asset.code))
        units, _ = fee_units(match.numerator, priced.denominator, carried, match.before_units)
        if reducing is not None:
            reduced = reducing.reduce(compiled, priced.asset.code, units)
            units -= 0 if reduced is None else reduced.units
        scale = priced.asset.scale
        if funding is not None and rate is not None:
            left = changes.carry(carry_key(compiled.id, funding))
            units = rounded_up(units, priced.asset, funding.asset, rate, left)
            scale = funding.asset.scale
        before = found.get(priced.account_id)
        total = units + (0 if before is None else before.units)
        found[priced.account_id] = Estimate(priced.account_id, total, scale)
    if not found:
        return Decline("no_price", "; ".join(warnings))
    if len(found) > 1:
        accounts = ", ".join(found)
        detail = f"{event_type!r} is charged to several accounts ({accounts})"
        return invalid("event_type", f"{detail}: hold max_amount of one asset instead")
    wanted = next(iter(found.values()))
    if wanted.units > MAX_UNITS:
        return invalid("data", "costs more than the ledger can hold: check the prices")
    purpose = Purpose(event_type, data, frozenset(products))
    counts = () if free is NOTHING_FREE else free.taken(measured)
    return Estimate(wanted.account_id, wanted.units, wanted.scale, counts, purpose)


def _expected_costs(
    compiled: CompiledPrice,
    data: Mapping[str, Any],
    is_upper_bound: bool,
    catalog: CatalogView,
    now: datetime,
) -> Sequence[Cost] | Problem:
    """Return what a call of a model will cost the seller, where costs are attached to events and
    the data tells of one; nobody knows other costs before they come."""
    shown = f"{compiled.price.name!r} is a markup on costs, "
    costing = None
    if catalog.costing is not None:
        costing = catalog.costing(_bounded(data) if is_upper_bound else data, now)
    if costing is not None and costing.costs is not None:
        return costing.costs
    why = "which nobody knows yet" if costing is None else f"and {costing.warning}"
    return invalid("event_type", f"{shown}{why}: hold max_amount and asset instead")


def _bounds(compiled: CompiledPrice, data: Mapping[str, Any]) -> dict[str, Any] | Problem:
    """Return the upper bounds of what a price measures and the data does not say yet."""
    bounds: dict[str, Any] = {}
    for field in compiled.measured_fields():
        if data.get(field) is None:
            bound = data.get(f"max_{field}")
            if bound is None:
                return invalid(f"data.max_{field}", f"or data.{field} is missing: say how much")
            bounds[field] = bound
    return bounds


def expected_use(
    event_type: str | None,
    subject: str | None,
    data: Mapping[str, Any] | None,
    *,
    is_upper_bound: bool,
) -> Use:
    """Return a use that is about to happen, as limits count it."""
    known = data or {}
    return Use(event_type, subject, _bounded(known) if is_upper_bound else known)


def _bounded(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the data of a use with the upper bounds of what it does not say yet: where there is no
    `x`, what is given as `max_x`."""
    bounds = {
        name.removeprefix("max_"): value for name, value in data.items() if name.startswith("max_")
    }
    return {**bounds, **{name: value for name, value in data.items() if value is not None}}
