"""Money of top-ups goes back, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.api.caller import USD, Caller, assert_refused, calling, is_problem
from tests.api.conftest import RunningServer

SHOP = {"return_url": "https://shop.example/thanks", "failure_url": "https://shop.example/sorry"}
GOOD, DISPUTED = "4242424242424242", "4000000000000259"


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        yield caller


def bought(
    me: Caller, server: RunningServer, number: str = GOOD, amount: int = 20
) -> tuple[str, str]:
    """A customer who has paid with this card, and the payment."""
    customer = me.made("customers", {"name": "Ada"})["id"]
    wanted: dict[str, Any] = {"customer_id": customer, "amount": amount, "currency": "USD", **SHOP}
    top_up = me.made("top-ups", wanted)["id"]
    server.wait(server.engine.sandbox.pay(top_up, number))
    server.wait(server.engine.settle_payment(top_up))
    return customer, top_up


def test_a_refund_is_made_once_per_key_and_shown_everywhere(
    me: Caller, shared_server: RunningServer
) -> None:
    customer, top_up = bought(me, shared_server)
    path, key = f"top-ups/{top_up}/refunds", {"idempotency-key": f"refund of {top_up}"}
    body = {"amount": 7.5, "description": "One seat too many"}
    first = me.post(path, body, key)
    assert first.status == 201
    assert first.body["status"] == "succeeded"
    assert (first.body["amount"], first.body["credit"]) == (7.5, 7.5)
    again = me.post(path, body, key)
    assert (again.status, again.body) == (201, first.body)
    assert is_problem(me.post(path, {"amount": 7}, key), 409)
    assert me.get(path).body["items"] == [first.body]
    assert me.get(f"top-ups/{top_up}").body["refunded"] == 7.5
    assert me.available(customer) == 12.5
    booked = me.get(f"customers/{customer}/wallet/transactions/payment:{first.body['id']}").body
    assert (booked["amount"], booked["payment_id"]) == (-7.5, top_up)


def test_more_than_is_left_is_refused_with_what_is_left(
    me: Caller, shared_server: RunningServer
) -> None:
    customer, top_up = bought(me, shared_server)
    path = f"top-ups/{top_up}/refunds"
    answer = me.post(path, {"amount": 20.01})
    assert_refused(answer, "amount")
    assert "at most 20 USD" in answer.body["detail"]
    assert me.available(customer) == 20
    assert me.post(path, {}).body["amount"] == 20
    assert_refused(me.post(path, {}), "amount")
    assert me.available(customer) == 0


def test_what_is_not_there_or_not_paid_cannot_go_back(
    me: Caller, shared_server: RunningServer
) -> None:
    assert is_problem(me.post("top-ups/tup_none/refunds", {}), 404)
    assert is_problem(me.get("top-ups/tup_none/refunds"), 404)
    customer = me.made("customers", {"name": "Ada"})["id"]
    wanted = {"customer_id": customer, "amount": 5, "currency": "USD", **SHOP}
    top_up = me.made("top-ups", wanted)["id"]
    assert is_problem(me.post(f"top-ups/{top_up}/refunds", {}), 409)


def test_a_dispute_is_listed_and_leaves_nothing_to_give_back(
    me: Caller, shared_server: RunningServer
) -> None:
    customer, top_up = bought(me, shared_server, DISPUTED)
    assert me.available(customer) == 0
    shown = me.get(f"top-ups/{top_up}/refunds").body["items"]
    assert [(r["reason"], r["status"], r["amount"]) for r in shown] == [("dispute", "open", 20)]
    assert_refused(me.post(f"top-ups/{top_up}/refunds", {}), "amount")
    shared_server.wait(shared_server.engine.sandbox.settle_dispute(top_up, "won"))
    shared_server.wait(shared_server.engine.settle_payment(top_up))
    assert me.available(customer) == 20
    grants = me.get(f"customers/{customer}/wallet/{USD}/grants").body["items"]
    assert [g["purpose"] for g in grants] == ["paid", "paid"]
