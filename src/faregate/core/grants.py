"""Credit, and its order of use. A grant is credit with a purpose, a priority and a life: it may
be spent while `effective_at <= now < expires_at`. Grants are used in this order: priority (lower
first), then purpose (promotion, bundled, paid), then soonest expiry, then oldest.

What does not live here: where the money comes from and goes to (`wallet`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

PURPOSES: Final = ("promotion", "bundled", "paid")
"""In their order of use: what was given away burns before what was paid for."""
DEFAULT_PRIORITY: Final = 100
_PURPOSE_RANK: Final = {purpose: rank for rank, purpose in enumerate(PURPOSES)}
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


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
    )


Use = tuple[Grant, int]
"""A grant as it is after being used, and the units taken from it."""


def burn(grants: tuple[Grant, ...], units: int) -> tuple[tuple[Grant, ...], list[Use], int]:
    """Take `units` from grants that are in force and in their order of use.

    Returns the grants with something left, what was taken from which, and the units that no
    grant could pay. Used-up grants appear among the uses, with nothing remaining, and no longer
    among the grants.
    """
    uses: list[Use] = []
    used_up = 0
    for grant in grants:
        if not units:
            break
        remaining = grant.remaining_units
        if units < remaining:
            after = with_remaining(grant, remaining - units)
            uses.append((after, units))
            return (after, *grants[used_up + 1 :]), uses, 0
        units -= remaining
        uses.append((with_remaining(grant, 0), remaining))
        used_up += 1
    return grants[used_up:], uses, units
