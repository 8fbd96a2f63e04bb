"""Which tools there are: the operations that a conversation is about each have a tool of their own,
under the name by which assistants know it in this field; the rarer ones share one by their noun.
What only looks and what changes never share a tool, because assistants ask before the latter.
"""

from __future__ import annotations

from typing import Final

from faregate.mcp.tool import Choice, Tool
from faregate.operations.operation import Operation
from faregate.operations.table import OPERATIONS

_BY_NAME: Final[dict[str, Operation]] = {f"{o.method} {o.path}": o for o in OPERATIONS}


def _do(name: str, action: str = "") -> Choice:
    return Choice(_BY_NAME[name], action)


def _new(name: str, action: str = "") -> Choice:
    """Make something, once for each `idempotency_key`."""
    return Choice(_BY_NAME[name], action, takes_key=True)


def _drop(name: str, action: str = "") -> Choice:
    """Take something away."""
    return Choice(_BY_NAME[name], action, is_destructive=True)


_PRODUCT: Final = "/products/{product_id}"
_VERSION: Final = f"{_PRODUCT}/{{version}}"
_CUSTOMER: Final = "/customers/{customer_id}"
_WALLET: Final = f"{_CUSTOMER}/wallet"
_ACCOUNT: Final = f"{_WALLET}/{{account_id}}"
_HOLD: Final = f"{_WALLET}/holds/{{hold_id}}"
_SUBSCRIPTION: Final = f"{_CUSTOMER}/subscriptions/{{subscription_id}}"
_EVENT: Final = "/events/{event_id:path}"
_TOP_UP: Final = "/top-ups/{top_up_id}"
_HOOK: Final = "/webhooks/{webhook_id}"

