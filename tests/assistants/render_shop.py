"""The shop that the tools' examples speak of, set up by tools alone: what the examples name is
there, under ids of the server's own.
"""

from __future__ import annotations

import json
from typing import Any

from tests.api.conftest import RunningServer
from tests.api.crossing import pay
from tests.assistants.assistant import Assistant

from faregate.mcp import examples
from faregate.mcp.examples import CREDITS, CUSTOMER, MONTHLY, PRODUCT, RENDERS, use

Ids = dict[str, str]
WAYS_BACK = {"return_url": examples.RETURN, "failure_url": examples.FAILURE}


def open_shop(server: RunningServer, me: Assistant) -> Ids:
    """Set the shop up; returns the server's ids by those of the examples."""
    rates = [{"source": "USD", "rate": 0.05}]
    me.made("create_asset", code=CREDITS, name="Credits", precision=2, rates=rates)
    vendor = me.made("create_vendor", name="GPUs", external_id="gpus-1")["id"]
    _sell(me)
    customer = me.made(
        "create_customer",
        name="Ada",
        external_id="user-1",
        subscriptions=[{"products": [{"code": PRODUCT}]}],
    )["id"]
    ada = {"customer_id": customer}
    gift = {"transaction_id": "gift-1", "asset": CREDITS, "amount": 500, "reason": "gift"}
    me.made("adjust_wallet", **ada, **gift)
    paid = {"transaction_id": "paid-1", "asset": "USD", "amount": 500, "reason": "external_topup"}
    me.made("adjust_wallet", **ada, **paid)
    plan = me.made("create_subscription", **ada, products=[{"code": "plan"}])["id"]
    me.made("send_events", **ada, events=[use("render-1")])
    hold = {"transaction_id": "job-1", "event_type": "render", "data": use("x")["data"]}
    found = {
        CUSTOMER: customer,
        examples.PLAN: plan,
        examples.HOLD: me.made("authorize", **ada, **hold)["id"],
        examples.VENDOR: vendor,
        **_rules(me, customer),
    }
    money = {"amount": 20, "currency": "USD", **WAYS_BACK}
    found[examples.TOP_UP] = me.made("create_top_up", **ada, **money)["id"]
    pay(server, found[examples.TOP_UP])
    card = me.made("manage_payments", action="save_card", **ada, **WAYS_BACK)["id"]
    server.wait(server.engine.sandbox.pay(card, "4242424242424242"))
    server.wait(server.engine.settle_payment(card))
    cards = me.made("look_up_customer", action="payment_methods", **ada)["items"]
    return {**found, examples.CARD: cards[0]["id"]}


def _sell(me: Assistant) -> None:
    """Put products up for sale, with what their next versions change as drafts or published."""
    renders = {"name": "Renders", "code": PRODUCT, "prices": [RENDERS], "publish": True}
    me.made("create_product", **renders)
    me.made("create_product_version", product_id=PRODUCT, prices=[RENDERS], publish=True)
    me.made("create_product", name="Plan", code="plan", prices=[MONTHLY], publish=True)
    me.made("create_product_version", product_id="plan", prices=[MONTHLY], publish=True)
    me.made("create_product", name="Unwanted", code="unwanted", prices=[MONTHLY], publish=True)


def _rules(me: Assistant, customer: str) -> Ids:
    limit: dict[str, Any] = {"amount": 1000, "asset": CREDITS, "period": "day"}
    own = me.made("manage_limits", action="create", customer_id=customer, **limit)
    me.made("manage_coupons", action="create", code="HALF", percent=50)
    clock = me.made("manage_test_clocks", action="create", now="2026-03-02T12:00:00Z")
    hook = me.made("manage_webhooks", action="create", url="https://shop.example/hook")
    return {
        examples.LIMIT: me.made("manage_limits", action="create", **limit)["id"],
        examples.OWN_LIMIT: own["id"],
        examples.CLOCK: clock["id"],
        examples.HOOK: hook["id"],
        examples.MODEL_PRICE: me.made(
            "manage_model_prices", action="create", model="our-mistral", per_request=0.001
        )["id"],
    }


def in_shop(ids: Ids, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a call of the examples with the server's own ids."""
    text = json.dumps(arguments)
    for made_up, real in ids.items():
        text = text.replace(json.dumps(made_up), json.dumps(real))
    found: dict[str, Any] = json.loads(text)
    return found
