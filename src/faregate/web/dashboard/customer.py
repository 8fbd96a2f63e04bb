"""The page `customer`."""

from __future__ import annotations

from typing import Final

from faregate.web.dashboard.visit import Page

PAGES: Final[tuple[Page, ...]] = ()
