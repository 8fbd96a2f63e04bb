"""Every operation there is, in the order in which paths are matched."""

from __future__ import annotations

from typing import Final

from faregate.operations import (
    accounts,
    catalog,
    clocks,
    coupons,
    customers,
    holds,
    importing,
    ingesting,
    insights,
    limits,
    migrating,
    model_prices,
    outcomes,
    payment_methods,
    portal,
    recording,
    revenue,
    subscriptions,
    top_ups,
    usage,
    vendors,
    wallets,
    webhooks,
    work,
)
from faregate.operations.operation import Operation

OPERATIONS: Final[tuple[Operation, ...]] = (
    *catalog.OPERATIONS,
    # Before those of one customer: `stats` is no id.
    *migrating.OPERATIONS,
    *model_prices.OPERATIONS,
    *insights.OPERATIONS,
    *customers.OPERATIONS,
    *subscriptions.OPERATIONS,
    *clocks.OPERATIONS,
    *recording.OPERATIONS,
    *usage.OPERATIONS,
    *importing.OPERATIONS,
    *outcomes.OPERATIONS,
    *holds.OPERATIONS,
    *limits.OPERATIONS,
    *vendors.OPERATIONS,
    *coupons.OPERATIONS,
    *wallets.OPERATIONS,
    *top_ups.OPERATIONS,
    *payment_methods.OPERATIONS,
    *portal.OPERATIONS,
    *work.OPERATIONS,
    *accounts.OPERATIONS,
    *revenue.OPERATIONS,
    *webhooks.OPERATIONS,
    *ingesting.OPERATIONS,
)
