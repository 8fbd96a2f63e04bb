"""What a subscription was charged without any use: one entry per account and instant, with a line
for each price (a period that began or ended, a part of one that was given back)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec


class FeeLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: `units` charged (below 0: given back) for a price, for this time (None: none).
    With a `coupon` it is what that took off the line above (above 0: no longer takes). Where it is
    paid in another asset than the price's, also what it is in that one, and the rate.
    """

    price_id: str
    name: str
    product_id: str
    product_code: str
    product_version: int
    quantity: int
    units: int
    from_at: datetime | None = None
    to_at: datetime | None = None
    price_asset: str | None = None
    price_units: int | None = None
    exchange_rate: Decimal | None = None
    coupon: str | None = None


class PlanFee(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was charged for a subscription at one instant, `due_at`."""

    transaction_id: str
    subscription_id: str
    asset: str
    due_at: datetime
    lines: tuple[FeeLine, ...]
    description: str | None = None
    metadata: dict[str, str] | None = None


class BookedPlanFee(msgspec.Struct, frozen=True):
    """A fee of a subscription that is in the ledger. `units` is signed: what the account gained."""

    id: str
    request: PlanFee
    account_id: str
    units: int
    created_at: datetime

    @property
    def kind(self) -> str:
        """Return `fee`."""
        return "fee"
