"""Customers pay into their wallets, over HTTP: what is asked, what is answered, and what providers
tell at their door."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from corehttp.credentials import ServiceKeyCredential
from credytapi import CredytApiClient
from tests.api.caller import USD, Caller, assert_refused, calling, is_problem, product
from tests.api.conftest import LIVE_KEY, TEST_KEY, RunningServer

from faregate.payments.sandbox import SIGNATURE
from faregate.rest.messages import MAX_MESSAGE_BYTES

SHOP = {"return_url": "https://shop.example/thanks", "failure_url": "https://shop.example/sorry"}
GOOD, DISPUTED = "4242424242424242", "4000000000000259"


@pytest.fixture(scope="module")
def me(shared_server: RunningServer) -> Iterator[Caller]:
    with calling(shared_server) as caller:
        caller.made("products", product())
        caller.made("assets", {"code": "GEMS", "name": "Gems", "precision": 2})
        rate = {"source": "USD", "inverse_rate": 10}
        assert caller.post("assets/GEMS/rates", rate).status == 204
        yield caller


def wanted(customer: str, amount: Any = 20, **more: Any) -> dict[str, Any]:
    return {"customer_id": customer, "amount": amount, "currency": "USD", **SHOP, **more}


def door(server: RunningServer) -> str:
    context = server.engine.context
    return f"/payments/messages/sandbox/{context.account_id}/{context.environment}"


def paid(server: RunningServer, top_up_id: str, number: str = GOOD) -> tuple[Any, bytes]:
    """Let a test card pay; returns the message that tells of it."""
    engine = server.engine
    server.wait(engine.sandbox.pay(top_up_id, number))
    return engine.sandbox.message(top_up_id, engine.context.environment_id)


def tell(me: Caller, server: RunningServer, message: tuple[Any, bytes]) -> int:
    return me.post(door(server), message[1], message[0]).status


def test_the_door_answers_as_the_document_says(me: Caller, shared_server: RunningServer) -> None:
    document = me.get("/openapi.json").body
    described = document["paths"]["/payments/messages/{provider}/{account_id}/{mode}"]["post"]
    assert described["security"] == []
    top_up = me.made("top-ups", wanted(me.customer()))["id"]
    headers, body = paid(shared_server, top_up)
    context = shared_server.engine.context
    here, account = door(shared_server), context.account_id
    for path, sent, signed, status in (
        (here, body, headers, 200),
        (here, body + b" ", headers, 403),
        (here, body, {}, 403),
        (f"/payments/messages/nobody/{account}/test", body, headers, 404),
        (f"/payments/messages/sandbox/acc_0/{context.environment}", body, headers, 404),
        (f"/payments/messages/sandbox/{account}/sandbox", body, headers, 404),
        (f"/payments/messages/sandbox/{account}", body, headers, 404),
        (here, b" " * (MAX_MESSAGE_BYTES + 1), headers, 413),
    ):
        answer = me.post(path, sent, signed)
        assert answer.status == status, (path, answer.body)
        (kind,) = described["responses"][str(status)]["content"]
        assert answer.headers["content-type"] == kind
        if status == 200:
            assert answer.body == {"payment_id": top_up}
            shape = document["components"]["schemas"]["MessageTaken"]
            assert set(shape["properties"]) == set(shape["required"]) == {"payment_id"}
        else:
            assert is_problem(answer, status)


def test_a_payment_that_is_told_eight_times_at_once_is_one_grant(
    me: Caller, shared_server: RunningServer
) -> None:
    ada = me.customer()
    made = me.made("top-ups", wanted(ada, metadata={"order": "7"}))
    assert made["status"] == "initiated"
    assert made["redirect_url"].startswith(f"{shared_server.url}/checkout/{made['id']}")
    message = paid(shared_server, made["id"])
    with ThreadPoolExecutor(8) as pool:
        told = [pool.submit(tell, me, shared_server, message) for _ in range(8)]
    assert {one.result() for one in told} == {200}
    assert tell(me, shared_server, message) == 200
    grants = me.get(f"customers/{ada}/wallet/{USD}/grants").body
    assert [(g["amount"], g["purpose"]) for g in grants["items"]] == [(20, "paid")]
    shown = me.get(f"top-ups/{made['id']}").body
    assert shown["status"] == "succeeded"
    assert shown["destination"] == {"account_name": "default", "asset": "USD", "amount": 20}
    listed = me.get(f"top-ups?customer_id={ada}").body
    assert listed["total_count"] == 1
    assert listed["items"] == [shown]


def test_what_is_forged_old_or_of_another_environment_is_refused_and_does_nothing(
    me: Caller, shared_server: RunningServer
) -> None:
    engine, ada = shared_server.engine, me.customer()
    top_up = me.made("top-ups", wanted(ada))["id"]
    headers, body = paid(shared_server, top_up)
    here = door(shared_server)
    stamp, _, signature = headers[SIGNATURE].partition(",")
    old = f"t={int(stamp[2:]) - 1000},{signature}"
    other = engine.sandbox.message(top_up, engine.context.environment_id + 1)
    for sent, text in (
        ({}, body),
        ({SIGNATURE: "t=x,v1=y"}, body),
        ({SIGNATURE: old}, body),
        (headers, body.replace(b"tup_", b"tuq_")),
        other,
    ):
        answer = me.post(here, text, sent)
        assert is_problem(answer, 403), answer.body
    live = here.replace("/test", "/live")
    assert me.post(live, body, headers).status == 404
    assert me.post(here.replace("sandbox", "stripe"), body, headers).status == 404
    assert me.post(here.replace("acc_", "acx_"), body, headers).status == 404
    assert me.get(here).status == 405
    assert me.available(ada) == 0
    assert me.post(here, b"x" * 600_000, headers).status in (403, 413)
    assert me.post(here, body, headers).status == 200
    assert me.available(ada) == 20


def test_credits_are_bought_at_the_rate_of_when_the_payment_began(
    me: Caller, shared_server: RunningServer
) -> None:
    ada = me.customer()
    gems = {"destination": {"asset": "GEMS"}}
    first = me.made("top-ups", wanted(ada, 12.5, **gems))["id"]
    assert me.post("assets/GEMS/rates", {"source": "USD", "inverse_rate": 4}).status == 204
    second = me.made("top-ups", wanted(ada, 1, **gems))["id"]
    own = {"destination": {"asset": "GEMS", "account_name": "fun", "exchange_rate": 3}}
    third = me.made("top-ups", wanted(ada, 1, **own))["id"]
    for top_up in (first, second, third):
        assert tell(me, shared_server, paid(shared_server, top_up)) == 200
    assert me.available(ada, "default:GEMS") == 125 + 4
    assert me.available(ada, "fun:GEMS") == 3
    shown = me.get(f"top-ups/{first}").body["destination"]
    assert shown == {"account_name": "default", "asset": "GEMS", "amount": 125, "exchange_rate": 10}


def test_a_dispute_takes_the_credit_and_a_won_one_gives_it_again(
    me: Caller, shared_server: RunningServer
) -> None:
    engine, ada = shared_server.engine, me.customer()
    top_up = me.made("top-ups", wanted(ada))["id"]
    message = paid(shared_server, top_up, DISPUTED)
    assert tell(me, shared_server, message) == 200
    assert me.available(ada) == 0
    assert me.get(f"top-ups/{top_up}").body["disputed"] == 20
    shared_server.wait(engine.sandbox.settle_dispute(top_up, "won"))
    for _ in range(2):
        assert tell(me, shared_server, message) == 200
    assert me.available(ada) == 20
    assert "disputed" not in me.get(f"top-ups/{top_up}").body


def test_a_repeat_under_its_key_is_the_same_payment(me: Caller) -> None:
    ada, key = me.customer(), {"idempotency-key": "pay once"}
    first = me.post("top-ups", wanted(ada), key)
    assert me.post("top-ups", wanted(ada), key).body == first.body
    assert me.post("top-ups", wanted(ada, 21), key).status == 409
    assert me.get(f"top-ups?customer_id={ada}").body["total_count"] == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -5}, "amount"),
        ({"amount": 0.001}, "amount"),
        ({"amount": 10**19}, "amount"),
        ({"currency": "GEMS"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"failure_url": "//evil.example"}, "failure_url"),
        ({"destination": {"asset": "NONE"}}, "destination.asset"),
        ({"destination": {"asset": "USD", "exchange_rate": 2}}, "destination.exchange_rate"),
        ({"destination": {"asset": "GEMS", "exchange_rate": 0}}, "destination.exchange_rate"),
        ({"credit_expires_at": "2020-01-01T00:00:00Z"}, "credit_expires_at"),
        ({"credit_expires_at": "9999-01-01T00:00:00Z"}, "credit_expires_at"),
    ],
)
def test_what_cannot_be_paid_is_refused_by_its_field(
    me: Caller, more: dict[str, Any], field: str
) -> None:
    ada = me.customer()
    assert_refused(me.post("top-ups", wanted(ada, **more)), field)
    assert me.get(f"top-ups?customer_id={ada}").body["total_count"] == 0


def test_the_live_mode_has_no_sandbox(shared_server: RunningServer) -> None:
    with calling(shared_server, LIVE_KEY) as live:
        ada = live.made("customers", {"name": "Ada"})["id"]
        answer = live.post("top-ups", wanted(ada))
        assert is_problem(answer, 409)
        assert "payment provider" in answer.body["detail"]
        assert live.get("top-ups").body["total_count"] == 0


def test_the_published_client_tops_up(me: Caller, shared_server: RunningServer) -> None:
    ada = me.customer()
    client = CredytApiClient(
        credential=ServiceKeyCredential(TEST_KEY), endpoint=f"{shared_server.url}/v1"
    )
    made = client.top_ups.initiate(body=wanted(ada))
    assert made.status == "initiated"
    assert tell(me, shared_server, paid(shared_server, made.id)) == 200
    found = client.top_ups.get(made.id)
    assert found.status == "succeeded"
    assert found.customer_id == ada
    assert Decimal(found.amount) == 20
    assert found.destination is not None
    assert found.destination.asset == "USD"


def test_no_transaction_can_be_taken_for_a_payments(me: Caller) -> None:
    ada = me.customer()
    gift = {"transaction_id": "payment:tup_1", "asset": "USD", "amount": 1}
    gave = me.post(f"customers/{ada}/wallet/adjustments", {**gift, "reason": "gift"})
    assert_refused(gave, "transaction_id")
    assert_refused(me.post(f"customers/{ada}/wallet/charges", gift), "transaction_id")
    assert me.available(ada) == 0
