"""Credit, and its order of use. A grant is credit with a purpose, a priority and a life: it may
be spent while `effective_at <= now < expires_at`. Grants are used in this order: priority (lower
first), then purpose (promotion, bundled, paid), then soonest expiry, then oldest.

A grant may be *limited* to some uses (only one model, only one product): others pass it by.

What does not live here: where the money comes from and goes to (`wallet`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from faregate.core.prices import GrantScope
from faregate.core.volumes import dimension_text

PURPOSES: Final = ("promotion", "bundled", "paid")
"""In their order of use: what was given away burns before what was paid for."""
DEFAULT_PRIORITY: Final = 100
_PURPOSE_RANK: Final = {purpose: rank for rank, purpose in enumerate(PURPOSES)}
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class GrantTerms(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a grant comes from, what the seller earns per whole unit that is used of it
    (`revenue_basis`, of a currency), and what it is limited to. `instead_of` names the grant that
    had expired when something was given back to it, which is here now."""

    entitlement_id: str | None = None
    subscription_id: str | None = None
    revenue_basis: Decimal | None = None
    revenue_currency: str | None = None
    limited_to: GrantScope | None = None
    instead_of: str | None = None


class Purpose(msgspec.Struct, frozen=True, gc=False):
    """What credit is wanted for: the type of an event and its data, and which products' prices
    it is for, by id and code."""

    event_type: str
    data: Mapping[str, Any]
    products: frozenset[str]


def is_for(limited_to: GrantScope | None, wanted: Purpose | None) -> bool:
    """Tell whether a grant that is limited so may be used; `wanted` None: for something that is no
    event, which a limited one is not for."""
    if limited_to is None:
        return True
    if wanted is None:
        return False
    if limited_to.event_types is not None and wanted.event_type not in limited_to.event_types:
        return False
    if limited_to.products is not None and wanted.products.isdisjoint(limited_to.products):
        return False
    if limited_to.dimensions is None:
        return True
    return all(
        name in wanted.data and dimension_text(wanted.data[name]) == text
        for name, text in limited_to.dimensions.items()
    )


class Grant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One credit. `amount_units` is what was granted, `remaining_units` what is left of it.

    As JSON, which holds keep it as, an array: new fields come last.
    """

    id: str
    purpose: str
    priority: int
    amount_units: int
    remaining_units: int
    effective_at: datetime
    expires_at: datetime | None
    created_at: datetime
    terms: GrantTerms | None = None

    @property
    def limited_to(self) -> GrantScope | None:
        """What it may be used for; None: everything."""
        return None if self.terms is None else self.terms.limited_to


OrderKey = tuple[int, int, datetime, datetime, str]


def order_of_use(grant: Grant) -> OrderKey:
    """Sort key: the grant with the smallest key is used first. Ids break the last ties."""
    return (
        grant.priority,
        _PURPOSE_RANK[grant.purpose],
        grant.expires_at or _NEVER,
        grant.created_at,
        grant.id,
    )


def with_remaining(grant: Grant, remaining_units: int) -> Grant:
    """Return the grant with another amount left. (Spelled out: it runs for every charge.)"""
    return Grant(
        grant.id,
        grant.purpose,
        grant.priority,
        grant.amount_units,
        remaining_units,
        grant.effective_at,
        grant.expires_at,
        grant.created_at,
        grant.terms,
    )


Use = tuple[Grant, int]
"""A grant as it is after being used, and the units taken from it."""


def burn(
    grants: tuple[Grant, ...], units: int, wanted: Purpose | None = None
) -> tuple[tuple[Grant, ...], list[Use], int]:
    """Take `units` from grants that are in force and in their order of use.

    Returns the grants with something left, what was taken from which, and the units that no
    grant could pay. Used-up grants appear among the uses, with nothing remaining, and no longer
    among the grants. Those that are limited to other uses than the one `wanted` stay as they are.
    """
    uses: list[Use] = []
    passed: tuple[Grant, ...] = ()
    used_up = 0
    for grant in grants:
        if not units:
            break
        used_up += 1
        if grant.terms is not None and not is_for(grant.terms.limited_to, wanted):
            passed = (*passed, grant)
            continue
        remaining = grant.remaining_units
        if units < remaining:
            after = with_remaining(grant, remaining - units)
            uses.append((after, units))
            return (*passed, after, *grants[used_up:]), uses, 0
        units -= remaining
        uses.append((with_remaining(grant, 0), remaining))
    return passed + grants[used_up:], uses, units


def usable(grants: tuple[Grant, ...], wanted: Purpose | None) -> int:
    """Return the units of grants that may be used for what is wanted."""
    return sum([g.remaining_units for g in grants if is_for(g.limited_to, wanted)])
