"""What is in the portal's menu, and all pages there are. A section is a page's path, the English
words of its entry, and its icon."""

from __future__ import annotations

from typing import Final

from faregate.web.portal import home
from faregate.web.portal.visit import PortalPage

MENU: Final[tuple[tuple[str, str, str], ...]] = (("", "Overview", "house"),)
PAGES: Final[tuple[PortalPage, ...]] = (*home.PAGES,)
