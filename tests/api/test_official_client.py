"""The published client of the API that ours is modelled on, unmodified, over a real port.

Where its model types a decimal as `int`, its attributes cut the fraction off; the same objects as
mappings have the number that was sent, so those are looked at here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from corehttp.exceptions import HttpResponseError
from credytapi import CredytApiClient

TOKENS = {
    "name": "Tokens",
    "code": "tokens",
    "publish": True,
    "prices": [
        {
            "type": "usage_based",
            "name": "Input tokens",
            "usage_calculation": {
                "event_type": "llm_call",
                "usage_type": "volume",
                "volume_field": "input_tokens",
                "billable_dimensions": ["model"],
            },
            "billing_model": {"type": "real_time"},
            "pricing": [
                {
                    "asset": "USD",
                    "values": [
                        {
                            "dimensions": {"model": "large"},
                            "values": [{"volume_rate": 2.5, "package_size": 1000000}],
                        },
                        {
                            "dimensions": {"model": "*"},
                            "values": [{"volume_rate": 0.15, "package_size": 1000000}],
                        },
                    ],
                }
            ],
        }
    ],
}


def _event(identifier: str, tokens: int, model: str = "large") -> dict[str, object]:
    return {
        "id": identifier,
        "event_type": "llm_call",
        "occurred_at": datetime.now(UTC).isoformat(),
        "subject": "alice",
        "data": {"input_tokens": tokens, "model": model},
    }


def _customer(client: CredytApiClient, external_id: str = "acme") -> str:
    created = client.customers.create(
        {
            "name": "Acme",
            "external_id": external_id,
            "email": "billing@acme.example",
            "subscriptions": [{"products": [{"code": "tokens"}]}],
        }
    )
    assert created.subscriptions[0].status == "active"
    return created.id


def test_a_seller_sets_up_prices_and_a_customer_is_charged_for_use(
    client: CredytApiClient,
) -> None:
    product = client.products.create(TOKENS)
    assert (product.version, product.status, product.is_default) == (1, "published", True)
    customer_id = _customer(client)
    client.wallets.customer_wallet_ops.create_adjustment(
        customer_id,
        {"transaction_id": "gift-1", "asset": "USD", "amount": 10, "reason": "gift"},
    )
    client.events.send_usage(
        {"customer_id": customer_id, "events": [_event("e-1", 1_000_000), _event("e-2", 2, "x")]}
    )
    wallet = client.wallets.customer_wallet_ops.get_customer_wallet(customer_id)
    assert [(a.id, str(a.available)) for a in wallet.accounts] == [("default:USD", "7.4999997")]
    event = client.events.get("e-1")
    assert event.customer_id == customer_id
    assert [(f.price_name, f["amount"], f.currency) for f in event.fees] == [
        ("Input tokens", 2.5, "USD")
    ]
    assert event.stats is not None
    assert event.stats["gross_revenue"] == 2.5
    page = client.events.list(customer_external_id="acme", event_types="llm_call,other")
    assert page.total_count == 2
    assert [item.id for item in page.items_property] == ["e-2", "e-1"]
    fee = client.wallets.customer_wallet_ops.get_transaction(customer_id, event.fees[0].id)
    assert (fee.type, str(fee.amount)) == ("fee", "2.5")


def test_a_repeated_batch_is_charged_once(client: CredytApiClient) -> None:
    client.products.create(TOKENS)
    customer_id = _customer(client)
    body = {"customer_id": customer_id, "events": [_event("e-1", 1_000_000)]}
    for _ in range(3):
        client.events.send_usage(body)
    account = client.wallets.customer_wallet_ops.get_account(customer_id, "default:USD")
    assert str(account.available) == "-2.5"


def test_every_read_of_the_catalog_and_the_customer_works(client: CredytApiClient) -> None:
    created = client.products.create(TOKENS)
    second = client.products.create_version(created.id, {"prices": TOKENS["prices"]})
    assert (second.version, second.status) == (2, "draft")
    client.products.update_version(created.id, 2, {"publish": True, "make_default": True})
    assert client.products.get_version(created.id, 2).is_default
    assert client.products.get(created.id).default_version.version == 2
    assert client.products.list(code="tokens").total_count == 1
    simulated = client.products.simulate_usage(created.id, 1, {"events": [_event("s", 400_000)]})
    assert [fee.amount for fee in simulated.fees] == [1]
    client.assets.create({"code": "CREDITS", "name": "Credits", "precision": 2})
    assert client.assets.get("CREDITS").precision == 2
    assert client.assets.get("USD").symbol == "$"
    assert client.assets.list(limit=1).items_property[0].code == "CREDITS"
    customer_id = _customer(client)
    client.customers.update(customer_id, {"name": "Acme Corp"})
    shown = client.customers.get(customer_id)
    assert (shown.name, shown.active_subscription_count) == ("Acme Corp", 1)
    for filters in ({"status": "active"}, {"name": "corp"}, {"external_id": "acme"}):
        assert client.customers.list(**filters).total_count == 1
    assert client.customers.list(status="inactive").total_count == 0
    client.wallets.customer_wallet_ops.create_charge(
        customer_id, {"transaction_id": "c-1", "asset": "USD", "amount": 1.25}
    )
    charge = client.wallets.customer_wallet_ops.get_transaction(customer_id, "c-1")
    assert (charge.type, str(charge.amount)) == ("fee", "1.25")
    client.wallets.customer_wallet_ops.create_adjustment(
        customer_id,
        {"transaction_id": "a-1", "asset": "USD", "amount": 3, "reason": "external_topup"},
    )
    grants = client.wallets.customer_wallet_ops.get_credit_grants(customer_id, "default:USD")
    assert [(g["available"], g.purpose) for g in grants.items_property] == [(1.75, "paid")]
    subscription = shown.subscriptions[0].id
    client.customers.update_subscription(customer_id, subscription, {"status": "inactive"})
    assert client.customers.get(customer_id).subscriptions[0].status == "inactive"
    added = client.customers.create_subscription(
        customer_id, {"products": [{"id": created.id, "version": 1}]}
    )
    client.customers.update_subscription_product(
        customer_id, added.id, created.id, {"version": "default"}
    )
    assert client.accounts.get_context().environment == "test"


def test_a_refusal_carries_the_message_to_whoever_catches_it(client: CredytApiClient) -> None:
    made = client.products.create(TOKENS)
    customer_id = _customer(client)
    subscription_id = client.customers.get(customer_id).subscriptions[0].id
    monthly = {
        "type": "fixed",
        "name": "Seats",
        "billing_model": {"type": "recurring", "recurring": {"interval": "fortnight"}},
        "pricing": [{"asset": "USD", "values": [{"unit_price": 10, "quantity": 1}]}],
    }
    plan = {"name": "Plan", "code": "plan", "publish": True, "prices": [monthly]}
    credit = {"name": "Credit", "asset": "NOPE", "amount": 5, "purpose": "bundled"}
    credit["lifecycle"] = {"duration": "month"}
    billed = {**monthly, "billing_model": {"type": "one_time", "one_time": {}}}
    for call, status, field, says in (
        (
            lambda: client.products.create(plan),
            422,
            "prices[0].billing_model.recurring.interval",
            '"month"',
        ),
        (
            lambda: client.products.create({**plan, "prices": [billed], "entitlements": [credit]}),
            422,
            "entitlements[0].asset",
            "create the asset first",
        ),
        (lambda: client.products.create(TOKENS), 409, "code", "make a new version"),
        (
            lambda: client.products.create_version(made.id, {"prices": [{"type": "gift"}]}),
            422,
            "prices[0].type",
            '"fixed"',
        ),
        (
            lambda: client.products.update_version(made.id, 1, {"publish": False}),
            409,
            "publish",
            "make a new version",
        ),
        (
            lambda: client.customers.create_subscription(
                customer_id, {"products": [{"code": "tokens", "quantity": -1}]}
            ),
            422,
            "products[0].quantity",
            "is -1: send a whole number from 0",
        ),
        (
            lambda: client.customers.create_subscription(
                customer_id, {"products": [{"code": "x"}]}
            ),
            422,
            "products[0].code",
            "create the product first",
        ),
        (
            lambda: client.customers.update_subscription(
                customer_id, subscription_id, {"status": "paused"}
            ),
            422,
            "status",
            '"inactive"',
        ),
        (
            lambda: client.customers.update_subscription_product(
                customer_id, subscription_id, made.id, {"version": "newest"}
            ),
            422,
            "version",
            'a whole number or "default"',
        ),
    ):
        with pytest.raises(HttpResponseError) as caught:
            call()
        assert caught.value.status_code == status
        problem = caught.value.response.json()
        assert says in problem["errors"][field][0], problem
        # Its text has the whole answer.
        assert json.dumps(says, ensure_ascii=False)[1:-1] in str(caught.value)
    assert client.products.list().total_count == 1
    assert client.products.get(made.id).versions[0].version == 1
