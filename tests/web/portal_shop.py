"""A shop whose customers go into their portal: what it sells, and a customer with a past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from playwright.sync_api import Page
from tests.ledger.plans import monthly
from tests.web.live import LiveServer
from tests.web.test_portal_door import link_for

from faregate import Engine
from faregate.catalog.types import CreateAsset, CreateProduct, StartingRate
from faregate.core.amounts import Number
from faregate.core.bonuses import BonusStep, TopUpBonus
from faregate.core.codec import from_dict
from faregate.core.events import UsageEvent
from faregate.core.limits import LimitRequest
from faregate.core.payment_rules import PaymentRules, TopUpBounds
from faregate.core.portal import PortalSettings
from faregate.core.transactions import AdjustmentRequest
from faregate.customers.types import CreateCustomer, CreateSubscription, SubscribedProduct

IMAGES: dict[str, Any] = {
    "type": "usage_based",
    "name": "Images",
    "usage_calculation": {"event_type": "image", "usage_type": "unit"},
    "billing_model": {"type": "real_time"},
    "pricing": [{"asset": "USD", "values": [{"unit_price": Decimal("0.0124")}]}],
}
SOLD: tuple[dict[str, Any], ...] = (
    {"name": "Images", "code": "images", "prices": [IMAGES]},
    {"name": "Team", "code": "team", "prices": [monthly(20)]},
    {"name": "Business", "code": "business", "prices": [monthly(50)]},
)


def open_shop(server: LiveServer, **brand: Any) -> None:
    """Sell images by use and two plans, and credits; give a bonus from 50 USD on."""

    async def work(engine: Engine) -> None:
        rates = [StartingRate("USD", inverse_rate=Number("100"))]
        await engine.create_asset(CreateAsset("CREDITS", "Credits", rates=rates))
        for product in SOLD:
            await engine.create_product(from_dict(CreateProduct, {**product, "publish": True}))
        bounds = {"USD": TopUpBounds(Number("5"), Number("500"))}
        await engine.change_settings(payments=PaymentRules(top_ups=bounds))
        steps = (BonusStep(Number("50"), Number("5")),)
        await engine.set_top_up_bonus("USD", [TopUpBonus("more", steps=steps)])
        settings = {"name": "Pixelmill", "plans": ["team", "business"], **brand}
        await engine.set_portal_settings(PortalSettings(**settings))

    server.run(work)


def regular(server: LiveServer, name: str = "Ada", subject: str = "Marketing") -> str:
    """Make a customer who has paid 40 USD, has a plan of 20 USD, and uses images."""

    async def work(engine: Engine) -> str:
        now = datetime.now(UTC)
        since = now - timedelta(days=20)
        uses = CreateSubscription([SubscribedProduct(code="images")], starts_at=since)
        made = await engine.create_customer(CreateCustomer(name, subscriptions=[uses]))
        paid = AdjustmentRequest("paid", "USD", Number("40"), "external_topup")
        await engine.adjust(made.id, paid)
        ends = now + timedelta(days=5)
        gift = AdjustmentRequest("gift", "CREDITS", Number("1200"), "gift", expires_at=ends)
        await engine.adjust(made.id, gift)
        plan = CreateSubscription([SubscribedProduct(code="team")])
        await engine.create_subscription(made.id, plan)
        events = [
            UsageEvent(f"use-{n}", "image", now - timedelta(days=n % 9, minutes=1), subject)
            for n in range(25)
        ]
        await engine.record_events(made.id, events)
        limit = LimitRequest(Number("100"), "month", asset="USD", name="House limit")
        await engine.create_customer_limit(made.id, limit)
        return made.id

    return str(server.run(work))


def go_in(server: LiveServer, page: Page, customer_id: str, **more: Any) -> None:
    """Let the customer open a new link in a browser."""
    page.goto(link_for(server, customer_id, **more))
    page.wait_for_url("**/portal")
