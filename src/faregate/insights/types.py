"""The shapes of statistics, as the REST API has them. Amounts are in one currency, with up to 9
decimals; `margin` is in percent of gross revenue, null without revenue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from faregate.core.assets import Asset
from faregate.core.costs import DEFAULT_COST_CURRENCY
from faregate.core.margins import Sums, shown_amount, shown_margin

DEFAULT_CURRENCY: Final = DEFAULT_COST_CURRENCY
Dimension = Literal[
    "customer",
    "product",
    "price",
    "event_type",
    "model",
    "vendor",
    "category",
    "hour",
    "day",
    "month",
]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
MAX_DIMENSIONS: Final = 2
Order = Literal[
    "gross_revenue",
    "-gross_revenue",
    "total_costs",
    "-total_costs",
    "net_revenue",
    "-net_revenue",
    "margin",
    "-margin",
]


class Unconverted(msgspec.Struct, frozen=True):
    """What is not in the sums, because the asset had no rate when it was used: in whole assets."""

    asset: str
    revenue: Decimal
    costs: Decimal


class Profitability(msgspec.Struct, omit_defaults=True, frozen=True):
    """Revenue, costs and what is left, in one currency."""

    gross_revenue: Decimal
    total_costs: Decimal
    net_revenue: Decimal
    margin: Decimal | None
    currency: str
    unconverted: list[Unconverted] = []


class CustomerStats(msgspec.Struct, omit_defaults=True, frozen=True):
    """A customer in a list, with what they bring."""

    id: str
    name: str
    stats: Profitability
    external_id: str | None = None


class CustomerStatsPage(msgspec.Struct, frozen=True):
    """A page of customers; `summary` is over all of them. Both days are included, in UTC."""

    summary: Profitability
    period_from: date
    period_to: date
    items: list[CustomerStats]
    total_count: int
    limit: int
    offset: int


class CategoryCosts(msgspec.Struct, frozen=True):
    """What a vendor charges for one category; null: costs without one."""

    category: str | None
    cost: Decimal


class VendorStats(msgspec.Struct, omit_defaults=True, frozen=True):
    """What a vendor charges, by category, the most expensive first."""

    total_costs: Decimal
    categories: list[CategoryCosts]
    currency: str
    unconverted: list[Unconverted] = []


class Group(msgspec.Struct, omit_defaults=True, frozen=True):
    """One group: the values that it has in common (null: none, as a charge has no product), how
    many events are in it, and what they bring. Of groups by vendor or category there are only
    costs."""

    events: int
    gross_revenue: Decimal | None
    total_costs: Decimal
    net_revenue: Decimal | None
    margin: Decimal | None
    customer_id: str | UnsetType = UNSET
    customer_external_id: str | UnsetType | None = UNSET
    customer_name: str | UnsetType = UNSET
    product_id: str | UnsetType | None = UNSET
    product_code: str | UnsetType | None = UNSET
    product_version: int | UnsetType | None = UNSET
    price_id: str | UnsetType | None = UNSET
    price_name: str | UnsetType | None = UNSET
    event_type: str | UnsetType | None = UNSET
    vendor_id: str | UnsetType | None = UNSET
    vendor_external_id: str | UnsetType | None = UNSET
    vendor_name: str | UnsetType | None = UNSET
    category: str | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    hour: datetime | UnsetType = UNSET
    day: date | UnsetType = UNSET
    month: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}$")] | UnsetType = UNSET
    unconverted: list[Unconverted] = []


class Summary(msgspec.Struct, omit_defaults=True, frozen=True):
    """All that was booked in the period."""

    events: int
    gross_revenue: Decimal
    total_costs: Decimal
    net_revenue: Decimal
    margin: Decimal | None
    currency: str
    unconverted: list[Unconverted] = []


class GroupPage(msgspec.Struct, frozen=True):
    """A page of groups; `summary` is over all that was booked. Both days are included, in UTC."""

    group_by: list[Dimension]
    period_from: date
    period_to: date
    currency: str
    summary: Summary
    items: list[Group]
    total_count: int
    limit: int
    offset: int


def show_unconverted(sums: Sums, assets: Mapping[str, Asset]) -> list[Unconverted]:
    """Return what no rate converts, in whole assets."""
    return [
        Unconverted(
            asset,
            shown_amount(revenue, assets[asset].scale),
            shown_amount(costs, assets[asset].scale),
        )
        for asset, (revenue, costs) in sorted(sums.unconverted.items())
    ]


def amounts(sums: Sums, assets: Mapping[str, Asset]) -> dict[str, Any]:
    """Return the fields that all sums are shown with, each rounded once."""
    return {
        "gross_revenue": shown_amount(sums.revenue),
        "total_costs": shown_amount(sums.costs),
        "net_revenue": shown_amount(sums.net),
        "margin": shown_margin(sums.margin),
        "unconverted": show_unconverted(sums, assets),
    }


def show(sums: Sums, currency: str, assets: Mapping[str, Asset]) -> Profitability:
    """Return sums as the API shows them."""
    return Profitability(currency=currency, **amounts(sums, assets))
