"""What became of granted credit: used, left, or broken. What the seller earns per unit that is used
(the revenue basis) makes revenue of it: earned when it is used, deferred while it is left, broken
when it expires unused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec

from faregate.core.accounts import BREAKAGE
from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.codec import decode
from faregate.core.grants import GrantTerms
from faregate.core.instants import from_us
from faregate.ledger.rows import KeptHold
from faregate.store.protocol import Queries, Store

CHUNK: Final = 20_000
_UNUSED: Final = "to_account IN ('breakage', 'entitlements:bundled', 'entitlements:promotion')"
_DECIMALS: Final = 9


class CreditUse(msgspec.Struct, frozen=True):
    """Credit of one asset with a revenue basis in one currency: what was granted (less what a move
    to another version took back), used, left and broken, in whole assets, and the revenue that
    each of these makes, in the currency."""

    asset: str
    currency: str
    granted: Decimal
    used: Decimal
    left: Decimal
    broken: Decimal
    earned_revenue: Decimal
    deferred_revenue: Decimal
    broken_revenue: Decimal


class _Sums:
    __slots__ = ("broken", "granted", "left", "revenue", "used")

    def __init__(self) -> None:
        self.granted = self.used = self.left = self.broken = 0
        self.revenue = [Fraction(0), Fraction(0), Fraction(0)]

    def add(self, granted: int, left: int, broken: int, basis: Fraction) -> None:
        used = granted - left - broken
        self.granted += granted
        self.used += used
        self.left += left
        self.broken += broken
        for place, units in enumerate((used, left, broken)):
            self.revenue[place] += units * basis


async def credit_use(
    store: Store,
    environment_id: int,
    assets: dict[str, Asset],
    now: datetime,
    clocks: Mapping[str, datetime],
    customer_id: str | None,
) -> list[CreditUse]:
    """Add up what became of credit with a revenue basis, of one customer or of all, as of now: what
    has expired counts as broken, also where nobody has written it down yet."""
    sums: dict[tuple[str, str], _Sums] = defaultdict(_Sums)
    async with store.snapshot() as snapshot:
        lanes = await snapshot.fetch("SELECT lane FROM lanes ORDER BY lane")
        for (lane,) in lanes:
            await _add_lane(snapshot, lane, environment_id, now, clocks, customer_id, sums)
    found = []
    for (asset, currency), total in sorted(sums.items()):
        scale = assets[asset].scale
        whole = [
            to_decimal(units, scale)
            for units in (total.granted, total.used, total.left, total.broken)
        ]
        revenue = [_rounded(part / 10**scale) for part in total.revenue]
        found.append(CreditUse(asset, currency, *whole, *revenue))
    return found


def _rounded(exact: Fraction) -> Decimal:
    return to_decimal(round(exact * 10**_DECIMALS), _DECIMALS)


async def _add_lane(
    queries: Queries,
    lane: int,
    environment_id: int,
    now: datetime,
    clocks: Mapping[str, datetime],
    customer_id: str | None,
    sums: dict[tuple[str, str], _Sums],
) -> None:
    broken, returned, held = await _unused(queries, lane)
    where, values = "", [lane, environment_id]
    if customer_id is not None:
        where = " AND g.customer_id = $5"
    last: tuple[str, str] = ("", "")
    while True:
        parameters: list[Any] = [*values, *last]
        if customer_id is not None:
            parameters.append(customer_id)
        rows = await queries.fetch(
            "SELECT g.customer_id, g.grant_id, g.account_id, g.amount_units, g.remaining_units, "
            "g.expires_at, g.terms, c.test_clock_id FROM grants g "
            "JOIN customers c ON c.id = g.customer_id "
            "WHERE g.lane = $1 AND c.environment_id = $2 AND g.terms IS NOT NULL "
            f"AND (g.customer_id, g.grant_id) > ($3, $4){where} "
            f"ORDER BY g.customer_id, g.grant_id LIMIT {CHUNK}",
            *parameters,
        )
        for _, grant_id, account_id, amount, remaining, expires_at, text, clock_id in rows:
            terms = decode(GrantTerms, text)
            if terms.revenue_basis is None or terms.revenue_currency is None:
                continue
            lapsed = broken.get(grant_id, 0)
            if expires_at is not None and from_us(expires_at) <= clocks.get(clock_id, now):
                lapsed, remaining = lapsed + remaining, 0
            key = (account_id.rpartition(":")[2], terms.revenue_currency)
            # What came in place of an expired grant was granted with that one already.
            granted = (0 if terms.instead_of else amount) - returned.get(grant_id, 0)
            left = remaining + held.get(grant_id, 0)
            sums[key].add(granted, left, lapsed, Fraction(terms.revenue_basis))
        if len(rows) < CHUNK:
            return
        last = (rows[-1][0], rows[-1][1])


async def _unused(
    queries: Queries, lane: int
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Return by grant what broke, what was taken back, and what open holds have set aside."""
    broken: dict[str, int] = defaultdict(int)
    returned: dict[str, int] = defaultdict(int)
    rows = await queries.fetch(
        "SELECT from_account, reference, to_account, units FROM transfers "
        f"WHERE lane = $1 AND {_UNUSED}",
        lane,
    )
    for source, reference, target, units in rows:
        # What a hold lets go of a grant that has expired meanwhile breaks too.
        grant_id = source if source.startswith("grt_") else reference
        (broken if target == BREAKAGE else returned)[grant_id] += units
    held: dict[str, int] = defaultdict(int)
    for (text,) in await queries.fetch(
        "SELECT hold FROM holds WHERE lane = $1 AND is_open = 1", lane
    ):
        for part in decode(KeptHold, text).parts:
            if part.grant is not None:
                held[part.grant.id] += part.units
    return broken, returned, held
