"""Letting a customer into their portal: a link that works once, to be sent to them."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.engine.portal import CreatePortalSession
from faregate.web.dashboard.customer_frame import frame_of, page_of
from faregate.web.dashboard.visit import Page, Visit


async def make_link(visit: Visit) -> Response:
    """Make a link, and show it: whoever has it is let in, so it is kept nowhere."""
    frame = await frame_of(visit)
    home = f"{visit.base_url}/portal"
    made = await visit.engine.create_portal_session(
        CreatePortalSession(frame.customer.id, home, home),
        base_url=visit.base_url,
        context=visit.context,
    )
    heading = "A link to the portal"
    return page_of(visit, frame, "", "customer_portal.html", heading=heading, made=made)


PAGES: Final = (Page("customers/{customer_id}/portal-link", make_link, "POST", needs="support"),)
