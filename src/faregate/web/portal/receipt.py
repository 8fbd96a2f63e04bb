"""The page of a receipt, in the customer's language; its address outside of the portal
(`/receipts/…`) is for whoever is given it.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.web.portal.saying import card
from faregate.web.portal.visit import PortalPage, PortalVisit


async def show(visit: PortalVisit) -> Response:
    """Show a receipt. Raises 404, also for one of somebody else, and 409 for what is not paid."""
    top_up = await visit.engine.get_own_top_up(
        visit.customer_id, visit.path["top_up_id"], context=visit.context
    )
    receipt = await visit.engine.get_receipt(
        top_up.id, base_url=visit.base_url, context=visit.context
    )
    assets = visit.engine.catalog_view(visit.context).assets
    paid_with = receipt.card
    return visit.render(
        "receipt.html",
        section="history",
        title=visit.t("Receipt"),
        receipt=receipt,
        card=card(visit, paid_with.brand, paid_with.last4) if paid_with else "",
        asset=assets[receipt.destination.asset],
        currency=assets[receipt.currency],
    )


PAGES: Final[tuple[PortalPage, ...]] = (PortalPage("receipts/{top_up_id}", show),)
