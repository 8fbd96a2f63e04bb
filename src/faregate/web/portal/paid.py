"""The page to which a payment leads back that was made from inside another site's page: it is in a
tab of its own, where nobody is in the portal, so it says nothing of anybody.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from faregate.engine.brands import PortalBrand
from faregate.web.portal.words import Languages, preferred


class PaidPage:
    """The page's handler."""

    def __init__(self, languages: Languages) -> None:
        self._languages = languages

    async def show(self, request: Request) -> tuple[Response, PortalBrand | None]:
        """Say where to go on."""
        language = self._languages[preferred(request.headers.get("accept-language", ""), None)]
        values = {"brand": None, "sheet": None, "logo": None}
        return language.render("portal/paid.html", 200, **values), None
