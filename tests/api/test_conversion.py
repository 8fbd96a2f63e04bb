"""Paying one asset with another, by the published client over a real port; what is refused by field
and changes nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from credytapi import CredytApiClient
from tests.api.caller import (
    Caller,
    adjustment,
    adjustments,
    ago,
    assert_refused,
    calling,
    usage,
    world,
)
from tests.api.conftest import RunningServer

CREDITS = "default:CREDITS"
PRICE: dict[str, Any] = {
    "type": "usage_based",
    "name": "Images",
    "usage_calculation": {"event_type": "image", "usage_type": "unit"},
    "billing_model": {"type": "real_time"},
    "pricing": [{"asset": "USD", "values": [{"unit_price": 0.25}]}],
    "funding_destination": {"address": CREDITS, "currency": "CREDITS"},
}
PRODUCT = {"name": "Images", "code": "tokens", "publish": True, "prices": [PRICE]}
ASSET = {"code": "CREDITS", "name": "Credits", "rates": [{"source": "USD", "rate": 0.04}]}


def image(identifier: str, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "event_type": "image", "occurred_at": ago(), **more}


def test_the_published_client_sells_in_dollars_and_collects_credits(
    client: CredytApiClient,
) -> None:
    client.assets.create(ASSET)
    made = client.products.create(PRODUCT)
    (price,) = client.products.get_version(made.id, 1).prices
    funding = price["funding_destination"]
    assert (funding["address"], funding["currency"]) == (CREDITS, "CREDITS")
    customer = client.customers.create(
        {"name": "Acme", "subscriptions": [{"products": [{"code": "tokens"}]}]}
    )
    wallets = client.wallets.customer_wallet_ops
    paid = wallets.create_adjustment(
        customer.id,
        {
            "transaction_id": "p1",
            "asset": "USD",
            "amount": 9.99,
            "reason": "external_topup",
            "convert_to": {"asset": "CREDITS"},
        },
    )
    assert (paid["destination_amount"], paid["is_rounded_down"]) == (249, True)
    for number in range(2):
        client.events.send_usage({"customer_id": customer.id, "events": [image(f"i{number}")]})
    (account,) = wallets.get_customer_wallet(customer.id).accounts
    # 249 less twice 6.25, rounded to 12 (the even one).
    assert (account.id, account["available"]) == (CREDITS, 237)
    (fee,) = client.events.get("i1").fees
    assert (fee.currency, fee["amount"]) == ("USD", 0.25)
    assert (fee["paid_asset"], fee["paid_amount"], fee["exchange_rate"]) == ("CREDITS", 6, 25)
    transaction = wallets.get_transaction(customer.id, fee.id)
    assert (transaction.asset, transaction["amount"]) == ("CREDITS", 6)
    assert transaction["converted_from"] == {
        "asset": "USD",
        "amount": 0.25,
        "exchange_rate": 25,
    }


@pytest.fixture
def me(server: RunningServer) -> Any:
    with calling(server) as caller:
        caller.made("assets", ASSET)
        caller.made("products", PRODUCT)
        yield caller


def test_a_payment_is_converted_once_and_says_how(me: Caller) -> None:
    ada = me.customer()
    body = {
        "transaction_id": "p1",
        "asset": "USD",
        "amount": 10,
        "reason": "external_topup",
        "convert_to": {"asset": "CREDITS", "account_name": "main", "exchange_rate": 30},
    }
    first = me.made(adjustments(ada), body)
    assert {name: value for name, value in first.items() if name not in ("id", "created_at")} == {
        "destination_asset": "CREDITS",
        "destination_amount": 300,
        "exchange_rate": 30,
        "is_rounded_down": False,
    }
    assert me.made(adjustments(ada), body) == first
    changed = {**body, "convert_to": {"asset": "CREDITS", "account_name": "main"}}
    answer = me.post(adjustments(ada), changed)
    assert (answer.status, answer.fields) == (409, ["convert_to"])
    assert me.available(ada, "main:CREDITS") == 300
    shown = me.get(f"customers/{ada}/wallet/transactions/p1").body
    assert (shown["asset"], shown["amount"], shown["account_id"]) == (
        "CREDITS",
        300,
        "main:CREDITS",
    )
    assert shown["converted_from"] == {
        "asset": "USD",
        "amount": 10,
        "exchange_rate": 30,
        "is_rounded_down": False,
    }


@pytest.mark.parametrize(
    ("convert_to", "amount", "field"),
    [
        ({"asset": "NONE"}, 1, "convert_to.asset"),
        ({"asset": "USD"}, 1, "convert_to.asset"),
        ({"asset": "EUR"}, 1, "convert_to.asset"),
        ({}, 1, "convert_to.asset"),
        ({"asset": "CREDITS", "to": 1}, 1, "convert_to.to"),
        ({"asset": "CREDITS", "account_name": "a b"}, 1, "convert_to.account_name"),
        ({"asset": "CREDITS", "exchange_rate": 0}, 1, "convert_to.exchange_rate"),
        ({"asset": "CREDITS", "exchange_rate": "1"}, 1, "convert_to.exchange_rate"),
        ({"asset": "CREDITS"}, -1, "convert_to"),
        ({"asset": "CREDITS"}, 0.01, "amount"),
        ({"asset": "CREDITS"}, 0.0000000001, "amount"),
    ],
)
def test_a_payment_that_cannot_be_converted_is_refused_and_changes_nothing(
    me: Caller, convert_to: dict[str, Any], amount: float, field: str
) -> None:
    ada = me.customer()
    before = world(me, ada)
    body = {"transaction_id": "p1", "asset": "USD", "amount": amount, "reason": "other"}
    assert_refused(me.post(adjustments(ada), {**body, "convert_to": convert_to}), field)
    assert world(me, ada) == before


@pytest.mark.parametrize(
    ("funding", "field"),
    [
        ({}, "address"),
        ({"address": "default:NONE"}, "address"),
        ({"address": "CREDITS"}, "address"),
        ({"address": "default:USD"}, "address"),
        ({"address": CREDITS, "currency": "USD"}, "currency"),
        ({"address": CREDITS, "exchange_rate": 0}, "exchange_rate"),
        ({"address": CREDITS, "exchange_rate": "25"}, "exchange_rate"),
        ({"address": "bonus:USD", "exchange_rate": 2}, "exchange_rate"),
        ({"address": CREDITS, "rate": 2}, "rate"),
    ],
)
@pytest.mark.parametrize("kind", ["usage", "fixed"])
def test_a_price_that_names_no_account_to_pay_it_is_refused(
    me: Caller, kind: str, funding: dict[str, Any], field: str
) -> None:
    price = {**PRICE, "funding_destination": funding}
    if kind == "fixed":
        price |= {
            "type": "fixed",
            "billing_model": {"type": "recurring", "recurring": {"interval": "month"}},
            "pricing": [{"asset": "USD", "values": [{"unit_price": 10}]}],
        }
        del price["usage_calculation"]
    answer = me.post("products", {**PRODUCT, "code": "other", "prices": [price]})
    assert_refused(answer, f"prices[0].funding_destination.{field}")


def test_a_hold_and_a_simulation_speak_of_the_asset_that_pays(me: Caller) -> None:
    ada = me.customer()
    me.made(adjustments(ada), adjustment("10", "CREDITS"))
    hold = me.post(
        f"customers/{ada}/wallet/holds", {"transaction_id": "h1", "event_type": "image"}
    ).body
    assert (hold["asset"], hold["amount"], hold["available"]) == ("CREDITS", 7, 3)
    captured = me.post(
        f"customers/{ada}/wallet/holds/{hold['id']}/capture",
        {"transaction_id": "c1", "events": [image("i1")]},
    ).body
    assert (captured["captured_amount"], captured["fees"][0]["paid_amount"]) == (6, 6)
    events = [image("s1"), {**image("s2"), "occurred_at": "2020-01-01T00:00:00Z"}]
    simulated = me.post("products/tokens/1/simulate-usage", {"events": events}).body
    (fee,) = simulated["fees"]
    assert (fee["amount"], fee["paid_amount"], fee["paid_asset"], fee["exchange_rate"]) == (
        Decimal("0.25"),
        6,
        "CREDITS",
        25,
    )
    assert "no rate between USD and CREDITS at 2020-01-01" in simulated["warnings"][0]


def test_an_event_for_which_there_is_no_rate_is_booked_and_says_which_is_missing(
    me: Caller,
) -> None:
    price = {**PRICE, "funding_destination": {"address": "default:EUR"}}
    product = {**PRODUCT, "code": "euros", "prices": [price]}
    me.made("products", product)
    subscription = {"products": [{"code": "euros"}], "starts_at": ago(days=1)}
    ada = str(me.made("customers", {"name": "Ada", "subscriptions": [subscription]})["id"])
    headers = {"prefer": "return=representation"}
    (booked,) = me.post("events", usage(ada, image("i1")), headers=headers).body["events"]
    assert (booked["status"], booked["fees"]) == ("booked", [])
    assert "there is no rate between USD and EUR at " in booked["warnings"][0]
    me.post("assets/EUR/rates", {"source": "USD", "rate": 1.25})
    (booked,) = me.post("events", usage(ada, image("i2")), headers=headers).body["events"]
    assert (booked["fees"][0]["paid_amount"], booked["warnings"]) == (Decimal("0.2"), [])
