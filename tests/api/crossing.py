"""An account with one of everything, and for each operation of the API what another account may try
with those things. An operation that is new has nothing here: a test says so."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from tests.api.caller import USD, Caller, adjustment, adjustments, event, product, usage
from tests.api.conftest import RunningServer

from faregate.insights.types import DIMENSIONS
from faregate.operations.table import OPERATIONS

Key = tuple[str, str]
CUSTOMER = "/customers/{customer_id}"
SUBSCRIPTIONS = f"{CUSTOMER}/subscriptions"
SUBSCRIPTION = f"{SUBSCRIPTIONS}/{{subscription_id}}"
WALLET = f"{CUSTOMER}/wallet"
HOLDS = f"{WALLET}/holds"
PERIOD = "?period_from=2026-03-01&period_to=2026-04-11"
"""The days of the story: whoever asks does so on the last of them."""
WEBHOOK = "/webhooks/{webhook_id}"
OWN_LIMITS = f"{CUSTOMER}/limits"
CARDS = f"{CUSTOMER}/payment-methods"
AUTO_TOP_UP = {"enabled": True, "threshold": 1, "amount": 5}


WAYS_BACK = {"return_url": "https://shop.example/ok", "failure_url": "https://shop.example/no"}


LOGO = "iVBORw0KGgoAAAANSUhEUgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAElFTkSuQmCC"


def pay(server: RunningServer, payment_id: str, number: str = "4242424242424242") -> None:
    """Pay on the sandbox's page, as its form does."""
    server.wait(server.engine.pay_checkout(payment_id, number, "12/40", "123"))


def every_operation() -> list[Key]:
    """The operations that the server has."""
    return [(o.method, re.sub(r":\w+}", "}", o.path)) for o in OPERATIONS]


SOURCE = "cloudevents"
TOLD = {
    "specversion": "1.0", "id": "t-1", "source": "/eve", "type": "call", "subject": "nobody",
    "time": "2026-04-01T00:00:00Z",
}  # fmt: skip


class Try(NamedTuple):
    """One request, and what becomes of it in another account: `refused` as for what is not there,
    `empty` or something of their `own`, or `forbidden` because only a platform may ask."""

    ends: Literal["refused", "empty", "own", "forbidden"]
    body: Any = None
    query: str = ""


class Things(NamedTuple):
    """What an account has: how paths name it, and what must be seen nowhere else."""

    account_id: str
    mark: str
    names: dict[str, str]
    own_limit_id: str
    marks: list[str]

    def path(self, key: Key) -> str:
        """The path of an operation on these things."""
        names = {**self.names, "connected_account_id": self.account_id}
        if key[1].startswith(OWN_LIMITS):
            names["limit_id"] = self.own_limit_id
        return f"/v1{key[1].format(**names)}"


