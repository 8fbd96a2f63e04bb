"""What is in the menu, and all pages there are."""

from __future__ import annotations

from typing import Final

import msgspec

from faregate.web.dashboard import (
    account,
    asset,
    assets,
    assistants,
    audit,
    builder,
    clock,
    clocks,
    confirmations,
    coupons,
    customer,
    customers,
    demo,
    event,
    events,
    guide,
    home,
    jobs,
    keys,
    margins,
    portal,
    product,
    products,
    settings,
    team,
    vendor,
    vendors,
    webhook,
    webhooks,
)
from faregate.web.dashboard.visit import Needs, Page


class Section(msgspec.Struct, frozen=True):
    """An entry of the menu."""

    path: str
    label: str
    icon: str
    needs: Needs = "read"


MENU: Final[tuple[tuple[str, tuple[Section, ...]], ...]] = (
    (
        "",
        (
            Section("", "Home", "house"),
            Section("customers", "Customers", "users"),
            Section("events", "Events", "activity"),
        ),
    ),
    (
        "Catalog",
        (
            Section("products", "Products", "package"),
            Section("assets", "Assets", "wallet"),
            Section("coupons", "Coupons", "tag"),
            Section("guide", "Pricing guide", "wand-sparkles"),
        ),
    ),
    (
        "Insights",
        (
            Section("margins", "Margins", "trending-up"),
            Section("vendors", "Vendors", "truck"),
        ),
    ),
    (
        "Developers",
        (
            Section("webhooks", "Webhooks", "webhook"),
            Section("keys", "API keys", "key-round", "admin"),
            Section("clocks", "Test clocks", "timer"),
            Section("jobs", "Jobs", "list-checks"),
            Section("assistants", "Assistants", "wand-sparkles"),
            Section("confirmations", "Confirmations", "circle-check"),
        ),
    ),
    (
        "Organisation",
        (
            Section("team", "Team", "user-cog", "admin"),
            Section("audit", "Audit log", "clipboard-list"),
            Section("portal", "Customer portal", "external-link"),
            Section("settings", "Settings", "settings"),
        ),
    ),
)

PAGES: Final[tuple[Page, ...]] = (
    *home.PAGES,
    *customers.PAGES,
    *customer.PAGES,
    *events.PAGES,
    *event.PAGES,
    *products.PAGES,
    *product.PAGES,
    *builder.PAGES,
    *guide.PAGES,
    *assets.PAGES,
    *asset.PAGES,
    *coupons.PAGES,
    *margins.PAGES,
    *vendors.PAGES,
    *vendor.PAGES,
    *webhooks.PAGES,
    *webhook.PAGES,
    *keys.PAGES,
    *clocks.PAGES,
    *clock.PAGES,
    *jobs.PAGES,
    *assistants.PAGES,
    *confirmations.PAGES,
    *team.PAGES,
    *audit.PAGES,
    *portal.PAGES,
    *settings.PAGES,
    *account.PAGES,
    *demo.PAGES,
)
