"""All pages of the portal, each module with its own."""

from __future__ import annotations

from typing import Final

from faregate.web.portal import (
    auto_top_up,
    history,
    home,
    limits,
    payment,
    plan_change,
    plans,
    receipt,
    top_up,
)
from faregate.web.portal.visit import PortalPage

PAGES: Final[tuple[PortalPage, ...]] = (
    *home.PAGES,
    *top_up.PAGES,
    *payment.PAGES,
    *auto_top_up.PAGES,
    *plan_change.PAGES,
    *plans.PAGES,
    *history.PAGES,
    *receipt.PAGES,
    *limits.PAGES,
)