def fill(server: RunningServer, me: Caller, mark: str) -> Things:
    """Make one of everything; what callers name themselves has a mark in its name."""
    gems, tokens, plan = f"GEMS{mark}", f"tokens{mark}", f"plan{mark}"
    me.made("assets", {"code": gems, "name": f"Gems of {mark}", "precision": 2})
    assert me.post(f"assets/{gems}/rates", {"source": "USD", "rate": 1}).status == 204
    vendor = me.made("vendors", {"name": f"Vendor of {mark}", "external_id": f"vendor-{mark}"})
    made = me.made("products", product(code=tokens))
    monthly = {
        "type": "fixed",
        "name": "Monthly",
        "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
        "pricing": [{"asset": "USD", "values": [{"unit_price": 10}]}],
    }
    included = {
        "name": "Included",
        "asset": gems,
        "amount": 100,
        "purpose": "bundled",
        "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
        "accounting": {"revenue_basis": 0.5},
    }
    body = {"name": plan, "code": plan, "publish": True, "prices": [monthly]}
    me.made("products", {**body, "entitlements": [included]})
    clock = me.made("test-clocks", {"now": server.engine.now().isoformat(), "name": mark})
    customer = me.made(
        "customers",
        {
            "name": f"Customer of {mark}",
            "external_id": f"ada-{mark}",
            "email": f"ada@{mark.lower()}.example",
            "subscriptions": [{"products": [{"code": tokens}]}],
        },
    )["id"]
    gift = adjustment("1000", transaction_id=f"gift-{mark}")
    me.made(adjustments(customer), gift)
    me.made(f"customers/{customer}/subscriptions", {"products": [{"code": plan}]})
    at = server.engine.now().isoformat()
    cost = {"id": f"c-{mark}", "vendor_id": vendor["id"], "amount": 0.5, "category": mark}
    used = event(f"e-{mark}", occurred_at=at, costs=[cost])
    assert me.post("events", usage(customer, used)).status == 204
    hold = {"transaction_id": f"hold-{mark}", "max_amount": 3, "asset": "USD"}
    held = me.post(f"customers/{customer}/wallet/holds", {**hold, "expires_in_seconds": 86_400})
    limit = {"amount": 1_000_000, "asset": "USD", "period": "day", "name": f"Limit of {mark}"}
    shown = me.get(f"customers/{customer}").body["subscriptions"]
    bought = next(s for s in shown if s["products"][0]["id"] == made["id"])
    own_limit = me.made(f"customers/{customer}/limits", limit)["id"]
    hook = me.made("webhooks", {"url": f"https://{mark.lower()}.example/hook"})
    assert me.post(f"webhooks/{hook['id']}/test/limit.reached", {}).status == 202
    names = {
        "customer_id": customer,
        "webhook_id": hook["id"],
        "topic": "limit.reached",
        "subscription_id": bought["id"],
        "product_id": made["id"],
        "version": "1",
        "event_id": f"e-{mark}",
        "transaction_id": f"gift-{mark}",
        "account_id": USD,
        "asset_code": gems,
        "hold_id": held.body["id"],
        "limit_id": me.made("limits", limit)["id"],
        "clock_id": clock["id"],
        "vendor_id": vendor["id"],
        "model_price_id": me.made("model-prices", {"model": "ours", "per_image": 7})["id"],
        "source": SOURCE,
        "coupon_code": me.made("coupons", {"code": f"HALF{mark}", "percent": 50})["code"],
    }
    wanted = {
        "customer_id": customer,
        "amount": 5,
        "currency": "USD",
        "return_url": f"https://{mark.lower()}.example/thanks",
        "failure_url": f"https://{mark.lower()}.example/sorry",
    }
    names["top_up_id"] = me.made("top-ups", wanted)["id"]
    page = {"return_url": wanted["return_url"], "failure_url": wanted["failure_url"]}
    setup = me.made(f"customers/{customer}/payment-methods", page)["id"]
    server.wait(server.engine.sandbox.pay(setup, "4242424242424242"))
    server.wait(server.engine.settle_payment(setup))
    card = me.get(f"customers/{customer}/payment-methods").body["items"][0]
    names["payment_method_id"] = card["id"]
    auto = f"customers/{customer}/wallet/{USD}/auto-top-up"
    assert me.send("PUT", auto, AUTO_TOP_UP).status == 200
    pay(server, names["top_up_id"])
    me.made(f"top-ups/{names['top_up_id']}/refunds", {"amount": 1})
    assert me.send("PUT", "billing-portal/settings", {"name": mark}).status == 200
    account_id = me.get("accounts/self").body["account_id"]
    rules = {"customer": [f"customer-of-{mark}"], "default_event_type": "call"}
    assert me.send("PUT", f"ingestion/{SOURCE}/rules", rules).status == 200
    everybodys = ("1", USD, "limit.reached", SOURCE)
    ours = [name for name in names.values() if name not in everybodys]
    marks = [*ours, hook["secret"], own_limit, account_id, mark, *(s["id"] for s in shown)]
    return Things(account_id, mark, names, own_limit, marks)


