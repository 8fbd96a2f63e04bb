"""The page `home`."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.web.dashboard.visit import Page, Visit


async def show(visit: Visit) -> Response:
    """Show the page."""
    visit.shared["rate"].watch()
    view = await visit.shared["views"][visit.mode].current()
    return visit.render("home.html", section="", title="Home", view=view, base=visit.base_url)


async def show_live(visit: Visit) -> Response:
    """Show the part of the page that changes."""
    visit.shared["rate"].watch()
    view = await visit.shared["views"][visit.mode].current()
    return visit.render("live.html", view=view, base=visit.base_url)


PAGES: Final = (Page("", show), Page("now", show_live))
