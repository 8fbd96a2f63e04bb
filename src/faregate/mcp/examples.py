"""A worked call of each operation, as tools show them in their schemas. They all speak of one small
shop, which sells renders for credits; its ids are made up (`cust_ada`). Every example is run by the
tests.
"""

from __future__ import annotations

from typing import Any, Final

from faregate.mcp.tool import ACTION, Tool

CUSTOMER: Final = "cust_ada"
PLAN: Final = "sub_ada_plan"
HOLD: Final = "hld_ada"
TOP_UP: Final = "top_ada"
CARD: Final = "pm_ada"
LIMIT: Final = "lim_all"
OWN_LIMIT: Final = "lim_ada"
CLOCK: Final = "clk_trial"
VENDOR: Final = "ven_gpus"
HOOK: Final = "whd_shop"
SELLER: Final = "acc_partner"
MODEL_PRICE: Final = "mpr_llama"
IDS: Final = (
    CUSTOMER, PLAN, HOLD, TOP_UP, CARD, LIMIT, OWN_LIMIT, CLOCK, VENDOR, HOOK, SELLER,
    MODEL_PRICE,
)  # fmt: skip
"""Ids that the server makes: an assistant has them from earlier answers."""
CREDITS: Final = "CREDITS"
ACCOUNT: Final = "default:CREDITS"
PRODUCT: Final = "renders"
RETURN: Final = "https://shop.example/thanks"
FAILURE: Final = "https://shop.example/sorry"
_ADA: Final = {"customer_id": CUSTOMER}
_ADAS_PLAN: Final = {**_ADA, "subscription_id": PLAN}
_ADAS_HOLD: Final = {**_ADA, "hold_id": HOLD}
_ADAS_ACCOUNT: Final = {**_ADA, "account_id": ACCOUNT}
_VERSION: Final = {"product_id": PRODUCT, "version": 1}


def use(event_id: str) -> dict[str, Any]:
    """Return an event: a render of 40 seconds."""
    return {
        "id": event_id,
        "event_type": "render",
        "occurred_at": "2026-03-02T12:00:00Z",
        "data": {"seconds": 40, "quality": "hd"},
    }


RENDERS: Final[dict[str, Any]] = {
    "type": "usage_based",
    "name": "Rendering",
    "billing_model": {"type": "real_time"},
    "usage_calculation": {
        "event_type": "render",
        "usage_type": "volume",
        "volume_field": "seconds",
        "billable_dimensions": ["quality"],
    },
    "pricing": [
        {
            "asset": CREDITS,
            "values": [
                {"dimensions": {"quality": "hd"}, "values": [{"volume_rate": 0.5}]},
                {"dimensions": {"quality": "*"}, "values": [{"volume_rate": 0.25}]},
            ],
        }
    ],
}
MONTHLY: Final[dict[str, Any]] = {
    "type": "fixed",
    "name": "Monthly",
    "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
    "pricing": [{"asset": "USD", "values": [{"unit_price": 20}]}],
}
INCLUDED: Final[dict[str, Any]] = {
    "name": "1,000 credits a month",
    "asset": CREDITS,
    "amount": 1000,
    "purpose": "bundled",
    "lifecycle": {"duration": "month", "refresh": {"strategy": "expire_and_replace"}},
}
BONUS: Final = {"id": "bonus", "percent": 20, "minimum": 50}

