"""What is asked and answered of what calls of models cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from faregate.core.amounts import scaled, to_decimal
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.given import FreeData, Instant
from faregate.core.model_prices import MILLION, RATE_DECIMALS, Costing


class QuoteModelCost(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A call as an event's `data` would tell of it, and when it occurs (default: now)."""

    data: FreeData
    occurred_at: Instant | None = None


class QuotedPart(msgspec.Struct, frozen=True):
    """So many of a kind, at a price per `per` of them; exact."""

    kind: str
    count: int
    price: Decimal
    per: int
    amount: Decimal


class ModelCostQuote(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a call costs you. Without an `amount` the `warning` says why none is known. `source` is
    the table with its version, or the id of your own price; `model` the one that it is taken
    for."""

    currency: str
    parts: list[QuotedPart]
    amount: Decimal | None = None
    source: str | None = None
    vendor_external_id: str | None = None
    model: str | None = None
    rule: str | None = None
    warning: str | None = None


def quoted(costing: Costing) -> ModelCostQuote:
    """Show what would be attached."""
    currency = DEFAULT_COST_CURRENCY
    if not costing.costs:
        return ModelCostQuote(currency, [], warning=costing.warning)
    (cost,) = costing.costs
    known = cost.metadata or {}
    return ModelCostQuote(
        currency,
        [_part(part) for part in known["parts"]],
        Decimal(cost.amount),
        costing.source,
        cost.vendor_external_id,
        known["model"],
        known.get("rule"),
    )


def _part(part: dict[str, Any]) -> QuotedPart:
    price = part["price"]
    whole = part["count"] * (scaled(price, RATE_DECIMALS) or 0) * (MILLION // part["per"])
    amount = to_decimal(whole, RATE_DECIMALS + 6)
    return QuotedPart(part["kind"], part["count"], price, part["per"], amount)
