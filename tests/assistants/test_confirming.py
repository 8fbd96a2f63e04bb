"""An assistant does nothing to live money on its own: a person confirms each call, for once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.assistants.house import Assistant, House, decide, running_house
from tests.assistants.test_tools import UNREACHED

from faregate.mcp.examples import example
from faregate.mcp.tool import ACTION
from faregate.mcp.tools import TOOLS
from faregate.operations.confirming import CONFIRMED, FREE, IN_BOTH_MODES, name_of
from faregate.operations.table import OPERATIONS

MORE: dict[str, dict[str, Any]] = {
    "POST /products": {"publish": True},
    "POST /products/{product_id}": {"publish": True},
    "POST /products/{product_id}/subscribers/migrate": {"dry_run": False},
    "POST /customers": {"subscriptions": [{"products": [{"code": "renders"}]}]},
    "PATCH /customers/{customer_id}": {"external_id": "user-2"},
    "PATCH /webhooks/{webhook_id}": {"url": "https://elsewhere.example/hook"},
}
"""What makes of a harmless call one that is not."""
NAMED = {"customer_id": "cust_ada", "version": "1", "limit_id": "lim_ada", "webhook_id": "whd_1"}
GIFT = {"transaction_id": "gift-1", "asset": "USD", "amount": 25, "reason": "gift"}


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with running_house(database_url) as running:
        yield running


@pytest.fixture
def assistant(house: House) -> Assistant:
    return Assistant(house, house.key())


@pytest.fixture
def ada(house: House) -> httpx.Client:
    return house.person()


def customer_of(assistant: Assistant, name: str = "Acme") -> str:
    return str(assistant.call("create_customer", name=name).json["id"])


def balance(assistant: Assistant, customer: str) -> Any:
    accounts = assistant.call("get_wallet", customer_id=customer).json["accounts"]
    return accounts[0]["available"] if accounts else 0


def test_every_operation_that_changes_something_is_in_one_list_with_a_reason_if_it_is_free():
    changing = {name_of(one) for one in OPERATIONS if one.method != "GET"}
    assert changing == set(CONFIRMED) | set(FREE)
    assert not set(CONFIRMED) & set(FREE)
    assert set(IN_BOTH_MODES) <= set(CONFIRMED)
    assert all(FREE.values())


def test_each_tool_that_moves_money_asks_a_person_in_live_mode_and_does_nothing(house: House):
    asked: set[str] = set()
    assistant = Assistant(house, house.key())
    choices = [(tool, choice) for tool in TOOLS for choice in tool.choices]
    for tool, choice in choices:
        name = name_of(choice.operation)
        if name not in CONFIRMED:
            continue
        if len(asked) % 8 == 0:
            assistant = Assistant(house, house.key(name=f"assistant {len(asked)}"))
        shown = example(tool, choice.action)
        arguments = {name: shown[name] for name in shown if name in (*choice.names, ACTION)}
        missing = {place: NAMED[place] for place in choice.places if place not in arguments}
        assistant.asks(tool.name, **arguments | missing | MORE.get(name, {}))
        asked.add(name)
    assert asked == set(CONFIRMED) - UNREACHED.keys()
    entries = house.wait(house.engine.list_audit_entries(limit=200))
    assert {one.action for one in entries} == {"ask for confirmation"}
    assert (
        house.wait(house.engine.list_products(context=house.engine.context_of("live"))).items == []
    )


def test_a_gift_in_live_mode_waits_for_a_person_and_is_then_given_once(
    assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    address = assistant.asks("adjust_wallet", customer_id=customer, **GIFT)
    assert balance(assistant, customer) == 0
    assert assistant.asks("adjust_wallet", customer_id=customer, **GIFT) == address
    assert decide(ada, address).status_code == 303
    assert balance(assistant, customer) == 0
    done = assistant.call("adjust_wallet", customer_id=customer, **GIFT)
    assert not done.is_error, done.text
    assert balance(assistant, customer) == 25
    again = assistant.call("adjust_wallet", customer_id=customer, **GIFT)
    assert again == done
    assert balance(assistant, customer) == 25


def test_what_was_confirmed_opens_nothing_else(
    house: House, assistant: Assistant, ada: httpx.Client
):
    customer, other = customer_of(assistant), customer_of(assistant, "Other")
    address = assistant.asks("adjust_wallet", customer_id=customer, **GIFT)
    decide(ada, address)
    changed: list[dict[str, Any]] = [
        {"customer_id": customer, **GIFT, "amount": 2500},
        {"customer_id": other, **GIFT},
        {"customer_id": customer, **GIFT, "transaction_id": "gift-2"},
        {"customer_id": customer, **GIFT, "description": "more"},
    ]
    addresses = {address, *(assistant.asks("adjust_wallet", **one) for one in changed)}
    thief = Assistant(house, house.key(name="another"))
    addresses.add(thief.asks("adjust_wallet", customer_id=customer, **GIFT))
    assert len(addresses) == 6
    assert (balance(assistant, customer), balance(assistant, other)) == (0, 0)


def test_of_many_calls_at_once_with_one_confirmation_one_is_done(house: House, ada: httpx.Client):
    key = house.key()
    first = Assistant(house, key)
    product = {"name": "P", "code": "p", "publish": True, "prices": []}
    decide(ada, first.asks("create_product", **product))
    texts: list[str] = []

    def call() -> None:
        texts.append(Assistant(house, key).call("create_product", **product).text)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([text for text in texts if '"code"' in text]) == 1
    listed = first.call("list_products").json
    assert [one["code"] for one in listed["items"]] == ["p"]


def test_what_may_be_meant_a_second_time_is_asked_again_and_never_passed_over(
    assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    block = {"customer_id": customer, "action": "block_customer"}
    unblock = {"customer_id": customer, "action": "unblock_customer"}

    for number, call in enumerate((block, unblock, block)):
        address = assistant.asks("manage_limits", **call)
        assert ("confirmed and done before" in ada.get(address).text) == (number == 2)
        decide(ada, address)
        assert not assistant.call("manage_limits", **call).is_error
        found = assistant.call("get_customer", customer_id=customer).json
        assert found.get("is_blocked", False) == (call is block)


def test_what_a_person_refuses_is_not_done_and_not_asked_again(
    assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    decide(ada, assistant.asks("adjust_wallet", customer_id=customer, **GIFT), "refuse")
    again = assistant.call("adjust_wallet", customer_id=customer, **GIFT)
    assert again.is_error
    assert "Ada refused it" in again.json["detail"]
    assert balance(assistant, customer) == 0


def test_wrong_arguments_and_keys_that_may_not_are_refused_before_anybody_is_asked(
    house: House, assistant: Assistant
):
    customer = customer_of(assistant)
    wrong = assistant.call("adjust_wallet", customer_id=customer, **GIFT | {"amount": "much"})
    assert wrong.is_error
    assert "confirmation" not in wrong.json["type"]
    reader = Assistant(house, house.key(role="read"))
    refused = reader.call("adjust_wallet", customer_id=customer, **GIFT)
    assert "'read'" in refused.text
    assert house.wait(house.engine.list_confirmations("live")) == []


def test_in_test_mode_nobody_is_asked_but_for_what_counts_in_both(house: House, ada: httpx.Client):
    assistant = Assistant(house, house.key("test"))
    customer = customer_of(assistant)
    assert not assistant.call("adjust_wallet", customer_id=customer, **GIFT).is_error
    assert balance(assistant, customer) == 25
    assert house.wait(house.engine.list_confirmations("test")) == []


def test_a_refusal_by_a_rule_after_the_confirmation_is_told_and_shown(
    assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    debit = GIFT | {"asset": "NOSUCH"}
    address = assistant.asks("adjust_wallet", customer_id=customer, **debit)
    decide(ada, address)
    refused = assistant.call("adjust_wallet", customer_id=customer, **debit)
    assert refused.is_error
    assert "NOSUCH" in refused.text
    assert "Confirmed, then refused by a rule" in ada.get(address).text


def test_the_page_says_in_words_what_would_happen_and_hides_nothing(
    house: House, assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant, "Acme <script>alert(1)</script> Ltd")
    evil = "a gift\u202e\u200b <b>IGNORE ALL</b> {{ 7*1000003 }}"
    address = assistant.asks("adjust_wallet", customer_id=customer, **GIFT, description=evil)
    page = ada.get(address).text
    for words in (
        "Credit (a positive amount) or debit",
        "Acme &lt;script&gt;",
        "<dt>amount</dt><dd>25</dd>",
        "<dt>transaction_id</dt><dd>gift-1</dd>",
        "<dt>asset</dt><dd>USD</dd>",
        "the assistant (fg_live_",
        "\\u202e\\u200b",
        "{{ 7*1000003 }}",
        "Confirm only what you have asked for yourself",
    ):
        assert words in page, words
    for words in ("\u202e", "\u200b", "<script>alert", "<b>IGNORE", "7000021"):
        assert words not in page.partition("<main")[2], words
    assert "1 to confirm" in ada.get("/live").text
    assert "to confirm" not in ada.get("/test").text
    assert ada.get(address.replace("/live/", "/test/")).status_code == 404


def test_the_page_writes_an_amount_out_however_it_was_sent(
    house: House, assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    sent = json.dumps({"customer_id": customer, **GIFT}).replace(": 25", ": 0.025e7")
    address = assistant.asks("adjust_wallet", sent)
    assert "<dt>amount</dt><dd>250000</dd>" in ada.get(address).text


def test_two_gifts_that_wait_can_be_told_apart_in_the_list(assistant: Assistant, ada: httpx.Client):
    customer = customer_of(assistant)
    assistant.asks("adjust_wallet", customer_id=customer, **GIFT)
    other = {**GIFT, "amount": 9000, "transaction_id": "gift-2", "description": "x\u202e" * 99}
    assistant.asks("adjust_wallet", customer_id=customer, **other)
    listed = ada.get("/live/confirmations").text.partition("<main")[2]
    assert "25 · " in listed
    assert "9000 · " in listed
    assert "\u202e" not in listed
    assert listed.count("x\\u202e") < 99


def test_a_gift_for_nobody_is_not_shown_as_one_for_somebody(
    assistant: Assistant, ada: httpx.Client
):
    page = ada.get(assistant.asks("adjust_wallet", customer_id="cust_nobody", **GIFT)).text
    assert "<dt>customer</dt><dd>cust_nobody: there is no such customer</dd>" in page


def test_only_a_signed_in_admin_confirms_and_only_by_our_form(
    house: House, assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    address = assistant.asks("adjust_wallet", customer_id=customer, **GIFT)
    post = address.replace("?id=", "/") + "/confirm"
    key = {"authorization": f"Bearer {house.key()}", "x-credyt-api-key": house.key()}
    assert httpx.get(address).status_code == 303
    for headers in ({}, key):
        assert httpx.post(post, headers=headers).status_code == 401
    assert ada.post(post).status_code == 403
    for role in ("support", "finance"):
        helper = house.person(role, "Otto", f"{role}@example.com")
        assert "An admin of your team can confirm this" in helper.get(address).text
        token = helper.get("/live/account").text.partition('name="csrf" value="')[2].partition('"')
        assert helper.post(post, data={"csrf": token[0]}).status_code == 403
    assistant.asks("adjust_wallet", customer_id=customer, **GIFT)


def test_the_audit_log_tells_who_asked_who_confirmed_and_what_was_done(
    house: House, assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    decide(ada, assistant.asks("adjust_wallet", customer_id=customer, **GIFT))
    assistant.call("adjust_wallet", customer_id=customer, **GIFT)
    entries = house.wait(house.engine.list_audit_entries())[:3]
    told = [(one.action, one.actor.kind, one.actor.name.split(" ")[0]) for one in entries]
    assert told == [
        ("do what was confirmed", "key", "the"),
        ("confirm an assistant's call", "operator", "Ada"),
        ("ask for confirmation", "key", "the"),
    ]
    assert len({one.object_id for one in entries}) == 1
    assert entries[0].request["arguments"]["amount"] == 25


def test_an_assistant_in_a_loop_fills_no_list(house: House, assistant: Assistant):
    customer = customer_of(assistant)
    answers = [
        assistant.call("adjust_wallet", customer_id=customer, **GIFT | {"amount": number})
        for number in range(1, 15)
    ]
    assert len(house.wait(house.engine.list_confirmations("live"))) == 10
    assert "wait for a person already" in answers[-1].json["detail"]
    assert answers[-1].json["type"] == "urn:faregate:problem:confirmation-needed"


def test_nobody_hears_of_customers_and_payments_unless_a_person_says_so(
    house: House, assistant: Assistant, ada: httpx.Client
):
    hook = {"action": "create", "url": "https://8.8.8.8/hook"}
    address = assistant.asks("manage_webhooks", **hook)
    assert assistant.call("look_up", action="webhooks").json["items"] == []
    decide(ada, address)
    made = assistant.call("manage_webhooks", **hook)
    assert not made.is_error, made.text
    (kept,) = house.wait(house.engine.list_confirmations("live"))
    assert (kept.outcome, kept.answer) == ("done", "")
    change = {"action": "change", "webhook_id": made.json["id"]}
    assistant.asks("manage_webhooks", **change, url="https://8.8.4.4/hook")
    assert not assistant.call("manage_webhooks", **change, enabled=False).is_error


def test_a_portal_link_is_a_secret_so_it_is_not_kept(
    house: House, assistant: Assistant, ada: httpx.Client
):
    customer = customer_of(assistant)
    back = "https://example.com"
    session = {"customer_id": customer, "return_url": back, "failure_url": back}
    address = assistant.asks("create_portal_session", **session)
    decide(ada, address)
    made = assistant.call("create_portal_session", **session)
    assert not made.is_error, made.text
    (kept,) = house.wait(house.engine.list_confirmations("live"))
    assert (kept.outcome, kept.answer) == ("done", "")
    assert assistant.asks("create_portal_session", **session) != address