_PLAIN: Final[dict[str, dict[str, Any]]] = {
    "list_assets": {"asset_code": CREDITS},
    "create_asset": {
        "code": "TOKENS",
        "name": "Tokens",
        "precision": 0,
        "rates": [{"source": "USD", "rate": 0.05}],
    },
    "add_asset_rate": {
        "asset_code": CREDITS,
        "source": "USD",
        "inverse_rate": 25,
        "valid_from": "2026-04-01T00:00:00Z",
    },
    "quote_asset": {"asset_code": CREDITS, "source": "USD", "amount": 10},
    "list_products": {"limit": 20},
    "get_product": {"product_id": PRODUCT},
    "create_product": {
        "name": "Studio",
        "code": "studio",
        "publish": True,
        "prices": [MONTHLY, RENDERS],
        "entitlements": [INCLUDED],
    },
    "create_product_version": {
        "product_id": PRODUCT,
        "prices": [
            {
                "type": "usage_based",
                "name": "Calls",
                "billing_model": {"type": "real_time"},
                "usage_calculation": {"event_type": "call", "usage_type": "unit"},
                "pricing": [{"asset": CREDITS, "values": [{"unit_price": 2}]}],
            }
        ],
        "publish": True,
    },
    "publish_product_version": {"product_id": PRODUCT, "version": 2, "make_default": True},
    "delete_product": {"product_id": "unwanted"},
    "simulate_usage": {**_VERSION, "events": [use("try-1")]},
    "migrate_subscribers": {"product_id": PRODUCT, "to_version": 2, "dry_run": True},
    "create_vendor": {"name": "Rented GPUs", "external_id": "gpus-2"},
    "list_vendors": {"limit": 20},
    "create_customer": {
        "name": "Grace",
        "external_id": "user-2",
        "email": "grace@example.com",
        "subscriptions": [{"products": [{"code": PRODUCT}]}],
    },
    "preview_ingestion": {
        "source": "cloudevents",
        "sample": {
            "specversion": "1.0",
            "id": "render-9",
            "source": "/renderer",
            "type": "render",
            "subject": "user-1",
            "time": "2026-03-02T12:00:00Z",
            "data": {"seconds": 40, "quality": "hd"},
        },
        "headers": {"content-type": "application/cloudevents+json"},
    },
    "list_customers": {"external_id": "user-1"},
    "get_customer": _ADA,
    "update_customer": {**_ADA, "metadata": {"team": "north"}},
    "create_subscription": {**_ADA, "products": [{"code": "plan"}]},
    "send_events": {**_ADA, "events": [use("render-2")]},
    "list_events": {**_ADA, "limit": 20},
    "get_event": {"event_id": "render-1"},
    "explain_event": {"event_id": "render-1"},
    "settle_event": {
        "event_id": "render-1",
        "transaction_id": "withdraw-1",
        "outcome": "withdrawn",
        "description": "the render failed",
    },
    "authorize": {
        **_ADA,
        "transaction_id": "job-2",
        "event_type": "render",
        "data": {"seconds": 60, "quality": "hd"},
    },
    "capture": {**_ADAS_HOLD, "transaction_id": "job-1-done", "events": [use("render-3")]},
    "void": _ADAS_HOLD,
    "list_holds": {**_ADA, "status": "authorized"},
    "get_wallet": _ADA,
    "adjust_wallet": {
        **_ADA,
        "transaction_id": "welcome-1",
        "asset": CREDITS,
        "amount": 100,
        "reason": "gift",
        "description": "welcome",
    },
    "charge_wallet": {
        **_ADA,
        "transaction_id": "help-1",
        "asset": CREDITS,
        "amount": 15,
        "description": "an hour of help",
    },
    "create_top_up": {
        **_ADA,
        "amount": 50,
        "currency": "USD",
        "destination": {"asset": CREDITS},
        "return_url": RETURN,
        "failure_url": FAILURE,
    },
    "list_top_ups": _ADA,
    "refund_top_up": {"top_up_id": TOP_UP, "amount": 5},
    "create_portal_session": {**_ADA, "return_url": RETURN, "failure_url": FAILURE},
}
_OF_ACTIONS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "change_subscription": {
        "update": {**_ADAS_PLAN, "collection_method": "wallet"},
        "change_product": {**_ADAS_PLAN, "product_id": "plan", "version": 2, "effective": "now"},
        "pause": {**_ADAS_PLAN, "resumes_at": "2026-04-01T00:00:00Z"},
        "resume": _ADAS_PLAN,
        "cancel": {**_ADAS_PLAN, "at": "period_end"},
        "reactivate": _ADAS_PLAN,
        "add_discount": {**_ADAS_PLAN, "coupon": "HALF"},
        "remove_discount": {**_ADAS_PLAN, "coupon_code": "HALF"},
    },
    "look_up_customer": {
        "subscriptions": _ADA,
        "grants": _ADAS_ACCOUNT,
        "transaction": {**_ADA, "transaction_id": "gift-1"},
        "limits": _ADA,
        "payment_methods": _ADA,
        "auto_top_up": _ADAS_ACCOUNT,
    },
    "change_hold": {
        "update": {
            **_ADAS_HOLD,
            "transaction_id": "job-1-slice-1",
            "used": {"events": [use("render-4")]},
            "want": {"data": {"seconds": 20, "quality": "hd"}},
        },
        "extend": {**_ADAS_HOLD, "expires_in_seconds": 3600},
        "authorize_many": {
            **_ADA,
            "holds": [
                {"transaction_id": "job-3", "max_amount": 5, "asset": CREDITS},
                {"transaction_id": "job-4", "max_amount": 5, "asset": CREDITS},
            ],
        },
    },
    "manage_payments": {
        "save_card": {**_ADA, "return_url": RETURN, "failure_url": FAILURE},
        "make_card_default": {**_ADA, "payment_method_id": CARD, "is_default": True},
        "forget_card": {**_ADA, "payment_method_id": CARD},
        "set_auto_top_up": {
            **_ADAS_ACCOUNT,
            "enabled": True,
            "threshold": 50,
            "amount": 20,
            "currency": "USD",
            "monthly_cap": 200,
        },
        "set_account_terms": {
            **_ADAS_ACCOUNT,
            "overdraft": {"policy": "reject"},
            "low_balance_threshold": 25,
        },
        "set_top_up_bonus": {"asset_code": CREDITS, "top_up_bonus": [BONUS]},
    },
    "get_stats": {
        "breakdown": {
            "group_by": "product",
            "period_from": "2026-03-01",
            "period_to": "2026-03-31",
        },
        "customers": {"period_from": "2026-03-01", "period_to": "2026-03-31"},
        "customer": {**_ADA, "period_from": "2026-03-01", "period_to": "2026-03-31"},
        "vendor": {"vendor_id": VENDOR, "period_from": "2026-03-01", "period_to": "2026-03-31"},
        "credit_revenue": {},
    },
    "manage_limits": {
        "create": {**_ADA, "amount": 500, "asset": CREDITS, "period": "day"},
        "change": {"limit_id": LIMIT, "amount": 800},
        "delete": {**_ADA, "limit_id": OWN_LIMIT},
        "block_customer": {**_ADA, "reason": "a payment is disputed"},
        "unblock_customer": _ADA,
    },
    "manage_coupons": {
        "create": {"code": "LAUNCH", "percent": 25, "periods": 3},
        "delete": {"coupon_code": "HALF"},
    },
    "manage_webhooks": {
        "create": {"url": "https://shop.example/told", "topics": ["wallet.balance_low"]},
        "change": {"webhook_id": HOOK, "enabled": False},
        "delete": {"webhook_id": HOOK},
        "rotate_secret": {"webhook_id": HOOK, "overlap_seconds": 3600},
        "redeliver": {"webhook_id": HOOK, "time_gte": "2026-03-02T00:00:00Z"},
        "test": {"webhook_id": HOOK, "topic": "wallet.balance_low"},
    },
    "manage_model_prices": {
        "create": {"model": "our-llama*", "input_per_million": 0.2, "output_per_million": 0.6},
        "delete": {"model_price_id": MODEL_PRICE},
    },
    "manage_ingestion": {
        "set_rules": {
            "source": "cloudevents",
            "customer": ["subject"],
            "event_type": ["type"],
            "data_below": "data.",
        },
        "reset_rules": {"source": "litellm"},
    },
    "manage_test_clocks": {
        "create": {"now": "2026-03-02T12:00:00Z", "name": "a month of Ada"},
        "advance": {"clock_id": CLOCK, "to": "2026-04-02T12:00:00Z"},
    },
    "manage_settings": {
        "change_account": {"timezone": "Europe/Paris", "renewals": {"retry_hours": [24, 72]}},
        "create_connected_account": {"name": "A partner", "external_id": "partner-2"},
        "set_portal": {"name": "Render Shop", "accent": "#225599", "may_cancel": True},
        "set_portal_logo": {
            "content": "iVBORw0KGgoAAAANSUhEUgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAElFTkSuQmCC"
        },
        "remove_portal_logo": {},
        "end_portal_sessions": _ADA,
    },
    "look_up": {
        "account": {},
        "connected_accounts": {"connected_account_id": SELLER},
        "portal_settings": {},
        "subscribers": {"product_id": PRODUCT},
        "version_changes": {"product_id": PRODUCT, "version": 2, "against": "1"},
        "limits": {},
        "coupons": {"coupon_code": "HALF"},
        "webhooks": {"webhook_id": HOOK},
        "webhook_deliveries": {"state": "failed"},
        "test_clocks": {},
        "due_work": {},
        "refunds": {"top_up_id": TOP_UP},
        "receipt": {"top_up_id": TOP_UP},
        "model_prices": {},
        "model_cost": {"data": {"model": "gpt-4o", "input_tokens": 1200, "output_tokens": 300}},
        "ingestion_rules": {"source": "otlp"},
    },
}


def example(tool: Tool, action: str) -> dict[str, Any]:
    """Return the arguments of a worked call."""
    if not action:
        return _PLAIN[tool.name]
    return {ACTION: action, **_OF_ACTIONS[tool.name][action]}


def shown_examples(tool: Tool) -> list[dict[str, Any]]:
    """Return what a tool's schema shows: of its actions those that take more than ids, for the
    others say all by their names."""
    telling = [
        example(tool, action)
        for action in tool.actions or ("",)
        if any(set(example(tool, action)) - {ACTION, *c.places} for c in tool.of_action(action))
    ]
    return telling or [example(tool, (tool.actions or ("",))[0])]
