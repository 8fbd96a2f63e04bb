"""The page `jobs`."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from faregate.web.dashboard.visit import Page, Visit


async def show(visit: Visit) -> Response:
    """Show the page."""
    return visit.render("page.html", section="jobs", title="Jobs")


PAGES: Final = (Page("jobs", show),)
