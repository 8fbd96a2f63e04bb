"""The page `overview`: what there is, in words."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.web.portal.visit import PortalPage, PortalVisit


async def show(visit: PortalVisit) -> Response:
    """Show the balance of each account."""
    wallet = await visit.engine.get_wallet(visit.customer_id, context=visit.context)
    left = await visit.engine.uses_left(visit.customer_id, context=visit.context)
    assets = visit.engine.catalog_view(visit.context).assets
    return visit.render("home.html", section="", wallet=wallet, left=left, assets=assets)


PAGES: Final[tuple[PortalPage, ...]] = (PortalPage("", show),)
