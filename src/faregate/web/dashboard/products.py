"""All products: what is sold, to how many, and what it brought in the last 30 days."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Final, Literal

import msgspec
from starlette.responses import Response

from faregate.catalog.types import Product, ProductVersion, Status
from faregate.core.assets import CURRENCIES
from faregate.core.differences import Offer
from faregate.core.price_words import offer_in_words
from faregate.web.dashboard.visit import Page, Visit
from faregate.web.money import Money, show_sum

PER_PAGE: Final = 50
REVENUE_GROUPS: Final = 100
CURRENCY: Final = "USD"
_KINDS: Final[dict[Status, str]] = {"published": "good", "draft": "warn", "archived": ""}


class Listed(msgspec.Struct, frozen=True):
    """A product in the list. `revenue` None: nothing was booked, or not in the first groups."""

    id: str
    code: str
    name: str
    status: Status
    kind: str
    version: int
    words: list[str]
    subscribers: int
    revenue: Money | None
    revenue_value: Decimal


async def show(visit: Visit) -> Response:
    """Show the list."""
    engine, context = visit.engine, visit.context
    found = await engine.list_products(PER_PAGE, visit.offset, context=context)
    ids = [item.id for item in found.items]
    counts = await engine.count_subscribers(ids, context=context)
    revenue = await _revenue(visit) if ids else {}
    items = []
    for item in found.items:
        product = await engine.get_product(item.id, context=context)
        shown = product.default_version
        version = await engine.get_version(item.id, shown.version, context=context)
        status = status_of(product, version)
        words = offer_in_words(Offer(shown.prices, shown.entitlements, shown.commitments))
        amount = revenue.get(item.id)
        items.append(
            Listed(
                item.id,
                item.code,
                item.name,
                status,
                _KINDS[status],
                shown.version,
                words,
                sum(counts[item.id].values()),
                None if amount is None else show_sum(amount, CURRENCIES[CURRENCY]),
                amount or Decimal(0),
            )
        )
    return visit.render(
        "products.html",
        section="products",
        title="Products",
        items=items,
        page=found,
        link=lambda at: f"{visit.url('products')}?offset={at}",
    )


def status_of(product: Product, version: ProductVersion) -> Status:
    """Return how a product stands: published if any version is sold, else as the one shown."""
    if any(reference.status == "published" for reference in product.versions):
        return "published"
    return version.status


def kind_of(status: Literal["draft", "published", "archived"]) -> str:
    """Return the colour of a status."""
    return _KINDS[status]


async def _revenue(visit: Visit) -> dict[str, Decimal]:
    """Return what each product has earned in 30 days, in `CURRENCY`, of all its versions."""
    found = await visit.engine.stats(
        "product", REVENUE_GROUPS, sort="gross_revenue", context=visit.context
    )
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for group in found.items:
        if isinstance(group.product_id, str) and group.gross_revenue is not None:
            sums[group.product_id] += group.gross_revenue
    return sums


PAGES: Final = (Page("products", show),)