_CATALOG: Final = (
    Tool(
        "list_assets",
        (_do("GET /assets"), _do("GET /assets/{asset_code}")),
        "With `asset_code`: only that one, with its rates.",
        other_names=("get_asset",),
    ),
    Tool("create_asset", (_new("POST /assets"),)),
    Tool("add_asset_rate", (_new("POST /assets/{asset_code}/rates"),)),
    Tool("quote_asset", (_do("POST /assets/{asset_code}/quote"),)),
    Tool("list_products", (_do("GET /products"),)),
    Tool(
        "get_product",
        (_do(f"GET {_PRODUCT}"), _do(f"GET {_VERSION}")),
        "With `version` (a number or `default`): that version with its prices.",
        other_names=("get_product_version",),
    ),
    Tool("create_product", (_new("POST /products"),)),
    Tool("create_product_version", (_new(f"POST {_PRODUCT}"),)),
    Tool("publish_product_version", (_do(f"PATCH {_VERSION}"),)),
    Tool(
        "delete_product",
        (_drop(f"DELETE {_PRODUCT}"), _drop(f"DELETE {_VERSION}")),
        "With `version`: only that version.",
        other_names=("archive_product", "delete_product_version"),
    ),
    Tool("simulate_usage", (_do(f"POST {_VERSION}/simulate-usage"),)),
    Tool(
        "migrate_subscribers",
        (_do(f"POST {_PRODUCT}/subscribers/migrate"),),
    ),
    Tool("create_vendor", (_new("POST /vendors"),)),
    Tool(
        "list_vendors",
        (_do("GET /vendors"), _do("GET /vendors/{vendor_id}")),
        "With `vendor_id`: only that one.",
        other_names=("get_vendor",),
    ),
)
_CUSTOMERS: Final = (
    Tool("create_customer", (_new("POST /customers"),)),
    Tool("list_customers", (_do("GET /customers"),)),
    Tool("get_customer", (_do(f"GET {_CUSTOMER}"),)),
    Tool("update_customer", (_do(f"PATCH {_CUSTOMER}"),)),
    Tool("create_subscription", (_new(f"POST {_CUSTOMER}/subscriptions"),)),
    Tool(
        "change_subscription",
        (
            _do(f"PATCH {_SUBSCRIPTION}", "update"),
            _do(f"PATCH {_SUBSCRIPTION}/products/{{product_id}}", "change_product"),
            _do(f"POST {_SUBSCRIPTION}/pause", "pause"),
            _do(f"POST {_SUBSCRIPTION}/resume", "resume"),
            _drop(f"POST {_SUBSCRIPTION}/cancel", "cancel"),
            _do(f"POST {_SUBSCRIPTION}/reactivate", "reactivate"),
            _do(f"POST {_SUBSCRIPTION}/discounts", "add_discount"),
            _drop(f"DELETE {_SUBSCRIPTION}/discounts/{{coupon_code}}", "remove_discount"),
        ),
    ),
    Tool(
        "look_up_customer",
        (
            _do(f"GET {_CUSTOMER}/subscriptions", "subscriptions"),
            _do(f"GET {_SUBSCRIPTION}", "subscriptions"),
            _do(f"GET {_ACCOUNT}/grants", "grants"),
            _do(f"GET {_WALLET}/transactions/{{transaction_id:path}}", "transaction"),
            _do(f"GET {_CUSTOMER}/limits", "limits"),
            _do(f"GET {_CUSTOMER}/limits/{{limit_id}}", "limits"),
            _do(f"GET {_CUSTOMER}/payment-methods", "payment_methods"),
            _do(f"GET {_ACCOUNT}/auto-top-up", "auto_top_up"),
        ),
        "What else there is to know of one customer.",
    ),
)
_USE: Final = (
    Tool(
        "send_events",
        (_do("POST /events"),),
        "The answer has each event's fees, warnings (e.g. that no price fits) and balances.",
        other_names=("submit_events",),
    ),
    Tool("list_events", (_do("GET /events"),)),
    Tool("get_event", (_do(f"GET {_EVENT}"),)),
    Tool("explain_event", (_do(f"GET {_EVENT}/explanation"),)),
    Tool("settle_event", (_do(f"POST {_EVENT}/outcome"),)),
    Tool(
        "authorize",
        (_do(f"POST {_WALLET}/holds"),),
        other_names=("create_hold",),
    ),
    Tool("capture", (_do(f"POST {_HOLD}/capture"),), other_names=("capture_hold",)),
    Tool("void", (_do(f"POST {_HOLD}/void"),), other_names=("void_hold",)),
    Tool(
        "change_hold",
        (
            _do(f"POST {_HOLD}/update", "update"),
            _do(f"POST {_HOLD}/extend", "extend"),
            _do(f"POST {_WALLET}/holds/batch", "authorize_many"),
        ),
    ),
    Tool(
        "list_holds",
        (_do(f"GET {_WALLET}/holds"), _do(f"GET {_HOLD}")),
        "With `hold_id`: only that one.",
        other_names=("get_hold",),
    ),
)
_MONEY: Final = (
    Tool(
        "get_wallet",
        (_do(f"GET {_WALLET}"), _do(f"GET {_ACCOUNT}")),
        "With `account_id` (e.g. `default:USD`): only that account.",
    ),
    Tool(
        "adjust_wallet",
        (_do(f"POST {_WALLET}/adjustments"),),
        other_names=("create_adjustment",),
    ),
    Tool("charge_wallet", (_do(f"POST {_WALLET}/charges"),), other_names=("create_charge",)),
    Tool(
        "create_top_up",
        (_new("POST /top-ups"),),
        "Give the customer the `redirect_url` of the answer.",
        is_open_world=True,
        other_names=("initiate_top_up",),
    ),
    Tool(
        "list_top_ups",
        (_do("GET /top-ups"), _do(f"GET {_TOP_UP}")),
        "With `top_up_id`: only that one.",
        other_names=("get_top_up",),
    ),
    Tool(
        "refund_top_up",
        (
            Choice(
                _BY_NAME[f"POST {_TOP_UP}/refunds"],
                is_destructive=True,
                takes_key=True,
            ),
        ),
        is_open_world=True,
    ),
    Tool(
        "manage_payments",
        (
            _do(f"POST {_CUSTOMER}/payment-methods", "save_card"),
            _do(f"PATCH {_CUSTOMER}/payment-methods/{{payment_method_id}}", "make_card_default"),
            _drop(f"DELETE {_CUSTOMER}/payment-methods/{{payment_method_id}}", "forget_card"),
            _do(f"PUT {_ACCOUNT}/auto-top-up", "set_auto_top_up"),
            _do(f"PATCH {_ACCOUNT}", "set_account_terms"),
            _do("PATCH /assets/{asset_code}", "set_top_up_bonus"),
        ),
        "How customers pay.",
        is_open_world=True,
    ),
    Tool("create_portal_session", (_do("POST /billing-portal/sessions"),)),
)
_HOUSE: Final = (
    Tool(
        "get_stats",
        (
            _do("GET /stats", "breakdown"),
            _do("GET /customers/stats", "customers"),
            _do(f"GET {_CUSTOMER}/stats", "customer"),
            _do("GET /vendors/{vendor_id}/stats", "vendor"),
            _do("GET /credit-revenue", "credit_revenue"),
        ),
        "Revenue, costs and margin.",
    ),
    Tool(
        "manage_limits",
        (
            _new("POST /limits", "create"),
            _new(f"POST {_CUSTOMER}/limits", "create"),
            _do("PATCH /limits/{limit_id}", "change"),
            _do(f"PATCH {_CUSTOMER}/limits/{{limit_id}}", "change"),
            _drop("DELETE /limits/{limit_id}", "delete"),
            _drop(f"DELETE {_CUSTOMER}/limits/{{limit_id}}", "delete"),
            _do(f"POST {_CUSTOMER}/block", "block_customer"),
            _do(f"POST {_CUSTOMER}/unblock", "unblock_customer"),
        ),
        "With `customer_id`: a limit of that customer alone.",
    ),
    Tool(
        "manage_coupons",
        (
            _new("POST /coupons", "create"),
            _drop("DELETE /coupons/{coupon_code}", "delete"),
        ),
    ),
    Tool(
        "manage_webhooks",
        (
            _new("POST /webhooks", "create"),
            _do(f"PATCH {_HOOK}", "change"),
            _drop(f"DELETE {_HOOK}", "delete"),
            _do(f"POST {_HOOK}/rotate-secret", "rotate_secret"),
            _do(f"POST {_HOOK}/redeliver", "redeliver"),
            _do("POST /webhooks/test/{topic}", "test"),
            _do("POST /webhooks/test/{topic}/{connected_account_id}", "test"),
            _do(f"POST {_HOOK}/test/{{topic}}", "test"),
            _do(f"POST {_HOOK}/test/{{topic}}/{{connected_account_id}}", "test"),
        ),
        is_open_world=True,
    ),
    Tool(
        "manage_model_prices",
        (
            _new("POST /model-prices", "create"),
            _drop("DELETE /model-prices/{model_price_id}", "delete"),
        ),
        "What models cost the seller, where that is not what the providers' table says.",
    ),
    Tool(
        "preview_ingestion",
        (_do("POST /ingestion/{source}/preview"),),
        "Sources: otlp, cloudevents, litellm, import.",
    ),
    Tool(
        "manage_ingestion",
        (
            _do("PUT /ingestion/{source}/rules", "set_rules"),
            _drop("DELETE /ingestion/{source}/rules", "reset_rules"),
        ),
        "How events are made of what telemetry and files tell.",
    ),
    Tool(
        "manage_test_clocks",
        (
            _new("POST /test-clocks", "create"),
            _do("POST /test-clocks/{clock_id}/advance", "advance"),
        ),
        "Test mode: let time pass for customers that were made with `test_clock_id`.",
    ),
    Tool(
        "manage_settings",
        (
            _do("PATCH /accounts/self", "change_account"),
            _new("POST /accounts", "create_connected_account"),
            _do("PUT /billing-portal/settings", "set_portal"),
            _do("PUT /billing-portal/logo", "set_portal_logo"),
            _drop("DELETE /billing-portal/logo", "remove_portal_logo"),
            _drop(f"DELETE {_CUSTOMER}/billing-portal-sessions", "end_portal_sessions"),
        ),
        "The account and the portal of its customers.",
    ),
    Tool(
        "look_up",
        (
            _do("GET /accounts/self", "account"),
            _do("GET /accounts", "connected_accounts"),
            _do("GET /accounts/{connected_account_id}", "connected_accounts"),
            _do("GET /billing-portal/settings", "portal_settings"),
            _do(f"GET {_PRODUCT}/subscribers", "subscribers"),
            _do(f"GET {_VERSION}/diff", "version_changes"),
            _do("GET /limits", "limits"),
            _do("GET /limits/{limit_id}", "limits"),
            _do("GET /coupons", "coupons"),
            _do("GET /coupons/{coupon_code}", "coupons"),
            _do("GET /webhooks", "webhooks"),
            _do(f"GET {_HOOK}", "webhooks"),
            _do("GET /webhooks/events", "webhook_deliveries"),
            _do("GET /test-clocks", "test_clocks"),
            _do("GET /test-clocks/{clock_id}", "test_clocks"),
            _do("GET /due-work", "due_work"),
            _do(f"GET {_TOP_UP}/refunds", "refunds"),
            _do(f"GET {_TOP_UP}/receipt", "receipt"),
            _do("GET /model-prices", "model_prices"),
            _do("GET /model-prices/{model_price_id}", "model_prices"),
            _do("POST /model-prices/quote", "model_cost"),
            _do("GET /ingestion/{source}/rules", "ingestion_rules"),
        ),
        "What else there is: an action names what to look up, its id shows only that one.",
    ),
)

TOOLS: Final[tuple[Tool, ...]] = (*_CATALOG, *_CUSTOMERS, *_USE, *_MONEY, *_HOUSE)
