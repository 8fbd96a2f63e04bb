"""Uses as their customer sees them: under the name of the price that asks for them, where there is
one, with what each has cost.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from faregate.core.amounts import to_decimal
from faregate.core.assets import Asset
from faregate.core.subscriptions import CatalogView
from faregate.ledger.reading import ListedEvent
from faregate.web.portal.visit import PortalVisit


class Use(msgspec.Struct, frozen=True):
    """One use. `amount` is what it cost (None: nothing, or not yet), `outcome` what became of it,
    where that was said."""

    id: str
    name: str
    subject: str | None
    description: str | None
    at: datetime
    amount: Decimal | None
    asset: Asset | None
    outcome: str | None


async def list_uses(
    visit: PortalVisit, limit: int, offset: int, filters: dict[str, Any] | None = None
) -> tuple[list[Use], int]:
    """Return a page of the customer's uses, the newest first, and how many there are."""
    wanted = {**(filters or {}), "customer_id": visit.customer_id}
    page = await visit.engine.list_events(limit, offset, wanted, context=visit.context)
    view = visit.engine.catalog_view(visit.context)
    names = names_of_types(view)
    return [_show(event, view, names) for event in page.items], page.total_count


def names_of_types(view: CatalogView) -> dict[str, str]:
    """Return what event types are called: as the price that asks for them, if there is one name."""
    found: dict[str, set[str]] = {}
    for price in view.prices.values():
        found.setdefault(price.event_type, set()).add(price.price.name)
    return {kind: next(iter(names)) for kind, names in found.items() if len(names) == 1}


def _show(event: ListedEvent, view: CatalogView, names: dict[str, str]) -> Use:
    asset = None if event.fee_asset is None else view.assets[event.fee_asset]
    amount = None if asset is None else to_decimal(event.fee_units, asset.scale)
    return Use(
        event.id,
        names.get(event.event_type) or event.event_type.replace("_", " "),
        event.subject,
        event.description,
        event.occurred_at,
        amount,
        asset,
        event.outcome,
    )