def attempts(a: Things) -> dict[Key, list[Try]]:
    """What is tried of each operation with the things of account A."""
    of = a.names
    customer, gems, mark = of["customer_id"], of["asset_code"], a.mark
    refused, empty = [Try("refused")], [Try("empty")]
    bought = {"products": [{"id": of["product_id"]}]}
    by_code = {"products": [{"code": f"tokens{mark}"}]}
    used = {"events": [event("e-other", occurred_at="2026-04-01T00:00:00Z")]}
    limit = {"amount": 1, "asset": "USD", "period": "day"}
    ask = {"transaction_id": "ask", "max_amount": 1, "asset": "USD"}
    buyer = {"name": "Eve", "subscriptions": [bought]}
    by_id = {"customer_id": customer, **used}
    by_name = {"customer_external_id": f"ada-{mark}", **used}
    priced = product(asset=gems, code="priced")
    return {
        ("POST", "/assets"): [
            Try("own", {"code": "MINE", "name": "Mine"}),
        ],
        ("GET", "/assets"): [Try("own", query="?limit=100")],
        ("GET", "/assets/{asset_code}"): refused,
        ("PATCH", "/assets/{asset_code}"): [
            Try("refused", {"top_up_bonus": [{"id": "all", "percent": 10}]})
        ],
        ("GET", "/top-ups/{top_up_id}/receipt"): refused,
        ("POST", "/assets/{asset_code}/rates"): [
            Try("refused", {"source": "EUR", "rate": 2}),
        ],
        ("POST", "/assets/{asset_code}/quote"): [Try("refused", {"source": "USD", "amount": 1})],
        ("POST", "/products"): [Try("refused", priced)],
        ("GET", "/products"): [*empty, Try("empty", query=f"?code=tokens{mark}")],
        ("GET", "/products/{product_id}"): refused,
        ("POST", "/products/{product_id}"): [Try("refused", {"prices": []})],
        ("GET", "/products/{product_id}/{version}"): refused,
        ("PATCH", "/products/{product_id}/{version}"): [
            Try("refused", {"publish": True, "make_default": True})
        ],
        ("POST", "/products/{product_id}/{version}/simulate-usage"): [Try("refused", used)],
        ("POST", "/customers"): [
            Try("refused", buyer),
            Try("refused", {"name": "Eve", "subscriptions": [by_code]}),
            Try("refused", {"name": "Eve", "test_clock_id": of["clock_id"]}),
        ],
        ("GET", "/customers"): [
            *empty,
            Try("empty", query=f"?customer_id={customer}"),
            Try("empty", query=f"?external_id=ada-{mark}"),
            Try("empty", query=f"?email=ada@{mark.lower()}.example"),
            Try("empty", query="?name=Customer"),
            Try("empty", query="?status=active"),
        ],
        ("GET", CUSTOMER): refused,
        ("PATCH", CUSTOMER): [Try("refused", {"name": "Eve", "metadata": {"of": "Eve"}})],
        ("POST", f"{CUSTOMER}/block"): [Try("refused", {"reason": "Eve says so"})],
        ("POST", f"{CUSTOMER}/unblock"): [Try("refused", {})],
        ("GET", "/accounts/self"): [Try("own")],
        ("PATCH", "/accounts/self"): [
            Try("own", {"timezone": "Asia/Tokyo", "renewals": {"retry_hours": [1]}})
        ],
        ("POST", "/accounts"): [Try("forbidden", {"name": "Eve's"})],
        ("GET", "/accounts"): [Try("forbidden")],
        ("GET", "/accounts/{connected_account_id}"): [Try("forbidden")],
        ("POST", SUBSCRIPTIONS): [Try("refused", bought)],
        ("GET", SUBSCRIPTIONS): refused,
        ("GET", SUBSCRIPTION): refused,
        ("PATCH", SUBSCRIPTION): [Try("refused", {"status": "active"})],
        ("PATCH", f"{SUBSCRIPTION}/products/{{product_id}}"): [Try("refused", {"version": 1})],
        ("POST", f"{SUBSCRIPTION}/pause"): [Try("refused", {})],
        ("POST", f"{SUBSCRIPTION}/resume"): [Try("refused", {})],
        ("POST", f"{SUBSCRIPTION}/cancel"): [Try("refused", {"at": "now"})],
        ("POST", f"{SUBSCRIPTION}/reactivate"): [Try("refused", {})],
        ("POST", "/test-clocks"): [Try("own", {"now": "2030-01-01T00:00:00Z"})],
        ("GET", "/test-clocks"): [Try("own")],
        ("GET", "/test-clocks/{clock_id}"): refused,
        ("POST", "/test-clocks/{clock_id}/advance"): [
            Try("refused", {"to": "2030-01-01T00:00:00Z"})
        ],
        ("POST", "/events/{event_id}/outcome"): [
            Try("refused", {"transaction_id": "x", "outcome": "withdrawn"})
        ],
        ("POST", "/events"): [
            Try("refused", by_id),
            Try("refused", by_name),
        ],
        ("GET", "/events"): [
            *empty,
            Try("empty", query=f"?customer_id={customer}"),
            Try("empty", query=f"?event_id={of['event_id']}"),
        ],
        ("GET", "/events/{event_id}"): [*refused, Try("refused", query=f"?customer_id={customer}")],
        ("GET", "/events/{event_id}/explanation"): [
            *refused,
            Try("refused", query=f"?customer_id={customer}"),
        ],
        ("POST", HOLDS): [Try("refused", ask)],
        ("POST", f"{HOLDS}/batch"): [Try("refused", {"holds": [ask]})],
        ("GET", HOLDS): refused,
        ("GET", f"{HOLDS}/{{hold_id}}"): refused,
        ("POST", f"{HOLDS}/{{hold_id}}/update"): [
            Try("refused", {"transaction_id": "u", "used": {"amount": 1}, "want": {"amount": 1}})
        ],
        ("POST", f"{HOLDS}/{{hold_id}}/extend"): [Try("refused", {"expires_in_seconds": 60})],
        ("POST", f"{HOLDS}/{{hold_id}}/capture"): [
            Try("refused", {"transaction_id": "c", "amount": 1})
        ],
        ("POST", f"{HOLDS}/{{hold_id}}/void"): [Try("refused", {})],
        ("POST", "/limits"): [Try("refused", {**limit, "asset": gems})],
        ("GET", "/limits"): empty,
        ("GET", "/limits/{limit_id}"): refused,
        ("PATCH", "/limits/{limit_id}"): [Try("refused", {"amount": 2})],
        ("DELETE", "/limits/{limit_id}"): refused,
        ("POST", OWN_LIMITS): [Try("refused", limit)],
        ("GET", OWN_LIMITS): refused,
        ("GET", f"{OWN_LIMITS}/{{limit_id}}"): refused,
        ("PATCH", f"{OWN_LIMITS}/{{limit_id}}"): [Try("refused", {"amount": 2})],
        ("DELETE", f"{OWN_LIMITS}/{{limit_id}}"): refused,
        ("POST", "/vendors"): [Try("own", {"name": "Mine", "external_id": "mine"})],
        ("GET", "/vendors"): [Try("own"), Try("empty", query=f"?external_id=vendor-{mark}")],
        ("GET", "/vendors/{vendor_id}"): refused,
        ("GET", WALLET): refused,
        ("GET", f"{WALLET}/{{account_id}}"): refused,
        ("PATCH", f"{WALLET}/{{account_id}}"): [
            Try("refused", {"overdraft": {"policy": "reject"}})
        ],
        ("GET", f"{WALLET}/{{account_id}}/grants"): refused,
        ("POST", f"{WALLET}/adjustments"): [Try("refused", adjustment("1"))],
        ("POST", f"{WALLET}/charges"): [
            Try("refused", {"transaction_id": "x", "asset": "USD", "amount": 1})
        ],
        ("GET", f"{WALLET}/transactions/{{transaction_id}}"): refused,
        ("GET", "/customers/stats"): [Try("empty", query=PERIOD)],
        ("GET", f"{CUSTOMER}/stats"): [Try("refused", query=PERIOD)],
        ("GET", "/vendors/{vendor_id}/stats"): [Try("refused", query=PERIOD)],
        ("GET", "/stats"): [
            *[Try("empty", query=f"{PERIOD}&group_by={by}") for by in DIMENSIONS],
            Try("refused", query=f"{PERIOD}&customer_id={customer}"),
        ],
        ("POST", "/model-prices"): [Try("own", {"model": "mine", "per_image": 1})],
        ("GET", "/model-prices"): [Try("own")],
        # What another account pays for it is known to that account alone.
        ("POST", "/model-prices/quote"): [Try("own", {"data": {"model": "ours", "images": 1}})],
        ("GET", "/model-prices/{model_price_id}"): refused,
        ("DELETE", "/model-prices/{model_price_id}"): refused,
        ("GET", "/ingestion/{source}/rules"): [Try("own")],
        ("PUT", "/ingestion/{source}/rules"): [
            Try("own", {"customer": ["mine"], "default_event_type": "call"})
        ],
        ("DELETE", "/ingestion/{source}/rules"): [Try("own")],
        ("POST", "/ingestion/{source}/preview"): [Try("own", {"sample": TOLD})],
        ("POST", "/ingestion/import"): [Try("own", {"lines": []})],
        ("POST", "/coupons"): [
            Try("refused", {"code": "OFF", "percent": 10, "products": [of["product_id"]]}),
            Try("refused", {"code": "OFF", "amount": 1, "asset": gems}),
        ],
        ("GET", "/coupons"): empty,
        ("GET", "/coupons/{coupon_code}"): refused,
        ("POST", f"{SUBSCRIPTION}/discounts"): [Try("refused", {"coupon": of["coupon_code"]})],
        ("DELETE", f"{SUBSCRIPTION}/discounts/{{coupon_code}}"): refused,
        ("DELETE", "/coupons/{coupon_code}"): refused,
        ("GET", "/products/{product_id}/subscribers"): refused,
        ("GET", "/products/{product_id}/{version}/diff"): refused,
        ("POST", "/products/{product_id}/subscribers/migrate"): [Try("refused", {"to_version": 1})],
        ("DELETE", "/products/{product_id}/{version}"): refused,
        ("DELETE", "/products/{product_id}"): refused,
        ("POST", "/top-ups"): [
            Try(
                "refused",
                {
                    "customer_id": customer,
                    "amount": 5,
                    "currency": "USD",
                    "return_url": "https://eve.example",
                    "failure_url": "https://eve.example",
                },
            )
        ],
        ("GET", "/top-ups"): [*empty, Try("empty", query=f"?customer_id={customer}")],
        ("GET", "/top-ups/{top_up_id}"): refused,
        ("POST", "/top-ups/{top_up_id}/refunds"): [Try("refused", {"amount": 1})],
        ("GET", "/top-ups/{top_up_id}/refunds"): refused,
        ("POST", CARDS): [
            Try(
                "refused",
                {"return_url": "https://eve.example", "failure_url": "https://eve.example"},
            )
        ],
        ("GET", CARDS): refused,
        ("PATCH", f"{CARDS}/{{payment_method_id}}"): [Try("refused", {"is_default": True})],
        ("DELETE", f"{CARDS}/{{payment_method_id}}"): refused,
        ("GET", f"{WALLET}/{{account_id}}/auto-top-up"): refused,
        ("PUT", f"{WALLET}/{{account_id}}/auto-top-up"): [Try("refused", AUTO_TOP_UP)],
        ("POST", "/billing-portal/sessions"): [
            Try("refused", {"customer_id": of["customer_id"], **WAYS_BACK})
        ],
        ("DELETE", f"{CUSTOMER}/billing-portal-sessions"): refused,
        ("GET", "/billing-portal/settings"): [Try("own")],
        ("PUT", "/billing-portal/settings"): [Try("own", {"accent": "#123456"})],
        ("PUT", "/billing-portal/logo"): [Try("own", {"content": LOGO})],
        ("DELETE", "/billing-portal/logo"): [Try("own")],
        ("POST", "/webhooks"): [Try("own", {"url": "https://example.com/mine"})],
        ("GET", "/webhooks"): [Try("own")],
        ("GET", "/webhooks/events"): [
            Try("own"),
            Try("own", query=f"?destination_id={of['webhook_id']}"),
        ],
        ("POST", "/webhooks/test/{topic}"): [Try("own", {})],
        ("POST", "/webhooks/test/{topic}/{connected_account_id}"): [Try("forbidden", {})],
        ("POST", f"{WEBHOOK}/test/{{topic}}"): [Try("refused", {})],
        ("POST", f"{WEBHOOK}/test/{{topic}}/{{connected_account_id}}"): [Try("forbidden", {})],
        ("POST", f"{WEBHOOK}/rotate-secret"): [Try("refused", {"overlap_seconds": 60})],
        ("POST", f"{WEBHOOK}/redeliver"): [Try("refused", {"time_gte": "2026-01-01T00:00:00Z"})],
        ("GET", WEBHOOK): refused,
        ("PATCH", WEBHOOK): [Try("refused", {"enabled": False})],
        ("DELETE", WEBHOOK): refused,
        ("GET", "/due-work"): [*empty, Try("empty", query="?status=set_aside")],
        ("GET", "/credit-revenue"): [*empty, Try("refused", query=f"?customer_id={customer}")],
    }
