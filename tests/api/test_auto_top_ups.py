"""Saved cards and auto top-ups, over HTTP: what is asked, what is answered, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.caller import USD, Caller, assert_refused, calling, is_problem, product
from tests.api.conftest import RunningServer

SHOP = {"return_url": "https://shop.example/thanks", "failure_url": "https://shop.example/sorry"}
TERMS = {"enabled": True, "threshold": 10, "amount": 50}


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        yield caller


def auto(customer: str, account: str = USD) -> str:
    return f"customers/{customer}/wallet/{account}/auto-top-up"


def cards(customer: str) -> str:
    return f"customers/{customer}/payment-methods"


def left(me: Caller, server: RunningServer, customer: str, number: str) -> Any:
    """Leave a card on the page for it; returns the customer's cards."""
    begun = me.made(cards(customer), SHOP)
    assert begun["redirect_url"] == f"{server.url}/checkout/{begun['id']}"
    server.wait(server.engine.pay_checkout(begun["id"], number, "12/40", "123"))
    return me.get(cards(customer)).body["items"]


def test_a_card_is_left_shown_chosen_and_removed(me: Caller, shared_server: RunningServer):
    ada = me.customer()
    assert me.get(cards(ada)).body["total_count"] == 0
    left(me, shared_server, ada, "4242 4242 4242 4242")
    new, old = left(me, shared_server, ada, "5555555555554444")
    assert (new["last4"], new["brand"], new["is_default"]) == ("4444", "mastercard", True)
    assert (old["last4"], old["is_default"]) == ("4242", False)
    assert "4242424242424242" not in str([new, old])
    assert "method_ref" not in new
    chosen = me.patch(f"{cards(ada)}/{old['id']}", {"is_default": True})
    assert chosen.body == {**old, "is_default": True}
    assert me.send("DELETE", f"{cards(ada)}/{old['id']}").status == 204
    assert is_problem(me.send("DELETE", f"{cards(ada)}/{old['id']}"), 404)
    assert me.get(cards(ada)).body["items"] == [new]


def test_a_card_that_a_top_up_was_paid_with_is_kept(me: Caller, shared_server: RunningServer):
    ada = me.customer()
    wanted = {"customer_id": ada, "amount": 20, "currency": "USD", **SHOP}
    paid = me.made("top-ups", wanted)["id"]
    engine = shared_server.engine
    shared_server.wait(engine.pay_checkout(paid, "4242424242424242", "12/40", "123"))
    assert [card["last4"] for card in me.get(cards(ada)).body["items"]] == ["4242"]


def test_an_account_is_topped_up_when_little_is_left(me: Caller, shared_server: RunningServer):
    ada = me.customer()
    left(me, shared_server, ada, "4242424242424242")
    put = me.send("PUT", auto(ada), {**TERMS, "monthly_cap": 120})
    assert put.status == 200
    shared_server.wait(shared_server.engine.take_up_collections())
    assert me.available(ada) == 50
    shown = me.get(auto(ada)).body
    assert (shown["month_amount"], shown["monthly_cap"], shown["has_card"]) == (50, 120, True)
    assert "in_flight" not in shown
    listed = me.get(f"top-ups?customer_id={ada}").body["items"]
    assert [(one["kind"], one["status"], one["amount"]) for one in listed] == [
        ("auto", "succeeded", 50)
    ]


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("enabled", {"enabled": "yes"}),
        ("threshold", {"threshold": -1}),
        ("threshold", {"threshold": "1e-30"}),
        ("amount", {"amount": 0}),
        ("amount", {"amount": 0.001}),
        ("amount", {"amount": 10**40}),
        ("currency", {"currency": "NOPE"}),
        ("monthly_cap", {"monthly_cap": 49.99}),
        ("per_hour", {"per_hour": 61}),
        ("per_hour", {"per_hour": 1.5}),
        ("surprise", {"surprise": 1}),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(me: Caller, field: str, changed: dict[str, Any]):
    ada = me.customer()
    assert_refused(me.send("PUT", auto(ada), {**TERMS, **changed}), field)
    assert is_problem(me.get(auto(ada)), 404)


def test_what_is_not_there_is_not_found(me: Caller):
    ada = me.customer()
    assert is_problem(me.send("PUT", auto(ada, "default:NOPE"), TERMS), 404)
    assert is_problem(me.send("PUT", auto("cust_nobody"), TERMS), 404)
    assert is_problem(me.get(auto(ada)), 404)
    assert is_problem(me.patch(f"{cards(ada)}/pm_none", {"is_default": True}), 404)
    assert_refused(
        me.post(cards(ada), {"return_url": "ftp://x", "failure_url": "https://x"}), "return_url"
    )
    assert is_problem(me.get("top-ups/set_none"), 404)
    setup = me.made(cards(ada), SHOP)["id"]
    assert is_problem(me.get(f"top-ups/{setup}"), 404)
